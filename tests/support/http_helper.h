#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/inspect/http_facts.h"
#include "tests/support/bytes.h"

namespace sallyport::test {

/// "GET a.b /x", then " or /y" for each further reading of the path, " name=value" for each line of
/// a field asked for, " connect" or " websocket". '-' stands for what is absent.
inline std::string describe(const HttpRequest& request) {
  std::string out(request.method);
  out += ' ' + (request.host.empty() ? "-" : std::string(request.host.view()));
  for (size_t i = 0; i < request.paths.count; ++i) {
    out += (i == 0 ? " " : " or ") + std::string(request.paths.text[i]);
  }
  if (request.paths.count == 0) out += " -";
  for (const HttpHeader& one : request.headers) {
    out += ' ' + std::string(one.name) + '=' + std::string(one.value);
  }
  if (request.tunnel == HttpTunnel::connect) out += " connect";
  if (request.tunnel == HttpTunnel::websocket) out += " websocket";
  return out;
}

/// What a connection was seen to do, and how much of it could be forwarded.
struct HttpRun {
  std::string text;  ///< Each request, then a fault or "not_http", between " | ".
  size_t forwarded_bytes = 0;
  bool over = false;  ///< A fault, or not HTTP: nothing more is forwarded.

  void add(const std::string& part) { text += (text.empty() ? "" : " | ") + part; }
};

/// Gives a stream its bytes piece by piece, as the flow engine does, and allows every request.
/// `Stream` is HttpStream or Http2Connection, behind a `next(window, ended, request)` adapter.
template <typename Stream>
class HttpFeeder {
 public:
  explicit HttpFeeder(Stream& stream) : stream_(stream) {}

  void feed(const Bytes& piece, bool ended = false) {
    append(window_, piece);
    while (!run_.over) {
      HttpRequest request;
      // In a block of its own, so that ASan sees a read past it.
      const Bytes window(window_);
      const HttpStep step = stream_.next(window, ended, request);
      forward(step.forward_bytes);
      if (step.status == HttpStep::Status::need_more) return;
      if (step.status == HttpStep::Status::turn) {
        if constexpr (requires { stream_.turn(); }) stream_.turn();
        continue;
      }
      if (step.status == HttpStep::Status::request) {
        run_.add(describe(request));
        stream_.allow(request);
        forward(request.head_bytes);
        continue;
      }
      run_.over = true;
      run_.add(step.status == HttpStep::Status::fault
                   ? "fault " + std::string(to_string(step.fault))
                   : "not_http");
    }
  }

  const HttpRun& run() const { return run_; }

 private:
  void forward(size_t bytes) {
    if (bytes > window_.size()) throw std::out_of_range("forwards more than there is");
    window_.erase(window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(bytes));
    run_.forwarded_bytes += bytes;
  }

  Stream& stream_;
  Bytes window_;
  HttpRun run_;
};

inline HttpScratch& http_scratch() {
  static const auto scratch = std::make_unique<HttpScratch>();
  return *scratch;
}

}  // namespace sallyport::test
