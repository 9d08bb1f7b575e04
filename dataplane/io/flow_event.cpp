#include "dataplane/io/flow_event.h"

#include <rte_errno.h>
#include <rte_ring_elem.h>

#include <algorithm>
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

void put_application(Json& json, const FlowEvent& event) {
  json["app_proto"] = app_name(event);
  if (event.app_known != Known::present || event.name_bytes == 0) return;
  if (event.app == AppProtocol::tls) {
    json["tls"] = {{"sni", event.name()}};
  } else {
    json["http"] = {{"hostname", event.name()}};
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

void FlowEvent::set_name(std::string_view text) noexcept {
  name_bytes = static_cast<uint8_t>(std::min(text.size(), name_text.size()));
  std::memcpy(name_text.data(), text.data(), name_bytes);
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

std::string to_eve_of_capture(const FlowEvent& event, const PolicyNames& names,
                              const std::string& pcap) {
  Json json = to_json(event, names);
  json["pcap"] = pcap;
  json["dst_ip"] = json["dest_ip"];
  json["dst_port"] = json["dest_port"];
  const std::string_view app = app_name(event);
  json["app"] = app == "http" ? "http1" : app;
  json["host"] = event.name();
  return dump(json);
}

}  // namespace sallyport
