#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/inspect/http_facts.h"
#include "dataplane/inspect/identify.h"

namespace sallyport {

/// What stands behind a request head (RFC 9112 section 6.3).
struct HttpBody {
  enum class Kind : uint8_t { none, length, chunked };
  Kind kind = Kind::none;
  HttpTunnel tunnel = HttpTunnel::none;
  bool of_head = false;     ///< Of HEAD: the answer has no body, whatever its fields say.
  bool is_last = false;     ///< HTTP/0.9: no server reads another request behind it.
  bool is_unusual = false;  ///< Of a method whose bodies some servers do not read.
  uint64_t length_bytes = 0;
};

/// Reads the fields that say where a request ends and what may follow it. Where two servers could
/// disagree about that, the second request of one is body to the other, so any doubt is a fault.
class HttpFraming {
 public:
  /// Whether take() would look at a field of this name.
  static bool reads(std::string_view name) noexcept;

  /// @param value  Without white space around it.
  /// @return       none, http_bad_length, http_bad_transfer_coding or http_upgrade_refused.
  [[nodiscard]] InspectFault take(std::string_view name, std::string_view value) noexcept;

  /// At the end of the head.
  /// @param is_1_0  HTTP/1.0, which has no transfer codings.
  [[nodiscard]] InspectFault finish(std::string_view method, bool is_1_0,
                                    HttpBody& out) const noexcept;

  bool has_length() const noexcept { return has_length_; }

 private:
  InspectFault take_length(std::string_view value) noexcept;
  InspectFault take_upgrade(std::string_view value) noexcept;

  uint64_t length_bytes_ = 0;
  bool has_length_ = false;
  bool chunked_ = false;
  bool websocket_ = false;
};

/// chunk-size [ chunk-ext ], RFC 9112 section 7.1, without its CRLF. No other form of a number, and
/// behind it only an extension: anything else is read as different lengths by different ends.
[[nodiscard]] bool parse_chunk_line(std::string_view line, uint64_t& bytes) noexcept;

}  // namespace sallyport
