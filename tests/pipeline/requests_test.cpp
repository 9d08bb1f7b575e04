// Requests of one connection, each under the policy that is in force when it comes.
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// Allows these paths of good.test.
std::string paths(const std::string& allowed) {
  return "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  egress:\n"
         "    - {name: web, action: Allow, to: {domainNames: [good.test]}, protocols: [{http: "
         "{paths: [" +
         allowed + "]}}]}\n";
}

Bytes get(const std::string& path) {
  return bytes_of("GET " + path + " HTTP/1.1\r\nHost: good.test\r\n\r\n");
}

const Bytes kOk = bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

/// A connection that is kept alive, with both ends' places in it.
struct KeepAlive {
  Conversation flow;
  uint32_t sent = 0;
  uint32_t answered = 0;

  explicit KeepAlive(Pipeline& pipeline, uint16_t port = 40000)
      : flow{.pipeline = pipeline, .client_port = port} {
    flow.open();
  }

  void send(const Bytes& bytes) {
    flow.pipeline.from_inside(
        flow.out(sent).ack(flow.server_first + answered).payload(bytes).frame());
    sent += static_cast<uint32_t>(bytes.size());
  }
  void answer(const Bytes& bytes = kOk) {
    flow.pipeline.from_outside(
        flow.in(answered).ack(flow.client_first + sent).payload(bytes).frame());
    REQUIRE(payloads(flow.pipeline.to_inside()) == bytes);
    answered += static_cast<uint32_t>(bytes.size());
  }
  /// The request passes as it is, and is answered.
  void asks(const std::string& path) {
    CAPTURE(path);
    send(get(path));
    REQUIRE(flow.pipeline.payload_to_outside() == get(path));
    REQUIRE(flow.pipeline.to_inside().empty());
    answer();
  }
  /// The last that was sent is answered by 403, and the server is reset behind `left` bytes.
  std::string forbidden(uint32_t left) const {
    REQUIRE(is_reset(flow.pipeline.to_outside(), flow.client_first + left));
    const auto inside = flow.pipeline.to_inside();
    const std::string text = text_of(farewell(inside, flow, sent));
    REQUIRE(text.starts_with("HTTP/1.1 403 "));
    REQUIRE(decoded(inside.front()).tcp_sequence == flow.server_first + answered);
    REQUIRE(flow.pipeline.packets_in_use() == 0);
    return text;
  }
  void both_reset(uint32_t left) const {
    REQUIRE(is_reset(flow.pipeline.to_outside(), flow.client_first + left));
    REQUIRE(is_reset(flow.pipeline.to_inside(), flow.server_first + answered));
    REQUIRE(flow.pipeline.packets_in_use() == 0);
  }
  static Bytes payloads(const std::vector<Bytes>& frames) {
    Bytes out;
    for (const Bytes& frame : frames) append(out, payload_of(frame));
    return out;
  }
};

std::string revision_of(const std::string& forbidden) {
  const size_t at = forbidden.find("revision: ");
  return at == std::string::npos ? "" : forbidden.substr(at, forbidden.find('\n', at) - at);
}

}  // namespace

TEST_CASE("each request of a connection is decided by itself", "[requests]") {
  Pipeline pipeline(paths("/a, /b"));
  KeepAlive client(pipeline);
  for (const char* path : {"/a", "/b", "/a"}) client.asks(path);
  const uint32_t left = client.sent;
  client.send(get("/c"));
  const std::string text = client.forbidden(left);
  CHECK(text.find("reason: default_deny") != std::string::npos);
}

TEST_CASE("a client is told 403 behind answers without a body, too", "[requests]") {
  Pipeline pipeline(paths("/a"));
  KeepAlive client(pipeline);
  const auto ask = [&](const std::string& method, const std::string& answer) {
    const Bytes request = bytes_of(method + " /a HTTP/1.1\r\nHost: good.test\r\n\r\n");
    client.send(request);
    REQUIRE(pipeline.payload_to_outside() == request);
    client.answer(bytes_of(answer));
  };
  SECTION("204") {
    ask("GET", "HTTP/1.1 204 No Content\r\n\r\n");
  }
  SECTION("304") {
    ask("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
  }
  SECTION("HEAD") {
    ask("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
  }
  client.asks("/a");
  const uint32_t left = client.sent;
  client.send(get("/c"));
  client.forbidden(left);
}

TEST_CASE("a push between two requests decides the next one", "[requests]") {
  Pipeline pipeline(paths("/a, /b"));
  KeepAlive client(pipeline);
  client.asks("/a");

  SECTION("it denies what was asked before, which is over") {
    pipeline.push(paths("/b"));
    client.asks("/b");
    const uint32_t left = client.sent;
    client.send(get("/a"));
    client.forbidden(left);
  }
  SECTION("it denies the path: 403, by the revision in force") {
    pipeline.push(paths("/b"));
    const uint32_t left = client.sent;
    client.send(get("/a"));
    const std::string revision = revision_of(client.forbidden(left));
    // What any other connection is told from now on.
    KeepAlive fresh(pipeline, 40001);
    fresh.send(get("/a"));
    CHECK(revision == revision_of(fresh.forbidden(0)));
    CHECK(revision.size() > std::string("revision: ").size());
  }
  SECTION("it allows the path") {
    pipeline.push(paths("/c"));
    client.asks("/c");
    client.asks("/c");
  }
  SECTION("to and fro") {
    for (int i = 0; i < 20; ++i) {
      const std::string path = i % 2 == 0 ? "/x" : "/y";
      pipeline.push(paths(path));
      client.asks(path);
      client.asks(path);
    }
    CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 1);
  }
  SECTION("the connection says nothing and is closed") {
    pipeline.push(paths("/a"));
    pipeline.from_inside(client.flow.out(client.sent).flags(kFin | kAck).frame());
    CHECK(pipeline.to_outside().size() == 1);
  }
}

TEST_CASE("a push while a request or its answer is under way", "[requests]") {
  Pipeline pipeline(paths("/a, /b"));
  KeepAlive client(pipeline);
  client.asks("/a");

  SECTION("a head of which half is held, allowed now") {
    const Bytes head = get("/c");
    client.send(Bytes(head.begin(), head.begin() + 20));
    pipeline.push(paths("/c"));
    client.send(Bytes(head.begin() + 20, head.end()));
    CHECK(pipeline.payload_to_outside() == head);
    client.answer();
  }
  SECTION("a head of which half is held, denied now") {
    const uint32_t left = client.sent;
    const Bytes head = get("/b");
    client.send(Bytes(head.begin(), head.begin() + 20));
    pipeline.push(paths("/a"));
    client.send(Bytes(head.begin() + 20, head.end()));
    client.forbidden(left);
  }
  SECTION("a body, denied now: what comes of it is cut") {
    client.send(bytes_of("POST /b HTTP/1.1\r\nHost: good.test\r\nContent-Length: 8\r\n\r\nhalf"));
    CHECK(pipeline.to_outside().size() == 1);
    const uint32_t left = client.sent;
    pipeline.push(paths("/a"));
    client.send(bytes_of("more"));
    client.both_reset(left);
  }
  SECTION("a body, and its rest comes with the next request") {
    client.send(bytes_of("POST /b HTTP/1.1\r\nHost: good.test\r\nContent-Length: 8\r\n\r\nhalf"));
    CHECK(pipeline.to_outside().size() == 1);
    const uint32_t left = client.sent;
    pipeline.push(paths("/c"));
    client.send(bytes_of("more") + get("/c"));
    client.both_reset(left);
  }
  SECTION("an answer, denied now: the client hears no more of it") {
    client.send(get("/b"));
    CHECK(pipeline.payload_to_outside() == get("/b"));
    pipeline.push(paths("/a"));
    pipeline.from_outside(client.flow.in(client.answered)
                              .ack(client.flow.client_first + client.sent)
                              .payload(kOk)
                              .frame());
    client.both_reset(client.sent);
  }
  SECTION("the next request comes before the answer to one that is denied now") {
    client.send(get("/b"));
    CHECK(pipeline.payload_to_outside() == get("/b"));
    const uint32_t left = client.sent;
    pipeline.push(paths("/a"));
    client.send(get("/a"));
    client.both_reset(left);
  }
}

TEST_CASE("requests sent without waiting are each decided", "[requests]") {
  Pipeline pipeline(paths("/a, /b"));
  KeepAlive client(pipeline);

  SECTION("all allowed: they leave as they came") {
    client.send(get("/a") + get("/b") + get("/a"));
    CHECK(pipeline.payload_to_outside() == get("/a") + get("/b") + get("/a"));
    for (int i = 0; i < 3; ++i) client.answer();
    pipeline.push(paths("/c"));
    client.asks("/c");
  }
  SECTION("the last is denied: none of the segment leaves") {
    client.send(get("/a") + get("/c"));
    client.both_reset(0);
  }
  SECTION("a push between: the ones before are judged by it, too") {
    client.send(get("/a") + get("/b"));
    CHECK(pipeline.payload_to_outside() == get("/a") + get("/b"));
    client.answer();
    const uint32_t left = client.sent;
    pipeline.push(paths("/a"));
    client.send(get("/a"));
    client.both_reset(left);
  }
  SECTION("a server that answers what it never saw does not get it after the push") {
    const Bytes second = get("/b");
    client.send(get("/a") + Bytes(second.begin(), second.begin() + 20));
    client.answer();
    pipeline.push(paths("/b"));
    client.send(Bytes(second.begin() + 20, second.end()));
    client.both_reset(0);
  }
  SECTION("one head cut in two by a push, behind a whole one") {
    const Bytes second = get("/b");
    client.send(get("/a") + Bytes(second.begin(), second.begin() + 20));
    CHECK(pipeline.to_outside().empty());
    pipeline.push(paths("/a, /b"));
    client.send(Bytes(second.begin() + 20, second.end()));
    CHECK(pipeline.payload_to_outside() == get("/a") + second);
  }
}
