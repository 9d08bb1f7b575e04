// Ways past the gateway in what a TCP client sends besides what is read, and behind it.
#include "tests/evasion/evasion.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const std::string kAllowed{kAllowedName};
const std::string kUpgrade = "GET /s HTTP/1.1\r\nHost: " + kAllowed +
                             "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const std::string kHead =
    "POST / HTTP/1.1\r\nHost: " + kAllowed + "\r\nContent-Length: 1000\r\n\r\n";
const Bytes kPost = bytes_of(kHead) + Bytes(1000, 'x');

Bytes get(const std::string& host) {
  return bytes_of("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
}

bool is_urgent(const Bytes& frame) {
  return (decoded(frame).tcp_flags & kUrg) != 0;
}

uint32_t at(const Conversation& flow, size_t offset) {
  return flow.client_first + static_cast<uint32_t>(offset);
}

}  // namespace

// A server that takes the urgent byte out of the stream reads "Content-Length: 100" where 1000
// was decided, and the rest of the body as another request.
TEST_CASE("an urgent pointer on segments of a flow that is read", "[evasion]") {
  const size_t head = kHead.size();
  struct Row {
    std::string name;
    std::function<PacketBuilder(const Conversation&)>
        segment;  ///< Behind the head and 100 bytes of body.
  };
  const std::vector<Row> rows{
      {"an acknowledgement", [&](const Conversation& f) { return f.out(head + 100); }},
      {"one from before the head", [](const Conversation& f) { return f.out(); }},
      {"a keep-alive", [&](const Conversation& f) { return f.out(head + 99).payload("x"); }},
      {"the head again", [&](const Conversation& f) { return f.out().payload(bytes_of(kHead)); }},
      {"more body", [&](const Conversation& f) { return f.out(head + 100).payload("xxxx"); }},
      {"a FIN", [&](const Conversation& f) { return f.out(head + 100).flags(kAck | kFin); }},
      {"a RST", [&](const Conversation& f) { return f.out(head + 100).flags(kAck | kRst); }},
  };
  for (const Row& row : rows) {
    for (const bool acknowledged : {false, true}) {
      CAPTURE(row.name, acknowledged);
      Pipeline pipeline(kEvasionPolicy);
      const Conversation flow{.pipeline = pipeline, .server_port = 80};
      flow.open();
      pipeline.from_inside(flow.segment(kPost, 0, head + 100));
      if (acknowledged) pipeline.from_outside(flow.in().ack(at(flow, head + 100)).frame());
      CHECK(pipeline.to_outside().size() == 1);
      pipeline.from_inside(row.segment(flow).urgent(30).frame());
      CHECK(pipeline.to_outside().empty());
      CHECK(pipeline.drops("urgent_data") == 1);
      pipeline.from_inside(flow.segment(kPost, head + 100, kPost.size()));
      CHECK(pipeline.payload_to_outside().size() == 900);
    }
  }
}

TEST_CASE("an urgent pointer in front of the first bytes, and behind the last read", "[evasion]") {
  Pipeline pipeline(kDenyListPolicy);
  const Conversation flow{.pipeline = pipeline, .server_port = 22};
  flow.open();
  const Bytes banner = bytes_of("SSH-2.0-client\r\n");
  const Bytes early = flow.out().urgent(9).frame();
  const Bytes later = flow.out(banner.size()).urgent(1).payload("urgent").frame();
  pipeline.from_inside(early);
  pipeline.from_inside(flow.out().payload(banner).frame());
  CHECK(pipeline.payload_to_outside() == banner);
  // Decided by its first bytes, which the server may not have yet.
  pipeline.from_inside(early);
  pipeline.from_inside(later);
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("urgent_data") == 3);
  // Of what follows nothing is read: a protocol may use it.
  pipeline.from_outside(flow.in().ack(at(flow, banner.size())).frame());
  pipeline.from_inside(later);
  const auto left = pipeline.to_outside();
  REQUIRE(left.size() == 1);
  CHECK(is_urgent(left.front()));
}

// What waited for the server's word was decided when that came: the same holds for it.
TEST_CASE("another name in the place of a request that the server's answer let go", "[evasion]") {
  const Bytes good = get("wwww.allowed.test");
  const Bytes evil = get("wwwwx.denied.test");
  REQUIRE(good.size() == evil.size());
  for (const bool with_fin : {false, true}) {
    CAPTURE(with_fin);
    Pipeline pipeline(kEvasionPolicy);
    const Conversation flow{.pipeline = pipeline, .server_port = 80};
    flow.open();
    const size_t end = kUpgrade.size();
    const auto request = [&](const Bytes& bytes) {
      return flow.out(end).flags(with_fin ? kAck | kFin : kAck).payload(bytes).frame();
    };
    pipeline.from_inside(flow.out().payload(bytes_of(kUpgrade)).frame());
    pipeline.from_inside(request(good));
    CHECK(pipeline.payload_to_outside() == bytes_of(kUpgrade));
    pipeline.from_outside(flow.in().ack(at(flow, end)).payload(bytes_of(kOk)).frame());
    CHECK(pipeline.payload_to_outside() == good);
    pipeline.from_inside(request(evil));
    if (with_fin) pipeline.from_inside(flow.out(end + good.size()).payload(evil).frame());
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("retransmission_differs") == 1);
    pipeline.from_inside(request(good));
    CHECK(pipeline.payload_to_outside() == good);
  }
}
