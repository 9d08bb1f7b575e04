#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>

#include "policy/runtime/budget_state.h"
#include "policy/runtime/table_impl.h"

namespace sallyport {
namespace {

/// Which selectors each "key=value" is part of, and how many labels each selector needs.
class SelectorIndex {
 public:
  explicit SelectorIndex(const TableCore& core) {
    for (const fb::Selector* selector : *core.image->selectors()) {
      const auto index = static_cast<uint32_t>(needed_.size());
      needed_.push_back(selector->labels()->size());
      for (const auto* label : *selector->labels()) uses_[label->str()].push_back(index);
    }
    held_.resize(needed_.size());
  }

  /// The selectors that `labels` satisfy, sorted.
  std::vector<uint32_t> match(const LabelList& labels) {
    std::vector<uint32_t> touched;
    for (const auto& [key, value] : labels) {
      text_.assign(key).append("=").append(value);
      const auto uses = uses_.find(text_);
      if (uses == uses_.end()) continue;
      for (const uint32_t selector : uses->second) {
        if (held_[selector]++ == 0) touched.push_back(selector);
      }
    }
    std::vector<uint32_t> matched;
    for (const uint32_t selector : touched) {
      if (held_[selector] == needed_[selector]) matched.push_back(selector);
      held_[selector] = 0;
    }
    std::ranges::sort(matched);
    return matched;
  }

 private:
  std::unordered_map<std::string, std::vector<uint32_t>> uses_;
  std::vector<uint32_t> needed_;
  std::vector<uint32_t> held_;
  std::string text_;
};

void append_clauses(SetView set, std::vector<uint32_t>& out) {
  for (uint32_t i = set.first(); i < set.end(); ++i) {
    for (uint64_t summary = set.summary(i); summary != 0; summary &= summary - 1) {
      const uint32_t w = i * 64 + static_cast<uint32_t>(std::countr_zero(summary));
      for (uint64_t word = set.word(w); word != 0; word &= word - 1) {
        out.push_back(w * 64 + static_cast<uint32_t>(std::countr_zero(word)));
      }
    }
  }
}

}  // namespace

IdentityBinding::IdentityBinding(const TableCore& core, const IdentityFeed& feed) {
  const auto selector_sets = core.conditions[kLabelsCondition].sets;
  SelectorIndex selectors(core);
  std::map<std::vector<uint32_t>, uint32_t> known;  // Matched selectors to their set.
  std::vector<uint32_t> sets_of_lists;
  sets_of_lists.reserve(feed.label_lists.size());
  for (const LabelList& labels : feed.label_lists) {
    const auto [at, added] = known.try_emplace(selectors.match(labels), 0);
    if (added) {
      std::vector<uint32_t> clauses;
      for (const uint32_t selector : at->first) {
        append_clauses(core.set(selector_sets[selector]), clauses);
      }
      std::ranges::sort(clauses);
      const auto repeated = std::ranges::unique(clauses);
      clauses.erase(repeated.begin(), repeated.end());
      at->second = pool_.add(clauses);
    }
    sets_of_lists.push_back(at->second);
    labels_.push_back(labels_text(labels));
  }
  // Addresses ascend as bytes, and so do their keys.
  addresses_.reserve(feed.entries.size());
  address_sets_.reserve(feed.entries.size());
  address_labels_.reserve(feed.entries.size());
  for (const IdentityFeed::Entry& entry : feed.entries) {
    addresses_.push_back(key_of(entry.address));
    address_sets_.push_back(sets_of_lists[entry.labels]);
    address_labels_.push_back(entry.labels);
  }
  for (const SetPool::Summary& one : pool_.summaries()) {
    summaries_.emplace_back(one.bits, one.words, 0);
  }
  for (const SetPool::Set& one : pool_.sets()) {
    sets_.emplace_back(one.summary, one.first, one.count);
  }
}

SetView IdentityBinding::find(AddressKey source) const noexcept {
  const auto at = std::ranges::lower_bound(addresses_, source);
  if (at == addresses_.end() || *at != source) return {fb::Set(0, 0, 0), nullptr, nullptr};
  const uint32_t set = address_sets_[static_cast<size_t>(at - addresses_.begin())];
  return {sets_[set], summaries_.data(), pool_.words().data()};
}

std::string_view IdentityBinding::labels(AddressKey source) const noexcept {
  const auto at = std::ranges::lower_bound(addresses_, source);
  if (at == addresses_.end() || *at != source) return {};
  return labels_[address_labels_[static_cast<size_t>(at - addresses_.begin())]];
}

}  // namespace sallyport
