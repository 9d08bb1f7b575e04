#include "policy/runtime/budget_state.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <tuple>

#include "policy/runtime/image.h"
#include "policy/runtime/image_codec.h"
#include "policy/runtime/rule_name.h"

namespace sallyport {
namespace {

constexpr std::string_view kFirstLine = "sallyport budgets 1";
constexpr std::string_view kHeadings =
    "# policy\trule\tscope\tkey\twindow_seconds\twindow_start\tused\tlimit";
constexpr std::string_view kWholeRule = "*";
constexpr size_t kFields = 8;

std::string digest_of(std::string_view text) {
  return revision_text(
      payload_revision({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
}

void append_escaped(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte > ' ' && byte < 0x7f && c != '%' && c != ',' && c != '=') {
      out += c;
    } else {
      out += {'%', kHex[byte / 16], kHex[byte % 16]};
    }
  }
}

/// Takes the next part of `rest`, up to `end`; nothing when there is no `end`.
std::optional<std::string_view> take_until(std::string_view& rest, char end) {
  const size_t at = rest.find(end);
  if (at == std::string_view::npos) return {};
  const std::string_view part = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return part;
}

template <typename Number>
bool read_number(std::string_view text, Number& out) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  const auto parsed = std::from_chars(begin, end, out);
  return parsed.ec == std::errc{} && parsed.ptr == end;
}

bool read_scope(std::string_view text, BudgetScope& out) {
  for (const BudgetScope scope : {BudgetScope::subject, BudgetScope::source, BudgetScope::rule}) {
    if (text != to_string(scope)) continue;
    out = scope;
    return true;
  }
  return false;
}

bool read_key(std::string_view text, BudgetCount& out) {
  if (out.scope == BudgetScope::rule) return text == kWholeRule;
  if (const auto address = parse_ip_address(text)) {
    out.source = *address;
    return true;
  }
  out.labels = text;
  return out.scope == BudgetScope::subject && text.contains('=') &&
         text.size() <= kMostBudgetLabelsBytes;
}

std::optional<BudgetCount> read_count(std::string_view line) {
  std::array<std::string_view, kFields> fields;
  for (size_t i = 0; i + 1 < kFields; ++i) {
    const auto field = take_until(line, '\t');
    if (!field) return {};
    fields[i] = *field;
  }
  fields.back() = line;
  BudgetCount out{.policy = std::string(fields[0]), .rule = std::string(fields[1])};
  const bool good = is_policy_name(fields[0]) && is_rule_name(fields[1]) &&
                    read_scope(fields[2], out.scope) && read_key(fields[3], out) &&
                    read_number(fields[4], out.window_seconds) && out.window_seconds != 0 &&
                    read_number(fields[5], out.window_start) && out.window_start >= 0 &&
                    read_number(fields[6], out.used) && read_number(fields[7], out.limit);
  if (!good) return {};
  return out;
}

}  // namespace

bool before(const BudgetCount& a, const BudgetCount& b) noexcept {
  return std::tie(a.policy, a.rule, a.scope, a.labels, a.source, a.window_seconds) <
         std::tie(b.policy, b.rule, b.scope, b.labels, b.source, b.window_seconds);
}

std::string key_text(const BudgetCount& count) {
  if (count.scope == BudgetScope::rule) return std::string(kWholeRule);
  return count.labels.empty() ? to_string(count.source) : count.labels;
}

std::string labels_text(std::vector<std::pair<std::string, std::string>> labels) {
  std::ranges::sort(labels);
  std::string out;
  for (const auto& [key, value] : labels) {
    if (!out.empty()) out += ',';
    append_escaped(key, out);
    out += '=';
    append_escaped(value, out);
  }
  if (out.size() <= kMostBudgetLabelsBytes) return out;
  // The '=' that tells labels from an address is there even if a key fills all.
  const std::string digest = "...=" + digest_of(out);
  return out.substr(0, kMostBudgetLabelsBytes - digest.size()) + digest;
}

std::string budget_state_text(std::span<const BudgetCount> counts) {
  std::string out = std::string(kFirstLine) + "\n" + std::string(kHeadings) + "\n";
  for (const BudgetCount& count : counts) {
    out += count.policy + "\t" + count.rule + "\t" + std::string(to_string(count.scope)) + "\t" +
           key_text(count) + "\t" + std::to_string(count.window_seconds) + "\t" +
           std::to_string(count.window_start) + "\t" + std::to_string(count.used) + "\t" +
           std::to_string(count.limit) + "\n";
  }
  const std::string digest = digest_of(out);
  return out + "end\t" + std::to_string(counts.size()) + "\t" + digest + "\n";
}

std::expected<std::vector<BudgetCount>, std::string> parse_budget_state(std::string_view text) {
  std::vector<BudgetCount> out;
  std::string_view rest = text;
  if (take_until(rest, '\n') != kFirstLine) return std::unexpected("not a budget state, version 1");
  for (;;) {
    const size_t before_line = text.size() - rest.size();
    const auto line = take_until(rest, '\n');
    if (!line) return std::unexpected("cut short");
    if (line->starts_with('#')) continue;
    if (line->starts_with("end\t")) {
      const std::string expected =
          "end\t" + std::to_string(out.size()) + "\t" + digest_of(text.substr(0, before_line));
      if (*line != expected || !rest.empty()) return std::unexpected("its digest is wrong");
      return out;
    }
    auto count = read_count(*line);
    if (!count) return std::unexpected("a line that is no count: " + std::string(*line));
    out.push_back(std::move(*count));
  }
}

}  // namespace sallyport
