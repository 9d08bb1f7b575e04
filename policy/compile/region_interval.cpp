#include "policy/compile/region_interval.h"

#include <algorithm>

namespace sallyport {
namespace {

constexpr RegionKey kLastKey = ~RegionKey{0};
constexpr unsigned kAddressBits = 128;
constexpr unsigned kV4Bits = 32;

/// ::ffff:0:0 and the key after the mapped block.
constexpr RegionKey kFirstV4 = RegionKey{0xffff} << kV4Bits;
constexpr RegionKey kLastV4 = kFirstV4 + 0xffffffff;

RegionKey host_mask(unsigned prefix_bits) {
  return prefix_bits == 0 ? kLastKey : (RegionKey{1} << (kAddressBits - prefix_bits)) - 1;
}

/// The widest block that starts at `first` and stays within `last`.
unsigned widest_block(RegionKey first, RegionKey last) {
  unsigned bits = kAddressBits;
  while (bits > 0) {
    const RegionKey mask = host_mask(bits - 1);
    if ((first & mask) != 0 || last - first < mask) break;
    --bits;
  }
  return bits;
}

}  // namespace

Intervals normalised(Intervals intervals) {
  std::ranges::sort(intervals);
  Intervals out;
  for (const Interval& one : intervals) {
    const bool joins =
        !out.empty() && (one.first <= out.back().last || one.first - 1 == out.back().last);
    if (joins) {
      out.back().last = std::max(out.back().last, one.last);
    } else {
      out.push_back(one);
    }
  }
  return out;
}

Intervals unite(const Intervals& a, const Intervals& b) {
  Intervals both = a;
  both.insert(both.end(), b.begin(), b.end());
  return normalised(std::move(both));
}

Intervals intersect(const Intervals& a, const Intervals& b) {
  Intervals out;
  for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
    const RegionKey first = std::max(x->first, y->first);
    const RegionKey last = std::min(x->last, y->last);
    if (first <= last) out.push_back({first, last});
    (x->last < y->last ? x : y)++;
  }
  return out;
}

Intervals subtract(const Intervals& domain, const Intervals& a) {
  Intervals out;
  auto hole = a.begin();
  for (const Interval& piece : domain) {
    RegionKey at = piece.first;
    bool done = false;
    while (hole != a.end() && hole->last < at) ++hole;
    for (auto it = hole; !done && it != a.end() && it->first <= piece.last; ++it) {
      if (it->first > at) out.push_back({at, it->first - 1});
      done = it->last >= piece.last;
      if (!done) at = it->last + 1;
    }
    if (!done) out.push_back({at, piece.last});
  }
  return out;
}

bool contains(const Intervals& intervals, RegionKey key) noexcept {
  const auto after = std::ranges::upper_bound(intervals, key, {}, &Interval::first);
  return after != intervals.begin() && key <= std::prev(after)->last;
}

bool overlap(const Intervals& a, const Intervals& b) noexcept {
  for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
    if (std::max(x->first, y->first) <= std::min(x->last, y->last)) return true;
    (x->last < y->last ? x : y)++;
  }
  return false;
}

RegionKey region_key(const IpAddress& address) noexcept {
  RegionKey key = 0;
  for (const uint8_t byte : address.bytes) key = key << 8 | byte;
  return key;
}

IpAddress region_address(RegionKey key) noexcept {
  IpAddress out;
  for (size_t i = out.bytes.size(); i-- > 0; key >>= 8) {
    out.bytes[i] = static_cast<uint8_t>(key & 0xff);
  }
  return out;
}

const Intervals& v4_addresses() {
  static const Intervals all{{kFirstV4, kLastV4}};
  return all;
}

const Intervals& v6_addresses() {
  static const Intervals all{{0, kFirstV4 - 1}, {kLastV4 + 1, kLastKey}};
  return all;
}

Intervals addresses_of(const std::vector<IpPrefix>& prefixes) {
  Intervals out;
  for (const IpPrefix& prefix : prefixes) {
    const RegionKey first = region_key(prefix.address);
    const RegionKey last = first | host_mask(prefix.prefix_bits);
    if (first < kFirstV4 && last >= kLastV4) {
      out.push_back({first, kFirstV4 - 1});
      if (last > kLastV4) out.push_back({kLastV4 + 1, last});
    } else {
      out.push_back({first, last});
    }
  }
  return normalised(std::move(out));
}

std::vector<IpPrefix> blocks_of(const Intervals& intervals) {
  std::vector<IpPrefix> out;
  for (const Interval& one : intervals) {
    for (RegionKey at = one.first;;) {
      const unsigned bits = widest_block(at, one.last);
      out.push_back({region_address(at), static_cast<uint8_t>(bits)});
      const RegionKey end = at + host_mask(bits);
      if (end >= one.last) break;
      at = end + 1;
    }
  }
  return out;
}

}  // namespace sallyport
