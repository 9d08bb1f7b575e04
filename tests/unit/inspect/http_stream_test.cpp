#include "dataplane/inspect/http_stream.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/http_helper.h"

using namespace sallyport;
using namespace sallyport::test;
using namespace std::string_literals;

namespace {

constexpr std::string_view kNames[] = {"user-agent", "x-a"};

/// How the server behind the gateway behaves.
struct Server {
  uint16_t tunnel_status = 0;  ///< Its answer to a request for a tunnel; 0: none.
};

std::string empty_answer(uint16_t status) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\n" +
         (status < 200 ? "" : "Content-Length: 0\r\n") + "\r\n";
}

struct Adapter {
  HttpStream stream;
  Server server;

  HttpStep next(const Bytes& window, bool ended, HttpRequest& out) {
    if (stream.awaits_response() && server.tunnel_status != 0) {
      stream.read_server(bytes_of(empty_answer(server.tunnel_status)));
    }
    return stream.next(window, ended, kNames, http_scratch(), out);
  }
  void allow(const HttpRequest&) { stream.allow(); }
};

HttpRun run(const std::vector<Bytes>& pieces, Server server = {}, bool ended = false) {
  Adapter adapter{{}, server};
  HttpFeeder feeder(adapter);
  for (const Bytes& piece : pieces) feeder.feed(piece);
  if (ended) feeder.feed({}, true);
  return feeder.run();
}

std::string answer(const std::string& stream, Server server = {}) {
  return run({bytes_of(stream)}, server).text;
}

struct Row {
  std::string what;
  std::string stream;
  std::string answer;
};

void check_rows(const std::vector<Row>& rows, Server server = {}) {
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(answer(row.stream, server) == row.answer);
  }
}

std::string get(std::string_view path, std::string_view lines = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a.b\r\n" + std::string(lines) + "\r\n";
}
std::string post(std::string_view lines, std::string_view body) {
  return "POST /p HTTP/1.1\r\nHost: a.b\r\n" + std::string(lines) + "\r\n" + std::string(body);
}
std::string chunked(std::string_view body) {
  return post("Transfer-Encoding: chunked\r\n", body);
}

const std::string kWebsocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const std::string kConnect = "CONNECT c.d:443 HTTP/1.1\r\nHost: c.d:443\r\n\r\n";
const std::string kNext = get("/next");
constexpr auto kBadChunk = "POST a.b /p | fault http_bad_chunk";
constexpr auto kBadLength = "fault http_bad_length";
constexpr auto kBadCoding = "fault http_bad_transfer_coding";
constexpr auto kRefused = "fault http_upgrade_refused";

// Whole conversations, each byte of which may be forwarded.
std::vector<std::string> good_streams() {
  return {
      get("/"),
      get("/a?b=c", "User-Agent: pip/24\r\nX-A: 1\r\nAccept: */*\r\nX-A: 2\r\n"),
      get("/1") + get("/2") + get("/3"),
      get("/1") + "\r\n\r\n" + get("/2"),
      post("Content-Length: 5\r\n", "hello") + kNext,
      post("Content-Length: 0\r\n", "") + kNext,
      get("/1", "Content-Length: 12\r\n") + "{\"query\": {}}"s.substr(0, 12) + kNext,
      get("/1", "Transfer-Encoding: chunked\r\n") + "3\r\n{ }\r\n0\r\n\r\n" + kNext,
      "DELETE /x HTTP/1.1\r\nHost: a.b\r\nContent-Length: 11\r\n\r\nhello world" + kNext,
      "DELETE /x HTTP/1.1\r\nHost: a.b\r\nContent-Length: 5\r\n\r\nid=17" + kNext,
      post("Content-Length: 37\r\n", "GET /hidden HTTP/1.1\r\nHost: c.d\r\n\r\nxx") + kNext,
      chunked("5\r\nhello\r\n00a;x=\"y z\" ; q\r\n0123456789\r\n0\r\n\r\n") + kNext,
      chunked("1f\r\n" + std::string(31, '\n') + "\r\n000\r\nX-T: 1\r\nExpires: x\r\n\r\n") + kNext,
      "POST http://a.b/x HTTP/1.0\r\nContent-Length: 2\r\n\r\nok" + kNext,
      "OPTIONS * HTTP/1.1\r\nHost: a.b\r\n\r\n" + kNext,
      "GET /old?x\r\n\r\n\n",
  };
}

}  // namespace

TEST_CASE("a request gives all that a policy may ask for", "[http_stream]") {
  check_rows({
      {"path without query", get("/models/x?y=/z"), "GET a.b /models/x"},
      {"empty query", get("/?"), "GET a.b /"},
      {"canonical path", get("/%7eu/./x"), "GET a.b /~u/x"},
      {"two readings", get("/@s%2fn"), "GET a.b /@s%2Fn or /@s/n"},
      {"query left alone", get("/?a=%zz#"), "GET a.b /"},
      {"absolute-form", "GET HTTP://A.b:80/x?y HTTP/1.1\r\nHost: a.b\r\n\r\n", "GET a.b /x"},
      {"absolute-form without path", "GET http://a.b?y HTTP/1.1\r\nHost: a.b\r\n\r\n", "GET a.b /"},
      {"any method", "PURGE /x HTTP/1.1\r\nHost: a.b\r\n\r\n", "PURGE a.b /x"},
      {"address", "GET /x HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", "GET - /x"},
      {"HTTP/1.0 without Host", "GET /x HTTP/1.0\r\n\r\n", "GET - /x"},
      {"asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: a.b\r\n\r\n", "OPTIONS a.b -"},
      {"CONNECT", kConnect, "CONNECT c.d - connect"},
      {"websocket", get("/w", kWebsocket), "GET a.b /w websocket"},
      {"fields asked for", get("/", "USER-agent: \t pip/24 \r\nX-B: no\r\nx-a:\r\n"),
       "GET a.b / user-agent=pip/24 x-a="},
      {"a field twice", get("/", "X-A: 1\r\nX-A: 2\r\n"), "GET a.b / x-a=1 x-a=2"},
      {"a bad path", get("/a%00b"), "fault http_bad_path"},
      {"a bad path in absolute-form", "GET http://a.b/% HTTP/1.1\r\nHost: a.b\r\n\r\n",
       "fault http_bad_path"},
  });
}

TEST_CASE("records get what was sent", "[http_stream]") {
  HttpStream stream;
  HttpRequest request;
  const Bytes window =
      bytes_of("GET http://192.0.2.1:80/a%41?q HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n");
  REQUIRE(stream.next(window, false, {}, http_scratch(), request).status ==
          HttpStep::Status::request);
  CHECK(request.target == "http://192.0.2.1:80/a%41?q");
  CHECK(request.authority == "192.0.2.1:80");
  CHECK(request.head_bytes == window.size());
}

TEST_CASE("records get what a request at fault seems to say", "[http_stream]") {
  struct RecordRow {
    std::string head;
    std::string method, target, authority;
  };
  for (const RecordRow& row : std::vector<RecordRow>{
           {"GET /x HTTP/1.1\nHost: a.b\n\n", "GET", "/x", "a.b"},
           {"GET /x y HTTP/1.1\r\nHost : a.b:80 \r\n\r\n", "GET", "/x y", "a.b:80"},
           {"GET /x HTTP/1.1\r\nX\r\nHOST:\ta.b\r\n\r\n", "GET", "/x", "a.b"},
           {"GET /x HTTP/1.1\r\nHost: a.b\r\nHost: c.d\r\n\r\n", "GET", "/x", "a.b"},
           {"GET /% HTTP/1.1\r\nHost: a.b\r\n\r\n", "GET", "/%", "a.b"},
           {"GET / HTTP/1.1\r\nUpgrade: h2c\r\nHost: a.b\r\n\r\n", "GET", "/", "a.b"},
           {"GET\t/ HTTP/1.1\r\n\r\n", "GET", "/", ""},
           {"\r\n\nGET HTTP/1.1\r\n\r\nHost: a.b\r\n", "GET", "HTTP/1.1", ""},
       }) {
    CAPTURE(row.head);
    HttpStream stream;
    HttpRequest request;
    const Bytes window = bytes_of(row.head);
    REQUIRE(stream.next(window, false, {}, http_scratch(), request).status ==
            HttpStep::Status::fault);
    CHECK(request.method == row.method);
    CHECK(request.target == row.target);
    CHECK(request.authority == row.authority);
  }
}

TEST_CASE("bodies are followed to the next request", "[http_stream]") {
  const std::string two = "POST a.b /p | GET a.b /next";
  check_rows({
      {"no body", get("/1") + kNext, "GET a.b /1 | GET a.b /next"},
      {"a length", post("Content-Length: 3\r\n", "abc") + kNext, two},
      {"a length of a GET", get("/1", "Content-Length: 3\r\n") + "abc" + kNext,
       "GET a.b /1 | GET a.b /next"},
      {"leading zeros", post("Content-Length: 003\r\n", "abc") + kNext, two},
      {"a request as body", post("Content-Length: 20\r\n", "GET /x HTTP/1.1\r\n\r\nx") + kNext,
       two},
      {"chunks", chunked("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n") + kNext, two},
      {"chunked in another case", post("transfer-encoding:CHUNKED\r\n", "0\r\n\r\n") + kNext, two},
      {"an extension", chunked("3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n") + kNext, two},
      {"space around an extension", chunked("3 ; a\r\nabc\r\n0\r\n\r\n") + kNext, two},
      {"a trailer", chunked("0\r\nX: y\r\n\r\n") + kNext, two},
      {"line ends in chunk data", chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n") + kNext, two},
  });
}

TEST_CASE("bodies that two servers could end in different places are faults", "[http_stream]") {
  const std::string both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n";
  const auto length = [](std::string_view value) {
    return post("Content-Length:" + std::string(value) + "\r\n", "abc");
  };
  const auto coding = [](std::string_view value) {
    return post("Transfer-Encoding:" + std::string(value) + "\r\n", "0\r\n\r\n");
  };
  check_rows({
      {"length and coding", post(both, "0\r\n\r\n"), kBadLength},
      {"two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), kBadLength},
      {"the same length twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", ""), kBadLength},
      {"a list of lengths", length(" 3, 3"), kBadLength},
      {"no length", length(""), kBadLength},
      {"a sign", length(" +3"), kBadLength},
      {"a negative length", length(" -3"), kBadLength},
      {"hexadecimal", length(" 0x3"), kBadLength},
      {"a space inside", length(" 3 3"), kBadLength},
      {"19 digits", length(" 1000000000000000000"), kBadLength},
      {"a vertical tab", length(" 3\v"), "fault http_bad_header"},
      {"length of CONNECT", "CONNECT c.d:1 HTTP/1.1\r\nHost: c.d:1\r\nContent-Length: 3\r\n\r\n",
       kBadLength},
      {"identity", coding(" identity"), kBadCoding},
      {"gzip", coding(" gzip, chunked"), kBadCoding},
      {"chunked twice in a line", coding(" chunked, chunked"), kBadCoding},
      {"chunked not last", coding(" chunked, identity"), kBadCoding},
      {"chunked in two lines",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), kBadCoding},
      {"a second line", post("Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n", ""),
       kBadCoding},
      {"no coding", coding(""), kBadCoding},
      {"nearly chunked", coding(" xchunked"), kBadCoding},
      {"quoted", coding(" \"chunked\""), kBadCoding},
      {"a parameter", coding(" chunked;q=1"), kBadCoding},
      {"space before the colon", post("Transfer-Encoding : chunked\r\n", ""),
       "fault http_bad_header"},
      {"folded", post("Transfer-Encoding:\r\n chunked\r\n", ""), kBadCoding},
      {"a vertical tab before it", coding(" \vchunked"), "fault http_bad_header"},
      {"in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", kBadCoding},
  });
}

TEST_CASE("chunks are RFC 9112 section 7.1, to the letter", "[http_stream]") {
  const std::string many(2000, 'x');
  check_rows({
      {"no size", chunked("\r\nabc\r\n"), kBadChunk},
      {"no digit", chunked("x\r\n"), kBadChunk},
      {"a prefix", chunked("0x3\r\nabc\r\n"), kBadChunk},
      {"a sign", chunked("+3\r\nabc\r\n"), kBadChunk},
      {"a space first", chunked(" 3\r\nabc\r\n"), kBadChunk},
      {"a space behind", chunked("3 \r\nabc\r\n"), kBadChunk},
      {"text behind a space", chunked("3 a\r\nabc\r\n"), kBadChunk},
      {"16 digits", chunked("0000000000000003\r\nabc\r\n"), kBadChunk},
      {"an overflow", chunked("ffffffffffffffff0\r\n"), kBadChunk},
      {"LF alone", chunked("3\nabc\r\n"), kBadChunk},
      {"LF alone in an extension", chunked("3;a\nabc\r\n"), kBadChunk},
      {"CR in an extension", chunked("3;a\rb\r\nabc\r\n"), kBadChunk},
      {"NUL in an extension", chunked("3;\0\r\nabc\r\n"s), kBadChunk},
      {"a line over 1 KiB", chunked("3;" + many), kBadChunk},
      {"longer than its size", chunked("3\r\nabcd\r\n"), kBadChunk},
      {"LF alone behind data", chunked("3\r\nabc\n0\r\n\r\n"), kBadChunk},
      {"CR alone behind data", chunked("3\r\nabc\r0\r\n\r\n"), kBadChunk},
      {"a trailer that is no field", chunked("0\r\nGET / HTTP/1.1\r\n\r\n"), kBadChunk},
      {"a folded trailer", chunked("0\r\nX: y\r\n z\r\n\r\n"), kBadChunk},
      {"LF alone behind a trailer", chunked("0\r\nX: y\n\r\n"), kBadChunk},
      {"an end of LF alone", chunked("0\r\n\n"), kBadChunk},
      {"Host as a trailer", chunked("0\r\nHost: c.d\r\n\r\n"), kBadChunk},
      {"a length as a trailer", chunked("0\r\nContent-Length: 3\r\n\r\n"), kBadChunk},
      {"a coding as a trailer", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), kBadChunk},
      {"trailers over 4 KiB", chunked("0\r\nX: " + many + "\r\nY: " + many + many), kBadChunk},
  });
}

TEST_CASE("what follows a request is held to be one", "[http_stream]") {
  const std::string first = "GET a.b /1 | ";
  check_rows({
      {"line ends in between", get("/1") + "\r\n\r\n" + kNext, first + "GET a.b /next"},
      {"another protocol", get("/1") + "EHLO x\r\n", first + "fault http_bad_request_line"},
      {"TLS", get("/1") + "\x16\x03\x01\x02", first + "fault http_bad_request_line"},
      {"HTTP/0.9", get("/1") + "GET /x\r\n", first + "fault http_bad_request_line"},
      {"the HTTP/2 preface", get("/1") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
       first + "fault http_bad_request_line"},
      {"another host", get("/1") + "GET / HTTP/1.1\r\nHost: c.d\r\n\r\n", first + "GET c.d /"},
      {"no Host", get("/1") + "GET / HTTP/1.1\r\n\r\n", first + "fault http_bad_host"},
      {"a byte behind the body", post("Content-Length: 2\r\n", "abcGET / HTTP/1.1\r\n"),
       "POST a.b /p"},
      {"a space behind the body", post("Content-Length: 2\r\n", "ab GET / HTTP/1.1\r\n"),
       "POST a.b /p | fault http_bad_request_line"},
  });
  CHECK(answer("SSH-2.0-x\r\n") == "not_http");
}

TEST_CASE("upgrades and tunnels wait for the server", "[http_stream]") {
  const std::string connect = "CONNECT c.d - connect";
  const std::string websocket = "GET a.b /w websocket";
  const std::string hello = "\x16\x03\x01\x02\x03"s;
  const auto released = [](const std::string& head, const std::string& rest, uint16_t status) {
    return run({bytes_of(head + rest)}, {.tunnel_status = status}).forwarded_bytes - head.size();
  };
  // No answer yet, and answers on the way to one: nothing behind the head leaves.
  for (const uint16_t status : std::vector<uint16_t>{0, 100, 103}) {
    CAPTURE(status);
    CHECK(released(kConnect, hello, status) == 0);
    CHECK(released(get("/w", kWebsocket), hello, status) == 0);
    CHECK(answer(kConnect + kNext, {.tunnel_status = status}) == connect);
  }
  CHECK(released(kConnect, hello, 101) == 0);
  // The server agrees.
  CHECK(released(kConnect, hello, 200) == hello.size());
  CHECK(released(kConnect, hello, 204) == hello.size());
  CHECK(released(get("/w", kWebsocket), hello, 101) == hello.size());
  // It does not: what follows is the next request.
  CHECK(answer(kConnect + kNext, {.tunnel_status = 407}) == connect + " | GET a.b /next");
  CHECK(answer(kConnect + hello, {.tunnel_status = 300}) ==
        connect + " | fault http_bad_request_line");
  CHECK(answer(get("/w", kWebsocket) + kNext, {.tunnel_status = 200}) ==
        websocket + " | GET a.b /next");
  CHECK(answer(get("/w", kWebsocket) + hello, {.tunnel_status = 426}) ==
        websocket + " | fault http_bad_request_line");
  // A body stands in front of the other protocol.
  CHECK(released(get("/w", kWebsocket + "Content-Length: 2\r\n"), "ab" + hello, 0) == 2);
}

TEST_CASE("upgrades that the policy would lose sight behind are refused", "[http_stream]") {
  check_rows({
      {"h2c", get("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"), kRefused},
      {"h2c in a list", get("/", "Upgrade: websocket, h2c\r\n"), kRefused},
      {"h2c in a second line", get("/", "Upgrade: websocket\r\nUpgrade: h2c\r\n"), kRefused},
      {"its settings alone", get("/", "HTTP2-Settings: AAMAAABk\r\n"), kRefused},
      {"in another case", get("/", "UPGRADE: H2C\r\n"), kRefused},
      {"another protocol", get("/", "Upgrade: SPDY/3.1\r\n"), kRefused},
      {"CONNECT and websocket",
       "CONNECT c.d:1 HTTP/1.1\r\nHost: c.d:1\r\nUpgrade: websocket\r\n\r\n", kRefused},
      {"no h2c at all", get("/", "Upgrade-Insecure-Requests: 1\r\n"), "GET a.b /"},
  });
}

TEST_CASE("a tunnel asked for behind another request is a fault", "[http_stream]") {
  const Server server{.tunnel_status = 200};
  CHECK(answer(get("/1") + kConnect, server) == "GET a.b /1 | fault http_early_tunnel");
  CHECK(answer(get("/1") + get("/w", kWebsocket), server) ==
        "GET a.b /1 | fault http_early_tunnel");
  CHECK(answer(kConnect + "x", server) == "CONNECT c.d - connect");
}

TEST_CASE("a tunnel may be asked for again when it was refused", "[http_stream]") {
  CHECK(answer(kConnect + kConnect, {.tunnel_status = 407}) ==
        "CONNECT c.d - connect | CONNECT c.d - connect");
}

TEST_CASE("behind HTTP/0.9 nothing may follow but line ends", "[http_stream]") {
  check_rows({
      {"nothing", "GET /x\r\n", "GET - /x"},
      {"line ends", "GET /x\r\n\n\r\n", "GET - /x"},
      {"a request", "GET /x\r\n" + kNext, "GET - /x | fault http_bad_request_line"},
      {"HTTP/0.9", "GET /x\r\nGET /y\r\n", "GET - /x | fault http_bad_request_line"},
      {"a Host", "GET /x\r\nHost: c.d\r\n\r\n", "GET - /x | fault http_bad_request_line"},
      {"anything behind line ends", "GET /x\r\n\r\n\r\n x",
       "GET - /x | fault http_bad_request_line"},
  });
  CHECK(run({bytes_of("GET /x\r\n\r\nHost: c.d")}).forwarded_bytes == 10);
}

TEST_CASE("nothing leaves with or behind a request that is not allowed", "[http_stream]") {
  HttpStream stream;
  HttpRequest request;
  const std::string first = post("Content-Length: 3\r\n", "");
  const Bytes window = bytes_of(first + "abc" + kNext + kNext);
  auto step = stream.next(window, false, {}, http_scratch(), request);
  // However often it is asked.
  for (int i = 0; i < 3; ++i) {
    REQUIRE(step.status == HttpStep::Status::request);
    CHECK(step.forward_bytes == 0);
    CHECK(request.head_bytes == first.size());
    step = stream.next(window, false, {}, http_scratch(), request);
  }
  stream.allow();
  const Bytes rest(window.begin() + static_cast<std::ptrdiff_t>(first.size()), window.end());
  step = stream.next(rest, false, {}, http_scratch(), request);
  CHECK(step.status == HttpStep::Status::request);
  CHECK(step.forward_bytes == 3);
  CHECK(request.head_bytes == kNext.size());
}

TEST_CASE("every split of a stream gives the answers of the whole", "[http_stream]") {
  auto streams = good_streams();
  const size_t good = streams.size();
  for (const std::string& bad : std::vector<std::string>{
           get("/1") + "EHLO x\r\n", get("/", "X: y\r\nHost: a.b\r\n"), get("/", "X: a\rb\r\n"),
           get("/", "X-A: 1\r\nX : y\r\nX-A: 2\r\n"), get("/a\tb"), chunked("3\r\nabcd"),
           chunked("0\r\nHost: x\r\n\r\n"), chunked("5;x\ny"), "\r\n\nGARBAGE\x01"s,
           post("X: y\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", "abc")}) {
    streams.push_back(bad);
  }
  for (size_t i = 0; i < streams.size(); ++i) {
    const Bytes whole = bytes_of(streams[i]);
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
      // A prefix never says anything else, nor lets go of more than the whole does.
      const HttpRun prefix = run({prefix_of(whole, cut)});
      REQUIRE(expected.text.starts_with(prefix.text));
      REQUIRE(prefix.forwarded_bytes <= std::min(cut, expected.forwarded_bytes));
      bytewise.push_back({whole[cut]});
    }
    const HttpRun split = run(bytewise);
    CHECK(split.text == expected.text);
    CHECK(split.forwarded_bytes == expected.forwarded_bytes);
  }
}

TEST_CASE("a head that comes byte by byte answers at the byte that decides it", "[http_stream]") {
  const auto bytes_until_over = [](const std::string& stream) {
    Adapter adapter;
    HttpFeeder feeder(adapter);
    size_t fed = 0;
    while (fed < stream.size() && !feeder.run().over) {
      feeder.feed({static_cast<uint8_t>(stream[fed++])});
    }
    return fed;
  };
  const auto ends_there = [&](const std::string& stream) {
    INFO(stream);
    CHECK(bytes_until_over(stream + "more\r\n\r\n") == stream.size());
  };
  const std::string start = "GET / HTTP/1.1\r\nHost: a.b\r\nX: y\r\n";
  ends_there("GET /\x01");
  ends_there("GET / HTTP/1.1\n");
  ends_there("GET / HTTP/1.1\rx");
  ends_there(start + "Host: a.b\r\n");
  ends_there(start + "X: y\n");
  ends_there(start + "X : y\r\n");
  ends_there(start + "Content-Length: x\r\n");
  ends_there(start + "Transfer-Encoding: x\r\n");
  ends_there(start + "Upgrade: h2c\r\n");
  std::string many = start;
  for (size_t i = 0; i <= kMaxHttpHeaderLines; ++i) many += "X-A: y\r\n";
  ends_there(many);
  ends_there(start + "X: " + std::string(kMaxRequestHeadBytes - start.size() - 3, 'x'));
  ends_there("GET /" + std::string(kMaxRequestHeadBytes - 5, 'x'));
}

TEST_CASE("the client's end is the end of a request, or cuts one", "[http_stream]") {
  const auto end = [](const std::string& stream) { return run({bytes_of(stream)}, {}, true); };
  for (const std::string& whole : good_streams()) {
    const HttpRun open = run({bytes_of(whole)});
    CHECK(end(whole).text == open.text);
    CHECK(end(whole).forwarded_bytes == whole.size());
  }
  CHECK(end(get("/1") + "\r\n").forwarded_bytes == get("/1").size() + 2);
  CHECK(end("").text == "not_http");
  CHECK(end("\r\n").text == "not_http");
  CHECK(end("GET").text == "not_http");
  CHECK(end("GET / HTTP/1.1\r\nHost: a.b\r\n").text == "fault http_bad_header");
  CHECK(end(get("/1") + "GET").text == "GET a.b /1 | fault http_bad_request_line");
  CHECK(end(get("/1") + "GET / HTTP/1.1\r\n").text == "GET a.b /1 | fault http_bad_header");
  CHECK(end(chunked("3\r\na")).text == "POST a.b /p");
}

TEST_CASE("the client's end inside a chunked body ends no line of it", "[http_stream]") {
  // Lines leave whole, chunk data as it comes.
  const std::string head = chunked("");
  const std::vector<std::string> parts = {
      head,   "3;a=\"b c\"\r\n", "abc",
      "\r\n", "00A\r\n",         "GET / HTTP",
      "\r\n", "0;e\r\n",         "X-T: 1\r\nExpires: x\r\n\r\n"};
  std::string whole;
  const auto check = [&](size_t leaves, bool behind) {
    CAPTURE(whole);
    const std::string asked = whole.size() < head.size() ? "" : "POST a.b /p";
    for (const bool at_once : {false, true}) {
      Adapter adapter;
      HttpFeeder feeder(adapter);
      feeder.feed(bytes_of(whole), at_once);
      feeder.feed({}, true);
      CHECK(feeder.run().forwarded_bytes == leaves);
      // What is cut in the body waits, and so the FIN: no request, no fault, no other protocol.
      const std::string& text = feeder.run().text;
      if (asked.empty()) {
        CHECK(text.find("POST") == std::string::npos);
      } else {
        CHECK(text.starts_with(asked + (behind ? " | fault http_bad_" : "")));
        if (!behind) CHECK(text == asked);
      }
    }
  };
  for (const std::string& part : parts) {
    const size_t before = whole.size();
    const bool is_data = part == "abc" || part.starts_with("GET");
    for (const char byte : part) {
      check(is_data ? whole.size() : before, false);
      whole += byte;
    }
    check(whole.size(), false);
  }
  const size_t end = whole.size();
  for (size_t cut = 1; cut < kNext.size(); ++cut) {
    whole += kNext[cut - 1];
    check(end, true);
  }
}
