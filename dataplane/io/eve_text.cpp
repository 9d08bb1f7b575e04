#include "dataplane/io/eve_text.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/io/json_line.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

std::string protocol_name(uint8_t protocol) {
  switch (protocol) {
    case kIpProtocolTcp:
      return "TCP";
    case kIpProtocolUdp:
      return "UDP";
    case kIpProtocolIcmp:
      return "ICMP";
    case kIpProtocolIcmpV6:
      return "IPv6-ICMP";
    default:
      return std::to_string(protocol);
  }
}

std::string_view app_name(const FlowEvent& event) {
  return event.app_known == Known::present ? to_string(event.app) : "unknown";
}

std::string hex16(uint16_t value) {
  std::array<char, 5> digits{};
  std::snprintf(digits.data(), digits.size(), "%04x", value);
  return digits.data();
}

// Those that clients ask for every day (IANA's DNS parameters); the rest by number (RFC 3597).
std::string query_type_name(uint16_t type) {
  struct Named {
    uint16_t type;
    const char* name;
  };
  static constexpr Named kNames[] = {{1, "A"},      {2, "NS"},   {5, "CNAME"},   {6, "SOA"},
                                     {12, "PTR"},   {15, "MX"},  {16, "TXT"},    {28, "AAAA"},
                                     {33, "SRV"},   {43, "DS"},  {48, "DNSKEY"}, {64, "SVCB"},
                                     {65, "HTTPS"}, {255, "ANY"}};
  for (const auto& one : kNames) {
    if (one.type == type) return one.name;
  }
  return "TYPE" + std::to_string(type);
}

std::string_view type_name(FlowEvent::Type type) {
  switch (type) {
    case FlowEvent::Type::start:
      return "start";
    case FlowEvent::Type::verdict:
      return "verdict";
    case FlowEvent::Type::request:
      return "request";
    case FlowEvent::Type::flow:
      break;
  }
  return "flow";
}

std::string_view end_name(FlowEnd end) {
  switch (end) {
    case FlowEnd::closed:
      return "closed";
    case FlowEnd::reset:
      return "reset";
    case FlowEnd::timeout:
      return "timeout";
    case FlowEnd::replaced:
      return "replaced";
    case FlowEnd::shutdown:
      break;
  }
  return "shutdown";
}

std::string_view action_name(FlowState state) {
  if (state == FlowState::allowed) return "allow";
  return state == FlowState::denied ? "deny" : "pending";
}

std::string version_name(uint16_t version) {
  switch (version) {
    case 0x0300:
      return "SSLv3";
    case 0x0301:
      return "TLSv1";
    case 0x0302:
      return "TLS 1.1";
    case 0x0303:
      return "TLS 1.2";
    case 0x0304:
      return "TLS 1.3";
    default:
      return "0x" + hex16(version);
  }
}

bool has_hello(const FlowEvent& event) noexcept {
  return event.text_ends.back() != 0 || event.tls_version != 0 || event.ech_known != Known::unknown;
}

void put_alpns(JsonLine& json, std::string_view key, const FlowEvent& event) {
  json.open_list(key);
  std::string_view rest = event.text(EventText::alpns);
  while (!rest.empty()) {
    const size_t size = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    json.item(rest.substr(0, size));
    rest.remove_prefix(std::min(size, rest.size()));
  }
  json.close_list();
}

void put_hello(JsonLine& json, std::string_view section, const FlowEvent& event) {
  if (!has_hello(event)) return;
  json.open(section);
  json.text_if_any("sni", event.text(EventText::host));
  if (event.tls_version != 0) json.word("version", version_name(event.tls_version));
  json.text_if_any("ja3", event.text(EventText::ja3));
  json.text_if_any("ja4", event.text(EventText::ja4));
  if (!event.text(EventText::alpns).empty()) put_alpns(json, "client_alpns", event);
  if (event.ech_known != Known::unknown) json.flag("ech", event.ech_known == Known::present);
  json.close();
}

// "host:port" as a request names it; the port is optional, and an IPv6 address in brackets.
std::string_view without_port(std::string_view host, std::string_view& port) {
  const size_t colon = host.rfind(':');
  const size_t bracket = host.rfind(']');
  const bool has_port = colon != std::string_view::npos &&
                        (bracket == std::string_view::npos || bracket < colon) && colon > 0;
  port = has_port ? host.substr(colon + 1) : std::string_view{};
  return has_port ? host.substr(0, colon) : host;
}

void put_request(JsonLine& json, const FlowEvent& event) {
  if (event.text_ends.back() == 0 && !event.http2) return;
  json.open("http");
  std::string_view port;
  json.text_if_any("hostname", without_port(event.text(EventText::host), port));
  uint16_t number = 0;
  const auto end = std::from_chars(port.data(), port.data() + port.size(), number);
  if (!port.empty() && end.ec == std::errc{} && end.ptr == port.data() + port.size()) {
    json.number("http_port", number);
  }
  json.text_if_any("http_method", event.text(EventText::method));
  json.text_if_any("url", event.text(EventText::target));
  if (event.http2) json.word("protocol", "HTTP/2");
  json.close();
}

void put_query(JsonLine& json, const FlowEvent& event) {
  if (event.text(EventText::host).empty()) return;
  json.open("dns");
  json.word("type", "query");
  json.text("rrname", event.text(EventText::host));
  if (event.query_type != 0) json.word("rrtype", query_type_name(event.query_type));
  json.close();
}

void put_application(JsonLine& json, const FlowEvent& event) {
  json.word("app_proto", event.http2 ? "http2" : app_name(event));
  if (event.app_known != Known::present) return;
  switch (event.app) {
    case AppProtocol::tls:
      return put_hello(json, "tls", event);
    case AppProtocol::quic:
      return put_hello(json, "quic", event);
    case AppProtocol::http:
      return put_request(json, event);
    case AppProtocol::dns:
      return put_query(json, event);
    case AppProtocol::count_:
      break;
  }
}

// The fields of which there was more than a record holds.
void put_cut(JsonLine& json, const FlowEvent& event) {
  static constexpr std::pair<EventText, std::string_view> kFields[] = {
      {EventText::alpns, "client_alpns"},
      {EventText::method, "http_method"},
      {EventText::target, "url"}};
  if (event.cut == 0) return;
  json.open_list("truncated");
  for (const auto& [which, field] : kFields) {
    if (event.is_cut(which)) json.item(field);
  }
  json.close_list();
}

void put_policy(JsonLine& json, const FlowEvent& event, const PolicyNames::Found& found) {
  if (event.type != FlowEvent::Type::start) {
    json.open("verdict");
    json.word("action", action_name(event.state));
    json.close();
  }
  json.open("policy");
  if (!found.rule.empty()) {
    json.text("name", found.policy);
    json.text("rule", found.rule);
    json.word("tier", to_string(found.tier));
  }
  if (found.revision != 0) {
    const auto digits = revision_digits(found.revision);
    json.word("revision", {digits.data(), digits.size()});
  }
  json.word("mode", to_string(found.mode));
  json.flag("would_deny", event.would_deny);
  json.word("reason", to_string(event.reason));
  if (event.fault != InspectFault::none) json.word("fault", to_string(event.fault));
  json.close();
}

void put_addresses(JsonLine& json, const FlowEvent& event) {
  const bool out = event.opened_inside;
  json.word("src_ip", to_string(out ? event.key.inside : event.key.outside));
  json.number("src_port", out ? event.key.inside_port : event.key.outside_port);
  json.word("dest_ip", to_string(out ? event.key.outside : event.key.inside));
  json.number("dest_port", out ? event.key.outside_port : event.key.inside_port);
  json.word("proto", protocol_name(event.key.ip_protocol));
}

void put_traffic(JsonLine& json, const FlowEvent& event, EveTime& time) {
  const bool out = event.opened_inside;
  json.open("flow");
  json.number("pkts_toserver", out ? event.packets_out : event.packets_in);
  json.number("bytes_toserver", out ? event.bytes_out : event.bytes_in);
  json.number("pkts_toclient", out ? event.packets_in : event.packets_out);
  json.number("bytes_toclient", out ? event.bytes_in : event.bytes_out);
  json.word("start", time(event.started_unix_ns));
  json.word("end", time(event.timestamp_unix_ns));
  // The wall clock may have been set back meanwhile.
  const uint64_t end_ns = std::max(event.timestamp_unix_ns, event.started_unix_ns);
  json.number("age", (end_ns - event.started_unix_ns) / 1'000'000'000);
  json.word("state", to_string(event.state));
  json.word("reason", end_name(event.end));
  json.close();
}

// All but the closing bracket. `told` is the event whose application is named.
void put_record(JsonLine& json, const FlowEvent& event, const FlowEvent& told,
                const PolicyNames::View& names, EveTime& time) {
  json.open();
  json.word("timestamp", time(event.timestamp_unix_ns));
  json.number("flow_id", event.flow_id);
  json.word("event_type", type_name(event.type));
  put_addresses(json, event);
  json.text_if_any("spiffe_id", names.spiffe_id(event.key.inside));
  if (event.type != FlowEvent::Type::start) {
    put_application(json, told);
    put_cut(json, told);
  }
  // What its bytes were read as is more than what they look like.
  if (event.tunnel != TunnelKind::none && event.app_known != Known::present) {
    json.word("tunnel", to_string(event.tunnel));
  }
  if (event.type == FlowEvent::Type::flow) put_traffic(json, event, time);
  put_policy(json, event, names.rule(event.rule));
  json.number("core", event.core);
  json.number("schema", kEventSchema);
}

void put_flat_fields(JsonLine& json, const FlowEvent& end, const FlowEvent& first) {
  const bool out = end.opened_inside;
  json.word("dst_ip", to_string(out ? end.key.outside : end.key.inside));
  json.number("dst_port", out ? end.key.outside_port : end.key.inside_port);
  const std::string_view app = app_name(first);
  json.word("app", app != "http" ? app : first.http2 ? "http2" : "http1");
  json.text("host", first.text(EventText::host));
}

// What of a decision stands in flat fields depends on its protocol.
void put_flat_application(JsonLine& json, const FlowEvent& first) {
  if (first.app_known != Known::present) return;
  if (first.app == AppProtocol::http) {
    json.text_if_any("http_method", first.text(EventText::method));
    json.text_if_any("http_path", first.text(EventText::target));
  } else if (first.app != AppProtocol::dns) {
    put_alpns(json, "alpn", first);
    json.text_if_any("ja3", first.text(EventText::ja3));
    json.text_if_any("ja4", first.text(EventText::ja4));
    json.flag("ech", first.ech_known == Known::present);
  }
}

}  // namespace

// One that is not known yet may be by the next event; what is known never changes.
const PolicyNames::View& EveText::names_of(uint32_t generation) {
  if (view_generation_ != generation || !view_.known()) {
    view_ = names_.view(generation);
    view_generation_ = generation;
  }
  return view_;
}

void EveText::append(const FlowEvent& event, std::string& out) {
  JsonLine json(out);
  put_record(json, event, event, names_of(event.generation), time_);
  json.close();
}

void EveText::append_of_capture(const FlowEvent& end, const FlowEvent& first,
                                const std::vector<std::string>& hosts, std::string_view pcap,
                                std::string& out) {
  JsonLine json(out);
  put_record(json, end, first, names_of(end.generation), time_);
  json.text("pcap", pcap);
  put_flat_fields(json, end, first);
  if (hosts.size() > 1) {
    json.open_list("hosts");
    for (const std::string& host : hosts) json.item(host);
    json.close_list();
  }
  put_flat_application(json, first);
  json.close();
}

std::string to_eve(const FlowEvent& event, const PolicyNames& names) {
  std::string out;
  EveText(names).append(event, out);
  return out;
}

std::string to_eve_of_capture(const FlowEvent& end, const FlowEvent& first,
                              const std::vector<std::string>& hosts, const PolicyNames& names,
                              const std::string& pcap) {
  std::string out;
  EveText(names).append_of_capture(end, first, hosts, pcap, out);
  return out;
}

}  // namespace sallyport
