#pragma once

#include <vector>

#include "policy/compile/model.h"
#include "policy/runtime/ip_address.h"

namespace sallyport {

/// One value of an ordered axis: an address, a port, a second, a numbered atom. 128 bits hold all.
__extension__ using RegionKey = unsigned __int128;

/// Closed: both ends belong to it.
struct Interval {
  RegionKey first = 0;
  RegionKey last = 0;

  auto operator<=>(const Interval&) const = default;
};

/// A set of keys: sorted, disjoint and not touching, so equal sets compare equal.
using Intervals = std::vector<Interval>;

/// Sorts and joins what overlaps or touches.
Intervals normalised(Intervals intervals);
Intervals unite(const Intervals& a, const Intervals& b);
Intervals intersect(const Intervals& a, const Intervals& b);
/// What `domain` holds and `a` does not.
Intervals subtract(const Intervals& domain, const Intervals& a);
bool contains(const Intervals& intervals, RegionKey key) noexcept;
bool overlap(const Intervals& a, const Intervals& b) noexcept;

RegionKey region_key(const IpAddress& address) noexcept;
IpAddress region_address(RegionKey key) noexcept;

/// Every IPv4 address, and every IPv6 one that is none of them.
const Intervals& v4_addresses();
const Intervals& v6_addresses();

/// What contains() of ip_address.h says of the blocks: a short IPv6 block leaves out IPv4.
Intervals addresses_of(const std::vector<IpPrefix>& prefixes);

/// The fewest blocks that make up `intervals`, in order.
std::vector<IpPrefix> blocks_of(const Intervals& intervals);

}  // namespace sallyport
