#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "policy/runtime/table.h"

namespace sallyport {

/// What the rules of recent tables are called, for records of flows that outlive their table.
/// Written by the control thread, read by the log writer; no worker comes here.
class PolicyNames {
 public:
  static constexpr size_t kGenerationsKept = 16;

  struct Found {
    uint64_t revision = 0;  ///< 0: the generation is no longer known.
    std::string policy;
    std::string rule;  ///< Empty: no rule decided.
    Tier tier{};
    PolicyMode mode{};
  };

  void add(uint32_t generation, const PolicyTable& table);
  Found find(uint32_t generation, uint32_t rule) const;

 private:
  struct Names {
    uint64_t revision = 0;
    std::vector<Found> rules;
  };

  mutable std::mutex mutex_;
  std::map<uint32_t, Names> generations_;
};

}  // namespace sallyport
