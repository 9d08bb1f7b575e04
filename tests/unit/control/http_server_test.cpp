#include "control/agent/http_server.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <stdexcept>

#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr HttpLimits kSmall{
    .clients = 3, .request_bytes = 200, .deadline = std::chrono::milliseconds(500)};
constexpr ListenAddress kAnyPort{
    .address = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}}, .port = 0};

std::unique_ptr<HttpServer> serve(const HttpLimits& limits = kSmall) {
  auto server = HttpServer::listen(
      kAnyPort,
      {{"/ok", [] { return HttpAnswer{200, "text/plain", "fine\n"}; }},
       {"/no", [] { return HttpAnswer{503, "text/plain", "because\n"}; }},
       {"/large", [] { return HttpAnswer{200, "text/plain", std::string(20'000'000, 'x')}; }},
       {"/throws", []() -> HttpAnswer { throw std::runtime_error("on purpose"); }}},
      limits);
  REQUIRE(server);
  return std::move(*server);
}

void send_text(const UniqueFd& fd, std::string_view text) {
  // What is not taken any more is the server's to say.
  static_cast<void>(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL));
}

std::string ask(const HttpServer& server, std::string_view request) {
  const UniqueFd fd = connect_port(server.port());
  send_text(fd, request);
  return read_all(fd);
}

std::string get(const HttpServer& server, const std::string& path) {
  return http_get(server.port(), path);
}

}  // namespace

TEST_CASE("a page is served to the letter", "[http]") {
  const auto server = serve();
  const std::string head =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nCache-Control: "
      "no-store\r\nConnection: close\r\n\r\n";
  CHECK(get(*server, "/ok") == head + "fine\n");
  CHECK(get(*server, "/ok?a=b") == head + "fine\n");
  CHECK(ask(*server, "HEAD /ok HTTP/1.0\r\n\r\n") == head);
}

TEST_CASE("every request has its answer", "[http]") {
  const auto server = serve();
  struct Row {
    std::string request;
    std::string_view status;
    std::string_view end;
  };
  const std::vector<Row> rows{
      {"GET /no HTTP/1.1\r\n\r\n", "503 Service Unavailable", "\r\n\r\nbecause\n"},
      {"GET / HTTP/1.1\r\n\r\n", "404 Not Found", "there are:\n/large\n/no\n/ok\n/throws\n"},
      {"GET /ok/x HTTP/1.1\r\n\r\n", "404 Not Found", "/throws\n"},
      {"POST /ok HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", "405 Method Not Allowed",
       "Allow: GET, HEAD\r\n\r\nonly GET and HEAD are served\n"},
      {"GET /throws HTTP/1.1\r\n\r\n", "500 Internal Server Error",
       "the page could not be made: on purpose\n"},
      {"GET /ok\r\n\r\n", "400 Bad Request", "no HTTP/1.1 request\n"},
      {"\r\n\r\n", "400 Bad Request", "no HTTP/1.1 request\n"},
      {"GET /ok HTTP/2.0\r\n\r\n", "400 Bad Request", "no HTTP/1.1 request\n"},
      {std::string("\0\xff\x16\x03 \r\n\r\n", 10), "400 Bad Request", "no HTTP/1.1 request\n"},
      {"GET /" + std::string(300, 'x'), "431 Request Header Fields Too Large", "over 200 bytes\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.request);
    const std::string answer = ask(*server, row.request);
    CHECK(answer.starts_with("HTTP/1.1 " + std::string(row.status) + "\r\n"));
    CHECK(answer.ends_with(row.end));
  }
}

TEST_CASE("a request may come in pieces, and a large answer arrives whole", "[http]") {
  const auto server = serve({.clients = 3, .request_bytes = 200});
  const UniqueFd fd = connect_port(server->port());
  for (const char byte : std::string_view("GET /large HTTP/1.1\r\n\r\n")) send_text(fd, {&byte, 1});
  const std::string answer = read_all(fd);
  CHECK(answer.size() - answer.find("\r\n\r\n") - 4 == 20'000'000);
}

TEST_CASE("idle clients keep nobody out", "[http]") {
  const auto server = serve({.clients = 3, .request_bytes = 200});
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back(connect_port(server->port()));
    send_text(idle.back(), "GET /o");
  }
  CHECK(get(*server, "/ok").ends_with("fine\n"));
  // It had to go, long before its time was up.
  const auto closed = [&] {
    char byte = 0;
    return ::recv(idle.front().get(), &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET;
  };
  CHECK(eventually(closed, std::chrono::seconds(3)));
}

TEST_CASE("who asks for nothing, or takes nothing, is dropped when the time is up", "[http]") {
  const auto server = serve();
  const UniqueFd silent = connect_port(server->port());
  const UniqueFd deaf = connect_port(server->port());
  send_text(deaf, "GET /large HTTP/1.1\r\n\r\n");
  CHECK(read_all(silent).empty());
  CHECK(read_all(deaf).size() < 20'000'000);
  CHECK(get(*server, "/ok").ends_with("fine\n"));
}

TEST_CASE("an address that is taken or none is refused in words", "[http]") {
  const auto server = serve();
  const auto second = HttpServer::listen({kAnyPort.address, server->port()}, {});
  REQUIRE_FALSE(second);
  CHECK(second.error() == "cannot serve metrics on 127.0.0.1:" + std::to_string(server->port()) +
                              ": Address already in use; stop what uses it, or give another "
                              "address with --metrics");
  CHECK(parse_listen_address("127.0.0.1:9464") ==
        ListenAddress{.address = kAnyPort.address, .port = 9464});
  CHECK(parse_listen_address("[::1]:80")->port == 80);
  for (const char* text : {"", ":", "9464", "localhost:9464", "127.0.0.1", "127.0.0.1:",
                           "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80x", "::1:9464", "[::1]",
                           "[127.0.0.1]:80", "127.0.0.1:80,81", " 127.0.0.1:80"}) {
    CAPTURE(text);
    REQUIRE_FALSE(parse_listen_address(text));
    CHECK(parse_listen_address(text).error() ==
          "\"" + std::string(text) +
              "\" is no ADDRESS:PORT; give it as 127.0.0.1:9464 or [::1]:9464");
  }
}
