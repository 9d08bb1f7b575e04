#include "control/cli/flow_line.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace sallyport {
namespace {

constexpr size_t kTime = 8;
constexpr size_t kVerdict = 7;
constexpr size_t kBytes = 5;
constexpr size_t kId = 17;
constexpr size_t kClient = 15;

/// The columns that share what the fixed ones leave: client, destination, rule.
using Cells = std::array<std::string, 3>;
using Widths = std::array<size_t, 3>;

size_t fixed_width(const FlowLineStyle& style) {
  const size_t id = style.width >= kFlowLineWithId ? kId + 1 : 0;
  return kTime + 1 + kVerdict + 1 + 1 + 1 + 1 + kBytes + id;
}

Widths usual_widths(const FlowLineStyle& style) {
  const size_t shared = std::max<size_t>(style.width, kLeastFlowLine) - fixed_width(style);
  const size_t rule = (shared - kClient) * 2 / 5;
  return {kClient, shared - kClient - rule, rule};
}

/// A cell that needs more than its column takes what others of its line leave.
Widths fit(const Cells& cells, const FlowLineStyle& style) {
  Widths widths = usual_widths(style);
  size_t spare = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    spare += widths[i] - std::min(widths[i], cells[i].size());
  }
  for (size_t i = 0; i < cells.size() && spare > 0; ++i) {
    const size_t more = std::min(spare, cells[i].size() - std::min(cells[i].size(), widths[i]));
    if (more == 0) continue;
    widths[i] += more;
    spare -= more;
    // What it took is taken from the others, the last first.
    for (size_t k = cells.size(), owed = more; k-- > 0 && owed > 0;) {
      const size_t left = widths[k] - std::min(widths[k], cells[k].size());
      const size_t given = k == i ? 0 : std::min(owed, left);
      widths[k] -= given;
      owed -= given;
    }
  }
  return widths;
}

/// The end of a name says more than its middle, and so does its beginning.
std::string cut(std::string text, size_t width) {
  constexpr std::string_view kMark = "..";
  if (text.size() <= width) return text;
  const size_t kept = width - kMark.size();
  const size_t front = kept / 3;
  return text.substr(0, front) + std::string(kMark) + text.substr(text.size() - (kept - front));
}

std::string padded(const std::string& text, size_t width) {
  return fmt::format("{:<{}}", text, width);
}

std::string painted(const std::string& text, std::string_view sgr, const FlowLineStyle& style) {
  return style.colours ? fmt::format("\x1b[{}m{}\x1b[0m", sgr, text) : text;
}

struct VerdictWord {
  std::string text;
  std::string_view sgr;
};

VerdictWord verdict_of(const LoggedRecord& record) {
  if (record.event == LoggedEvent::start) return {"start", "2"};
  if (record.action == "deny") return {"deny", "31"};
  if (record.would_deny) return {"audit", "33"};
  if (record.action == "allow") return {"allow", "32"};
  return {cut(wire_text(record.action), kVerdict), "33"};
}

/// "pypi.org:443/tls", "203.0.113.9/icmp".
std::string destination_of(const LoggedRecord& record) {
  const bool ports = record.protocol == "TCP" || record.protocol == "UDP";
  const bool v6 = record.name.empty() && record.dest_ip.contains(':');
  std::string out = wire_text(record.name.empty() ? record.dest_ip : record.name);
  if (ports && v6) out = "[" + out + "]";
  if (ports) out += ":" + std::to_string(record.dest_port);
  std::string what = record.app;
  if (what.empty() || what == "unknown") {
    what = record.protocol;
    for (char& c : what) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
  }
  return out + "/" + wire_text(what);
}

/// "packages/pypi", "packages/pypi budget_exceeded", "default_deny", "malformed tls_truncated".
std::string cause_of(const LoggedRecord& record) {
  std::string out;
  if (!record.rule.empty()) out = wire_text(record.policy) + "/" + wire_text(record.rule);
  if (record.reason != "rule" && !record.reason.empty()) {
    out += (out.empty() ? "" : " ") + wire_text(record.reason);
  }
  if (!record.fault.empty()) out += " " + wire_text(record.fault);
  return out.empty() ? "-" : out;
}

/// At most five characters: "950", "1.2K", "12K", "999M".
std::string short_bytes(uint64_t bytes) {
  constexpr std::string_view kUnits = "KMGTPE";
  if (bytes < 1000) return std::to_string(bytes);
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (value /= 1000; value >= 999.5 && unit + 1 < kUnits.size(); value /= 1000) ++unit;
  return value < 9.95 ? fmt::format("{:.1f}{}", value, kUnits[unit])
                      : fmt::format("{:.0f}{}", value, kUnits[unit]);
}

/// "23:59:30" of "2026-11-22T23:59:30.512345+0000".
std::string clock_of(const std::string& timestamp) {
  const size_t t = timestamp.find('T');
  return t == std::string::npos ? "-" : wire_text(timestamp.substr(t + 1, kTime)).substr(0, kTime);
}

std::string gap_line(const LoggedRecord& record, const FlowLineStyle& style) {
  const std::string what =
      fmt::format("{} {} missing here: {}, core {}, {} to {}", record.gap_events,
                  record.gap_events == 1 ? "event is" : "events are", wire_text(record.gap_cause),
                  record.core, clock_of(record.gap_start), clock_of(record.gap_end));
  const size_t room = style.width - kTime - kVerdict - 2;
  return padded(clock_of(record.timestamp), kTime) + " " +
         painted(padded("gap", kVerdict), "1;33", style) + " " + cut(what, room);
}

}  // namespace

std::string flow_line_header(const FlowLineStyle& style) {
  const Widths widths = usual_widths(style);
  std::string out = fmt::format("{:<{}} {:<{}} {:<{}} {:<{}} {:<{}} {:>{}}", "UTC", kTime,
                                "VERDICT", kVerdict, "CLIENT", widths[0], "DESTINATION", widths[1],
                                "RULE, REASON", widths[2], "BYTES", kBytes);
  if (style.width >= kFlowLineWithId) out += fmt::format(" {:>{}}", "FLOW", kId);
  return painted(out, "1", style);
}

std::string flow_line(const LoggedRecord& record, const FlowLineStyle& style) {
  if (record.event == LoggedEvent::gap) return gap_line(record, style);
  const VerdictWord verdict = verdict_of(record);
  const Cells cells{wire_text(record.src_ip), destination_of(record), cause_of(record)};
  const Widths widths = fit(cells, style);
  std::string out = padded(clock_of(record.timestamp), kTime) + " " +
                    painted(padded(verdict.text, kVerdict), verdict.sgr, style);
  for (size_t i = 0; i < cells.size(); ++i)
    out += " " + padded(cut(cells[i], widths[i]), widths[i]);
  out += fmt::format(" {:>{}}", record.bytes ? short_bytes(*record.bytes) : "-", kBytes);
  if (style.width >= kFlowLineWithId)
    out += fmt::format(" {:>{}}", cut(std::to_string(record.flow_id), kId), kId);
  return out;
}

std::string day_of(const LoggedRecord& record) {
  const size_t t = record.timestamp.find('T');
  return t == std::string::npos ? ""
                                : wire_text(record.timestamp.substr(0, std::min<size_t>(t, 10)));
}

}  // namespace sallyport
