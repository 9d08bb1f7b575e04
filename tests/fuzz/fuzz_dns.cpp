// Any bytes as a DNS message from either side, and as a client's TCP stream.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/inspect/dns_response.h"
#include "dataplane/inspect/dns_stream.h"

namespace {

using namespace sallyport;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_query(std::span<const uint8_t> message, uint16_t port) {
  DnsQuery query;
  const auto answer = parse_dns_query(message, port, query);
  using Status = DnsQueryAnswer::Status;
  require((answer.status == Status::fault) == (answer.fault != InspectFault::none));
  if (answer.status == Status::done) require(query.text.text().size() <= 253);
}

void check_response(std::span<const uint8_t> message) {
  static const auto response = std::make_unique<DnsResponse>();
  const auto status = parse_dns_response(message, *response);
  require(status == DnsResponseStatus::done ||
          (response->addresses().empty() && response->targets().empty()));
  if (status == DnsResponseStatus::done) require(!response->name.empty());
}

struct Run {
  size_t forwarded = 0;
  DnsStep::Status last{};
  InspectFault fault{};
};

Run run_stream(std::span<const uint8_t> bytes, uint16_t port, size_t step_bytes) {
  Run out;
  DnsStream stream;
  for (size_t fed = 0; fed < bytes.size();) {
    fed += std::min(step_bytes, bytes.size() - fed);
    for (;;) {
      const std::vector<uint8_t> window(bytes.begin() + static_cast<std::ptrdiff_t>(out.forwarded),
                                        bytes.begin() + static_cast<std::ptrdiff_t>(fed));
      DnsQuery query;
      const DnsStep step = stream.next(window, false, port, query);
      out.last = step.status;
      out.fault = step.fault;
      if (step.status == DnsStep::Status::need_more) break;
      if (step.status != DnsStep::Status::query) return out;
      require(step.message_bytes > 0 && step.message_bytes <= window.size());
      stream.allow();
      out.forwarded += step.message_bytes;
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(data, size);
  check_response(bytes);
  for (const uint16_t port : {kDnsPort, uint16_t{443}}) {
    check_query(bytes, port);
    const Run whole = run_stream(bytes, port, SIZE_MAX);
    const Run cut = run_stream(bytes, port, std::max<size_t>(1, size / 200));
    require(cut.forwarded == whole.forwarded && cut.last == whole.last && cut.fault == whole.fault);
  }
  return 0;
}
