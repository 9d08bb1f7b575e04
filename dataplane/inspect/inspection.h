#pragma once

#include <array>
#include <cstdint>
#include <variant>

#include "dataplane/inspect/dns_answers.h"
#include "dataplane/inspect/dns_stream.h"
#include "dataplane/inspect/http_stream.h"
#include "dataplane/inspect/quic_tracker.h"
#include "dataplane/inspect/replaced_budgets.h"
#include "dataplane/inspect/segments.h"
#include "dataplane/inspect/slot_pool.h"

namespace sallyport {

/// What a client's stream has turned out to be.
enum class StreamStage : uint8_t {
  identify,  ///< Its first bytes do not tell yet.
  tls,       ///< A hello was decided; another may come until the server has taken one.
  http,
  http2,
  dns,
  opaque,  ///< Nothing more is looked for: what follows passes, and the window stays where it is.
};

/// What a server's first bytes say lies within so many.
inline constexpr size_t kServerHeadBytes = 64;

/// How far the stream of a TCP client is inspected. "The window" starts at the first byte that no
/// verdict covers.
struct StreamWatch {
  uint32_t window_first = 0;    ///< Sequence number of the window's first byte.
  uint32_t need_bytes = 0;      ///< Of the window: no shorter one says more.
  uint32_t fin_sequence = 0;    ///< Of the client's FIN, once kClientFin.
  uint32_t guard_since_ms = 0;  ///< Since the oldest verdict whose bytes are still guarded.
  uint32_t plain_from = 0;      ///< With `plain`: see there.
  uint64_t skip_bytes = 0;      ///< stage tls: bytes from the window's start that hold no hello.
  uint32_t http2 = kNoSlot;     ///< stage http2: Http2Connection.
  uint32_t server_first = 0;    ///< Sequence number of the next byte for server_head.
  uint32_t acknowledged = 0;    ///< The highest that the server has acknowledged.
  StreamStage stage = StreamStage::identify;
  bool guarded = false;    ///< Inspected bytes may only come again as they were.
  bool unguarded = false;  ///< guarded, but the copies are gone: they may not come again at all.
  bool plain = false;      ///< From plain_from to the window, bytes passed without being read.
  bool far = false;  ///< The window has left client_first so far behind that nothing reaches it.
  bool hello_retried = false;     ///< The server asked for another hello.
  bool hello_repeated = false;    ///< And it was decided.
  uint8_t server_head_bytes = 0;  ///< How many of server_head have come.
  std::array<uint8_t, kServerHeadBytes> server_head{};
  HttpStream http;
  DnsStream dns;
  DnsAnswerWatch answers;  ///< stage dns.
  ReplacedBudgets replaced_budgets;
  PassedOver passed_over;
};

/// How far the datagrams of a UDP client are inspected.
struct DatagramWatch {
  QuicTracker quic;
  uint32_t hello = kNoSlot;  ///< QuicHelloBytes, while it may be needed.
  uint32_t count = 0;        ///< Datagrams held so far: their place in the list.
  bool let_out = false;      ///< A hello was allowed, and went to the server.
  /// The hello of this attempt was denied: its Initials, which come again and again, are not read.
  bool refused = false;
  uint32_t refused_generation = 0;  ///< With `refused`: of the policy that said so.
  int64_t refused_at = 0;           ///< With `refused`: Unix second in which that was last asked.
};

/// Of one QUIC client. Its content is written before it is read.
struct QuicHelloBytes {
  QuicHelloBytes() noexcept {}
  std::array<uint8_t, kMaxQuicHelloBytes> bytes;
};

/// What is kept beside a Flow while its bytes are looked at, or guarded until the server has them.
struct Inspection {
  SegmentList held;  ///< Packets that wait, and copies of packets sent that are guarded.
  uint32_t waiting_bytes = 0;
  uint32_t waiting_packets = 0;
  uint64_t waiting_since_ns = 0;  ///< With waiting_packets: since the oldest verdict they wait for.
  std::variant<StreamWatch, DatagramWatch> watch;

  StreamWatch& stream() noexcept { return *std::get_if<StreamWatch>(&watch); }
  const StreamWatch& stream() const noexcept { return *std::get_if<StreamWatch>(&watch); }
  DatagramWatch* datagrams() noexcept { return std::get_if<DatagramWatch>(&watch); }
};
static_assert(sizeof(Inspection) <= 512);

}  // namespace sallyport
