#pragma once

#include <rte_ring.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "dataplane/inspect/app_facts.h"
#include "dataplane/inspect/flow.h"
#include "dataplane/io/log_gaps.h"

namespace sallyport {

/// Why a flow left the table.
enum class FlowEnd : uint8_t { closed, reset, timeout, replaced, shutdown };

/// Texts of a FlowEvent.
enum class EventText : uint8_t {
  host,   ///< As it stands in the client's bytes.
  alpns,  ///< Each behind a byte with its length, as on the wire: it may hold any byte.
  ja3,
  ja4,
  method,
  target,  ///< Of a request, its query too.
  count_
};
inline constexpr size_t kEventTexts = static_cast<size_t>(EventText::count_);

/// One line of the flow log, as a worker hands it over. Everything is copied but the rule, whose
/// name the writer looks up: see PolicyNames.
struct alignas(64) FlowEvent {
  enum class Type : uint8_t {
    start,    ///< Of a flow: its first packet.
    verdict,  ///< The first of a flow, or another than the last.
    request,  ///< A further request or query, decided as the one before.
    flow,     ///< Its end.
  };

  std::array<uint16_t, kEventTexts> text_ends{};  ///< First: how long the rest is, for the ring.
  FlowKey key;
  uint64_t flow_id = 0;
  uint64_t timestamp_unix_ns = 0;
  uint64_t started_unix_ns = 0;
  uint64_t bytes_out = 0;
  uint64_t bytes_in = 0;
  uint64_t packets_out = 0;
  uint64_t packets_in = 0;
  uint32_t generation = 0;  ///< Of the table that gave the verdict.
  uint32_t rule = kNoRule;
  uint32_t core = 0;
  Type type{};
  FlowState state{};
  FlowReason reason{};
  FlowEnd end{};
  InspectFault fault{};
  Known app_known{};
  AppProtocol app{};
  bool opened_inside : 1 = true;
  bool would_deny = false;
  bool http2 : 1 = false;
  Known ech_known{};
  TunnelKind tunnel{};
  uint8_t cut = 0;           ///< A bit for each EventText of which there was more.
  uint16_t tls_version = 0;  ///< The newest that the hello offers; 0: none known.
  uint16_t query_type = 0;   ///< DNS.
  std::array<char, 2688> texts;

  /// Behind the ones set before, in the order of EventText. What does not fit is cut off.
  void set(EventText which, std::string_view text, size_t most) noexcept {
    const auto index = static_cast<size_t>(which);
    const size_t begin = index == 0 ? 0 : text_ends[index - 1];
    const size_t size = std::min({text.size(), most, texts.size() - begin});
    if (size < text.size()) note_cut(which);
    if (size > 0) std::memcpy(texts.data() + begin, text.data(), size);
    for (size_t i = index; i < kEventTexts; ++i) text_ends[i] = static_cast<uint16_t>(begin + size);
  }
  void note_cut(EventText which) noexcept { cut |= uint8_t{1} << static_cast<unsigned>(which); }
  bool is_cut(EventText which) const noexcept {
    return (cut >> static_cast<unsigned>(which) & 1) != 0;
  }
  std::string_view text(EventText which) const noexcept {
    const auto index = static_cast<size_t>(which);
    const size_t begin = index == 0 ? 0 : text_ends[index - 1];
    return {texts.data() + begin, text_ends[index] - begin};
  }
};
static_assert(offsetof(FlowEvent, text_ends) == 0);

/// Copies what was decided into an event.
void put_facts(const AppFacts& facts, FlowEvent& event) noexcept;

/// Where a worker puts its events.
class FlowEventSink {
 public:
  virtual ~FlowEventSink() = default;
  /// The worker. @return false when the event is lost.
  virtual bool push(const FlowEvent& event) noexcept = 0;
};

/// A ring of events from one worker to the writer. Full, it loses the event, never the packet. It
/// carries of each event what is set, in whole cache lines: most are a tenth of sizeof(FlowEvent).
class FlowEventRing final : public FlowEventSink {
 public:
  static constexpr size_t kLineBytes = 64;
  /// Lines that one event takes at most.
  static constexpr unsigned kMostLines = sizeof(FlowEvent) / kLineBytes;

  /// @param name   Unique in the process. Throws std::runtime_error when memory is short.
  /// @param lines  A power of two, at least 64; one less has room.
  FlowEventRing(const char* name, unsigned lines, int socket);

  /// @return false when the ring is full.
  bool push(const FlowEvent& event) noexcept override;
  /// Lines that wait for the writer, and for how many there is room. Any thread.
  unsigned lines_waiting() const noexcept { return rte_ring_count(ring_.get()); }
  unsigned capacity() const noexcept { return rte_ring_get_capacity(ring_.get()); }
  /// Writer. @return whether there was an event.
  bool pop(FlowEvent& out) noexcept;
  /// Writer. @return what push() had no room for since the last call. Its times are those of the
  /// events; `from` may be too early, never too late.
  LogGap take_gap() noexcept;

 private:
  void note_lost(uint64_t unix_ns) noexcept;

  struct FreeRing {
    void operator()(rte_ring* ring) const noexcept { rte_ring_free(ring); }
  };
  std::unique_ptr<rte_ring, FreeRing> ring_;
  // Written by the worker, when the ring is full, and read by the writer.
  alignas(64) std::atomic<uint64_t> lost_{0};
  std::atomic<uint64_t> lost_from_ns_{0};
  std::atomic<uint64_t> lost_to_ns_{0};
  // The other way.
  alignas(64) std::atomic<uint64_t> told_{0};
  uint64_t told_to_ns_ = 0;  // the writer's alone
};

}  // namespace sallyport
