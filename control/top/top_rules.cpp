#include "control/top/top_rules.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "control/top/top_text.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

constexpr size_t kNameWidth = 22;
constexpr size_t kTotalWidth = 8;
constexpr size_t kLongTotalWidth = 12;
constexpr size_t kRevisionWidth = 12;

/// Of rows that are no rule's. No rule has such a name.
constexpr const char* kNoRuleName = "(no rule)";
constexpr const char* kNameless = "(rules beyond those counted each)";
constexpr const char* kForgotten = "(rules of an older policy)";

/// Turns two readings of one count into what is shown of it.
class Since {
 public:
  Since(const StatsRuleHits* before, const StatsRuleHits& after, double seconds)
      : before_(before), seconds_(seconds) {
    // Another policy's hits are no measure for these: all that there are have come since.
    goes_on_ = before != nullptr && before->whole && before->sequence == after.sequence;
  }

  TopCounter counter(uint64_t now, uint64_t then) const {
    TopCounter out{.total = now, .per_second = 0};
    if (before_ == nullptr || !before_->whole || seconds_ <= 0) return out;
    const uint64_t gained = goes_on_ ? now - std::min(now, then) : now;
    out.per_second = static_cast<double>(gained) / seconds_;
    return out;
  }
  uint64_t then(size_t rule) const { return goes_on_ ? before_->hits[rule] : 0; }
  uint64_t then_others() const { return goes_on_ ? before_->others : 0; }
  uint64_t then_no_rule() const { return goes_on_ ? before_->no_rule : 0; }

 private:
  const StatsRuleHits* before_;
  double seconds_;
  bool goes_on_ = false;
};

void add(TopCounter& to, const TopCounter& one) {
  to.total += one.total;
  to.per_second += one.per_second;
}

/// Everything that one core counted.
std::vector<TopRule> rules_of(const std::vector<StatsRules>& names, const StatsRuleHits& hits,
                              const Since& since) {
  std::vector<TopRule> out;
  if (!hits.whole) return out;
  const auto put = [&](std::string name, const TopCounter& value) {
    out.push_back({.name = std::move(name), .revision = hits.revision, .hits = value});
  };
  const auto of = std::ranges::find(names, hits.revision, &StatsRules::revision);
  if (of != names.end()) {
    for (size_t i = 0; i < of->names.size(); ++i) {
      put(of->names[i], since.counter(hits.hits[i], since.then(i)));
    }
    if (of->rules > of->names.size()) {
      put(kNameless, since.counter(hits.others, since.then_others()));
    }
  } else if (hits.revision != 0) {
    TopCounter all = since.counter(hits.others, since.then_others());
    for (size_t i = 0; i < hits.hits.size(); ++i) {
      add(all, since.counter(hits.hits[i], since.then(i)));
    }
    put(kForgotten, all);
  }
  put(kNoRuleName, since.counter(hits.no_rule, since.then_no_rule()));
  return out;
}

/// A rule of one revision is the same on each core; the order is that of the first core.
void merge(std::vector<TopRule>& to, const std::vector<TopRule>& one,
           std::map<std::pair<uint64_t, std::string>, size_t>& places) {
  for (const TopRule& rule : one) {
    const auto [place, is_new] = places.try_emplace({rule.revision, rule.name}, to.size());
    if (is_new) {
      to.push_back(rule);
    } else {
      add(to[place->second].hits, rule.hits);
    }
  }
}

std::string rate(const TopModel& model, double per_second) {
  return rate_text(model.seconds > 0 ? per_second : std::numeric_limits<double>::quiet_NaN());
}

/// By `sort`, the most first; what is equal stays in the policy's order.
std::vector<TopRule> sorted(std::vector<TopRule> rules, TopRuleSort sort, bool reversed) {
  const auto before = [sort](const TopRule& a, const TopRule& b) {
    switch (sort) {
      case TopRuleSort::rate:
        if (a.hits.per_second != b.hits.per_second) return a.hits.per_second > b.hits.per_second;
        return a.hits.total > b.hits.total;
      case TopRuleSort::total:
        return a.hits.total > b.hits.total;
      case TopRuleSort::name:
      case TopRuleSort::count_:
        break;
    }
    return a.name < b.name;
  };
  std::ranges::stable_sort(rules, [&](const TopRule& a, const TopRule& b) {
    return reversed ? before(b, a) : before(a, b);
  });
  return rules;
}

}  // namespace

void add_rules(TopModel& model, const StatsSnapshot* before, const StatsSnapshot& after) {
  std::map<std::pair<uint64_t, std::string>, size_t> places;
  for (size_t c = 0; c < after.cores.size(); ++c) {
    const StatsRuleHits& hits = after.cores[c].rules;
    const Since since(before == nullptr ? nullptr : &before->cores[c].rules, hits, model.seconds);
    model.cores[c].rules = rules_of(after.rules, hits, since);
    merge(model.total.rules, model.cores[c].rules, places);
  }
}

Pane hit_rules_pane(const TopModel& model, const TopCore& core) {
  std::vector<TopRule> rules = sorted(core.rules, TopRuleSort::rate, false);
  std::erase_if(rules, [](const TopRule& rule) { return rule.hits.total == 0; });
  if (rules.empty()) return {};
  Pane pane{{.text = fmt::format("{} {:<6} {:>8}", fitted("RULES BY HITS", kNameWidth), "    /s",
                                 "TOTAL"),
             .emphasis = Emphasis::title}};
  for (const TopRule& rule : rules) {
    pane.push_back({.text = fmt::format("{} {} {}", fitted(rule.name, kNameWidth),
                                        rate(model, rule.hits.per_second),
                                        total_text(rule.hits.total, kTotalWidth))});
  }
  return pane;
}

Pane rules_pane(const TopModel& model, const TopCore& core, const TopView& view, size_t width) {
  const size_t name_width = width - kFigureWidth - kLongTotalWidth - kRevisionWidth - 4;
  const auto line = [&](std::string_view name, std::string_view per_second, std::string_view total,
                        std::string_view revision) {
    return fmt::format("{} {:<{}} {:>{}}  {}", fitted(name, name_width), per_second, kFigureWidth,
                       total, kLongTotalWidth, fitted(revision, kRevisionWidth));
  };
  Pane pane{{.text = line("RULE", "HITS/s", "TOTAL", "REVISION"), .emphasis = Emphasis::title}};
  for (const TopRule& rule : sorted(core.rules, view.rule_sort, view.rules_reversed)) {
    pane.push_back({.text = line(rule.name, rate(model, rule.hits.per_second),
                                 total_text(rule.hits.total, kLongTotalWidth),
                                 rule.revision == 0 ? "none" : revision_text(rule.revision)),
                    .emphasis = rule.hits.total == 0 ? Emphasis::quiet : Emphasis::none});
  }
  return pane;
}

const TopCore* core_of_rules(const TopModel& model, const TopView& view) {
  if (view.behind_rules != TopPage::core || !view.selected) return nullptr;
  const auto found = std::ranges::find(model.cores, *view.selected, &TopCore::core);
  return found == model.cores.end() ? nullptr : &*found;
}

}  // namespace sallyport
