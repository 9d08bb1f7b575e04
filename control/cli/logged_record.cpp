#include "control/cli/logged_record.h"

#include <spdlog/fmt/fmt.h>

#include "control/common/json_text.h"
#include "policy/yaml/printable.h"

namespace sallyport {
namespace {

std::optional<LoggedEvent> event_named(std::string_view name) {
  if (name == "start") return LoggedEvent::start;
  if (name == "verdict") return LoggedEvent::verdict;
  if (name == "request") return LoggedEvent::request;
  if (name == "flow") return LoggedEvent::end;
  if (name == "gap") return LoggedEvent::gap;
  return {};
}

const Json& section(const Json& record, const char* key) {
  static const Json kNone;
  const auto found = record.find(key);
  return found == record.end() ? kNone : *found;
}

std::string name_in(const Json& record, const std::string& app) {
  if (app == "tls" || app == "quic") return text_member(section(record, app.c_str()), "sni");
  if (app == "dns") return text_member(section(record, "dns"), "rrname");
  if (app.starts_with("http")) return text_member(section(record, "http"), "hostname");
  return "";
}

void read_gap(const Json& gap, LoggedRecord& out) {
  out.gap_events = number_member(gap, "events");
  out.gap_cause = text_member(gap, "cause");
  out.gap_start = text_member(gap, "start");
  out.gap_end = text_member(gap, "end");
}

void read_flow(const Json& record, LoggedRecord& out) {
  out.flow_id = number_member(record, "flow_id");
  out.src_ip = text_member(record, "src_ip");
  out.src_port = number_member(record, "src_port");
  out.dest_ip = text_member(record, "dest_ip");
  out.dest_port = number_member(record, "dest_port");
  out.protocol = text_member(record, "proto");
  out.spiffe_id = text_member(record, "spiffe_id");
  out.app = text_member(record, "app_proto");
  out.name = name_in(record, out.app);
  out.action = text_member(section(record, "verdict"), "action");
  const Json& policy = section(record, "policy");
  out.policy = text_member(policy, "name");
  out.rule = text_member(policy, "rule");
  out.reason = text_member(policy, "reason");
  out.fault = text_member(policy, "fault");
  out.revision = text_member(policy, "revision");
  const Json& would = policy.is_object() ? section(policy, "would_deny") : policy;
  out.would_deny = would.is_boolean() && would.get<bool>();
  out.truncated = record.contains("truncated");
  if (out.event != LoggedEvent::end) return;
  const Json& traffic = section(record, "flow");
  out.bytes = number_member(traffic, "bytes_toserver") + number_member(traffic, "bytes_toclient");
}

}  // namespace

bool LoggedRecord::same_flow(const LoggedRecord& other) const {
  return flow_id == other.flow_id && src_port == other.src_port && dest_port == other.dest_port &&
         src_ip == other.src_ip && dest_ip == other.dest_ip && protocol == other.protocol;
}

std::optional<LoggedRecord> read_logged_record(std::string_view line) {
  const Json record = Json::parse(line, nullptr, false);
  if (!record.is_object()) return {};
  const auto event = event_named(text_member(record, "event_type"));
  if (!event) return {};
  LoggedRecord out;
  out.event = *event;
  out.timestamp = text_member(record, "timestamp");
  out.core = number_member(record, "core");
  if (out.event == LoggedEvent::gap) {
    read_gap(section(record, "gap"), out);
  } else {
    read_flow(record, out);
  }
  return out;
}

std::string wire_text(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (point.value == U'\\') {
      out += "\\\\";
    } else if (point.value > 0x20 && point.value < 0x7f) {
      out += static_cast<char>(point.value);
    } else if (!point.valid || point.value < 0x80) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(point.value));
    } else {
      out += fmt::format("\\u{{{:04x}}}", static_cast<uint32_t>(point.value));
    }
    at += point.bytes;
  }
  return out;
}

}  // namespace sallyport
