#include "policy/compile/reading.h"

#include <algorithm>

namespace sallyport {
namespace {

void report_cidr(const YamlNode& node, const std::string& text, IpParseError error,
                 Report& report) {
  switch (error) {
    case IpParseError::bad_address:
      report.error(node, "E019", "'" + text + "' is not an IPv4 or IPv6 block",
                   "write it like 203.0.113.0/24 or \"2001:db8::/32\"");
      break;
    case IpParseError::bad_prefix_length:
      report.error(node, "E019", "'" + text + "' has a bad prefix length",
                   "0 to 32 for IPv4, 0 to 128 for IPv6");
      break;
    case IpParseError::host_bits_set: {
      const auto cleared = parse_ip_prefix_clearing(text);
      report.error(node, "E020", "'" + text + "' has bits set right of its prefix length",
                   cleared ? "write " + to_string(*cleared) : "");
      break;
    }
  }
}

}  // namespace

std::string read_text(const YamlNode& node, const std::string& what, Report& report) {
  if (node.kind == YamlNode::Kind::scalar) return node.scalar;
  report.error(node, "E010", what + " must be a single value");
  return "";
}

bool is_filled_list(const YamlNode& node, const std::string& what, Report& report) {
  if (node.kind != YamlNode::Kind::sequence) {
    report.error(node, "E010", what + " must be a list");
    return false;
  }
  if (node.items.empty()) {
    report.error(node, "E015", what + " is an empty list", "leave it out, or list something");
    return false;
  }
  return true;
}

std::vector<ListedText> read_texts(const YamlNode& node, const std::string& what, Report& report,
                                   Empty empty) {
  std::vector<ListedText> out;
  const bool nothing = node.kind == YamlNode::Kind::sequence && node.items.empty();
  if (nothing && empty == Empty::accepted) return out;
  if (!is_filled_list(node, what, report)) return out;
  for (const YamlNode& item : node.items) {
    std::string text = read_text(item, "an item of " + what, report);
    if (item.kind == YamlNode::Kind::scalar) out.push_back({std::move(text), &item});
  }
  return out;
}

std::vector<IpPrefix> read_cidrs(const YamlNode& node, const std::string& what, Report& report,
                                 Empty empty) {
  std::vector<IpPrefix> out;
  for (const ListedText& item : read_texts(node, what, report, empty)) {
    if (const auto prefix = parse_ip_prefix(item.text)) {
      out.push_back(*prefix);
    } else {
      report_cidr(*item.node, item.text, prefix.error(), report);
    }
  }
  return out;
}

Labels read_labels(const YamlNode& node, const std::string& what, Report& report) {
  Labels out;
  if (node.kind != YamlNode::Kind::map) {
    report.error(node, "E010", what + " must be a map");
    return out;
  }
  if (node.entries.empty()) {
    report.error(node, "E015", what + " is an empty map", "leave it out, or list something");
  }
  for (const YamlNode::Entry& entry : node.entries) {
    const std::string value = read_text(entry.value, what + "." + entry.key, report);
    if (entry.value.kind != YamlNode::Kind::scalar) continue;
    if (entry.key.empty() || value.empty()) {
      report.error(entry.line, entry.column, "E010", what + " has an empty key or value");
    }
    out.emplace(entry.key, value);
  }
  return out;
}

std::string hint_of_choices(std::string_view text, std::span<const std::string_view> choices) {
  const std::string_view nearest = nearest_key(text, choices);
  if (!nearest.empty()) return "did you mean '" + std::string(nearest) + "'?";
  std::string out = "one of ";
  for (const std::string_view choice : choices) {
    if (choice != choices.front()) out += ", ";
    out += choice;
  }
  return out;
}

std::optional<size_t> read_choice(const YamlNode& node, const std::string& what,
                                  std::span<const std::string_view> choices, Report& report) {
  const std::string text = read_text(node, what, report);
  if (node.kind != YamlNode::Kind::scalar) return {};
  const auto at = std::ranges::find(choices, text);
  if (at != choices.end()) return static_cast<size_t>(at - choices.begin());
  report.error(node, "E011", what + " '" + text + "' is not known", hint_of_choices(text, choices));
  return {};
}

SourcePlace place_of(const YamlNode& node, const Report& report) {
  return {report.file(), node.line, node.column};
}

}  // namespace sallyport
