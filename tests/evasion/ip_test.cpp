// Ways past the gateway in the headers below TCP and UDP. Fragments that overlap, come in any
// order, never become whole, are atomic, or stand inside one another, in one VLAN and in two:
// tests/pipeline/fragment_test.cpp; source routes and options, header by header: the unit tests of
// packet.h.
#include "tests/evasion/evasion.h"
#include "tests/support/fragment_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const std::string kClient6 = "fd00:1::2";
const std::string kServer6 = "2001:db8::2";

Conversation conversation(Pipeline& pipeline, bool v6) {
  Conversation out{.pipeline = pipeline};
  if (v6) out.client = kClient6, out.server = kServer6;
  return out;
}

}  // namespace

TEST_CASE("a hello in the smallest fragments", "[evasion]") {
  const bool v6 = GENERATE(false, true);
  const bool allowed = GENERATE(true, false);
  CAPTURE(v6, allowed);
  Pipeline pipeline(kEvasionPolicy);
  const Conversation flow = conversation(pipeline, v6);
  flow.open();
  const Bytes& stream = allowed ? kAllowedHello : kDeniedHello;
  // Eight fragments of 24 bytes at most, so over segments of their own.
  std::vector<Bytes> left;
  for (size_t at = 0, id = 1; at < stream.size(); at += 30, ++id) {
    const Bytes segment = flow.segment(stream, at, std::min(stream.size(), at + 30));
    auto pieces = fragments::split(segment, v6 ? 24 : 8, static_cast<uint32_t>(id));
    std::ranges::reverse(pieces);
    for (const Bytes& piece : pieces) {
      pipeline.from_inside(piece);
      for (Bytes& frame : pipeline.to_outside()) left.push_back(std::move(frame));
      const bool last = at + 30 >= stream.size() && piece == pieces.back();
      if (!last) REQUIRE(left.empty());
    }
  }
  CHECK(verdict(pipeline) == (allowed ? Right::allow : Right::deny));
  if (allowed) {
    CHECK(left.size() > 4);
  } else {
    CHECK(is_reset(left, flow.client_first));
  }
}

TEST_CASE("a second hello in fragments over the first", "[evasion]") {
  Pipeline pipeline(kEvasionPolicy);
  const Conversation flow = conversation(pipeline, false);
  flow.open();
  // The first half as it is; the same range again in fragments, with another name.
  const size_t half = kAllowedHello.size() - 2;
  pipeline.from_inside(flow.segment(kAllowedHello, 0, half));
  for (const Bytes& piece : fragments::split(flow.segment(kDeniedHello, 0, half), 48)) {
    pipeline.from_inside(piece);
  }
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  CHECK(verdict(pipeline) == Right::deny);
}

TEST_CASE("headers in front of a hello", "[evasion]") {
  struct Row {
    std::string name, server;
    std::function<PacketBuilder(PacketBuilder)> change;
    bool v6;
    bool read;  ///< By us; else dropped under its name.
  };
  const Bytes zeros(6, 0);
  const Bytes data{0x1e, 4, 's', 'e', 'c', 'r'};
  const Bytes route{0, 1, 0, 0, 0, 0};
  const std::vector<Row> rows{
      {"one options header of padding", "skips it",
       [&](PacketBuilder p) { return p.extension(60, zeros); }, true, true},
      {"hop-by-hop, then destination options", "skips both",
       [&](PacketBuilder p) { return p.extension(0, zeros).extension(60, zeros); }, true, true},
      {"a chain of eight options headers", "skips all",
       [&](PacketBuilder p) {
         for (int i = 0; i < 8; ++i) p.extension(60, zeros);
         return p;
       },
       true, true},
      {"an atomic fragment", "takes it for a whole packet",
       [&](PacketBuilder p) { return p.extension(44, zeros); }, true, true},
      {"an atomic fragment behind an options header", "takes it for a whole packet",
       [&](PacketBuilder p) { return p.extension(60, zeros).extension(44, zeros); }, true, true},
      {"a chain of twenty", "skips all",
       [&](PacketBuilder p) {
         for (int i = 0; i < 20; ++i) p.extension(60, zeros);
         return p;
       },
       true, false},
      {"hop-by-hop in the second place", "an error, or skips it",
       [&](PacketBuilder p) { return p.extension(60, zeros).extension(0, zeros); }, true, false},
      {"an option that carries data", "skips it",
       [&](PacketBuilder p) { return p.extension(60, data); }, true, false},
      {"a routing header", "skips it when nothing is left",
       [&](PacketBuilder p) { return p.extension(43, route); }, true, false},
      {"an authentication header", "skips it, or drops it",
       [&](PacketBuilder p) { return p.extension(51, Bytes(14, 0)); }, true, false},
      {"no options", "reads it", [](PacketBuilder p) { return p; }, false, true},
      {"NOPs", "skips them", [](PacketBuilder p) { return p.options({1, 1, 1, 1}); }, false, true},
      {"a loose source route", "may pass it on",
       [](PacketBuilder p) { return p.options({131, 7, 4, 198, 51, 100, 66, 0}); }, false, false},
      {"record route", "skips it", [](PacketBuilder p) { return p.options({7, 7, 4, 0, 0, 0, 0}); },
       false, false},
      {"another IP version", "drops it", [](PacketBuilder p) { return p.version(5); }, false,
       false},
      {"a length behind the frame", "drops it", [](PacketBuilder p) { return p.ip_length(9000); },
       false, false},
  };
  for (const Row& row : rows) {
    for (const bool allowed : {true, false}) {
      CAPTURE(row.name, row.server, allowed);
      Pipeline pipeline(kEvasionPolicy);
      const Conversation flow = conversation(pipeline, row.v6);
      flow.open();
      const Bytes& stream = allowed ? kAllowedHello : kDeniedHello;
      pipeline.from_inside(row.change(flow.out().payload(stream)).frame());
      const auto left = pipeline.to_outside();
      CHECK(verdict(pipeline) == (!row.read ? Right::none : allowed ? Right::allow : Right::deny));
      CHECK(has_reset(left) == (row.read && !allowed));
      check_left(left, flow.client_first, row.read && allowed ? stream : Bytes{}, 0);
      // What was dropped may be a decoy: the hello behind it counts.
      if (row.read || !allowed) continue;
      pipeline.from_inside(flow.out().payload(kDeniedHello).frame());
      CHECK(is_reset(pipeline.to_outside(), flow.client_first));
    }
  }
}

TEST_CASE("VLAN tags around a hello", "[evasion]") {
  struct Row {
    std::string name;
    std::vector<std::pair<uint16_t, uint16_t>> tags;
    bool read;
  };
  const std::vector<Row> rows{
      {"one tag", {{7, 0x8100}}, true},
      {"two tags", {{7, 0x88a8}, {8, 0x8100}}, true},
      {"two tags of one kind", {{7, 0x8100}, {8, 0x8100}}, true},
      {"the tag of priority alone", {{0, 0x8100}}, true},
      {"three tags", {{7, 0x88a8}, {8, 0x8100}, {9, 0x8100}}, false},
      {"ten tags", std::vector<std::pair<uint16_t, uint16_t>>(10, {7, 0x8100}), false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const auto tagged = [&](PacketBuilder packet) {
      for (const auto& [id, type] : row.tags) packet.vlan(id, type);
      return packet.frame();
    };
    const auto open = [&](const Conversation& flow) {
      flow.pipeline.from_inside(tagged(flow.out().seq(flow.client_first - 1).flags(kSyn)));
      flow.pipeline.from_outside(tagged(flow.in().seq(flow.server_first - 1).flags(kSyn | kAck)));
      CHECK(flow.pipeline.to_outside().size() == (row.read ? 1 : 0));
    };
    {
      Pipeline pipeline(kEvasionPolicy);
      const Conversation flow = conversation(pipeline, false);
      open(flow);
      // In two segments, so that one is held; both leave with the tags they came with.
      const Bytes rest(kAllowedHello.begin() + 50, kAllowedHello.end());
      const std::vector<Bytes> sent{tagged(flow.out().payload(prefix_of(kAllowedHello, 50))),
                                    tagged(flow.out(50).payload(rest))};
      for (const Bytes& frame : sent) pipeline.from_inside(frame);
      CHECK(pipeline.to_outside() == (row.read ? sent : std::vector<Bytes>{}));
      CHECK(verdict(pipeline) == (row.read ? Right::allow : Right::none));
    }
    Pipeline pipeline(kEvasionPolicy);
    const Conversation flow = conversation(pipeline, false);
    open(flow);
    pipeline.from_inside(tagged(flow.out().payload(kDeniedHello)));
    const auto left = pipeline.to_outside();
    CHECK(payloads(left, flow.client_first).empty());
    CHECK(has_reset(left) == row.read);
    CHECK(verdict(pipeline) == (row.read ? Right::deny : Right::none));
    // The tags do not hide a hello on the flow without them.
    flow.open();
    pipeline.from_inside(tagged(flow.out().payload(kAllowedHello)));
    pipeline.to_outside();
    pipeline.from_inside(flow.out().payload(kDeniedHello).frame());
    CHECK(payloads(pipeline.to_outside(), flow.client_first).empty());
  }
}
