#include "dataplane/io/capture_pcapng.h"

#include <algorithm>

#include "dataplane/io/capture_fields.h"

namespace sallyport {
namespace {

// Block types, draft-ietf-opsawg-pcapng section 10.1.
constexpr uint32_t kSection = 0x0a0d0d0a;  // reads the same in both byte orders
constexpr uint32_t kInterface = 1;
constexpr uint32_t kObsoletePacket = 2;
constexpr uint32_t kSimplePacket = 3;
constexpr uint32_t kEnhancedPacket = 6;

constexpr uint32_t kByteOrder = 0x1a2b3c4d;
constexpr uint32_t kFramingBytes = 12;  // type, and the length in front and behind

constexpr uint16_t kEndOfOptions = 0;
constexpr uint16_t kResolution = 9;
constexpr uint16_t kOffset = 14;

constexpr uint64_t kNsPerSecond = 1'000'000'000;

// if_tsresol: a power of ten or, with the top bit, of two. 0: finer than 64 bits can count.
uint64_t ticks_per_second(uint8_t resolution) noexcept {
  constexpr uint8_t kPowerOfTwo = 0x80;
  const unsigned exponent = resolution & ~kPowerOfTwo;
  if ((resolution & kPowerOfTwo) != 0) return exponent < 64 ? uint64_t{1} << exponent : 0;
  if (exponent > 19) return 0;
  uint64_t ticks = 1;
  for (unsigned i = 0; i < exponent; ++i) ticks *= 10;
  return ticks;
}

size_t padded(size_t bytes) noexcept {
  return (bytes + 3) / 4 * 4;
}

}  // namespace

bool PcapngReader::starts(std::span<const uint8_t> file) noexcept {
  return CaptureFields(file, false).u32() == kSection;
}

bool PcapngReader::stop(CaptureFault fault) noexcept {
  fault_ = fault;
  rest_ = {};
  return false;
}

bool PcapngReader::next(CapturedPacket& out) {
  while (!rest_.empty()) {
    Block block;
    if (!take_block(block)) return false;
    switch (block.type) {
      case kSection:
        if (!start_section(block)) return false;
        break;
      case kInterface:
        if (!add_interface(block)) return false;
        break;
      case kObsoletePacket:
      case kSimplePacket:
      case kEnhancedPacket:
        return read_packet(block, out);
      default:  // names, statistics, secrets, and whatever is still to be invented
        break;
    }
  }
  return false;
}

bool PcapngReader::take_block(Block& out) noexcept {
  const CaptureFault cut = in_section_ ? CaptureFault::cut_short : CaptureFault::cut_header;
  CaptureFields head(rest_, swapped_);
  out.type = head.u32();
  // Only behind its length does a section say in which byte order that is.
  if (out.type == kSection) {
    CaptureFields order(rest_, false);
    order.bytes(8);
    const uint32_t native = order.u32();
    if (!order.ok()) return stop(cut);
    swapped_ = native != kByteOrder;
    head = CaptureFields(rest_, swapped_);
    head.u32();
  }
  const uint32_t length = head.u32();
  if (!head.ok()) return stop(cut);
  if (length < kFramingBytes || length % 4 != 0 || length > kMostCapturedBytes) {
    return stop(in_section_ ? CaptureFault::bad_block : CaptureFault::not_a_capture);
  }
  if (length > rest_.size()) return stop(cut);
  out.body = head.bytes(length - kFramingBytes);
  if (head.u32() != length) return stop(CaptureFault::bad_block);
  rest_ = head.rest();
  return true;
}

bool PcapngReader::start_section(const Block& block) noexcept {
  CaptureFields fields(block.body, swapped_);
  if (fields.u32() != kByteOrder) {
    return stop(in_section_ ? CaptureFault::bad_block : CaptureFault::not_a_capture);
  }
  interfaces_.clear();
  in_section_ = true;
  return true;
}

bool PcapngReader::add_interface(const Block& block) {
  CaptureFields fields(block.body, swapped_);
  Interface added;
  added.link_type = fields.u16();
  fields.u16();
  added.snapped_to_bytes = fields.u32();
  if (!fields.ok() || !read_options(fields, added)) return stop(CaptureFault::bad_block);
  interfaces_.push_back(added);
  return true;
}

bool PcapngReader::read_options(CaptureFields& fields, Interface& out) noexcept {
  while (!fields.rest().empty()) {
    const uint16_t code = fields.u16();
    const uint16_t length = fields.u16();
    if (code == kEndOfOptions) return fields.ok();
    CaptureFields value = fields;
    fields.bytes(padded(length));
    if (!fields.ok()) return false;
    if (code == kResolution && length >= 1)
      out.ticks_per_second = ticks_per_second(value.rest()[0]);
    if (code == kOffset && length >= 8) out.offset_seconds = static_cast<int64_t>(value.u64());
  }
  return true;
}

bool PcapngReader::read_packet(const Block& block, CapturedPacket& out) noexcept {
  CaptureFields fields(block.body, swapped_);
  if (block.type == kSimplePacket) return read_simple(fields, out);
  uint32_t interface = 0;
  if (block.type == kEnhancedPacket) {
    interface = fields.u32();
  } else {
    interface = fields.u16();
    fields.u16();  // packets lost before this one
  }
  if (!fields.ok()) return stop(CaptureFault::bad_block);
  return read_stamped(fields, interface, out);
}

bool PcapngReader::read_stamped(CaptureFields& fields, uint32_t interface,
                                CapturedPacket& out) noexcept {
  if (interface >= interfaces_.size()) return stop(CaptureFault::unknown_interface);
  const uint64_t high = fields.u32();
  const uint64_t low = fields.u32();
  const uint32_t captured = fields.u32();
  const uint32_t wire = fields.u32();
  const auto bytes = fields.bytes(captured);
  if (!fields.ok()) return stop(CaptureFault::bad_block);
  latest_unix_ns_ = unix_ns(interfaces_[interface], high << 32 | low);
  out = {.link_type = interfaces_[interface].link_type,
         .unix_ns = latest_unix_ns_,
         .wire_bytes = std::max(wire, captured),
         .bytes = bytes};
  return true;
}

// Of the first interface, and as long as it and the interface's snap length say.
bool PcapngReader::read_simple(CaptureFields& fields, CapturedPacket& out) noexcept {
  if (interfaces_.empty()) return stop(CaptureFault::unknown_interface);
  const Interface& interface = interfaces_.front();
  const uint32_t wire = fields.u32();
  uint32_t captured = wire;
  if (interface.snapped_to_bytes > 0) captured = std::min(captured, interface.snapped_to_bytes);
  const auto bytes = fields.bytes(captured);
  if (!fields.ok()) return stop(CaptureFault::bad_block);
  out = {.link_type = interface.link_type,
         .unix_ns = latest_unix_ns_,
         .wire_bytes = wire,
         .bytes = bytes};
  return true;
}

// Kept within the seconds that a pcap can write: 1970 to 2106.
uint64_t PcapngReader::unix_ns(const Interface& interface, uint64_t ticks) noexcept {
  constexpr uint64_t kMostSeconds = UINT32_MAX;
  const uint64_t per_second = interface.ticks_per_second;
  if (per_second == 0) return 0;
  const uint64_t fraction = ticks % per_second;
  uint64_t ns = 0;
  if (per_second <= 10 * kNsPerSecond) {
    ns = fraction * kNsPerSecond / per_second;
  } else {  // the product would not fit, and what a double loses is below a nanosecond
    const double part = static_cast<double>(fraction) / static_cast<double>(per_second);
    ns = std::min(static_cast<uint64_t>(part * 1e9), kNsPerSecond - 1);
  }
  const auto seconds = static_cast<int64_t>(std::min(ticks / per_second, kMostSeconds));
  const int64_t offset =
      std::clamp<int64_t>(interface.offset_seconds, -int64_t{kMostSeconds}, int64_t{kMostSeconds});
  const auto sum = std::clamp<int64_t>(seconds + offset, 0, int64_t{kMostSeconds});
  return static_cast<uint64_t>(sum) * kNsPerSecond + ns;
}

}  // namespace sallyport
