#include "dataplane/inspect/quic_tracker.h"

#include <algorithm>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/quic_frames.h"
#include "dataplane/inspect/tls_client_hello.h"
#include "dataplane/inspect/tls_record.h"

namespace sallyport {
namespace {

using Kind = QuicHeader::Kind;
using Status = QuicStep::Status;

constexpr uint8_t kClientHello = 1;
constexpr uint8_t kReservedBits = 0x0c;  // RFC 9000 section 17.2

bool is_first_id(const QuicTracker& tracker, std::span<const uint8_t> id) noexcept {
  return std::ranges::equal(std::span(tracker.first_id).first(tracker.first_id_bytes), id);
}

uint64_t hash_of(std::span<const uint8_t> bytes, uint64_t hash = 0xcbf29ce484222325) noexcept {
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3;  // FNV-1a
  return hash;
}

// The same id in another version is another attempt: its keys are others.
uint64_t attempt_hash(uint32_t version, std::span<const uint8_t> id) noexcept {
  std::array<uint8_t, 4> bytes{};
  store_be32(bytes.data(), version);
  return hash_of(id, hash_of(bytes));
}

/// The steps of one quic_step() call.
class Reader {
 public:
  Reader(QuicTracker& tracker, std::span<uint8_t> hello_bytes, QuicScratch& scratch,
         QuicStep& out) noexcept
      : tracker_(tracker), hello_bytes_(hello_bytes), scratch_(scratch), out_(out) {}

  void read(std::span<const uint8_t> datagram) noexcept {
    if (!read_packets(datagram)) return;
    if (complete_hello()) return;
    out_.status = tracker_.in_hello() ? Status::need_more : Status::nothing_new;
  }

 private:
  // Both answer false, so that a step can end with `return stop(…)`.
  bool stop(Status status, InspectFault fault) noexcept {
    out_.status = status;
    out_.fault = fault;
    return false;
  }
  bool unreadable(InspectFault fault) noexcept { return stop(Status::unreadable, fault); }

  /// False when the answer is out already.
  bool read_packets(std::span<const uint8_t> datagram) noexcept {
    const QuicHeader first = read_quic_header(datagram);
    if (first.is_long()) out_.version = first.version;
    auto rest = datagram;
    QuicHeader header = first;
    for (size_t packets = 0; !rest.empty(); ++packets) {
      if (packets > 0) header = read_quic_header(rest);
      // What no server would look for a packet in: padding behind the packets, or junk.
      if (packets > 0 && !header.is_long()) break;
      if (packets == kMaxQuicPackets) return unreadable(InspectFault::quic_too_many_packets);
      if (!read_packet(header, first, rest.first(header.packet_bytes))) return false;
      rest = rest.subspan(header.packet_bytes);
    }
    if (!datagram.empty()) return true;
    return tracker_.started() || stop(Status::not_quic, InspectFault::none);
  }

  bool read_packet(const QuicHeader& header, const QuicHeader& first,
                   std::span<const uint8_t> packet) noexcept {
    switch (header.kind) {
      case Kind::none:
        if (tracker_.started()) return unreadable(InspectFault::quic_bad_header);
        return stop(Status::not_quic, InspectFault::none);
      case Kind::short_header:
        return tracker_.started() || stop(Status::not_quic, InspectFault::none);
      case Kind::unknown_version:
        return unreadable(InspectFault::quic_unknown_version);
      case Kind::version_negotiation:
        // Only servers send it, and a version of zero may well be another protocol.
        if (!tracker_.started()) return stop(Status::not_quic, InspectFault::none);
        return unreadable(InspectFault::quic_bad_header);
      case Kind::malformed:
      case Kind::retry:
        return unreadable(InspectFault::quic_bad_header);
      case Kind::zero_rtt:
      case Kind::handshake:
      case Kind::initial:
        break;
    }
    // A server may take all packets for the first one's connection, or each for its own.
    if (header.version != first.version ||
        !std::ranges::equal(header.destination_id, first.destination_id)) {
      return unreadable(InspectFault::quic_mixed_connections);
    }
    if (header.kind == Kind::zero_rtt && is_of_another(header.destination_id)) {
      return unreadable(InspectFault::quic_mixed_connections);
    }
    return header.kind != Kind::initial || read_initial(header, packet);
  }

  // Early data goes to the id that the attempt began with, or to the one that its server answered
  // by (RFC 9000 section 7.2). Of an attempt whose hello is still to come it must not leave.
  bool is_of_another(std::span<const uint8_t> id) const noexcept {
    const bool answered = tracker_.server_id_hash != 0 && hash_of(id) == tracker_.server_id_hash;
    return tracker_.started() && !is_first_id(tracker_, id) && !answered;
  }

  bool read_initial(const QuicHeader& header, std::span<const uint8_t> packet) noexcept {
    InspectFault why = InspectFault::quic_bad_packet;
    const OpenedPacket opened = open(header, packet, why);
    if (!opened.ok) return unreadable(why);
    if ((opened.first_byte & kReservedBits) != 0) {
      return stop(Status::fault, InspectFault::quic_bad_header);
    }
    tracker_.next_packet_number = std::max(tracker_.next_packet_number, opened.packet_number + 1);
    InitialFrames frames(opened.payload);
    for (CryptoFrame frame; frames.next(frame);) {
      if (const auto fault = add(frame); fault != InspectFault::none) {
        return stop(Status::fault, fault);
      }
    }
    if (frames.fault() == InspectFault::none) return true;
    return stop(Status::fault, frames.fault());
  }

  // The server has made its keys from the id of the first Initial it read. Later ones may carry an
  // id of its choice instead (RFC 9000 section 7.2), and then another version too (RFC 9368 section
  // 4.1). What those keys do not open can only be the first Initial of something new.
  OpenedPacket open(const QuicHeader& header, std::span<const uint8_t> packet,
                    InspectFault& why) noexcept {
    const bool same_id = is_first_id(tracker_, header.destination_id);
    const bool same_version = header.version == tracker_.version;
    if (tracker_.started() && same_version) {
      const auto opened = open_with(tracker_.keys, header, packet, tracker_.next_packet_number);
      if (opened.ok || same_id) return opened;
    } else if (tracker_.started() && !same_id) {
      const auto first_id = std::span(tracker_.first_id).first(tracker_.first_id_bytes);
      const QuicKeys keys = client_initial_keys(*header.traits, first_id);
      const auto opened = open_with(keys, header, packet, tracker_.next_packet_number);
      if (opened.ok) {
        tracker_.version = header.version;
        tracker_.keys = keys;
        return opened;
      }
    }
    if (is_old_attempt(header)) {
      why = InspectFault::quic_old_attempt;
      return {};
    }
    const QuicKeys keys = client_initial_keys(*header.traits, header.destination_id);
    const auto opened = open_with(keys, header, packet, 0);
    if (!opened.ok || start(header, keys)) return opened;
    why = InspectFault::quic_too_many_attempts;
    return {};
  }

  bool is_old_attempt(const QuicHeader& header) const noexcept {
    const auto old = std::span(tracker_.old_attempts).first(tracker_.old_attempt_count);
    const uint64_t hash = attempt_hash(header.version, header.destination_id);
    return std::ranges::find(old, hash) != old.end();
  }

  OpenedPacket open_with(const QuicKeys& keys, const QuicHeader& header,
                         std::span<const uint8_t> packet, uint64_t next_number) noexcept {
    return scratch_.cipher.open(keys, packet, header.packet_number_offset, next_number,
                                scratch_.payload);
  }

  bool start(const QuicHeader& header, const QuicKeys& keys) noexcept {
    const bool started = tracker_.started();
    if (started && !tracker_.give_up()) return false;
    out_.new_attempt = started;
    tracker_.version = header.version;
    tracker_.keys = keys;
    tracker_.first_id_bytes = static_cast<uint8_t>(header.destination_id.size());
    std::ranges::copy(header.destination_id, tracker_.first_id.begin());
    return true;
  }

  InspectFault add(CryptoFrame frame) noexcept {
    if (tracker_.server_took_hello && frame.offset < tracker_.next_message) {
      const uint64_t known = tracker_.next_message - frame.offset;
      frame.data = frame.data.subspan(std::min<size_t>(known, frame.data.size()));
      frame.offset = tracker_.next_message;
      if (frame.data.empty()) return InspectFault::none;
    }
    return tracker_.crypto.add(frame.offset, frame.data, hello_bytes_);
  }

  /// True when a hello, or a fault in it, is the answer.
  bool complete_hello() noexcept {
    const uint32_t begin = tracker_.next_message;
    const uint32_t end = tracker_.crypto.contiguous_end(begin);
    if (end == begin) return false;
    if (hello_bytes_[begin] != kClientHello) return failed(InspectFault::tls_not_client_hello);
    if (end - begin < kHandshakeHeaderBytes) return false;
    const uint8_t* const header = &hello_bytes_[begin];
    const size_t wanted = size_t{header[1]} << 16 | load_be16(header + 2);
    const size_t limit = std::min<size_t>(hello_bytes_.size(), UINT16_MAX);
    if (wanted > limit - begin - kHandshakeHeaderBytes) {
      return failed(InspectFault::tls_hello_too_long);
    }
    const auto message_end = static_cast<uint16_t>(begin + kHandshakeHeaderBytes + wanted);
    // Nothing may follow a hello before the server has answered it.
    if (tracker_.crypto.end() > message_end) return failed(InspectFault::tls_trailing_bytes);
    if (end < message_end) return false;
    const auto body = hello_bytes_.subspan(begin + kHandshakeHeaderBytes, wanted);
    const auto fault = parse_client_hello(body, out_.hello, out_.name);
    if (fault != InspectFault::none) return failed(fault);
    tracker_.next_message = message_end;
    tracker_.hellos = static_cast<uint8_t>(std::min(tracker_.hellos + 1, UINT8_MAX));
    out_.status = Status::hello;
    return true;
  }

  bool failed(InspectFault fault) noexcept {
    out_.name.clear();
    stop(Status::fault, fault);
    return true;
  }

  QuicTracker& tracker_;
  std::span<uint8_t> hello_bytes_;
  QuicScratch& scratch_;
  QuicStep& out_;
};

}  // namespace

void quic_step(std::span<const uint8_t> datagram, QuicTracker& tracker,
               std::span<uint8_t> hello_bytes, QuicScratch& scratch, QuicStep& out) noexcept {
  out.status = Status::not_quic;
  out.fault = InspectFault::none;
  out.new_attempt = false;
  out.version = 0;
  out.name.clear();
  Reader(tracker, hello_bytes, scratch, out).read(datagram);
}

bool QuicTracker::give_up() noexcept {
  QuicTracker next;
  next.old_attempts = old_attempts;
  next.old_attempt_count = old_attempt_count;
  // What the server has taken whole does not change any more; before a hello was whole, nothing of
  // it went out.
  if (hellos > 0 && !server_took_hello) {
    if (old_attempt_count == kMaxOldAttempts) return false;
    const auto id = std::span(first_id).first(first_id_bytes);
    next.old_attempts[next.old_attempt_count++] = attempt_hash(version, id);
  }
  *this = next;
  return true;
}

namespace {

// Whether a server's Initial answers this attempt: what it is protected with is made of the id that
// the client's first one carried.
bool answers_attempt(const QuicHeader& header, std::span<const uint8_t> packet,
                     const QuicTracker& tracker, QuicScratch& scratch) noexcept {
  if (!tracker.started() || tracker.server_took_hello) return false;
  const auto first_id = std::span(tracker.first_id).first(tracker.first_id_bytes);
  const QuicKeys keys = server_initial_keys(*header.traits, first_id);
  return scratch.cipher.open(keys, packet, header.packet_number_offset, 0, scratch.payload).ok;
}

}  // namespace

QuicAnswer quic_server_datagram(std::span<const uint8_t> datagram, QuicTracker& tracker,
                                QuicScratch& scratch) noexcept {
  bool answered = false;  // this attempt, by an Initial of this datagram
  auto rest = datagram;
  for (size_t packets = 0; packets < kMaxQuicPackets && !rest.empty(); ++packets) {
    const QuicHeader header = read_quic_header(rest);
    if (header.kind == Kind::version_negotiation) return QuicAnswer::version_negotiation;
    if (header.kind == Kind::retry) return QuicAnswer::retry;
    const auto packet = rest.first(header.packet_bytes);
    if (header.kind == Kind::initial && answers_attempt(header, packet, tracker, scratch)) {
      answered = true;
      if (!header.source_id.empty()) tracker.server_id_hash = hash_of(header.source_id);
    }
    if (header.kind == Kind::handshake) {
      answered |= !header.source_id.empty() && hash_of(header.source_id) == tracker.server_id_hash;
      if (!answered) return QuicAnswer::nothing;
      tracker.server_took_hello = tracker.hellos > 0 && !tracker.in_hello();
      return QuicAnswer::handshake;
    }
    rest = rest.subspan(header.packet_bytes);
  }
  return QuicAnswer::nothing;
}

bool is_short_initial(std::span<const uint8_t> datagram) noexcept {
  constexpr size_t kLeastBytes = 1200;
  if (datagram.size() >= kLeastBytes) return false;
  auto rest = datagram;
  for (size_t packets = 0; packets < kMaxQuicPackets && !rest.empty(); ++packets) {
    const QuicHeader header = read_quic_header(rest);
    if (header.kind == Kind::initial) return true;
    rest = rest.subspan(header.packet_bytes);
  }
  return false;
}

bool says_nothing_of_hello(std::span<const uint8_t> datagram, const QuicTracker& tracker,
                           QuicScratch& scratch) noexcept {
  const QuicHeader first = read_quic_header(datagram);
  auto rest = datagram;
  for (size_t packets = 0; !rest.empty(); ++packets) {
    const QuicHeader header = read_quic_header(rest);
    if (packets > 0 && !header.is_long()) break;
    const bool same = header.version == tracker.version &&
                      std::ranges::equal(header.destination_id, first.destination_id);
    if (!tracker.started() || !same || packets == kMaxQuicPackets) return false;
    if (header.kind == Kind::initial) {
      const auto opened = scratch.cipher.open(tracker.keys, rest.first(header.packet_bytes),
                                              header.packet_number_offset,
                                              tracker.next_packet_number, scratch.payload);
      if (!opened.ok) return false;
      InitialFrames frames(opened.payload);
      CryptoFrame frame;
      if (frames.next(frame) || frames.fault() != InspectFault::none) return false;
    } else if (header.kind != Kind::handshake && header.kind != Kind::zero_rtt) {
      return false;
    }
    rest = rest.subspan(header.packet_bytes);
  }
  return true;
}

}  // namespace sallyport
