#include "dataplane/inspect/quic_frames.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/quic_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// "3:abc 10:x" for the CRYPTO frames, " fault" behind them when the payload is bad.
std::string frames_of(const Bytes& payload) {
  InitialFrames frames(payload);
  std::string out;
  for (CryptoFrame frame; frames.next(frame);) {
    out += std::to_string(frame.offset) + ":" + std::string(frame.data.begin(), frame.data.end()) +
           " ";
  }
  return out + (frames.fault() == InspectFault::none ? "" : "fault");
}

const Bytes kAbc = crypto_frame(3, bytes_of("abc"));
const Bytes kX = crypto_frame(70000, bytes_of("x"));
// ACK with ECN counts; CONNECTION_CLOSE with a reason of four bytes.
const Bytes kAckEcn = Bytes{3} + varint(9) + varint(0) + varint(0) + varint(9) + Bytes{1, 2, 3};
const Bytes kClose = Bytes{0x1c} + varint(10) + varint(6) + block(bytes_of("gone"), 1);

}  // namespace

TEST_CASE("the frames of an Initial", "[quic]") {
  struct Row {
    std::string what;
    Bytes payload;
    std::string frames;
  };
  const std::vector<Row> rows = {
      {"nothing", {}, "fault"},
      {"padding", Bytes(1000), ""},
      {"one", kAbc, "3:abc "},
      {"an empty one", crypto_frame(5, {}), "5: "},
      {"among all others",
       Bytes(9) + kPingFrame + kAbc + ack_frame(5) + Bytes(17) + kX + kAckEcn + kClose + Bytes(3),
       "3:abc 70000:x "},
      {"long varints", Bytes{6} + varint(3, 8) + varint(3, 4) + bytes_of("abc"), "3:abc "},
      {"cut in its data", prefix_of(kAbc, kAbc.size() - 1), "fault"},
      {"length past 2^62", Bytes{6, 0} + varint((uint64_t{1} << 62) - 1, 8), "fault"},
      {"ACK with ranges without end",
       Bytes{2, 9, 0} + varint((uint64_t{1} << 62) - 1, 8) + Bytes(40), "fault"},
      {"a reason past the end", Bytes{0x1c, 0, 0, 5, 'a'}, "fault"},
      {"STREAM", kAbc + Bytes{0x08, 0, 'a'}, "3:abc fault"},
      {"NEW_TOKEN", {7, 1, 1}, "fault"},
      {"RESET_STREAM", {4, 0, 0, 0}, "fault"},
      {"STOP_SENDING", {5, 0, 0}, "fault"},
      {"an application's CONNECTION_CLOSE", {0x1d, 0, 0}, "fault"},
      {"HANDSHAKE_DONE", {0x1e}, "fault"},
      {"CRYPTO with its type in two bytes", Bytes{0x40} + kAbc, "fault"},
      {"a frame behind a bad one", Bytes{0x1e} + kAbc, "fault"},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(frames_of(row.payload) == row.frames);
  }
}

TEST_CASE("no prefix of a frame is one", "[quic]") {
  for (const Bytes& frame : {kAbc, kX, ack_frame(70), kAckEcn, kClose}) {
    for (size_t size = 1; size < frame.size(); ++size) {
      CAPTURE(size);
      CHECK(frames_of(prefix_of(frame, size)) == "fault");
    }
    CHECK(frames_of(frame).find("fault") == std::string::npos);
  }
}

TEST_CASE("padding of any length between frames", "[quic]") {
  for (size_t zeros = 0; zeros < 40; ++zeros) {
    CAPTURE(zeros);
    CHECK(frames_of(Bytes(zeros) + kAbc + Bytes(zeros) + kX + Bytes(zeros)) == "3:abc 70000:x ");
  }
}
