#pragma once

#include <hs/hs_runtime.h>
#include <image_generated.h>

#include <cstdlib>
#include <expected>
#include <memory>
#include <span>
#include <vector>

#include "policy/runtime/set_view.h"
#include "policy/runtime/table.h"

namespace sallyport {

/// Sorted interval starts and the set that holds from each; verified to start at zero.
struct AddressKey {
  uint64_t high = 0;
  uint64_t low = 0;
};

struct AddressLookup {
  uint32_t base = 0;
  std::span<const fb::Address> starts;
  std::span<const uint32_t> sets;

  uint32_t find(AddressKey key) const noexcept;
};

struct PortLookup {
  std::span<const uint16_t> starts;
  std::span<const uint32_t> sets;

  uint32_t find(uint16_t port) const noexcept;
};

/// Written once by load(), then only read, but for scratch[i], which worker i alone uses.
struct PolicyTable::Impl {
  struct FreeMemory {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };
  struct FreeDatabase {
    void operator()(hs_database_t* database) const noexcept { hs_free_database(database); }
  };
  struct FreeScratch {
    void operator()(hs_scratch_t* scratch) const noexcept { hs_free_scratch(scratch); }
  };

  std::unique_ptr<uint8_t, FreeMemory> payload;  ///< Everything below points into it.
  const fb::Image* image = nullptr;
  uint64_t revision = 0;

  std::span<const uint32_t> clause_rules;
  std::span<const fb::Set> sets;
  const fb::Summary* summaries = nullptr;
  const uint64_t* words = nullptr;
  AddressLookup source;
  AddressLookup destination;
  PortLookup tcp;
  PortLookup udp;
  std::span<const uint32_t> app_sets;
  std::span<const uint32_t> literal_sets;

  std::unique_ptr<hs_database_t, FreeDatabase> database;  ///< None when no rule names a host.
  std::vector<std::unique_ptr<hs_scratch_t, FreeScratch>> scratch;  ///< One a worker.

  SetView set(uint32_t index) const noexcept { return {sets[index], summaries, words}; }
};

/// Checks every index, order and range of a structurally sound image, so that decide() may follow
/// them blindly. Strings, too: rule names are plain.
bool check_content(const fb::Image& image) noexcept;

}  // namespace sallyport
