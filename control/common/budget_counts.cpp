#include "control/common/budget_counts.h"

#include <cerrno>

#include "control/common/system.h"

namespace sallyport {
namespace {

constexpr size_t kMostFileBytes = size_t{512} << 20;

}  // namespace

int64_t window_end(const BudgetCount& count) noexcept {
  return count.window_start + count.window_seconds;
}

BudgetStatus read_budget_status(const std::filesystem::path& path, uint64_t unix_seconds) {
  BudgetStatus out;
  const auto bytes = read_file(path, kMostFileBytes);
  if (!bytes) {
    if (bytes.error() != ENOENT) out.problem = path.string() + ": " + errno_text(bytes.error());
    return out;
  }
  auto counts = parse_budget_state({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
  if (!counts) {
    out.problem = path.string() + ": " + counts.error();
    return out;
  }
  std::erase_if(*counts, [&](const BudgetCount& count) {
    return window_end(count) <= static_cast<int64_t>(unix_seconds);
  });
  out.counts = std::move(*counts);
  return out;
}

}  // namespace sallyport
