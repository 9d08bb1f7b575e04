// For rte_ip_frag_table_del_expired_entries(), "experimental" since 2018.
#define ALLOW_EXPERIMENTAL_API  // NOLINT(readability-identifier-naming): DPDK's name

#include "dataplane/io/fragment_stage.h"

#include <rte_ip.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/io/burst.h"

namespace sallyport {
namespace {

static_assert(kMostFragments == RTE_LIBRTE_IP_FRAG_MAX_FRAG,
              "FragmentRecord must refuse what rte_ip_frag would");

constexpr uint32_t kBucketEntries = 16;
constexpr uint16_t kLabelBytes = sizeof(rte_ipv4_hdr);

rte_ip_frag_tbl* make_table(const FragmentLimits& limits) {
  // Twice as many places as datagrams in buckets of 16, two for each key: one that is full while
  // the table is not is next to impossible, and costs a datagram.
  const uint32_t buckets = (limits.datagrams + kBucketEntries - 1) / kBucketEntries;
  return rte_ip_frag_table_create(buckets, kBucketEntries, limits.datagrams, limits.timeout_ms,
                                  SOCKET_ID_ANY);
}

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

// rte_ip_frag finds a datagram by addresses and id alone, of IPv4 not even by the protocol, and of
// IPv6 takes no header before the fragment header. So it is shown a header of our own in front of
// the frame: its addresses are the record's number, the same for no other datagram, and everything
// from the frame's first byte to the payload counts as its options.
rte_ipv4_hdr* put_label(rte_mbuf* mbuf, const Fragment& fragment, uint64_t number) noexcept {
  auto* label = reinterpret_cast<rte_ipv4_hdr*>(rte_pktmbuf_prepend(mbuf, kLabelBytes));
  if (label == nullptr) return nullptr;
  const auto header_bytes = static_cast<uint16_t>(kLabelBytes + fragment.payload_offset);
  *label = {};
  label->version_ihl = RTE_IPV4_VHL_DEF;
  label->total_length = rte_cpu_to_be_16(static_cast<uint16_t>(header_bytes + fragment.bytes));
  label->fragment_offset = rte_cpu_to_be_16(static_cast<uint16_t>(
      fragment.from / RTE_IPV4_HDR_OFFSET_UNITS | (fragment.more ? RTE_IPV4_HDR_MF_FLAG : 0)));
  label->src_addr = static_cast<uint32_t>(number);
  label->dst_addr = static_cast<uint32_t>(number >> 32);
  mbuf->l2_len = 0;
  mbuf->l3_len = header_bytes & 0x1ffU;  // 9 bits: 20, 22 and 400 bytes at most
  return label;
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
      collected_(make_table(datagrams.limits())) {
  if (!collected_) throw std::runtime_error("fragment table: raise memory.total_mb");
}

FragmentStage::~FragmentStage() {
  rte_ip_frag_free_death_row(&dead_, 0);
}

void FragmentStage::begin_burst(Now now) noexcept {
  clock_ms_ += now.ms - last_ms_;  // wraps as the clock does
  last_ms_ = now.ms;
  if (table_.expired(clock_ms_) != FragmentTable::kNone) free_expired();
}

// Each datagram is dropped once, so this costs no more than its first fragment did. rte_ip_frag
// counts the same time from the same clock, and forgets the same datagrams.
void FragmentStage::free_expired() noexcept {
  for (uint32_t i = table_.expired(clock_ms_); i != FragmentTable::kNone;
       i = table_.expired(clock_ms_)) {
    forget(i);
  }
  uint32_t freed = 0;
  do {
    rte_ip_frag_table_del_expired_entries(collected_.get(), &dead_, clock_ms_);
    freed = dead_.cnt;
    rte_ip_frag_free_death_row(&dead_, 0);
  } while (freed > 0);
}

void FragmentStage::forget(uint32_t index) noexcept {
  const FragmentRecord& record = table_[index];
  if (!record.is_lost()) counters_.drop(DropReason::fragment_timeout, record.count);
  table_.remove(index);
  counters_.set(Counter::fragments_held, table_.fragments());
}

void FragmentStage::end_all() noexcept {
  while (table_.oldest() != FragmentTable::kNone) forget(table_.oldest());
  clock_ms_ += uint64_t{datagrams_.limits().timeout_ms} + 1;
  free_expired();
}

rte_mbuf* FragmentStage::take(rte_mbuf* mbuf, Direction direction) noexcept {
  Fragment fragment;
  const DecodeFault fault = decode_fragment(frame_of(mbuf), fragment);
  if (fault != DecodeFault::none) {
    counters_.fault(fault);
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
  if (handoff_.give(owner, mbuf)) {
    counters_.add(Counter::handed_off);
  } else {
    drop(mbuf, DropReason::handoff_ring_full, 1);
  }
  return nullptr;
}

rte_mbuf* FragmentStage::keep(rte_mbuf* mbuf, const Fragment& fragment, Direction direction,
                              uint64_t hash) noexcept {
  counters_.add(Counter::fragments_rx);
  const auto [step, index, lost] = table_.add(fragment, direction, hash, clock_ms_);
  if (step == FragmentStep::kept || step == FragmentStep::complete) {
    return collect(mbuf, fragment, index);
  }
  // With the fragment that spoils a datagram goes all that is there of it.
  drop(mbuf, reason_of(step), lost + 1);
  return nullptr;
}

rte_mbuf* FragmentStage::collect(rte_mbuf* mbuf, const Fragment& fragment,
                                 uint32_t index) noexcept {
  const FragmentRecord& record = table_[index];
  rte_ipv4_hdr* label = put_label(mbuf, fragment, record.number);
  if (label == nullptr) {
    drop(mbuf, DropReason::no_datagram_buffer, table_.lose(index, FragmentStep::table_full));
    return nullptr;
  }
  rte_mbuf* chain =
      rte_ipv4_frag_reassemble_packet(collected_.get(), &dead_, mbuf, clock_ms_, label);
  counters_.set(Counter::fragments_held, table_.fragments());
  if (chain == nullptr) {
    if (std::find(dead_.row, dead_.row + dead_.cnt, mbuf) != dead_.row + dead_.cnt) {
      counters_.drop(DropReason::fragment_table_full, table_.lose(index, FragmentStep::table_full));
    }
    rte_ip_frag_free_death_row(&dead_, 0);
    return nullptr;
  }
  rte_mbuf* whole = whole_of(chain, record);
  rte_pktmbuf_free(chain);
  if (whole != nullptr) {
    counters_.add(Counter::datagrams_reassembled);
  } else {
    counters_.drop(DropReason::no_datagram_buffer, record.count);
  }
  table_.remove(index);
  counters_.set(Counter::fragments_held, table_.fragments());
  return whole;
}

// `chain` starts with the label, then the first fragment's frame; of the others their payload
// alone.
rte_mbuf* FragmentStage::whole_of(const rte_mbuf* chain, const FragmentRecord& record) noexcept {
  const auto first_frame = frame_of(chain).subspan(kLabelBytes);
  Fragment first;
  if (decode_fragment(first_frame, first) != DecodeFault::none) return nullptr;
  if (chain->pkt_len - kLabelBytes - first.payload_offset != record.end) return nullptr;
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
  auto at = frame.begin() + shape.payload_offset;
  at = std::ranges::copy(first_frame.subspan(first.payload_offset), at).out;
  for (const rte_mbuf* next = chain->next; next != nullptr; next = next->next) {
    at = std::ranges::copy(frame_of(next), at).out;
  }
  rte_pktmbuf_trim(whole, static_cast<uint16_t>(frame.end() - at));  // IPv6: the fragment header
  whole->port = chain->port;
  return whole;
}

void FragmentStage::drop(rte_mbuf* mbuf, DropReason reason, uint32_t count) noexcept {
  counters_.drop(reason, count);
  rte_pktmbuf_free(mbuf);
}

}  // namespace sallyport
