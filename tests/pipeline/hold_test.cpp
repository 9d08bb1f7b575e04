// Nothing leaves before the verdict, however the client's bytes arrive.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kGood = hello().sni("good.test").record();
const Bytes kOther = hello().sni("other.test").record();

}  // namespace

TEST_CASE("every split of a hello is held until it is whole", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline};
  const bool good = GENERATE(true, false);
  const Bytes& stream = good ? kGood : kOther;
  for (size_t split = 1; split < stream.size(); ++split) {
    CAPTURE(split, good);
    ++flow.client_port;
    flow.open();
    pipeline.from_inside(flow.segment(stream, 0, split));
    REQUIRE(pipeline.to_outside().empty());
    pipeline.from_inside(flow.segment(stream, split, stream.size()));
    if (good) {
      REQUIRE(pipeline.payload_to_outside() == stream);
    } else {
      REQUIRE(is_reset(pipeline.to_outside(), flow.client_first));
    }
    pipeline.to_inside();
  }
}

TEST_CASE("one byte a segment, in order and backwards", "[pipeline]") {
  const bool backwards = GENERATE(false, true);
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  for (size_t i = 0; i < kGood.size(); ++i) {
    REQUIRE(pipeline.to_outside().empty());
    const size_t at = backwards ? kGood.size() - 1 - i : i;
    pipeline.from_inside(flow.segment(kGood, at, at + 1));
  }
  CHECK(pipeline.payload_to_outside() == kGood);
}

TEST_CASE("segments in any order come out in theirs", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline};
  std::vector<size_t> order{0, 1, 2, 3};
  const size_t step = kGood.size() / 4;
  do {
    CAPTURE(order);
    ++flow.client_port;
    flow.open();
    for (const size_t i : order) {
      pipeline.from_inside(flow.segment(kGood, i * step, i == 3 ? kGood.size() : (i + 1) * step));
    }
    REQUIRE(pipeline.payload_to_outside() == kGood);
  } while (std::ranges::next_permutation(order).found);
}

TEST_CASE("overlaps with the same bytes are harmless, with others fatal", "[pipeline]") {
  struct Row {
    std::string what;
    size_t from, to;  // of the second segment; the first is 10..40
  };
  const auto row = GENERATE(values<Row>({{"the same range", 10, 40},
                                         {"inside it", 20, 30},
                                         {"around it", 5, 50},
                                         {"over its start", 5, 20},
                                         {"over its end", 30, 50}}));
  const bool same = GENERATE(true, false);
  CAPTURE(row.what, same);
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.segment(kGood, 10, 40));
  Bytes second = kGood;
  if (!same) second[30 < row.to ? 30 : 25] ^= 1;
  if (!same && row.to <= 30) second = kGood, second[std::max<size_t>(row.from, 12)] ^= 1;
  pipeline.from_inside(flow.segment(second, row.from, row.to));
  if (!same) {
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
    CHECK(pipeline.events().back().reason == FlowReason::overlap_conflict);
    CHECK(pipeline.packets_in_use() == 1);  // the reset to the client, not taken yet
    return;
  }
  pipeline.from_inside(flow.segment(kGood, 0, 10));
  pipeline.from_inside(flow.segment(kGood, 40, kGood.size()));
  // Overlapping copies may both go out; joined by sequence number they are the stream.
  Bytes joined(kGood.size(), 0);
  for (const Bytes& frame : pipeline.to_outside()) {
    const Bytes part = payload_of(frame);
    std::ranges::copy(part, joined.begin() + (decoded(frame).tcp_sequence - flow.client_first));
  }
  CHECK(joined == kGood);
}

TEST_CASE("segments a server would ignore are not inspected", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  struct Row {
    std::string reason;
    Bytes decoy;
  };
  const auto row = GENERATE_COPY(values<Row>({
      {"bad_l4_checksum", flow.out().payload(kGood).bad_l4_checksum().frame()},
      {"out_of_window", flow.out().payload(kGood).flags(kRst).frame()},
      {"out_of_window", flow.out().payload(kGood).flags(kRst | kAck).frame()},
      {"bad_tcp_header", flow.out().payload(kGood).flags(kPsh).frame()},
      {"unsent_ack", flow.out().ack(flow.server_first + 1).payload(kGood).frame()},
      {"urgent_data", flow.out().flags(kAck | kUrg).payload(kGood).frame()},
      {"out_of_window", flow.out().seq(flow.client_first - 1).payload(kGood).frame()},
      {"out_of_window", flow.out(70'000).payload(kGood).frame()},
  }));
  CAPTURE(row.reason);
  pipeline.from_inside(row.decoy);
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops(row.reason) == 1);
  // The real hello decides, whatever the decoy said.
  flow.send(kOther);
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));
}

TEST_CASE("client data before the server has answered is dropped", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  pipeline.from_inside(flow.syn());
  pipeline.to_outside();
  flow.send(kGood);
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("before_handshake") == 1);
}

TEST_CASE("a server that answers a SYN with a SYN does not turn the roles round", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  pipeline.from_inside(flow.syn());
  pipeline.from_outside(flow.in().seq(flow.server_first - 1).flags(kSyn).frame());
  CHECK(pipeline.to_inside().empty());
  CHECK(pipeline.drops("before_handshake") == 1);
}

TEST_CASE("a forged RST ends neither the hold nor the inspection", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.segment(kOther, 0, 20));
  pipeline.from_inside(flow.out(5000).flags(kRst).frame());
  pipeline.to_outside();
  pipeline.from_inside(flow.segment(kOther, 20, kOther.size()));
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));
}

TEST_CASE("a FIN never overtakes held bytes, and ends an unfinished hello", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  SECTION("behind the whole hello") {
    pipeline.from_inside(flow.segment(kGood, 0, 20));
    pipeline.from_inside(flow.out(kGood.size()).flags(kFin | kAck).frame());
    CHECK(pipeline.to_outside().empty());
    pipeline.from_inside(flow.segment(kGood, 20, kGood.size()));
    const auto frames = pipeline.to_outside();
    REQUIRE(frames.size() == 3);
    CHECK((decoded(frames.back()).tcp_flags & kFin) != 0);
  }
  SECTION("in the middle of the hello: malformed") {
    pipeline.from_inside(flow.out().flags(kFin | kAck).payload(prefix_of(kGood, 30)).frame());
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
    CHECK(pipeline.events().back().reason == FlowReason::malformed);
  }
  SECTION("with nothing sent: it just closes") {
    pipeline.from_inside(flow.out().flags(kFin | kAck).frame());
    CHECK(pipeline.to_outside().size() == 1);
  }
}

TEST_CASE("server bytes and pure acknowledgements pass while the client's are held", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.segment(kGood, 0, 20));
  pipeline.from_outside(flow.in().payload("220 banner\r\n").frame());
  pipeline.from_inside(flow.out().ack(flow.server_first + 12).frame());
  CHECK(pipeline.to_inside().size() == 1);
  CHECK(pipeline.to_outside().size() == 1);
  // What the server has sent may be acknowledged, and no more.
  const Bytes rest(kGood.begin() + 20, kGood.end());
  pipeline.from_inside(flow.out(20).ack(flow.server_first + 13).payload(rest).frame());
  CHECK(pipeline.drops("unsent_ack") == 1);
  pipeline.from_inside(flow.out(20).ack(flow.server_first + 12).payload(rest).frame());
  CHECK(pipeline.payload_to_outside() == kGood);
}

TEST_CASE("each bound of what may be held has its named end", "[pipeline]") {
  SECTION("held bytes of one flow") {
    Pipeline pipeline(kPolicy, {.stage = {.limits = {.held_bytes_per_flow = 4096}}});
    const Conversation flow{.pipeline = pipeline};
    flow.open();
    const Bytes endless = bytes_of("GET / HTTP/1.1\r\nX: ") + Bytes(9000, 'x');
    for (size_t at = 0; at < 8000; at += 1000) {
      pipeline.from_inside(flow.segment(endless, at, at + 1000));
    }
    CHECK(pipeline.events().back().reason == FlowReason::reassembly_limit);
    CHECK(pipeline.payload_to_outside().empty());
  }
  SECTION("held packets of one flow") {
    Pipeline pipeline(kPolicy, {.stage = {.limits = {.held_packets_per_flow = 4}}});
    const Conversation flow{.pipeline = pipeline};
    flow.open();
    for (size_t at = 0; at < 6; ++at) pipeline.from_inside(flow.segment(kGood, at, at + 1));
    CHECK(pipeline.events().back().reason == FlowReason::reassembly_limit);
  }
  SECTION("held packets of the worker") {
    Pipeline pipeline(kPolicy, {.stage = {.limits = {.held_packets = 3}}});
    Conversation flow{.pipeline = pipeline};
    for (int i = 0; i < 4; ++i) {
      ++flow.client_port;
      flow.open();
      pipeline.from_inside(flow.segment(kGood, 0, 20));
    }
    CHECK(pipeline.events().back().reason == FlowReason::held_memory_full);
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  }
  SECTION("time without a verdict") {
    Pipeline pipeline(kPolicy, {.stage = {.limits = {.inspection_timeout_ms = 2000}}});
    const Conversation flow{.pipeline = pipeline};
    flow.open();
    pipeline.from_inside(flow.segment(kGood, 0, 20));
    pipeline.sleep_ms(1500);
    CHECK(pipeline.events().empty());
    pipeline.sleep_ms(2000);
    CHECK(pipeline.events().back().reason == FlowReason::inspection_timeout);
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
    CHECK(pipeline.packets_in_use() == 0);
  }
}
