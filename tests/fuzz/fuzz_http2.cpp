// Any bytes as what a client sends behind the HTTP/2 preface, cut in two ways: the same requests,
// and nothing forwarded that was not allowed.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/inspect/http2_connection.h"

namespace {

using namespace sallyport;

constexpr std::string_view kNames[] = {"host", "user-agent", "x-a"};
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

void require(bool holds) {
  if (!holds) std::abort();
}

struct Run {
  std::string answers;
  size_t forwarded = 0;
};

Run run(std::span<const uint8_t> bytes, size_t step_bytes, HttpScratch& scratch) {
  Run out;
  const auto connection = std::make_unique<Http2Connection>();
  size_t fed = 0;
  while (fed < bytes.size()) {
    fed += std::min(step_bytes, bytes.size() - fed);
    for (;;) {
      const std::vector<uint8_t> window(bytes.begin() + static_cast<std::ptrdiff_t>(out.forwarded),
                                        bytes.begin() + static_cast<std::ptrdiff_t>(fed));
      HttpRequest request;
      const HttpStep step = connection->next(window, kNames, scratch, request);
      require(step.forward_bytes <= window.size());
      require(step.forward_bytes == 0 || connection->requests() != 0);
      require((step.status == HttpStep::Status::fault) == (step.fault != InspectFault::none));
      out.forwarded += step.forward_bytes;
      if (step.status == HttpStep::Status::need_more) break;
      if (step.status == HttpStep::Status::turn) {
        connection->turn();
        continue;
      }
      out.answers += static_cast<char>('A' + static_cast<int>(step.status));
      if (step.status != HttpStep::Status::request) return out;
      require(request.head_bytes <= window.size() - step.forward_bytes);
      require(!request.method.empty() && !request.authority.empty());
      for (const auto path : request.paths.view()) out.answers += path;
      for (const auto& header : request.headers) out.answers += header.value;
      out.answers += request.authority;
      connection->allow();
      out.forwarded += request.head_bytes;
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto scratch = std::make_unique<HttpScratch>();
  std::vector<uint8_t> bytes(kPreface.begin(), kPreface.end());
  bytes.insert(bytes.end(), data, data + size);
  const Run whole = run(bytes, SIZE_MAX, *scratch);
  const Run cut = run(bytes, std::max<size_t>(1, size / 200), *scratch);
  require(cut.answers == whole.answers && cut.forwarded == whole.forwarded);
  return 0;
}
