#include <catch2/catch.hpp>
#include <string>

#include "dataplane/inspect/http_stream.h"
#include "tests/support/http_helper.h"

using namespace sallyport;
using namespace sallyport::test;
using namespace std::string_literals;

namespace {

struct Adapter {
  HttpStream stream;

  HttpStep next(const Bytes& window, bool ended, HttpRequest& out) {
    return stream.next(window, ended, {}, http_scratch(), out);
  }
  void allow(const HttpRequest&) { stream.allow(); }
};

/// The same whole and byte by byte.
HttpRun run(const std::string& stream) {
  Adapter whole;
  HttpFeeder feeder(whole);
  feeder.feed(bytes_of(stream));
  Adapter cut;
  HttpFeeder bytewise(cut);
  for (const char c : stream) bytewise.feed({static_cast<uint8_t>(c)});
  CHECK(bytewise.run().text == feeder.run().text);
  CHECK(bytewise.run().forwarded_bytes == feeder.run().forwarded_bytes);
  return feeder.run();
}
std::string text(const std::string& stream) {
  return run(stream).text;
}

const std::string kNext = "GET /next HTTP/1.1\r\nHost: a.b\r\n\r\n";
const std::string kChunked = "GET / HTTP/1.1\r\nHost: a.b\r\nTransfer-Encoding: chunked\r\n\r\n";

}  // namespace

TEST_CASE("a body that few servers read may not begin like a request", "[http_stream]") {
  const auto with_body = [](const std::string& method, const std::string& body) {
    return method + " / HTTP/1.1\r\nHost: a.b\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  };
  const std::string evil = "GET /b HTTP/1.1\r\nHost: c.d\r\n\r\n";
  for (const std::string method : {"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"}) {
    for (const std::string& body :
         {evil, "\r\n\n" + evil, "X-Y /b HTTP/1.1\r\n"s, "GET http://c.d/ x"s, "GET /b"s,
          " GET /b HTTP/1.1\r\n"s, "GET\t/b HTTP/1.1\r\n"s, "GET /b\r\n"s,
          "POST /" + std::string(9000, 'x') + " HTTP/1.1\r\n"}) {
      CAPTURE(method, body.substr(0, 40));
      const HttpRun got = run(with_body(method, body) + kNext);
      CHECK(got.text == method + " a.b / | fault http_request_in_body");
      CHECK(got.forwarded_bytes == with_body(method, body).size() - body.size());
    }
    for (const std::string& body :
         {"{\"a\": 1}"s, "hello"s, "hello world"s, "a=b"s, "\r\n"s, "GET key"s, "GET key\r\n"s,
          std::string(20'000, 'x'), "{}\n" + evil}) {
      CAPTURE(method, body.substr(0, 40));
      CHECK(text(with_body(method, body) + kNext) == method + " a.b / | GET a.b /next");
    }
  }
  // A chunk's line, to a server that reads no chunks.
  CHECK(text(kChunked + "2 ;/ HTTP/1.1\r\n") == "GET a.b / | fault http_request_in_body");
  for (const std::string method : {"POST", "PUT", "PATCH"}) {
    CHECK(text(with_body(method, evil) + kNext) == method + " a.b / | GET a.b /next");
  }
}
