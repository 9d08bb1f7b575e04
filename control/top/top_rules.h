#pragma once

#include <cstddef>

#include "control/top/top_model.h"
#include "control/top/top_panes.h"
#include "control/top/top_view.h"

namespace sallyport {

/// Gives each core of `model` its rules, and the total those of all cores. `before`: of the same
/// segment, or null; without it there are no rates.
void add_rules(TopModel& model, const StatsSnapshot* before, const StatsSnapshot& after);

/// Rules that have decided anything, those with the most hits per second first.
Pane hit_rules_pane(const TopModel& model, const TopCore& core);

/// Every rule of the policy in force, as `view` sorts them. Wider than other panes: `width`.
/// @return the heading first.
Pane rules_pane(const TopModel& model, const TopCore& core, const TopView& view, size_t width);

/// Which core's rules the page shows; none: those of all.
const TopCore* core_of_rules(const TopModel& model, const TopView& view);

}  // namespace sallyport
