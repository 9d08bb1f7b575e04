#include "dataplane/io/flow_event.h"

#include <rte_errno.h>
#include <rte_ring_elem.h>

#include <stdexcept>
#include <string>

namespace sallyport {

void put_facts(const AppFacts& facts, FlowEvent& event) noexcept {
  constexpr size_t kMostHost = 255;
  constexpr size_t kMostFingerprint = 36;
  constexpr size_t kMostMethod = 32;
  constexpr size_t kMostTarget = 2048;
  event.http2 = facts.http2;
  event.ech_known = facts.ech_known;
  event.query_type = facts.query_type;
  // Half a name is another name.
  const bool fits = !facts.host_text.empty() && facts.host_text.size() <= kMostHost;
  event.set(EventText::host, fits ? facts.host_text : facts.name, kMostHost);
  std::array<char, 256> joined;
  size_t size = 0;
  for (const auto alpn : facts.alpns) {
    if (alpn.size() > UINT8_MAX || alpn.size() + 1 > joined.size() - size) {
      event.note_cut(EventText::alpns);
      break;
    }
    joined[size++] = static_cast<char>(alpn.size());
    size += alpn.copy(joined.data() + size, alpn.size());
  }
  event.set(EventText::alpns, {joined.data(), size}, joined.size());
  if (facts.hello != nullptr) {
    event.tls_version = newest_version(*facts.hello);
    event.ech_known = facts.hello->encrypted_hello ? Known::present : Known::absent;
  }
  event.set(EventText::ja3, facts.ja3, kMostFingerprint);
  event.set(EventText::ja4, facts.ja4, kMostFingerprint);
  event.set(EventText::method, facts.method, kMostMethod);
  const auto path = facts.paths.empty() ? std::string_view{} : facts.paths.front();
  event.set(EventText::target, facts.target.empty() ? path : facts.target, kMostTarget);
}

namespace {

static_assert(sizeof(FlowEvent) % FlowEventRing::kLineBytes == 0);
static_assert(FlowEventRing::kMostLines <= 64, "an event must fit the smallest ring");

unsigned lines_of(const FlowEvent& event) noexcept {
  const size_t bytes = offsetof(FlowEvent, texts) + event.text_ends.back();
  return static_cast<unsigned>((bytes + FlowEventRing::kLineBytes - 1) / FlowEventRing::kLineBytes);
}

}  // namespace

FlowEventRing::FlowEventRing(const char* name, unsigned lines, int socket)
    : ring_(rte_ring_create_elem(name, kLineBytes, lines, socket, RING_F_SP_ENQ | RING_F_SC_DEQ)) {
  if (!ring_) {
    throw std::runtime_error(std::string("flow log ring: ") + rte_strerror(rte_errno) +
                             "; raise memory.total_mb");
  }
}

bool FlowEventRing::push(const FlowEvent& event) noexcept {
  if (rte_ring_sp_enqueue_bulk_elem(ring_.get(), &event, kLineBytes, lines_of(event), nullptr) != 0)
      [[likely]] {
    return true;
  }
  note_lost(event.timestamp_unix_ns);
  return false;
}

void FlowEventRing::note_lost(uint64_t unix_ns) noexcept {
  const uint64_t lost = lost_.load(std::memory_order_relaxed);
  if (lost == told_.load(std::memory_order_relaxed)) {
    lost_from_ns_.store(unix_ns, std::memory_order_relaxed);
  }
  lost_to_ns_.store(unix_ns, std::memory_order_relaxed);
  lost_.store(lost + 1, std::memory_order_release);
}

// An event that is lost while this runs counts next time, and may not have set a time of its own:
// then that of the last one told of before is the nearest known.
LogGap FlowEventRing::take_gap() noexcept {
  const uint64_t told = told_.load(std::memory_order_relaxed);
  const uint64_t lost = lost_.load(std::memory_order_acquire);
  if (lost == told) return {};
  LogGap gap{.events = lost - told,
             .from_unix_ns = lost_from_ns_.load(std::memory_order_relaxed),
             .to_unix_ns = lost_to_ns_.load(std::memory_order_relaxed)};
  told_.store(lost, std::memory_order_relaxed);
  gap.from_unix_ns = std::min(std::max(gap.from_unix_ns, told_to_ns_), gap.to_unix_ns);
  told_to_ns_ = gap.to_unix_ns;
  return gap;
}

// An event's lines become visible all at once, so behind the first are the others.
bool FlowEventRing::pop(FlowEvent& out) noexcept {
  if (rte_ring_sc_dequeue_elem(ring_.get(), &out, kLineBytes) != 0) return false;
  const unsigned more = lines_of(out) - 1;
  if (more == 0) return true;
  return rte_ring_sc_dequeue_bulk_elem(ring_.get(), reinterpret_cast<char*>(&out) + kLineBytes,
                                       kLineBytes, more, nullptr) != 0;
}

}  // namespace sallyport
