// Long bodies of allowed requests: through loss, and past the turn of the sequence numbers.
#include <catch2/catch.hpp>
#include <memory>

#include "dataplane/inspect/flow_watch.h"
#include "dataplane/inspect/tcp_flow.h"
#include "policy/compile/compile.h"
#include "tests/evasion/evasion.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr size_t kSegment = 1400;
const std::string kPut = "PUT /checkpoint HTTP/1.1\r\nHost: www.allowed.test\r\n";
const Bytes kEvil = bytes_of("GET / HTTP/1.1\r\nHost: www.denied.test\r\n\r\n");

/// Sends `stream` in segments, without those whose place `lost` names.
std::vector<Bytes> send_but(const Conversation& flow, const Bytes& stream, size_t lost) {
  std::vector<Bytes> left;
  for (size_t at = 0; at < stream.size(); at += kSegment) {
    if (at / kSegment == lost) continue;
    flow.pipeline.from_inside(flow.segment(stream, at, std::min(at + kSegment, stream.size())));
    for (Bytes& frame : flow.pipeline.to_outside()) left.push_back(std::move(frame));
  }
  return left;
}

/// A TCP flow as its steps see it, without packets: gigabytes pass in a moment.
class Engine final : public DecisionObserver {
 public:
  Engine() : context_(std::make_unique<FlowContext>(limits(), 0, *this)) {
    const std::vector<SourceFile> sources{
        {.name = "test.yaml", .text = std::string(kEvasionPolicy)}};
    table_ = std::move(PolicyTable::load(compile_policy(sources)->image, 1).value());
    context_->table = table_.get();
    const Conversation talk = conversation();
    flow_.key = flow_key(decoded(talk.syn()).flow, 0, Direction::outbound);
    step(talk.syn());
    step(talk.syn_ack(), Direction::inbound);
  }

  /// Sends at the stream's end. @return whether all that was sent so far has left.
  bool send(const Bytes& bytes) {
    const bool left = send_at(position_, bytes);
    position_ += bytes.size();
    return left;
  }
  bool send_at(uint64_t position, const Bytes& bytes) {
    frames_.push_back(at(position).payload(bytes).frame());
    const Outcome outcome = step(frames_.back());
    Inspection& inspection = *inspection_of(flow_, *context_);
    while (outcome.release && !inspection.held.empty()) {
      pop_front(context_->segments, inspection.held);
      inspection.waiting_packets = inspection.waiting_bytes = 0;
    }
    if (inspection.held.empty()) frames_.clear();
    return flow_.state == FlowState::allowed && outcome.fate != Outcome::Fate::drop &&
           inspection.held.empty();
  }
  /// A body's bytes, in segments as large as they get.
  bool send_body(uint64_t bytes, bool acknowledged = true) {
    constexpr uint64_t kMost = 60'000;
    bool left = true;
    while (bytes > 0) {
      const auto size = std::min(bytes, kMost);
      Packet packet = decoded(body_);
      packet.payload_bytes = static_cast<uint32_t>(size);
      packet.tcp_sequence = sequence(position_);
      const Outcome outcome = tcp_outbound(flow_, {packet, body_, nullptr}, *context_);
      left = left && outcome.fate == Outcome::Fate::forward;
      position_ += size;
      bytes -= size;
    }
    if (acknowledged) {
      step(conversation().in().ack(sequence(position_)).frame(), Direction::inbound);
    }
    return left;
  }
  uint64_t position() const { return position_; }
  bool denied() const { return flow_.state == FlowState::denied; }

 private:
  static FlowLimits limits() {
    return {.held_packets = 64, .fact_blocks = 64, .inspections = 4, .http2_connections = 1};
  }
  void decided(const Flow&, const AppFacts&, bool) noexcept override {}
  void excepted(Exception) noexcept override {}
  void scanned(uint64_t) noexcept override {}
  static Conversation conversation() {
    static Pipeline unused("");
    return {.pipeline = unused, .server_port = 80};
  }
  static uint32_t sequence(uint64_t position) {
    return conversation().client_first + static_cast<uint32_t>(position);
  }
  static PacketBuilder at(uint64_t position) {
    return conversation().out().seq(sequence(position));
  }
  Outcome step(const Bytes& frame, Direction direction = Direction::outbound) {
    const Packet packet = decoded(frame);
    const Arrival arrival{packet, frame, nullptr};
    if (flow_.state == FlowState::free) return tcp_open(flow_, arrival, *context_);
    return direction == Direction::outbound ? tcp_outbound(flow_, arrival, *context_)
                                            : tcp_inbound(flow_, arrival, *context_);
  }

  std::unique_ptr<FlowContext> context_;
  std::unique_ptr<PolicyTable> table_;
  Flow flow_;
  uint64_t position_ = 0;
  std::vector<Bytes> frames_;  // those held
  const Bytes body_ = at(0).payload(Bytes(60'000, 'x')).frame();
};

}  // namespace

TEST_CASE("a lost segment does not end an upload, nor slow it", "[upload]") {
  const Bytes head = bytes_of(kPut + "Content-Length: 300000\r\n\r\n");
  const Bytes stream = head + Bytes(300'000, 'x');
  for (const size_t lost : {size_t{1}, size_t{3}, stream.size() / kSegment}) {
    CAPTURE(lost);
    Pipeline pipeline(kEvasionPolicy);
    const Conversation flow{.pipeline = pipeline, .server_port = 80};
    flow.open();
    auto left = send_but(flow, stream, lost);
    CHECK(left.size() == (stream.size() + kSegment - 1) / kSegment - 1);
    pipeline.from_inside(
        flow.segment(stream, lost * kSegment, std::min((lost + 1) * kSegment, stream.size())));
    for (Bytes& frame : pipeline.to_outside()) left.push_back(std::move(frame));
    check_left(left, flow.client_first, stream, stream.size());
    CHECK(verdict(pipeline) == Right::allow);
    // What stands behind the body is read as ever.
    pipeline.from_inside(flow.out(stream.size()).payload(kEvil).frame());
    CHECK(verdict(pipeline) == Right::deny);
    CHECK(pipeline.payload_to_outside().empty());
  }
}

TEST_CASE("a lost segment with a chunk's length only slows an upload", "[upload]") {
  Bytes stream = bytes_of(kPut + "Transfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i)
    stream = stream + bytes_of("4000\r\n") + Bytes(0x4000, 'x') + bytes_of("\r\n");
  append(stream, bytes_of("0\r\n\r\n"));
  Pipeline pipeline(kEvasionPolicy);
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  const size_t lost = (90 + 0x4000) / kSegment;
  auto left = send_but(flow, stream, lost);
  CHECK(left.size() == lost);
  CHECK(pipeline.drops("hold_full") > 100);
  CHECK(verdict(pipeline) == Right::allow);
  for (size_t at = lost * kSegment; at < stream.size(); at += kSegment) {
    pipeline.from_inside(flow.segment(stream, at, std::min(at + kSegment, stream.size())));
    for (Bytes& frame : pipeline.to_outside()) left.push_back(std::move(frame));
  }
  check_left(left, flow.client_first, stream, stream.size());
}

TEST_CASE("what lies past a body's end waits for the gap in front", "[upload]") {
  const Bytes head = bytes_of(kPut + "Content-Length: 5000\r\n\r\n");
  const Bytes stream = head + Bytes(5000, 'x') + kEvil;
  const size_t end = head.size() + 5000;
  Pipeline pipeline(kEvasionPolicy);
  const Conversation flow{.pipeline = pipeline, .server_port = 80};
  flow.open();
  pipeline.from_inside(flow.segment(stream, 0, 1000));
  CHECK(pipeline.to_outside().size() == 1);
  SECTION("in the segment that ends the body") {
    pipeline.from_inside(flow.segment(stream, 2000, stream.size()));
    CHECK(pipeline.to_outside().empty());
    pipeline.from_inside(flow.segment(stream, 1000, 2000));
  }
  SECTION("in a segment of its own") {
    pipeline.from_inside(flow.segment(stream, end, stream.size()));
    CHECK(pipeline.to_outside().empty());
    pipeline.from_inside(flow.segment(stream, 2000, end));
    pipeline.from_inside(flow.segment(stream, 1000, 2000));
  }
  SECTION("far past it") {
    pipeline.from_inside(flow.out(70'000).payload(kEvil).frame());
    pipeline.from_inside(flow.out(0x20000000).payload(kEvil).frame());
    CHECK(pipeline.to_outside().empty());
    pipeline.from_inside(flow.segment(stream, 1000, end));
    CHECK(pipeline.to_outside().size() == 1);
    pipeline.from_inside(flow.segment(stream, end, stream.size()));
  }
  CHECK(verdict(pipeline) == Right::deny);
  for (const Sent& sent : payloads(pipeline.to_outside(), flow.client_first)) {
    CHECK(sent.at + sent.bytes.size() <= end);
  }
}

// An allowed request that never reached the server may not come again as another, however far the
// numbers have gone on meanwhile.
TEST_CASE("sequence numbers that wrap bring no other request", "[upload]") {
  constexpr size_t kGib = size_t{1} << 30;
  const Bytes good = bytes_of(kPut + "Content-Length: 99999999999\r\n\r\n");
  SECTION("in three leaps over holes") {
    Pipeline pipeline(kEvasionPolicy);
    const Conversation flow{.pipeline = pipeline, .server_port = 80};
    flow.open();
    flow.send(good);
    CHECK(pipeline.payload_to_outside() == good);
    for (size_t i = 1; i <= 3; ++i) {
      pipeline.from_inside(flow.out(good.size() + i * kGib - 1).payload("x").frame());
    }
    CHECK(pipeline.to_outside().empty());
    flow.send(kEvil);
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("retransmission_differs") == 1);
  }
  SECTION("in order, but nobody has acknowledged a byte") {
    Engine engine;
    CHECK(engine.send(good));
    CHECK_FALSE(engine.send_body(3 * kGib, false));
  }
}

TEST_CASE("a body of many gigabytes passes to its end", "[upload]") {
  constexpr uint64_t kGib = uint64_t{1} << 30;
  Engine engine;
  SECTION("by its length") {
    CHECK(engine.send(bytes_of(kPut + "Content-Length: 6442450944\r\n\r\n")));
    for (int i = 0; i < 12; ++i) {
      CHECK(engine.send_body(kGib / 2));
      // The last bytes again, as they were; in the body nothing hangs on them.
      CHECK(engine.send_at(engine.position() - 100, Bytes(100, 'x')));
    }
  }
  SECTION("in chunks, whose lengths are read") {
    CHECK(engine.send(bytes_of(kPut + "Transfer-Encoding: chunked\r\n\r\n")));
    for (int i = 0; i < 12; ++i) {
      CHECK(engine.send(bytes_of("20000000\r\n")));
      CHECK(engine.send_body(kGib / 2));
      // From the middle of what has passed into what has not.
      CHECK(engine.send_at(engine.position() - 100, Bytes(100, 'x') + bytes_of("\r\n")));
      engine.send_body(0);
      CHECK(engine.send_at(engine.position() - 100, Bytes(100, 'x')));
      CHECK(engine.send(bytes_of("\r\n")));
    }
    CHECK(engine.send(bytes_of("0\r\n\r\n")));
  }
  CHECK(engine.send(bytes_of("GET / HTTP/1.1\r\nHost: www.allowed.test\r\n\r\n")));
  CHECK_FALSE(engine.send(kEvil));
  CHECK(engine.denied());
}
