#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/inspect/quic_tracker.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/quic_builder.h"

namespace sallyport::test {

/// One UDP flow as the engine would keep it.
class QuicFlow {
 public:
  explicit QuicFlow(size_t hello_bytes = kMaxQuicHelloBytes) : held_(hello_bytes, 0xee) {}

  /// "hello a.b", "hello -" without a name, "need_more", "nothing_new", "not_quic",
  /// "unreadable quic_bad_packet" or "fault tls_truncated"; "new " in front for another attempt.
  std::string step(const Bytes& datagram) {
    using Status = QuicStep::Status;
    quic_step(datagram, tracker_, held_, scratch(), out_);
    const std::string start = out_.new_attempt ? "new " : "";
    switch (out_.status) {
      case Status::not_quic:
        return start + "not_quic";
      case Status::need_more:
        return start + "need_more";
      case Status::hello:
        return start + "hello " + (out_.name.empty() ? "-" : std::string(out_.name.view()));
      case Status::nothing_new:
        return start + "nothing_new";
      case Status::unreadable:
        return start + "unreadable " + std::string(to_string(out_.fault));
      case Status::fault:
        break;
    }
    return start + "fault " + std::string(to_string(out_.fault));
  }

  /// The answer to the last of some datagrams.
  std::string run(const std::vector<Bytes>& datagrams) {
    std::string last;
    for (const Bytes& datagram : datagrams) last = step(datagram);
    return last;
  }

  QuicAnswer server(const Bytes& datagram) {
    return quic_server_datagram(datagram, tracker_, scratch());
  }

  const QuicStep& out() const { return out_; }
  const QuicTracker& tracker() const { return tracker_; }

 private:
  static QuicScratch& scratch() {
    static const auto one = std::make_unique<QuicScratch>();
    return *one;
  }

  QuicTracker tracker_;
  Bytes held_;
  QuicStep out_;
};

/// The whole of `message` in one CRYPTO frame.
inline Bytes whole_frame(const Bytes& message) {
  return crypto_frame(0, message);
}

/// What a client's first datagram is as a rule: one Initial of 1200 bytes with the hello in it.
inline InitialBuilder hello_initial(const Bytes& message) {
  return initial(whole_frame(message)).pad_to(1200);
}

}  // namespace sallyport::test
