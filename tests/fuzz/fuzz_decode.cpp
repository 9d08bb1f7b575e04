// Any bytes as a frame: what decode() accepts must lie inside the frame, part by part.
#include <cstdlib>
#include <span>

#include "dataplane/inspect/packet.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sallyport;
  const std::span frame(data, size);
  Packet packet;
  if (decode(frame, packet) != DecodeFault::none) return 0;
  require(packet.vlan_tags <= 2 && packet.l3_offset <= size);
  if (packet.kind == PacketKind::arp) return 0;

  require(packet.l3_offset < packet.l4_offset && packet.l4_offset <= packet.payload_offset);
  require(packet.payload_offset <= size && packet.payload_bytes <= size - packet.payload_offset);
  require(packet.kind != PacketKind::icmp_error || packet.quoted.ip_protocol != 0 ||
          packet.flow.source.is_v4());
  (void)l4_checksum_ok(frame, packet);
  return 0;
}
