#include "control/agent/agent_api.h"

#include <expected>
#include <utility>

namespace sallyport {
namespace {

constexpr int kMaxDepth = 8;  // A request needs three.

/// The parser keeps a stack: without a limit a line of brackets would cost many times its size.
bool too_deep(const std::string& line) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char byte = line[i];
    if (in_string) {
      if (byte == '\\') ++i;
      if (byte == '"') in_string = false;
      continue;
    }
    if (byte == '"') in_string = true;
    if (byte == '[' || byte == '{') ++depth;
    if (byte == ']' || byte == '}') --depth;
    if (depth > kMaxDepth) return true;
  }
  return false;
}

std::expected<std::vector<SourceFile>, std::string> sources_of(const Json& request) {
  const auto list = request.find("sources");
  if (list == request.end() || !list->is_array() || list->empty()) {
    return std::unexpected(R"(push needs "sources": [{"name": …, "text": …}, …], not empty)");
  }
  std::vector<SourceFile> sources;
  for (const Json& one : *list) {
    const bool whole = one.is_object() && one.contains("name") && one["name"].is_string() &&
                       one.contains("text") && one["text"].is_string();
    if (!whole) return std::unexpected(R"(each source needs a "name" and a "text", both strings)");
    sources.push_back(
        {.name = one["name"].get<std::string>(), .text = one["text"].get<std::string>()});
  }
  return sources;
}

}  // namespace

void handle_request(Agent& agent, const std::string& line,
                    const std::function<void(const std::string&)>& respond, Agent::Time now) {
  const auto answer = [respond](const Json& json) { respond(dump(json)); };
  const auto refuse = [&](const std::string& why) { answer({{"ok", false}, {"error", why}}); };
  if (too_deep(line)) return refuse("the request is nested too deeply");
  const Json request = Json::parse(line, nullptr, false);
  if (!request.is_object()) return refuse("the request is not a JSON object on one line");
  const std::string op = text_member(request, "op");
  if (op == "status") return answer(agent.status());
  if (op == "reload") return agent.reload(answer, now);
  if (op != "push") return refuse(R"("op" must be "push", "status" or "reload")");
  auto sources = sources_of(request);
  if (!sources) return refuse(sources.error());
  agent.push(std::move(*sources), answer, now);
}

}  // namespace sallyport
