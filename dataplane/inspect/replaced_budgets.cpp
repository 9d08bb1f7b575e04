#include "dataplane/inspect/replaced_budgets.h"

#include <algorithm>

namespace sallyport {
namespace {

// Before the first part: no packet that waits reaches back as far.
constexpr uint32_t kReach = 1U << 20;

bool is_before(uint32_t a, uint32_t b) noexcept {
  return sequence_distance(a, b) > 0;
}

}  // namespace

void ReplacedBudgets::Due::take_out(BudgetHandle handle) noexcept {
  const auto end = handles.begin() + count;
  count -= static_cast<unsigned>(end - std::remove(handles.begin(), end, handle));
}

void ReplacedBudgets::replace(BudgetHandle before, uint32_t position) noexcept {
  const uint32_t from = in_use_ ? own_from_ : position - kReach;
  own_from_ = position;
  in_use_ = true;
  if (before == kNoBudget) return;
  if (count_ == parts_.size()) join_parts();
  const auto parts = std::span(parts_).first(count_);
  if (count_ == parts_.size()) {
    const auto same = std::ranges::find(parts, before, &Part::handle);
    too_many_ |= same == parts.end();
    if (same != parts.end()) same->to = position;
    return;
  }
  parts_[count_++] = {.handle = before, .from = from, .to = position};
}

void ReplacedBudgets::Due::put_in(BudgetHandle handle) noexcept {
  if (std::ranges::count(all(), handle) != 0) return;
  too_many |= count == handles.size();
  if (!too_many) handles[count++] = handle;
}

// They stand in the order of their starts.
void ReplacedBudgets::join_parts() noexcept {
  uint8_t kept = 0;
  for (const Part& part : parts_) {
    const auto before = std::span(parts_).first(kept);
    const auto same = std::ranges::find(before, part.handle, &Part::handle);
    if (same == before.end()) {
      parts_[kept++] = part;
    } else if (is_before(same->to, part.to)) {
      same->to = part.to;
    }
  }
  count_ = kept;
}

ReplacedBudgets::Due ReplacedBudgets::due(uint32_t first, uint32_t end) const noexcept {
  Due due;
  if (!in_use_ || first == end) return due;  // a FIN alone belongs to the last
  due.own = is_before(own_from_, end);
  due.too_many = too_many_;
  for (const Part& part : std::span(parts_).first(count_)) {
    const bool holds = is_before(first, part.to) && is_before(part.from, end);
    if (!holds || std::ranges::count(due.all(), part.handle) != 0) continue;
    due.handles[due.count++] = part.handle;
  }
  return due;
}

void ReplacedBudgets::forget_before(uint32_t position) noexcept {
  if (!in_use_) return;
  if (!is_before(position, own_from_)) return forget_all();
  const auto parts = std::span(parts_).first(count_);
  const auto over =
      std::ranges::remove_if(parts, [&](const Part& p) { return !is_before(position, p.to); });
  count_ = static_cast<uint8_t>(count_ - over.size());
}

}  // namespace sallyport
