// Lines of the flow log: whatever a flow is called, one event is one line of JSON.
#include "dataplane/io/flow_event.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/io/eve_text.h"
#include "tests/support/eal.h"

using namespace sallyport;
using Json = nlohmann::json;

namespace {

FlowEvent sample() {
  FlowEvent event{};
  event.key.inside = parse_ip_address("10.1.2.3").value();
  event.key.outside = parse_ip_address("203.0.113.9").value();
  event.key.inside_port = 40000;
  event.key.outside_port = 443;
  event.key.ip_protocol = kIpProtocolTcp;
  event.flow_id = (uint64_t{1} << 48) + 7;
  event.started_unix_ns = 1'700'000'000'000'001'999;
  event.timestamp_unix_ns = 1'700'000'061'020'030'000;
  event.bytes_out = 1000;
  event.bytes_in = 2000;
  event.packets_out = 10;
  event.packets_in = 20;
  event.generation = 9;
  event.core = 3;
  event.type = FlowEvent::Type::flow;
  event.state = FlowState::denied;
  event.reason = FlowReason::default_deny;
  event.end = FlowEnd::reset;
  event.app_known = Known::present;
  event.app = AppProtocol::tls;
  event.set(EventText::host, "pypi.org", kMaxHostNameBytes);
  return event;
}

Json line_of(const FlowEvent& event) {
  const std::string line = to_eve(event, PolicyNames{});
  CHECK(line.find('\n') == std::string::npos);
  CHECK(std::all_of(line.begin(), line.end(),
                    [](char c) { return static_cast<unsigned char>(c) >= 0x20; }));
  return Json::parse(line);
}

}  // namespace

TEST_CASE("the record of a flow's end", "[event]") {
  CHECK(line_of(sample()) == Json::parse(R"({
    "timestamp": "2023-11-14T22:14:21.020030+0000", "flow_id": 281474976710663,
    "event_type": "flow", "src_ip": "10.1.2.3", "src_port": 40000, "dest_ip": "203.0.113.9",
    "dest_port": 443, "proto": "TCP", "app_proto": "tls", "tls": {"sni": "pypi.org"},
    "flow": {"pkts_toserver": 10, "bytes_toserver": 1000, "pkts_toclient": 20,
             "bytes_toclient": 2000, "start": "2023-11-14T22:13:20.000001+0000",
             "end": "2023-11-14T22:14:21.020030+0000", "age": 61, "state": "denied",
             "reason": "reset"},
    "verdict": {"action": "deny"}, "policy": {"mode": "enforce", "would_deny": false, "reason": "default_deny"},
    "core": 3, "schema": 1})"));
}

TEST_CASE("a verdict says nothing of what will cross", "[event]") {
  FlowEvent event = sample();
  event.type = FlowEvent::Type::verdict;
  const Json json = line_of(event);
  CHECK(json["event_type"] == "verdict");
  CHECK_FALSE(json.contains("flow"));
}

TEST_CASE("a flow opened from outside has its ends, and its counts, the other way", "[event]") {
  FlowEvent event = sample();
  event.opened_inside = false;
  const Json json = line_of(event);
  CHECK(json["src_ip"] == "203.0.113.9");
  CHECK(json["src_port"] == 443);
  CHECK(json["dest_ip"] == "10.1.2.3");
  CHECK(json["dest_port"] == 40000);
  CHECK(json["flow"]["pkts_toserver"] == 20);
  CHECK(json["flow"]["bytes_toserver"] == 2000);
  CHECK(json["flow"]["pkts_toclient"] == 10);
  CHECK(json["flow"]["bytes_toclient"] == 1000);
}

TEST_CASE("each value of each enum has its word", "[event]") {
  FlowEvent event = sample();
  SECTION("protocols") {
    const std::pair<uint8_t, std::string> rows[] = {
        {6, "TCP"}, {17, "UDP"}, {1, "ICMP"}, {58, "IPv6-ICMP"}, {47, "47"}};
    for (const auto& [protocol, word] : rows) {
      event.key.ip_protocol = protocol;
      CHECK(line_of(event)["proto"] == word);
    }
  }
  SECTION("states") {
    const std::pair<FlowState, std::string> rows[] = {{FlowState::allowed, "allow"},
                                                      {FlowState::denied, "deny"},
                                                      {FlowState::pending, "pending"}};
    for (const auto& [state, word] : rows) {
      event.state = state;
      CHECK(line_of(event)["verdict"]["action"] == word);
    }
  }
  SECTION("ends") {
    const std::pair<FlowEnd, std::string> rows[] = {{FlowEnd::closed, "closed"},
                                                    {FlowEnd::reset, "reset"},
                                                    {FlowEnd::timeout, "timeout"},
                                                    {FlowEnd::replaced, "replaced"},
                                                    {FlowEnd::shutdown, "shutdown"}};
    for (const auto& [end, word] : rows) {
      event.end = end;
      CHECK(line_of(event)["flow"]["reason"] == word);
    }
  }
  SECTION("reasons") {
    std::set<std::string> words;
    for (uint8_t i = 0; i < static_cast<uint8_t>(FlowReason::count_); ++i) {
      event.reason = static_cast<FlowReason>(i);
      CHECK(words.insert(line_of(event)["policy"]["reason"]).second);
    }
    CHECK(words.contains("inspection_timeout"));
  }
  SECTION("faults") {
    CHECK_FALSE(line_of(event)["policy"].contains("fault"));
    for (const auto& row : std::span(kInspectFaultInfo).subspan(1)) {
      event.fault = row.id;
      CHECK(line_of(event)["policy"]["fault"] == std::string(row.name));
    }
  }
}

TEST_CASE("the application is named only when it is known", "[event]") {
  FlowEvent event = sample();
  SECTION("HTTP") {
    event.app = AppProtocol::http;
    CHECK(line_of(event)["http"]["hostname"] == "pypi.org");
    CHECK_FALSE(line_of(event).contains("tls"));
  }
  SECTION("unknown or absent") {
    event.app_known = GENERATE(Known::unknown, Known::absent);
    CHECK(line_of(event)["app_proto"] == "unknown");
    CHECK_FALSE(line_of(event).contains("tls"));
  }
  SECTION("TLS without a name") {
    event.set(EventText::host, "", kMaxHostNameBytes);
    CHECK(line_of(event)["app_proto"] == "tls");
    CHECK_FALSE(line_of(event).contains("tls"));
  }
}

TEST_CASE("a tunnel is named, unless its bytes were read as something", "[event]") {
  FlowEvent event = sample();
  CHECK_FALSE(line_of(event).contains("tunnel"));
  event.tunnel = TunnelKind::vxlan;
  CHECK_FALSE(line_of(event).contains("tunnel"));
  event.app_known = Known::absent;
  CHECK(line_of(event)["tunnel"] == "vxlan");
  CHECK(line_of(event)["app_proto"] == "unknown");
}

TEST_CASE("what a hello, a request or a query told stands under its protocol", "[event]") {
  FlowEvent event = sample();
  const auto set = [&](EventText which, std::string_view text) { event.set(which, text, 600); };
  SECTION("a hello") {
    event.tls_version = 0x0304;
    event.ech_known = Known::absent;
    set(EventText::alpns, "\x02h2\x08http/1.1");
    set(EventText::ja3, "3");
    set(EventText::ja4, "t13d");
    const Json tls =
        Json::parse(R"({"sni": "pypi.org", "version": "TLS 1.3", "ja3": "3", "ja4": "t13d",
                                     "client_alpns": ["h2", "http/1.1"], "ech": false})");
    CHECK(line_of(event)["tls"] == tls);
    event.app = AppProtocol::quic;
    CHECK(line_of(event)["quic"] == tls);
    CHECK(line_of(event)["app_proto"] == "quic");
  }
  SECTION("a request") {
    event.app = AppProtocol::http;
    set(EventText::method, "GET");
    set(EventText::target, "/a?b");
    CHECK(line_of(event)["http"] ==
          Json::parse(R"({"hostname": "pypi.org", "http_method": "GET", "url": "/a?b"})"));
    event.set(EventText::host, "[2001:db8::1]:8080", 255);
    CHECK(line_of(event)["http"]["hostname"] == "[2001:db8::1]");
    CHECK(line_of(event)["http"]["http_port"] == 8080);
    event.http2 = true;
    CHECK(line_of(event)["http"]["protocol"] == "HTTP/2");
    CHECK(line_of(event)["app_proto"] == "http2");
  }
  SECTION("a query") {
    event.app = AppProtocol::dns;
    event.query_type = 28;
    CHECK(line_of(event)["dns"] ==
          Json::parse(R"({"type": "query", "rrname": "pypi.org", "rrtype": "AAAA"})"));
    event.query_type = 4711;
    CHECK(line_of(event)["dns"]["rrtype"] == "TYPE4711");
  }
}

TEST_CASE("texts are cut to their bounds, and never into one another", "[event]") {
  FlowEvent event = sample();
  event.app = AppProtocol::http;
  event.set(EventText::host, std::string(255, 'h'), 255);
  event.set(EventText::alpns, std::string(300, 'a'), 256);
  event.set(EventText::ja3, std::string(36, '3'), 36);
  event.set(EventText::ja4, std::string(36, '4'), 36);
  event.set(EventText::method, "PUT", 32);
  event.set(EventText::target, std::string(2000, 't'), 512);
  CHECK(event.text(EventText::host) == std::string(255, 'h'));
  CHECK(event.text(EventText::alpns) == std::string(256, 'a'));
  CHECK(event.text(EventText::ja4) == std::string(36, '4'));
  CHECK(event.text(EventText::method) == "PUT");
  CHECK(event.text(EventText::target) == std::string(512, 't'));
  CHECK(line_of(event)["truncated"] == Json{"client_alpns", "url"});
  event.set(EventText::target, std::string(2000, 't'), 2000);
  CHECK(event.text(EventText::target).size() == 2000);
  event.set(EventText::target, std::string(3000, 't'), 3000);
  CHECK(event.text(EventText::target).size() == 2688 - 255 - 256 - 36 - 36 - 3);
}

TEST_CASE("of what was cut there is a word, and of nothing else", "[event]") {
  AppFacts facts{.app_known = Known::present, .app = AppProtocol::http};
  const std::string longest(2048, 't');
  const std::string longer = longest + "t";
  const auto line = [&](std::string_view target, std::string_view method) {
    facts.target = target;
    facts.method = method;
    FlowEvent event = sample();
    event.app = AppProtocol::http;
    put_facts(facts, event);
    return line_of(event);
  };
  CHECK_FALSE(line(longest, "GET").contains("truncated"));
  CHECK(line(longer, "GET")["truncated"] == Json{"url"});
  CHECK(line("/", std::string(33, 'M'))["truncated"] == Json{"http_method"});
  std::vector<std::string_view> alpns(86, "h2");
  facts.alpns = std::span(alpns).first(85);
  CHECK_FALSE(line("/", "GET").contains("truncated"));
  facts.alpns = alpns;
  CHECK(line("/", "GET")["truncated"] == Json{"client_alpns"});
}

TEST_CASE("a host too long for a record is left out, not cut", "[event]") {
  FlowEvent event;
  AppFacts facts;
  const std::string host(255, 'h');
  facts.host_text = host;
  put_facts(facts, event);
  CHECK(event.text(EventText::host) == host);
  const std::string longer = host + 'h';
  facts.host_text = longer;
  put_facts(facts, event);
  CHECK(event.text(EventText::host).empty());
  facts.name = "a.b";
  put_facts(facts, event);
  CHECK(event.text(EventText::host) == "a.b");
}

TEST_CASE("a replayed flow also has the flat fields", "[event]") {
  FlowEvent event = sample();
  const auto of_capture = [&] {
    return Json::parse(to_eve_of_capture(event, event, {}, PolicyNames{}, "a\"b.pcap"));
  };
  CHECK(of_capture()["pcap"] == "a\"b.pcap");
  CHECK(of_capture()["dst_ip"] == "203.0.113.9");
  CHECK(of_capture()["dst_port"] == 443);
  CHECK(of_capture()["app"] == "tls");
  CHECK(of_capture()["host"] == "pypi.org");
  event.app = AppProtocol::http;
  CHECK(of_capture()["app"] == "http1");
  event.app_known = Known::absent;
  event.set(EventText::host, "", kMaxHostNameBytes);
  CHECK(of_capture()["app"] == "unknown");
  CHECK(of_capture()["host"].get<std::string>().empty());
}

TEST_CASE("no name breaks a line", "[event]") {
  FlowEvent event = sample();
  std::mt19937 random(7);
  std::vector<std::string> names{"a\nb",
                                 "a\r\nb",
                                 "\"",
                                 "\\",
                                 "\\\"}{",
                                 std::string(3, '\0'),
                                 "\xff\xfe",
                                 "\xc3",
                                 "\xe2\x80\xa8",
                                 "</script>",
                                 "\x7f\x1b[2J",
                                 std::string(kMaxHostNameBytes, '"'),
                                 std::string(kMaxHostNameBytes, '\xff')};
  for (int i = 0; i < 500; ++i) {
    std::string name(random() % (kMaxHostNameBytes + 1), ' ');
    for (char& c : name) c = static_cast<char>(random());
    names.push_back(name);
  }
  for (const std::string& name : names) {
    event.set(EventText::host, name, kMaxHostNameBytes);
    CHECK(event.text(EventText::host) == name);
    for (const AppProtocol app : {AppProtocol::tls, AppProtocol::http}) {
      event.app = app;
      const Json json = line_of(event);
      CHECK(json["verdict"]["action"] == "deny");
      CHECK(Json::parse(to_eve_of_capture(event, event, {}, PolicyNames{}, name))["schema"] == 1);
    }
  }
  event.set(EventText::host, std::string(400, 'x'), kMaxHostNameBytes);
  CHECK(event.text(EventText::host) == std::string(kMaxHostNameBytes, 'x'));
}

TEST_CASE("a clock that was set back makes no flow billions of years old", "[event]") {
  FlowEvent event = sample();
  event.timestamp_unix_ns = event.started_unix_ns - 5'000'000'000;
  CHECK(line_of(event)["flow"]["age"] == 0);
}

TEST_CASE("a ring carries what is set of an event, and says no when it is full", "[event]") {
  test::start_eal();
  FlowEventRing ring("flow_event_test", 64, -1);
  FlowEvent out;
  std::mt19937 random(7);
  uint64_t pushed = 0;
  uint64_t popped = 0;
  size_t refused = 0;
  const auto name_of = [](uint64_t i) { return std::string(i * 37 % 254, static_cast<char>(i)); };
  const auto target_of = [](uint64_t i) { return std::string(i * 211 % 2049, 't'); };
  for (int turn = 0; turn < 2000; ++turn) {
    FlowEvent event = sample();
    event.flow_id = pushed;
    event.set(EventText::host, name_of(pushed), kMaxHostNameBytes);
    event.set(EventText::target, target_of(pushed), 2048);
    const bool taken = ring.push(event);
    pushed += taken ? 1 : 0;
    refused += taken ? 0 : 1;
    if (taken && random() % 4 != 0) continue;
    while (ring.pop(out)) {
      REQUIRE(out.flow_id == popped);
      REQUIRE(out.text(EventText::host) == name_of(popped));
      REQUIRE(out.text(EventText::target) == target_of(popped));
      REQUIRE(out.timestamp_unix_ns == sample().timestamp_unix_ns);
      ++popped;
    }
    REQUIRE(popped == pushed);
  }
  CHECK(refused > 50);
  while (ring.pop(out)) ++popped;
  CHECK(popped == pushed);
}

TEST_CASE("the longest event fits the smallest ring, and an event of no text a few lines",
          "[event]") {
  test::start_eal();
  FlowEventRing ring("flow_event_most", 64, -1);
  FlowEvent event = sample();
  event.set(EventText::target, std::string(4000, 't'), 4000);
  CHECK(ring.push(event));
  CHECK_FALSE(ring.push(event));
  FlowEvent out;
  REQUIRE(ring.pop(out));
  CHECK(out.text(EventText::target) == event.text(EventText::target));
  event.set(EventText::host, "", 0);
  int count = 0;
  while (ring.push(event)) ++count;
  CHECK(count == 63 / 3);
  CHECK_THROWS_WITH(FlowEventRing("flow_event_most", 64, -1), Catch::Contains("flow log ring"));
}
