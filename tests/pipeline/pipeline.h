#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/inspect/fragment_table.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/io/flow_event.h"
#include "dataplane/io/flow_stage.h"
#include "dataplane/io/histograms.h"
#include "policy/runtime/books.h"
#include "policy/runtime/identity.h"
#include "tests/support/bytes.h"

namespace sallyport {
class Worker;
}

namespace sallyport::test {

/// The real workers between two net_ring ports: a test puts frames in at one side and looks at
/// what comes out at either. Time stands still until the test moves it.
class Pipeline {
 public:
  struct Options {
    unsigned workers = 1;
    FlowStageOptions stage;
    uint32_t most_flows = 4096;  ///< Bounds stage.flow_capacity.
    bool keep_events = true;     ///< Three KiB each: not for a hundred thousand.
    FragmentLimits fragments;
    uint32_t budget_entries = 64;
    std::vector<std::string> resolvers;
    uint32_t binding_grace_seconds = 10;
    size_t event_room = SIZE_MAX;  ///< Records before the ring is full.
    /// How often this thread has allocated so far, for allocations_in_turns().
    size_t (*count_allocations)() noexcept = nullptr;
  };

  /// @param policy  YAML; empty: no policy is ever loaded.
  explicit Pipeline(std::string_view policy) : Pipeline(policy, Options{}) {}
  Pipeline(std::string_view policy, Options options);
  ~Pipeline();

  /// Puts one frame into a port and lets every worker turn. `queue`: the one RSS chose.
  void from_inside(const Bytes& frame, unsigned queue = 0) { put(0, queue, {frame}); }
  void from_outside(const Bytes& frame, unsigned queue = 0) { put(1, queue, {frame}); }
  /// Lets a worker do nothing until it is called again with false.
  void stall(unsigned worker, bool stalled = true);
  /// Several frames in one burst.
  void burst_from_inside(const std::vector<Bytes>& frames) { put(0, 0, frames); }
  void burst_from_outside(const std::vector<Bytes>& frames) { put(1, 0, frames); }

  /// Frames that left since the last call.
  std::vector<Bytes> to_outside() { return take(1); }
  std::vector<Bytes> to_inside() { return take(0); }
  /// The TCP payload bytes among frames that left towards the outside, joined.
  Bytes payload_to_outside();

  /// Labels of the last feed stay, as they do in the gateway.
  void push(std::string_view policy);
  /// A new identity feed.
  void push_identities(const std::vector<Identity>& identities);
  /// As after a first push that one core did not take.
  void take_policy_away();
  void sleep_ms(uint32_t ms);
  /// As at shutdown.
  void end_all_flows();

  /// A counter summed over workers, by family and labels: ("sallyport_drops_total",
  /// "reason=denied").
  uint64_t counter(std::string_view family, std::string_view labels) const;
  uint64_t drops(std::string_view reason) const {
    return counter("sallyport_drops_total", "reason=" + std::string(reason));
  }
  /// Hits of a rule of the policy in force, over workers; "" for verdicts without a rule.
  uint64_t hits(std::string_view rule) const;
  /// What is wrong with a worker's books, or with what they say of the ports, or "". Every frame
  /// put in, every sleep and the end of all flows is followed by a look at them: std::logic_error
  /// if they do not balance.
  std::string imbalance() const;
  /// The book between cores.
  Book book_between_cores() const;
  /// A histogram's counts over workers.
  std::vector<uint64_t> histogram(Histogram id) const;
  /// What is counted against budgets.
  std::vector<BudgetCount> budgets() const;
  /// Records since the last call.
  std::vector<FlowEvent> events();
  /// Buffers that are neither free nor in a test's hands: 0 when nothing is held or leaked.
  unsigned packets_in_use() const;
  /// Addresses in answers of resolvers that nobody had asked for, or that found no room because no
  /// rule asks for them.
  uint64_t bindings_unasked() const;
  uint64_t bindings_crowded_out() const;
  /// What flows have in use, over all workers.
  FlowMemory flow_memory() const;
  /// What Options::count_allocations saw while workers turned.
  size_t allocations_in_turns() const;
  /// As the log would have the newest event.
  std::string last_line(FlowEvent::Type type);

 private:
  void put(unsigned port, unsigned queue, const std::vector<Bytes>& frames);
  std::vector<Bytes> take(unsigned port);
  void turn_all();
  void turn(Worker& worker);
  void must_balance() const;
  std::string off_the_wire() const;
  void publish(std::unique_ptr<PolicyTable> table);

  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// decode() of a frame that must decode.
Packet decoded(const Bytes& frame);
/// The TCP payload of a frame.
Bytes payload_of(const Bytes& frame);

}  // namespace sallyport::test
