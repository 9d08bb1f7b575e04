#include <hs/hs.h>

#include <algorithm>
#include <stdexcept>

#include "policy/compile/match_parts.h"
#include "policy/compile/pattern.h"

namespace sallyport {
namespace {

struct FreeDatabase {
  void operator()(hs_database_t* database) const noexcept { hs_free_database(database); }
};
struct FreeScratch {
  void operator()(hs_scratch_t* scratch) const noexcept { hs_free_scratch(scratch); }
};
struct FreeError {
  void operator()(hs_compile_error_t* error) const noexcept { hs_free_compile_error(error); }
};

int note_match(unsigned /*id*/, unsigned long long /*from*/, unsigned long long /*to*/,
               unsigned /*flags*/, void* found) {
  *static_cast<bool*>(found) = true;
  return 0;
}

std::string pattern_text(const DomainPattern& pattern) {
  return pattern.wildcard ? "*." + pattern.name : pattern.name;
}

bool name_matches(const DomainPattern& pattern, std::string_view name) {
  if (!pattern.wildcard) return name == pattern.name;
  return name.size() > pattern.name.size() + 1 && name.ends_with(pattern.name) &&
         name[name.size() - pattern.name.size() - 1] == '.';
}

/// What a rule lists by itself comes first, then each set, of which `name` then is the name.
template <typename Visit>
void for_each_destinations(const RuleModel& rule, Visit visit) {
  visit(rule.destinations, std::string());
  for (const DestinationSetModel* set : rule.sets) visit(set->destinations, set->name);
}

std::string of_set(const std::string& what, const std::string& set) {
  return set.empty() ? what : what + " of set " + set;
}

/// What the rule's names are written under, for messages.
std::string names_key(const RuleModel& rule) {
  if (!rule.destinations.names.empty()) return "to.domainNames";
  return rule.destinations.regexes.empty() ? "to.sets" : "to.domainRegexes";
}

/// The pattern that `name` matches, or "".
std::string find_name(const RuleModel& rule, std::string_view name, RegexCache& regexes) {
  std::string found;
  for_each_destinations(rule, [&](const Destinations& to, const std::string& set) {
    for (const DomainPattern& pattern : to.names) {
      if (found.empty() && name_matches(pattern, name)) found = of_set(pattern_text(pattern), set);
    }
  });
  // Names first: they cost nothing.
  for_each_destinations(rule, [&](const Destinations& to, const std::string& set) {
    for (const DomainRegex& regex : to.regexes) {
      if (found.empty() && regexes.matches(regex.text, name)) found = of_set(regex.text, set);
    }
  });
  return found;
}

/// All that the rule lists by name, shortened; a set stands for what is in it.
std::string wanted_names(const RuleModel& rule) {
  std::vector<std::string> out;
  for (const DomainPattern& pattern : rule.destinations.names) {
    out.push_back(pattern_text(pattern));
  }
  for (const DomainRegex& regex : rule.destinations.regexes) out.push_back(regex.text);
  for (const DestinationSetModel* set : rule.sets) {
    if (set->destinations.has_names()) out.push_back("set " + set->name);
  }
  return listed(out);
}

/// A listed name that differs from `name` by a slip of the hand, or "".
std::string nearest_name(const RuleModel& rule, std::string_view name) {
  std::vector<std::string_view> all;
  for_each_destinations(rule, [&](const Destinations& to, const std::string& /*set*/) {
    for (const DomainPattern& pattern : to.names) {
      if (!pattern.wildcard) all.push_back(pattern.name);
    }
  });
  return std::string(nearest_key(name, all));
}

}  // namespace

struct RegexCache::Compiled {
  explicit Compiled(const std::string& regex) {
    hs_compile_error_t* compile_error = nullptr;
    hs_database_t* made = nullptr;
    const std::string expression = regex_expression(regex);
    const hs_error_t status = hs_compile(expression.c_str(), kPatternFlags, HS_MODE_BLOCK, nullptr,
                                         &made, &compile_error);
    database.reset(made);
    const std::unique_ptr<hs_compile_error_t, FreeError> error(compile_error);
    if (status != HS_SUCCESS) {
      throw std::runtime_error("regex " + regex + ": " + (error ? error->message : "no memory"));
    }
    hs_scratch_t* space = nullptr;
    if (hs_alloc_scratch(made, &space) != HS_SUCCESS) {
      throw std::runtime_error("regex " + regex + ": no memory");
    }
    scratch.reset(space);
  }

  std::unique_ptr<hs_database_t, FreeDatabase> database;
  std::unique_ptr<hs_scratch_t, FreeScratch> scratch;
};

RegexCache::RegexCache() = default;
RegexCache::~RegexCache() = default;

bool RegexCache::matches(const std::string& regex, std::string_view name) {
  auto& compiled = compiled_[regex];
  if (!compiled) compiled = std::make_unique<Compiled>(regex);
  bool found = false;
  const hs_error_t status =
      hs_scan(compiled->database.get(), name.data(), static_cast<unsigned>(name.size()), 0,
              compiled->scratch.get(), note_match, &found);
  if (status != HS_SUCCESS) throw std::runtime_error("regex " + regex + ": the scan failed");
  return found;
}

bool lists_addresses(const RuleModel& rule) {
  bool out = false;
  for_each_destinations(rule, [&out](const Destinations& to, const std::string& /*set*/) {
    out = out || !to.cidrs.empty();
  });
  return out;
}

bool lists_names(const RuleModel& rule) {
  bool out = false;
  for_each_destinations(rule, [&out](const Destinations& to, const std::string& /*set*/) {
    out = out || to.has_names();
  });
  return out;
}

Predicate match_addresses(const RuleModel& rule, const FlowFacts& facts) {
  std::string found;
  for_each_destinations(rule, [&](const Destinations& to, const std::string& set) {
    for (const IpPrefix& block : to.cidrs) {
      if (found.empty() && contains(block, facts.destination)) {
        found = of_set(to_string(block), set);
      }
    }
  });
  const std::string has = to_string(facts.destination);
  if (!found.empty()) return settled("to.cidrs", found, has, true);
  std::vector<std::string> wants;
  for (const IpPrefix& block : rule.destinations.cidrs) wants.push_back(to_string(block));
  for (const DestinationSetModel* set : rule.sets) {
    if (!set->destinations.cidrs.empty()) wants.push_back("set " + set->name);
  }
  return settled("to.cidrs", listed(wants), has, false);
}

Predicate match_names(const RuleModel& rule, const FlowFacts& facts, RegexCache& regexes) {
  const std::string key = names_key(rule);
  const std::string wants = wanted_names(rule);
  if (facts.name_known == Known::unknown) return awaited(key, wants, kFactName);
  if (facts.name_known == Known::absent) return settled(key, wants, "none", false);
  const std::string name(facts.name);
  const std::string found = find_name(rule, name, regexes);
  if (!found.empty()) return settled(key, found, name, true);
  // A name that can be read in the list already needs no pointing at.
  const std::string nearest = nearest_name(rule, name);
  const bool helps = !nearest.empty() && !wants.contains(nearest);
  return settled(key, helps ? wants + "; did you mean " + nearest + "?" : wants, name, false);
}

}  // namespace sallyport
