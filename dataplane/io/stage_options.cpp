#include "dataplane/io/stage_options.h"

namespace sallyport {
namespace {

/// What an ordinary flow keeps: a name, the protocols offered, a fingerprint.
constexpr uint32_t kFactBlocksPerFlow = 4;
constexpr uint32_t kMs = 1000;

}  // namespace

FlowStageOptions stage_options(const GatewayConfig& config, unsigned worker, BudgetLedger* budgets,
                               Bindings* bindings) {
  return {.limits = {.held_bytes_per_flow = config.held_bytes_per_flow,
                     .held_packets = config.held_packets_per_worker,
                     .fact_blocks = config.flow_capacity * kFactBlocksPerFlow,
                     .inspections = config.inspected_flows_per_worker,
                     .http2_connections = config.http2_connections_per_worker,
                     .quic_hellos = config.quic_handshakes_per_worker,
                     .inspection_timeout_ms = config.inspection_timeout_seconds * kMs,
                     .pass_http2_opening = config.pass_http2_opening,
                     .exceptions = config.exceptions},
          .timeouts = {.tcp_idle_ms = config.tcp_idle_seconds * kMs,
                       .tcp_opening_ms = config.tcp_opening_seconds * kMs,
                       .tcp_closing_ms = config.tcp_closing_seconds * kMs,
                       .udp_idle_ms = config.udp_idle_seconds * kMs,
                       .other_idle_ms = config.other_idle_seconds * kMs},
          .flow_capacity = config.flow_capacity,
          .core = config.worker_cores[worker],
          .worker = worker,
          .pass_inbound_flows = config.pass_inbound_flows,
          .midstream_grace_ms = config.midstream_grace_seconds * kMs,
          .budgets = budgets,
          .bindings = bindings};
}

}  // namespace sallyport
