// What came into the workers is what went out of them, to the packet, by whatever way: the harness
// looks after every frame; here all ways are gone, and mixed.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "dataplane/io/counters.h"
#include "tests/pipeline/conversation.h"
#include "tests/support/fragment_builder.h"
#include "tests/support/quic_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const std::string kDns = "198.19.0.53";

Bytes query(uint16_t port, size_t size = 40, const std::string& to = kDns) {
  return udp("198.18.0.2", port, to, 53).payload(Bytes(size, 7)).frame();
}

/// What may happen to a packet by itself, and to a flow. Each leaves it as it is then: frames held,
/// flows half open.
class Traffic {
 public:
  Traffic(Pipeline& pipeline, unsigned workers, uint32_t seed)
      : pipeline_(pipeline), workers_(workers), random_(seed) {}

  static constexpr unsigned kKinds = 11;

  void send(unsigned kind) {
    flow_.client_port = static_cast<uint16_t>(20000 + ++count_);
    switch (kind) {
      case 0:
        return handshake(hello().sni("good.test").record(), 443);
      case 1:
        return handshake(hello().sni("other.test").record(), 443);
      case 2:
        return handshake(request("other.test"), 80);
      case 3:
        return handshake(request("good.test") + request("other.test"), 80);
      case 4:  // denied by address
        return from_inside(query(flow_.client_port, 40, "198.19.0.99"));
      case 5:
        return fragments();
      case 6:
        return from_inside(Bytes(below(60), 9));  // nothing that decodes
      case 7:
        return midstream();
      case 8:
        return quic();
      case 9:
        return link_control();
      default:
        return pipeline_.sleep_ms(static_cast<uint32_t>(below(3000)));
    }
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  unsigned any_queue() { return static_cast<unsigned>(below(workers_)); }
  void from_inside(const Bytes& frame) { pipeline_.from_inside(frame, any_queue()); }
  void from_outside(const Bytes& frame) { pipeline_.from_outside(frame, any_queue()); }

  // A stream in a few segments, some of them twice or never, and what either end says behind it.
  void handshake(const Bytes& stream, uint16_t port) {
    flow_.server_port = port;
    from_inside(flow_.syn());
    from_outside(flow_.syn_ack());
    from_inside(flow_.out().frame());
    for (size_t at = 0; at < stream.size();) {
      const size_t end = std::min(stream.size(), at + 1 + below(300));
      if (below(20) != 0) from_inside(flow_.segment(stream, at, end));
      if (below(10) == 0) from_inside(flow_.segment(stream, at, end));
      at = end;
    }
    if (below(2) == 0) {
      from_outside(
          flow_.in().ack(flow_.client_first + static_cast<uint32_t>(stream.size())).frame());
    }
    if (below(2) == 0) from_inside(flow_.out(stream.size()).payload("more of it").frame());
    // As one that has read its alert.
    const auto told = static_cast<uint32_t>(kAccessDenied.size()) + 1;
    if (below(3) == 0) {
      from_inside(flow_.out(stream.size()).ack(flow_.server_first + told).payload("bye").frame());
    }
    if (below(3) == 0) from_inside(flow_.out(stream.size() + 10).flags(kFin | kAck).frame());
    if (below(5) == 0) from_inside(flow_.syn());
    if (below(5) == 0) from_outside(flow_.in(1).flags(kRst).frame());
  }

  void fragments() {
    const bool allowed = below(3) != 0;
    const Bytes whole = query(flow_.client_port, 2600, allowed ? kDns : "198.19.0.99");
    auto parts = test::fragments::split(whole, 800, count_);
    std::ranges::shuffle(parts, random_);
    if (below(3) == 0) parts.pop_back();
    if (below(3) == 0) parts.push_back(parts.front());
    for (const Bytes& part : parts) from_inside(part);
    const Bytes answer =
        udp(kDns, 53, "198.18.0.2", flow_.client_port).payload(Bytes(2600, 8)).frame();
    for (const Bytes& part : test::fragments::split(answer, 800, count_)) from_outside(part);
  }

  void midstream() {
    from_inside(flow_.out(5).payload("x").frame());
    from_outside(flow_.in(5).payload("x").frame());
    from_outside(icmp("198.19.0.2", "198.18.0.2", 3, 1).payload(Bytes(40, 0)).frame());
  }

  void quic() {
    const auto out = udp("198.18.0.2", flow_.client_port, "198.19.0.2", 443);
    const Bytes said =
        crypto_frame(0, hello().sni(below(2) == 0 ? "good.test" : "other.test").message());
    if (below(2) == 0) {
      from_inside(
          PacketBuilder(out).payload(initial(kPingFrame).number(7).pad_to(1200).packet()).frame());
    }
    from_inside(PacketBuilder(out).payload(initial(said).pad_to(1200).packet()).frame());
  }

  void link_control() {
    const Bytes arp = from_hex(
        "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 c6120002 000000000000 "
        "c6120001");
    from_inside(arp);
    from_outside(arp);
  }

  Pipeline& pipeline_;
  unsigned workers_;
  std::mt19937 random_;
  uint32_t count_ = 0;
  Conversation flow_{.pipeline = pipeline_};
};

/// Entries of the books that something was ever written to, as "entry, book".
void note_entries(const Pipeline& pipeline, std::set<std::string>& seen) {
  for (const CounterInfo& info : kCounterInfo) {
    if (info.books == BookSides{}) continue;
    if (pipeline.counter(info.family, info.labels) > 0) seen.insert(std::string(info.entry));
  }
}

}  // namespace

TEST_CASE("the books balance after every packet, whatever the traffic", "[books]") {
  const unsigned workers = GENERATE(1u, 3u);
  const auto seed = GENERATE(range(0u, 6u));
  CAPTURE(workers, seed);
  Pipeline pipeline(kPolicy, {.workers = workers,
                              .stage = {.limits = {.held_packets = 40}, .flow_capacity = 64},
                              .fragments = {.datagrams = 8}});
  Traffic traffic(pipeline, workers, seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 300; ++i) {
    traffic.send(static_cast<unsigned>(random() % Traffic::kKinds));
    pipeline.to_inside();
    pipeline.to_outside();
  }
  CHECK(pipeline.book_between_cores().balances());
  CHECK((pipeline.book_between_cores().packets_in > 100) == (workers > 1));
  pipeline.end_all_flows();
  for (const std::string_view held :
       {"sallyport_held_packets", "sallyport_held_fragments", "sallyport_guard_packets"}) {
    CHECK(pipeline.counter(held, "") == 0);
  }
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("every entry of the books is written by some packet", "[books]") {
  std::set<std::string> seen;
  Pipeline pipeline(kPolicy, {.workers = 2, .stage = {}});
  Traffic traffic(pipeline, 2, 1);
  for (unsigned i = 0; i < 200; ++i) {
    traffic.send(i % Traffic::kKinds);
    note_entries(pipeline, seen);
    pipeline.to_inside();
    pipeline.to_outside();
  }
  for (const CounterInfo& info : kCounterInfo) {
    if (info.id == Counter::handoff_waiting) continue;  // the gateway looks at it
    // Of a packet's port nothing is unsure here: replays turn them round.
    if (info.books == BookSides{} || info.entry == "turned round") continue;
    CAPTURE(info.entry);
    CHECK(seen.contains(std::string(info.entry)));
  }
}

TEST_CASE("gauges say what is held, and for how many flows there is room", "[books]") {
  Pipeline pipeline(kPolicy, {.stage = {.flow_capacity = 64}});
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  CHECK(pipeline.counter("sallyport_flow_table_capacity", "") == 64);
  const auto held = [&] { return pipeline.counter("sallyport_held_bytes", ""); };
  CHECK(held() == 0);
  const Bytes stream = hello().sni("good.test").record();
  const Bytes first = flow.segment(stream, 0, 40);
  pipeline.from_inside(first);
  CHECK(held() == first.size());
  CHECK(pipeline.counter("sallyport_held_packets", "") == 1);
  const Bytes behind_a_gap = flow.segment(stream, 60, stream.size());
  pipeline.from_inside(behind_a_gap);
  CHECK(held() == first.size() + behind_a_gap.size());
  pipeline.end_all_flows();
  CHECK(held() == 0);
  CHECK(pipeline.counter("sallyport_held_packets", "") == 0);
}

TEST_CASE("packets that the port refuses are in the books", "[books]") {
  Pipeline pipeline(kPolicy);
  for (uint16_t i = 0; i < 1100; ++i) pipeline.from_inside(query(i + 1));  // nobody takes them
  CHECK(pipeline.drops("transmit_queue_full") > 0);
  CHECK(pipeline.imbalance().empty());
}

TEST_CASE("an amount that is nowhere is named with its side", "[books]") {
  const std::vector<BookLine> lines{
      {"received", kIntoOutbound, 10}, {"received", kIntoInbound, 5}, {"sent", kOutOfOutbound, 6},
      {"sent", kOutOfInbound, 5},      {"held", kOutOfOutbound, 3},   {"held", kOutOfOutbound, 0},
  };
  CHECK(imbalance_of_core(lines) == "towards outside: 10 packets came, 9 went");
  const Book book = draw_up(BookId::outbound, lines);
  CHECK(book.difference() == 1);
  REQUIRE(book.out.size() == 2);
  CHECK(book.out[1].name == "held");
  CHECK(book.out[1].packets == 3);
  CHECK(draw_up(BookId::inbound, lines).balances());
  CHECK(draw_up(BookId::between_cores, lines).in.empty());
}
