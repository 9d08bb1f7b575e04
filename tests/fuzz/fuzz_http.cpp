// Any bytes as a client's HTTP/1 connection. The first byte says how the server behaves and how the
// rest is cut into pieces: every cut gives the same requests, and lets go of the same bytes.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/inspect/http_status.h"
#include "dataplane/inspect/http_stream.h"

namespace {

using namespace sallyport;

constexpr std::string_view kNames[] = {"host", "user-agent", "x-a"};

void require(bool holds) {
  if (!holds) std::abort();
}

void check_request(const HttpRequest& request, size_t window_bytes) {
  require(!request.method.empty() && request.head_bytes > 0);
  require(request.head_bytes <= window_bytes);
  for (const auto path : request.paths.view()) {
    require(path.starts_with('/') && path.size() <= kMaxHttpPathBytes);
    require(path.find("/../") == path.npos && path.find("/./") == path.npos);
    require(!path.ends_with("/..") && !path.ends_with("/."));
  }
}

struct Run {
  std::string answers;
  size_t forwarded = 0;
};

void answer(uint16_t status, HttpStream& stream) {
  if (status == 0) return;
  const std::string text = "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: 0\r\n\r\n";
  stream.read_server({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// The same bytes as those of a server that was asked three times: every cut tells the same.
std::string answers_of(std::span<const uint8_t> bytes, size_t step_bytes) {
  HttpAnswers answers;
  for (int i = 0; i < 3; ++i) answers.asked(false);
  std::string out;
  while (!bytes.empty()) {
    auto piece = bytes.first(std::min(step_bytes, bytes.size()));
    bytes = bytes.subspan(piece.size());
    while (const uint16_t code = answers.next_status(piece)) out += std::to_string(code);
    require(piece.empty() || answers.is_lost());
  }
  return out + (answers.is_lost() ? 'l' : 'f') + std::to_string(answers.waiting());
}

// As a flow engine would: the window, in a block of its own, holds what was not forwarded.
Run run(std::span<const uint8_t> bytes, size_t step_bytes, uint16_t status, HttpScratch& scratch) {
  Run out;
  HttpStream stream;
  size_t fed = 0;
  while (fed < bytes.size()) {
    fed += std::min(step_bytes, bytes.size() - fed);
    for (;;) {
      if (stream.awaits_response()) answer(status, stream);
      const std::vector<uint8_t> window(bytes.begin() + static_cast<std::ptrdiff_t>(out.forwarded),
                                        bytes.begin() + static_cast<std::ptrdiff_t>(fed));
      HttpRequest request;
      const HttpStep step = stream.next(window, false, kNames, scratch, request);
      require(step.forward_bytes <= window.size());
      require((step.status == HttpStep::Status::fault) == (step.fault != InspectFault::none));
      out.forwarded += step.forward_bytes;
      if (step.status == HttpStep::Status::need_more) break;
      out.answers += static_cast<char>('A' + static_cast<int>(step.status));
      if (step.status != HttpStep::Status::request) return out;
      check_request(request, window.size() - step.forward_bytes);
      for (const auto path : request.paths.view()) out.answers += path;
      out.answers += request.host.view();
      out.answers += std::to_string(request.headers.size());
      stream.allow();
      out.forwarded += request.head_bytes;
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto scratch = std::make_unique<HttpScratch>();
  if (size == 0) return 0;
  constexpr uint16_t kStatuses[] = {0, 100, 101, 200, 407};
  const uint16_t status = kStatuses[data[0] % std::size(kStatuses)];
  const std::span bytes(data + 1, size - 1);
  (void)parse_http_status(bytes);
  require(answers_of(bytes, SIZE_MAX) == answers_of(bytes, size_t{1} + data[0] / 5));

  const Run whole = run(bytes, SIZE_MAX, status, *scratch);
  const size_t pieces = std::max<size_t>(1, bytes.size() / 200);
  for (const size_t step : {pieces, size_t{1} + data[0] / 5}) {
    if (bytes.size() / step > 4096) continue;  // or one run would take seconds
    const Run cut = run(bytes, step, status, *scratch);
    require(cut.answers == whole.answers && cut.forwarded == whole.forwarded);
  }
  return 0;
}
