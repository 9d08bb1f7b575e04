#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/top/top_model.h"
#include "control/top/top_screen.h"

namespace sallyport {

/// The least terminal that a page fits in.
inline constexpr size_t kLeastWidth = 80;
inline constexpr size_t kLeastHeight = 24;

enum class TopPage : uint8_t { overview, core, rules, help };

/// What the table of cores can be sorted by.
enum class TopSort : uint8_t {
  core,
  packets,
  bits,
  busy,
  drops,
  latency,
  to_verdict,
  verdicts,
  pending,
  held,
  count_
};

/// What the table of rules can be sorted by.
enum class TopRuleSort : uint8_t { rate, total, name, count_ };

/// "CORE", "PKT/s", …: the heading of its column.
std::string_view to_string(TopSort sort);
std::string_view to_string(TopRuleSort sort);

enum class TopKey : uint8_t {
  up,
  down,
  page_up,
  page_down,
  enter,
  back,
  sort_left,
  sort_right,
  reverse,
  pause,
  rules,
  help,
  quit,
  other,
};

/// What the one in front of it has chosen.
struct TopView {
  TopPage page = TopPage::overview;
  TopPage behind_help = TopPage::overview;
  TopPage behind_rules = TopPage::overview;  ///< The core's page: the rules of that core.
  TopSort sort = TopSort::core;
  bool reversed = false;  ///< Of what is usual: cores from the first, figures from the most.
  TopRuleSort rule_sort = TopRuleSort::rate;
  bool rules_reversed = false;       ///< Of what is usual: the most first, names from A.
  std::optional<uint32_t> selected;  ///< A core's id; none: the first of the table.
  size_t scroll = 0;                 ///< Lines of a long page that are above its top.
  bool paused = false;
  bool quit = false;
  double interval_seconds = 1;
};

TopView after_key(TopView view, TopKey key, const TopModel& model);

/// The cores of `model`, by their index, as the table lists them.
std::vector<size_t> order_of(const TopModel& model, const TopView& view);

/// Where in `order` the selected core stands; the first when it is not there.
size_t position_of_selected(const TopModel& model, const TopView& view,
                            const std::vector<size_t>& order);

/// The page that `view` asks for. A terminal that is too small for one is told so.
/// @param view  its scroll is brought within the page.
Screen render_top(const TopModel& model, TopView& view, size_t height, size_t width);

/// The overview for who prints it: every core, whatever the terminal, without hints on keys.
std::string top_text_page(const TopModel& model);

}  // namespace sallyport
