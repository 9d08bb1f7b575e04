#include "control/top/top_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace sallyport {
namespace {

constexpr size_t kPageLines = 10;

double sort_value(const TopCore& core, TopSort sort) {
  switch (sort) {
    case TopSort::core:
    case TopSort::count_:
      return core.core;
    case TopSort::packets:
      return core.packets.per_second;
    case TopSort::bits:
      return core.bytes.per_second;
    case TopSort::busy:
      return core.busy_ratio.value_or(-1);
    case TopSort::drops:
      return core.drops.per_second;
    case TopSort::latency:
      return core.latency.p99;
    case TopSort::to_verdict:
      return core.time_to_verdict.p99;
    case TopSort::verdicts:
      return core.verdicts.per_second;
    case TopSort::pending:
      return static_cast<double>(core.pending_flows);
    case TopSort::held:
      return static_cast<double>(core.held_packets);
  }
  return 0;
}

template <typename Sort>
void sort_by_next(Sort& sort, int step) {
  constexpr int kCount = static_cast<int>(Sort::count_);
  sort = static_cast<Sort>((static_cast<int>(sort) + step + kCount) % kCount);
}

void sort_by_next(TopView& view, int step) {
  if (view.page == TopPage::rules) return sort_by_next(view.rule_sort, step);
  sort_by_next(view.sort, step);
}

void reverse(TopView& view) {
  bool& reversed = view.page == TopPage::rules ? view.rules_reversed : view.reversed;
  reversed = !reversed;
}

void move_by(TopView& view, ptrdiff_t lines, const TopModel& model) {
  if (view.page != TopPage::overview) {
    const auto scroll = static_cast<ptrdiff_t>(view.scroll) + lines;
    view.scroll = static_cast<size_t>(std::max<ptrdiff_t>(scroll, 0));
    return;
  }
  const auto order = order_of(model, view);
  if (order.empty()) return;
  const auto at = static_cast<ptrdiff_t>(position_of_selected(model, view, order)) + lines;
  const auto last = static_cast<ptrdiff_t>(order.size()) - 1;
  view.selected = model.cores[order[static_cast<size_t>(std::clamp<ptrdiff_t>(at, 0, last))]].core;
}

void open_core(TopView& view, const TopModel& model) {
  const auto order = order_of(model, view);
  if (view.page != TopPage::overview || order.empty()) return;
  view.selected = model.cores[order[position_of_selected(model, view, order)]].core;
  view.page = TopPage::core;
  view.scroll = 0;
}

void go_back(TopView& view) {
  if (view.page == TopPage::help) {
    view.page = view.behind_help;
  } else {
    view.page = view.page == TopPage::rules ? view.behind_rules : TopPage::overview;
  }
  view.scroll = 0;
}

void toggle_rules(TopView& view) {
  if (view.page == TopPage::help) return;
  if (view.page == TopPage::rules) return go_back(view);
  view.behind_rules = view.page;
  view.page = TopPage::rules;
  view.scroll = 0;
}

void toggle_help(TopView& view) {
  if (view.page == TopPage::help) return go_back(view);
  view.behind_help = view.page;
  view.page = TopPage::help;
  view.scroll = 0;
}

}  // namespace

std::string_view to_string(TopSort sort) {
  constexpr std::array<std::string_view, static_cast<size_t>(TopSort::count_)> kNames{
      "CORE",        "PKT/s",          "BIT/s",  "BUSY%", "DROP/s",
      "LATENCY p99", "TO VERDICT p99", "VERD/s", "PEND",  "HELD"};
  return sort < TopSort::count_ ? kNames[static_cast<size_t>(sort)] : "";
}

std::string_view to_string(TopRuleSort sort) {
  constexpr std::array<std::string_view, static_cast<size_t>(TopRuleSort::count_)> kNames{
      "HITS/s", "TOTAL", "RULE"};
  return sort < TopRuleSort::count_ ? kNames[static_cast<size_t>(sort)] : "";
}

TopView after_key(TopView view, TopKey key, const TopModel& model) {
  switch (key) {
    case TopKey::up:
      move_by(view, -1, model);
      break;
    case TopKey::down:
      move_by(view, 1, model);
      break;
    case TopKey::page_up:
      move_by(view, -static_cast<ptrdiff_t>(kPageLines), model);
      break;
    case TopKey::page_down:
      move_by(view, kPageLines, model);
      break;
    case TopKey::enter:
      open_core(view, model);
      break;
    case TopKey::back:
      go_back(view);
      break;
    case TopKey::sort_left:
    case TopKey::sort_right:
      sort_by_next(view, key == TopKey::sort_left ? -1 : 1);
      break;
    case TopKey::reverse:
      reverse(view);
      break;
    case TopKey::pause:
      view.paused = !view.paused;
      break;
    case TopKey::rules:
      toggle_rules(view);
      break;
    case TopKey::help:
      toggle_help(view);
      break;
    case TopKey::quit:
      view.quit = true;
      break;
    case TopKey::other:
      break;
  }
  return view;
}

std::vector<size_t> order_of(const TopModel& model, const TopView& view) {
  std::vector<size_t> order(model.cores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const bool ascending = (view.sort == TopSort::core) != view.reversed;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const double left = sort_value(model.cores[a], view.sort);
    const double right = sort_value(model.cores[b], view.sort);
    return ascending ? left < right : left > right;
  });
  return order;
}

size_t position_of_selected(const TopModel& model, const TopView& view,
                            const std::vector<size_t>& order) {
  if (!view.selected) return 0;
  const auto found =
      std::ranges::find(order, *view.selected, [&](size_t i) { return model.cores[i].core; });
  return found == order.end() ? 0 : static_cast<size_t>(found - order.begin());
}

}  // namespace sallyport
