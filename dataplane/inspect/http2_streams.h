#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sallyport {

/// On which streams of an HTTP/2 connection its client may still send, and which request each
/// belongs to. Requests are places, given by whoever keeps what they were decided by; those of
/// streams that were allowed by the same share one.
///
/// A server may end a stream, too, which is not read: some of these may be over. So there can be
/// more than fit. Then a stream is lost: its request stays open as long as the connection lives.
class Http2Streams {
 public:
  static constexpr size_t kMostStreams = 128;
  static constexpr uint8_t kMostRequests = 64;
  static constexpr uint8_t kNone = 0xff;
  static constexpr uint8_t kLost = 0xfe;

  /// @param stream  One that the client has opened.
  /// @return the request that bytes on it belong to; kNone: the client has ended it; kLost: it may
  ///         be one of those that are lost.
  uint8_t request_of(uint32_t stream) const noexcept;

  /// The client has opened a stream, the highest so far, for the newest request.
  void open(uint32_t stream) noexcept;
  /// The client sends nothing more on it. One that is not open is ignored.
  void end(uint32_t stream) noexcept;

  /// Bytes of it may still come, or nothing newer was asked for.
  bool is_live(uint8_t request) const noexcept {
    return request == newest_ ||
           (request < kMostRequests && (open_[request] != 0 || has_lost(request)));
  }
  bool has_lost(uint8_t request) const noexcept { return (lost_ >> request & 1) != 0; }

  /// The last that was asked for. Until it is set all requests are one.
  uint8_t newest() const noexcept { return newest_; }
  void set_newest(uint8_t request) noexcept { newest_ = request; }
  /// The one that the client's next byte belongs to, unless a frame says otherwise.
  uint8_t current() const noexcept { return current_; }
  void set_current(uint8_t request) noexcept { current_ = request; }

  /// What belonged to `from` belongs to `to`.
  void join(uint8_t from, uint8_t to) noexcept;

 private:
  void lose_one() noexcept;
  void remove(size_t index) noexcept;
  std::span<const uint32_t> ids() const noexcept { return {ids_.data(), count_}; }

  // In the order in which they were opened.
  std::array<uint32_t, kMostStreams> ids_{};
  std::array<uint8_t, kMostStreams> requests_{};
  std::array<uint8_t, kMostRequests> open_{};  ///< Streams of each request that stand above.
  uint64_t lost_ = 0;                          ///< A bit for each request that has lost one.
  uint8_t count_ = 0;
  uint8_t newest_ = 0;
  uint8_t current_ = kNone;
  static_assert(kMostStreams <= UINT8_MAX && kMostRequests <= 64);
};

}  // namespace sallyport
