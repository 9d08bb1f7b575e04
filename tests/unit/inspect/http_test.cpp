#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/inspect/http_stream.h"
#include "tests/support/bytes.h"

using namespace sallyport;
using namespace sallyport::test;
using namespace std::string_literals;

namespace {

// What a connection's first request is, in words.
std::string answer(const Bytes& window, bool ended = false) {
  static const auto scratch = std::make_unique<HttpScratch>();
  HttpStream stream;
  HttpRequest request;
  const HttpStep step = stream.next(window, ended, {}, *scratch, request);
  switch (step.status) {
    case HttpStep::Status::need_more:
      return "need_more";
    case HttpStep::Status::not_http:
      return "absent";
    case HttpStep::Status::fault:
      return "fault " + std::string(to_string(step.fault));
    case HttpStep::Status::turn:  // of HTTP/2 alone
    case HttpStep::Status::request:
      break;
  }
  return "http " + (request.host.empty() ? "-" : std::string(request.host.view()));
}

struct Row {
  std::string what;
  std::string stream;
  std::string answer;
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(answer(bytes_of(row.stream)) == row.answer);
  }
}

// A request with `lines` as its fields, each already ended.
std::string get(std::string_view lines) {
  return "GET / HTTP/1.1\r\n" + std::string(lines) + "\r\n";
}
std::string line(std::string_view request_line) {
  return std::string(request_line) + "\r\nHost: a.b\r\n\r\n";
}

constexpr auto kBadLine = "fault http_bad_request_line";
constexpr auto kBadHeader = "fault http_bad_header";
constexpr auto kBadHost = "fault http_bad_host";
constexpr auto kConflict = "fault http_host_conflict";

}  // namespace

TEST_CASE("a request names the host of its Host field", "[http]") {
  check_rows({
      {"plain", get("Host: api.example.com\r\n"), "http api.example.com"},
      {"case folded, dot stripped", get("HOST: Api.Example.COM.\r\n"), "http api.example.com"},
      {"with a port", get("Host: a.b:8080\r\n"), "http a.b"},
      {"with an empty port", get("Host: a.b:\r\n"), "http a.b"},
      {"no space behind the colon", get("Host:a.b\r\n"), "http a.b"},
      {"white space around it", get("Host: \t a.b \t\r\n"), "http a.b"},
      {"behind other fields", get("Accept: */*\r\nX-Empty:\r\nHost: a.b\r\n"), "http a.b"},
      {"obs-text elsewhere", get("X: \xc3\xbc\r\nHost: a.b\r\n"), "http a.b"},
      {"body behind the head", get("Host: a.b\r\n") + "Host: c.d\r\n\r\n", "http a.b"},
      {"IPv4 address", get("Host: 192.0.2.1:80\r\n"), "http -"},
      {"IPv6 address", get("Host: [2001:db8::1]:80\r\n"), "http -"},
      {"empty", get("Host:\r\n"), "http -"},
      {"HTTP/1.0 without one", "GET / HTTP/1.0\r\n\r\n", "http -"},
      {"HTTP/1.0 with one", "GET / HTTP/1.0\r\nHost: a.b\r\n\r\n", "http a.b"},
      {"HTTP/1.9", "GET / HTTP/1.9\r\nHost: a.b\r\n\r\n", "http a.b"},
      {"HTTP/1.1 without one", get("Accept: */*\r\n"), kBadHost},
      {"HTTP/1.1 without any field", get(""), kBadHost},
      {"twice", get("Host: a.b\r\nHost: a.b\r\n"), kBadHost},
      {"twice, the first empty", get("Host:\r\nhost: a.b\r\n"), kBadHost},
      {"a list", get("Host: a.b, c.d\r\n"), kBadHost},
      {"two names", get("Host: a.b c.d\r\n"), kBadHost},
      {"a user", get("Host: user@a.b\r\n"), kBadHost},
      {"a path", get("Host: a.b/c\r\n"), kBadHost},
      {"a scheme", get("Host: http://a.b\r\n"), kBadHost},
      {"a port that is none", get("Host: a.b:http\r\n"), kBadHost},
      {"port 65536", get("Host: a.b:65536\r\n"), kBadHost},
      {"six digits of port", get("Host: a.b:000080\r\n"), kBadHost},
      {"two ports", get("Host: a.b:80:80\r\n"), kBadHost},
      {"a port alone", get("Host: :80\r\n"), kBadHost},
      {"IPv6 without brackets", get("Host: 2001:db8::1\r\n"), kBadHost},
      {"half a bracket", get("Host: [2001:db8::1\r\n"), kBadHost},
      {"text behind the bracket", get("Host: [::1]a.b\r\n"), kBadHost},
      {"a dot", get("Host: .\r\n"), kBadHost},
      {"obs-text in it", get("Host: b\xc3\xbc.example\r\n"), kBadHost},
  });
}

TEST_CASE("the target's host and the Host field must agree", "[http]") {
  const auto absolute = [](std::string_view target, std::string_view host) {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n";
  };
  check_rows({
      {"same", absolute("http://a.b/x", "a.b"), "http a.b"},
      {"same, canonically", absolute("HTTP://A.b.?q", "a.B"), "http a.b"},
      {"no path", absolute("http://a.b", "a.b"), "http a.b"},
      {"default port left out in one", absolute("http://a.b:80/", "a.b"), "http a.b"},
      {"default port left out in the other", absolute("https://a.b/", "a.b:443"), "http a.b"},
      {"another scheme", absolute("ftp://a.b/", "a.b"), "http a.b"},
      {"same port", absolute("http://a.b:8080/", "a.b:8080"), "http a.b"},
      {"same address", absolute("http://[2001:DB8::1]/", "[2001:db8::1]"), "http -"},
      {"HTTP/1.0 without Host", "GET http://a.b/ HTTP/1.0\r\n\r\n", "http a.b"},
      {"HTTP/1.1 without Host", "GET http://a.b/ HTTP/1.1\r\n\r\n", kBadHost},
      {"other host", absolute("http://a.b/", "c.d"), kConflict},
      {"other port", absolute("http://a.b:8080/", "a.b"), kConflict},
      {"other scheme's port", absolute("http://a.b/", "a.b:443"), kConflict},
      {"empty Host", absolute("http://a.b/", ""), kConflict},
      {"address and name", absolute("http://192.0.2.1/", "a.b"), kConflict},
      {"two addresses", absolute("http://192.0.2.1/", "192.0.2.2"), kConflict},
      {"user in the target", absolute("http://a.b@c.d/", "c.d"), kBadLine},
      {"backslash in the target", absolute("http://a.b\\c.d/", "c.d"), kBadLine},
      {"no host in the target", absolute("http:///x", "a.b"), kBadLine},
      {"no slashes", absolute("http:a.b", "a.b"), kBadLine},
      {"no scheme", absolute("://a.b/", "a.b"), kBadLine},
      {"a host name alone", absolute("a.b", "a.b"), kBadLine},
      {"a scheme with a slash in it", absolute("x/y://a.b/", "a.b"), kBadLine},
  });
}

TEST_CASE("CONNECT names its target, OPTIONS may name none", "[http]") {
  check_rows({
      {"CONNECT", "CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n", "http a.b"},
      {"CONNECT, Host without port", "CONNECT a.b:443 HTTP/1.1\r\nHost: a.b\r\n\r\n", "http a.b"},
      {"CONNECT, HTTP/1.0", "CONNECT a.b:443 HTTP/1.0\r\n\r\n", "http a.b"},
      {"CONNECT to an address", "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", "http -"},
      {"CONNECT, other Host", "CONNECT a.b:443 HTTP/1.1\r\nHost: c.d:443\r\n\r\n", kConflict},
      {"CONNECT without port", line("CONNECT a.b HTTP/1.1"), kBadLine},
      {"CONNECT to a path", line("CONNECT /a.b:443 HTTP/1.1"), kBadLine},
      {"CONNECT to a URL", line("CONNECT http://a.b:443/ HTTP/1.1"), kBadLine},
      {"OPTIONS *", line("OPTIONS * HTTP/1.1"), "http a.b"},
      {"GET *", line("GET * HTTP/1.1"), kBadLine},
      {"authority-form of another method", line("GET a.b:443 HTTP/1.1"), kBadLine},
  });
}

TEST_CASE("request lines are RFC 9112 section 3, to the letter", "[http]") {
  check_rows({
      {"an unregistered method", line("PROPFIND / HTTP/1.1"), "http a.b"},
      {"a lower-case method", line("get / HTTP/1.1"), "http a.b"},
      {"every kind of token byte", line("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"), "http a.b"},
      {"8 KiB of method", line(std::string(8192, 'M') + " / HTTP/1.1"), "http a.b"},
      {"one byte more", line(std::string(8193, 'M') + " / HTTP/1.1"), kBadLine},
      {"raw UTF-8 in the path", line("GET /\xc3\xbc HTTP/1.1"), "http a.b"},
      {"line ends in front", "\r\n\n\r\n" + line("GET / HTTP/1.1"), "http a.b"},
      {"two spaces", line("GET  / HTTP/1.1"), kBadLine},
      {"two spaces behind the target", line("GET /  HTTP/1.1"), kBadLine},
      {"a space in the target", line("GET /a b HTTP/1.1"), kBadLine},
      {"a space at the end", line("GET / HTTP/1.1 "), kBadLine},
      {"text at the end", line("GET / HTTP/1.1 x"), kBadLine},
      {"no target", line("GET HTTP/1.1"), kBadLine},
      {"empty target", line("GET  HTTP/1.1"), kBadLine},
      {"tab for the space", line("GET\t/\tHTTP/1.1"), kBadLine},
      {"tab in the line", line("GET /\tHTTP/1.1"), kBadLine},
      {"form feed for the space", line("GET\f/ HTTP/1.1"), kBadLine},
      {"NUL in the target", line("GET /\0 HTTP/1.1"s), kBadLine},
      {"DEL in the target", line("GET /\x7f HTTP/1.1"), kBadLine},
      {"CR in the target", line("GET /\rx HTTP/1.1"), kBadLine},
      {"LF alone", "GET / HTTP/1.1\nHost: a.b\n\n", kBadLine},
      {"CR CR LF", "GET / HTTP/1.1\r\r\nHost: a.b\r\n\r\n", kBadLine},
      {"lower-case version", line("GET / http/1.1"), kBadLine},
      {"two digits", line("GET / HTTP/1.10"), kBadLine},
      {"no digit", line("GET / HTTP/1."), kBadLine},
      {"a letter for the digit", line("GET / HTTP/1.x"), kBadLine},
      {"HTTP/2.0 behind a known method", line("GET / HTTP/2.0"), kBadLine},
      {"a leading zero", line("GET / HTTP/01.1"), kBadLine},
  });
}

TEST_CASE("header lines are RFC 9112 section 5, to the letter", "[http]") {
  const std::string host = "Host: a.b\r\n";
  check_rows({
      {"LF alone", get("Host: a.b\n"), kBadHeader},
      {"LF alone behind Host", get(host + "X: y\n"), kBadHeader},
      {"an empty line of LF alone", "GET / HTTP/1.1\r\nHost: a.b\r\n\n", kBadHeader},
      {"CR in a value", get(host + "X: a\rb\r\n"), kBadHeader},
      {"CR CR LF", get("Host: a.b\r\r\n"), kBadHeader},
      {"NUL in a value", get(host + "X: a\0b\r\n"s), kBadHeader},
      {"another control", get(host + "X: a\x01\r\n"), kBadHeader},
      {"a folded line", get(host + " c.d\r\n"), kBadHeader},
      {"a line folded by a tab", get(host + "\tc.d\r\n"), kBadHeader},
      {"space in front of the first", get(" " + host), kBadHeader},
      {"space before the colon", get("Host : a.b\r\n"), kBadHeader},
      {"tab before the colon", get("Host\t: a.b\r\n"), kBadHeader},
      {"no colon", get(host + "X\r\n"), kBadHeader},
      {"no name", get(host + ": x\r\n"), kBadHeader},
      {"a name that is no token", get(host + "X(y): z\r\n"), kBadHeader},
      {"obs-text in a name", get(host + "X\xfc: z\r\n"), kBadHeader},
      {"a second request line", get(host + "GET / HTTP/1.1\r\n"), kBadHeader},
  });
}

TEST_CASE("other protocols are not HTTP, as soon as that is certain", "[http]") {
  check_rows({
      {"NATS", "CONNECT {\"verbose\":false,\"lang\":\"go\"}\r\nPING\r\n", "absent"},
      {"RTSP", "OPTIONS rtsp://a.b/c RTSP/1.0\r\nCSeq: 1\r\n\r\n", "absent"},
      {"SIP", "OPTIONS sip:a@b SIP/2.0\r\n", "absent"},
      // One that was missed, or another method's: a stream is asked for the preface before.
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "fault http_bad_request_line"},
      {"SSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "absent"},
      {"SSH without a comment", "SSH-2.0-libssh_0.10\r\n", "absent"},
      {"SMTP", "EHLO client.example\r\n", "absent"},
      {"IRC", "NICK name\r\nUSER name 0 * :name\r\n", "absent"},
      {"Redis inline", "SET key value\r\n", "absent"},
      {"Redis inline, a method's name", "GET key\r\n", "absent"},
      {"Redis RESP", "*1\r\n$4\r\nPING\r\n", "absent"},
      {"Redis inline, and a bare LF", "GET key\n", "absent"},
      {"a method of no registry, without a version", "FETCH /x\r\n", "absent"},
      {"memcached", "get key\r\n", "absent"},
      {"STOMP", "CONNECT\naccept-version:1.2\n\n\0"s, "absent"},
      {"AMQP", "AMQP\0\0\x09\x01"s, "absent"},
      {"an HTTP response", "HTTP/1.1 200 OK\r\n", "absent"},
      {"JSON", "{\"op\":1}", "absent"},
      {"binary", "\x01\x02", "absent"},
      {"a space first", " GET / HTTP/1.1\r\n", "fault http_bad_request_line"},
      {"a space first, then another line", " GET me\r\n", "absent"},
      {"nine NULs first", std::string(9, '\0') + "GET / HTTP/1.1\r\n", "absent"},
      {"a control in what is no target", "GET\tme \x01 HTTP/1.1\r\n",
       "fault http_bad_request_line"},
      {"the same of no known method", "FETCH\tme \x01 HTTP/1.1\r\n", "absent"},
      {"PROXY, and another word", "PROXY TCP5 HTTP\r\n", "absent"},
      {"binary behind a word", "HELLO \x01\x02", "absent"},
      {"a word alone", "QUIT\r\n", "absent"},
      {"a word and more", "HELLO", "need_more"},
      {"a line that may become one", "HELLO world", "need_more"},
      {"its CR", "HELLO world\r", "need_more"},
      {"line ends alone", "\r\n\r\n", "need_more"},
  });
}

TEST_CASE("GET and a path are a whole request: HTTP/0.9", "[http]") {
  check_rows({
      {"plain", "GET /index.html\r\n", "http -"},
      {"with a query", "GET /?a=b\r\n", "http -"},
      {"line ends in front", "\r\n\nGET /\r\n", "http -"},
      {"a version that is none", "GET /HTTP/1.1\r\n", "http -"},
      {"fields behind it", "GET /\r\nHost: a.b\r\n\r\n", "http -"},
      {"a path that is read in two ways", "GET /a%2fb\r\n", "http -"},
      {"a bad path", "GET /%00\r\n", "fault http_bad_path"},
      {"not whole", "GET /index.html", "need_more"},
      {"its CR", "GET /index.html\r", "need_more"},
      {"LF alone", "GET /\n", kBadLine},
      {"CR in the path", "GET /a\rb\r\n", kBadLine},
      {"a space behind", "GET / \r\n", kBadLine},
      {"a space in front of the path", "GET  /\r\n", kBadLine},
      {"half a version", "GET / HTP/1.1\r\n", kBadLine},
      {"another method", "HEAD /\r\n", kBadLine},
      {"another method and a body", "POST /\r\nContent-Length: 1\r\n\r\nx", kBadLine},
      {"a URL, which names a host", "GET http://a.b/\r\n", kBadLine},
      {"a URL in capitals", "GET HTTPS://a.b/\r\n", kBadLine},
      {"a URL of another method", "CONNECT http://a.b/\r\n", kBadLine},
  });
}

TEST_CASE("a head over 32 KiB is a fault, one of exactly that is read", "[http]") {
  const std::string start = "GET / HTTP/1.1\r\nHost: a.b\r\nX: ";
  const std::string end = "\r\n\r\n";
  const std::string fits =
      start + std::string(kMaxRequestHeadBytes - start.size() - end.size(), 'x') + end;
  check_rows({
      {"exactly the limit", fits, "http a.b"},
      {"one more", start + "x" + fits.substr(start.size()), "fault http_head_too_long"},
      {"short of the limit", fits.substr(0, kMaxRequestHeadBytes - 1), "need_more"},
      {"a request line over it", "GET /" + std::string(40000, 'x'), "fault http_head_too_long"},
      {"a request line short of it", "GET /" + std::string(32762, 'x'), "need_more"},
      {"nothing but line ends", std::string(40000, '\n'), "fault http_head_too_long"},
  });
}

TEST_CASE("an end inside a request is a fault once it was one", "[http]") {
  const std::string whole = get("Host: a.b\r\nAccept: */*\r\n");
  const size_t line_bytes = 16;
  const size_t path_starts = 5;  // from "GET /" on Apache answers it without its line end
  for (size_t size = 0; size <= whole.size(); ++size) {
    CAPTURE(size);
    const Bytes cut = prefix_of(bytes_of(whole), size);
    const bool is_http = size >= line_bytes;
    if (size == whole.size()) {
      CHECK(answer(cut, true) == "http a.b");
      continue;
    }
    CHECK(answer(cut, true) == (is_http ? kBadHeader : size >= path_starts ? kBadLine : "absent"));
    CHECK(answer(cut) == "need_more");
  }
}
