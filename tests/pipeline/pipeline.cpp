#include "tests/pipeline/pipeline.h"

#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <stdexcept>

#include "dataplane/io/eve_text.h"
#include "dataplane/io/policy_names.h"
#include "dataplane/io/port.h"
#include "dataplane/io/stats_segment.h"
#include "dataplane/io/worker.h"
#include "policy/compile/compile.h"
#include "tests/support/eal.h"

namespace sallyport::test {
namespace {

// Not a macro of Catch2: a fuzz target, which has no test to fail, uses this too.
void must(bool holds) {
  if (!holds) throw std::logic_error("the harness of the pipeline tests could not do its part");
}

constexpr unsigned kRingPackets = 1024;
constexpr uint32_t kPackets = 8191;
constexpr size_t kMostEventsOfATurn = 512;

/// A test makes a hundred pipelines: buffers and images of policies outlive them.
rte_mempool* packet_pool() {
  static rte_mempool* const pool = make_packet_pool(kPackets, 9000);
  if (pool == nullptr) throw std::runtime_error("no packet buffers");
  return pool;
}

std::unique_ptr<PolicyTable> table_of(std::string_view policy, unsigned workers) {
  static std::map<std::string, std::vector<uint8_t>, std::less<>> images;
  auto image = images.find(policy);
  if (image == images.end()) {
    const std::vector<SourceFile> sources{{.name = "test.yaml", .text = std::string(policy)}};
    auto compiled = compile_policy(sources);
    if (!compiled) throw std::runtime_error(to_string(compiled.error().front()));
    image = images.emplace(policy, std::move(compiled->image)).first;
  }
  return std::move(PolicyTable::load(image->second, workers).value());
}

class EventList final : public FlowEventSink {
 public:
  explicit EventList(bool keep) : keep_(keep) {}
  bool push(const FlowEvent& event) noexcept override {
    if (events.size() == room) return false;
    if (keep_) events.push_back(event);
    return true;
  }
  std::vector<FlowEvent> events;
  size_t room = SIZE_MAX;

 private:
  bool keep_;
};

/// One net_ring port: what the test puts into `rx` is received, what is transmitted lands in `tx`.
struct RingPort {
  uint64_t frames_put = 0;
  uint64_t bytes_put = 0;
  uint64_t frames_taken = 0;
  uint64_t bytes_taken = 0;
  std::vector<rte_ring*> rx;
  std::vector<rte_ring*> tx;
  std::unique_ptr<Port> port;

  RingPort(const std::string& side, unsigned queues, rte_mempool* pool) {
    static int count = 0;  // DPDK lets go of a device's name late
    const std::string name = side + std::to_string(++count);
    for (unsigned i = 0; i < queues; ++i) {
      const std::string suffix = "_" + name + std::to_string(i);
      rx.push_back(rte_ring_create(("rx" + suffix).c_str(), kRingPackets, SOCKET_ID_ANY, 0));
      tx.push_back(rte_ring_create(("tx" + suffix).c_str(), kRingPackets, SOCKET_ID_ANY, 0));
    }
    if (rte_eth_from_rings(name.c_str(), rx.data(), queues, tx.data(), queues, 0) < 0) {
      throw std::runtime_error("rte_eth_from_rings failed");
    }
    auto started = Port::start("net_ring_" + name, {.queues = static_cast<uint16_t>(queues)}, pool);
    if (!started) throw std::runtime_error(started.error());
    port = std::make_unique<Port>(std::move(*started));
  }
  ~RingPort() {
    port.reset();
    for (rte_ring* ring : rx) rte_ring_free(ring);
    for (rte_ring* ring : tx) rte_ring_free(ring);
  }
};

}  // namespace

struct Pipeline::Parts {
  explicit Parts(const Options& options)
      : handoff(options.workers),
        datagrams(options.fragments, options.workers),
        policies(options.workers),
        budgets(options.budget_entries, options.workers, 1),
        events(options.keep_events),
        count_allocations(options.count_allocations) {
    ports.push_back(std::make_unique<RingPort>("inside", options.workers, pool));
    ports.push_back(std::make_unique<RingPort>("outside", options.workers, pool));
    std::vector<unsigned> cores;
    for (unsigned i = 0; i < options.workers; ++i) cores.push_back(i);
    stats = StatsSegment::create("", cores).value();
    if (!options.resolvers.empty()) {
      std::vector<IpAddress> trusted;
      for (const std::string& text : options.resolvers) {
        trusted.push_back(parse_ip_address(text).value());
      }
      bindings = std::make_unique<Bindings>(trusted, options.binding_grace_seconds, 1024);
    }
    for (unsigned i = 0; i < options.workers; ++i) {
      FlowStageOptions stage = options.stage;
      stage.worker = i;
      stage.core = i;
      stage.budgets = &budgets;
      stage.bindings = bindings.get();
      const PortPair pair{.inside = ports[0]->port->id(),
                          .outside = ports[1]->port->id(),
                          .queue = static_cast<uint16_t>(i)};
      workers.push_back(std::make_unique<Worker>(
          stage, pair, Orientation::by_port, pool, events, stats->core(i), stats->counters(i),
          Shared{policies, clock, handoff, datagrams, FlowHash(1), stop}));
      workers.back()->join();
    }
    stalled.resize(options.workers);
    events.room = options.event_room;
  }
  ~Parts() {
    for (auto& worker : workers) worker->leave();
    workers.clear();
  }

  rte_mempool* const pool = packet_pool();
  const unsigned buffers_before = rte_mempool_in_use_count(pool);
  std::vector<std::unique_ptr<RingPort>> ports;
  Handoff handoff;
  DatagramPool datagrams;
  PolicySlot policies;
  BudgetLedger budgets;
  std::unique_ptr<Bindings> bindings;
  PolicyNames names;
  std::shared_ptr<const IdentityFeed> feed;
  Clock clock;
  std::atomic<bool> stop{false};
  std::unique_ptr<StatsSegment> stats;
  EventList events;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<bool> stalled;
  Now now{.ms = 1000, .unix_ns = 1'700'000'000'000'000'000, .ns = 1'000'000'000};
  size_t events_taken = 0;
  size_t (*count_allocations)() noexcept;
  size_t allocations = 0;
};

Pipeline::Pipeline(std::string_view policy, Options options) {
  start_eal();
  options.stage.flow_capacity = std::min(options.stage.flow_capacity, options.most_flows);
  parts_ = std::make_unique<Parts>(options);
  if (!policy.empty()) push(policy);
}

Pipeline::~Pipeline() {
  to_inside();
  to_outside();
}

void Pipeline::publish(std::unique_ptr<PolicyTable> table) {
  if (parts_->feed) table = table->with_feed(*parts_->feed).value();
  parts_->names.add(parts_->policies.generation() + 1, *table, parts_->feed);
  parts_->stats->name_rules(*table);
  parts_->policies.publish(std::move(table), std::chrono::milliseconds(0));
  turn_all();
}

void Pipeline::push(std::string_view policy) {
  publish(table_of(policy, static_cast<unsigned>(parts_->workers.size())));
}

void Pipeline::push_identities(const std::vector<Identity>& identities) {
  parts_->feed = std::make_shared<const IdentityFeed>(make_identity_feed(identities));
  const ActivePolicy* active = parts_->policies.current();
  if (active != nullptr) publish(active->table->with_feed(*parts_->feed).value());
}

uint64_t Pipeline::bindings_unasked() const {
  return parts_->bindings->unasked;
}

uint64_t Pipeline::bindings_crowded_out() const {
  return parts_->bindings->table.crowded_out();
}

void Pipeline::take_policy_away() {
  parts_->policies.publish(nullptr, std::chrono::milliseconds(0));
  turn_all();
}

void Pipeline::turn_all() {
  // Often enough that what one worker hands to another is handled as well, and what fragments make
  // up at that one by a third.
  for (int i = 0; i < 3; ++i) {
    for (size_t w = 0; w < parts_->workers.size(); ++w) {
      if (!parts_->stalled[w]) turn(*parts_->workers[w]);
    }
  }
}

void Pipeline::stall(unsigned worker, bool stalled) {
  parts_->stalled[worker] = stalled;
  if (!stalled) turn_all();
}

void Pipeline::turn(Worker& worker) {
  parts_->now.ticks = rte_rdtsc();
  if (parts_->count_allocations == nullptr) {
    worker.turn(parts_->now);
    return;
  }
  // push() of the list is ours, and so is its memory: there beforehand.
  auto& events = parts_->events.events;
  if (events.capacity() - events.size() < kMostEventsOfATurn) {
    events.reserve(2 * events.size() + kMostEventsOfATurn);
  }
  const size_t before = parts_->count_allocations();
  worker.turn(parts_->now);
  parts_->allocations += parts_->count_allocations() - before;
}

FlowMemory Pipeline::flow_memory() const {
  FlowMemory sum;
  for (const auto& worker : parts_->workers) {
    const FlowMemory memory = worker->flow_memory();
    sum.segments += memory.segments;
    sum.fact_blocks += memory.fact_blocks;
    sum.inspections += memory.inspections;
    sum.http2_connections += memory.http2_connections;
    sum.quic_hellos += memory.quic_hellos;
    sum.dns_answers += memory.dns_answers;
  }
  return sum;
}

size_t Pipeline::allocations_in_turns() const {
  return parts_->allocations;
}

void Pipeline::put(unsigned port, unsigned queue, const std::vector<Bytes>& frames) {
  for (const Bytes& frame : frames) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(parts_->pool);
    must(mbuf != nullptr);
    char* data = rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size()));
    must(data != nullptr);
    std::ranges::copy(frame, data);  // an empty one, too
    must(rte_ring_enqueue(parts_->ports[port]->rx[queue], mbuf) == 0);
    ++parts_->ports[port]->frames_put;
    parts_->ports[port]->bytes_put += frame.size();
  }
  turn_all();
  must_balance();
}

std::vector<Bytes> Pipeline::take(unsigned port) {
  std::vector<Bytes> out;
  for (rte_ring* ring : parts_->ports[port]->tx) {
    void* packet = nullptr;
    while (rte_ring_dequeue(ring, &packet) == 0) {
      auto* mbuf = static_cast<rte_mbuf*>(packet);
      const auto frame = frame_of(mbuf);
      out.emplace_back(frame.begin(), frame.end());
      ++parts_->ports[port]->frames_taken;
      parts_->ports[port]->bytes_taken += frame.size();
      rte_pktmbuf_free(mbuf);
    }
  }
  return out;
}

Bytes Pipeline::payload_to_outside() {
  Bytes out;
  for (const Bytes& frame : to_outside()) append(out, payload_of(frame));
  return out;
}

void Pipeline::sleep_ms(uint32_t ms) {
  for (uint32_t step = 0; ms > 0; ms -= step) {
    step = std::min(ms, 500u);
    parts_->now.ms += step;
    parts_->now.unix_ns += uint64_t{step} * 1'000'000;
    parts_->now.ns += uint64_t{step} * 1'000'000;
    for (int i = 0; i < 64; ++i) turn_all();  // the sweep catches up a few slices a turn
  }
  must_balance();
}

void Pipeline::end_all_flows() {
  for (auto& worker : parts_->workers) worker->end_all_flows();
  must_balance();
}

std::string Pipeline::imbalance() const {
  for (size_t i = 0; i < parts_->workers.size(); ++i) {
    const std::string wrong = imbalance_of_core(parts_->stats->book_lines(i));
    if (!wrong.empty()) return "worker " + std::to_string(i) + ", " + wrong;
  }
  return off_the_wire();
}

// What this thread put into the ports and took out of them, against what the workers say. Bytes
// only of what no ring keeps.
std::string Pipeline::off_the_wire() const {
  const auto waiting = [](const std::vector<rte_ring*>& rings) {
    uint64_t sum = 0;
    for (const rte_ring* ring : rings) sum += rte_ring_count(ring);
    return sum;
  };
  const std::array sides{"inside", "outside"};
  for (size_t side = 0; side < sides.size(); ++side) {
    const RingPort& port = *parts_->ports[side];
    const auto differs = [&](const std::string& direction, uint64_t in_rings, uint64_t frames,
                             uint64_t bytes) {
      const std::string labels = "direction=" + direction + ",port=" + sides[side];
      if (counter("sallyport_packets_total", labels) != frames) return labels + ", packets";
      const bool same = counter("sallyport_bytes_total", labels) == bytes;
      return in_rings == 0 && !same ? labels + ", bytes" : "";
    };
    const uint64_t unread = waiting(port.rx);
    std::string wrong = differs("rx", unread, port.frames_put - unread, port.bytes_put);
    const uint64_t untaken = waiting(port.tx);
    if (wrong.empty())
      wrong = differs("tx", untaken, port.frames_taken + untaken, port.bytes_taken);
    if (!wrong.empty()) return "not what was on the wire: " + wrong;
  }
  return "";
}

Book Pipeline::book_between_cores() const {
  std::vector<BookLine> lines;
  for (size_t i = 0; i < parts_->workers.size(); ++i) {
    const auto more = parts_->stats->book_lines(i);
    lines.insert(lines.end(), more.begin(), more.end());
  }
  return draw_up(BookId::between_cores, lines);
}

void Pipeline::must_balance() const {
  if (const std::string wrong = imbalance(); !wrong.empty()) {
    throw std::logic_error("the books do not balance: " + wrong);
  }
}

uint64_t Pipeline::hits(std::string_view rule) const {
  const ActivePolicy* active = parts_->policies.current();
  size_t slot = kRuleHitsAt + sizeof(StatsHits) / sizeof(uint64_t);
  if (rule.empty()) {
    slot += kRulesCounted + kStatsNoRule;
  } else {
    uint32_t index = 0;
    while (active->table->rule(index).name != rule) must(++index < active->table->rule_count());
    slot += index;
  }
  uint64_t sum = 0;
  for (size_t i = 0; i < parts_->workers.size(); ++i) sum += parts_->stats->value(slot, i);
  return sum;
}

std::vector<uint64_t> Pipeline::histogram(Histogram id) const {
  return parts_->stats->histogram(id);
}

uint64_t Pipeline::counter(std::string_view family, std::string_view labels) const {
  const auto value = parts_->stats->find(family, labels);
  if (!value)
    throw std::logic_error("no counter " + std::string(family) + " " + std::string(labels));
  return value.value_or(0);
}

std::vector<BudgetCount> Pipeline::budgets() const {
  return parts_->budgets.snapshot(static_cast<int64_t>(parts_->now.unix_ns / 1'000'000'000));
}

std::vector<FlowEvent> Pipeline::events() {
  const auto& all = parts_->events.events;
  std::vector<FlowEvent> out(all.begin() + static_cast<std::ptrdiff_t>(parts_->events_taken),
                             all.end());
  parts_->events_taken = all.size();
  return out;
}

std::string Pipeline::last_line(FlowEvent::Type type) {
  const auto& all = parts_->events.events;
  for (auto event = all.rbegin(); event != all.rend(); ++event) {
    if (event->type == type) return to_eve(*event, parts_->names);
  }
  return "";
}

unsigned Pipeline::packets_in_use() const {
  return rte_mempool_in_use_count(parts_->pool) - parts_->buffers_before +
         rte_mempool_in_use_count(parts_->datagrams.get());
}

Packet decoded(const Bytes& frame) {
  Packet packet;
  must(decode(frame, packet) == DecodeFault::none);
  return packet;
}

Bytes payload_of(const Bytes& frame) {
  const Packet packet = decoded(frame);
  const auto from = frame.begin() + packet.payload_offset;
  return {from, from + static_cast<std::ptrdiff_t>(packet.payload_bytes)};
}

}  // namespace sallyport::test
