#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/inspect/dns_query.h"
#include "dataplane/inspect/quic_header.h"
#include "dataplane/inspect/quic_tracker.h"
#include "tests/fuzz/forwarded_stream.h"

namespace sallyport::test {

/// One UDP 5-tuple's datagrams, as its server gets them: whatever the engine made of the flow, each
/// DNS query and each QUIC hello among them names what a policy lets out.
class ForwardedDatagrams {
 public:
  ForwardedDatagrams(bool (*is_allowed)(std::string_view), uint16_t port)
      : is_allowed_(is_allowed), port_(port) {}

  void forward(std::span<const uint8_t> payload) {
    if (payload.empty()) return;
    // From a server that has shown QUIC on, short headers are QUIC's, whatever is behind them.
    const bool long_header = (payload[0] & 0x80) != 0;
    if (long_header || !server_speaks_quic_) forward_query(payload);
    if (may_start_quic(payload) && !is_short_initial(payload)) forward_initial(payload);
  }

  void answer(std::span<const uint8_t> payload) {
    if (!payload.empty() && (payload[0] & 0x80) != 0) server_speaks_quic_ = true;
  }

 private:
  /// What a server has of one connection id: its hellos alone, whatever else the client tried.
  struct Attempt {
    QuicTracker tracker;
    std::vector<uint8_t> hello = std::vector<uint8_t>(kMaxQuicHelloBytes);
    bool broken = false;
  };

  void forward_query(std::span<const uint8_t> payload) const {
    DnsQuery query;
    const DnsQueryAnswer answer = parse_dns_query(payload, port_, query);
    require(answer.status != DnsQueryAnswer::Status::fault);
    if (answer.status == DnsQueryAnswer::Status::done) require(is_allowed_(query.name.view()));
  }

  void forward_initial(std::span<const uint8_t> payload) {
    const auto id = read_quic_header(payload).destination_id;
    Attempt& attempt = attempts_[{id.begin(), id.end()}];
    if (attempt.broken) return;
    static const auto scratch = std::make_unique<QuicScratch>();
    static const auto step = std::make_unique<QuicStep>();
    quic_step(payload, attempt.tracker, attempt.hello, *scratch, *step);
    if (step->status == QuicStep::Status::hello) require(is_allowed_(step->name.view()));
    attempt.broken = step->status == QuicStep::Status::fault || step->new_attempt;
  }

  bool (*is_allowed_)(std::string_view);
  uint16_t port_;
  bool server_speaks_quic_ = false;
  std::map<std::string, Attempt> attempts_;  ///< By connection id.
};

}  // namespace sallyport::test
