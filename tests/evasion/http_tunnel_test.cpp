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
StreamCase refused(const std::string& name, const std::string& server, const std::string& bytes) {
  return because("http_upgrade_refused", denied(name, server, bytes));
}

}  // namespace

TEST_CASE("upgrades", "[evasion]") {
  play_all(
      {
          refused("h2c", "answers in HTTP/2, other requests follow",
                  upgrade_to("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk")),
          refused("h2c without settings", "may answer in HTTP/2", upgrade_to("Upgrade: h2c")),
          refused("HTTP2-Settings alone", "may answer in HTTP/2", upgrade_to("HTTP2-Settings: AA")),
          refused("h2c behind websocket", "chooses", upgrade_to("Upgrade: websocket, h2c")),
          refused("websocket and h2c in two lines", "chooses",
                  upgrade_to("Upgrade: websocket\r\nUpgrade: h2c")),
          refused("TLS inside HTTP", "speaks TLS", upgrade_to("Upgrade: TLS/1.0")),
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
          {"100 Continue and the agreement in one segment",
           "a tunnel to an allowed host",
           {client(kConnect), server("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
            client("any bytes")},
           Right::allow,
           {}},
          {"100 Continue and a refusal in one segment",
           "serves it",
           {client(kUpgrade), server("HTTP/1.1 100 Continue\r\n\r\n" + kOk), client(kEvil)},
           Right::deny,
           bytes_of(kUpgrade)},
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

TEST_CASE("tunnels asked for when every answer has ended", "[evasion]") {
  const std::string auth = "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno";
  const std::string agreed = "HTTP/1.1 200 OK\r\n\r\n";
  const std::string head = "HEAD / HTTP/1.1\r\nHost: " + kAllowed + "\r\n\r\n";
  const auto after = [&](const std::string& name, const std::string& answer) {
    return StreamCase{
        name,
        "refuses it, serves the third",
        {client(kGet), server(answer), client(kConnect), server(agreed), client(kEvil)},
        Right::deny,
        bytes_of(kGet)};
  };
  play_all(
      {
          {"CONNECT again behind 407",
           "a tunnel to an allowed host",
           {client(kConnect), server(auth), client(kConnect), server(agreed), client("any bytes")},
           Right::allow,
           {}},
          {"CONNECT again, refused again, another host behind it",
           "serves it",
           {client(kConnect), server(auth), client(kConnect), server(auth), client(kEvil)},
           Right::deny,
           bytes_of(kConnect + kConnect)},
          {"websocket behind a request",
           "speaks websocket",
           {client(kGet), server(kOk), client(kUpgrade), server(kSwitch), client("\x81\x05hello")},
           Right::allow,
           {}},
          {"websocket behind an answer in chunks",
           "speaks websocket",
           {client(kGet),
            server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
            server("0\r\n\r\n"), client(kUpgrade), server(kSwitch), client("any bytes")},
           Right::allow,
           {}},
          {"a request before the tunnel is agreed",
           "serves it if it refuses the tunnel",
           {client(kGet), server(kOk), client(kConnect), client(kEvil)},
           Right::allow,
           bytes_of(kGet + kConnect)},
          {"an agreement in a body",
           "refuses the tunnel, serves the third",
           {client(kGet), server("HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n"),
            server(agreed + agreed), client(kConnect), server(auth), client(kEvil)},
           Right::deny,
           bytes_of(kGet + kConnect)},
          after("the answer goes on with what looks like another",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + agreed),
          after("the answer ends with the connection", "HTTP/1.1 200 OK\r\n\r\n"),
          after("two lengths in the answer",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n"),
          after("a length and chunks in the answer",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
          after("a folded length in the answer",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n 0\r\n\r\n"),
          after("bare LF in the answer", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
          {"websocket behind 204, 304 and an empty answer to HEAD",
           "speaks websocket",
           {client(kGet), server("HTTP/1.1 204 X\r\n\r\n"), client(kGet),
            server("HTTP/1.1 304 X\r\n\r\n"), client(head),
            server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), client(kUpgrade),
            server(kSwitch), client("any bytes")},
           Right::allow,
           {}},
          after("204 with a body", "HTTP/1.1 204 X\r\nContent-Length: 9\r\n\r\n"),
          after("no body that is known to be none", "HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n"),
          {"behind HEAD, whose answer some give a body",
           "refuses it, serves the third",
           {client(head), server("HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n"), client(kUpgrade),
            server(kSwitch), client(kEvil)},
           Right::deny,
           bytes_of(head)},
          {"when one of two answers has come",
           "refuses it, serves the fourth",
           {client(kGet + kGet), server(kOk), client(kConnect), server(kOk), client(kEvil)},
           Right::deny,
           bytes_of(kGet + kGet)},
      },
      kEvasionPolicy, 80);
}

// What may leave of HTTP/2 before a request is decided, where the configuration lets any of it.
TEST_CASE("openings of HTTP/2 that say more than an opening", "[evasion]") {
  const auto setting = [](uint8_t high, uint8_t low, uint8_t first, uint8_t last) {
    return Bytes{high, low, first, 0, 0, last};
  };
  const auto settings = [](const Bytes& all) { return h2_frame(kH2Settings, 0, 0, all); };
  const Bytes table = setting(0, 1, 0, 0);
  const auto held = [](const std::string& name, const Bytes& frames) {
    return StreamCase{name,        "skips it", {client(h2_preface()), client(frames)},
                      Right::none, {},         true};
  };
  const auto goes = [](const std::string& name, const Bytes& frames) {
    return StreamCase{
        name, "takes it", {client(h2_preface() + frames)}, Right::none, h2_preface() + frames,
        true};
  };
  // Behind an opening that has left.
  const auto stays = [](const std::string& name, const Bytes& frames) {
    return StreamCase{name,        "skips it", {client(h2_start()), client(frames)},
                      Right::none, h2_start(), true};
  };
  const Bytes update = h2_frame(kH2WindowUpdate, 0, 0, Bytes{0, 1, 0, 0});
  const Bytes ack = h2_frame(kH2Settings, kH2Ack, 0);
  Bytes acks;
  for (size_t n = 0; n < kMaxHttp2OpeningBytes / ack.size() - 1; ++n) append(acks, ack);
  play_all(
      {
          goes(
              "settings of curl",
              settings(setting(0, 3, 0, 100) + setting(0, 4, 1, 0) + setting(0, 2, 0, 0)) + update),
          goes("settings of gRPC",
               settings(setting(0, 2, 0, 0) + setting(0, 3, 0, 0) + setting(0xfe, 3, 0, 1)) +
                   update),
          goes("as much as may go", settings({}) + acks),
          held("no settings", {}),
          held("a setting that nobody knows", settings(setting(0xab, 0xcd, 1, 2))),
          held("a setting twice", settings(table + table)),
          held("a flag with a number", settings(setting(0, 2, 0, 2))),
          held("a window too large", settings(setting(0, 4, 0x80, 0))),
          held("frames too small", settings(setting(0, 5, 0, 1))),
          held("settings with an unused flag", h2_frame(kH2Settings, 0x10, 0, table)),
          stays("settings again", settings(table)),
          stays("a PING", h2_frame(kH2Ping, 0, 0, Bytes(8, 'x'))),
          stays("a frame that nobody knows", h2_frame(0x10, 0, 0, bytes_of("secret"))),
          stays("an update of a stream", h2_frame(kH2WindowUpdate, 0, 1, Bytes(4, 1))),
          stays("a priority", h2_frame(kH2Priority, 0, 1, Bytes(5, 1))),
          stays("part of a request", prefix_of(h2_request(1, h2_get(kAllowed, "/")), 20)),
          {"a second update",
           "takes it",
           {client(h2_start() + update), client(update)},
           Right::none,
           h2_start() + update,
           true},
          {"one acknowledgement too many",
           "takes it",
           {client(h2_start() + acks), client(ack)},
           Right::none,
           h2_start() + acks,
           true},
      },
      kEvasionPolicy, 80);
}

TEST_CASE("an opening stays where no HTTP could be allowed", "[evasion]") {
  constexpr std::string_view kTlsAlone = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec: {egress: [{name: names, action: Allow, to: {domainNames: ["*.allowed.test"]}, protocols: [{tls: {}}]}]}
)";
  play_all({{"an opening", "answers", {client(h2_start())}, Right::none, {}, true}}, kTlsAlone, 80);
}

TEST_CASE("an opening that has left may not come again as another", "[evasion]") {
  Pipeline pipeline(kEvasionPolicy, {.stage = {.limits = {.pass_http2_opening = true}}});
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  const auto start = [](uint8_t value) {
    return h2_preface() + h2_frame(kH2Settings, 0, 0, Bytes{0, 1, 0, 0, 0, value});
  };
  flow.send(start(1));
  CHECK(pipeline.payload_to_outside() == start(1));
  flow.send(start(2));
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("retransmission_differs") == 1);
  flow.send(start(1));
  CHECK(pipeline.payload_to_outside() == start(1));
}

// The gateway must have seen every byte in front of the agreement.
TEST_CASE("an agreement behind a gap in the server's bytes", "[evasion]") {
  Pipeline pipeline(kEvasionPolicy);
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  const Bytes upgrade = bytes_of(kUpgrade);
  flow.send(upgrade);
  CHECK(pipeline.to_outside().size() == 1);
  pipeline.from_outside(flow.in(100).payload(bytes_of(kSwitch)).frame());
  pipeline.from_outside(flow.in(0).payload(bytes_of(kSwitch)).frame());
  pipeline.from_inside(flow.out(upgrade.size()).payload(bytes_of(kEvil)).frame());
  CHECK(pipeline.to_outside().empty());
}

TEST_CASE("an agreement behind a gap in the body of an answer", "[evasion]") {
  Pipeline pipeline(kEvasionPolicy);
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  const Bytes get = bytes_of(kGet);
  const Bytes upgrade = bytes_of(kUpgrade);
  const Bytes answer = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n") + Bytes(300, 'x');
  const auto part = [&](size_t from, size_t to) {
    pipeline.from_outside(flow.in(from)
                              .ack(flow.client_first + static_cast<uint32_t>(get.size()))
                              .payload({answer.begin() + static_cast<std::ptrdiff_t>(from),
                                        answer.begin() + static_cast<std::ptrdiff_t>(to)})
                              .frame());
  };
  flow.send(get);
  const auto asks = [&] {
    pipeline.from_inside(flow.out(get.size())
                             .ack(flow.server_first + static_cast<uint32_t>(answer.size()))
                             .payload(upgrade)
                             .frame());
    pipeline.from_outside(flow.in(answer.size()).payload(bytes_of(kSwitch)).frame());
    pipeline.to_outside();
    pipeline.from_inside(flow.out(get.size() + upgrade.size()).payload(bytes_of(kEvil)).frame());
    return pipeline.payload_to_outside() == bytes_of(kEvil);
  };
  part(0, 60);
  SECTION("the gap ends in the body: it tells nothing") {
    part(200, answer.size());
    part(60, 200);
    CHECK(asks());
  }
  SECTION("the gap goes over its end") {
    pipeline.from_outside(flow.in(answer.size() + 1).payload(bytes_of("x")).frame());
    part(60, answer.size());
    CHECK_FALSE(asks());
  }
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
      {"an opening alone", "answers with its settings", {client(h2_start())}, Right::none, {}},
      {"an opening that may go",
       "answers with its settings",
       {client(h2_start())},
       Right::none,
       h2_start(),
       true},
      {"an opening, then a denied request",
       "serves it",
       {client(h2_start()), server(h2_frame(kH2Settings, 0, 0)),
        client(h2_frame(kH2Settings, kH2Ack, 0)), client(evil)},
       Right::deny,
       {}},
      {"an opening that may go, then a denied request",
       "serves it",
       {client(h2_start()), server(h2_frame(kH2Settings, 0, 0)),
        client(h2_frame(kH2Settings, kH2Ack, 0)), client(evil)},
       Right::deny,
       h2_start() + h2_frame(kH2Settings, kH2Ack, 0),
       true},
      {"an opening, then an allowed request",
       "serves it",
       {client(h2_start()), server(h2_frame(kH2Settings, 0, 0)),
        client(h2_frame(kH2Settings, kH2Ack, 0)), client(allowed)},
       Right::allow,
       {}},
      {"text in an opening", "skips it", {client(h2_start() + bytes_of(kEvil))}, Right::deny, {}},
      {"a second preface",
       "an error: it is a frame of 5 MB",
       {client(h2_start() + allowed), client(h2_start() + evil)},
       Right::deny,
       h2_start() + allowed},
      {"HTTP/1 behind HTTP/2",
       "an error: it is a frame of 5 MB",
       {client(h2_start() + allowed), client(kEvil)},
       Right::deny,
       h2_start() + allowed},
  };
  play_all(rows, kEvasionPolicy, 80);
}
