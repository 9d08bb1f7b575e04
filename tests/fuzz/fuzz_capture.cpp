// Any bytes as a capture: both passes must agree, and every frame fit one packet buffer.
#include <cstdlib>
#include <span>

#include "dataplane/io/capture_normaliser.h"
#include "dataplane/io/capture_reader.h"
#include "dataplane/io/capture_split.h"

namespace {

using namespace sallyport;

void require(bool holds) {
  if (!holds) std::abort();
}

class Checker final : public FrameSink {
 public:
  bool frame(uint64_t, std::span<const uint8_t> frame, uint64_t wire_bytes) override {
    require(frame.size() <= kMostFrameBytes && frame.size() <= wire_bytes);
    ++frames;
    bytes += frame.size();
    return true;
  }
  uint64_t frames = 0;
  uint64_t bytes = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span file(data, size);
  for (const auto mode : {ChecksumMode::automatic, ChecksumMode::verify, ChecksumMode::ignore}) {
    const auto survey = survey_capture(file, mode);
    if (!survey) {
      require(!survey.error().empty());
      continue;
    }
    Checker checker;
    require(normalise_capture(file, *survey, checker));
    require(checker.frames == survey->frames);
    if (!survey->is_fit) continue;
    // As it is: the frames are the packets.
    CaptureReader in(file);
    CapturedPacket packet;
    uint64_t bytes = 0;
    while (in.next(packet)) bytes += packet.bytes.size();
    require(bytes == checker.bytes);
  }
  return 0;
}
