#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <set>
#include <span>

#include "control/common/number_text.h"
#include "control/common/system.h"
#include "control/top/top_help.h"
#include "control/top/top_panes.h"
#include "control/top/top_rules.h"
#include "control/top/top_text.h"
#include "control/top/top_view.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

constexpr size_t kWide = 120;
constexpr size_t kPaneGap = 3;
constexpr size_t kNarrowPaneGap = 4;
constexpr size_t kHeadingLines = 4;  ///< Three lines of words, and a blank one.
constexpr size_t kLeastPaneLines = 7;

/// One column of the table of cores.
struct Column {
  std::string group;  ///< Over the heading; the same for columns that belong together.
  std::string title;
  size_t width = 0;
  TopSort sort = TopSort::count_;  ///< count_: it cannot be sorted by.
  std::function<std::string(const TopCore&)> text;
};

std::string revision_or_none(uint64_t revision) {
  return revision == 0 ? "none" : revision_text(revision);
}

Column quantile_column(std::string group, const char* title, TopQuantiles TopCore::* of,
                       double TopQuantiles::* value, TopSort sort = TopSort::count_) {
  return {std::move(group), title, kFigureWidth, sort, [of, value](const TopCore& core) {
            return quantile_text(core.*of, core.*of.*value, StatsUnit::nanoseconds);
          }};
}

std::vector<Column> columns_of(const TopModel& model, bool wide) {
  const auto rate = [known = model.seconds > 0](double value) {
    return rate_text(known ? value : std::numeric_limits<double>::quiet_NaN());
  };
  constexpr auto kLatency = &TopCore::latency;
  constexpr auto kVerdict = &TopCore::time_to_verdict;
  std::vector<Column> out{
      {"", "PKT/s", 6, TopSort::packets,
       [rate](const TopCore& core) { return rate(core.packets.per_second); }},
      {"", "BIT/s", 6, TopSort::bits,
       [rate](const TopCore& core) { return rate(core.bytes.per_second * 8); }},
      {"POLLS", "BUSY%", 5, TopSort::busy,
       [](const TopCore& core) { return share_text(core.busy_ratio); }},
      {"", "DROP/s", 6, TopSort::drops,
       [rate](const TopCore& core) { return rate(core.drops.per_second); }},
      quantile_column("PACKET LATENCY", "p50", kLatency, &TopQuantiles::p50),
      quantile_column("PACKET LATENCY", "p99", kLatency, &TopQuantiles::p99, TopSort::latency),
      quantile_column("PACKET LATENCY", "p99.9", kLatency, &TopQuantiles::p999)};
  const std::string verdict = wide ? "TIME TO VERDICT" : "TO VERDICT";
  if (wide) out.push_back(quantile_column(verdict, "p50", kVerdict, &TopQuantiles::p50));
  out.push_back(quantile_column(verdict, "p99", kVerdict, &TopQuantiles::p99, TopSort::to_verdict));
  if (wide) out.push_back(quantile_column(verdict, "p99.9", kVerdict, &TopQuantiles::p999));
  out.push_back({"", "VERD/s", 6, TopSort::verdicts,
                 [rate](const TopCore& core) { return rate(core.verdicts.per_second); }});
  out.push_back({"FLOWS", "PEND", 5, TopSort::pending,
                 [](const TopCore& core) { return total_text(core.pending_flows, 5); }});
  out.push_back({"PKTS", "HELD", 5, TopSort::held,
                 [](const TopCore& core) { return total_text(core.held_packets, 5); }});
  if (!wide) return out;
  out.push_back({"", "REVISION", 12, TopSort::count_, [](const TopCore& core) {
                   return fitted(core.all ? "" : revision_or_none(core.revision), 12);
                 }});
  return out;
}

/// Three lines that stand on every page.
void put_head(Screen& screen, const TopModel& model, const TopView& view) {
  screen.put(0, 0, "sallyport top", Emphasis::title);
  const bool running = model.state == TopState::running;
  screen.put(0, 15, to_string(model.state), running ? Emphasis::good : Emphasis::alarm);
  std::string who;
  if (model.pid != 0) who = fmt::format(", {}pid {}", running ? "" : "was ", model.pid);
  if (running) who += ", up " + duration_text(model.uptime_ns);
  screen.put(0, 15 + to_string(model.state).size(), who);
  // Of the date and time in UTC the time.
  std::string when = utc_text(model.taken_unix_ns / 1'000'000'000).substr(11);
  when += model.seconds > 0 ? fmt::format(" over {:4.1f} s", model.seconds) : " over    - s";
  if (view.paused) when = "PAUSED  " + when;
  screen.put(0, screen.width() - std::min(screen.width(), when.size()), when);
  if (!model.problem.empty()) return;

  std::set<uint64_t> revisions;
  uint64_t generation = 0;
  for (const TopCore& core : model.cores) {
    revisions.insert(core.revision);
    generation = std::max(generation, core.generation);
  }
  std::string policy = "policy none";
  if (revisions.size() > 1) policy = "policy differs by core";
  if (revisions.size() == 1 && *revisions.begin() != 0) {
    policy = fmt::format("policy {}, generation {}", revision_text(*revisions.begin()), generation);
  }
  policy += model.identity_revision == 0
                ? "   no identities"
                : fmt::format("   identities {}, {} addresses",
                              revision_text(model.identity_revision), model.identity_addresses);
  screen.put(1, 0, policy);
  if (model.alarms.empty()) {
    screen.put(2, 0, model.seconds > 0 ? "no alarms" : "measuring ...", Emphasis::quiet);
    return;
  }
  const size_t more = model.alarms.size() - 1;
  const std::string tail = more == 0 ? "" : fmt::format(" (and {} more: ? has all)", more);
  const size_t room = screen.width() - 2 - tail.size();
  const std::string& first = model.alarms.front();
  screen.put(2, 0, "! " + (first.size() > room ? fitted(first, room) : first) + tail,
             Emphasis::alarm);
}

void put_foot(Screen& screen, std::string_view keys, const std::string& says) {
  const size_t row = screen.height() - 1;
  screen.put(row, 0, keys, Emphasis::quiet);
  screen.put(row, screen.width() - std::min(screen.width(), says.size()), says);
}

void put_column_heads(Screen& screen, const std::vector<Column>& columns, const TopView& view) {
  screen.put(kHeadingLines, 1, "CORE",
             view.sort == TopSort::core ? Emphasis::selected : Emphasis::title);
  size_t at = 6;
  for (size_t i = 0; i < columns.size(); ++i) {
    const Column& column = columns[i];
    if (!column.group.empty() && (i == 0 || columns[i - 1].group != column.group)) {
      screen.put(kHeadingLines - 1, at, column.group, Emphasis::quiet);
    }
    const bool sorted = column.sort == view.sort;
    const std::string title = fmt::format("{:>{}}", column.title, column.width);
    screen.put(kHeadingLines, at, title, sorted ? Emphasis::selected : Emphasis::title);
    at += column.width + 1;
  }
}

std::string row_text(const std::vector<Column>& columns, const TopCore& core,
                     const std::string& name) {
  std::string line = name;
  for (const Column& column : columns) line += ' ' + column.text(core);
  return line;
}

/// @return the row behind the table.
size_t put_cores(Screen& screen, const TopModel& model, const TopView& view, std::string& shown) {
  const auto columns = columns_of(model, screen.width() >= kWide);
  put_column_heads(screen, columns, view);
  const auto order = order_of(model, view);
  const size_t selected = position_of_selected(model, view, order);
  size_t row = kHeadingLines + 1;
  const size_t room = screen.height() - row - 1 - kLeastPaneLines - 2;
  const size_t count = std::min(order.size(), room);
  const size_t first = selected < count ? 0 : selected - count + 1;
  for (size_t i = first; i < first + count; ++i, ++row) {
    const TopCore& core = model.cores[order[i]];
    const std::string name =
        fmt::format("{}{}{:>3}", i == selected ? '>' : ' ', core.stalled ? '!' : ' ', core.core);
    const Emphasis usual = core.stalled ? Emphasis::alarm : Emphasis::none;
    screen.put(row, 0, row_text(columns, core, name), i == selected ? Emphasis::selected : usual);
  }
  screen.put(row++, 0, row_text(columns, model.total, "TOTAL"), Emphasis::title);
  if (count < order.size()) {
    shown = fmt::format("cores {}-{} of {}, ", first + 1, first + count, order.size());
  }
  return row;
}

size_t pane_gap(const Screen& screen) {
  return screen.width() >= kWide ? kPaneGap : kNarrowPaneGap;
}

/// Panes beside one another, from line `scroll` of them on, down to the row before the last.
/// `cut_says`: of each, what shows the rest.
void put_panes(Screen& screen, size_t row, const std::vector<Pane>& panes, size_t scroll,
               std::span<const std::string_view> cut_says) {
  const size_t rows = screen.height() - 1 - row;
  for (size_t p = 0; p < panes.size(); ++p) {
    const size_t column = p * (kPaneWidth + pane_gap(screen));
    const Pane& pane = panes[p];
    for (size_t i = 0; i < rows && scroll + i < pane.size(); ++i) {
      const bool cut = p < cut_says.size() && i + 1 == rows && scroll + rows < pane.size();
      const size_t more = pane.size() - scroll - rows + 1;
      if (cut) {
        screen.put(row + i, column, fmt::format("{} more: {}", more, cut_says[p]), Emphasis::quiet);
      } else {
        screen.put(row + i, column, pane[scroll + i].text, pane[scroll + i].emphasis);
      }
    }
  }
}

void append(Pane& to, const Pane& pane) {
  if (!to.empty()) to.push_back({});
  to.insert(to.end(), pane.begin(), pane.end());
}

void render_overview(Screen& screen, const TopModel& model, const TopView& view) {
  std::string shown;
  const size_t row = put_cores(screen, model, view, shown) + 1;
  std::vector<Pane> panes{drops_pane(model, model.total, false), verdicts_pane(model, model.total)};
  if (const Pane rules = hit_rules_pane(model, model.total); !rules.empty()) {
    append(panes[1], rules);
  }
  if (screen.width() >= kWide) panes.push_back(others_pane(model, model.total));
  constexpr std::string_view kZoom = "Enter zooms into a core";
  put_panes(screen, row, panes, 0, std::array{kZoom, std::string_view("u lists rules"), kZoom});
  const bool usual = (view.sort == TopSort::core) != view.reversed;
  put_foot(screen, "?help q:quit Enter:zoom u:rules <>:sort r:reverse",
           fmt::format("{}by {}, {} first", shown, to_string(view.sort), usual ? "least" : "most"));
}

/// @return the scroll that was possible.
size_t put_scrolled(Screen& screen, size_t row, const std::vector<Pane>& panes, size_t scroll) {
  size_t lines = 0;
  for (const Pane& pane : panes) lines = std::max(lines, pane.size());
  const size_t rows = screen.height() - 1 - row;
  scroll = std::min(scroll, lines > rows ? lines - rows : 0);
  put_panes(screen, row, panes, scroll, {});
  put_foot(screen, "?help q:quit Esc:back Up/Down PgUp/PgDn:scroll",
           fmt::format("lines {}-{} of {}", scroll + 1, std::min(lines, scroll + rows), lines));
  return scroll;
}

void render_core(Screen& screen, const TopModel& model, TopView& view) {
  const auto order = order_of(model, view);
  if (order.empty()) return;
  const TopCore& core = model.cores[order[position_of_selected(model, view, order)]];
  const std::string busy =
      core.busy_ratio ? fmt::format("{:5.1f}%", *core.busy_ratio * 100) : "    - ";
  screen.put(kHeadingLines, 0,
             fmt::format("CORE {}  {}, heartbeat {} ago, busy {}, policy {}", core.core,
                         core.stalled ? "STALLED" : "running", duration_text(core.heartbeat_age_ns),
                         busy, revision_or_none(core.revision)),
             core.stalled ? Emphasis::alarm : Emphasis::title);
  Pane left = quantiles_pane(model, core);
  append(left, ports_pane(model, core));
  append(left, verdicts_pane(model, core));
  append(left, gauges_pane(model, core));
  std::vector<Pane> panes{std::move(left), drops_pane(model, core, true)};
  if (screen.width() >= kWide) {
    panes.push_back(others_pane(model, core));
  } else {
    append(panes[0], others_pane(model, core));
  }
  view.scroll = put_scrolled(screen, kHeadingLines + 2, panes, view.scroll);
}

void render_rules(Screen& screen, const TopModel& model, TopView& view) {
  const TopCore* core = core_of_rules(model, view);
  Pane pane = rules_pane(model, core == nullptr ? model.total : *core, view, screen.width());
  const std::string whose = core == nullptr ? "all cores" : fmt::format("core {}", core->core);
  const bool most = (view.rule_sort != TopRuleSort::name) != view.rules_reversed;
  screen.put(kHeadingLines, 0,
             fmt::format("RULES BY HITS of {}, by {}, {} first; < > and r sort", whose,
                         to_string(view.rule_sort), most ? "most" : "least"),
             Emphasis::title);
  screen.put(kHeadingLines + 2, 0, pane.front().text, pane.front().emphasis);
  pane.erase(pane.begin());
  view.scroll = put_scrolled(screen, kHeadingLines + 3, {pane}, view.scroll);
}

void render_help(Screen& screen, const TopModel& model, TopView& view) {
  Pane pane;
  for (const std::string& alarm : model.alarms) {
    pane.push_back({.text = "! " + alarm, .emphasis = Emphasis::alarm});
  }
  if (!pane.empty()) pane.emplace_back();
  for (const std::string_view line : kTopHelp) {
    const bool heading = !line.empty() && line[0] != ' ';
    pane.push_back(
        {.text = std::string(line), .emphasis = heading ? Emphasis::title : Emphasis::none});
  }
  view.scroll = put_scrolled(screen, kHeadingLines, {pane}, view.scroll);
}

void put_wrapped(Screen& screen, size_t row, std::string_view text) {
  while (!text.empty() && row + 1 < screen.height()) {
    size_t length = std::min(text.size(), screen.width());
    if (length < text.size()) {
      const size_t space = text.rfind(' ', length);
      if (space != std::string_view::npos && space != 0) length = space;
    }
    screen.put(row++, 0, text.substr(0, length));
    text.remove_prefix(length);
    if (text.starts_with(' ')) text.remove_prefix(1);
  }
}

}  // namespace

Screen render_top(const TopModel& model, TopView& view, size_t height, size_t width) {
  Screen screen(height, width);
  if (height < kLeastHeight || width < kLeastWidth) {
    put_wrapped(screen, 0,
                fmt::format("sallyport top needs {} columns and {} lines; this terminal has {} and "
                            "{}. Enlarge it, or q to quit.",
                            kLeastWidth, kLeastHeight, width, height));
    return screen;
  }
  put_head(screen, model, view);
  if (view.page == TopPage::help) {
    render_help(screen, model, view);
  } else if (!model.problem.empty()) {
    put_wrapped(screen, kHeadingLines, model.problem);
    put_foot(screen, "?help q:quit", "waiting for a data plane");
  } else if (view.page == TopPage::core) {
    render_core(screen, model, view);
  } else if (view.page == TopPage::rules) {
    render_rules(screen, model, view);
  } else {
    render_overview(screen, model, view);
  }
  return screen;
}

std::string top_text_page(const TopModel& model) {
  constexpr size_t kEnough = 400;  // 64 cores, and every reason and fault
  TopView view;
  Screen screen = render_top(model, view, kEnough, kWide);
  screen.lines.pop_back();
  while (!screen.lines.empty() && screen.lines.back().find_first_not_of(' ') == std::string::npos) {
    screen.lines.pop_back();
  }
  return screen.text();
}

}  // namespace sallyport
