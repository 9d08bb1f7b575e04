// Budgets on the wire: a flow ends at the packet that would go over, others share what is left.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kHello = hello().sni("good.test").record();

std::string rule(const std::string& name, const std::string& to, const std::string& budget) {
  return "    - {name: " + name + ", action: Allow, to: " + to +
         (budget.empty() ? "" : ", budget: " + budget) + "}\n";
}

std::string policy(const std::string& rules, const std::string& head = "") {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n" + head +
         "  egress:\n" + rules;
}

std::string by_name(const std::string& budget, const std::string& head = "") {
  return policy(rule("good", "{domainNames: [good.test]}", budget), head);
}

std::string by_address(const std::string& budget) {
  return policy(rule("net", "{cidrs: [198.19.0.0/16]}", budget));
}

/// One segment of 1,000 bytes of the client's: 1,054 on the wire.
constexpr size_t kPayload = 1000;
constexpr uint64_t kFrame = kPayload + 54;

struct Upload {
  Conversation flow;
  size_t offset = 0;

  explicit Upload(Pipeline& pipeline, uint16_t port = 40000)
      : flow{.pipeline = pipeline, .client_port = port} {
    flow.open();
    flow.send(kHello);
    offset = kHello.size();
  }
  /// @return whether all of it came out.
  bool send(size_t bytes = kPayload, unsigned queue = 0) {
    flow.pipeline.to_outside();
    // Record headers, so that the reader of hellos has nothing to object to.
    Bytes record{0x17, 3, 3, static_cast<uint8_t>((bytes - 5) >> 8),
                 static_cast<uint8_t>(bytes - 5)};
    record.resize(bytes, 0x55);
    flow.pipeline.from_inside(flow.out(offset).payload(record).frame(), queue);
    offset += bytes;
    last = flow.pipeline.to_outside();
    return last.size() == 1 && payload_of(last.front()) == record;
  }
  std::vector<Bytes> last;
};

uint64_t hello_frame() {
  return kHello.size() + 54;
}

uint64_t used(const Pipeline& pipeline) {
  uint64_t sum = 0;
  for (const BudgetCount& count : pipeline.budgets()) sum += count.used;
  return sum;
}

uint64_t exceeded(const Pipeline& pipeline, std::string_view action) {
  return pipeline.counter("sallyport_budget_exceeded_total", "action=" + std::string(action));
}

std::string bytes(uint64_t count) {
  return "{bytesOut: " + std::to_string(count) + ", window: 1h, scope: rule}";
}

}  // namespace

TEST_CASE("a live flow is cut at the exact packet, and both ends are told", "[pipeline]") {
  const uint64_t room = hello_frame() + 3 * kFrame;
  const uint64_t less = GENERATE(uint64_t{0}, uint64_t{1});
  CAPTURE(less);
  Pipeline pipeline(by_name(bytes(room - less)));
  Upload upload(pipeline);
  for (uint64_t i = 0; i < 3 - less; ++i) CHECK(upload.send());
  const auto sent = static_cast<uint32_t>(upload.offset);
  pipeline.to_inside();

  CHECK_FALSE(upload.send());
  CHECK(is_reset(upload.last, upload.flow.client_first + sent));
  CHECK(is_reset(pipeline.to_inside(), upload.flow.server_first));
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 1);
  CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 0);
  CHECK(exceeded(pipeline, "deny") == 1);
  const auto events = pipeline.events();
  CHECK(events.back().reason == FlowReason::budget_exceeded);
  CHECK(events.back().state == FlowState::denied);
  CHECK(pipeline.last_line(FlowEvent::Type::verdict).find("\"reason\":\"budget_exceeded\"") !=
        std::string::npos);

  CHECK_FALSE(upload.send());  // it stays dead
  const Conversation next{.pipeline = pipeline, .client_port = 40001};
  next.open();
  next.send(kHello);  // nor does another begin
  CHECK(pipeline.payload_to_outside().empty());
  pipeline.to_inside();
  CHECK(pipeline.packets_in_use() == 0);
  pipeline.end_all_flows();
  CHECK(used(pipeline) == hello_frame() + (3 - less) * kFrame);
}

TEST_CASE("what comes back is not charged, but the acknowledgements are", "[pipeline]") {
  constexpr uint64_t kAck = 54;
  Pipeline pipeline(by_name(bytes(hello_frame() + 2 * kAck)));
  Upload upload(pipeline);
  const auto download = [&](size_t at) {
    pipeline.from_outside(upload.flow.in(at)
                              .ack(upload.flow.client_first + static_cast<uint32_t>(upload.offset))
                              .payload(Bytes(1400, 1))
                              .frame());
    return pipeline.to_inside().size() == 1;
  };
  const auto acknowledge = [&](size_t at) {
    pipeline.to_outside();
    pipeline.from_inside(upload.flow.out(upload.offset)
                             .ack(upload.flow.server_first + static_cast<uint32_t>(at))
                             .frame());
    const auto out = pipeline.to_outside();
    return out.size() == 1 && (decoded(out.front()).tcp_flags & kRst) == 0;
  };
  pipeline.to_inside();
  for (size_t i = 0; i < 20; ++i) CHECK(download(i * 1400));
  CHECK(acknowledge(1400));
  CHECK(acknowledge(2800));
  CHECK_FALSE(acknowledge(4200));
  CHECK(exceeded(pipeline, "deny") == 1);
}

TEST_CASE("held packets are charged when they leave", "[pipeline]") {
  // The hello comes in four pieces; the budget holds two of them.
  const size_t piece = (kHello.size() + 3) / 4;
  Pipeline pipeline(by_name(bytes(2 * (piece + 54))));
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  for (size_t at = 0; at < kHello.size(); at += piece) {
    pipeline.from_inside(flow.segment(kHello, at, std::min(at + piece, kHello.size())));
  }
  const auto out = pipeline.to_outside();
  REQUIRE(out.size() == 3);
  CHECK(payload_of(out[0]).size() + payload_of(out[1]).size() == 2 * piece);
  CHECK(is_reset({out[2]}, flow.client_first + static_cast<uint32_t>(2 * piece)));
  CHECK(is_reset(pipeline.to_inside(), flow.server_first));
  CHECK(pipeline.packets_in_use() == 0);
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 1);
}

TEST_CASE("with onExceed audit a flow goes on, and says so once", "[pipeline]") {
  const bool document = GENERATE(false, true);
  CAPTURE(document);
  const std::string budget = "{bytesOut: 3000, window: 1h, scope: rule" +
                             std::string(document ? "}" : ", onExceed: audit}");
  Pipeline pipeline(by_name(budget, document ? "  mode: audit\n" : ""));
  Upload upload(pipeline);
  for (int i = 0; i < 20; ++i) CHECK(upload.send());
  CHECK(exceeded(pipeline, "audit") == 1);
  const auto events = pipeline.events();
  CHECK(std::ranges::count_if(events, &FlowEvent::would_deny) == 1);
  CHECK(events.back().reason == FlowReason::budget_exceeded);
  CHECK(events.back().state == FlowState::allowed);
  // A flow that begins now is told so at its first verdict.
  Upload next(pipeline, 40001);
  CHECK(next.send());
  CHECK(exceeded(pipeline, "audit") == 2);
  CHECK(pipeline.counter("sallyport_verdicts_total", "action=deny,mode=audit,protocol=tls") == 2);
  pipeline.end_all_flows();
  CHECK(used(pipeline) == 2 * hello_frame() + 21 * kFrame);
}

TEST_CASE("with onExceed audit each window says so once", "[pipeline]") {
  Pipeline pipeline(by_name("{bytesOut: 8000, window: 60s, scope: rule, onExceed: audit}"));
  Upload upload(pipeline);
  const auto told = [&] {
    const auto events = pipeline.events();
    return std::ranges::count_if(events, &FlowEvent::would_deny);
  };
  for (int window = 0; window < 3; ++window) {
    CAPTURE(window);
    for (int i = 0; i < 3; ++i) CHECK(upload.send());
    CHECK(told() == 0);  // within
    for (int i = 0; i < 10; ++i) CHECK(upload.send());
    CHECK(told() == 1);
    pipeline.sleep_ms(60'000);
  }
  CHECK(exceeded(pipeline, "audit") == 3);
}

TEST_CASE("two workers share one budget", "[pipeline]") {
  constexpr uint64_t kBudget = 200'000;
  Pipeline pipeline(by_name(bytes(kBudget)), {.workers = 2, .stage = {}});
  std::vector<Upload> uploads;
  for (uint16_t i = 0; i < 8; ++i) {
    uploads.emplace_back(pipeline, static_cast<uint16_t>(41000 + i));
  }
  uint64_t sent = uploads.size() * hello_frame();
  for (int round = 0; round < 60; ++round) {
    for (Upload& upload : uploads) sent += upload.send(kPayload, round % 2) ? kFrame : 0;
  }
  CHECK(sent <= kBudget);
  CHECK(sent + kBudget / 8 + kFrame > kBudget);  // what one of them may keep of so little
  std::vector<uint32_t> cores;
  for (const FlowEvent& event : pipeline.events()) cores.push_back(event.core);
  CHECK(std::ranges::count(cores, 0u) > 0);
  CHECK(std::ranges::count(cores, 1u) > 0);
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 8);
}

TEST_CASE("a push in between gives nothing back", "[pipeline]") {
  Pipeline pipeline(by_name(bytes(hello_frame() + 4 * kFrame)));
  Upload upload(pipeline);
  CHECK(upload.send());
  CHECK(upload.send());
  SECTION("the same budget") {
    pipeline.push(by_name(bytes(hello_frame() + 4 * kFrame)) +
                  rule("more", "{domainNames: [more.test]}", ""));
    CHECK(upload.send());
    CHECK(upload.send());
    CHECK_FALSE(upload.send());
  }
  SECTION("a lower one, already spent") {
    pipeline.push(by_name(bytes(kFrame)));
    CHECK_FALSE(upload.send());
  }
  SECTION("a higher one") {
    pipeline.push(by_name(bytes(hello_frame() + 5 * kFrame)));
    for (int i = 0; i < 3; ++i) CHECK(upload.send());
    CHECK_FALSE(upload.send());
  }
  SECTION("none, and then the old one again") {
    pipeline.push(by_name(""));
    for (int i = 0; i < 9; ++i) CHECK(upload.send());
    pipeline.push(by_name(bytes(hello_frame() + 4 * kFrame)));
    CHECK(upload.send());
    CHECK(upload.send());
    CHECK_FALSE(upload.send());
  }
}

TEST_CASE("a new window lets new flows pass, and no dead ones", "[pipeline]") {
  Pipeline pipeline(by_name("{bytesOut: 3000, window: 60s, scope: source}"));
  Upload upload(pipeline);
  while (upload.send()) {
  }
  pipeline.sleep_ms(1000);
  CHECK_FALSE(upload.send());
  // The pipeline's clock begins 20 s into a minute.
  pipeline.sleep_ms(40'000);
  CHECK_FALSE(upload.send());
  Upload next(pipeline, 40001);
  CHECK(next.send());
}

TEST_CASE("each source has its own; labels are shared where a feed gives them", "[pipeline]") {
  Pipeline pipeline(by_address("{bytesOut: 200, window: 1h, scope: source}"));
  const auto passes = [&](const std::string& client) {
    pipeline.from_inside(udp(client, 5000, "198.19.0.9", 9).payload(Bytes(58, 1)).frame());
    return pipeline.to_outside().size() == 1;
  };
  for (const char* client : {"198.18.0.2", "198.18.0.3", "198.18.0.2", "198.18.0.3"}) {
    CHECK(passes(client));
  }
  CHECK_FALSE(passes("198.18.0.2"));
  CHECK_FALSE(passes("198.18.0.3"));
  CHECK(passes("198.18.0.4"));
  const auto counts = pipeline.budgets();
  REQUIRE(counts.size() == 3);
  CHECK(key_text(counts[0]) == "198.18.0.2");
  CHECK(counts[0].limit == 200);
}

TEST_CASE("datagrams of one flow go on in the next window though it never fell silent",
          "[pipeline]") {
  Pipeline pipeline(by_address("{bytesOut: 250, window: 60s, scope: rule}"));
  const auto passes = [&] {
    pipeline.from_inside(udp("198.18.0.2", 5000, "198.19.0.9", 9).payload(Bytes(58, 1)).frame());
    return pipeline.to_outside().size() == 1;
  };
  CHECK(passes());
  CHECK(passes());
  CHECK_FALSE(passes());
  for (int i = 0; i < 39; ++i) {
    pipeline.sleep_ms(1000);
    CHECK_FALSE(passes());
  }
  pipeline.sleep_ms(1000);
  CHECK(passes());
  CHECK(passes());
  CHECK_FALSE(passes());
  CHECK(exceeded(pipeline, "deny") == 2);
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 1);
}

TEST_CASE("each request of a connection is charged to its own rule", "[pipeline]") {
  const std::string rules =
      "    - {name: up, action: Allow, to: {domainNames: [good.test]}, protocols: [{http: "
      "{paths: [/up]}}], budget: {bytesOut: 2400, window: 1h, scope: rule}}\n" +
      rule("rest", "{domainNames: [good.test]}", "");
  Pipeline pipeline(policy(rules));
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const auto get = [](const std::string& path) {
    return bytes_of("GET " + path + " HTTP/1.1\r\nHost: good.test\r\n\r\n");
  };
  const auto post = [](size_t length) {
    Bytes out = bytes_of("POST /up HTTP/1.1\r\nHost: good.test\r\nContent-Length: " +
                         std::to_string(length) + "\r\n\r\n");
    out.resize(out.size() + length, 'x');
    return out;
  };
  size_t offset = 0;
  const auto passes = [&](const Bytes& stream) {
    pipeline.to_outside();
    pipeline.from_inside(flow.out(offset).payload(stream).frame());
    offset += stream.size();
    return pipeline.payload_to_outside() == stream;
  };
  SECTION("requests of other rules cost nothing") {
    for (int i = 0; i < 50; ++i) CHECK(passes(get("/other")));
    CHECK(passes(post(600)));
    for (int i = 0; i < 50; ++i) CHECK(passes(get("/other")));
    CHECK(passes(post(600)));
    CHECK_FALSE(passes(post(600)));
  }
  SECTION("a request behind another in one frame does not hide it") {
    for (int i = 0; i < 2; ++i) CHECK(passes(post(600) + get("/other")));
    CHECK_FALSE(passes(post(600) + get("/other")));
  }
}

TEST_CASE("what cannot be counted does not pass", "[pipeline]") {
  Pipeline pipeline(by_address("{bytesOut: 1MB, window: 1h, scope: source}"),
                    {.stage = {}, .budget_entries = 16});
  const auto passes = [&](int client) {
    pipeline.from_inside(
        udp("198.18.1." + std::to_string(client), 5000, "198.19.0.9", 9).payload("x").frame());
    return pipeline.to_outside().size() == 1;
  };
  for (int i = 0; i < 16; ++i) CHECK(passes(i));
  CHECK_FALSE(passes(16));
  const FlowEvent refused = pipeline.events().back();
  CHECK(refused.reason == FlowReason::budget_ledger_full);
  CHECK(refused.rule == 0);  // whose budget it is
  CHECK(pipeline.counter("sallyport_budget_ledger_full_total", "") == 1);
  CHECK(passes(3));
}

TEST_CASE("an ICMP error that no budget is left for ends the flow as any packet does", "[budget]") {
  const bool v4 = GENERATE(true, false);
  CAPTURE(v4);
  const std::string client = v4 ? "198.18.0.2" : "2001:db8::1";
  const std::string server = v4 ? "198.19.0.2" : "2001:db8::2";
  const auto error = [&](const PacketBuilder& about) {
    const Bytes quote = about.ip_packet();
    return icmp(client, server, v4 ? 3 : 1, v4 ? 3 : 4).payload(quote).frame();
  };
  SECTION("both ends of a connection are reset, and what waits is dropped") {
    const Bytes head = bytes_of("GET / HTTP/1.1\r\nHost: good.test\r\n\r\n");
    Pipeline pipeline(by_name(bytes(300)));
    const Conversation flow{.pipeline = pipeline, .client = client, .server = server};
    flow.open();
    flow.send(head);
    pipeline.from_inside(flow.out(head.size()).payload(prefix_of(head, 20)).frame());
    CHECK(pipeline.payload_to_outside() == head);
    pipeline.from_inside(error(flow.in().payload(Bytes(200, 'q'))));
    const auto end = flow.client_first + static_cast<uint32_t>(head.size());
    CHECK(is_reset(pipeline.to_outside(), end));
    CHECK(is_reset(pipeline.to_inside(), flow.server_first));
    CHECK(pipeline.drops("held_after_denial") == 1);
    CHECK(pipeline.drops("denied") == 1);
    CHECK(pipeline.packets_in_use() == 0);
    CHECK(pipeline.counter("sallyport_flows", "state=denied") == 1);
  }
  SECTION("about a datagram nobody is told: nothing answers an ICMP error") {
    Pipeline pipeline(
        policy(rule("net", "{cidrs: [198.19.0.0/16, \"2001:db8::/32\"]}", bytes(90))));
    pipeline.from_inside(udp(client, 5000, server, 9).payload("x").frame());
    CHECK(pipeline.to_outside().size() == 1);
    const auto answer = udp(server, 9, client, 5000).macs(kOutsideMac, kInsideMac).payload("y");
    pipeline.from_inside(error(answer));
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.to_inside().empty());
    CHECK(pipeline.drops("denied") == 1);
    CHECK(pipeline.counter("sallyport_flows", "state=denied") == 1);
  }
}
