#include "dataplane/io/capture_normaliser.h"

#include <map>
#include <optional>

#include "dataplane/io/capture_headers.h"
#include "dataplane/io/capture_link.h"
#include "dataplane/io/capture_offload.h"
#include "dataplane/io/capture_reader.h"
#include "dataplane/io/capture_split.h"

namespace sallyport {
namespace {

// How many frames become of one: none when it can neither be fed nor cut up.
uint64_t pieces_of(std::span<const uint8_t> frame, const std::optional<CapturedIp>& ip) {
  if (frame.size() <= kMostFrameBytes) return 1;
  if (!ip) return 0;
  return SegmentSplitter(frame, *ip).count();
}

/// The first pass.
class Surveyor {
 public:
  void see(const CapturedPacket& packet) {
    if (!is_supported_link(packet.link_type)) {
      ++unsupported_[packet.link_type];
      return;
    }
    const auto frame = to_ethernet(packet.link_type, packet.bytes, buffer_);
    same_ &= frame.data() == packet.bytes.data() && frame.size() == packet.bytes.size();
    const auto ip = find_ip(frame);
    if (ip) offload_.see(frame, *ip);
    const uint64_t pieces = pieces_of(frame, ip);
    same_ &= frame.size() <= kMostFrameBytes;
    if (pieces == 0) ++too_long_;
    if (pieces > 1) ++cut_;
    frames_ += pieces;
  }

  std::expected<CaptureSurvey, std::string> finish(const CaptureReader& in, ChecksumMode mode);

 private:
  std::string unsupported_text() const {
    std::string out;
    for (const auto& [type, count] : unsupported_) {
      out += (out.empty() ? "" : ", ") + link_type_name(type);
    }
    return out;
  }

  std::vector<uint8_t> buffer_;
  OffloadSurvey offload_;
  std::map<uint32_t, uint64_t> unsupported_;  ///< Packets by link type.
  uint64_t frames_ = 0;
  uint64_t cut_ = 0;
  uint64_t too_long_ = 0;
  bool same_ = true;  ///< Every packet is a frame as it is.
};

std::expected<CaptureSurvey, std::string> Surveyor::finish(const CaptureReader& in,
                                                           ChecksumMode mode) {
  const CaptureFault fault = in.fault();
  if (fault == CaptureFault::not_a_capture || fault == CaptureFault::cut_header) {
    return std::unexpected(std::string(to_string(fault)));
  }
  if (frames_ + too_long_ == 0 && !unsupported_.empty()) {
    return std::unexpected("its link type is " + unsupported_text() + ", which is not supported");
  }
  CaptureSurvey out{.frames = frames_, .fault = fault};
  for (const auto& [type, count] : unsupported_) {
    out.notes.push_back(count_of_packets(count) + " left out: link type " + link_type_name(type) +
                        " is not supported");
  }
  if (too_long_ > 0) {
    out.notes.push_back(count_of_packets(too_long_) + " left out: over " +
                        std::to_string(kMostFrameBytes) +
                        " bytes, and no TCP segments that could be cut up");
  }
  if (cut_ > 0) {
    out.notes.push_back(count_of_packets(cut_) + " cut up: over " +
                        std::to_string(kMostFrameBytes) + " bytes");
  }
  const std::string why = mode == ChecksumMode::automatic ? offload_.why() : "";
  out.ignore_checksums = mode == ChecksumMode::ignore || !why.empty();
  if (!why.empty()) {
    out.notes.push_back("checksums are ignored (--checksums verify checks them): " + why);
  }
  const bool repair =
      offload_.without_length() > 0 || (out.ignore_checksums && offload_.bad_ip_checksums() > 0);
  out.is_fit = same_ && !repair && fault == CaptureFault::none && unsupported_.empty() &&
               in.is_plain_ethernet(kMostFrameBytes);
  return out;
}

/// The second pass, over one frame.
class FrameWriter {
 public:
  FrameWriter(bool repair, FrameSink& out) : repair_(repair), out_(out) {}

  bool write(const CapturedPacket& packet) {
    const auto frame = to_ethernet(packet.link_type, packet.bytes, buffer_);
    const uint64_t cut_off = packet.wire_bytes - packet.bytes.size();
    const auto ip = find_ip(frame);
    if (frame.size() > kMostFrameBytes) return !ip || write_pieces(packet.unix_ns, frame, *ip);
    if (ip && needs_repair(frame, *ip)) {
      repaired_.assign(frame.begin(), frame.end());
      if (!ip->has_length) store_ip_length(repaired_, *ip, ip->end - ip->l3_offset);
      repair_ip_checksum(repaired_, *ip);
      return out_.frame(packet.unix_ns, repaired_, repaired_.size() + cut_off);
    }
    return out_.frame(packet.unix_ns, frame, frame.size() + cut_off);
  }

 private:
  bool needs_repair(std::span<const uint8_t> frame, const CapturedIp& ip) const noexcept {
    if (!ip.is_v4) return false;
    return !ip.has_length || (repair_ && !has_right_ip_checksum(frame, ip));
  }
  bool write_pieces(uint64_t unix_ns, std::span<const uint8_t> frame, const CapturedIp& ip) {
    SegmentSplitter pieces(frame, ip);
    while (pieces.next(repaired_)) {
      if (!out_.frame(unix_ns, repaired_, repaired_.size())) return false;
    }
    return true;
  }

  bool repair_;
  FrameSink& out_;
  std::vector<uint8_t> buffer_;
  std::vector<uint8_t> repaired_;
};

}  // namespace

std::expected<CaptureSurvey, std::string> survey_capture(std::span<const uint8_t> file,
                                                         ChecksumMode mode) {
  CaptureReader in(file);
  Surveyor surveyor;
  CapturedPacket packet;
  uint64_t count = 0;
  for (; in.next(packet); ++count) surveyor.see(packet);
  // A pcap says it before its first packet, and need not have one.
  if (count == 0 && in.fault() == CaptureFault::none && !is_supported_link(in.link_type())) {
    return std::unexpected("its link type is " + link_type_name(in.link_type()) +
                           ", which is not supported");
  }
  auto out = surveyor.finish(in, mode);
  if (out && out->fault == CaptureFault::cut_short) {
    out->notes.push_back(std::string(to_string(out->fault)) + ", after " + count_of_packets(count));
  }
  return out;
}

bool normalise_capture(std::span<const uint8_t> file, const CaptureSurvey& survey, FrameSink& out) {
  CaptureReader in(file);
  FrameWriter writer(survey.ignore_checksums, out);
  CapturedPacket packet;
  while (in.next(packet)) {
    if (is_supported_link(packet.link_type) && !writer.write(packet)) return false;
  }
  return true;
}

}  // namespace sallyport
