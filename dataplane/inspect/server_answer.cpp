// What a server's bytes say about its client's: the other half of stream_inspection.h.
#include <algorithm>
#include <cstring>

#include "dataplane/inspect/stream_inspection.h"
#include "dataplane/inspect/tls_record.h"

namespace sallyport {
namespace {

// Gathers the server's first bytes from where it was told to start. What comes out of order is not
// waited for: it has passed already, and without it the client's bytes stay inspected.
std::span<const uint8_t> gather(StreamWatch& watch, const Arrival& arrival) noexcept {
  const auto payload = arrival.payload();
  const int32_t skip = sequence_distance(arrival.packet.tcp_sequence, watch.server_first);
  if (skip >= 0 && static_cast<size_t>(skip) < payload.size()) {
    const size_t taken = std::min(payload.size() - static_cast<size_t>(skip),
                                  kServerHeadBytes - watch.server_head_bytes);
    std::memcpy(watch.server_head.data() + watch.server_head_bytes, payload.data() + skip, taken);
    watch.server_head_bytes = static_cast<uint8_t>(watch.server_head_bytes + taken);
    watch.server_first += static_cast<uint32_t>(taken);
  }
  return std::span(watch.server_head).first(watch.server_head_bytes);
}

bool inspect_tls_server(StreamWatch& watch, const Arrival& arrival) noexcept {
  if (watch.hello_retried) {
    // A server asks once (RFC 8446 section 4.1.4): after the second hello it takes no third.
    if (watch.hello_repeated) watch.stage = StreamStage::opaque;
    return watch.hello_repeated;
  }
  switch (read_server_answer(gather(watch, arrival))) {
    case ServerAnswer::server_hello:
      watch.stage = StreamStage::opaque;
      return true;
    case ServerAnswer::hello_retry_request:
      watch.hello_retried = true;
      return false;
    case ServerAnswer::need_more:
    case ServerAnswer::other:
      return false;
  }
  return false;
}

// Whose answer is whose is known only while every byte has come in order, but for those of a body,
// which are only counted.
bool inspect_http_server(StreamWatch& watch, const Arrival& arrival) noexcept {
  HttpStream& http = watch.http;
  if (!http.reads_server()) return false;
  const auto payload = arrival.payload();
  const int32_t skip = sequence_distance(arrival.packet.tcp_sequence, watch.server_first);
  const uint64_t missing = skip < 0 ? -int64_t{skip} : 0;
  if (missing > http.answer_body_left() || (arrival.packet.tcp_flags & kSyn) != 0) {
    http.lose_server();
    return false;
  }
  if (skip >= 0 && static_cast<size_t>(skip) >= payload.size()) return false;
  if (missing != 0) {
    http.pass_answer_body(missing);
    watch.server_first += static_cast<uint32_t>(missing);
  }
  const bool asked = http.awaits_response();
  const auto fresh = payload.subspan(skip > 0 ? static_cast<size_t>(skip) : 0);
  http.read_server(fresh);
  watch.server_first += static_cast<uint32_t>(fresh.size());
  const bool answered = asked && !http.awaits_response();
  // What came meanwhile is held, and was not looked at: nothing more need come for that.
  if (answered) watch.need_bytes = 0;
  return answered;
}

}  // namespace

bool inspect_server(StreamWatch& watch, const Arrival& arrival) noexcept {
  if (arrival.packet.payload_bytes == 0) return false;
  if (watch.stage == StreamStage::tls) return inspect_tls_server(watch, arrival);
  if (watch.stage == StreamStage::http) return inspect_http_server(watch, arrival);
  return false;
}

}  // namespace sallyport
