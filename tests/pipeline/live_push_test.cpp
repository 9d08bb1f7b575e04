// Ten thousand live flows under a hundred pushes: every packet meets the policy in force.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr uint16_t kFlows = 10'000;
constexpr uint16_t kFirstPort = 10'000;
constexpr int kPushes = 100;
constexpr size_t kBatch = 64;

/// What a flow is decided by. Half of the kinds are allowed by every other policy alone.
enum class Kind : uint8_t { name, flip_name, flop_name, address, flip_address, flip_datagrams };
constexpr unsigned kKinds = 6;

// steady.test and 198.19.0.22 always; flip.test and the 198.19.1 block by even pushes, flop.test by
// odd ones.
std::string policy(bool even) {
  return std::string(
             "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
             "    - {name: ssh, action: Allow, to: {cidrs: [198.19.0.22/32]}}\n"
             "    - {name: block, action: ") +
         (even ? "Allow" : "Deny") +
         ", to: {cidrs: [198.19.1.0/24]}}\n"
         "    - {name: steady, action: Allow, to: {domainNames: [steady.test]}}\n"
         "    - {name: now, action: Allow, to: {domainNames: [" +
         (even ? "flip.test" : "flop.test") + "]}}\n";
}

struct Live {
  Conversation flow;
  Kind kind{};
  bool settles = false;  ///< Its server answers with a ServerHello: nothing more is read.
  bool alive = false;
  uint32_t sent = 0;      ///< Bytes of the client's stream.
  uint32_t answered = 0;  ///< Of the server's.

  bool by_name() const { return kind <= Kind::flop_name; }
  bool is_udp() const { return kind == Kind::flip_datagrams; }
  bool is_allowed(bool even) const {
    if (kind == Kind::name || kind == Kind::address) return true;
    return kind == Kind::flop_name ? !even : even;
  }
  const Bytes& hello_bytes() const {
    static const std::array<Bytes, 3> kHellos{hello().sni("steady.test").record(),
                                              hello().sni("flip.test").record(),
                                              hello().sni("flop.test").record()};
    return kHellos[static_cast<size_t>(kind)];
  }
  PacketBuilder from_client() const { return flow.out(sent).ack(flow.server_first + answered); }
  PacketBuilder from_server() const { return flow.in(answered).ack(flow.client_first + sent); }
};

Live make_live(Pipeline& pipeline, uint16_t index) {
  Live live{.flow = {.pipeline = pipeline}, .kind = static_cast<Kind>(index % kKinds)};
  live.settles = index / kKinds % 8 != 0;
  live.flow.client = "198.18." + std::to_string(index % 7) + "." + std::to_string(index % 11 + 1);
  live.flow.client_port = static_cast<uint16_t>(kFirstPort + index);
  live.flow.client_first = 1000u * index;
  if (live.kind == Kind::address) live.flow.server = "198.19.0.22", live.flow.server_port = 22;
  if (live.kind == Kind::flip_address) live.flow.server = "198.19.1.7";
  return live;
}

/// What must become of one packet.
enum class Expect : uint8_t {
  pass,     ///< It comes out as it was, and nothing else does.
  reset,    ///< It does not, and both ends are reset.
  refuse,   ///< A SYN, reset.
  alert,    ///< A hello: the alert to the client, a RST to the server.
  silence,  ///< A datagram: nothing gets out.
};

struct Sent {
  const Live* live;
  Direction direction;
  Bytes frame;
  Expect expect;
};

/// What came out on either side for one flow.
struct Seen {
  std::vector<Bytes> outside;
  std::vector<Bytes> inside;
};

bool is_right(const Sent& sent, const Seen& seen) {
  const Conversation& flow = sent.live->flow;
  const bool out = sent.direction == Direction::outbound;
  const auto& far = out ? seen.outside : seen.inside;
  const auto& near = out ? seen.inside : seen.outside;
  const uint32_t client_next = flow.client_first + sent.live->sent;
  const uint32_t server_next = flow.server_first + sent.live->answered;
  switch (sent.expect) {
    case Expect::pass:
      return near.empty() && far.size() == 1 && far.front() == sent.frame;
    case Expect::reset:
      return is_reset(seen.outside, client_next) && is_reset(seen.inside, server_next);
    case Expect::refuse:
      return far.empty() && is_reset(near, 0);
    case Expect::alert:
      return is_reset(seen.outside, flow.client_first) &&
             farewell(seen.inside, flow, sent.live->hello_bytes().size()) == kAccessDenied;
    case Expect::silence:
      return far.empty();
  }
  return false;
}

/// All the flows, and what is asked of each packet of theirs. At most one of a flow in a batch.
class Crowd {
 public:
  explicit Crowd(Pipeline& pipeline) : pipeline_(pipeline), seen_(kFlows) {
    for (uint16_t i = 0; i < kFlows; ++i) flows.push_back(make_live(pipeline, i));
  }

  void exchange(const std::vector<Sent>& all) {
    for (size_t from = 0; from < all.size(); from += kBatch) {
      const size_t to = std::min(from + kBatch, all.size());
      std::vector<Bytes> frames;
      for (size_t i = from; i < to; ++i) frames.push_back(all[i].frame);
      if (all[from].direction == Direction::outbound) {
        pipeline_.burst_from_inside(frames);
      } else {
        pipeline_.burst_from_outside(frames);
      }
      for (Bytes& frame : pipeline_.to_outside()) put(std::move(frame), &Seen::outside);
      for (Bytes& frame : pipeline_.to_inside()) put(std::move(frame), &Seen::inside);
      for (size_t i = from; i < to; ++i) check(all[i]);
    }
    REQUIRE(strays_ == 0);
  }

  std::vector<Live> flows;

 private:
  void put(Bytes frame, std::vector<Bytes> Seen::* side) {
    const Packet packet = decoded(frame);
    if (packet.kind == PacketKind::icmp_error) return;  // about a datagram, and limited in rate
    const bool from_client = to_string(packet.flow.source).starts_with("198.18.");
    const unsigned port = from_client ? packet.flow.source_port : packet.flow.destination_port;
    (seen_.at(port - kFirstPort).*side).push_back(std::move(frame));
    ++strays_;
  }
  void check(const Sent& sent) {
    Seen& seen = seen_[sent.live->flow.client_port - kFirstPort];
    if (!is_right(sent, seen)) {
      CAPTURE(sent.live->flow.client_port, static_cast<int>(sent.live->kind),
              static_cast<int>(sent.expect), static_cast<int>(sent.direction), sent.live->sent,
              seen.outside.size(), seen.inside.size());
      FAIL("a packet did not meet what it should");
    }
    strays_ -= seen.outside.size() + seen.inside.size();
    seen = {};
  }

  Pipeline& pipeline_;
  std::vector<Seen> seen_;
  size_t strays_ = 0;
};

Bytes tcp_frame(const Live& live, uint8_t flags) {
  return live.from_client().flags(flags).frame();
}

// Dead connections come again from the same port, as a client would, and are decided afresh.
void open(Crowd& crowd, const std::vector<Live*>& dead, bool even) {
  std::vector<Sent> syn, syn_ack, ack, hello, server_hello;
  for (Live* live : dead) {
    live->flow.client_first += 50'000;
    live->sent = live->answered = 0;
    const bool allowed = live->is_allowed(even);
    const bool opens = live->by_name() || allowed;
    syn.push_back(
        {live, Direction::outbound, live->flow.syn(), opens ? Expect::pass : Expect::refuse});
    live->alive = allowed;
    if (!opens) continue;
    syn_ack.push_back({live, Direction::inbound, live->flow.syn_ack(), Expect::pass});
    ack.push_back({live, Direction::outbound, tcp_frame(*live, kAck), Expect::pass});
  }
  crowd.exchange(syn);
  crowd.exchange(syn_ack);
  crowd.exchange(ack);
  for (Live* live : dead) {
    if (!live->by_name()) continue;
    hello.push_back({live, Direction::outbound,
                     live->from_client().payload(live->hello_bytes()).frame(),
                     live->alive ? Expect::pass : Expect::alert});
  }
  crowd.exchange(hello);
  Bytes answer{0x16, 3, 3, 0, 90, 2, 0, 0, 86, 3, 3};
  answer.resize(95, 0x11);
  for (Live* live : dead) {
    if (!live->by_name() || !live->alive) continue;
    live->sent = static_cast<uint32_t>(live->hello_bytes().size());
    if (!live->settles) continue;
    server_hello.push_back(
        {live, Direction::inbound, live->from_server().payload(answer).frame(), Expect::pass});
  }
  crowd.exchange(server_hello);
  for (const Sent& sent : server_hello) {
    crowd.flows[sent.live->flow.client_port - kFirstPort].answered = 95;
  }
}

Bytes datagram(const Live& live) {
  return udp(live.flow.client, live.flow.client_port, "198.19.1.9", 9000).payload("x").frame();
}

// One packet of each, from the client or from the server.
void speak(Crowd& crowd, const std::vector<Live*>& speakers, bool even, std::mt19937& random) {
  const Bytes record = app_data("data");
  std::vector<Sent> out, in;
  for (Live* live : speakers) {
    const bool allowed = live->is_allowed(even);
    if (live->is_udp()) {
      out.push_back(
          {live, Direction::outbound, datagram(*live), allowed ? Expect::pass : Expect::silence});
    } else if (random() % 3 != 0) {
      out.push_back({live, Direction::outbound, live->from_client().payload(record).frame(),
                     allowed ? Expect::pass : Expect::reset});
    } else {
      in.push_back({live, Direction::inbound, live->from_server().payload(record).frame(),
                    allowed ? Expect::pass : Expect::reset});
    }
    if (!live->is_udp()) live->alive = allowed;
  }
  crowd.exchange(out);
  crowd.exchange(in);
  const auto length = static_cast<uint32_t>(record.size());
  for (const Sent& sent : out) {
    crowd.flows[sent.live->flow.client_port - kFirstPort].sent += length;
  }
  for (const Sent& sent : in) {
    crowd.flows[sent.live->flow.client_port - kFirstPort].answered += length;
  }
}

// Half of them end by FIN from both sides, half by a RST; those that are denied now end by that.
void close(Crowd& crowd, bool even) {
  std::vector<Sent> fin, fin_back, reset;
  for (Live& live : crowd.flows) {
    if (live.is_udp() || !live.alive) continue;
    const bool allowed = live.is_allowed(even);
    if (allowed && live.flow.client_port % 2 == 0) {
      reset.push_back({&live, Direction::outbound, tcp_frame(live, kRst | kAck), Expect::pass});
      continue;
    }
    fin.push_back({&live, Direction::outbound, tcp_frame(live, kFin | kAck),
                   allowed ? Expect::pass : Expect::reset});
    if (!allowed) continue;
    const uint32_t end = live.flow.client_first + live.sent + 1;
    fin_back.push_back({&live, Direction::inbound,
                        live.from_server().ack(end).flags(kFin | kAck).frame(), Expect::pass});
  }
  crowd.exchange(fin);
  crowd.exchange(fin_back);
  crowd.exchange(reset);
}

uint64_t live_flows(const Pipeline& pipeline) {
  return pipeline.counter("sallyport_flows", "state=allowed") +
         pipeline.counter("sallyport_flows", "state=denied") +
         pipeline.counter("sallyport_flows", "state=pending");
}

}  // namespace

TEST_CASE("ten thousand live flows under a hundred pushes", "[pipeline]") {
  Pipeline pipeline(
      policy(true),
      {.stage = {.limits = {.fact_blocks = 4 * 16384}}, .most_flows = 16384, .keep_events = false});
  const FlowMemory before = pipeline.flow_memory();
  Crowd crowd(pipeline);
  std::mt19937 random(1);  // the same pattern in every run
  std::vector<Live*> all;
  for (Live& live : crowd.flows) {
    if (!live.is_udp()) all.push_back(&live);
  }
  open(crowd, all, true);

  for (int push = 1; push <= kPushes; ++push) {
    CAPTURE(push);
    const bool even = push % 2 == 0;
    pipeline.push(policy(even));
    std::vector<Live*> speakers, dead;
    for (Live& live : crowd.flows) {
      if (random() % 4 != 0) continue;
      (live.alive || live.is_udp() ? speakers : dead).push_back(&live);
    }
    speak(crowd, speakers, even, random);
    open(crowd, dead, even);
  }

  for (const Live& live : crowd.flows) {
    if (live.kind == Kind::name || live.kind == Kind::address) REQUIRE(live.alive);
  }
  close(crowd, kPushes % 2 == 0);
  CHECK(live_flows(pipeline) > kFlows / 2);
  pipeline.sleep_ms(61'000);
  CHECK(live_flows(pipeline) == 0);
  CHECK(pipeline.flow_memory() == before);
  CHECK(pipeline.packets_in_use() == 0);
}
