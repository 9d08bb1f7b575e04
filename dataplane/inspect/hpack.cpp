#include "dataplane/inspect/hpack.h"

#include <algorithm>
#include <cstring>

#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

// No text that fits the table needs more than twice its 4,096 bytes, unless made to.
constexpr size_t kMaxTableBlockBytes = 8192;

}  // namespace

HpackDecoder::HpackDecoder() noexcept
    : hooks_{.mem_user_data = this,
             .malloc = allocate,
             .free = release,
             .calloc = allocate_zeroed,
             .realloc = reallocate} {
  table_ = FixedHeap(memory_);
  // Cannot fail: the memory is fresh, and the library wants about 1.5 KiB of it.
  if (nghttp2_hd_inflate_new2(&inflater_, &hooks_) != 0) inflater_ = nullptr;
}

void HpackDecoder::begin_block(HpackPassing& passing) noexcept {
  passing_ = FixedHeap(passing.bytes);
}

HpackDecoder::Step HpackDecoder::next(std::span<const uint8_t>& fragment, bool last,
                                      HpackField& out) noexcept {
  if (inflater_ == nullptr) return Step::fault;
  for (;;) {
    nghttp2_nv field{};
    int flags = NGHTTP2_HD_INFLATE_NONE;
    const auto taken = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, fragment.data(),
                                              fragment.size(), last ? 1 : 0);
    if (taken < 0) return Step::fault;
    fragment = fragment.subspan(static_cast<size_t>(taken));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      out.name = text_of(field.name, field.namelen);
      out.value = text_of(field.value, field.valuelen);
      return Step::field;
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0 || fragment.empty()) return Step::end;
  }
}

bool HpackDecoder::end_block() noexcept {
  nghttp2_hd_inflate_end_headers(inflater_);
  // What is left there went into the table, and the next worker's call would overwrite it.
  const bool clean = passing_.blocks_in_use() == 0;
  passing_ = FixedHeap();
  return clean;
}

void* HpackDecoder::allocate(size_t size, void* self) noexcept {
  auto& decoder = *static_cast<HpackDecoder*>(self);
  auto& heap = size > kMaxTableBlockBytes ? decoder.passing_ : decoder.table_;
  return heap.allocate(size);
}

void* HpackDecoder::allocate_zeroed(size_t count, size_t size, void* self) noexcept {
  if (size != 0 && count > kHpackPassingBytes / size) return nullptr;
  void* const block = allocate(count * size, self);
  if (block != nullptr) std::memset(block, 0, count * size);
  return block;
}

void* HpackDecoder::reallocate(void* block, size_t size, void* self) noexcept {
  void* const moved = allocate(size, self);
  if (moved == nullptr || block == nullptr) return moved;
  std::memcpy(moved, block, std::min(size, FixedHeap::usable_bytes(block)));
  release(block, self);
  return moved;
}

void HpackDecoder::release(void* block, void* self) noexcept {
  if (block == nullptr) return;
  auto& decoder = *static_cast<HpackDecoder*>(self);
  auto& heap = decoder.table_.owns(block) ? decoder.table_ : decoder.passing_;
  heap.free(block);
}

}  // namespace sallyport
