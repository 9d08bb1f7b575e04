// Ways past the gateway by leaving HTTP/1 behind: upgrades, tunnels, HTTP/2.
#include "tests/evasion/evasion.h"
#include "tests/support/http2_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const std::string kAllowed{kAllowedName};
const std::string kDenied{kDeniedName};
const std::string kGet = "GET / HTTP/1.1\r\nHost: " + kAllowed + "\r\n\r\n";
const std::string kEvil = "GET / HTTP/1.1\r\nHost: " + kDenied + "\r\n\r\n";
const std::string kConnect =
    "CONNECT " + kAllowed + ":443 HTTP/1.1\r\nHost: " + kAllowed + ":443\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const std::string kSwitch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

std::string upgrade_to(const std::string& fields) {
  return "GET /s HTTP/1.1\r\nHost: " + kAllowed + "\r\nConnection: Upgrade\r\n" + fields +
         "\r\n\r\n";
}
const std::string kUpgrade = upgrade_to("Upgrade: websocket");

StreamCase denied(const std::string& name, const std::string& server, const std::string& bytes,
                  const std::string& leaves = "") {
  return {name, server, {client(bytes)}, Right::deny, bytes_of(leaves)};
}

}  // namespace

TEST_CASE("upgrades", "[evasion]") {
  play_all(
      {
          denied("h2c", "answers in HTTP/2, other requests follow",
                 upgrade_to("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk")),
          denied("h2c without settings", "may answer in HTTP/2", upgrade_to("Upgrade: h2c")),
          denied("HTTP2-Settings alone", "may answer in HTTP/2", upgrade_to("HTTP2-Settings: AA")),
          denied("h2c behind websocket", "chooses", upgrade_to("Upgrade: websocket, h2c")),
          denied("websocket and h2c in two lines", "chooses",
                 upgrade_to("Upgrade: websocket\r\nUpgrade: h2c")),
          denied("TLS inside HTTP", "speaks TLS", upgrade_to("Upgrade: TLS/1.0")),
          {"websocket, a request before 101",
           "serves it if it refuses the upgrade",
           {client(kUpgrade), client(kEvil)},
           Right::allow,
           bytes_of(kUpgrade)},
          {"websocket, a request before 101, in one segment",
           "the same",
           {client(kUpgrade + kEvil), server(kOk)},
           Right::deny,
           bytes_of(kUpgrade)},
          {"websocket refused, another host behind it",
           "serves it",
           {client(kUpgrade), client(kEvil), server(kOk)},
           Right::deny,
           bytes_of(kUpgrade)},
          {"websocket refused in pieces",
           "serves it",
           {client(kUpgrade), server("HTTP/1.1 1"), server("01"), client(kEvil)},
           Right::allow,
           bytes_of(kUpgrade)},
          {"100 Continue is no 101",
           "serves it",
           {client(kUpgrade), server("HTTP/1.1 100 Continue\r\n\r\n"), client(kEvil)},
           Right::allow,
           bytes_of(kUpgrade)},
          {"websocket agreed",
           "speaks websocket",
           {client(kUpgrade), server(kSwitch), client("\x81\x05hello")},
           Right::allow,
           {}},
          {"CONNECT agreed",
           "a tunnel to an allowed host",
           {client(kConnect), server("HTTP/1.1 200 OK\r\n\r\n"), client("any bytes")},
           Right::allow,
           {}},
          {"CONNECT refused, another host behind it",
           "serves it",
           {client(kConnect), server("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"),
            client(kEvil)},
           Right::deny,
           bytes_of(kConnect)},
          {"101 for a CONNECT",
           "serves it",
           {client(kConnect), server(kSwitch), client(kEvil)},
           Right::allow,
           bytes_of(kConnect)},
      },
      kEvasionPolicy, 80);
}

// Whose answer it is that seems to agree.
TEST_CASE("tunnels asked for behind other requests", "[evasion]") {
  play_all(
      {
          {"CONNECT behind a request that has no answer yet",
           "refuses it, serves the third",
           {client(kGet + kConnect), server(kOk), client(kEvil)},
           Right::deny,
           bytes_of(kGet)},
          {"CONNECT when the first of three answers has come",
           "refuses it, serves the fifth",
           {client(kGet), client(kGet), client(kGet), server(kOk), client(kConnect), server(kOk),
            client(kEvil)},
           Right::deny,
           bytes_of(kGet + kGet + kGet)},
          {"an upgrade in the middle of an answer that seems to agree",
           "refuses it, serves the third",
           {client(kGet), server("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nxxxx"),
            client(kUpgrade), server(kSwitch), client(kEvil)},
           Right::deny,
           bytes_of(kGet)},
          {"an upgrade behind one that was refused, whose answer goes on as if it agreed",
           "refuses both, serves the third",
           {client(kUpgrade), server("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nxxxx"),
            client(kUpgrade), server(kSwitch), client(kEvil)},
           Right::deny,
           bytes_of(kUpgrade)},
      },
      kEvasionPolicy, 80);
}

TEST_CASE("HTTP/2 with prior knowledge", "[evasion]") {
  const Bytes allowed = h2_request(1, h2_get(kAllowed, "/"));
  const auto request = [](const H2Fields& fields) { return h2_request(3, fields); };
  const Bytes evil = request(h2_get(kDenied, "/"));
  const Bytes block = hpack_literals(h2_get(kDenied, "/"));
  const Bytes rest(block.begin() + 9, block.end());
  H2Encoder encoder;
  const Bytes coded_first = encoder.request(1, h2_get(kAllowed, "/"));
  const Bytes coded_evil = encoder.request(3, h2_get(kDenied, "/"));
  H2Encoder indexed;
  const Bytes indexed_first = indexed.request(1, h2_get(kAllowed, "/"));
  const Bytes indexed_again = indexed.request(3, h2_get(kAllowed, "/"));
  const auto after = [&](const std::string& name, const std::string& server_does,
                         const Bytes& second) {
    return StreamCase{name,
                      server_does,
                      {client(h2_start() + allowed), client(second)},
                      Right::deny,
                      h2_start() + allowed};
  };
  H2Fields two_authorities = h2_get(kAllowed, "/");
  two_authorities.insert(two_authorities.begin(), {":authority", kDenied});
  const std::vector<StreamCase> rows{
      {"the first request denied",
       "serves it",
       {client(h2_start() + evil)},
       Right::deny,
       h2_start()},
      {"the preface and a denied HTTP/1 request",
       "an error",
       {client(h2_preface() + bytes_of(kEvil))},
       Right::deny,
       h2_preface()},
      {"two allowed requests",
       "serves both",
       {client(h2_start() + indexed_first), client(indexed_again)},
       Right::allow,
       {}},
      {"a second stream with another authority, by the same table",
       "serves both",
       {client(h2_start() + coded_first), client(coded_evil)},
       Right::deny,
       h2_start() + coded_first},
      after("a second stream with another authority", "serves both", evil),
      after("the same stream again with another authority", "an error, or trailers",
            h2_request(1, h2_get(kDenied, "/"))),
      after("another authority over CONTINUATION", "joins them",
            h2_frame(kH2Headers, kH2EndStream, 3, prefix_of(block, 9)) +
                h2_frame(kH2Continuation, kH2EndHeaders, 3, rest)),
      after("a frame between HEADERS and CONTINUATION", "an error, or skips it",
            h2_frame(kH2Headers, kH2EndStream, 3, prefix_of(block, 9)) +
                h2_frame(kH2Ping, 0, 0, Bytes(8)) +
                h2_frame(kH2Continuation, kH2EndHeaders, 3, rest)),
      after("another authority behind padding", "skips the padding",
            h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream | kH2Padded, 3,
                     Bytes{4} + block + Bytes(4))),
      after("another authority behind a priority", "skips it",
            h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream | kH2Prioritised, 3,
                     Bytes{0, 0, 0, 0, 1} + block)),
      after("two authorities", "the first, the last, or an error", request(two_authorities)),
      after("an allowed authority and a denied Host", "either, or an error",
            request(h2_get(kAllowed, "/") + H2Fields{{"host", kDenied}})),
      after("a denied authority and an allowed Host", "either, or an error",
            request(h2_get(kDenied, "/") + H2Fields{{"host", kAllowed}})),
      after("no authority, a denied Host", "serves the Host",
            request({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", kDenied}})),
      after("CONNECT to another name", "a tunnel",
            request({{":method", "CONNECT"}, {":authority", kDenied + ":443"}})),
      after("an authority behind a field", "an error, or takes it",
            request({{":method", "GET"},
                     {":scheme", "http"},
                     {":path", "/"},
                     {"x", "y"},
                     {":authority", kDenied}})),
      after("a table larger than agreed", "an error, or takes it",
            h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream, 3,
                     Bytes{0x3f, 0xe1, 0xff, 0x03} + block)),
      after("a push promise by the client", "an error",
            h2_frame(kH2PushPromise, kH2EndHeaders, 1, Bytes{0, 0, 0, 2} + block)),
      {"a second preface",
       "an error: it is a frame of 5 MB",
       {client(h2_start() + allowed), client(h2_start() + evil)},
       Right::allow,
       {}},
      {"HTTP/1 behind HTTP/2",
       "an error: it is a frame of 5 MB",
       {client(h2_start() + allowed), client(kEvil)},
       Right::allow,
       {}},
  };
  play_all(rows, kEvasionPolicy, 80);
}
