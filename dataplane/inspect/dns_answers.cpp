#include "dataplane/inspect/dns_answers.h"

#include <algorithm>

#include "dataplane/inspect/flow_context.h"

namespace sallyport {
namespace {

constexpr uint16_t kLengthBytes = 2;

bool is_answer(const Flow& flow, const Arrival& arrival, const FlowContext& context) noexcept {
  return context.bindings != nullptr && flow.key.outside_port == kDnsPort &&
         arrival.packet.payload_bytes > 0 && context.bindings->trusts(flow.key.outside) &&
         (!context.limits.verify_checksums || l4_checksum_ok(arrival.frame, arrival.packet));
}

// What was read into context.dns_response.
void learn_read(FlowContext& context) noexcept {
  const DnsResponse& response = context.dns_response;
  if (response.address_count == 0 && response.target_count == 0) return;
  Bindings& bindings = *context.bindings;
  const bool asked_for = context.table != nullptr &&
                         is_bound_name(*context.table, response.name.view(), context.worker);
  bindings.table.add(response, asked_for, context.unix_seconds, bindings.grace_seconds);
}

void learn(std::span<const uint8_t> message, FlowContext& context) noexcept {
  if (parse_dns_response(message, context.dns_response) == DnsResponseStatus::done) {
    learn_read(context);
  }
}

void let_go(DnsAnswerWatch& watch, FlowContext& context) noexcept {
  context.dns_answers.release(watch.slot);
  watch.slot = kNoSlot;
}

// As much of `bytes` as belongs to the message that is read. Without room for it, it is passed
// over.
void read_message(DnsAnswerWatch& watch, std::span<const uint8_t>& bytes,
                  FlowContext& context) noexcept {
  if (watch.read_bytes < kLengthBytes) {
    watch.length_bytes = static_cast<uint16_t>(watch.length_bytes << 8 | bytes.front());
    ++watch.read_bytes;
    bytes = bytes.subspan(1);
    return;
  }
  const size_t have = watch.read_bytes - kLengthBytes;
  const auto part = bytes.first(std::min<size_t>(bytes.size(), watch.length_bytes - have));
  bytes = bytes.subspan(part.size());
  const bool whole = have + part.size() == watch.length_bytes;
  if (have == 0 && whole) {
    learn(part, context);
  } else if (watch.length_bytes <= kMaxDnsAnswerBytes) {
    if (have == 0) watch.slot = context.dns_answers.acquire();
    if (watch.slot != kNoSlot) {
      auto& message = context.dns_answers[watch.slot].bytes;
      std::ranges::copy(part, message.begin() + static_cast<std::ptrdiff_t>(have));
      if (whole) learn(std::span(message).first(watch.length_bytes), context);
    }
  }
  watch.read_bytes += static_cast<uint32_t>(part.size());
  if (!whole) return;
  let_go(watch, context);
  watch.length_bytes = 0;
  watch.read_bytes = 0;
}

}  // namespace

void note_query(const Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  if (!context.bindings->trusts(flow.key.outside)) return;
  const DnsQuery& query = context.dns_query;
  if (parse_dns_query(arrival.payload(), kDnsPort, context.dns_query).status !=
      DnsQueryAnswer::Status::done) {
    return;
  }
  context.asked.note(flow.key, {.id = query.id, .type = query.type, .name = query.name.view()},
                     context.now_ns);
}

// A capture may begin between a query and its answer.
void learn_from_datagram(const Flow& flow, const Arrival& arrival, FlowContext& context) noexcept {
  const DnsResponse& response = context.dns_response;
  if (!is_answer(flow, arrival, context) ||
      parse_dns_response(arrival.payload(), context.dns_response) != DnsResponseStatus::done) {
    return;
  }
  const bool asked =
      context.asked.take(flow.key,
                         {.id = response.id, .type = response.type, .name = response.name.view()},
                         context.now_ns) ||
      (context.limits.incomplete && flow.packets_out == 0);
  if (asked) return learn_read(context);
  context.bindings->unasked.fetch_add(response.address_count, std::memory_order_relaxed);
}

void learn_from_segment(const Flow& flow, StreamWatch& watch, const Arrival& arrival,
                        FlowContext& context) noexcept {
  DnsAnswerWatch& answers = watch.answers;
  if (answers.lost || !is_answer(flow, arrival, context)) return;
  const int32_t skip = sequence_distance(arrival.packet.tcp_sequence, watch.server_first);
  if (skip < 0) {
    answers.lost = true;
    return let_go(answers, context);
  }
  auto fresh = arrival.payload();
  if (static_cast<size_t>(skip) >= fresh.size()) return;
  fresh = fresh.subspan(static_cast<size_t>(skip));
  watch.server_first += static_cast<uint32_t>(fresh.size());
  while (!fresh.empty()) read_message(answers, fresh, context);
}

}  // namespace sallyport
