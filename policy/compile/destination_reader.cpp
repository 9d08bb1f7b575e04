#include <algorithm>

#include "policy/compile/domain_name.h"
#include "policy/compile/pattern.h"
#include "policy/compile/reading.h"
#include "policy/compile/regex_weight.h"

namespace sallyport {
namespace {

constexpr size_t kMaxRegexBytes = 1024;

void read_names(const YamlNode& node, const std::string& what, Destinations& out, Report& report) {
  for (const ListedText& item : read_texts(node, what, report, Empty::accepted)) {
    auto pattern = parse_domain_pattern(item.text);
    if (pattern) {
      out.names.push_back(std::move(*pattern));
    } else {
      report.error(*item.node, pattern.error().code, pattern.error().message, pattern.error().hint);
    }
  }
}

void read_regexes(const YamlNode& node, const std::string& what, Destinations& out,
                  Report& report) {
  for (const ListedText& item : read_texts(node, what, report, Empty::accepted)) {
    // Each one costs Hyperscan a look.
    if (report.full()) return report.error(*item.node, "E029", "not looked at any more");
    if (item.text.empty() || item.text.size() > kMaxRegexBytes ||
        !std::ranges::all_of(item.text, [](char c) { return c >= ' ' && c <= '~'; })) {
      report.error(
          *item.node, "E029",
          "a regex must be 1 to " + std::to_string(kMaxRegexBytes) + " printable ASCII characters");
    } else if (regex_weight(item.text) > kMaxRegexWeight) {
      report.error(*item.node, "E029",
                   "'" + item.text + "' is too costly: written out it has over " +
                       std::to_string(kMaxRegexWeight) + " characters",
                   "names have up to 253 bytes: '+' serves for a long {n,m}");
    } else if (const auto error = regex_error(item.text)) {
      report.error(*item.node, "E029", "'" + item.text + "' is not a regex: " + *error,
                   "PCRE syntax without look-around and back-references");
    } else {
      out.regexes.push_back({item.text, place_of(*item.node, report)});
    }
  }
}

}  // namespace

bool lists_nothing(const YamlNode& map) {
  return map.kind == YamlNode::Kind::map &&
         std::ranges::all_of(map.entries, [](const YamlNode::Entry& entry) {
           return entry.value.kind == YamlNode::Kind::sequence && entry.value.items.empty();
         });
}

void read_destinations(MapReader& map, const std::string& what, Destinations& out, Report& report) {
  if (const YamlNode* names = map.find("domainNames")) {
    read_names(*names, what + ".domainNames", out, report);
  }
  if (const YamlNode* regexes = map.find("domainRegexes")) {
    read_regexes(*regexes, what + ".domainRegexes", out, report);
  }
  if (const YamlNode* cidrs = map.find("cidrs")) {
    out.cidrs = read_cidrs(*cidrs, what + ".cidrs", report, Empty::accepted);
  }
}

}  // namespace sallyport
