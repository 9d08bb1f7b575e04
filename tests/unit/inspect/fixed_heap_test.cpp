#include "dataplane/inspect/fixed_heap.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <vector>

using namespace sallyport;

namespace {

struct alignas(16) Memory {
  std::array<std::byte, 4096> bytes;
};

struct Block {
  unsigned char* at;
  size_t size;
  unsigned char mark;
};

}  // namespace

TEST_CASE("blocks never overlap and stay in the memory", "[fixed_heap]") {
  Memory memory;
  FixedHeap heap(memory.bytes);
  std::vector<Block> blocks;
  std::mt19937 random(7);
  for (unsigned turn = 0; turn < 20'000; ++turn) {
    if (random() % 2 == 0 || blocks.empty()) {
      const size_t size = random() % 300;
      auto* const at = static_cast<unsigned char*>(heap.allocate(size));
      if (at == nullptr) continue;
      REQUIRE(reinterpret_cast<uintptr_t>(at) % 16 == 0);
      REQUIRE(heap.owns(at));
      REQUIRE(FixedHeap::usable_bytes(at) >= size);
      REQUIRE(std::as_bytes(std::span(at, size)).data() + size <=
              memory.bytes.data() + memory.bytes.size());
      const auto mark = static_cast<unsigned char>(turn);
      std::memset(at, mark, size);
      blocks.push_back({at, size, mark});
    } else {
      const size_t which = random() % blocks.size();
      const Block block = blocks[which];
      REQUIRE(std::all_of(block.at, block.at + block.size,
                          [&](unsigned char byte) { return byte == block.mark; }));
      heap.free(block.at);
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(which));
    }
    REQUIRE(heap.blocks_in_use() == blocks.size());
  }
}

TEST_CASE("what was freed can be had again, in one piece", "[fixed_heap]") {
  Memory memory;
  FixedHeap heap(memory.bytes);
  std::vector<void*> blocks;
  while (void* const at = heap.allocate(48)) blocks.push_back(at);
  CHECK(blocks.size() == 4096 / 64);
  for (void* const at : blocks) heap.free(at);
  CHECK(heap.allocate(4096 - 16) != nullptr);
  CHECK(heap.allocate(0) == nullptr);
}

TEST_CASE("what does not fit is refused", "[fixed_heap]") {
  Memory memory;
  FixedHeap heap(memory.bytes);
  CHECK(heap.allocate(4096 - 15) == nullptr);
  CHECK(heap.allocate(SIZE_MAX) == nullptr);
  CHECK(heap.allocate(SIZE_MAX - 15) == nullptr);
  CHECK_FALSE(heap.owns(memory.bytes.data() + memory.bytes.size()));
  FixedHeap none;
  CHECK(none.allocate(0) == nullptr);
  CHECK_FALSE(none.owns(memory.bytes.data()));
}
