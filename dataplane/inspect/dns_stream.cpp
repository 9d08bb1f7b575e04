#include "dataplane/inspect/dns_stream.h"

#include <algorithm>

#include "dataplane/inspect/big_endian.h"

namespace sallyport {
namespace {

using Status = DnsStep::Status;

constexpr size_t kLengthBytes = 2;
constexpr size_t kHeaderBytes = 12;
constexpr size_t kMinQueryBytes = kHeaderBytes + 5;  // with the shortest question

}  // namespace

DnsStep DnsStream::next(std::span<const uint8_t> window, bool ended, uint16_t port,
                        DnsQuery& out) const noexcept {
  bool is_dns = queries_ != 0 || port == kDnsPort;
  const auto refuse = [&](InspectFault fault) -> DnsStep {
    if (!is_dns) return {.status = Status::not_dns};
    return {.status = Status::fault, .fault = fault};
  };
  if (window.empty() && ended && queries_ != 0) return {};
  const auto wait = [&]() -> DnsStep {
    return ended ? refuse(InspectFault::dns_bad_length) : DnsStep{};
  };

  out = DnsQuery{};
  if (window.size() < kLengthBytes) return wait();
  const size_t length = load_be16(window.data());
  if (length < kMinQueryBytes || length > kMaxDnsQueryBytes) {
    return refuse(InspectFault::dns_bad_length);
  }
  const auto message = window.subspan(kLengthBytes);
  if (message.size() < kHeaderBytes) return wait();
  const DnsShape shape = dns_shape(message.first(std::min(message.size(), length)));
  if (shape.surely_dns) is_dns = true;
  if (!shape.may_be_query) return refuse(InspectFault::dns_bad_header);
  if (message.size() < length) return wait();

  const DnsQueryAnswer answer = parse_dns_query(message.first(length), port, out);
  switch (answer.status) {
    case DnsQueryAnswer::Status::not_dns:
      return refuse(InspectFault::dns_bad_header);
    case DnsQueryAnswer::Status::fault:
      return {.status = Status::fault, .fault = answer.fault};
    case DnsQueryAnswer::Status::done:
      break;
  }
  return {.status = Status::query, .message_bytes = kLengthBytes + length};
}

}  // namespace sallyport
