#include "dataplane/io/capture_reader.h"

#include <algorithm>
#include <utility>

#include "dataplane/io/capture_fields.h"

namespace sallyport {
namespace {

constexpr uint32_t kMicroseconds = 0xa1b2c3d4;
constexpr uint32_t kNanoseconds = 0xa1b23c4d;
constexpr uint32_t kModified = 0xa1b2cd34;  // Kuznetzov's: eight bytes more a packet

bool is_magic(uint32_t value) noexcept {
  return value == kMicroseconds || value == kNanoseconds || value == kModified;
}

}  // namespace

std::string_view to_string(CaptureFault fault) noexcept {
  switch (fault) {
    case CaptureFault::none:
      break;
    case CaptureFault::not_a_capture:
      return "it is no capture (neither pcap nor pcapng)";
    case CaptureFault::cut_header:
      return "it is cut short, before its first packet";
    case CaptureFault::cut_short:
      return "it is cut short";
    case CaptureFault::bad_block:
      return "it is damaged: a length in it cannot be right";
    case CaptureFault::unknown_interface:
      return "it is damaged: a packet is of an interface that it does not describe";
  }
  return "";
}

std::string count_of_packets(uint64_t count) {
  return std::to_string(count) + (count == 1 ? " packet" : " packets");
}

CaptureReader::CaptureReader(std::span<const uint8_t> file) noexcept : pcapng_(file) {
  is_pcapng_ = PcapngReader::starts(file);
  if (!is_pcapng_) read_header(file);
}

bool CaptureReader::stop(CaptureFault fault) noexcept {
  fault_ = fault;
  rest_ = {};
  return false;
}

void CaptureReader::read_header(std::span<const uint8_t> file) noexcept {
  uint32_t magic = CaptureFields(file, false).u32();
  swapped_ = !is_magic(magic);
  CaptureFields header(file, swapped_);
  magic = header.u32();
  if (!is_magic(magic)) {
    stop(CaptureFault::not_a_capture);
    return;
  }
  nanoseconds_ = magic == kNanoseconds;
  modified_ = magic == kModified;
  const uint16_t major_version = header.u16();
  minor_version_ = header.u16();
  header.bytes(8);  // time zone and accuracy, which nobody fills in
  snapped_to_bytes_ = header.u32();
  const uint32_t network = header.u32();
  if (!header.ok()) {
    stop(CaptureFault::cut_header);
    return;
  }
  link_type_ = network & 0xffff;  // above: what is known of frame check sequences
  plain_ = !modified_ && major_version == 2 && minor_version_ == 4 && network == kLinkEthernet;
  rest_ = header.rest();
}

bool CaptureReader::next(CapturedPacket& out) {
  if (is_pcapng_) return pcapng_.next(out);
  if (rest_.empty()) return false;
  CaptureFields record(rest_, swapped_);
  const uint64_t seconds = record.u32();
  const uint64_t fraction = record.u32();
  uint32_t captured = record.u32();
  uint32_t wire = record.u32();
  if (modified_) record.bytes(8);
  if (!record.ok()) return stop(CaptureFault::cut_short);
  // The two lengths stood the other way round before version 2.3, and in some files of it.
  if (minor_version_ < 3 || (minor_version_ == 3 && captured > wire)) std::swap(captured, wire);
  if (captured > kMostCapturedBytes) return stop(CaptureFault::bad_block);
  const auto bytes = record.bytes(captured);
  if (!record.ok()) return stop(CaptureFault::cut_short);
  rest_ = record.rest();
  out = {.link_type = link_type_,
         .unix_ns = seconds * 1'000'000'000 + fraction * (nanoseconds_ ? 1 : 1000),
         .wire_bytes = std::max(wire, captured),
         .bytes = bytes};
  return true;
}

}  // namespace sallyport
