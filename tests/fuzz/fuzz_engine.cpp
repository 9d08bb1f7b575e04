// The whole engine: a sequence of packets from both sides through a real worker with a policy, and
// what must hold whatever they are. Nothing leaves before the verdict, nor after a denial; what
// leaves is well formed; at the end nothing is held or leaked.
//
// Input: records of an operation byte, a place in two bytes, a length byte and as many bytes.
// Operation: bits 0..2 what comes (see Op), 3..4 which flow, 5 odd flags, 6 IPv6, 7 FIN.
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <tuple>

#include "tests/pipeline/conversation.h"

namespace {

using namespace sallyport;
using namespace sallyport::test;

enum Op : uint8_t { handshake, client, server, acknowledge, datagram, answer, raw, step };

void require(bool holds) {
  if (!holds) std::abort();
}

/// Client and server port: the flows of one input differ in them.
using Ports = std::pair<uint16_t, uint16_t>;

class Engine {
 public:
  Engine() : pipeline_(kPolicy) {}

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
    policies_ = 0;
    pipeline_.push(kPolicy);
  }

 private:
  Conversation flow(uint8_t op) {
    Conversation out{.pipeline = pipeline_};
    out.client_port = static_cast<uint16_t>(40000 + (op >> 3 & 3));
    if ((op & 0x40) != 0) out.client = "2001:db8::1", out.server = "2001:db8::2";
    return out;
  }

  void apply(uint8_t op, uint16_t place, const Bytes& bytes) {
    const Conversation flow = this->flow(op);
    const auto offset = static_cast<uint32_t>(static_cast<int16_t>(place));
    switch (static_cast<Op>(op & 7)) {
      case handshake:
        pipeline_.from_inside(flow.syn());
        pipeline_.from_outside(flow.syn_ack());
        return;
      case client: {
        auto segment = flow.out().seq(flow.client_first + offset).payload(bytes);
        if ((op & 0x20) != 0) segment.flags(bytes.empty() ? uint8_t{kAck} : bytes[0]);
        if ((op & 0x80) != 0) segment.flags(kAck | kFin);
        return pipeline_.from_inside(segment.frame());
      }
      case server:
        return pipeline_.from_outside(
            flow.in().seq(flow.server_first + offset).payload(bytes).frame());
      case acknowledge:
        return pipeline_.from_outside(flow.in().ack(flow.client_first + offset).frame());
      case datagram:
        return pipeline_.from_inside(
            udp(flow.client, flow.client_port, flow.server, place).payload(bytes).frame());
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
        if (++policies_ < 4) pipeline_.push(policies_ % 2 == 0 ? kPolicy : kOther);
    }
  }

  void check() {
    for (const FlowEvent& event : pipeline_.events()) {
      states_[{event.key.ip_protocol, event.key.inside_port, event.key.outside_port}] = event.state;
    }
    for (const Bytes& frame : pipeline_.to_outside()) {
      Packet packet;
      require(decode(frame, packet) == DecodeFault::none);
      const bool has_ports = packet.kind == PacketKind::tcp || packet.kind == PacketKind::udp;
      if (!has_ports || packet.payload_bytes == 0) continue;
      const auto found = states_.find(
          {packet.flow.ip_protocol, packet.flow.source_port, packet.flow.destination_port});
      require(found != states_.end() && found->second == FlowState::allowed);
    }
    pipeline_.to_inside();
  }

  static constexpr std::string_view kOther =
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: o}\nspec:\n  egress:\n"
      "    - {name: other, action: Allow, to: {domainNames: [other.test]}, protocols: [{tls: {}}, "
      "{quic: {}}, {dns: {}}, {http: {paths: [\"/a/**\"], headers: {x-y: \"z*\"}}}]}\n";

  Pipeline pipeline_;
  std::map<std::tuple<uint8_t, uint16_t, uint16_t>, FlowState> states_;
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
