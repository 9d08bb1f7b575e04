#include <malloc.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/inspect/http2_connection.h"
#include "tests/support/http2_builder.h"
#include "tests/support/http_helper.h"

using namespace sallyport;
using namespace sallyport::test;
using namespace std::string_literals;

namespace {

constexpr std::string_view kNames[] = {"user-agent", "x-a"};

struct Adapter {
  std::unique_ptr<Http2Connection> connection = std::make_unique<Http2Connection>();

  HttpStep next(const Bytes& window, bool, HttpRequest& out) {
    return connection->next(window, kNames, http_scratch(), out);
  }
  void allow(const HttpRequest&) { connection->allow(); }
  void turn() { connection->turn(); }
};

HttpRun run(const std::vector<Bytes>& pieces) {
  Adapter adapter;
  HttpFeeder feeder(adapter);
  for (const Bytes& piece : pieces) feeder.feed(piece);
  return feeder.run();
}

std::string answer(const Bytes& stream) {
  return run({stream}).text;
}
/// Of one request behind the preface.
std::string request(const H2Fields& fields) {
  return answer(h2_start() + h2_request(1, fields));
}

struct FieldRow {
  std::string what;
  H2Fields fields;
  std::string answer;
};
void check_rows(const std::vector<FieldRow>& rows) {
  for (const FieldRow& row : rows) {
    INFO(row.what);
    CHECK(request(row.fields) == row.answer);
  }
}

struct FrameRow {
  std::string what;
  Bytes frames;  // behind preface, SETTINGS and a first request on stream 3, which stays open
  std::string answer;
};
void check_rows(const std::vector<FrameRow>& rows) {
  const Bytes first = h2_start() + h2_open(3, h2_get("a.b", "/1"));
  for (const FrameRow& row : rows) {
    INFO(row.what);
    const HttpRun got = run({first + row.frames});
    CHECK(got.text == "GET a.b /1" + (row.answer.empty() ? "" : " | " + row.answer));
    if (row.answer.empty()) CHECK(got.forwarded_bytes == first.size() + row.frames.size());
  }
}

H2Fields get(const H2Fields& more = {}) {
  return h2_get("a.b", "/") + more;
}
Bytes headers(uint8_t flags, uint32_t stream, const Bytes& payload) {
  return h2_frame(kH2Headers, flags, stream, payload);
}
Bytes zeros(size_t size) {
  return Bytes(size, 0);
}

constexpr auto kBadFrame = "fault http2_bad_frame";
constexpr auto kBadContinuation = "fault http2_bad_continuation";
constexpr auto kBadBlock = "fault http2_bad_header_block";
constexpr auto kBadPseudo = "fault http2_bad_pseudo_header";
constexpr auto kBadField = "fault http2_bad_field";
constexpr auto kBadHost = "fault http_bad_host";
constexpr auto kConflict = "fault http_host_conflict";
constexpr auto kTooLong = "fault http2_headers_too_long";

// Whole conversations, each byte of which may be forwarded.
std::vector<Bytes> good_streams() {
  H2Encoder one;
  H2Encoder two;
  const H2Fields agent{{"user-agent", "grpc-go/1.60"}};
  // In order: each block refers to what those before it put into the table.
  Bytes plain = h2_start();
  append(plain, one.request(1, get(agent)));
  append(plain, h2_frame(kH2Ping, 0, 0, zeros(8)));
  append(plain, one.request(3, get(agent)));
  append(plain, one.request(7, h2_get("c.d", "/x")));

  const Bytes block = two.encode(get({{"x-a", "1"}, {"x-a", "2"}}));
  const Bytes front(block.begin(), block.begin() + 7);
  const Bytes back(block.begin() + 7, block.end());
  Bytes varied = h2_preface() + h2_frame(kH2Settings, 0, 0, zeros(18));
  append(varied, h2_frame(kH2WindowUpdate, 0, 0, zeros(4)));
  append(varied, h2_frame(kH2Priority, 0, 9, zeros(5)));
  append(varied, headers(kH2Padded | kH2Prioritised, 1, Bytes{3} + zeros(5) + front + zeros(3)));
  append(varied, h2_frame(kH2Continuation, 0, 1));
  append(varied, h2_frame(kH2Continuation, kH2EndHeaders, 1, back));
  append(varied, h2_frame(kH2Data, 0, 1, Bytes(40, 'x')));
  append(varied, h2_frame(kH2Settings, kH2Ack, 0));
  append(varied, headers(kH2EndHeaders | kH2EndStream, 1, two.encode({{"x-check", "9"}})));
  append(varied, h2_frame(kH2Goaway, 0, 0, zeros(8)));
  return {plain, varied};
}

}  // namespace

TEST_CASE("a request on a stream gives all that a policy may ask for", "[http2]") {
  check_rows(std::vector<FieldRow>{
      {"plain", get(), "GET a.b /"},
      {"path without query", h2_get("a.b", "/x?y=/z"), "GET a.b /x"},
      {"canonical path", h2_get("A.B.:80", "/%7eu/./x"), "GET a.b /~u/x"},
      {"two readings", h2_get("a.b", "/@s%2fn"), "GET a.b /@s%2Fn or /@s/n"},
      {"fields asked for", get({{"user-agent", "curl/8"}, {"x-b", "no"}, {"x-a", ""}}),
       "GET a.b / user-agent=curl/8 x-a="},
      {"a field twice", get({{"x-a", "1"}, {"x-a", "2"}}), "GET a.b / x-a=1 x-a=2"},
      {"te: trailers", get({{"te", "trailers"}}), "GET a.b /"},
      {"address", h2_get("[2001:db8::1]:8080", "/"), "GET - /"},
      {"Host alone",
       {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "a.b"}},
       "GET a.b /"},
      {"the same Host", get({{"host", "A.b:80"}}), "GET a.b /"},
      {"the https default",
       {{":method", "GET"},
        {":scheme", "https"},
        {":path", "/"},
        {":authority", "a.b:443"},
        {"host", "a.b"}},
       "GET a.b /"},
      {"asterisk",
       {{":method", "OPTIONS"}, {":scheme", "http"}, {":path", "*"}, {":authority", "a.b"}},
       "OPTIONS a.b -"},
      {"CONNECT", {{":method", "CONNECT"}, {":authority", "c.d:443"}}, "CONNECT c.d - connect"},
      {"extended CONNECT",
       {{":method", "CONNECT"},
        {":protocol", "websocket"},
        {":scheme", "http"},
        {":path", "/w"},
        {":authority", "a.b"}},
       "CONNECT a.b /w websocket"},
  });
}

TEST_CASE("pseudo-headers are RFC 9113 section 8.3, to the letter", "[http2]") {
  const H2Fields no_method{{":scheme", "http"}, {":path", "/"}, {":authority", "a.b"}};
  const H2Fields no_scheme{{":method", "GET"}, {":path", "/"}, {":authority", "a.b"}};
  const H2Fields no_path{{":method", "GET"}, {":scheme", "http"}, {":authority", "a.b"}};
  check_rows(std::vector<FieldRow>{
      {"nothing", {}, kBadPseudo},
      {"no method", no_method, kBadPseudo},
      {"no scheme", no_scheme, kBadPseudo},
      {"no path", no_path, kBadPseudo},
      {"empty method", no_method + H2Fields{{":method", ""}}, kBadPseudo},
      {"a method that is no token", no_method + H2Fields{{":method", "GET /x"}}, kBadPseudo},
      {"empty path", no_path + H2Fields{{":path", ""}}, kBadPseudo},
      {"asterisk of GET", no_path + H2Fields{{":path", "*"}}, kBadPseudo},
      {"two paths", get({{":path", "/"}}), kBadPseudo},
      {"two methods", get({{":method", "GET"}}), kBadPseudo},
      {"two authorities", get({{":authority", "a.b"}}), kBadPseudo},
      {"two schemes", get({{":scheme", "http"}}), kBadPseudo},
      {"behind a field", no_path + H2Fields{{"x", "y"}, {":path", "/"}}, kBadPseudo},
      {"an unknown one", get({{":x", "y"}}), kBadPseudo},
      {"a response's", get({{":status", "200"}}), kBadPseudo},
      {"CONNECT with a path", get({}) + H2Fields{}, "GET a.b /"},
      {"CONNECT with path and scheme",
       {{":method", "CONNECT"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a.b:1"}},
       kBadPseudo},
      {"CONNECT without authority", {{":method", "CONNECT"}, {"host", "a.b:1"}}, kBadPseudo},
      {"a protocol of GET", get({{":protocol", "websocket"}}), kBadPseudo},
      {"another protocol",
       {{":method", "CONNECT"},
        {":protocol", "connect-udp"},
        {":scheme", "http"},
        {":path", "/w"},
        {":authority", "a.b"}},
       "fault http_upgrade_refused"},
      {"a bad path", h2_get("a.b", "/%00"), "fault http_bad_path"},
      {"a path without slash", h2_get("a.b", "x"), "fault http_bad_path"},
      {"a URL for path", h2_get("a.b", "http://c.d/"), "fault http_bad_path"},
      {"a space in the query", h2_get("a.b", "/?a HTTP/1.1"), "fault http_bad_path"},
      {"a tab in the query", h2_get("a.b", "/?a\tb"), "fault http_bad_path"},
  });
}

TEST_CASE("a request names exactly one host", "[http2]") {
  const H2Fields none{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}};
  check_rows(std::vector<FieldRow>{
      {"none", none, kBadHost},
      {"empty authority", h2_get("", "/"), kBadHost},
      {"empty Host", none + H2Fields{{"host", ""}}, kBadHost},
      {"a user", h2_get("user@a.b", "/"), kBadHost},
      {"two Hosts", none + H2Fields{{"host", "a.b"}, {"host", "a.b"}}, kBadHost},
      {"two Hosts beside authority", get({{"host", "a.b"}, {"host", "a.b"}}), kBadHost},
      {"a bad Host beside authority", get({{"host", "a b"}}), kBadHost},
      {"another Host", get({{"host", "c.d"}}), kConflict},
      {"another port", get({{"host", "a.b:8080"}}), kConflict},
      {"another scheme's port", get({{"host", "a.b:443"}}), kConflict},
      {"an address", get({{"host", "192.0.2.1"}}), kConflict},
  });
}

TEST_CASE("fields are RFC 9113 section 8.2, to the letter", "[http2]") {
  std::vector<FieldRow> rows{
      {"upper case", get({{"X-A", "1"}}), kBadField},
      {"upper-case Host", get({{"Host", "a.b"}}), kBadField},
      {"no name", get({{"", "1"}}), kBadField},
      {"a name that is no token", get({{"x y", "1"}}), kBadField},
      {"a colon in a name", get({{"x:y", "1"}}), kBadField},
      {"LF in a value", get({{"x", "a\nhost: c.d"}}), kBadField},
      {"CR in a value", get({{"x", "a\rb"}}), kBadField},
      {"NUL in a value", get({{"x", "a\0b"s}}), kBadField},
      {"LF in the path", h2_get("a.b", "/\n"), kBadField},
      {"space first", get({{"x", " a"}}), kBadField},
      {"space last", get({{"x", "a "}}), kBadField},
      {"te: gzip", get({{"te", "gzip"}}), kBadField},
      {"a length that is none", get({{"content-length", "+3"}}), "fault http_bad_length"},
      {"two lengths", get({{"content-length", "3"}, {"content-length", "3"}}),
       "fault http_bad_length"},
      {"64 lines asked for", get(H2Fields(64, {"x-a", ""})),
       request(get(H2Fields(64, {"x-a", ""})))},
      {"65", get(H2Fields(65, {"x-a", ""})), "fault http_many_fields"},
  };
  for (const std::string name : {"connection", "proxy-connection", "keep-alive",
                                 "transfer-encoding", "upgrade", "http2-settings"}) {
    rows.push_back({name, get({{name, "x"}}), kBadField});
  }
  check_rows(rows);
}

TEST_CASE("frames are RFC 9113 section 6, to the letter", "[http2]") {
  const Bytes ok = hpack_literals(h2_get("a.b", "/2"));
  constexpr uint8_t kWhole = kH2EndHeaders | kH2EndStream;
  const Bytes trailers = headers(kWhole, 3, hpack_literals({{"x", "y"}}));
  check_rows(std::vector<FrameRow>{
      {"the next stream", headers(kWhole, 5, ok), "GET a.b /2"},
      {"a skipped one", headers(kWhole, 99, ok), "GET a.b /2"},
      {"the reserved bit", headers(kWhole, 0x80000005, ok), "GET a.b /2"},
      {"a server's stream", headers(kWhole, 4, ok), kBadFrame},
      {"no stream", headers(kWhole, 0, ok), kBadFrame},
      {"padding", headers(kWhole | kH2Padded, 5, Bytes{2} + ok + zeros(2)), "GET a.b /2"},
      {"priority", headers(kWhole | kH2Prioritised, 5, zeros(5) + ok), "GET a.b /2"},
      {"padding alone", headers(kWhole | kH2Padded, 5, Bytes{2, 0, 0}), kBadPseudo},
      {"more padding than frame", headers(kWhole | kH2Padded, 5, Bytes{200} + ok), kBadFrame},
      {"no room for padding", headers(kWhole | kH2Padded, 5, {}), kBadFrame},
      {"no room for priority", headers(kWhole | kH2Prioritised, 5, zeros(4)), kBadFrame},
      {"padding over priority",
       headers(kWhole | kH2Padded | kH2Prioritised, 5, Bytes{1} + zeros(5)), kBadFrame},
      {"trailers", headers(kWhole, 3, hpack_literals({{"x", "y"}})), ""},
      {"trailers that do not end", headers(kH2EndHeaders, 3, hpack_literals({{"x", "y"}})),
       kBadFrame},
      {"a second request on a stream", headers(kWhole, 3, ok), kBadPseudo},
      {"a request on a lower stream", headers(kWhole, 1, ok), kBadPseudo},
      {"Host in trailers", headers(kWhole, 3, hpack_literals({{"host", "c.d"}})), kBadField},
      {"DATA", h2_frame(kH2Data, kH2EndStream, 3, zeros(20000)), ""},
      {"DATA of no stream", h2_frame(kH2Data, 0, 0, zeros(1)), kBadFrame},
      {"DATA of a stream not open", h2_frame(kH2Data, 0, 5, zeros(1)), kBadFrame},
      {"DATA behind the end", h2_frame(kH2Data, kH2EndStream, 3) + h2_frame(kH2Data, 0, 3),
       kBadFrame},
      {"DATA behind trailers", trailers + h2_frame(kH2Data, 0, 3), kBadFrame},
      {"DATA behind a reset", h2_frame(kH2Reset, 0, 3, zeros(4)) + h2_frame(kH2Data, 0, 3),
       kBadFrame},
      {"DATA behind a whole request", headers(kWhole, 5, ok) + h2_frame(kH2Data, 0, 5),
       "GET a.b /2 | " + std::string(kBadFrame)},
      {"DATA of a stream that was skipped", h2_frame(kH2Data, 0, 1), kBadFrame},
      {"trailers twice", trailers + trailers, kBadFrame},
      {"a window and a reset behind the end",
       h2_frame(kH2Data, kH2EndStream, 3) + h2_frame(kH2WindowUpdate, 0, 3, zeros(4)) +
           h2_frame(kH2Reset, 0, 3, zeros(4)),
       ""},
      {"DATA of a server's stream", h2_frame(kH2Data, 0, 2, zeros(1)), kBadFrame},
      {"CONTINUATION alone", h2_frame(kH2Continuation, kH2EndHeaders, 3), kBadContinuation},
      {"PUSH_PROMISE", h2_frame(kH2PushPromise, kH2EndHeaders, 3, zeros(4)), kBadFrame},
      {"SETTINGS of a stream", h2_frame(kH2Settings, 0, 3), kBadFrame},
      {"SETTINGS of 5 bytes", h2_frame(kH2Settings, 0, 0, zeros(5)), kBadFrame},
      {"SETTINGS acknowledged with bytes", h2_frame(kH2Settings, kH2Ack, 0, zeros(6)), kBadFrame},
      {"PING of 7 bytes", h2_frame(kH2Ping, 0, 0, zeros(7)), kBadFrame},
      {"PING of a stream", h2_frame(kH2Ping, 0, 3, zeros(8)), kBadFrame},
      {"GOAWAY of 7 bytes", h2_frame(kH2Goaway, 0, 0, zeros(7)), kBadFrame},
      {"GOAWAY of a stream", h2_frame(kH2Goaway, 0, 3, zeros(8)), kBadFrame},
      {"RST_STREAM", h2_frame(kH2Reset, 0, 3, zeros(4)), ""},
      {"RST_STREAM of a stream not open", h2_frame(kH2Reset, 0, 5, zeros(4)), kBadFrame},
      {"RST_STREAM of 5 bytes", h2_frame(kH2Reset, 0, 3, zeros(5)), kBadFrame},
      {"PRIORITY of 4 bytes", h2_frame(kH2Priority, 0, 3, zeros(4)), kBadFrame},
      {"PRIORITY of no stream", h2_frame(kH2Priority, 0, 0, zeros(5)), kBadFrame},
      {"WINDOW_UPDATE of 3 bytes", h2_frame(kH2WindowUpdate, 0, 0, zeros(3)), kBadFrame},
      {"an unknown type", h2_frame(0x10, 0xff, 0, zeros(300)), ""},
      {"one of 16,384 bytes", h2_frame(0x10, 0, 0, zeros(16384)), ""},
      {"one byte more", h2_frame(0x10, 0, 0, zeros(16385)), kBadFrame},
      {"GOAWAY of 16,385 bytes", h2_frame(kH2Goaway, 0, 0, zeros(16385)), kBadFrame},
      {"SETTINGS of 16,386 bytes", h2_frame(kH2Settings, 0, 0, zeros(16386)), kBadFrame},
      {"a text for a frame", bytes_of("GET / HTTP/1.1\r\n"), kBadFrame},
      {"a long DATA frame, and a request behind it",
       h2_frame(kH2Data, kH2EndStream, 3, zeros(100'000)) + headers(kWhole, 5, ok), "GET a.b /2"},
      {"a HEADERS frame longer than its bound", prefix_of(headers(0, 5, zeros(32'760)), 9),
       kTooLong},
      {"HEADERS and CONTINUATION longer than it",
       headers(0, 5, zeros(20'000)) + prefix_of(h2_frame(kH2Continuation, 0, 5, zeros(20'000)), 9),
       kTooLong},
  });
  CHECK(answer(h2_preface() + h2_request(1, get())) == kBadFrame);
  const Bytes ack = h2_frame(kH2Settings, kH2Ack, 0);
  CHECK(answer(h2_preface() + ack + h2_frame(kH2Settings, 0, 0) + h2_request(1, get())) ==
        "GET a.b /");
  CHECK(answer(h2_preface() + ack + h2_request(1, get())) == kBadFrame);
  CHECK(answer(h2_preface() + h2_frame(0x10, 0, 0)) == kBadFrame);
  CHECK(answer(bytes_of("PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n")) == "not_http");
}

TEST_CASE("a header block may span frames, and nothing may stand in between", "[http2]") {
  const Bytes block = hpack_literals(h2_get("a.b", "/2"));
  const Bytes front(block.begin(), block.begin() + 9);
  const Bytes back(block.begin() + 9, block.end());
  const auto more = [](uint8_t flags, uint32_t stream, const Bytes& payload) {
    return h2_frame(kH2Continuation, flags, stream, payload);
  };
  Bytes empty_ones;
  for (size_t i = 0; i < kMaxHttp2BlockFrames - 2; ++i) append(empty_ones, more(0, 5, {}));
  const Bytes start = headers(0, 5, front);
  const Bytes end = more(kH2EndHeaders, 5, back);
  check_rows(std::vector<FrameRow>{
      {"two frames", start + end, "GET a.b /2"},
      {"as many as allowed", start + empty_ones + end, "GET a.b /2"},
      {"one more", start + empty_ones + more(0, 5, {}) + end, kBadContinuation},
      {"PING between", start + h2_frame(kH2Ping, 0, 0, zeros(8)) + end, kBadContinuation},
      {"HEADERS between", start + headers(kH2EndHeaders, 7, block) + end, kBadContinuation},
      {"an unknown type between", start + h2_frame(0x10, 0, 0) + end, kBadContinuation},
      {"another stream's", start + more(kH2EndHeaders, 7, back), kBadContinuation},
  });
}

TEST_CASE("header blocks are held to HPACK and to bounds", "[http2]") {
  const auto whole = [](const Bytes& block) {
    return answer(h2_start() + headers(kH2EndHeaders | kH2EndStream, 1, block));
  };
  const Bytes good = hpack_literals(get());
  CHECK(whole(Bytes{0x80}) == kBadBlock);                       // index 0
  CHECK(whole(Bytes{0xff, 0x7f}) == kBadBlock);                 // an index not in the table
  CHECK(whole(prefix_of(good, good.size() - 1)) == kBadBlock);  // cut
  CHECK(whole(Bytes{0x3f, 0xe1, 0x1f} + good) == "GET a.b /");  // a table of 4,096 bytes
  CHECK(whole(Bytes{0x3f, 0xe2, 0x1f} + good) == kBadBlock);    // of 4,097
  CHECK(whole(good + Bytes{0x20}) == kBadBlock);                // resized behind a field
  CHECK(whole(Bytes{0x00, 0x81, 0xff, 0x00}) == kBadBlock);     // Huffman padding over 7 bits

  const size_t room = kMaxRequestHeadBytes - 9 - good.size() - 8;
  const auto padded = [&](size_t size) {
    return whole(good + hpack_literals({{"x", std::string(size, 'x')}}));
  };
  CHECK(padded(16000) == "GET a.b /");
  CHECK(padded(room - 1) == "GET a.b /");
  CHECK(padded(room + 10) == kTooLong);
  // A kilobyte in the table, referred to by a byte each: long once decoded.
  const Bytes bomb = hpack_literals({{"x", std::string(1000, 'x')}}, 0x40);
  CHECK(whole(good + bomb + Bytes(50, 0xbe)) == "GET a.b /");
  CHECK(whole(good + bomb + Bytes(70, 0xbe)) == kTooLong);
}

TEST_CASE("later blocks refer to what earlier ones put into the table", "[http2]") {
  H2Encoder encoder;
  const H2Fields fields = h2_get("models.example.net", "/v1/long/path") +
                          H2Fields{{"user-agent", "grpc-python/1.62"}, {"x-a", "token"}};
  Bytes stream = h2_start();
  std::string expected;
  for (uint32_t i = 0; i < 20; ++i) {
    append(stream, encoder.request(2 * i + 1, fields));
    expected += (i == 0 ? "" : " | ") +
                "GET models.example.net /v1/long/path user-agent=grpc-python/1.62 x-a=token"s;
  }
  CHECK(answer(stream) == expected);
}

TEST_CASE("the memory of a connection holds any table that HPACK allows", "[http2]") {
  // Entries of every size, over and over: what an encoder leaves in a table of 4,096 bytes.
  for (size_t size = 0; size <= 4000; size = size < 64 ? size + 1 : size + 61) {
    CAPTURE(size);
    for (const bool huffman : {false, true}) {
      H2Encoder encoder;
      Adapter adapter;
      HttpFeeder feeder(adapter);
      feeder.feed(h2_start());
      for (uint32_t i = 0; i < 150; ++i) {
        const H2Fields fields =
            get({{"x" + std::to_string(i % 7), std::string(size, 'a') + std::to_string(i)}});
        feeder.feed(huffman ? encoder.request(2 * i + 1, fields)
                            : headers(kH2EndHeaders | kH2EndStream, 2 * i + 1,
                                      hpack_literals(fields, 0x40)));
      }
      REQUIRE_FALSE(feeder.run().over);
    }
  }
}

TEST_CASE("decoding takes nothing from the process's heap", "[http2]") {
  const Bytes stream = good_streams().front();
  Http2Connection connection;
  HttpRequest request;
  const auto before = mallinfo2().uordblks;
  const auto step = connection.next(stream, kNames, http_scratch(), request);
  const auto after = mallinfo2().uordblks;
  CHECK(step.status == HttpStep::Status::request);
  CHECK(before == after);
}

TEST_CASE("nothing leaves before the first request is allowed", "[http2]") {
  Http2Connection connection;
  HttpRequest request;
  const Bytes start = h2_start() + h2_frame(kH2WindowUpdate, 0, 0, zeros(4));
  const Bytes first = h2_open(1, get());
  const Bytes window = start + first + h2_frame(kH2Data, 0, 1, zeros(9));
  for (size_t size = 0; size < start.size() + first.size(); ++size) {
    const auto step = connection.next(prefix_of(window, size), kNames, http_scratch(), request);
    REQUIRE(step.status == HttpStep::Status::need_more);
    REQUIRE(step.forward_bytes == 0);
  }
  CHECK(connection.next(window, kNames, http_scratch(), request).status ==
        HttpStep::Status::request);
  CHECK(request.head_bytes == start.size() + first.size());
  // Asked again, it waits for the decision.
  HttpRequest other;
  const auto again = connection.next(window, kNames, http_scratch(), other);
  CHECK(again.status == HttpStep::Status::need_more);
  CHECK(again.forward_bytes == 0);
  connection.allow();
  const Bytes rest(window.begin() + static_cast<std::ptrdiff_t>(request.head_bytes), window.end());
  CHECK(connection.next(rest, kNames, http_scratch(), request).forward_bytes == rest.size());
}

TEST_CASE("records get what a request at fault seems to say", "[http2]") {
  Http2Connection connection;
  HttpRequest request;
  const Bytes bad =
      h2_start() + h2_request(1, h2_get("192.0.2.1:80", "/x?y") + H2Fields{{"X", ""}});
  REQUIRE(connection.next(bad, kNames, http_scratch(), request).fault ==
          InspectFault::http2_bad_field);
  CHECK(request.method == "GET");
  CHECK(request.target == "/x?y");
  CHECK(request.authority == "192.0.2.1:80");
}

TEST_CASE("after a fault there is nothing but the fault", "[http2]") {
  Http2Connection connection;
  HttpRequest request;
  const Bytes bad = h2_start() + h2_frame(kH2Ping, 0, 0, zeros(7));
  CHECK(connection.next(bad, kNames, http_scratch(), request).fault ==
        InspectFault::http2_bad_frame);
  const auto step = connection.next(h2_start(), kNames, http_scratch(), request);
  CHECK(step.fault == InspectFault::http2_bad_frame);
  CHECK(step.forward_bytes == 0);
}

TEST_CASE("every split of a connection gives the answers of the whole", "[http2]") {
  auto streams = good_streams();
  const size_t good = streams.size();
  streams.push_back(streams[0] + h2_frame(kH2Data, 0, 0));
  streams.push_back(streams[1] + headers(0, 3, hpack_literals(get())) + h2_frame(kH2Ping, 0, 0));
  streams.push_back(h2_start() + h2_request(1, get({{"X", "y"}})));
  for (size_t i = 0; i < streams.size(); ++i) {
    const Bytes& whole = streams[i];
    const HttpRun expected = run({whole});
    INFO(expected.text);
    if (i < good) CHECK(expected.forwarded_bytes == whole.size());
    std::vector<Bytes> bytewise;
    for (size_t cut = 0; cut < whole.size(); ++cut) {
      CAPTURE(cut);
      const auto middle = whole.begin() + static_cast<std::ptrdiff_t>(cut);
      const HttpRun split = run({{whole.begin(), middle}, {middle, whole.end()}});
      REQUIRE(split.text == expected.text);
      REQUIRE(split.forwarded_bytes == expected.forwarded_bytes);
      const HttpRun prefix = run({prefix_of(whole, cut)});
      REQUIRE(expected.text.starts_with(prefix.text));
      REQUIRE(prefix.forwarded_bytes <= std::min(cut, expected.forwarded_bytes));
      bytewise.push_back({whole[cut]});
    }
    CHECK(run(bytewise).text == expected.text);
  }
}
