// Any bytes as frames that come one after another: what decode_fragment() accepts lies inside its
// frame, and a datagram that FragmentTable calls complete has each byte exactly once, so that what
// is put together and taken apart again is the same.
#include <algorithm>
#include <cstdlib>
#include <span>
#include <vector>

#include "dataplane/inspect/fragment.h"
#include "dataplane/inspect/fragment_table.h"

namespace {

using namespace sallyport;
using Frame = std::span<const uint8_t>;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Kept {
  Frame frame;
  Fragment fragment;
  uint32_t index;
};

// Each byte of `whole` behind its headers is in exactly one of the fragments taken from it.
void take_apart(const std::vector<uint8_t>& whole, const DatagramShape& shape) {
  const size_t step = fragment_payload_bytes(shape);
  require(step >= 8);
  for (size_t from = 0; from < whole.size() - shape.payload_offset; from += step) {
    std::vector<uint8_t> frame(size_t{shape.l3_offset} + shape.most_bytes);
    frame.resize(write_fragment(whole, shape, from, frame));
    Fragment again;
    require(decode_fragment(frame, again) == DecodeFault::none);
    require(again.from == from && again.key.id == shape.id);
    require(std::equal(frame.begin() + again.payload_offset, frame.end(),
                       whole.begin() + shape.payload_offset + static_cast<std::ptrdiff_t>(from)));
  }
}

void put_together(const std::vector<Kept>& kept, uint32_t index, const FragmentRecord& record) {
  std::vector<int> copies(record.end);
  std::vector<uint8_t> payload(record.end);
  const Kept* first = nullptr;
  for (const Kept& one : kept) {
    if (one.index != index) continue;
    const Fragment& fragment = one.fragment;
    require(fragment.from + fragment.bytes <= record.end);
    if (fragment.from == 0) first = &one;
    for (size_t i = 0; i < fragment.bytes; ++i) {
      ++copies[fragment.from + i];
      payload[fragment.from + i] = one.frame[fragment.payload_offset + i];
    }
  }
  require(first != nullptr);
  require(std::ranges::all_of(copies, [](int n) { return n == 1; }));
  std::vector<uint8_t> whole(first->fragment.payload_offset);
  DatagramShape shape = write_whole_headers(first->frame, first->fragment, record.end, whole);
  shape.most_bytes = record.most_bytes;
  whole.resize(shape.payload_offset);
  whole.insert(whole.end(), payload.begin(), payload.end());
  Packet packet;
  require(decode(whole, packet) != DecodeFault::truncated_ip);
  require(decode(whole, packet) != DecodeFault::bad_ip_checksum);
  take_apart(whole, shape);
}

}  // namespace

// Two bytes of length, then a frame, and again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Frame rest(data, size);
  FragmentTable table({.datagrams = 4});
  std::vector<Kept> kept;
  for (uint64_t now = 0; rest.size() > 2; now += 100) {
    const size_t length = std::min<size_t>(rest[0] * 256U + rest[1], rest.size() - 2);
    const Frame frame = rest.subspan(2, length);
    rest = rest.subspan(2 + length);
    Fragment fragment;
    if (decode_fragment(frame, fragment) != DecodeFault::none) continue;
    require(fragment.l3_offset < fragment.payload_offset);
    require(fragment.payload_offset + size_t{fragment.bytes} <= frame.size());
    require(fragment.from + size_t{fragment.bytes} <= kMaxIpPayloadBytes);
    if (fragment.is_atomic()) {
      std::vector<uint8_t> copy(frame.begin(), frame.end());
      strip_fragment_header(copy, fragment);
      continue;
    }
    for (uint32_t i = table.expired(now); i != FragmentTable::kNone; i = table.expired(now)) {
      std::erase_if(kept, [i](const Kept& one) { return one.index == i; });
      table.remove(i);
    }
    const auto [step, index, lost] = table.add(fragment, Direction::outbound, fragment.key.id, now);
    if (step != FragmentStep::kept && step != FragmentStep::complete) continue;
    kept.push_back({frame, fragment, index});
    require(table.fragments() <= 8 && table.size() <= 4);
    if (step != FragmentStep::complete) continue;
    put_together(kept, index, table[index]);
    std::erase_if(kept, [index](const Kept& one) { return one.index == index; });
    table.remove(index);
  }
  return 0;
}
