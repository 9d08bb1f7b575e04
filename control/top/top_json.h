#pragma once

#include "control/common/json_text.h"
#include "control/top/top_model.h"

namespace sallyport {

/// The model as docs/observability.md describes it: base units, names that stay.
Json top_json(const TopModel& model);

}  // namespace sallyport
