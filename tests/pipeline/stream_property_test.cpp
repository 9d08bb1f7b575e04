// However a client cuts, mixes, repeats and falsifies its segments: a denied flow's bytes never
// leave, and an allowed flow's server reads what the client said, whichever copy it believes.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <optional>
#include <random>

#include "tests/pipeline/conversation.h"
#include "tests/support/cases.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr unsigned kSeeds = cases(8000);

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  size_t below(size_t n) { return engine_() % n; }
  bool one_in(size_t n) { return below(n) == 0; }
  size_t between(size_t least, size_t most) { return least + below(most - least + 1); }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

/// What the client wants to say, and whether kPolicy lets it.
struct Stream {
  Bytes bytes;
  size_t decided_by = 0;  ///< The verdict hangs on this many bytes.
  bool allowed = false;
  /// A request with something behind it: one may leave, and the connection be denied later.
  bool goes_on = false;
};

std::string text_of(const Bytes& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

Bytes chunks_of(const Bytes& body, size_t size) {
  Bytes out;
  for (size_t at = 0; at < body.size(); at += size) {
    const size_t end = std::min(body.size(), at + size);
    std::array<char, 16> line{};
    std::snprintf(line.data(), line.size(), "%zx\r\n", end - at);
    out = out + bytes_of(line.data()) +
          Bytes(body.begin() + static_cast<std::ptrdiff_t>(at),
                body.begin() + static_cast<std::ptrdiff_t>(end)) +
          bytes_of("\r\n");
  }
  return out + bytes_of("0\r\n\r\n");
}

Stream random_stream(Random& random) {
  const bool allowed = random.one_in(2);
  const std::string denied[] = {"other.test", "bad.good.test", "good.test.evil", "xgood.test"};
  const std::string name = allowed ? (random.one_in(2) ? "good.test" : "a.good.test")
                                   : denied[random.below(std::size(denied))];
  const auto junk = [&](size_t most) {
    Bytes out;
    for (size_t n = random.below(most); n > 0; --n) {
      out.push_back(static_cast<uint8_t>(random.below(256)));
    }
    return out;
  };
  Bytes bytes;
  bool tls = true;
  switch (random.below(4)) {
    case 0:
      bytes = hello().sni(name).record();
      break;
    case 1:
      bytes = browser_hello(name, random.one_in(4) ? kPostQuantumKeyShare : 36).record();
      break;
    case 2:
      bytes = tls_records(hello().sni(name).message(), random.between(1, 40));
      break;
    default:
      tls = false;
      bytes = request(name);
  }
  Stream out{.bytes = bytes, .decided_by = bytes.size(), .allowed = allowed};
  if (random.one_in(2)) return out;
  // What an honest client sends behind it.
  if (tls) {
    for (size_t records = random.between(1, 4); records > 0; --records) {
      out.bytes = out.bytes + app_data(text_of(junk(200)));
    }
    return out;
  }
  out.goes_on = true;
  const Bytes body = junk(300);
  const bool chunked = random.one_in(2);
  const std::string framing =
      chunked ? "Transfer-Encoding: chunked" : "Content-Length: " + std::to_string(body.size());
  bytes = bytes_of("POST /a HTTP/1.1\r\nHost: " + name + "\r\n" + framing + "\r\n\r\n");
  out.decided_by = bytes.size();
  out.bytes = bytes + (chunked ? chunks_of(body, random.between(1, 100)) : body);
  if (random.one_in(2)) out.bytes = out.bytes + request("good.test");
  return out;
}

/// One segment the client will send: a range of the stream, perhaps with a byte changed.
struct Piece {
  size_t from = 0, to = 0;
  std::optional<size_t> falsified;  ///< Stream position of the changed byte.
  bool fin = false;
};

std::vector<Piece> random_pieces(const Stream& stream, Random& random) {
  const size_t size = stream.bytes.size();
  std::vector<Piece> out;
  const size_t longest = random.one_in(3) ? 9 : (random.one_in(2) ? 120 : 1400);
  for (size_t at = 0; at < size;) {
    const size_t to = std::min(size, at + random.between(1, longest));
    out.push_back({.from = at, .to = to});
    at = to;
  }
  if (random.one_in(4)) {
    if (random.one_in(2)) out.push_back({.from = size, .to = size});
    out.back().fin = true;
  }
  // Neighbours change places, more or less far.
  if (random.one_in(3)) {
    std::ranges::shuffle(out, random.engine());
  } else if (random.one_in(2)) {
    for (size_t i = 1; i < out.size(); ++i) {
      if (random.one_in(3)) std::swap(out[i - 1], out[i]);
    }
  }
  // The same bytes again, in other pieces.
  for (size_t more = random.below(5); more > 0; --more) {
    const size_t from = random.below(size);
    const Piece again{.from = from, .to = std::min(size, from + random.between(1, 200))};
    out.insert(out.begin() + static_cast<std::ptrdiff_t>(random.below(out.size() + 1)), again);
  }
  // Other bytes in the same place.
  for (size_t more = random.one_in(3) ? random.between(1, 3) : 0; more > 0; --more) {
    const size_t from = random.below(stream.decided_by);
    const size_t to = std::min(stream.decided_by, from + random.between(1, 200));
    out.insert(out.begin() + static_cast<std::ptrdiff_t>(random.below(out.size() + 1)),
               {.from = from, .to = to, .falsified = random.between(from, to - 1)});
  }
  return out;
}

/// Two servers in one: what is read when the first copy of a byte counts, and when the last does.
/// What has been acknowledged is settled for both.
class Server {
 public:
  explicit Server(uint32_t first) : first_(first) {}

  void take(const std::vector<Bytes>& frames) {
    for (const Bytes& frame : frames) {
      const Packet packet = decoded(frame);
      reset_ |= (packet.tcp_flags & kRst) != 0;
      const Bytes payload = payload_of(frame);
      const auto at = static_cast<size_t>(packet.tcp_sequence - first_);
      if ((packet.tcp_flags & kFin) != 0) fin_at_ = at + payload.size();
      for (size_t i = 0; i < payload.size(); ++i) {
        if (at + i < acknowledged_) continue;
        first_copy_.emplace(at + i, payload[i]);
        last_copy_[at + i] = payload[i];
      }
    }
  }
  size_t in_order() const {
    size_t at = 0;
    while (first_copy_.contains(at)) ++at;
    return at;
  }
  uint32_t acknowledge() {
    acknowledged_ = in_order();
    const uint32_t fin = fin_at_ == acknowledged_ ? 1 : 0;
    return first_ + static_cast<uint32_t>(acknowledged_) + fin;
  }
  bool got_nothing() const { return first_copy_.empty(); }
  bool reset() const { return reset_; }
  Bytes first_copies() const { return values(first_copy_); }
  Bytes last_copies() const { return values(last_copy_); }

 private:
  static Bytes values(const std::map<size_t, uint8_t>& bytes) {
    Bytes out;
    for (const auto& [at, byte] : bytes) out.push_back(byte);
    return out;
  }

  uint32_t first_;
  size_t acknowledged_ = 0;
  std::optional<size_t> fin_at_;
  bool reset_ = false;
  std::map<size_t, uint8_t> first_copy_, last_copy_;
};

struct Result {
  FlowState state = FlowState::pending;
  Server server;
};

Bytes frame_of_piece(const Conversation& flow, const Stream& stream, const Piece& piece) {
  Bytes bytes(stream.bytes.begin() + static_cast<std::ptrdiff_t>(piece.from),
              stream.bytes.begin() + static_cast<std::ptrdiff_t>(piece.to));
  if (piece.falsified) bytes[*piece.falsified - piece.from] ^= 1;
  auto builder = flow.out(piece.from).payload(bytes);
  if (piece.fin) builder.flags(kAck | kFin);
  return builder.frame();
}

// After its pieces the client sends the whole stream once more, in order, as a stack would that
// has not heard of it.
Result run(Pipeline& pipeline, const Conversation& flow, const Stream& stream,
           const std::vector<Piece>& pieces, Random& random) {
  flow.open();
  pipeline.events();
  Result result{.server = Server(flow.client_first)};
  const bool acknowledges = random.one_in(2);
  const auto look = [&] {
    result.server.take(pipeline.to_outside());
    pipeline.to_inside();
    for (const FlowEvent& event : pipeline.events()) {
      if (event.type == FlowEvent::Type::verdict) result.state = event.state;
    }
  };
  const auto acknowledge = [&] {
    pipeline.from_outside(flow.in().ack(result.server.acknowledge()).frame());
    look();
  };
  const auto send = [&](const Piece& piece) {
    pipeline.from_inside(frame_of_piece(flow, stream, piece));
    look();
    if (acknowledges && random.one_in(4)) acknowledge();
  };
  for (const Piece& piece : pieces) {
    send(piece);
    const bool left = !result.server.got_nothing();
    if (result.state != FlowState::allowed) {
      REQUIRE((!left || (stream.goes_on && stream.allowed)));
    }
  }
  for (size_t at = 0; at < stream.bytes.size(); at += 500) {
    send({.from = at, .to = std::min(stream.bytes.size(), at + 500)});
  }
  acknowledge();
  // Its addresses, and perhaps its numbers, may be used again.
  pipeline.from_outside(flow.in().flags(kRst).frame());
  look();
  return result;
}

Conversation random_conversation(Pipeline& pipeline, Random& random) {
  Conversation flow{.pipeline = pipeline};
  // Few ports, so that connections follow one another on the same addresses.
  flow.client_port = static_cast<uint16_t>(20000 + random.below(50));
  if (random.one_in(3)) flow.client = "2001:db8::1", flow.server = "2001:db8::2";
  if (random.one_in(2)) flow.client_first = static_cast<uint32_t>(random.engine()());
  if (random.one_in(4)) flow.client_first = UINT32_MAX - static_cast<uint32_t>(random.below(300));
  if (random.one_in(2)) flow.server_first = static_cast<uint32_t>(random.engine()());
  return flow;
}

}  // namespace

TEST_CASE("no way to send a stream changes what may leave of it", "[pipeline][property]") {
  std::map<FlowState, int> ends;
  int falsified_cases = 0;
  std::unique_ptr<Pipeline> pipeline;
  for (uint32_t seed = 1; seed <= kSeeds; ++seed) {
    if (seed % 500 == 1) {
      pipeline.reset();
      pipeline = std::make_unique<Pipeline>(kPolicy);
    }
    CAPTURE(seed);
    Random random(seed);
    const Conversation flow = random_conversation(*pipeline, random);
    const Stream stream = random_stream(random);
    const std::vector<Piece> pieces = random_pieces(stream, random);
    const bool honest =
        std::ranges::none_of(pieces, [](const Piece& one) { return one.falsified.has_value(); });
    CAPTURE(stream.allowed, stream.bytes.size(), pieces.size(), honest, flow.client_first);
    const Result result = run(*pipeline, flow, stream, pieces, random);

    ++ends[result.state];
    falsified_cases += !honest;
    if (honest) {
      REQUIRE(result.state == (stream.allowed ? FlowState::allowed : FlowState::denied));
    }
    if (result.state == FlowState::denied) {
      REQUIRE((result.server.got_nothing() || (stream.goes_on && stream.allowed)));
      REQUIRE(result.server.reset());
    } else {
      REQUIRE(result.state == FlowState::allowed);
      // With a false copy first the client has said something else, but one thing only.
      REQUIRE(result.server.first_copies() == result.server.last_copies());
      if (honest) REQUIRE(result.server.first_copies() == stream.bytes);
    }
    // What was falsified may be a length, so that the rest of the stream is waited for in vain.
    if (honest) {
      REQUIRE(pipeline->packets_in_use() == 0);
    } else if (pipeline->packets_in_use() != 0) {
      pipeline.reset();
      pipeline = std::make_unique<Pipeline>(kPolicy);
    }
  }
  // The cases are about something.
  CHECK(ends[FlowState::allowed] > int{kSeeds} / 4);
  CHECK(ends[FlowState::denied] > int{kSeeds} / 4);
  CHECK(falsified_cases > int{kSeeds} / 8);
}
