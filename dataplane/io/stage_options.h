#pragma once

#include "dataplane/io/config.h"
#include "dataplane/io/flow_stage.h"

namespace sallyport {

/// What a worker's flows go by, out of the configuration.
/// @param worker  Index, from 0, into config.worker_cores.
FlowStageOptions stage_options(const GatewayConfig& config, unsigned worker, BudgetLedger* budgets,
                               Bindings* bindings);

}  // namespace sallyport
