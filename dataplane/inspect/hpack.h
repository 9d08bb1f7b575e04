#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/inspect/fixed_heap.h"

namespace sallyport {

/// Memory of one connection for its dynamic table, which holds at most 4,096 bytes as HPACK counts
/// them (RFC 7541 section 4.1). The library needs up to four times that for many small entries.
inline constexpr size_t kHpackConnectionBytes = size_t{1} << 15;
/// Memory for fields too long for the table, while they are decoded: one a worker.
inline constexpr size_t kHpackPassingBytes = size_t{160} << 10;

struct alignas(16) HpackPassing {
  std::array<std::byte, kHpackPassingBytes> bytes;
};

struct HpackField {
  std::string_view name;  ///< Until the next call.
  std::string_view value;
};

/// Decodes the header blocks of one HTTP/2 connection in order (RFC 7541), by libnghttp2 in memory
/// of its own: nothing comes from the process's heap. May not move, since the library points into
/// it.
///
/// When the memory does not suffice, decoding fails like a broken block: the connection is at
/// fault. That takes a table of values that Huffman-code to several times their length.
class HpackDecoder {
 public:
  enum class Step : uint8_t {
    field,  ///< `out` is the next field.
    end,    ///< All of the fragment is decoded.
    fault,  ///< Not HPACK, a table over 4,096 bytes, or out of memory. Never call it again.
  };

  HpackDecoder() noexcept;
  HpackDecoder(const HpackDecoder&) = delete;
  HpackDecoder& operator=(const HpackDecoder&) = delete;

  /// Before the first fragment of a block.
  /// @param passing  Any content; used until the block ends.
  void begin_block(HpackPassing& passing) noexcept;
  /// @param fragment  What is left of a fragment; moves behind what was decoded.
  /// @param last      The block ends with this fragment.
  Step next(std::span<const uint8_t>& fragment, bool last, HpackField& out) noexcept;
  /// Behind the last fragment.
  /// @return  False when decoding must not go on.
  [[nodiscard]] bool end_block() noexcept;

 private:
  static void* allocate(size_t size, void* self) noexcept;
  static void* allocate_zeroed(size_t count, size_t size, void* self) noexcept;
  static void* reallocate(void* block, size_t size, void* self) noexcept;
  static void release(void* block, void* self) noexcept;

  alignas(16) std::array<std::byte, kHpackConnectionBytes> memory_;
  FixedHeap table_;
  FixedHeap passing_;
  nghttp2_mem hooks_;
  nghttp2_hd_inflater* inflater_ = nullptr;
};

}  // namespace sallyport
