#include "dataplane/inspect/http_framing.h"

#include <algorithm>

#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

enum class Field : uint8_t { other, content_length, transfer_encoding, upgrade, http2_settings };

Field field_of(std::string_view name) noexcept {
  struct Row {
    std::string_view name;
    Field field;
  };
  constexpr Row kRows[] = {{"upgrade", Field::upgrade},
                           {"content-length", Field::content_length},
                           {"http2-settings", Field::http2_settings},
                           {"transfer-encoding", Field::transfer_encoding}};
  for (const Row& row : kRows) {
    if (equal_ignoring_case(row.name, name)) return row.field;
  }
  return Field::other;
}

}  // namespace

bool HttpFraming::reads(std::string_view name) noexcept {
  return field_of(name) != Field::other;
}

InspectFault HttpFraming::take(std::string_view name, std::string_view value) noexcept {
  switch (field_of(name)) {
    case Field::other:
      return InspectFault::none;
    case Field::content_length:
      return take_length(value);
    case Field::transfer_encoding:
      // Of the codings only chunked says where the body ends. Lists, doubled lines and odd
      // spellings are what servers read differently (RFC 9112 section 6.1).
      if (chunked_ || !equal_ignoring_case(value, "chunked")) {
        return InspectFault::http_bad_transfer_coding;
      }
      chunked_ = true;
      return InspectFault::none;
    case Field::upgrade:
      return take_upgrade(value);
    case Field::http2_settings:
      // Only an upgrade to h2c carries it (RFC 7540 section 3.2.1).
      return InspectFault::http_upgrade_refused;
  }
  return InspectFault::none;
}

// One line of digits and nothing else: lists of equal values, which RFC 9112 section 6.3 lets pass,
// are not worth the doubt.
InspectFault HttpFraming::take_length(std::string_view value) noexcept {
  constexpr size_t kMaxDigits = 18;  // any such number fits, and none is a real length
  const bool digits = std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
  if (has_length_ || value.empty() || value.size() > kMaxDigits || !digits) {
    return InspectFault::http_bad_length;
  }
  has_length_ = true;
  for (const char c : value) length_bytes_ = length_bytes_ * 10 + static_cast<uint64_t>(c - '0');
  return InspectFault::none;
}

// To h2c the policy would lose sight of the requests behind it; of other protocols nothing is
// known.
InspectFault HttpFraming::take_upgrade(std::string_view value) noexcept {
  if (websocket_ || !equal_ignoring_case(value, "websocket")) {
    return InspectFault::http_upgrade_refused;
  }
  websocket_ = true;
  return InspectFault::none;
}

InspectFault HttpFraming::finish(std::string_view method, bool is_1_0,
                                 HttpBody& out) const noexcept {
  if (chunked_ && is_1_0) return InspectFault::http_bad_transfer_coding;
  if (chunked_ && has_length_) return InspectFault::http_bad_length;
  const bool connect = method == "CONNECT";
  // A CONNECT has no body (RFC 9110 section 9.3.6): who reads one anyway sees other requests.
  // "Content-Length: 0" agrees with that, and old clients send it.
  if (connect && (chunked_ || length_bytes_ != 0)) return InspectFault::http_bad_length;
  if (connect && websocket_) return InspectFault::http_upgrade_refused;
  out.tunnel = connect      ? HttpTunnel::connect
               : websocket_ ? HttpTunnel::websocket
                            : HttpTunnel::none;
  out.kind = chunked_             ? HttpBody::Kind::chunked
             : length_bytes_ != 0 ? HttpBody::Kind::length
                                  : HttpBody::Kind::none;
  out.of_head = method == "HEAD";
  constexpr std::string_view kWithoutBody[] = {"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"};
  out.is_unusual = std::ranges::find(kWithoutBody, method) != std::end(kWithoutBody);
  out.length_bytes = length_bytes_;
  return InspectFault::none;
}

bool parse_chunk_line(std::string_view line, uint64_t& bytes) noexcept {
  constexpr size_t kMaxDigits = 15;
  const size_t digits = std::min(line.find_first_not_of("0123456789abcdefABCDEF"), line.size());
  if (digits == 0 || digits > kMaxDigits) return false;
  bytes = 0;
  for (const char c : line.substr(0, digits)) {
    bytes = bytes * 16 + static_cast<uint64_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  const auto extension = line.substr(digits);
  const auto trimmed = trim_http_space(extension);
  if (trimmed.empty()) return extension.empty();
  return trimmed.starts_with(';') && is_http_field_value(extension);
}

}  // namespace sallyport
