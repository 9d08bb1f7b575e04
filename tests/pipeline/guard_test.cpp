// What was inspected is what is forwarded, until the server has acknowledged it.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {
const Bytes kGood = hello().sni("good.test").record();
const Bytes kOther = hello().sni("evil.test").record();  // as long as kGood
}  // namespace

TEST_CASE("a retransmission after the verdict must say the same", "[pipeline]") {
  REQUIRE(kGood.size() == kOther.size());
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.segment(kGood, 0, 50));
  pipeline.from_inside(flow.segment(kGood, 50, kGood.size()));
  REQUIRE(pipeline.payload_to_outside() == kGood);

  SECTION("the same bytes pass again, in whatever pieces") {
    pipeline.from_inside(flow.segment(kGood, 0, kGood.size()));
    CHECK(pipeline.payload_to_outside() == kGood);
    pipeline.from_inside(flow.segment(kGood, 30, 60));
    CHECK(pipeline.to_outside().size() == 1);
  }
  SECTION("other bytes do not, whole or in part") {
    flow.send(kOther);
    pipeline.from_inside(flow.segment(kOther, 20, kOther.size()));
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("retransmission_differs") == 2);
  }
  SECTION("nor bytes that begin before the stream and reach into it") {
    pipeline.from_inside(flow.out().seq(flow.client_first - 1).payload(kOther).frame());
    pipeline.from_inside(
        flow.out().seq(flow.client_first - 1).payload(bytes_of("x") + kGood).frame());
    CHECK(pipeline.to_outside().empty());
  }
  SECTION("nor appended to new ones") {
    Bytes longer = kOther + Bytes(100, 'x');
    flow.send(longer);
    CHECK(pipeline.to_outside().empty());
    pipeline.from_inside(flow.out(kGood.size()).payload(app_data("new bytes")).frame());
    CHECK(pipeline.payload_to_outside() == app_data("new bytes"));
  }
  SECTION("an acknowledgement of a part frees nothing") {
    pipeline.from_outside(flow.in().ack(flow.client_first + 50).frame());
    flow.send(kOther);
    CHECK(pipeline.to_outside().empty());
  }
  SECTION("an acknowledgement of what was never sent frees nothing") {
    pipeline.from_outside(flow.in().ack(flow.client_first + 5000).frame());
    flow.send(kOther);
    CHECK(pipeline.to_outside().empty());
  }
  SECTION("once the server has it all, nothing is kept") {
    CHECK(pipeline.packets_in_use() == 2);
    pipeline.from_outside(
        flow.in().ack(flow.client_first + static_cast<uint32_t>(kGood.size())).frame());
    pipeline.to_inside();
    CHECK(pipeline.packets_in_use() == 0);
    CHECK(pipeline.drops("held_after_denial") == 0);
    flow.send(kOther);  // the server has these numbers already, and takes no second copy
    CHECK(pipeline.to_outside().size() == 1);
  }
}

TEST_CASE("a retransmission of held bytes is not forwarded, the first copy is", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.segment(kGood, 0, 50));
  pipeline.from_inside(flow.segment(kGood, 0, 50));
  pipeline.from_inside(flow.segment(kGood, 10, 40));
  CHECK(pipeline.drops("duplicate_of_held") == 2);
  pipeline.from_inside(flow.segment(kGood, 50, kGood.size()));
  CHECK(pipeline.payload_to_outside() == kGood);
}
