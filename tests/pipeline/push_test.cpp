// A push reaches live flows, swaps without a lost packet, and is all or nothing.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"
#include "tests/support/dns_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kGood = hello().sni("good.test").record();

std::string allow(const std::string& name) {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
         "    - {name: only-" +
         name.substr(0, name.find('.')) + ", action: Allow, to: {domainNames: [" + name + "]}}\n";
}

}  // namespace

TEST_CASE("a live flow is decided anew on its next packet", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kGood);
  const auto sent = static_cast<uint32_t>(kGood.size());
  pipeline.from_outside(flow.in().ack(flow.client_first + sent).frame());
  pipeline.to_outside();
  pipeline.to_inside();
  pipeline.events();

  SECTION("still allowed: nothing is lost, and the record names the new rule") {
    pipeline.push(allow("good.test"));
    pipeline.from_inside(flow.out(sent).payload(app_data("more")).frame());
    pipeline.from_outside(flow.in().payload("answer").frame());
    CHECK(pipeline.payload_to_outside() == app_data("more"));
    CHECK(pipeline.to_inside().size() == 1);
    CHECK(pipeline.last_line(FlowEvent::Type::verdict).find("only-good") != std::string::npos);
  }
  SECTION("the same rule again: there is nothing to record") {
    pipeline.push(kPolicy);
    pipeline.from_inside(flow.out(sent).payload(app_data("more")).frame());
    CHECK(pipeline.payload_to_outside() == app_data("more"));
    CHECK(pipeline.events().empty());
  }
  SECTION("denied now, and the client speaks next: reset on both sides, its byte never leaves") {
    pipeline.push(allow("else.test"));
    pipeline.from_inside(flow.out(sent).payload(app_data("more")).frame());
    CHECK(is_reset(pipeline.to_outside(), flow.client_first + sent));
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
    const auto events = pipeline.events();
    REQUIRE(events.size() == 1);
    CHECK(events.front().state == FlowState::denied);
    CHECK(events.front().text(EventText::host) == "good.test");
  }
  SECTION("denied now, and the server speaks next") {
    pipeline.push(allow("else.test"));
    pipeline.from_outside(flow.in().ack(flow.client_first + sent).payload("answer").frame());
    CHECK(is_reset(pipeline.to_outside(), flow.client_first + sent));
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
  }
  SECTION("denied now: a new connection from the same port is judged afresh") {
    pipeline.push(allow("else.test"));
    pipeline.from_inside(flow.out(sent).payload(app_data("more")).frame());
    pipeline.to_outside();
    Conversation next = flow;
    next.client_first = 77'001;
    next.open();
    next.send(hello().sni("else.test").record());
    CHECK(pipeline.payload_to_outside() == hello().sni("else.test").record());
  }
  SECTION("a new SYN on the same port, same addresses, while the old flow is allowed") {
    pipeline.sleep_ms(1000);
    Conversation next = flow;
    next.client_first = 88'001;
    next.open();
    next.send(hello().sni("x.test").record());
    CHECK(is_reset(pipeline.to_outside(), next.client_first));
  }
}

TEST_CASE("a push meets a flow that is still held", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.segment(kGood, 0, 50));

  SECTION("everything is allowed now: the held bytes go out first") {
    pipeline.push(kAllowAll);
    pipeline.from_inside(flow.segment(kGood, 50, kGood.size()));
    CHECK(pipeline.payload_to_outside() == kGood);
    CHECK(pipeline.packets_in_use() == 0);
  }
  SECTION("the rest of the hello is judged by the new policy") {
    pipeline.push(allow("else.test"));
    pipeline.from_inside(flow.segment(kGood, 50, kGood.size()));
    CHECK(is_reset(pipeline.to_outside(), flow.client_first));
  }
}

TEST_CASE("a push meets a flow that its client has closed without a word", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  pipeline.from_inside(flow.out().flags(kFin | kAck).frame());
  pipeline.to_outside();
  pipeline.push(
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
      "    - {name: nothing, action: Deny}\n");
  pipeline.from_outside(flow.in().ack(flow.client_first + 1).payload("late").frame());
  CHECK(is_reset(pipeline.to_outside(), flow.client_first + 1));  // behind the FIN
  CHECK(is_reset(pipeline.to_inside(), flow.server_first));
}

TEST_CASE("a flow allowed unseen is reset when the new policy must see its name", "[pipeline]") {
  Pipeline pipeline(kAllowAll);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
  pipeline.push(allow("good.test"));
  pipeline.from_inside(flow.out(kGood.size()).payload(app_data("more")).frame());
  CHECK(is_reset(pipeline.to_outside(), flow.client_first + static_cast<uint32_t>(kGood.size())));
  CHECK(pipeline.events().back().reason == FlowReason::facts_not_inspected);
}

TEST_CASE("datagram flows follow a push too", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const Bytes query = udp("198.18.0.2", 5000, "198.19.0.53", 53).payload("query").frame();
  pipeline.from_inside(query);
  CHECK(pipeline.to_outside().size() == 1);
  pipeline.push(allow("good.test"));
  pipeline.from_inside(query);
  CHECK(pipeline.to_outside().empty());
  pipeline.push(kAllowAll);
  pipeline.from_inside(query);
  CHECK(pipeline.to_outside().size() == 1);
}

TEST_CASE("a resolver that is denied by a push is not heard any more", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  const auto ask = [&] {
    pipeline.from_inside(
        udp("198.18.0.2", 5300, "198.19.0.53", 53).payload(dns_query("a.test")).frame());
    return pipeline.to_outside().size();
  };
  const auto hears = [&] {
    pipeline.from_outside(udp("198.19.0.53", 53, "198.18.0.2", 5300).payload("anything").frame());
    return pipeline.to_inside().size();
  };
  CHECK(ask() == 1);
  CHECK(hears() == 1);
  const bool by_name = GENERATE(true, false);
  pipeline.push(by_name
                    ? "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n"
                      "  egress:\n    - {name: dns, action: Allow, to: {domainNames: [b.test]}}\n"
                    : "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n"
                      "  egress:\n    - {name: nothing, action: Deny}\n");
  CHECK(hears() == (by_name ? 1 : 0));  // the answer to a query that was allowed may be under way
  CHECK(ask() == 0);
}

TEST_CASE("a hundred pushes under live flows lose nothing and leak nothing", "[pipeline]") {
  Pipeline pipeline(kPolicy);
  std::vector<Conversation> flows;
  for (uint16_t i = 0; i < 200; ++i) {
    flows.push_back({.pipeline = pipeline, .client_port = static_cast<uint16_t>(20000 + i)});
    flows.back().open();
    flows.back().send(kGood);
    pipeline.from_outside(flows.back()
                              .in()
                              .ack(flows.back().client_first + static_cast<uint32_t>(kGood.size()))
                              .frame());
  }
  pipeline.to_outside();
  pipeline.to_inside();
  size_t offset = kGood.size();
  for (int push = 0; push < 100; ++push) {
    pipeline.push(push % 2 == 0 ? allow("good.test") : std::string(kPolicy));
    for (size_t i = 0; i < flows.size(); i += 20) {
      pipeline.from_inside(flows[i].out(offset).payload(app_data("x")).frame());
    }
    REQUIRE(pipeline.payload_to_outside().size() == 10 * app_data("x").size());
    offset += app_data("x").size();
  }
  // Record headers are read as long as no server hello was seen, so copies wait for the server.
  for (const Conversation& flow : flows) {
    pipeline.from_outside(flow.in().ack(flow.client_first + static_cast<uint32_t>(offset)).frame());
  }
  pipeline.to_inside();
  CHECK(pipeline.packets_in_use() == 0);
  CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 200);
}

namespace {

/// A connection that a push meets as far on as `stage` says.
struct Opening {
  enum class Stage : uint8_t { unopened, syn, handshake, half_a_hello };

  Conversation flow;
  std::string host;
  Stage stage = Stage::unopened;
  Bytes bytes = hello().sni(host).record();

  void begin() const {
    Pipeline& pipeline = flow.pipeline;
    if (stage == Stage::unopened) return;
    pipeline.from_inside(flow.syn());
    if (stage == Stage::syn) return;
    pipeline.from_outside(flow.syn_ack());
    if (stage == Stage::handshake) return;
    pipeline.from_inside(flow.segment(bytes, 0, 50));
  }
  void finish() const {
    Pipeline& pipeline = flow.pipeline;
    if (stage == Stage::unopened) pipeline.from_inside(flow.syn());
    if (stage <= Stage::syn) pipeline.from_outside(flow.syn_ack());
    REQUIRE(pipeline.payload_to_outside().empty());
    pipeline.to_inside();
    const size_t sent = stage == Stage::half_a_hello ? 50 : 0;
    pipeline.from_inside(flow.segment(bytes, sent, bytes.size()));
  }
  uint32_t end() const { return flow.client_first + static_cast<uint32_t>(bytes.size()); }
  /// The server takes the hello.
  void acknowledge() const { flow.pipeline.from_outside(flow.in().ack(end()).frame()); }
  void send_more() const {
    flow.pipeline.from_inside(flow.out(bytes.size()).payload(app_data("more")).frame());
  }
  /// All of it leaves and nobody is told anything, or none of it does and both ends are.
  void check(bool allowed) const {
    CAPTURE(host, static_cast<int>(stage), allowed);
    const auto outside = flow.pipeline.to_outside();
    const auto inside = flow.pipeline.to_inside();
    if (!allowed) {
      REQUIRE(is_reset(outside, flow.client_first));
      REQUIRE(farewell(inside, flow, bytes.size()) == kAccessDenied);
      return;
    }
    Bytes left;
    for (const Bytes& frame : outside) append(left, payload_of(frame));
    REQUIRE(left == bytes);
    REQUIRE(inside.empty());
  }
};

}  // namespace

// good.test is always allowed, evil.test never, and flip.test by every other policy.
TEST_CASE("connections that open during fifty pushes are all decided, and rightly", "[pipeline]") {
  using Stage = Opening::Stage;
  const unsigned workers = GENERATE(1u, 2u);
  const std::string without = allow("good.test");
  const std::string with = allow("good.test, flip.test");
  Pipeline pipeline(without, {.workers = workers});
  Conversation flow{.pipeline = pipeline, .client_port = 20000};
  std::vector<Opening> live;  // of the round before, allowed by its policy
  uint64_t allowed = 0;
  uint64_t denied = 0;
  for (int push = 0; push < 50; ++push) {
    CAPTURE(push, workers);
    std::vector<Opening> fresh;
    for (const char* host : {"good.test", "flip.test", "evil.test"}) {
      for (const Stage stage :
           {Stage::unopened, Stage::syn, Stage::handshake, Stage::half_a_hello}) {
        ++flow.client_port;
        fresh.push_back({.flow = flow, .host = host, .stage = stage});
        fresh.back().begin();
      }
    }
    const bool flips = push % 2 == 0;
    pipeline.push(flips ? with : without);
    std::vector<Opening> next;
    for (const Opening& opening : fresh) {
      opening.finish();
      const bool right = opening.host == "good.test" || (opening.host == "flip.test" && flips);
      opening.check(right);
      ++(right ? allowed : denied);
      if (!right) continue;
      opening.acknowledge();
      next.push_back(opening);
    }
    pipeline.to_inside();
    for (const Opening& opening : live) {
      CAPTURE(opening.host);
      opening.send_more();
      if (opening.host == "good.test") {
        REQUIRE(pipeline.payload_to_outside() == app_data("more"));
        opening.flow.pipeline.from_outside(
            opening.flow.in()
                .ack(opening.end() + static_cast<uint32_t>(app_data("more").size()))
                .frame());
        pipeline.to_inside();
        continue;
      }
      REQUIRE(is_reset(pipeline.to_outside(), opening.end()));
      pipeline.to_inside();
      --allowed, ++denied;
    }
    live = std::move(next);
  }
  CHECK(pipeline.counter("sallyport_flows", "state=allowed") == allowed);
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == denied);
  CHECK(pipeline.counter("sallyport_flows", "state=pending") == 0);
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("when a policy is taken away nothing goes on under it", "[pipeline]") {
  Pipeline pipeline(kAllowAll);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kGood);
  CHECK(pipeline.payload_to_outside() == kGood);
  pipeline.take_policy_away();
  pipeline.from_inside(flow.out(kGood.size()).payload(app_data("more")).frame());
  CHECK(pipeline.payload_to_outside().empty());
  CHECK(pipeline.events().back().reason == FlowReason::no_policy);
}

// A rule's index says nothing across a push: what is counted must go by its name.
TEST_CASE("verdicts are counted by rule, over pushes that move the rules", "[pipeline]") {
  const auto policy = [](const std::vector<std::string>& rules) {
    std::string text =
        "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n";
    for (const std::string& rule : rules) {
      text += "    - {name: " + rule + ", action: " + (rule == "bad" ? "Deny" : "Allow") +
              ", to: {domainNames: [" + rule + ".test]}}\n";
    }
    return text;
  };
  Pipeline pipeline("", {.workers = 2});
  uint16_t port = 1000;
  const auto visit = [&](const std::string& name, int times) {
    for (int i = 0; i < times; ++i) {
      const Conversation flow{.pipeline = pipeline, .client_port = port++};
      flow.open();
      flow.send(hello().sni(name + ".test").record());
    }
  };
  const auto verdicts = [&] {
    uint64_t sum = 0;
    for (const std::string action : {"allow", "deny"}) {
      for (const std::string protocol : {"tls", "quic", "http", "dns", "unknown"}) {
        sum += pipeline.counter("sallyport_verdicts_total",
                                "action=" + action + ",mode=enforce,protocol=" + protocol);
      }
    }
    return sum;
  };
  const auto all = [&](const std::vector<std::string>& rules) {
    uint64_t sum = pipeline.hits("");
    for (const std::string& rule : rules) sum += pipeline.hits(rule);
    return sum;
  };

  visit("good", 2);
  CHECK(pipeline.hits("") == 2);  // no policy: no rule denied them
  pipeline.push(policy({"good", "bad", "new"}));
  CHECK(pipeline.hits("") == 0);
  const uint64_t first = verdicts();
  visit("good", 5);
  visit("bad", 3);
  visit("else", 2);
  CHECK(pipeline.hits("good") == 5);
  CHECK(pipeline.hits("bad") == 3);
  CHECK(pipeline.hits("new") == 0);
  CHECK(pipeline.hits("") == 2);
  CHECK(all({"good", "bad", "new"}) == verdicts() - first);

  SECTION("new labels are the same policy: its hits go on") {
    pipeline.push_identities({});
    visit("good", 1);
    CHECK(pipeline.hits("good") == 6);
    CHECK(pipeline.hits("bad") == 3);
  }
  SECTION("other rules at other places: each begins at 0, and live flows count for the new one") {
    pipeline.push(policy({"bad", "else", "good"}));
    const uint64_t then = verdicts();
    CHECK(all({"bad", "else", "good"}) == 0);
    visit("bad", 4);
    visit("good", 1);
    visit("else", 6);
    CHECK(pipeline.hits("bad") == 4);
    CHECK(pipeline.hits("good") == 1);
    CHECK(pipeline.hits("else") == 6);
    CHECK(all({"bad", "else", "good"}) == verdicts() - then);
  }
  SECTION("a live flow counts again when a push changes its verdict, not when its rule moves") {
    const Conversation flow{.pipeline = pipeline, .client_port = port++};
    const Bytes start = hello().sni("good.test").record();
    flow.open();
    flow.send(start);
    pipeline.push(policy({"bad", "good"}));
    pipeline.from_inside(flow.out(start.size()).payload(app_data("more")).frame());
    CHECK(all({"bad", "good"}) == 0);
    pipeline.push(policy({"bad"}));
    pipeline.from_inside(flow.out(start.size() + 9).payload(app_data("more")).frame());
    CHECK(pipeline.hits("") == 1);
  }
  SECTION("the policy is taken away") {
    pipeline.take_policy_away();
    visit("good", 3);
    CHECK(pipeline.hits("") == 3);
  }
}
