#include "dataplane/inspect/http_status.h"

#include <algorithm>
#include <string_view>

namespace sallyport {
namespace {

// '1' stands for the first digit of the code, '0' for any digit, '_' for what ends the code: a
// space, or a CR where the server leaves the reason phrase out.
constexpr std::string_view kPattern = "HTTP/1.0 100_";

bool fits(char wanted, uint8_t byte) noexcept {
  if (wanted == '0') return byte >= '0' && byte <= '9';
  if (wanted == '_') return byte == ' ' || byte == '\r';
  return byte == static_cast<uint8_t>(wanted);
}

}  // namespace

HttpStatus parse_http_status(std::span<const uint8_t> prefix) noexcept {
  constexpr size_t kMinor = 7;
  constexpr size_t kCode = 9;
  const size_t size = std::min(prefix.size(), kPattern.size());
  for (size_t i = 0; i < size; ++i) {
    const bool first_digit = i == kCode && prefix[i] >= '1' && prefix[i] <= '9';
    const bool minor = i == kMinor && fits('0', prefix[i]);
    if (!first_digit && !minor && !fits(kPattern[i], prefix[i])) {
      return {.state = HttpStatus::State::not_http};
    }
  }
  if (size < kPattern.size()) return {};
  uint16_t code = 0;
  for (const uint8_t digit : prefix.subspan(kCode, 3)) {
    code = static_cast<uint16_t>(code * 10 + (digit - '0'));
  }
  return {.state = HttpStatus::State::done, .code = code};
}

}  // namespace sallyport
