#include "dataplane/inspect/stream_inspection.h"

#include <algorithm>

#include "dataplane/inspect/flow_decision.h"
#include "dataplane/inspect/tls_client_hello.h"
#include "dataplane/inspect/tls_record.h"

namespace sallyport {
namespace {

/// What one look at the window came to.
enum class Look : uint8_t {
  more,    ///< Nothing can be said before the window grows.
  again,   ///< Something was settled: look at what stands behind it.
  denied,  ///< The flow is denied, and the observer told.
};

/// One call of inspect_window().
struct Window {
  Flow& flow;
  StreamWatch& watch;
  FlowContext& context;
  std::span<const uint8_t> bytes;
  bool ended;

  Look except(Exception condition, const AppFacts& facts) const noexcept {
    sallyport::except(flow, condition, facts, context);
    return unless_denied();
  }
  // Behind an exception: what it lets pass is not read.
  Look unless_denied() const noexcept {
    if (flow.state == FlowState::denied) return Look::denied;
    watch.stage = StreamStage::opaque;
    return Look::again;
  }
  // A stream taken up midway may start anywhere in a record or a body: its next segment is another
  // chance to know what it is.
  bool starts_midway() const noexcept {
    return (flow.progress & kMidstream) != 0 && flow.app_known != Known::present;
  }
  Look look_again_later() const noexcept {
    if (flow.reason == FlowReason::undecided) decide_flow(flow, no_facts(), context);
    if (flow.state != FlowState::allowed) return Look::denied;
    pass(bytes.size());
    watch.stage = StreamStage::identify;
    watch.http = {};
    watch.dns = {};
    return Look::again;
  }
  Look malformed(InspectFault fault, const AppFacts& facts) const noexcept {
    const bool no_hello =
        fault == InspectFault::tls_bad_record || fault == InspectFault::tls_not_client_hello;
    if (no_hello && starts_midway()) return look_again_later();
    except_malformed(flow, fault, facts, context);
    return unless_denied();
  }
  void pass(size_t count) const noexcept {
    watch.window_first += static_cast<uint32_t>(count);
    watch.plain = false;
    watch.need_bytes = 0;
  }
  Look need(size_t count) const noexcept {
    watch.need_bytes = static_cast<uint32_t>(std::max(count, bytes.size() + 1));
    if (watch.need_bytes <= context.limits.held_bytes_per_flow) return Look::more;
    return except(Exception::reassembly_limit, kept_facts(flow, context));
  }
  // Decides by what was read, and lets `count` bytes pass if that allows them.
  Look decide(const AppFacts& facts, size_t count) const noexcept {
    decide_flow(flow, facts, context);
    if (flow.state != FlowState::allowed) return Look::denied;
    pass(count);
    return Look::again;
  }
};

// Bytes of no protocol that we know: what the policy says of such a flow goes for all of it.
Look settle_unknown(const Window& window) noexcept {
  if (window.starts_midway()) return window.look_again_later();
  // To a DNS server it is the length of a message and its bytes, and queries may stand behind it.
  if (window.flow.key.outside_port == kDnsPort && !window.bytes.empty()) {
    return window.malformed(InspectFault::dns_bad_length, only_app(AppProtocol::dns));
  }
  window.watch.stage = StreamStage::opaque;
  return window.decide(no_facts(), window.bytes.size());
}

Look take_hello(const Window& window, const ClientHello& hello, const HostName& name,
                size_t end) noexcept {
  const auto facts = facts_of_hello(AppProtocol::tls, hello, name.view(), window.context.alpns);
  window.watch.stage = StreamStage::tls;
  window.watch.hello_repeated = window.watch.hello_retried;
  return window.decide(facts, end);
}

Look take_tls(const Window& window, const Identified& found) noexcept {
  switch (found.status) {
    case Identified::Status::need_more:
      return window.need(found.need_bytes);
    case Identified::Status::fault: {
      const bool read = found.fault == InspectFault::tls_bad_server_name;
      return window.malformed(found.fault, read ? facts_of_hello(AppProtocol::tls, found.hello, {},
                                                                 window.context.alpns)
                                                : only_app(AppProtocol::tls));
    }
    case Identified::Status::done:
      break;
  }
  return take_hello(window, found.hello, found.name, found.hello_end);
}

Look start_http2(const Window& window) noexcept {
  FlowContext& context = window.context;
  window.watch.http2 = context.http2_connections.acquire();
  if (window.watch.http2 == kNoSlot) {
    return window.except(Exception::inspection_limit, only_app(AppProtocol::http));
  }
  window.watch.stage = StreamStage::http2;
  window.flow.app_known = Known::present;
  window.flow.app = AppProtocol::http;
  window.flow.http2 = true;
  const AppFacts some_request{.app_known = Known::present, .app = AppProtocol::http};
  if (context.limits.pass_http2_opening && may_be_allowed(window.flow, some_request, context)) {
    context.http2_connections[window.watch.http2].connection.let_opening_go();
  }
  return Look::again;
}

// Which of the protocols the first bytes belong to. TLS shows by its record types, which are no
// length of a query; DNS over TCP by a length under 4 KiB, or its port; the others start with
// letters.
Look identify_stream(const Window& window) noexcept {
  Identified& found = window.context.identified;
  identify(window.bytes, window.ended, window.context.identify_scratch, found);
  if (found.app_known == Known::present) return take_tls(window, found);
  if (found.status == Identified::Status::need_more) return window.need(found.need_bytes);
  if (window.bytes.empty()) return settle_unknown(window);

  switch (window.ended ? Http2Preface::no : find_http2_preface(window.bytes)) {
    case Http2Preface::need_more:
      return window.need(window.bytes.size() + 1);
    case Http2Preface::yes:
      return start_http2(window);
    case Http2Preface::no:
      break;
  }
  constexpr uint8_t kHighestDnsLength = kMaxDnsQueryBytes >> 8;
  window.watch.stage = window.bytes[0] <= kHighestDnsLength ? StreamStage::dns : StreamStage::http;
  return Look::again;
}

Look look_for_hello(const Window& window) noexcept {
  const NextHello next = next_client_hello(window.bytes, window.context.identify_scratch);
  switch (next.status) {
    case NextHello::Status::need_more:
      if (!window.ended) return window.need(next.need_bytes);
      return window.malformed(InspectFault::tls_truncated, kept_facts(window.flow, window.context));
    case NextHello::Status::skip: {
      const size_t here = std::min(next.end, window.bytes.size());
      window.pass(here);
      window.watch.skip_bytes = next.end - here;
      return Look::again;
    }
    case NextHello::Status::over:
      window.watch.stage = StreamStage::opaque;
      return Look::again;
    case NextHello::Status::fault:
      return window.malformed(next.fault, kept_facts(window.flow, window.context));
    case NextHello::Status::hello:
      break;
  }
  Identified& found = window.context.identified;
  const InspectFault fault = parse_client_hello(next.body, found.hello, found.name);
  if (fault != InspectFault::none) return window.malformed(fault, only_app(AppProtocol::tls));
  return take_hello(window, found.hello, found.name, next.end);
}

std::span<const std::string_view> header_names(const FlowContext& context) noexcept {
  return context.table != nullptr ? context.table->header_names()
                                  : std::span<const std::string_view>{};
}

// The one difference between HTTP/1 and HTTP/2 here is who reads.
Look take_http(const Window& window, const HttpStep& step, bool http2) noexcept {
  const HttpRequest& request = window.context.http_request;
  const auto names = header_names(window.context);
  if (step.forward_bytes > 0) window.pass(step.forward_bytes);
  switch (step.status) {
    case HttpStep::Status::need_more:
      if (step.forward_bytes > 0) return Look::again;
      return window.need(0);
    case HttpStep::Status::not_http:
      return settle_unknown(window);
    case HttpStep::Status::fault:
      return window.malformed(step.fault, facts_of_request(request, names, http2));
    case HttpStep::Status::turn:  // look_for_http2_request()
    case HttpStep::Status::request:
      break;
  }
  return window.decide(facts_of_request(request, names, http2), request.head_bytes);
}

Look look_for_request(const Window& window) noexcept {
  HttpStream& stream = window.watch.http;
  FlowContext& context = window.context;
  if (stream.opaque()) {
    window.watch.stage = StreamStage::opaque;
    return Look::again;
  }
  const HttpStep step = stream.next(window.bytes, window.ended, header_names(context),
                                    context.http_scratch, context.http_request);
  const Look look = take_http(window, step, false);
  if (step.status == HttpStep::Status::request && look == Look::again) stream.allow();
  return look;
}

// Behind the window's start the client goes on with another request: who pays is another from here.
// @return false when nobody can say who.
bool turn_to_request(const Window& window, Http2Watch& http2) noexcept {
  Flow& flow = window.flow;
  Http2Streams& streams = http2.connection.streams();
  const BudgetHandle before = flow.budget;
  const uint8_t request = http2.connection.turns_to();
  if (request == Http2Streams::kLost) {
    if (!http2.decisions.turn_to_lost(flow, streams)) return false;
  } else {
    http2.decisions.turn_to(flow, streams, request);
  }
  if (flow.budget != before) {
    window.watch.replaced_budgets.replace(before, window.watch.window_first);
  }
  http2.connection.turn();
  return true;
}

Look look_for_http2_request(Window window) noexcept {
  FlowContext& context = window.context;
  Http2Watch& http2 = context.http2_connections[window.watch.http2];
  Http2Connection& connection = http2.connection;
  const auto next = [&] {
    return connection.next(window.bytes, header_names(context), context.http_scratch,
                           context.http_request);
  };
  HttpStep step = next();
  for (; step.status == HttpStep::Status::turn; step = next()) {
    window.pass(step.forward_bytes);
    window.bytes = window.bytes.subspan(step.forward_bytes);
    if (!turn_to_request(window, http2)) {
      return window.except(Exception::inspection_limit, kept_facts(window.flow, context));
    }
  }
  const Look look = take_http(window, step, true);
  if (step.status == HttpStep::Status::request && look == Look::again) connection.allow();
  return look;
}

Look look_for_query(const Window& window) noexcept {
  DnsStream& stream = window.watch.dns;
  DnsQuery& query = window.context.dns_query;
  const DnsStep step = stream.next(window.bytes, window.ended, window.flow.key.outside_port, query);
  switch (step.status) {
    case DnsStep::Status::need_more:
      return window.need(0);
    case DnsStep::Status::not_dns:
      // Line ends in front of a request look like a length.
      window.watch.stage = StreamStage::http;
      return Look::again;
    case DnsStep::Status::fault:
      if (stream.queries() == 0 && window.starts_midway()) return window.look_again_later();
      return window.malformed(step.fault, facts_of_query(query));
    case DnsStep::Status::query:
      break;
  }
  const Look look = window.decide(facts_of_query(query), step.message_bytes);
  if (look == Look::again) stream.allow();
  return look;
}

Look look(const Window& window) noexcept {
  switch (window.watch.stage) {
    case StreamStage::identify:
      return identify_stream(window);
    case StreamStage::tls:
      return look_for_hello(window);
    case StreamStage::http:
      return look_for_request(window);
    case StreamStage::http2:
      return look_for_http2_request(window);
    case StreamStage::dns:
      return look_for_query(window);
    case StreamStage::opaque:
      break;
  }
  return Look::more;
}

bool is_ended(const Flow& flow, const StreamWatch& watch, uint32_t ready) noexcept {
  return (flow.progress & kClientFin) != 0 && watch.window_first + ready == watch.fin_sequence;
}

}  // namespace

uint64_t plain_bytes_left(const StreamWatch& watch, FlowContext& context) noexcept {
  switch (watch.stage) {
    case StreamStage::tls:
      return watch.skip_bytes;
    case StreamStage::http:
      return watch.http.body_bytes_left();
    case StreamStage::http2:
      return context.http2_connections[watch.http2].connection.body_bytes_left();
    default:
      return 0;
  }
}

void pass_plain(StreamWatch& watch, uint32_t bytes, FlowContext& context) noexcept {
  switch (watch.stage) {
    case StreamStage::tls:
      watch.skip_bytes -= bytes;
      break;
    case StreamStage::http:
      watch.http.pass_body(bytes);
      break;
    case StreamStage::http2:
      context.http2_connections[watch.http2].connection.pass_body(bytes);
      break;
    default:
      return;
  }
  if (!watch.plain) watch.plain_from = watch.window_first;
  watch.plain = true;
  watch.window_first += bytes;
  watch.need_bytes = 0;
  // Sequence numbers come round: so far behind, the true place would soon seem to lie ahead.
  constexpr uint32_t kFar = 1U << 30;
  if (watch.window_first - watch.plain_from > kFar) watch.plain_from = watch.window_first - kFar;
}

bool inspect_window(Flow& flow, Inspection& inspection, FlowContext& context) noexcept {
  StreamWatch& watch = inspection.stream();
  for (;;) {
    const uint32_t ready = contiguous_bytes(context.segments, inspection.held, watch.window_first);
    const bool ended = is_ended(flow, watch, ready);
    const auto plain =
        static_cast<uint32_t>(std::min<uint64_t>(plain_bytes_left(watch, context), ready));
    if (plain > 0) {
      pass_plain(watch, plain, context);
      continue;
    }
    const bool starts = watch.stage == StreamStage::identify;
    if (ready == 0 && !(ended && starts)) return true;
    if (ready < watch.need_bytes && !ended) return true;
    const uint32_t most = std::min(ready, kMaxHeldBytesPerFlow);
    const Window window{
        flow, watch, context,
        prefix(context.segments, inspection.held, watch.window_first, most, context.joined), ended};
    switch (look(window)) {
      case Look::denied:
        return false;
      case Look::again:
        // With nothing behind it the FIN has told all it could.
        if (ready == 0) return true;
        break;
      case Look::more:
        return true;
    }
  }
}

}  // namespace sallyport
