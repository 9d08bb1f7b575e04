// Whatever bytes a packet brings, an event is one line of printable JSON that says the same bytes.
#include "dataplane/io/eve_text.h"

#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "dataplane/io/json_line.h"

using namespace sallyport;
using Json = nlohmann::json;

namespace {

std::string json_of(std::string_view text) {
  std::string out;
  JsonLine json(out);
  json.open();
  json.text("k", text);
  json.close();
  return out;
}

// One byte at a time, with the library that reads the lines as the judge of what is UTF-8.
std::string readable(const std::string& bytes) {
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    size_t taken = 0;
    for (size_t size = 1; size <= 4 && at + size <= bytes.size() && taken == 0; ++size) {
      const std::string one = bytes.substr(at, size);
      try {
        (void)Json(one).dump();
        taken = size;
      } catch (const Json::exception&) {
      }
    }
    out += taken == 0 ? "\xef\xbf\xbd" : bytes.substr(at, taken);
    at += std::max<size_t>(taken, 1);
  }
  return out;
}

/// Bytes as an attacker would choose them: whole characters, their halves, what JSON gives meaning.
rc::Gen<std::string> hostile_bytes() {
  const auto piece = rc::gen::oneOf(
      rc::gen::arbitrary<std::string>(),
      rc::gen::map(rc::gen::arbitrary<uint8_t>(),
                   [](uint8_t byte) { return std::string(1, static_cast<char>(byte)); }),
      rc::gen::element<std::string>(
          "\n", "\r\n", "\"}", "\\", "\\u", "\",\"verdict\":{\"action\":\"allow\"}", "\x1b[2J",
          "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xae", "\xc3\xa4", "\xe2\x82", "\xe2\x82\xac",
          "\xf0\x9f\x98\x80", "\xf0\x9f\x98", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80",
          "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf4\x8f\xbf\xbf", "\xfe\xff",
          std::string(1, '\0')));
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(piece),
                      [](const std::vector<std::string>& pieces) {
                        std::string out;
                        for (const std::string& one : pieces) out += one;
                        return out.substr(0, 250);
                      });
}

Json parsed_line(const std::string& line) {
  RC_ASSERT(std::ranges::all_of(line, [](char c) { return c >= 0x20 && c < 0x7f; }));
  return Json::parse(line);
}

FlowEvent event_with(AppProtocol app) {
  FlowEvent event{};
  event.app_known = Known::present;
  event.app = app;
  event.type = FlowEvent::Type::verdict;
  event.state = FlowState::denied;
  return event;
}

bool holds(const std::string& what, const std::function<void()>& property) {
  return rc::check(what, property);
}

}  // namespace

TEST_CASE("each escape", "[eve]") {
  const std::pair<std::string, std::string> rows[] = {
      {"plain /a?b=c", R"(plain /a?b=c)"},
      {"\"\\", R"(\"\\)"},
      {"\n\r\t\x1b\x7f", R"(\u000a\u000d\u0009\u001b\u007f)"},
      {"\xc3\xa4", R"(\u00e4)"},
      {"\xe2\x80\xa8", R"(\u2028)"},
      {"\xf0\x9f\x98\x80", R"(\ud83d\ude00)"},
      {"\xf4\x8f\xbf\xbf", R"(\udbff\udfff)"},
      {"a\xff\xfe", R"(a\ufffd\ufffd)"},
      {"\xe2\x82", R"(\ufffd\ufffd)"},
      {"\xc3(", R"(\ufffd()"},
      {"\xed\xa0\x80", R"(\ufffd\ufffd\ufffd)"},
      {"\xc0\x80", R"(\ufffd\ufffd)"},
      {std::string(2, '\0'), R"(\u0000\u0000)"},
  };
  for (const auto& [bytes, text] : rows) CHECK(json_of(bytes) == R"({"k":")" + text + "\"}");
}

TEST_CASE("any bytes are one printable text that reads back as they were", "[eve]") {
  CHECK(holds("a text", [] {
    const std::string bytes = *hostile_bytes();
    RC_ASSERT(parsed_line(json_of(bytes))["k"] == readable(bytes));
  }));
}

TEST_CASE("no byte of a packet breaks or forges a record", "[eve]") {
  const PolicyNames names;
  CHECK(holds("a hello", [&names] {
    FlowEvent event = event_with(*rc::gen::element(AppProtocol::tls, AppProtocol::quic));
    const std::string host = *hostile_bytes();
    const std::string alpn = *hostile_bytes();
    event.set(EventText::host, host, 255);
    event.set(EventText::alpns, std::string(1, static_cast<char>(alpn.size())) + alpn, 256);
    const Json line = parsed_line(to_eve(event, names));
    const Json& hello = line[std::string(to_string(event.app))];
    RC_ASSERT(hello.value("sni", "") == readable(host));
    RC_ASSERT(hello["client_alpns"] == Json::array({readable(alpn)}));
    RC_ASSERT(line["verdict"]["action"] == "deny");
  }));
  CHECK(holds("a request", [&names] {
    FlowEvent event = event_with(AppProtocol::http);
    const std::string method = *hostile_bytes();
    const std::string target = *hostile_bytes();
    event.set(EventText::method, method, 255);
    event.set(EventText::target, target, 2048);
    const Json line = parsed_line(to_eve(event, names));
    if (!method.empty()) RC_ASSERT(line["http"]["http_method"] == readable(method));
    if (!target.empty()) RC_ASSERT(line["http"]["url"] == readable(target));
    RC_ASSERT(line["verdict"]["action"] == "deny");
  }));
  CHECK(holds("a query, from a capture", [&names] {
    FlowEvent event = event_with(AppProtocol::dns);
    const std::string host = *hostile_bytes();
    event.set(EventText::host, host, 255);
    const std::vector<std::string> hosts{host, *hostile_bytes()};
    const Json line = parsed_line(to_eve_of_capture(event, event, hosts, names, host));
    RC_ASSERT(line["pcap"] == readable(host));
    RC_ASSERT(line["host"] == readable(host));
    RC_ASSERT(line["hosts"] == Json::array({readable(host), readable(hosts[1])}));
    if (!host.empty()) RC_ASSERT(line["dns"]["rrname"] == readable(host));
    RC_ASSERT(line["verdict"]["action"] == "deny");
  }));
}

TEST_CASE("times of any order are their own", "[eve]") {
  EveTime time;
  const std::pair<uint64_t, std::string> rows[] = {
      {1'700'000'000'000'001'999, "2023-11-14T22:13:20.000001+0000"},
      {1'700'000'000'999'999'999, "2023-11-14T22:13:20.999999+0000"},
      {1'700'000'001'000'000'000, "2023-11-14T22:13:21.000000+0000"},
      {1'700'000'000'000'000'000, "2023-11-14T22:13:20.000000+0000"},
      {0, "1970-01-01T00:00:00.000000+0000"},
      {UINT64_MAX, "2554-07-21T23:34:33.709551+0000"}};
  for (const auto& [unix_ns, said] : rows) CHECK(time(unix_ns) == said);
}
