#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/io/capture_normaliser.h"
#include "dataplane/io/capture_reader.h"
#include "tests/support/bytes.h"

namespace sallyport::test {

/// Numbers in either byte order, as captures have them.
class OrderedBytes {
 public:
  explicit OrderedBytes(bool big_endian = false) : big_endian_(big_endian) {}
  OrderedBytes& number(uint64_t value, size_t width) {
    for (size_t i = 0; i < width; ++i) {
      const size_t shift = 8 * (big_endian_ ? width - 1 - i : i);
      bytes.push_back(static_cast<uint8_t>(value >> shift));
    }
    return *this;
  }
  OrderedBytes& raw(const Bytes& more) {
    append(bytes, more);
    return *this;
  }
  Bytes bytes;

 private:
  bool big_endian_;
};

/// A classic capture: Ethernet in microseconds unless told otherwise.
struct PcapBuilder {
  uint32_t magic = 0xa1b2c3d4;
  bool big_endian = false;
  uint32_t network = 1;
  uint32_t minor_version = 4;
  uint32_t snapped_to = 65535;
  Bytes records;

  /// @param wire_bytes  0: the packet is whole.
  PcapBuilder& packet(const Bytes& frame, uint32_t seconds = 1, uint32_t fraction = 0,
                      size_t wire_bytes = 0) {
    OrderedBytes out(big_endian);
    out.number(seconds, 4).number(fraction, 4).number(frame.size(), 4);
    out.number(wire_bytes == 0 ? frame.size() : wire_bytes, 4);
    if (magic == 0xa1b2cd34) out.number(0, 8);
    append(records, out.raw(frame).bytes);
    return *this;
  }
  Bytes file() const {
    OrderedBytes out(big_endian);
    out.number(magic, 4).number(2, 2).number(minor_version, 2).number(0, 8);
    return out.number(snapped_to, 4).number(network, 4).raw(records).bytes;
  }
};

/// pcapng, block by block.
class PcapngBuilder {
 public:
  PcapngBuilder& section(bool big_endian = false) {
    big_endian_ = big_endian;
    OrderedBytes body(big_endian);
    body.number(0x1a2b3c4d, 4).number(1, 2).number(0, 2).number(UINT64_MAX, 8);
    return block(0x0a0d0d0a, body.bytes);
  }
  /// @param resolution  if_tsresol; -1: none is said.
  PcapngBuilder& interface(uint16_t link_type, uint32_t snapped_to = 0, int resolution = -1,
                           int64_t offset_seconds = 0) {
    OrderedBytes body(big_endian_);
    body.number(link_type, 2).number(0, 2).number(snapped_to, 4);
    if (resolution >= 0)
      body.number(9, 2).number(1, 2).raw({static_cast<uint8_t>(resolution), 0, 0, 0});
    if (offset_seconds != 0)
      body.number(14, 2).number(8, 2).number(static_cast<uint64_t>(offset_seconds), 8);
    return block(1, body.number(0, 4).bytes);
  }
  PcapngBuilder& enhanced(uint32_t interface, uint64_t ticks, const Bytes& frame, size_t wire = 0) {
    OrderedBytes body(big_endian_);
    body.number(interface, 4).number(ticks >> 32, 4).number(ticks, 4).number(frame.size(), 4);
    body.number(wire == 0 ? frame.size() : wire, 4).raw(frame);
    return block(6, body.bytes);
  }
  PcapngBuilder& obsolete(uint16_t interface, uint64_t ticks, const Bytes& frame) {
    OrderedBytes body(big_endian_);
    body.number(interface, 2).number(0, 2).number(ticks >> 32, 4).number(ticks, 4);
    body.number(frame.size(), 4).number(frame.size(), 4).raw(frame);
    return block(2, body.bytes);
  }
  PcapngBuilder& simple(const Bytes& held, size_t wire) {
    return block(3, OrderedBytes(big_endian_).number(wire, 4).raw(held).bytes);
  }
  PcapngBuilder& block(uint32_t type, Bytes body) {
    body.resize((body.size() + 3) / 4 * 4, 0);
    OrderedBytes out(big_endian_);
    out.number(type, 4).number(body.size() + 12, 4).raw(body).number(body.size() + 12, 4);
    append(file_, out.bytes);
    return *this;
  }
  const Bytes& file() const { return file_; }

 private:
  bool big_endian_ = false;
  Bytes file_;
};

/// One packet of a capture, with bytes of its own.
struct ReadPacket {
  uint32_t link_type = 0;
  uint64_t unix_ns = 0;
  uint32_t wire_bytes = 0;
  Bytes bytes;
};

struct ReadCapture {
  std::vector<ReadPacket> packets;
  CaptureFault fault{};
};

inline ReadCapture read_capture(const Bytes& file) {
  CaptureReader in(file);
  ReadCapture out;
  CapturedPacket packet;
  while (in.next(packet)) {
    out.packets.push_back({.link_type = packet.link_type,
                           .unix_ns = packet.unix_ns,
                           .wire_bytes = packet.wire_bytes,
                           .bytes = Bytes(packet.bytes.begin(), packet.bytes.end())});
  }
  out.fault = in.fault();
  return out;
}

/// Keeps the frames it is given.
class FrameList final : public FrameSink {
 public:
  bool frame(uint64_t unix_ns, std::span<const uint8_t> frame, uint64_t wire_bytes) override {
    times.push_back(unix_ns);
    frames.emplace_back(frame.begin(), frame.end());
    wire.push_back(wire_bytes);
    return true;
  }
  std::vector<uint64_t> times;
  std::vector<Bytes> frames;
  std::vector<uint64_t> wire;
};

}  // namespace sallyport::test
