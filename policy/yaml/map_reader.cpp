#include <algorithm>
#include <numeric>

#include "policy/yaml/document.h"
#include "policy/yaml/printable.h"

namespace sallyport {
namespace {

/// Room for the longest host name and what is said of it.
constexpr size_t kMaxMessageBytes = 500;

/// Levenshtein distance; both texts are keys, so short.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// What may stand where `key` does not belong.
std::string hint_for(std::string_view key, std::span<const std::string_view> known) {
  const std::string_view nearest = nearest_key(key, known);
  if (!nearest.empty()) return "did you mean '" + std::string(nearest) + "'?";
  std::string out;
  for (const std::string_view one : known) {
    out += (out.empty() ? "one of " : ", ") + std::string(one);
  }
  return out;
}

}  // namespace

std::string_view to_string(Diagnostic::Severity severity) noexcept {
  return severity == Diagnostic::Severity::warning ? "warning" : "error";
}

std::string place_text(const Diagnostic& diagnostic) {
  std::string out = printable(diagnostic.file);
  if (diagnostic.line != 0) {
    out += ":" + std::to_string(diagnostic.line) + ":" + std::to_string(diagnostic.column);
  }
  return out;
}

std::string to_string(const Diagnostic& diagnostic) {
  std::string out = place_text(diagnostic);
  out += ": " + std::string(to_string(diagnostic.severity)) + "[" + diagnostic.code + "]: ";
  out += printable(diagnostic.message);
  if (!diagnostic.hint.empty()) out += " (" + printable(diagnostic.hint) + ")";
  return out;
}

std::string_view nearest_key(std::string_view key, std::span<const std::string_view> known) {
  constexpr size_t kLongestKey = 64;
  if (key.size() > kLongestKey) return "";
  std::string_view best;
  size_t best_distance = key.size() / 3 + 2;  // A typing error or two, not another word.
  for (const std::string_view candidate : known) {
    const size_t distance = edit_distance(key, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

void Report::error(const YamlNode& where, std::string code, const std::string& message,
                   const std::string& hint) {
  error(where.line, where.column, std::move(code), message, hint);
}

void Report::error(unsigned line, unsigned column, std::string code, const std::string& message,
                   const std::string& hint) {
  if (full()) {
    more_ = true;
    return;
  }
  diagnostics_.push_back({file_, line, column, std::move(code),
                          shortened(message, kMaxMessageBytes), shortened(hint, kMaxMessageBytes)});
}

std::vector<Diagnostic> Report::take() {
  if (more_) {
    // Behind all others, also once they are sorted.
    const auto last = std::ranges::max_element(
        diagnostics_, {}, [](const Diagnostic& one) { return std::pair(one.line, one.column); });
    diagnostics_.push_back({file_, last->line, last->column, kTooManyErrorsCode,
                            "too many errors: no more than " + std::to_string(kMaxErrorsPerFile) +
                                " of one file are reported",
                            "correct these first"});
  }
  more_ = false;
  return std::move(diagnostics_);
}

MapReader::MapReader(const YamlNode& node, std::string what, Report& report)
    : node_(node), what_(std::move(what)), report_(report) {
  if (node.kind != YamlNode::Kind::map) report.error(node, "E010", what_ + " must be a map");
}

const YamlNode* MapReader::find(std::string_view key) {
  known_.emplace_back(key);
  const auto entry = std::ranges::find(node_.entries, key, &YamlNode::Entry::key);
  return entry == node_.entries.end() ? nullptr : &entry->value;
}

const YamlNode* MapReader::require(std::string_view key) {
  const YamlNode* value = find(key);
  if (value == nullptr && node_.kind == YamlNode::Kind::map) {
    report_.error(node_, "E009", what_ + " needs the key '" + std::string(key) + "'");
  }
  return value;
}

void MapReader::finish() {
  const std::vector<std::string_view> known(known_.begin(), known_.end());
  for (const YamlNode::Entry& entry : node_.entries) {
    if (std::ranges::find(known, entry.key) != known.end()) continue;
    const bool full = report_.full();  // Then it only has to learn that there is more.
    report_.error(entry.line, entry.column, "E008", "unknown key '" + entry.key + "' in " + what_,
                  full ? "" : hint_for(entry.key, known));
    if (full) return;
  }
}

}  // namespace sallyport
