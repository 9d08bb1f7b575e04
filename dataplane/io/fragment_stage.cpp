#include "dataplane/io/fragment_stage.h"

#include <algorithm>

#include "dataplane/io/burst.h"

namespace sallyport {
namespace {

DropReason reason_of(FragmentStep step) noexcept {
  switch (step) {
    case FragmentStep::duplicate:
      return DropReason::fragment_duplicate;
    case FragmentStep::overlap:
      return DropReason::fragment_overlap;
    case FragmentStep::too_long:
      return DropReason::fragment_too_long;
    case FragmentStep::too_many:
      return DropReason::fragment_too_many;
    case FragmentStep::table_full:
    case FragmentStep::kept:
    case FragmentStep::complete:
      break;
  }
  return DropReason::fragment_table_full;
}

}  // namespace

FragmentStage::FragmentStage(DatagramPool& datagrams, FlowHash hash, Handoff& handoff,
                             unsigned worker, CoreCounters counters)
    : datagrams_(datagrams),
      hash_(hash),
      handoff_(handoff),
      worker_(worker),
      counters_(counters),
      table_(datagrams.limits()),
      held_(datagrams.limits().datagrams) {}

FragmentStage::~FragmentStage() {
  end_all();
}

// Each datagram is dropped once, so this costs no more than its fragments did.
void FragmentStage::begin_burst(Now now) noexcept {
  clock_ms_ += now.ms - last_ms_;  // wraps as the clock does
  last_ms_ = now.ms;
  now_ticks_ = now.ticks;
  for (uint32_t i = table_.expired(clock_ms_); i != FragmentTable::kNone;
       i = table_.expired(clock_ms_)) {
    forget(i);
  }
}

void FragmentStage::end_all() noexcept {
  while (table_.oldest() != FragmentTable::kNone) forget(table_.oldest());
}

void FragmentStage::forget(uint32_t index) noexcept {
  const uint32_t count = table_[index].count;
  const Direction direction = table_[index].direction;
  counters_.drop(DropReason::fragment_timeout, direction, count);
  if (count > 0) counters_.exception(Exception::fragment_limit);
  release(index, count, direction);
  table_.remove(index);
}

void FragmentStage::count_held(Direction direction, int32_t change) noexcept {
  uint32_t& fragments = fragments_[static_cast<size_t>(direction)];
  fragments += static_cast<uint32_t>(change);
  counters_.set(Counter::fragments_held_outbound, direction, fragments);
}

void FragmentStage::release(uint32_t index, uint32_t count, Direction direction) noexcept {
  if (count == 0) return;
  rte_pktmbuf_free_bulk(held_[index].data(), count);
  count_held(direction, -static_cast<int32_t>(count));
}

rte_mbuf* FragmentStage::take(rte_mbuf* mbuf, Direction direction) noexcept {
  Fragment fragment;
  const DecodeFault fault = decode_fragment(frame_of(mbuf), fragment);
  if (fault != DecodeFault::none) {
    counters_.fault(fault, direction);
    rte_pktmbuf_free(mbuf);
    return nullptr;
  }
  // It waits for nothing. Its header goes, or a receiver older than RFC 6946 might yet put it
  // together with other fragments.
  if (fragment.is_atomic()) {
    counters_.add(Counter::atomic_fragments);
    strip_fragment_header({rte_pktmbuf_mtod(mbuf, uint8_t*), rte_pktmbuf_data_len(mbuf)}, fragment);
    rte_pktmbuf_adj(mbuf, kFragmentHeaderBytes);
    return mbuf;
  }
  const uint64_t hash = hash_(fragment.key);
  const unsigned owner = handoff_.owner(hash);
  if (owner == worker_) return keep(mbuf, fragment, direction, hash);
  if (handoff_.give(owner, mbuf, now_ticks_)) {
    counters_.add(Counter::handed_off_outbound, direction);
  } else {
    drop(mbuf, DropReason::handoff_ring_full, direction);
  }
  return nullptr;
}

rte_mbuf* FragmentStage::keep(rte_mbuf* mbuf, const Fragment& fragment, Direction direction,
                              uint64_t hash) noexcept {
  counters_.add(Counter::fragments_rx_outbound, direction);
  const auto [step, index, lost] = table_.add(fragment, direction, hash, clock_ms_);
  if (step == FragmentStep::kept || step == FragmentStep::complete) {
    count_held(direction, 1);
    held_[index][table_[index].count - 1U] = mbuf;
    return step == FragmentStep::complete ? put_together(index) : nullptr;
  }
  if (step != FragmentStep::duplicate) counters_.exception(Exception::fragment_limit);
  // With the fragment that spoils a datagram goes all that is there of it.
  drop(mbuf, reason_of(step), direction);
  counters_.drop(reason_of(step), direction, lost);
  release(index, lost, direction);
  return nullptr;
}

rte_mbuf* FragmentStage::put_together(uint32_t index) noexcept {
  const FragmentRecord& record = table_[index];
  const Direction direction = record.direction;
  rte_mbuf* whole = whole_of(record, held_[index]);
  if (whole != nullptr) {
    counters_.add(Counter::fragments_joined_outbound, direction, record.count);
    counters_.add(Counter::datagrams_reassembled_outbound, direction);
  } else {
    counters_.drop(DropReason::no_datagram_buffer, direction, record.count);
    counters_.exception(Exception::fragment_limit);
  }
  release(index, record.count, direction);
  table_.remove(index);
  return whole;
}

// The ranges are those of each fragment's payload, and have neither a gap nor an overlap.
rte_mbuf* FragmentStage::whole_of(const FragmentRecord& record, const Held& held) noexcept {
  size_t first_at = 0;
  while (record.ranges[first_at].from != 0) ++first_at;
  const auto first_frame = frame_of(held[first_at]);
  Fragment first;
  if (decode_fragment(first_frame, first) != DecodeFault::none) return nullptr;
  rte_mbuf* whole = rte_pktmbuf_alloc(datagrams_.get());
  if (whole == nullptr) return nullptr;
  char* out = rte_pktmbuf_append(whole, static_cast<uint16_t>(first.payload_offset + record.end));
  if (out == nullptr) {
    rte_pktmbuf_free(whole);
    return nullptr;
  }
  const std::span frame(reinterpret_cast<uint8_t*>(out), rte_pktmbuf_data_len(whole));
  DatagramShape& shape = DatagramPool::shape(whole);
  shape = write_whole_headers(first_frame, first, record.end, frame);
  shape.most_bytes = record.most_bytes;
  const auto payload = frame.subspan(shape.payload_offset, record.end);
  for (size_t i = 0; i < record.count; ++i) {
    const auto [from, to] = record.ranges[i];
    const auto bytes = frame_of(held[i]).subspan(record.payload_offset, size_t{to} - from);
    std::ranges::copy(bytes, payload.begin() + from);
  }
  const size_t spare = frame.size() - shape.payload_offset - payload.size();  // a fragment header
  rte_pktmbuf_trim(whole, static_cast<uint16_t>(spare));
  whole->port = held[first_at]->port;
  handoff_.wait().copy(held[record.count - 1U], whole);  // the others waited for it
  return whole;
}

void FragmentStage::drop(rte_mbuf* mbuf, DropReason reason, Direction direction) noexcept {
  counters_.drop(reason, direction);
  rte_pktmbuf_free(mbuf);
}

}  // namespace sallyport
