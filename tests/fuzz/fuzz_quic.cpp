// A sequence of client and server datagrams on one flow. Random bytes never pass an AEAD tag, so
// most datagrams are sealed here around frames from the input.
//
// Input: records of a control byte, a length in two bytes and as many bytes. Control: bits 0..1
// what it is (raw client datagram, server's datagram, Initial, two Initials in one datagram), 2..3
// version, 4 connection id, 5 keys of the other id, 6 one byte of packet number.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/inspect/fingerprint.h"
#include "dataplane/inspect/quic_tracker.h"
#include "tests/support/quic_builder.h"

namespace {

using namespace sallyport;
using namespace sallyport::test;
using Status = QuicStep::Status;

void require(bool holds) {
  if (!holds) std::abort();
}

const std::vector<Bytes> kIds = {from_hex("8394c8f03e515708"), {1, 2, 3}};

Bytes sealed(uint8_t control, const Bytes& frames, uint64_t number) {
  constexpr uint32_t kVersions[] = {kQuicV1, kQuicV2, kQuicDraft29, kQuicV1};
  const size_t id = control >> 4 & 1;
  const size_t keys = (control >> 5 & 1) ^ id;
  return initial(frames)
      .version(kVersions[control >> 2 & 3])
      .to(kIds[id])
      .keys_of(kIds[keys])
      .number(number, (control & 0x40) != 0 ? 1 : 4)
      .pad_to(60)
      .packet();
}

struct Flow {
  QuicTracker tracker;
  Bytes held = Bytes(2048);
  QuicStep out;
};

void check(const Flow& flow) {
  const QuicStep& out = flow.out;
  const bool faulty = out.status == Status::fault || out.status == Status::unreadable;
  require(faulty == (out.fault != InspectFault::none));
  require(flow.tracker.next_message <= flow.held.size());
  require(flow.tracker.crypto.end() <= flow.held.size());
  require(!out.new_attempt || flow.tracker.hellos <= 1);
  if (out.status != Status::hello) return;
  require(flow.tracker.started() && flow.tracker.hellos > 0 && !flow.tracker.in_hello());
  const auto ciphers = out.hello.cipher_suites;
  require(ciphers.empty() ||
          (ciphers.data() >= flow.held.data() &&
           ciphers.data() + ciphers.size() <= flow.held.data() + flow.held.size()));
  require(make_ja4(out.hello, HelloTransport::quic).view()[0] == 'q');
}

/// The same datagram once more teaches nothing.
void check_again(const Bytes& datagram, Flow flow, QuicScratch& scratch) {
  const Status before = flow.out.status;
  const uint8_t hellos = flow.tracker.hellos;
  quic_step(datagram, flow.tracker, flow.held, scratch, flow.out);
  check(flow);
  require(!flow.out.new_attempt && flow.tracker.hellos == hellos);
  require(flow.out.status == (before == Status::hello ? Status::nothing_new : before));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto scratch = std::make_unique<QuicScratch>();
  Flow flow;
  std::span<const uint8_t> rest(data, size);
  for (uint64_t number = 0; rest.size() > 3 && number < 24; ++number) {
    const uint8_t control = rest[0];
    const size_t length = std::min<size_t>(size_t{rest[1]} << 8 | rest[2], rest.size() - 3);
    const Bytes content(rest.begin() + 3, rest.begin() + 3 + static_cast<std::ptrdiff_t>(length));
    rest = rest.subspan(3 + length);
    Bytes datagram = content;
    switch (control & 3) {
      case 1:
        quic_server_datagram(content, flow.tracker, *scratch);
        continue;
      case 2:
        datagram = sealed(control, content, number);
        break;
      case 3: {
        const auto half = static_cast<std::ptrdiff_t>(length / 2);
        datagram = sealed(control, {content.begin(), content.begin() + half}, number) +
                   sealed(control, {content.begin() + half, content.end()}, number + 1);
        break;
      }
      default:
        break;
    }
    quic_step(datagram, flow.tracker, flow.held, *scratch, flow.out);
    check(flow);
    if (flow.out.status == Status::fault) break;
    check_again(datagram, flow, *scratch);
  }
  return 0;
}
