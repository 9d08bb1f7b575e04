#pragma once

#include "policy/compile/region.h"

namespace sallyport::test {

/// Whether a flow with every fact known, from a source with `labels`, is one of the region's. Asks
/// the flow plainly, one fact after another.
/// @param names  Keys of Axis::name that the search told apart.
bool holds(const RegionSpace& space, const Region& region, const Intervals& names,
           const FlowFacts& facts, const Labels& labels);

}  // namespace sallyport::test
