#include <spdlog/fmt/fmt.h>

#include "control/cli/agent_client.h"
#include "control/cli/commands.h"
#include "control/cli/policy_input.h"
#include "control/common/json_text.h"

namespace sallyport {
namespace {

constexpr std::chrono::seconds kPushTimeout{60};  // 100,000 names take seconds to compile.

std::expected<Json, std::string> push_request(const std::vector<SourceFile>& sources) {
  Json list = Json::array();
  for (const SourceFile& one : sources) {
    // dump() would replace bytes that are not UTF-8, and another text would be pushed.
    try {
      static_cast<void>(Json(one.text).dump());
    } catch (const Json::type_error&) {
      return std::unexpected(one.name + " is not UTF-8 text");
    }
    list.push_back({{"name", one.name}, {"text", one.text}});
  }
  return Json{{"op", "push"}, {"sources", std::move(list)}};
}

void print_accepted(const Json& answer) {
  fmt::print("revision {} is in force\n", text_member(answer, "revision"));
  for (const Json& core : answer.value("cores", Json::array())) {
    fmt::print("core {}: revision {}, generation {}\n", number_member(core, "core"),
               text_member(core, "revision"), number_member(core, "generation"));
  }
  if (const std::string warning = text_member(answer, "warning"); !warning.empty()) {
    fmt::print(stderr, "sallyport: warning: {}\n", warning);
  }
}

}  // namespace

int run_push(const CliOptions& options) {
  const auto sources = read_policy(options);
  if (!sources) return report_failure(sources.error(), options.format);
  const auto request = push_request(*sources);
  if (!request) {
    print_error(request.error());
    return kExitBadInput;
  }
  const auto answer = ask_agent(options.control_socket, *request, kPushTimeout);
  if (!answer) {
    print_error("cannot push through the agent at " + options.control_socket.string() + ": " +
                answer.error() + "; start sallyport-control, or give its socket with --socket");
    return kExitBadInput;
  }
  const bool ok = answer->value("ok", Json(false)) == Json(true);
  if (options.format == Format::json) {
    fmt::print("{}\n", dump(*answer));
  } else if (ok) {
    print_accepted(*answer);
  } else {
    print_findings(diagnostics_from_json(answer->value("diagnostics", Json::array())), *sources);
    print_error(text_member(*answer, "error"));
  }
  return ok ? kExitGood : kExitNo;
}

}  // namespace sallyport
