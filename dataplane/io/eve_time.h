#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sallyport {

/// Times as the flow log has them: RFC 3339 with microseconds, in UTC. Keeps the text of the last
/// second, for most events of a moment are of one. Belongs to one thread.
class EveTime {
 public:
  /// The text is good until the next call.
  std::string_view operator()(uint64_t unix_ns);

 private:
  uint64_t second_ = UINT64_MAX;
  std::array<char, 48> text_{};
  size_t size_ = 0;  // up to the point before the microseconds
};

}  // namespace sallyport
