// A Deny in audit mode: the flow passes as if it was allowed, and its record says what would have
// been.
#include <catch2/catch.hpp>
#include <functional>

#include "tests/pipeline/conversation.h"
#include "tests/support/dns_builder.h"
#include "tests/support/quic_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// The first document is tried in `mode`; behind it stands one in force that denies all the same,
/// and the default that does.
std::string policy(const std::string& mode) {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: trial}\nspec:\n  mode: " +
         mode + R"(
  priority: 10
  egress:
    - {name: port, action: Deny, to: {cidrs: [198.19.0.66/32]}, protocols: [{tcp: {ports: [22]}}, {udp: {ports: [9]}}]}
    - {name: names, action: Deny, to: {domainNames: [bad.test]}}
---
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: firm}
spec:
  priority: 20
  egress:
    - {name: firm, action: Deny, to: {domainNames: [bad.test, worse.test]}}
    - {name: good, action: Allow, to: {domainNames: [good.test]}}
)";
}

/// What a client sends behind what it needs to open its flow.
Bytes by_tcp(Pipeline& pipeline, const Conversation& flow, const Bytes& stream) {
  flow.open();
  flow.send(stream);
  return pipeline.payload_to_outside();
}
Bytes by_udp(Pipeline& pipeline, const char* server, uint16_t port, const Bytes& datagram) {
  pipeline.from_inside(udp("198.18.0.2", 50000, server, port).payload(datagram).frame());
  Bytes out;
  for (const Bytes& frame : pipeline.to_outside()) append(out, payload_of(frame));
  return out;
}
Bytes quic_hello(std::string_view name) {
  return initial(crypto_frame(0, hello().sni(std::string(name)).message())).pad_to(1200).packet();
}

struct Row {
  std::string what;
  std::string protocol;
  std::string rule;
  Bytes bytes;
  std::function<Bytes(Pipeline&, const Bytes&)> send;  ///< @return what left of it.
};
std::ostream& operator<<(std::ostream& out, const Row& row) {
  return out << row.what;
}

const std::vector<Row> kRows{
    {"TLS", "tls", "names", hello().sni("bad.test").record(),
     [](Pipeline& pipeline, const Bytes& bytes) {
       return by_tcp(pipeline, {.pipeline = pipeline}, bytes);
     }},
    {"an HTTP request", "http", "names", request("bad.test"),
     [](Pipeline& pipeline, const Bytes& bytes) {
       return by_tcp(pipeline, {.pipeline = pipeline, .server_port = 80}, bytes);
     }},
    {"QUIC", "quic", "names", quic_hello("bad.test"),
     [](Pipeline& pipeline, const Bytes& bytes) {
       return by_udp(pipeline, "198.19.0.2", 443, bytes);
     }},
    {"a DNS query", "dns", "names", dns_query("bad.test"),
     [](Pipeline& pipeline, const Bytes& bytes) {
       return by_udp(pipeline, "198.19.0.53", 53, bytes);
     }},
    {"TCP by address and port alone", "unknown", "port", bytes_of("SSH-2.0-x\r\n"),
     [](Pipeline& pipeline, const Bytes& bytes) {
       return by_tcp(pipeline, {.pipeline = pipeline, .server = "198.19.0.66", .server_port = 22},
                     bytes);
     }},
    {"UDP by address and port alone", "unknown", "port", bytes_of("x"),
     [](Pipeline& pipeline, const Bytes& bytes) {
       return by_udp(pipeline, "198.19.0.66", 9, bytes);
     }},
};

std::vector<FlowEvent> verdicts(Pipeline& pipeline) {
  auto events = pipeline.events();
  std::erase_if(events, [](const FlowEvent& e) { return e.type != FlowEvent::Type::verdict; });
  return events;
}

uint64_t counted(const Pipeline& pipeline, const std::string& labels) {
  return pipeline.counter("sallyport_verdicts_total", labels);
}
uint64_t all_counted(const Pipeline& pipeline) {
  uint64_t sum = 0;
  for (const char* protocol : {"tls", "quic", "http", "dns", "unknown"}) {
    for (const char* said : {"allow,mode=enforce", "deny,mode=enforce", "deny,mode=audit"}) {
      sum += counted(pipeline, "action=" + std::string(said) + ",protocol=" + protocol);
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("an audit Deny lets pass, and its record says what it would have done", "[audit]") {
  const auto row = GENERATE(from_range(kRows));
  const std::string mode = GENERATE("audit", "enforce");
  CAPTURE(row, mode);
  const bool audit = mode == "audit";
  Pipeline pipeline(policy(mode));
  CHECK(row.send(pipeline, row.bytes) == (audit ? row.bytes : Bytes{}));
  if (audit) CHECK(pipeline.to_inside().empty());
  const auto events = verdicts(pipeline);
  REQUIRE(events.size() == 1);
  CHECK(events.front().state == (audit ? FlowState::allowed : FlowState::denied));
  CHECK(events.front().reason == FlowReason::rule);
  CHECK(events.front().would_deny == audit);
  const std::string line = pipeline.last_line(FlowEvent::Type::verdict);
  CAPTURE(line);
  CHECK(line.contains(R"("verdict":{"action":")" + std::string(audit ? "allow" : "deny")));
  CHECK(line.contains(R"("name":"trial")"));
  CHECK(line.contains(R"("rule":")" + row.rule + '"'));
  CHECK(line.contains(R"("mode":")" + mode + '"'));
  CHECK(line.contains(R"("would_deny":true)") == audit);
  CHECK(counted(pipeline, "action=deny,mode=" + mode + ",protocol=" + row.protocol) == 1);
  CHECK(all_counted(pipeline) == 1);
}

TEST_CASE("an audit Deny opens what it names and nothing else", "[audit]") {
  Pipeline pipeline(policy("audit"));
  Conversation flow{.pipeline = pipeline};
  const auto answer_to = [&](const char* name) {
    ++flow.client_port;
    return by_tcp(pipeline, flow, hello().sni(name).record());
  };
  // A rule in force denies it, too: the search has ended before that.
  CHECK_FALSE(answer_to("bad.test").empty());
  CHECK(verdicts(pipeline).back().would_deny);
  CHECK(answer_to("worse.test").empty());
  CHECK(answer_to("else.test").empty());
  CHECK_FALSE(answer_to("good.test").empty());
  CHECK_FALSE(verdicts(pipeline).back().would_deny);
}

TEST_CASE("each audited request is a verdict, and out of audit the next is denied", "[audit]") {
  Pipeline pipeline(policy("audit"));
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  const Bytes asks = request("bad.test");
  flow.open();
  size_t sent = 0;
  const auto leaves = [&](const Bytes& bytes) {
    pipeline.from_inside(flow.out(sent).payload(bytes).frame());
    sent += bytes.size();
    return pipeline.payload_to_outside() == bytes;
  };
  CHECK(leaves(asks));
  CHECK(leaves(request("good.test")));
  CHECK(leaves(asks));
  const auto events = verdicts(pipeline);
  REQUIRE(events.size() == 3);
  CHECK(events[0].would_deny);
  CHECK_FALSE(events[1].would_deny);
  CHECK(events[2].would_deny);
  CHECK(counted(pipeline, "action=deny,mode=audit,protocol=http") == 2);
  CHECK(counted(pipeline, "action=allow,mode=enforce,protocol=http") == 1);
  pipeline.push(policy("enforce"));
  CHECK_FALSE(leaves(asks));
  CHECK(verdicts(pipeline).back().state == FlowState::denied);
}

namespace {

std::string one_rule(const std::string& before, const std::string& rule) {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: live}\nspec:\n" + before +
         "    - " + rule + "\n";
}

}  // namespace

TEST_CASE("what a push changes of a live flow is recorded, and nothing else", "[audit]") {
  const std::string allow = "{name: good, action: Allow, to: {domainNames: [good.test]}}";
  Pipeline pipeline(one_rule("  egress:\n", allow));
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  const Bytes first = request("good.test");
  flow.send(first);
  pipeline.from_outside(flow.acknowledging(first.size()).frame());
  REQUIRE(pipeline.payload_to_outside() == first);
  pipeline.events();

  SECTION("in audit mode it would be denied, by a rule in the same place") {
    pipeline.push(one_rule("  mode: audit\n  egress:\n",
                           "{name: good, action: Deny, to: {domainNames: [good.test]}}"));
    pipeline.from_inside(flow.out(first.size()).frame());
    const auto events = pipeline.events();
    REQUIRE(events.size() == 1);
    CHECK(events.front().would_deny);
    CHECK(pipeline.counter("sallyport_verdicts_total", "action=deny,mode=audit,protocol=http") ==
          1);
  }
  SECTION("its rule has moved") {
    pipeline.push(one_rule(
        "  egress:\n    - {name: new, action: Deny, to: {domainNames: [x.test]}}\n", allow));
    pipeline.from_inside(flow.out(first.size()).frame());
    CHECK(pipeline.events().empty());
  }
  SECTION("another rule stands in its place") {
    pipeline.push(
        one_rule("  egress:\n", "{name: better, action: Allow, to: {domainNames: [good.test]}}"));
    pipeline.from_inside(flow.out(first.size()).frame());
    CHECK(pipeline.events().size() == 1);
  }
}
