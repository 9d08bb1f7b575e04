// A flow as the flow log and `sallyport replay --out` write it, one JSON object a line.
#include <nlohmann/json.hpp>

#include "policy/compile/flow_text.h"
#include "policy/compile/reading.h"

namespace sallyport {
namespace {

using Json = nlohmann::json;

/// The member at the end of `path`, or null where there is none.
Json member(const Json& record, std::initializer_list<const char*> path) {
  const Json* at = &record;
  for (const char* key : path) {
    if (!at->is_object()) return nullptr;
    const auto found = at->find(key);
    if (found == at->end()) return nullptr;
    at = &*found;
  }
  return *at;
}

/// The first member that is there: replay writes "host" for what the flow log has in "tls.sni".
Json first_member(const Json& record,
                  std::initializer_list<std::initializer_list<const char*>> paths) {
  for (const auto path : paths) {
    if (Json found = member(record, path); !found.is_null()) return found;
  }
  return nullptr;
}

/// "" is how a record says that there is none.
void add_text(std::vector<FlowWord>& words, const std::string& key, const Json& value) {
  if (!value.is_string()) return;
  const std::string text = value.get<std::string>();
  words.push_back({key, text.empty() ? "-" : text});
}

/// "2026-12-01T00:00:00.001000+0000" without its fraction and with a colon in its offset.
std::string plain_time(std::string text) {
  const size_t dot = text.find('.');
  if (dot != std::string::npos) {
    text.erase(dot, text.find_first_not_of("0123456789", dot + 1) - dot);
  }
  const size_t sign = text.find_last_of("+-");
  const bool no_colon = sign != std::string::npos && text.size() == sign + 5;
  if (no_colon) text.insert(sign + 3, ":");
  return text;
}

std::string protocol_word(std::string text) {
  if (text == "ICMP" || text == "IPv6-ICMP") return "icmp";
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::string end_word(const std::string& address, const Json& port) {
  const bool has_port = port.is_number_unsigned() && port != 0;
  if (!has_port) return address;
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + ":" + port.dump();
}

void add_hello(std::vector<FlowWord>& words, const std::string& app, const Json& record) {
  add_text(words, app + ".sni", first_member(record, {{"host"}, {app.c_str(), "sni"}}));
  const Json alpns = first_member(record, {{"alpn"}, {app.c_str(), "client_alpns"}});
  if (alpns.is_array()) {
    std::string list;
    for (const Json& one : alpns) {
      if (one.is_string()) list += (list.empty() ? "" : ",") + one.get<std::string>();
    }
    words.push_back({app + ".alpn", list.empty() ? "-" : list});
  }
  add_text(words, app + ".ja4", first_member(record, {{"ja4"}, {app.c_str(), "ja4"}}));
  const Json ech = first_member(record, {{"ech"}, {app.c_str(), "ech"}});
  if (ech.is_boolean()) words.push_back({app + ".ech", ech == true ? "true" : "false"});
}

void add_application(std::vector<FlowWord>& words, const Json& record) {
  const Json said = first_member(record, {{"app"}, {"app_proto"}});
  std::string app = said.is_string() ? said.get<std::string>() : "";
  if (app == "http1" || app == "http2") app = "http";
  // A flow that was decided before it had bytes is "unknown", too.
  if (app.empty() || app == "unknown") return;
  words.push_back({"app", app});
  if (app == "tls" || app == "quic") add_hello(words, app, record);
  if (app == "dns") {
    add_text(words, "dns.qname", first_member(record, {{"host"}, {"dns", "rrname"}}));
  }
  if (app != "http") return;
  add_text(words, "http.host", first_member(record, {{"host"}, {"http", "hostname"}}));
  add_text(words, "http.method", first_member(record, {{"http_method"}, {"http", "http_method"}}));
  add_text(words, "http.path", first_member(record, {{"http_path"}, {"http", "url"}}));
}

}  // namespace

std::expected<FlowDescription, std::string> parse_flow_record(std::string_view json, int64_t now) {
  const Json record = Json::parse(json, nullptr, false);
  if (!record.is_object()) return std::unexpected("not a JSON object");
  for (const char* key : {"src_ip", "dest_ip", "proto"}) {
    if (!member(record, {key}).is_string()) {
      return std::unexpected("no " + std::string(key) + " in it");
    }
  }
  std::vector<FlowWord> words;
  words.push_back({"src", record["src_ip"].get<std::string>()});
  words.push_back(
      {"dst", end_word(record["dest_ip"].get<std::string>(), member(record, {"dest_port"}))});
  words.push_back({"proto", protocol_word(record["proto"].get<std::string>())});
  const Json time = member(record, {"timestamp"});
  if (time.is_string()) words.push_back({"time", plain_time(time.get<std::string>())});
  add_application(words, record);
  auto flow = parse_flow(words, now);
  if (flow) return std::move(*flow);
  std::string problems;
  for (const FlowFault& fault : flow.error()) {
    problems += (problems.empty() ? "" : "; ") + fault.message;
  }
  return std::unexpected(std::move(problems));
}

}  // namespace sallyport
