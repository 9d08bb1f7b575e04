#include "dataplane/inspect/crypto_stream.h"

#include <algorithm>
#include <cstring>

namespace sallyport {

InspectFault CryptoStream::add(uint64_t offset, std::span<const uint8_t> bytes,
                               std::span<uint8_t> buffer) noexcept {
  const size_t limit = std::min<size_t>(buffer.size(), UINT16_MAX);
  if (offset > limit || bytes.size() > limit - offset) return InspectFault::tls_hello_too_long;
  if (bytes.empty()) return InspectFault::none;
  const auto begin = static_cast<uint16_t>(offset);
  const auto end = static_cast<uint16_t>(offset + bytes.size());

  // Ranges that overlap or touch the new one become one with it.
  const auto known = std::span(ranges_).first(count_);
  const auto first = std::ranges::find_if(known, [&](Range range) { return range.end >= begin; });
  auto last = first;
  for (; last != known.end() && last->begin <= end; ++last) {
    const auto from = std::max(begin, last->begin);
    const auto to = std::min(end, last->end);
    if (from < to && std::memcmp(&buffer[from], &bytes[size_t{from} - begin], to - from) != 0) {
      return InspectFault::quic_crypto_conflict;
    }
  }
  std::ranges::copy(bytes, buffer.begin() + begin);

  if (first == last) {
    if (count_ == kMaxCryptoRanges) return InspectFault::quic_too_many_gaps;
    const auto at = static_cast<size_t>(first - known.begin());
    std::copy_backward(ranges_.begin() + at, ranges_.begin() + count_,
                       ranges_.begin() + count_ + 1);
    ranges_[at] = {begin, end};
    ++count_;
    return InspectFault::none;
  }
  first->begin = std::min(first->begin, begin);
  first->end = std::max((last - 1)->end, end);
  const auto kept_end = std::copy(last, known.end(), first + 1);
  count_ = static_cast<uint32_t>(kept_end - known.begin());
  return InspectFault::none;
}

uint32_t CryptoStream::contiguous_end(uint32_t from) const noexcept {
  for (const Range range : std::span(ranges_).first(count_)) {
    if (range.begin <= from && from < range.end) return range.end;
  }
  return from;
}

}  // namespace sallyport
