#include "dataplane/inspect/flow_watch.h"

#include "dataplane/inspect/flow_decision.h"

namespace sallyport {

Inspection* inspection_of(const Flow& flow, FlowContext& context) noexcept {
  return flow.inspection == kNoSlot ? nullptr : &context.inspections[flow.inspection];
}

Inspection* watch_stream(Flow& flow, StreamStage stage, FlowContext& context) noexcept {
  if (flow.inspection == kNoSlot) {
    flow.inspection = context.inspections.acquire();
    if (flow.inspection == kNoSlot) return nullptr;
    Inspection& inspection = context.inspections[flow.inspection];
    inspection.watch = StreamWatch{};
    StreamWatch& watch = inspection.stream();
    watch.stage = stage;
    watch.window_first = stage == StreamStage::opaque ? flow.client_next : flow.client_first;
    watch.server_first = flow.server_next;
  }
  return &context.inspections[flow.inspection];
}

Inspection* watch_datagrams(Flow& flow, FlowContext& context) noexcept {
  if (flow.inspection == kNoSlot) {
    flow.inspection = context.inspections.acquire();
    if (flow.inspection == kNoSlot) return nullptr;
    context.inspections[flow.inspection].watch = DatagramWatch{};
  }
  return &context.inspections[flow.inspection];
}

void unwatch_if_done(Flow& flow, FlowContext& context) noexcept {
  Inspection* inspection = inspection_of(flow, context);
  if (inspection == nullptr || !inspection->held.empty()) return;
  if (inspection->datagrams() != nullptr) return;  // another hello may come as long as it lives
  const StreamWatch& watch = inspection->stream();
  const bool reads = watch.stage != StreamStage::opaque && flow.state != FlowState::denied;
  const bool ended = (flow.progress & kEndedByFin) != 0;
  if (reads || watch.guarded || watch.reopening || ended) return;
  unwatch(flow, context);
}

void unwatch(Flow& flow, FlowContext& context) noexcept {
  Inspection* inspection = inspection_of(flow, context);
  if (inspection == nullptr) return;
  if (DatagramWatch* watch = inspection->datagrams()) {
    context.quic_hellos.release(watch->hello);
  } else {
    context.http2_connections.release(inspection->stream().http2);
  }
  context.inspections.release(flow.inspection);
  flow.inspection = kNoSlot;
}

Outcome check_timeout(Flow& flow, FlowContext& context) noexcept {
  const Inspection* inspection = inspection_of(flow, context);
  if (inspection == nullptr || inspection->waiting_packets == 0 ||
      context.now_ms - inspection->waiting_since_ms < context.limits.inspection_timeout_ms) {
    return {};
  }
  // What waited on a flow that is denied already goes without a word.
  if (flow.state != FlowState::denied) {
    deny_flow(flow, FlowReason::inspection_timeout, kept_facts(flow, context), context);
  }
  return kDenied;
}

}  // namespace sallyport
