#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/compile/model.h"

namespace sallyport {

// Shared by the readers of documents. Each reports what is wrong where it stands and goes on, so
// that one run shows every mistake. `what` names the value in messages.

/// The text of a scalar; reports anything else and gives "".
std::string read_text(const YamlNode& node, const std::string& what, Report& report);

/// Whether `node` is a list with something in it; reports it otherwise.
bool is_filled_list(const YamlNode& node, const std::string& what, Report& report);

/// Whether a list may be empty, which then says nothing.
enum class Empty : uint8_t { refused, accepted };

/// The texts of a list of scalars, with their nodes.
struct ListedText {
  std::string text;
  const YamlNode* node = nullptr;
};
std::vector<ListedText> read_texts(const YamlNode& node, const std::string& what, Report& report,
                                   Empty empty = Empty::refused);

std::vector<IpPrefix> read_cidrs(const YamlNode& node, const std::string& what, Report& report,
                                 Empty empty = Empty::refused);

/// A map of text to text, such as labels.
Labels read_labels(const YamlNode& node, const std::string& what, Report& report);

/// "did you mean 'x'?", or a list of all when nothing is near.
std::string hint_of_choices(std::string_view text, std::span<const std::string_view> choices);

/// The place of `text` in `choices`, whose order is that of an enum; reports E011 otherwise.
std::optional<size_t> read_choice(const YamlNode& node, const std::string& what,
                                  std::span<const std::string_view> choices, Report& report);

/// An enum whose values stand in the order of `choices`; `otherwise` after an error.
template <typename Enum, size_t N>
Enum read_enum(const YamlNode& node, const std::string& what,
               const std::array<std::string_view, N>& choices, Enum otherwise, Report& report) {
  const auto index = read_choice(node, what, choices, report);
  return index ? static_cast<Enum>(*index) : otherwise;
}

/// RFC 3339 ("2026-12-01T00:00:00Z", or with an offset) as Unix seconds.
std::optional<int64_t> parse_time(std::string_view text);

/// The reverse, in UTC.
std::string time_text(int64_t unix_seconds);

/// "20GiB", "500MB", "4096": bytes. Nothing for what is no size, zero or over 2^63.
std::optional<uint64_t> parse_size(std::string_view text);

/// "30s", "24h", "7d": seconds, from 1 second to 366 days.
std::optional<uint32_t> parse_duration(std::string_view text);

/// A whole number without sign or leading zeros, at most `limit`.
std::optional<uint64_t> parse_whole_number(std::string_view text, uint64_t limit);

SourcePlace place_of(const YamlNode& node, const Report& report);

/// `to` of a rule without its sets, or spec of a DestinationSet. A list in it may be empty; that
/// something stands in one of them is for the caller to check.
void read_destinations(MapReader& map, const std::string& what, Destinations& out, Report& report);

/// Whether a map has only empty lists, or nothing at all.
bool lists_nothing(const YamlNode& map);

/// One item of `protocols`; nothing when it names no protocol.
std::optional<ProtocolTerm> read_protocol(const YamlNode& node, Report& report);

/// A rule, and the sets it names, which may stand in documents that are read later.
struct RuleDraft {
  struct SetUse {
    std::string name;
    SourcePlace place;
  };
  RuleModel rule;
  std::vector<SetUse> sets;
};

/// One item of spec.egress. Tier and mode of its document are already in `terms`.
RuleDraft read_rule(const YamlNode& node, const RuleTerms& terms, Report& report);

}  // namespace sallyport
