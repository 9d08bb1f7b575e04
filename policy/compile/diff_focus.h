#pragma once

#include "policy/compile/region_space.h"
#include "policy/compile/region_split.h"

namespace sallyport {

/// Where two policies can differ at all.
struct DiffFocus {
  Candidates changed;     ///< Clauses of rules that only one side has, or has elsewhere.
  Candidates candidates;  ///< Those, and every clause of either side that may meet one of them.
};

/// A flow that matches only rules that both sides have, in the same order, is decided alike. So
/// only flows of the other rules can change.
/// @param space  Both policies.
DiffFocus find_focus(const RegionSpace& space);

}  // namespace sallyport
