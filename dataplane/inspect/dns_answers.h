#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/inspect/slot_pool.h"

// What trusted resolvers answer, on its way to the client: the destination binding of rules hangs
// on it. Nothing is held or altered here.
namespace sallyport {

struct Arrival;
struct Flow;
struct FlowContext;
struct StreamWatch;

/// A longer answer over TCP tells nothing: no resolver gives as many addresses.
inline constexpr size_t kMaxDnsAnswerBytes = 4096;

/// TCP connections to resolvers of one worker whose answers come in pieces just now. Those over it
/// tell nothing.
inline constexpr uint32_t kDnsAnswersAtATime = 64;

/// Of one TCP connection to a resolver. Its content is written before it is read.
struct DnsAnswerBytes {
  DnsAnswerBytes() noexcept {}
  std::array<uint8_t, kMaxDnsAnswerBytes> bytes;
};

/// How far the answers of one TCP connection were read (RFC 7766): whole messages, in order.
struct DnsAnswerWatch {
  uint32_t slot = kNoSlot;    ///< DnsAnswerBytes, while a message comes in pieces.
  uint16_t length_bytes = 0;  ///< Of the message that is read.
  uint32_t read_bytes = 0;    ///< Of it, the length's two bytes too.
  bool lost = false;          ///< A segment is missing: where messages start is not known any more.
};

/// A datagram that leaves for port 53: what it asks a trusted resolver may be answered. Only where
/// there are FlowContext::bindings.
void note_query(const Flow& flow, const Arrival& arrival, FlowContext& context) noexcept;

/// A server's datagram on a live flow. Whoever is no trusted resolver is not listened to.
void learn_from_datagram(const Flow& flow, const Arrival& arrival, FlowContext& context) noexcept;

/// A server's segment on a stream of stage dns.
void learn_from_segment(const Flow& flow, StreamWatch& watch, const Arrival& arrival,
                        FlowContext& context) noexcept;

}  // namespace sallyport
