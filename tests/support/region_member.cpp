#include "tests/support/region_member.h"

#include <algorithm>
#include <regex>

namespace sallyport::test {
namespace {

RegionKey name_key(const RegionSpace& space, const Intervals& names, const FlowFacts& facts) {
  if (facts.name_known != Known::present) return kNoName;
  RegionKey best = kOtherName;
  size_t longest = 0;
  for (const Interval& one : names) {
    for (RegionKey key = std::max<RegionKey>(one.first, 2); key <= one.last; ++key) {
      const std::string& name = space.name(static_cast<uint32_t>((key - 2) / 2));
      const bool exact = (key & 1) == 0;
      if (exact && facts.name == name) return key;
      const bool under = !exact && facts.name.ends_with("." + name);
      if (under && name.size() > longest) {
        best = key;
        longest = name.size();
      }
    }
  }
  return best;
}

RegionKey l4_key(const FlowFacts& facts) {
  switch (facts.ip_protocol) {
    case kIpProtocolTcp:
      return facts.destination_port;
    case kIpProtocolUdp:
      return kFirstUdp + facts.destination_port;
    case kIpProtocolIcmp:
    case kIpProtocolIcmpV6:
      return kIcmpKey;
    default:
      return kOtherL4Key;
  }
}

RegionKey app_key(const FlowFacts& facts) {
  if (facts.app_known != Known::present) return kNoApp;
  constexpr AppKey kKeys[] = {kTlsApp, kQuicApp, kHttpApp, kDnsApp};
  return kKeys[static_cast<size_t>(facts.app)];
}

std::string glob_regex(const std::string& glob, bool segments) {
  std::string out;
  for (size_t i = 0; i < glob.size(); ++i) {
    const bool twice = segments && glob.compare(i, 2, "**") == 0;
    if (glob[i] != '*') {
      out += std::string("[") + glob[i] + "]";
    } else {
      out += segments && !twice ? "[^/]*" : "[^]*";
      i += twice ? 1 : 0;
    }
  }
  return out;
}

bool glob_matches(const std::string& glob, std::string_view text, bool segments) {
  return std::regex_match(std::string(text), std::regex(glob_regex(glob, segments)));
}

bool lists(const std::vector<std::string>& texts, Known known, std::string_view value) {
  return known == Known::present && std::ranges::find(texts, value) != texts.end();
}

bool header_holds(const HeaderMatch& match, const FlowFacts& facts) {
  if (facts.headers_known != Known::present) return false;
  bool any = false;
  for (const HttpHeader& header : facts.headers) {
    if (header.name != match.name) continue;
    any = true;
    if (!glob_matches(match.glob, header.value, false)) return false;
  }
  return any;
}

bool is_true(Axis axis, const RegionPredicate& predicate, const FlowFacts& facts,
             const Labels& labels) {
  const auto& texts = predicate.texts;
  const auto listed = [&](std::string_view text) {
    return std::ranges::find(texts, text) != texts.end();
  };
  switch (axis) {
    case Axis::regex:
      return facts.name_known == Known::present &&
             std::regex_match(std::string(facts.name), std::regex(predicate.regex));
    case Axis::labels:
      return std::ranges::includes(labels, predicate.labels);
    case Axis::alpn:
      return facts.alpns_known == Known::present &&
             (predicate.any ? std::ranges::any_of(facts.alpns, listed)
                            : std::ranges::all_of(facts.alpns, listed));
    case Axis::ja4:
      return lists(texts, facts.ja4_known, facts.ja4);
    case Axis::ech:
      return predicate.with_ech == (facts.ech_known == Known::present);
    case Axis::method:
      return lists(texts, facts.method_known, facts.method);
    case Axis::path:
      return facts.path_known == Known::present &&
             std::ranges::any_of(
                 texts, [&](const auto& glob) { return glob_matches(glob, facts.path, true); });
    default:
      return std::ranges::all_of(predicate.headers,
                                 [&](const auto& match) { return header_holds(match, facts); });
  }
}

}  // namespace

bool holds(const RegionSpace& space, const Region& region, const Intervals& names,
           const FlowFacts& facts, const Labels& labels) {
  for (const auto& [axis, keys] : region.keys) {
    const RegionKey key = axis == Axis::name          ? name_key(space, names, facts)
                          : axis == Axis::destination ? region_key(facts.destination)
                          : axis == Axis::source      ? region_key(facts.source)
                          : axis == Axis::l4          ? l4_key(facts)
                          : axis == Axis::app         ? app_key(facts)
                                                      : time_key(facts.unix_seconds);
    if (!contains(keys, key)) return false;
  }
  if (region.bound && *region.bound != (facts.binding_known == Known::present)) return false;
  return std::ranges::all_of(region.answers, [&](const Region::Answer& answer) {
    const auto& predicate = space.predicate(answer.axis, answer.predicate).predicate;
    return is_true(answer.axis, predicate, facts, labels) == answer.yes;
  });
}

}  // namespace sallyport::test
