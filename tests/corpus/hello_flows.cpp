// Prints what the TLS and QUIC parsers read in captures, one JSON line a flow, for score.py of the
// capture collection. No engine and no policy: streams are joined as simply as can be, so that the
// figures are the parsers'.
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/inspect/fingerprint.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/quic_tracker.h"
#include "tests/corpus/ip_packets.h"
#include "tests/support/bytes.h"

namespace {

using namespace sallyport;
using namespace sallyport::test;
using nlohmann::json;

constexpr size_t kMaxStreamBytes = size_t{1} << 16;

struct Segment {
  uint32_t sequence;
  Bytes payload;
};

/// What one end of a flow sent.
struct Side {
  std::string address;
  uint16_t port = 0;
  bool has_syn = false;
  uint32_t first = 0;
  std::vector<Segment> segments;  ///< Or datagrams.
};

struct Flow {
  bool is_tcp = false;
  std::array<Side, 2> sides;  ///< In the order they were heard.
};

using FlowKey = std::tuple<bool, std::string, uint16_t, std::string, uint16_t>;

struct Scratch {
  IdentifyScratch tls;
  QuicScratch quic;
};

void put_hello(const ClientHello& hello, const HostName& name, HelloTransport transport,
               json& out) {
  out["host"] = name.empty() ? hello.server_name : name.view();
  std::array<std::string_view, kMaxHelloAlpns> alpns;
  out["alpn"] = json::array();
  for (const auto alpn : read_alpns(hello, alpns)) out["alpn"].push_back(std::string(alpn));
  out["ech"] = hello.encrypted_hello;
  out["ja3"] = make_ja3(hello).view();
  out["ja4"] = make_ja4(hello, transport).view();
}

Bytes joined(Side& side) {
  Bytes out;
  auto& segments = side.segments;
  if (segments.empty()) return out;
  if (!side.has_syn) {
    side.first = segments[0].sequence;
    for (const Segment& one : segments) {
      if (static_cast<int32_t>(one.sequence - side.first) < 0) side.first = one.sequence;
    }
  }
  std::ranges::stable_sort(segments, [&](const Segment& a, const Segment& b) {
    return static_cast<int32_t>(a.sequence - side.first) <
           static_cast<int32_t>(b.sequence - side.first);
  });
  for (const Segment& one : segments) {
    const auto at = static_cast<int32_t>(one.sequence - side.first);
    if (at < 0) continue;
    if (static_cast<size_t>(at) > out.size()) break;
    const size_t known = out.size() - static_cast<size_t>(at);
    if (known >= one.payload.size()) continue;
    out.insert(out.end(), one.payload.begin() + static_cast<std::ptrdiff_t>(known),
               one.payload.end());
  }
  return out;
}

// A name that is none is a fault, but the rest of the hello was read.
bool has_hello(InspectFault fault) {
  return fault == InspectFault::none || fault == InspectFault::tls_bad_server_name;
}

bool read_tls(Side& side, Scratch& scratch, json& out) {
  const Bytes stream = joined(side);
  Identified got;
  identify(stream, false, scratch.tls, got);
  if (got.app_known != Known::present || got.app != AppProtocol::tls) return false;
  // Only a client's: a server's first message is no ClientHello.
  if (got.fault == InspectFault::tls_not_client_hello || got.fault == InspectFault::tls_bad_record)
    return false;
  out["app"] = "tls";
  out["status"] = got.fault == InspectFault::none ? "ok" : to_string(got.fault);
  if (got.status != Identified::Status::need_more && has_hello(got.fault)) {
    put_hello(got.hello, got.name, HelloTransport::tcp, out);
  }
  return true;
}

bool read_quic(const Side& side, Scratch& scratch, json& out) {
  using Status = QuicStep::Status;
  QuicTracker tracker;
  Bytes held(kMaxQuicHelloBytes);
  QuicStep step;
  for (const Segment& one : side.segments) {
    quic_step(one.payload, tracker, held, scratch.quic, step);
    if (step.status == Status::not_quic) continue;
    if (step.fault != InspectFault::none) out["status"] = to_string(step.fault);
    out["app"] = "quic";
    const bool bad_name = step.fault == InspectFault::tls_bad_server_name;
    if (step.status != Status::hello && !bad_name) continue;
    out["hosts"].push_back(std::string(bad_name ? step.hello.server_name : step.name.view()));
    if (!out.contains("ja4")) put_hello(step.hello, step.name, HelloTransport::quic, out);
  }
  return out.contains("app");
}

/// The first side that speaks as a client of TLS or QUIC.
void print_flow(const std::string& capture, Flow& flow, Scratch& scratch) {
  json best;
  for (size_t i = 0; i < 2; ++i) {
    json out;
    const bool read = flow.is_tcp ? read_tls(flow.sides[i], scratch, out)
                                  : read_quic(flow.sides[i], scratch, out);
    if (!read || (!best.is_null() && !out.contains("ja4"))) continue;
    if (!best.is_null() && best.contains("ja4")) continue;
    const Side& from = flow.sides[i];
    const Side& to = flow.sides[1 - i];
    out["pcap"] = capture;
    out["proto"] = flow.is_tcp ? "tcp" : "udp";
    out["src_ip"] = from.address;
    out["src_port"] = from.port;
    out["dst_ip"] = to.address;
    out["dst_port"] = to.port;
    best = std::move(out);
  }
  if (best.is_null()) return;
  std::cout << best.dump(-1, ' ', true, json::error_handler_t::replace) << '\n';
}

void add_packet(const TransportPacket& packet, std::map<FlowKey, Flow>& flows, bool verify) {
  if (verify && !packet.good_checksum) return;
  const FlowKey straight{packet.is_tcp, packet.source, packet.source_port, packet.destination,
                         packet.destination_port};
  const FlowKey turned{packet.is_tcp, packet.destination, packet.destination_port, packet.source,
                       packet.source_port};
  const bool is_turned = flows.contains(turned);
  Flow& flow = is_turned ? flows[turned] : flows[straight];
  flow.is_tcp = packet.is_tcp;
  flow.sides[is_turned ? 1 : 0].address = packet.source;
  flow.sides[is_turned ? 1 : 0].port = packet.source_port;
  flow.sides[is_turned ? 0 : 1].address = packet.destination;
  flow.sides[is_turned ? 0 : 1].port = packet.destination_port;
  Side& side = flow.sides[is_turned ? 1 : 0];
  if (packet.is_syn && !side.has_syn) {
    side.has_syn = true;
    side.first = packet.sequence + 1;
  }
  if (packet.payload.empty()) return;
  if (side.has_syn && packet.is_tcp && packet.sequence - side.first > kMaxStreamBytes) return;
  if (side.segments.size() > 4096) return;
  side.segments.push_back({packet.sequence, Bytes(packet.payload.begin(), packet.payload.end())});
}

}  // namespace

int main(int argc, char** argv) {
  const auto scratch = std::make_unique<Scratch>();
  bool verify = false;
  size_t unread = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--verify-checksums") {
      verify = true;
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::map<FlowKey, Flow> flows;
      const bool read = for_each_packet(
          entry.path(), [&](const TransportPacket& packet) { add_packet(packet, flows, verify); });
      if (!read) ++unread;
      for (auto& [key, flow] : flows) print_flow(entry.path().filename(), flow, *scratch);
    }
  }
  if (unread > 0) std::fprintf(stderr, "%zu captures are not readable\n", unread);
  return 0;
}
