#include "dataplane/inspect/http2_streams.h"

#include <algorithm>

namespace sallyport {

uint8_t Http2Streams::request_of(uint32_t stream) const noexcept {
  const auto at = std::ranges::find(ids(), stream);
  if (at != ids().end()) return requests_[static_cast<size_t>(at - ids().begin())];
  return lost_ != 0 ? kLost : kNone;
}

void Http2Streams::open(uint32_t stream) noexcept {
  if (count_ == kMostStreams) lose_one();
  ids_[count_] = stream;
  requests_[count_] = newest_;
  ++count_;
  ++open_[newest_];
}

void Http2Streams::end(uint32_t stream) noexcept {
  const auto at = std::ranges::find(ids(), stream);
  if (at != ids().end()) remove(static_cast<size_t>(at - ids().begin()));
}

// The oldest of a request that has lost one already, so that few have; else the oldest of all.
void Http2Streams::lose_one() noexcept {
  const auto all = std::span(requests_).first(count_);
  const auto again = std::ranges::find_if(all, [this](uint8_t r) { return has_lost(r); });
  const auto at = again != all.end() ? static_cast<size_t>(again - all.begin()) : 0;
  lost_ |= uint64_t{1} << requests_[at];
  remove(at);
}

void Http2Streams::remove(size_t index) noexcept {
  --open_[requests_[index]];
  std::copy(ids_.begin() + index + 1, ids_.begin() + count_, ids_.begin() + index);
  std::copy(requests_.begin() + index + 1, requests_.begin() + count_, requests_.begin() + index);
  --count_;
}

void Http2Streams::join(uint8_t from, uint8_t to) noexcept {
  std::ranges::replace(std::span(requests_).first(count_), from, to);
  open_[to] = static_cast<uint8_t>(open_[to] + open_[from]);
  open_[from] = 0;
  if (!has_lost(from)) return;
  lost_ &= ~(uint64_t{1} << from);
  lost_ |= uint64_t{1} << to;
}

}  // namespace sallyport
