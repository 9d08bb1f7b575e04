#include "policy/compile/region_text.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <set>

namespace sallyport {
namespace {

/// Lists longer than this are cut: "and 12 more".
constexpr size_t kMaxListed = 6;

std::string join(const std::vector<std::string>& items, const std::string& between = ", ",
                 size_t most = kMaxListed) {
  std::string out;
  const size_t shown = items.size() > most + 1 ? most : items.size();
  for (size_t i = 0; i < shown; ++i) out += (i == 0 ? "" : between) + items[i];
  if (shown < items.size()) out += " and " + std::to_string(items.size() - shown) + " more";
  return out;
}

std::string block_text(const IpPrefix& block) {
  if (block.prefix_bits == 128) return to_string(block.address);
  return to_string(block);
}

std::vector<std::string> block_texts(const Intervals& keys) {
  std::vector<std::string> out;
  for (const IpPrefix& block : blocks_of(keys)) out.push_back(block_text(block));
  return out;
}

/// One family; `all` is every address of it. The shorter of what is in and what is not.
std::string family_text(const Intervals& keys, const Intervals& all, const std::string& every) {
  if (keys == all) return every;
  const auto in = block_texts(keys);
  const auto out = block_texts(subtract(all, keys));
  if (out.size() < in.size()) return every + " except " + join(out);
  return join(in);
}

std::string addresses_text(const Intervals& keys) {
  const Intervals v4 = intersect(keys, v4_addresses());
  const Intervals v6 = intersect(keys, v6_addresses());
  if (v4 == v4_addresses() && v6 == v6_addresses()) return "any";
  std::vector<std::string> out;
  if (!v4.empty()) out.push_back(family_text(v4, v4_addresses(), "any IPv4"));
  if (!v6.empty()) out.push_back(family_text(v6, v6_addresses(), "any IPv6"));
  return join(out);
}

bool has(const Intervals& keys, RegionKey key) {
  return contains(keys, key);
}

uint32_t name_of_atom(RegionKey atom) {
  return static_cast<uint32_t>((atom - 2) / 2);
}

std::vector<RegionKey> atoms_of(const Intervals& keys) {
  std::vector<RegionKey> out;
  for (const Interval& one : keys) {
    for (RegionKey atom = std::max<RegionKey>(one.first, kOtherName + 1); atom <= one.last;
         ++atom) {
      out.push_back(atom);
    }
  }
  return out;
}

/// Name atoms, where "*.x" speaks for everything under x that is in the set, too.
class NamesText {
 public:
  NamesText(const RegionSpace& space, const Intervals& domain) : space_(space) {
    for (const RegionKey atom : atoms_of(domain)) all_.push_back(atom);
  }

  std::string list(const Intervals& keys) const {
    std::vector<std::string> out;
    for (const RegionKey atom : atoms_of(keys)) {
      const uint32_t id = name_of_atom(atom);
      const auto& above = space_.above(id);
      const bool spoken_for =
          std::ranges::any_of(above, [&](uint32_t parent) { return has(keys, under_key(parent)); });
      if (spoken_for) continue;
      if (atom == exact_key(id)) {
        out.push_back(space_.name(id));
      } else {
        out.push_back("*." + space_.name(id) + except_text(id, keys));
      }
    }
    std::ranges::sort(out);
    return join(out);
  }

 private:
  std::string except_text(uint32_t id, const Intervals& keys) const {
    std::vector<std::string> out;
    for (const RegionKey atom : all_) {
      const uint32_t other = name_of_atom(atom);
      const auto& above = space_.above(other);
      if (has(keys, atom) || std::ranges::find(above, id) == above.end()) continue;
      out.push_back((atom == exact_key(other) ? "" : "*.") + space_.name(other));
    }
    std::ranges::sort(out);
    return out.empty() ? "" : " (except " + join(out) + ")";
  }

  const RegionSpace& space_;
  std::vector<RegionKey> all_;
};

std::string names_text(const RegionSpace& space, const Intervals& keys, const Intervals& domain) {
  const NamesText names(space, domain);
  const Intervals listed{{kOtherName + 1, ~RegionKey{0}}};
  const Intervals in = intersect(keys, listed);
  if (has(keys, kOtherName)) {
    const Intervals out = intersect(subtract(domain, keys), listed);
    std::string what = has(keys, kNoName) ? "any" : "any name";
    if (out.empty()) return what;
    if (in.empty() && !has(keys, kNoName)) return "other names";
    if (in.empty()) return "other names or none";
    return what + " except " + names.list(out);
  }
  if (in.empty()) return "no name";
  return names.list(in) + (has(keys, kNoName) ? " or no name" : "");
}

std::string ports_text(const Intervals& keys, RegionKey base) {
  std::vector<std::string> out;
  for (const Interval& one : keys) {
    const auto first = static_cast<unsigned>(one.first - base);
    const auto last = static_cast<unsigned>(one.last - base);
    if (first == 0 && last == UINT16_MAX) return "";
    out.push_back(first == last ? std::to_string(first)
                                : std::to_string(first) + "-" + std::to_string(last));
  }
  return ":" + join(out, ",");
}

std::string apps_text(const Intervals& apps, const std::string& transport,
                      const std::string& ports) {
  constexpr std::pair<AppKey, const char*> kNames[] = {
      {kTlsApp, "tls"}, {kQuicApp, "quic"}, {kHttpApp, "http"}, {kDnsApp, "dns"}};
  const bool tcp = transport == "tcp";
  std::vector<std::string> in;
  std::vector<std::string> out;
  for (const auto& [key, name] : kNames) {
    if (key == (tcp ? kQuicApp : kTlsApp) || (!tcp && key == kHttpApp)) continue;
    (has(apps, key) ? in : out).push_back(name);
  }
  if (!has(apps, kNoApp)) return join(in, ",") + ports;
  return transport + ports + (out.empty() ? "" : " except " + join(out, ","));
}

/// What of `keys` belongs to one transport, and what it carries.
std::string transport_text(const Region& region, const Intervals& ports, RegionKey base,
                           const std::string& transport) {
  const auto app = region.keys.find(Axis::app);
  const std::string at = ports_text(ports, base);
  if (app == region.keys.end()) return transport + at;
  return apps_text(app->second, transport, at);
}

std::string l4_text(const Region& region) {
  const auto found = region.keys.find(Axis::l4);
  const bool any_app = !region.keys.contains(Axis::app);
  const Intervals everything{{0, kOtherL4Key}};
  const Intervals& keys = found == region.keys.end() ? everything : found->second;
  const Intervals tcp = intersect(keys, {{0, UINT16_MAX}});
  const Intervals udp = intersect(keys, {{kFirstUdp, kFirstUdp + UINT16_MAX}});
  const Intervals rest = intersect(keys, {{kIcmpKey, kOtherL4Key}});
  const bool all_ports =
      tcp == Intervals{{0, UINT16_MAX}} && udp == Intervals{{kFirstUdp, kFirstUdp + UINT16_MAX}};
  // A flow with a name is TCP or UDP: then these are all.
  const auto names = region.keys.find(Axis::name);
  const bool named = names != region.keys.end() && !has(names->second, kNoName);
  if (any_app && all_ports && (named || keys == everything)) return "any";
  std::vector<std::string> out;
  if (!tcp.empty()) out.push_back(transport_text(region, tcp, 0, "tcp"));
  if (!udp.empty()) out.push_back(transport_text(region, udp, kFirstUdp, "udp"));
  if (out.size() == 2 && out[0] == out[1]) out.pop_back();
  if (has(rest, kIcmpKey)) out.push_back("icmp");
  if (has(rest, kOtherL4Key)) out.push_back("other IP protocols");
  return join(out);
}

std::string headers_text(const RegionPredicate& predicate) {
  std::vector<std::string> out;
  for (const HeaderMatch& match : predicate.headers) out.push_back(match.name + ": " + match.glob);
  return join(out);
}

using Texts = std::vector<std::string>;

bool holds_all(const Texts& all, const Texts& some) {
  return std::ranges::includes(all, some);
}

/// Lists that a value must be in, and must not be in, without what others of them already say.
struct Lists {
  std::vector<Texts> in;
  std::vector<Texts> out;

  void simplify(bool exact) {
    // The narrowest of the lists says it all; what is in none of a list is in none of its parts.
    drop_if(in, [](const Texts& wide, const Texts& narrow) { return holds_all(wide, narrow); });
    drop_if(out, [](const Texts& narrow, const Texts& wide) { return holds_all(wide, narrow); });
    for (Texts& list : in) {
      for (const Texts& no : out) {
        std::erase_if(
            list, [&](const std::string& text) { return std::ranges::binary_search(no, text); });
      }
    }
    if (exact && !in.empty()) out.clear();
  }

 private:
  template <typename Says>
  static void drop_if(std::vector<Texts>& lists, Says says) {
    for (size_t i = lists.size(); i-- > 0;) {
      const bool said = std::ranges::any_of(
          lists, [&](const Texts& other) { return other != lists[i] && says(lists[i], other); });
      if (said) lists.erase(lists.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
};

/// What follows the protocol: "GET,HEAD path /models/**".
class AnswersText {
 public:
  AnswersText(const RegionSpace& space, const Region& region) : space_(space), region_(region) {}

  std::string text() {
    for (const bool yes : {true, false}) hello(Axis::alpn, yes);
    lists(Axis::ja4, "ja4 ", "/", true);
    for (const bool yes : {true, false}) hello(Axis::ech, yes);
    lists(Axis::method, "", ",", true);
    lists(Axis::path, "path ", " or ", false);
    for (const bool yes : {true, false}) hello(Axis::headers, yes);
    return out_;
  }

 private:
  void hello(Axis axis, bool yes) {
    for (const auto& answer : region_.answers) {
      if (answer.axis != axis || answer.yes != yes) continue;
      const RegionPredicate& predicate = space_.predicate(axis, answer.predicate).predicate;
      if (axis == Axis::ech) {
        out_ += predicate.with_ech == yes ? " with ech" : " without ech";
      } else if (axis == Axis::headers) {
        out_ += (yes ? " {" : " not {") + headers_text(predicate) + "}";
      } else {
        out_ += std::string(yes ? " offering " : " not offering ") +
                (predicate.any ? "" : "only ") + join(predicate.texts, "/");
      }
    }
  }

  void lists(Axis axis, const std::string& what, const std::string& between, bool exact) {
    Lists lists;
    for (const auto& answer : region_.answers) {
      if (answer.axis != axis) continue;
      (answer.yes ? lists.in : lists.out)
          .push_back(space_.predicate(axis, answer.predicate).predicate.texts);
    }
    lists.simplify(exact);
    if (!exact) std::erase_if(lists.out, [&](const Texts& no) { return apart(lists.in, no); });
    for (const Texts& one : lists.in) out_ += " " + what + join(one, between);
    for (const Texts& one : lists.out) out_ += " not " + what + join(one, between);
  }

  /// Whether no path of the lists is one of `no`, so that it goes without saying.
  static bool apart(const std::vector<Texts>& in, const Texts& no) {
    const RegularLanguage excluded = RegularLanguage::paths(no);
    return std::ranges::any_of(in, [&](const Texts& list) {
      const RegularLanguage language = RegularLanguage::paths(list);
      const std::array both{&language, &excluded};
      std::string word;
      return find_word(both, {}, word) == WordSearch::none;
    });
  }

  const RegionSpace& space_;
  const Region& region_;
  std::string out_;
};

std::string labels_text(const RegionPredicate& predicate) {
  std::vector<std::string> out;
  for (const auto& [key, value] : predicate.labels) {
    out.push_back(key);
    out.back().append(": ").append(value);
  }
  return "{" + join(out) + "}";
}

class Describer {
 public:
  Describer(const RegionSpace& space, const Region& region, const Intervals& names, Interval time)
      : space_(space), region_(region), names_(names), time_(time) {}

  RegionText text() const {
    RegionText out{subject(), destination(), l4_text(region_), condition()};
    out.protocol += AnswersText(space_, region_).text();
    return out;
  }

 private:
  const Intervals* keys(Axis axis) const {
    const auto found = region_.keys.find(axis);
    return found == region_.keys.end() ? nullptr : &found->second;
  }

  std::string subject() const {
    const Intervals* source = keys(Axis::source);
    std::string out = source == nullptr ? "any" : addresses_text(*source);
    std::vector<std::string> without;
    for (const auto& answer : region_.answers) {
      if (answer.axis != Axis::labels) continue;
      std::string text = labels_text(space_.predicate(answer.axis, answer.predicate).predicate);
      if (answer.yes) {
        out += " " + text;
      } else {
        without.push_back(std::move(text));
      }
    }
    return without.empty() ? out : out + " not " + join(without, " or ");
  }

  std::string regexes() const {
    std::string out;
    for (const auto& answer : region_.answers) {
      if (answer.axis != Axis::regex) continue;
      const auto& predicate = space_.predicate(answer.axis, answer.predicate).predicate;
      out += (out.empty() ? "" : " and ") + std::string(answer.yes ? "" : "not ") + "/" +
             predicate.regex + "/";
    }
    return out;
  }

  std::string destination() const {
    const Intervals* names = keys(Axis::name);
    const Intervals* addresses = keys(Axis::destination);
    const std::string pattern = regexes();
    std::string out;
    if (names != nullptr) out = names_text(space_, *names, names_);
    // A regex stands by itself where it is asked of names that nothing else speaks of.
    if (!pattern.empty())
      out = (out == "other names" || out == "any name" ? "" : out + " ") + pattern;
    if (addresses == nullptr || is_family_of_source(*addresses)) return out.empty() ? "any" : out;
    if (out.empty() || out == "any") return addresses_text(*addresses);
    return out + " at " + addresses_text(*addresses);
  }

  /// Every address that a source of the region can talk to: of its own family.
  bool is_family_of_source(const Intervals& addresses) const {
    const Intervals* source = keys(Axis::source);
    if (source == nullptr) return false;
    return (addresses == v4_addresses() && !overlap(*source, v6_addresses())) ||
           (addresses == v6_addresses() && !overlap(*source, v4_addresses()));
  }

  std::string condition() const {
    std::vector<std::string> out;
    if (const Intervals* time = keys(Axis::time)) {
      for (const Interval& one : *time) out.push_back(window_text(one));
    }
    if (region_.bound) {
      out.push_back(*region_.bound ? "address from a trusted resolver"
                                   : "address not from a trusted resolver");
    }
    return join(out);
  }

  std::string window_text(const Interval& window) const {
    std::string out;
    if (window.first > time_.first) out = "from " + utc_text(seconds_of(window.first));
    if (window.last >= time_.last) return out;
    return out + (out.empty() ? "" : " ") + "until " + utc_text(seconds_of(window.last) + 1);
  }

  const RegionSpace& space_;
  const Region& region_;
  const Intervals& names_;
  Interval time_;
};

}  // namespace

RegionText describe(const RegionSpace& space, const Region& region, const Intervals& names,
                    Interval time) {
  return Describer(space, region, names, time).text();
}

std::string utc_text(int64_t unix_seconds) {
  std::tm parts{};
  const std::time_t seconds = unix_seconds;
  std::array<char, 64> text{};
  if (gmtime_r(&seconds, &parts) == nullptr) return std::to_string(unix_seconds);
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

}  // namespace sallyport
