#pragma once

#include <rte_ring.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/inspect/app_facts.h"
#include "dataplane/inspect/flow.h"
#include "dataplane/io/policy_names.h"

namespace sallyport {

/// Why a flow left the table.
enum class FlowEnd : uint8_t { closed, reset, timeout, replaced, shutdown };

/// Texts of a FlowEvent.
enum class EventText : uint8_t {
  host,   ///< As it stands in the client's bytes.
  alpns,  ///< Separated by commas.
  ja3,
  ja4,
  method,
  target,  ///< Of a request, its query too.
  count_
};
inline constexpr size_t kEventTexts = static_cast<size_t>(EventText::count_);

/// One line of the flow log, as a worker hands it over. Everything is copied but the rule, whose
/// name the writer looks up: see PolicyNames.
struct FlowEvent {
  enum class Type : uint8_t { verdict, flow };

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
  bool opened_inside = true;
  bool would_deny = false;
  bool http2 = false;
  Known ech_known{};
  uint16_t tls_version = 0;  ///< The newest that the hello offers; 0: none known.
  uint16_t query_type = 0;   ///< DNS.
  std::array<uint16_t, kEventTexts> text_ends{};
  std::array<char, 2688> texts;

  /// Behind the ones set before, in the order of EventText. What does not fit is cut off.
  void set(EventText which, std::string_view text, size_t most) noexcept;
  std::string_view text(EventText which) const noexcept {
    const auto index = static_cast<size_t>(which);
    const size_t begin = index == 0 ? 0 : text_ends[index - 1];
    return {texts.data() + begin, text_ends[index] - begin};
  }
};

/// Copies what was decided into an event.
void put_facts(const AppFacts& facts, FlowEvent& event) noexcept;

/// Where a worker puts its events.
class FlowEventSink {
 public:
  virtual ~FlowEventSink() = default;
  /// The worker. @return false when the event is lost.
  virtual bool push(const FlowEvent& event) noexcept = 0;
};

/// A ring of events from one worker to the writer. Full, it loses the event, never the packet.
class FlowEventRing final : public FlowEventSink {
 public:
  /// @param name  Unique in the process. Throws std::runtime_error when memory is short.
  FlowEventRing(const char* name, unsigned events, int socket);

  /// @return false when the ring is full.
  bool push(const FlowEvent& event) noexcept override;
  /// Writer. @return how many events were taken.
  unsigned pop(std::span<FlowEvent> out) noexcept;

 private:
  struct FreeRing {
    void operator()(rte_ring* ring) const noexcept { rte_ring_free(ring); }
  };
  std::unique_ptr<rte_ring, FreeRing> ring_;
};

/// The event as one line of JSON shaped like Suricata's EVE, without the newline.
std::string to_eve(const FlowEvent& event, const PolicyNames& names);

/// The same for `sallyport replay --out`: with the capture's name and flat fields.
/// @param end    The flow's end.
/// @param first  Its first decision by what it said; the same as `end` if there was none.
/// @param hosts  All that it named.
std::string to_eve_of_capture(const FlowEvent& end, const FlowEvent& first,
                              const std::vector<std::string>& hosts, const PolicyNames& names,
                              const std::string& pcap);

}  // namespace sallyport
