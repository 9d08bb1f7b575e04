#include "dataplane/inspect/flow_watch.h"

#include "dataplane/inspect/flow_decision.h"

namespace sallyport {

Inspection* watch_stream(Flow& flow, FlowContext& context) noexcept {
  if (flow.inspection == kNoSlot) {
    flow.inspection = context.inspections.acquire();
    if (flow.inspection == kNoSlot) return nullptr;
    StreamWatch& watch = context.inspections[flow.inspection].stream();  // what a fresh one holds
    watch.window_first = flow.client_first;
    watch.acknowledged = watch.window_first;
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
  if (inspection->datagrams() != nullptr) {
    // While it is read, another hello may come as long as it lives.
    if ((flow.progress & kReadDatagrams) != 0) return;
    return unwatch(flow, context);
  }
  const StreamWatch& watch = inspection->stream();
  const bool reads = watch.stage != StreamStage::opaque && flow.state != FlowState::denied;
  const bool ended = (flow.progress & kEndedByFin) != 0;
  if (reads || watch.guarded || ended) return;
  unwatch(flow, context);
}

void unwatch(Flow& flow, FlowContext& context) noexcept {
  Inspection* inspection = inspection_of(flow, context);
  if (inspection == nullptr) return;
  if (DatagramWatch* watch = inspection->datagrams()) {
    context.quic_hellos.release(watch->hello);
  } else {
    const uint32_t http2 = inspection->stream().http2;
    if (http2 != kNoSlot) context.http2_connections[http2].decisions.release(context.facts);
    context.http2_connections.release(http2);
    context.dns_answers.release(inspection->stream().answers.slot);
  }
  context.inspections.release(flow.inspection);
  flow.inspection = kNoSlot;
}

Outcome check_timeout(Flow& flow, FlowContext& context) noexcept {
  constexpr uint64_t kNsPerMs = 1'000'000;
  const uint64_t limit_ns = context.limits.inspection_timeout_ms * kNsPerMs;
  Inspection* inspection = inspection_of(flow, context);
  if (inspection == nullptr || inspection->waiting_packets == 0 ||
      context.now_ns - inspection->waiting_since_ns < limit_ns) {
    return {};
  }
  // What waited on a flow that is denied already goes without a word.
  if (flow.state != FlowState::denied) {
    except(flow, Exception::inspection_timeout, kept_facts(flow, context), context);
  }
  if (flow.state == FlowState::denied) return kDenied;
  if (inspection->datagrams() != nullptr) {
    flow.progress &= static_cast<uint16_t>(~kReadDatagrams);
  } else {
    inspection->stream().stage = StreamStage::opaque;
  }
  return {.release = true};
}

}  // namespace sallyport
