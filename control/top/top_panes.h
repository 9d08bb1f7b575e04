#pragma once

#include <string>
#include <vector>

#include "control/top/top_model.h"
#include "control/top/top_screen.h"

namespace sallyport {

/// Every pane is this wide: two stand beside one another on 80 columns, three on 120.
inline constexpr size_t kPaneWidth = 38;

struct PaneLine {
  std::string text;  ///< At most kPaneWidth bytes.
  Emphasis emphasis = Emphasis::none;
};
using Pane = std::vector<PaneLine>;  ///< Its heading first.

/// Of one core, or of the total.
/// @param all  also the reasons that did not occur.
Pane drops_pane(const TopModel& model, const TopCore& core, bool all);
Pane verdicts_pane(const TopModel& model, const TopCore& core);
Pane ports_pane(const TopModel& model, const TopCore& core);
Pane quantiles_pane(const TopModel& model, const TopCore& core);
Pane gauges_pane(const TopModel& model, const TopCore& core);
/// Counters that occurred and stand in no other pane.
Pane others_pane(const TopModel& model, const TopCore& core);

}  // namespace sallyport
