#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/app_facts.h"
#include "dataplane/inspect/asked_queries.h"
#include "dataplane/inspect/bindings.h"
#include "dataplane/inspect/budget_meter.h"
#include "dataplane/inspect/dns_answers.h"
#include "dataplane/inspect/drop_reason.h"
#include "dataplane/inspect/exception.h"
#include "dataplane/inspect/fact_store.h"
#include "dataplane/inspect/fingerprint.h"
#include "dataplane/inspect/flow.h"
#include "dataplane/inspect/http2_decisions.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/inspection.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/inspect/segments.h"
#include "policy/runtime/table.h"

namespace sallyport {

inline constexpr uint32_t kMaxHeldBytesPerFlow = 1u << 16;

/// Bounds of one worker; what happens at each is an Exception, unless it says otherwise.
struct FlowLimits {
  uint32_t held_bytes_per_flow = kMaxHeldBytesPerFlow;  ///< At most kMaxHeldBytesPerFlow.
  uint32_t held_packets_per_flow = 4096;
  /// Copies of sent packets that one flow may have kept; over that DropReason::guard_full.
  uint32_t guarded_packets_per_flow = 1024;
  uint32_t held_packets = 8192;
  uint32_t fact_blocks = 65536;      ///< Of the FactStore.
  uint32_t inspections = 16384;      ///< Flows inspected at a time; half a KiB each.
  uint32_t http2_connections = 256;  ///< 34 KiB each.
  uint32_t quic_hellos = 1024;       ///< 8 KiB each, while a QUIC handshake goes on.
  uint32_t inspection_timeout_ms = 10'000;
  /// Inspected bytes not acknowledged for so long are let go when over half of held_packets are in
  /// use, and may not come again.
  uint32_t guard_timeout_ms = 30'000;
  /// The opening of HTTP/2 may leave before the verdict (Http2Connection::let_opening_go).
  bool pass_http2_opening = false;
  bool verify_checksums = true;  ///< Of client data about to be inspected. Off only in replay.
  /// Take up TCP flows whose start was not seen, and read clients whose server is not seen to
  /// answer. Only in replay: captures are often cut, or of one side.
  bool incomplete = false;
  ExceptionActions exceptions;
};

/// Who is told of each decision, when it is made: for counters and records.
class DecisionObserver {
 public:
  virtual ~DecisionObserver() = default;
  /// `flow.state`, `reason` and `rule` are new, or were found again for another request. At the
  /// first verdict of a flow its kDecided is not set yet.
  /// @param facts    What was decided, until the call returns. The fault is in `flow`.
  /// @param repeats  Another request or query, allowed as the one before.
  virtual void decided(const Flow& flow, const AppFacts& facts, bool repeats) noexcept = 0;
  /// A condition has come about, and what is set for it is done.
  virtual void excepted(Exception condition) noexcept = 0;
  /// A decision has spent so many ticks of the time-stamp counter in Hyperscan.
  virtual void scanned(uint64_t ticks) noexcept = 0;
};

/// Everything a step of a flow may use beside the flow itself. One a worker, allocated once;
/// `table`, `generation` and the clocks are set once a burst.
struct FlowContext {
  FlowContext(const FlowLimits& flow_limits, unsigned worker_index, DecisionObserver& tell,
              BudgetLedger* ledger = nullptr, Bindings* shared_bindings = nullptr)
      : limits(flow_limits),
        worker(worker_index),
        observer(tell),
        segments(flow_limits.held_packets),
        facts(flow_limits.fact_blocks),
        inspections(flow_limits.inspections),
        http2_connections(flow_limits.http2_connections),
        quic_hellos(flow_limits.quic_hellos),
        dns_answers(shared_bindings != nullptr ? kDnsAnswersAtATime : 0),
        bindings(shared_bindings),
        asked(shared_bindings != nullptr ? AskedQueries::kPlaces : 0,
              shared_bindings != nullptr ? shared_bindings->query_key : std::array<uint64_t, 2>{}),
        budgets(ledger) {}

  const FlowLimits limits;
  const unsigned worker;
  DecisionObserver& observer;

  const PolicyTable* table = nullptr;  ///< nullptr: no policy was ever loaded.
  uint32_t generation = 0;
  /// Where the rules of the table before this one stand in it, by their index there; kNoRule for
  /// one that it has not.
  std::span<const uint32_t> rules_now;
  uint32_t now_ms = 0;
  uint32_t quiet_ms = 0;     ///< Since the last packet of the flow whose step it is.
  uint64_t now_ns = 0;       ///< The same clock, finer; it does not wrap.
  int64_t unix_seconds = 0;  ///< Wall clock: what rules' times are compared with.

  SegmentPool segments;
  FactStore facts;
  SlotPool<Inspection> inspections;
  SlotPool<Http2Watch> http2_connections;
  SlotPool<QuicHelloBytes> quic_hellos;
  SlotPool<DnsAnswerBytes> dns_answers;
  Bindings* const bindings;  ///< nullptr: no resolver is trusted.
  AskedQueries asked;        ///< Of trusted resolvers.
  BudgetMeter budgets;

  // Working space, without content between calls.
  IdentifyScratch identify_scratch{};
  Identified identified;
  HttpScratch http_scratch{};
  HttpRequest http_request;
  DnsQuery dns_query;
  DnsResponse dns_response;
  QuicScratch quic_scratch{};
  QuicStep quic_step;
  HelloFingerprints fingerprints{};
  FactSpace fact_space{};
  std::array<std::string_view, kMaxHelloAlpns> alpns;
  std::array<uint8_t, kMaxHeldBytesPerFlow> joined{};
};

/// One packet of a flow, as the steps see it.
struct Arrival {
  const Packet& packet;
  std::span<const uint8_t> frame;
  void* handle;  ///< The holder's name for the packet; kept in Segment::packet when it is held.

  std::span<const uint8_t> payload() const noexcept {
    return frame.subspan(packet.payload_offset, packet.payload_bytes);
  }
  /// Sequence numbers the segment takes up: payload, SYN and FIN (RFC 9293 section 3.4).
  uint32_t tcp_length() const noexcept {
    return packet.payload_bytes + ((packet.tcp_flags & kSyn) != 0) +
           ((packet.tcp_flags & kFin) != 0);
  }
};

/// How a TCP client is told of its denial.
enum class Farewell : uint8_t {
  reset,
  tls_alert,       ///< Fatal access_denied (RFC 8446 section 6.2), then FIN.
  http_forbidden,  ///< 403 that names the rule (RFC 9110 section 15.5.4), then FIN.
};

/// What must be done with the packet and its flow, in this order: restart, discard_first, release,
/// acknowledged, tell, discard, and last the packet itself.
struct Outcome {
  enum class Fate : uint8_t { forward, hold, drop };
  Fate fate = Fate::forward;
  DropReason drop_reason = DropReason::denied;
  bool restart = false;        ///< The flow has ended and this packet opens it anew.
  uint32_t discard_first = 0;  ///< So many held packets, from the first on, are freed unsent.
  bool release = false;        ///< Held packets that a verdict covers now go out, in order.
  bool acknowledged = false;   ///< Copies that the server has acknowledged are freed.
  bool tell = false;           ///< Both ends are told of the denial, unless its rule says drop.
  Farewell farewell = Farewell::reset;  ///< With tell: how the client is.
  bool discard = false;                 ///< Held packets are freed.
  bool late = false;  ///< With forward: it is charged as StreamWatch::passed_over says.

  /// Nothing but the packet itself is to be dealt with.
  bool is_plain() const noexcept {
    return !(restart | release | acknowledged | tell | discard) && discard_first == 0;
  }

  static Outcome drop(DropReason reason) noexcept {
    return {.fate = Fate::drop, .drop_reason = reason};
  }
};

}  // namespace sallyport
