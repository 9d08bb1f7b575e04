#include "dataplane/io/flow_event.h"

#include <rte_errno.h>
#include <rte_ring_elem.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "dataplane/inspect/fault_info.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kEventSchema = 1;

static_assert(sizeof(FlowEvent) % 4 == 0, "rte_ring elements come in words");

// RFC 3339 with microseconds, in UTC.
std::string timestamp(uint64_t unix_ns) {
  const auto seconds = static_cast<time_t>(unix_ns / 1'000'000'000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> date{};
  const size_t size = std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::string micros = std::to_string(unix_ns / 1000 % 1'000'000);
  return std::string(date.data(), size) + "." + std::string(6 - micros.size(), '0') + micros +
         "+0000";
}

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

Json alpns_of(const FlowEvent& event) {
  Json out = Json::array();
  std::string_view rest = event.text(EventText::alpns);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(','), rest.size());
    out.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

void put_text(Json& json, const char* key, std::string_view text) {
  if (!text.empty()) json[key] = text;
}

Json hello_json(const FlowEvent& event) {
  Json hello = Json::object();
  put_text(hello, "sni", event.text(EventText::host));
  if (event.tls_version != 0) hello["version"] = version_name(event.tls_version);
  put_text(hello, "ja3", event.text(EventText::ja3));
  put_text(hello, "ja4", event.text(EventText::ja4));
  if (!event.text(EventText::alpns).empty()) hello["client_alpns"] = alpns_of(event);
  if (event.ech_known != Known::unknown) hello["ech"] = event.ech_known == Known::present;
  return hello;
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

Json request_json(const FlowEvent& event) {
  Json http = Json::object();
  std::string_view port;
  put_text(http, "hostname", without_port(event.text(EventText::host), port));
  uint16_t number = 0;
  const auto end = std::from_chars(port.data(), port.data() + port.size(), number);
  if (!port.empty() && end.ec == std::errc{} && end.ptr == port.data() + port.size()) {
    http["http_port"] = number;
  }
  put_text(http, "http_method", event.text(EventText::method));
  put_text(http, "url", event.text(EventText::target));
  if (event.http2) http["protocol"] = "HTTP/2";
  return http;
}

Json query_json(const FlowEvent& event) {
  Json dns = Json::object();
  if (event.text(EventText::host).empty()) return dns;
  dns["type"] = "query";
  dns["rrname"] = event.text(EventText::host);
  if (event.query_type != 0) dns["rrtype"] = query_type_name(event.query_type);
  return dns;
}

void put_section(Json& json, const char* key, Json section) {
  if (!section.empty()) json[key] = std::move(section);
}

void put_application(Json& json, const FlowEvent& event) {
  json["app_proto"] = event.http2 ? "http2" : app_name(event);
  if (event.app_known != Known::present) return;
  switch (event.app) {
    case AppProtocol::tls:
      put_section(json, "tls", hello_json(event));
      break;
    case AppProtocol::quic:
      put_section(json, "quic", hello_json(event));
      break;
    case AppProtocol::http:
      put_section(json, "http", request_json(event));
      break;
    case AppProtocol::dns:
      put_section(json, "dns", query_json(event));
      break;
    case AppProtocol::count_:
      break;
  }
}

void put_policy(Json& json, const FlowEvent& event, const PolicyNames& names) {
  json["verdict"] = {{"action", action_name(event.state)}};
  Json policy;
  const PolicyNames::Found found = names.find(event.generation, event.rule);
  if (!found.rule.empty()) {
    policy["name"] = found.policy;
    policy["rule"] = found.rule;
    policy["tier"] = to_string(found.tier);
  }
  if (found.revision != 0) policy["revision"] = revision_text(found.revision);
  policy["mode"] = to_string(found.mode);
  policy["would_deny"] = event.would_deny;
  policy["reason"] = to_string(event.reason);
  if (event.fault != InspectFault::none) policy["fault"] = to_string(event.fault);
  json["policy"] = std::move(policy);
}

Json to_json(const FlowEvent& event, const PolicyNames& names) {
  const bool out = event.opened_inside;
  Json json;
  json["timestamp"] = timestamp(event.timestamp_unix_ns);
  json["flow_id"] = event.flow_id;
  json["event_type"] = event.type == FlowEvent::Type::verdict ? "verdict" : "flow";
  json["src_ip"] = to_string(out ? event.key.inside : event.key.outside);
  json["src_port"] = out ? event.key.inside_port : event.key.outside_port;
  json["dest_ip"] = to_string(out ? event.key.outside : event.key.inside);
  json["dest_port"] = out ? event.key.outside_port : event.key.inside_port;
  json["proto"] = protocol_name(event.key.ip_protocol);
  put_application(json, event);
  if (event.type == FlowEvent::Type::flow) {
    Json flow;
    flow["pkts_toserver"] = out ? event.packets_out : event.packets_in;
    flow["bytes_toserver"] = out ? event.bytes_out : event.bytes_in;
    flow["pkts_toclient"] = out ? event.packets_in : event.packets_out;
    flow["bytes_toclient"] = out ? event.bytes_in : event.bytes_out;
    flow["start"] = timestamp(event.started_unix_ns);
    flow["end"] = timestamp(event.timestamp_unix_ns);
    // The wall clock may have been set back meanwhile.
    const uint64_t end_ns = std::max(event.timestamp_unix_ns, event.started_unix_ns);
    flow["age"] = (end_ns - event.started_unix_ns) / 1'000'000'000;
    flow["state"] = to_string(event.state);
    flow["reason"] = end_name(event.end);
    json["flow"] = std::move(flow);
  }
  put_policy(json, event, names);
  json["core"] = event.core;
  json["schema"] = kEventSchema;
  return json;
}

// Names hold host-name bytes only, but a line must never fail to be written for its text.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void FlowEvent::set(EventText which, std::string_view text, size_t most) noexcept {
  const auto index = static_cast<size_t>(which);
  const size_t begin = index == 0 ? 0 : text_ends[index - 1];
  const size_t size = std::min({text.size(), most, texts.size() - begin});
  if (size > 0) std::memcpy(texts.data() + begin, text.data(), size);
  for (size_t i = index; i < kEventTexts; ++i) text_ends[i] = static_cast<uint16_t>(begin + size);
}

void put_facts(const AppFacts& facts, FlowEvent& event) noexcept {
  constexpr size_t kMostHost = 255;
  constexpr size_t kMostFingerprint = 36;
  constexpr size_t kMostMethod = 32;
  constexpr size_t kMostTarget = 2048;
  event.http2 = facts.http2;
  event.ech_known = facts.ech_known;
  event.query_type = facts.query_type;
  event.set(EventText::host, facts.host_text.empty() ? facts.name : facts.host_text, kMostHost);
  std::array<char, 256> joined;
  size_t size = 0;
  for (const auto alpn : facts.alpns) {
    if (alpn.size() + 1 > joined.size() - size) break;
    if (size > 0) joined[size++] = ',';
    size += alpn.copy(joined.data() + size, alpn.size());
  }
  event.set(EventText::alpns, {joined.data(), size}, joined.size());
  if (facts.hello != nullptr) {
    event.tls_version = newest_version(*facts.hello);
    event.ech_known = facts.hello->encrypted_hello ? Known::present : Known::absent;
  }
  event.set(EventText::ja3, facts.ja3, kMostFingerprint);
  event.set(EventText::ja4, facts.ja4, kMostFingerprint);
  event.set(EventText::method, facts.method, kMostMethod);
  const auto path = facts.paths.empty() ? std::string_view{} : facts.paths.front();
  event.set(EventText::target, facts.target.empty() ? path : facts.target, kMostTarget);
}

FlowEventRing::FlowEventRing(const char* name, unsigned events, int socket)
    : ring_(rte_ring_create_elem(name, sizeof(FlowEvent), events, socket,
                                 RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ)) {
  if (!ring_) {
    throw std::runtime_error(std::string("flow log ring: ") + rte_strerror(rte_errno) +
                             "; raise memory.total_mb");
  }
}

bool FlowEventRing::push(const FlowEvent& event) noexcept {
  return rte_ring_sp_enqueue_elem(ring_.get(), const_cast<FlowEvent*>(&event), sizeof(FlowEvent)) ==
         0;
}

unsigned FlowEventRing::pop(std::span<FlowEvent> out) noexcept {
  return rte_ring_sc_dequeue_burst_elem(ring_.get(), out.data(), sizeof(FlowEvent),
                                        static_cast<unsigned>(out.size()), nullptr);
}

std::string to_eve(const FlowEvent& event, const PolicyNames& names) {
  return dump(to_json(event, names));
}

std::string to_eve_of_capture(const FlowEvent& end, const FlowEvent& first,
                              const std::vector<std::string>& hosts, const PolicyNames& names,
                              const std::string& pcap) {
  Json json = to_json(end, names);
  for (const char* section : {"tls", "quic", "http", "dns"}) json.erase(section);
  put_application(json, first);
  json["pcap"] = pcap;
  json["dst_ip"] = json["dest_ip"];
  json["dst_port"] = json["dest_port"];
  const std::string_view app = app_name(first);
  json["app"] = app != "http" ? app : first.http2 ? "http2" : "http1";
  json["host"] = first.text(EventText::host);
  if (hosts.size() > 1) json["hosts"] = hosts;
  if (first.app_known != Known::present) return dump(json);
  if (first.app == AppProtocol::http) {
    put_text(json, "http_method", first.text(EventText::method));
    put_text(json, "http_path", first.text(EventText::target));
  } else if (first.app != AppProtocol::dns) {
    json["alpn"] = alpns_of(first);
    put_text(json, "ja3", first.text(EventText::ja3));
    put_text(json, "ja4", first.text(EventText::ja4));
    json["ech"] = first.ech_known == Known::present;
  }
  return dump(json);
}

}  // namespace sallyport
