// The whole engine: a sequence of packets from both sides through a real worker with a policy, and
// what must hold whatever they are. Nothing leaves before the verdict, nor after a denial; what
// leaves is well formed, names what a policy allows, and is the same each time it leaves; at the
// end nothing is held or leaked. No worker takes memory from the heap while it turns.
//
// Input: records of an operation byte, a place in two bytes, a length byte and as many bytes.
// Operation: bits 0..2 what comes (see Op), 3..4 which flow, 5 odd flags, 6 IPv6, 7 FIN. With 5 and
// 7 a client's segment has no payload: the first byte is its flags, the others its options.
// With 5 a server's segment or acknowledgement has the flags of the first byte. With 5 a datagram
// is a QUIC Initial: how it is made (see Initial), and the name in its hello. With 5 a handshake is
// of a connection of its own on the same ports, which starts at its place: all later places are
// counted from there. With 7 no server answers its SYN.
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <tuple>

#include "tests/fuzz/forwarded_datagrams.h"
#include "tests/fuzz/forwarded_stream.h"
#include "tests/pipeline/conversation.h"
#include "tests/support/allocations.h"
#include "tests/support/quic_helper.h"

namespace {

using namespace sallyport;
using namespace sallyport::test;

enum Initial : uint8_t {
  bad_tag = 1,
  version_2 = 2,
  first_half = 4,
  second_half = 8,
  other_id = 16
};
enum Op : uint8_t { handshake, client, server, acknowledge, datagram, answer, raw, step };

constexpr uint8_t kOddFlags = 0x20;
constexpr uint8_t kWithFin = 0x80;
constexpr uint8_t kWhichFlow = 0x58;
constexpr size_t kMaxTcpOptionBytes = 40;

/// A name that one of the policies below lets out, whichever is in force.
bool is_allowed_name(std::string_view name) {
  const bool good = name == "good.test" || name.ends_with(".good.test");
  return (good && name != "bad.good.test") || name == "other.test";
}

/// Client and server port: the flows of one input differ in them.
using Ports = std::pair<uint16_t, uint16_t>;

class Engine {
 public:
  Engine() : pipeline_(kPolicy, {.count_allocations = allocations_so_far}) {}

  void run(std::span<const uint8_t> input) {
    while (input.size() >= 4) {
      const uint8_t op = input[0];
      const auto place = static_cast<uint16_t>(input[1] << 8 | input[2]);
      const size_t length = std::min<size_t>(input[3], input.size() - 4);
      const Bytes bytes(input.begin() + 4, input.begin() + 4 + static_cast<std::ptrdiff_t>(length));
      input = input.subspan(4 + length);
      apply(op, place, bytes);
      check();
    }
    pipeline_.end_all_flows();
    pipeline_.to_outside();
    pipeline_.to_inside();
    pipeline_.events();
    require(pipeline_.packets_in_use() == 0);
    states_.clear();
    servers_.clear();
    datagrams_.clear();
    firsts_.clear();
    policies_ = 0;
    pipeline_.push(kPolicy);
  }

 private:
  Conversation flow(uint8_t op) {
    Conversation out{.pipeline = pipeline_};
    out.client_port = static_cast<uint16_t>(40000 + (op >> 3 & 3));
    if ((op & 0x40) != 0) out.client = "2001:db8::1", out.server = "2001:db8::2";
    const auto first = firsts_.find(op & kWhichFlow);
    if (first != firsts_.end()) out.client_first = first->second;
    return out;
  }

  void shake_hands(uint8_t op, uint16_t place) {
    if ((op & kOddFlags) != 0) {
      constexpr uint32_t kBefore = 1001;
      firsts_[op & kWhichFlow] = kBefore + uint32_t{place} * 64;
    }
    const Conversation flow = this->flow(op);
    pipeline_.from_inside(flow.syn());
    if ((op & kWithFin) == 0) pipeline_.from_outside(flow.syn_ack());
  }

  void apply(uint8_t op, uint16_t place, const Bytes& bytes) {
    const Conversation flow = this->flow(op);
    const auto offset = static_cast<uint32_t>(static_cast<int16_t>(place));
    switch (static_cast<Op>(op & 7)) {
      case handshake:
        return shake_hands(op, place);
      case client:
        return pipeline_.from_inside(client_segment(flow, op, offset, bytes));
      case server:
        return pipeline_.from_outside(
            server_segment(flow.in().seq(flow.server_first + offset).payload(bytes), op, bytes));
      case acknowledge: {
        const bool syn = (op & kOddFlags) != 0 && !bytes.empty() && (bytes[0] & kSyn) != 0;
        return pipeline_.from_outside(server_segment(
            flow.in().seq(flow.server_first - (syn ? 1 : 0)).ack(flow.client_first + offset), op,
            bytes));
      }
      case datagram:
        return pipeline_.from_inside(
            udp(flow.client, flow.client_port, flow.server, place)
                .payload((op & kOddFlags) != 0 ? quic_initial(bytes) : bytes)
                .frame());
      case answer:
        return pipeline_.from_outside(udp(flow.server, place, flow.client, flow.client_port)
                                          .macs(kOutsideMac, kInsideMac)
                                          .payload(bytes)
                                          .frame());
      case raw:
        if (bytes.empty()) return;
        return (op & 0x20) != 0 ? pipeline_.from_outside(bytes) : pipeline_.from_inside(bytes);
      case step:
        if (place < 0x8000) return pipeline_.sleep_ms(place % 4000);
        if (++policies_ >= 4) return;
        if (place % 2 == 1) return pipeline_.push(kQuicAndHttp);
        pipeline_.push(policies_ % 2 == 0 ? kPolicy : kOther);
    }
  }

  static Bytes client_segment(const Conversation& flow, uint8_t op, uint32_t offset,
                              const Bytes& bytes) {
    auto segment = flow.out().seq(flow.client_first + offset);
    const uint8_t odd = bytes.empty() ? uint8_t{kAck} : bytes[0];
    switch (op & (kOddFlags | kWithFin)) {
      case kOddFlags:
        return segment.payload(bytes).flags(odd).frame();
      case kWithFin:
        return segment.payload(bytes).flags(kAck | kFin).frame();
      case kOddFlags | kWithFin: {
        const size_t end = std::min(bytes.size(), 1 + kMaxTcpOptionBytes);
        return segment.flags(odd)
            .tcp_options({bytes.begin() + (end > 0 ? 1 : 0),
                          bytes.begin() + static_cast<std::ptrdiff_t>(end)})
            .frame();
      }
      default:
        return segment.payload(bytes).frame();
    }
  }

  static Bytes server_segment(PacketBuilder segment, uint8_t op, const Bytes& bytes) {
    if ((op & kOddFlags) != 0 && !bytes.empty()) segment.flags(bytes[0]);
    return segment.frame();
  }

  static Bytes quic_initial(const Bytes& spec) {
    const uint8_t how = spec.empty() ? uint8_t{0} : spec[0];
    const std::string name(spec.begin() + (spec.empty() ? 0 : 1), spec.end());
    const Bytes message = hello().sni(name).message();
    const auto frames = crypto_frames(message, {message.size() / 2});
    Bytes sent = (how & second_half) != 0 ? Bytes{} : frames[0];
    if ((how & first_half) == 0) append(sent, frames[1]);
    auto out = initial(sent).pad_to(1200);
    if ((how & bad_tag) != 0) out.bad_tag();
    if ((how & version_2) != 0) out.version(0x6b3343cf);
    if ((how & other_id) != 0) out.to({1, 2, 3, 4, 5, 6, 7, 8});
    return out.packet();
  }

  void check() {
    require(pipeline_.allocations_in_turns() == 0);
    for (const FlowEvent& event : pipeline_.events()) {
      const FlowKey& key = event.key;
      states_[{key.ip_protocol, key.inside, key.inside_port, key.outside, key.outside_port}] =
          event.state;
      if (event.type != FlowEvent::Type::flow || event.key.ip_protocol != kIpProtocolTcp) continue;
      servers_.erase({event.key.inside, event.key.inside_port, event.key.outside_port});
    }
    // First what the server says, which lets go what waited for it.
    for (const Bytes& frame : pipeline_.to_inside()) {
      Packet packet;
      if (decode(frame, packet) != DecodeFault::none) continue;
      const std::span payload =
          std::span(frame).subspan(packet.payload_offset, packet.payload_bytes);
      if (packet.kind == PacketKind::tcp) to_client(packet, payload);
      if (packet.kind == PacketKind::udp) datagram_to_client(packet, payload);
    }
    for (const Bytes& frame : pipeline_.to_outside()) {
      Packet packet;
      require(decode(frame, packet) == DecodeFault::none);
      const std::span payload =
          std::span(frame).subspan(packet.payload_offset, packet.payload_bytes);
      if (packet.kind == PacketKind::tcp) to_server(packet, payload);
      if (packet.kind == PacketKind::udp) datagram_to_server(packet, payload);
      const bool has_ports = packet.kind == PacketKind::tcp || packet.kind == PacketKind::udp;
      if (!has_ports || packet.payload_bytes == 0) continue;
      const Endpoints& flow = packet.flow;
      const auto found = states_.find({flow.ip_protocol, flow.source, flow.source_port,
                                       flow.destination, flow.destination_port});
      const bool allowed = found != states_.end() && found->second == FlowState::allowed;
      require(allowed);
    }
  }

  // The one server that no policy lets out by its address.
  bool is_followed(const IpAddress& server, const Packet& packet) const {
    return (server == server4_ || server == server6_) && packet.vlan_tags == 0;
  }

  void datagram_to_server(const Packet& packet, std::span<const uint8_t> payload) {
    const Endpoints& flow = packet.flow;
    if (!is_followed(flow.destination, packet)) return;
    datagrams_
        .try_emplace({flow.source, flow.source_port, flow.destination_port}, is_allowed_name,
                     flow.destination_port)
        .first->second.forward(payload);
  }

  void datagram_to_client(const Packet& packet, std::span<const uint8_t> payload) {
    const Endpoints& flow = packet.flow;
    if (!is_followed(flow.source, packet)) return;
    datagrams_
        .try_emplace({flow.destination, flow.destination_port, flow.source_port}, is_allowed_name,
                     flow.source_port)
        .first->second.answer(payload);
  }

  // A server takes a SYN where it has no connection, and gives one up by a RST in its place. One
  // that is taken up midway is not followed: where its stream starts, only the engine knows.
  void to_server(const Packet& packet, std::span<const uint8_t> payload) {
    const Endpoints& flow = packet.flow;
    if (!is_followed(flow.destination, packet)) return;
    const StreamKey key{flow.source, flow.source_port, flow.destination_port};
    const auto found = servers_.find(key);
    if ((packet.tcp_flags & (kSyn | kAck)) == kSyn) {
      const auto first = packet.tcp_sequence + 1;
      if (found == servers_.end()) {
        servers_.try_emplace(key, first, is_allowed_name, flow.destination_port);
      }
      return;
    }
    if (found == servers_.end()) return;
    if ((packet.tcp_flags & kRst) == 0) {
      found->second.forward(packet, payload);
    } else if (found->second.is_reset_by(packet)) {
      servers_.erase(found);
    }
  }

  // Whatever was thought of the server, by its answer to a SYN it has told which one it took.
  void to_client(const Packet& packet, std::span<const uint8_t> payload) {
    const Endpoints& flow = packet.flow;
    if ((packet.tcp_flags & kAck) == 0 || !is_followed(flow.source, packet)) return;
    const StreamKey key{flow.destination, flow.destination_port, flow.source_port};
    auto found = servers_.find(key);
    if (found != servers_.end()) found->second.acknowledge(packet.tcp_acknowledgement);
    if ((packet.tcp_flags & kSyn) == 0) {
      if (found != servers_.end()) found->second.answer(packet, payload);
      return;
    }
    if (found != servers_.end() && found->second.first() != packet.tcp_acknowledgement) {
      servers_.erase(found);
    }
    found = servers_.try_emplace(key, packet.tcp_acknowledgement, is_allowed_name, flow.source_port)
                .first;
    found->second.start_server(packet.tcp_sequence + 1);
  }

  static constexpr std::string_view kOther =
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: o}\nspec:\n  egress:\n"
      "    - {name: other, action: Allow, to: {domainNames: [other.test]}, protocols: [{tls: {}}, "
      "{quic: {}}, {dns: {}}, {http: {paths: [\"/a/**\"], headers: {x-y: \"z*\"}}}]}\n";

  static constexpr std::string_view kQuicAndHttp =
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: q}\nspec:\n  egress:\n"
      "    - {name: bad, action: Deny, to: {domainNames: [bad.good.test]}}\n"
      "    - {name: good, action: Allow, to: {domainNames: [good.test, \"*.good.test\"]}, "
      "protocols: [{quic: {}}, {http: {}}]}\n";

  using StreamKey = std::tuple<IpAddress, uint16_t, uint16_t>;
  const IpAddress server4_ = parse_ip_address("198.19.0.2").value();
  const IpAddress server6_ = parse_ip_address("2001:db8::2").value();

  Pipeline pipeline_;
  std::map<std::tuple<uint8_t, IpAddress, uint16_t, IpAddress, uint16_t>, FlowState> states_;
  std::map<StreamKey, ForwardedStream> servers_;  ///< What each has of its connection.
  std::map<StreamKey, ForwardedDatagrams> datagrams_;
  std::map<uint8_t, uint32_t> firsts_;  ///< Client's first bytes, of flows that began anew.
  int policies_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The harness keeps every event it has seen, so that it does not live for ever.
  constexpr int kInputsOfOneEngine = 2000;
  static std::unique_ptr<Engine> engine;
  static int inputs = 0;
  if (inputs++ % kInputsOfOneEngine == 0) {
    engine.reset();
    engine = std::make_unique<Engine>();
  }
  engine->run({data, size});
  return 0;
}
