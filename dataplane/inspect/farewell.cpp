#include "dataplane/inspect/farewell.h"

namespace sallyport {
namespace {

// An answer may only stand where one is due: a client takes the first bytes behind its last
// response for that of its first request without one.
bool is_answer_due(const Flow& flow, const StreamWatch& watch, const Packet& last) noexcept {
  if (!watch.http.at_head()) return false;
  if (watch.http.requests() == 0) return true;
  return watch.http.all_answered() && last.tcp_acknowledgement == flow.server_next;
}

}  // namespace

Farewell farewell_of(const Flow& flow, const StreamWatch& watch, const Packet& last) noexcept {
  if (flow.app_known != Known::present) return Farewell::reset;
  // Past the ServerHello a stream is opaque: until then an alert in clear is understood.
  const bool hello = watch.stage == StreamStage::identify || watch.stage == StreamStage::tls;
  if (flow.app == AppProtocol::tls && hello) return Farewell::tls_alert;
  const bool http = flow.app == AppProtocol::http && watch.stage == StreamStage::http;
  return http && is_answer_due(flow, watch, last) ? Farewell::http_forbidden : Farewell::reset;
}

uint32_t received_end(const Flow& flow, const Inspection& inspection,
                      const FlowContext& context) noexcept {
  const StreamWatch& watch = inspection.stream();
  const uint32_t end =
      watch.window_first + contiguous_bytes(context.segments, inspection.held, watch.window_first);
  const bool fin = (flow.progress & kClientFin) != 0 && end == watch.fin_sequence;
  return fin ? end + 1 : end;
}

}  // namespace sallyport
