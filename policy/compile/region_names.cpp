#include <algorithm>

#include "policy/compile/region_split.h"

namespace sallyport {
namespace {

/// Past this many, names that are listed one by one are not searched for a hole between them.
constexpr size_t kMaxExcludedNames = 2000;

bool is_under(RegionKey atom) {
  return atom > kOtherName && (atom & 1) != 0;
}

uint32_t name_of_atom(RegionKey atom) {
  return static_cast<uint32_t>((atom - 2) / 2);
}

}  // namespace

void RegionSplitter::split_names(const RegionContext& context, RegionSplit& out) {
  collect_names(out);
  PartIndex index;
  const auto add = [&](RegionKey atom, uint32_t id) {
    out.domain.push_back({atom, atom});
    add_name(atom, conditions_of_name(atom, id), context, index, out);
  };
  add(kNoName, 0);
  add(kOtherName, 0);
  std::vector<uint32_t> ids;
  for (const auto& entry : atoms_.exact) ids.push_back(entry.first);
  std::ranges::sort(ids);
  for (const uint32_t id : ids) add(exact_key(id), id);
  ids.clear();
  for (const auto& entry : atoms_.under) ids.push_back(entry.first);
  std::ranges::sort(ids);
  for (const uint32_t id : ids) add(under_key(id), id);
  out.domain = normalised(std::move(out.domain));
  names_ = out.domain;
  for (auto& part : out.parts) part.label = normalised(std::move(part.label));
}

void RegionSplitter::collect_names(const RegionSplit& split) {
  atoms_ = {};
  languages_.clear();
  excluded_.clear();
  names_found_.clear();
  for (const auto& bucket : split.by_condition) {
    if ((bucket.first & kRegexName) != 0) {
      atoms_.regexes.push_back(bucket.first);
      continue;
    }
    const auto& list = space_.names(bucket.first);
    for (const uint32_t id : list.exact) atoms_.exact[id].push_back(bucket.first);
    for (const uint32_t id : list.under) atoms_.under[id].push_back(bucket.first);
    steps_ += list.exact.size() + list.under.size();
  }
}

std::vector<uint32_t> RegionSplitter::conditions_of_name(RegionKey atom, uint32_t id) const {
  std::vector<uint32_t> out;
  if (atom == kNoName) return out;
  const auto add = [&](const auto& map, uint32_t name) {
    const auto it = map.find(name);
    if (it != map.end()) out.insert(out.end(), it->second.begin(), it->second.end());
  };
  if (atom != kOtherName) {
    if (is_under(atom)) {
      add(atoms_.under, id);
    } else {
      add(atoms_.exact, id);
    }
    for (const uint32_t parent : space_.above(id)) add(atoms_.under, parent);
  }
  const bool exact = atom != kOtherName && !is_under(atom);
  for (const uint32_t condition : atoms_.regexes) {
    const auto& regex = space_.predicate(Axis::regex, condition & ~kRegexName);
    if (!exact || !regex.language || regex.language->matches(space_.name(id))) {
      out.push_back(condition);
    }
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

void RegionSplitter::add_name(RegionKey atom, std::vector<uint32_t> conditions,
                              const RegionContext& context, PartIndex& index, RegionSplit& out) {
  steps_ += conditions.size() + 1;
  const bool wanted = any_focus_ || std::ranges::any_of(conditions, [&](uint32_t one) {
                        return focus_conditions_.contains(one);
                      });
  if (!wanted) return;
  RegionSplit::Part part{{}, std::move(conditions), context};
  part.context.named = atom != kNoName;
  if (!part.conditions.empty() && (part.conditions.back() & kRegexName) != 0) {
    const bool exact = atom != kOtherName && !is_under(atom);
    part.context.name_kind =
        exact ? RegionContext::NameKind::exact : RegionContext::NameKind::abstract;
    if (!exact) part.context.atom = static_cast<uint32_t>(atom);
  }
  // No name makes a part of its own: the flow may then speak no protocol at all.
  std::vector<uint32_t> key = part.conditions;
  key.push_back(atom == kNoName ? UINT32_MAX : part.context.atom);
  const auto [it, fresh] = index.try_emplace(std::move(key), out.parts.size());
  if (fresh) out.parts.push_back(std::move(part));
  out.parts[it->second].label.push_back({atom, atom});
}

/// Whether the name `id`, and all under it, lie under `atom`.
bool RegionSplitter::below(uint32_t id, RegionKey atom) const {
  if (atom == kOtherName) return true;
  const auto& above = space_.above(id);
  return std::ranges::find(above, name_of_atom(atom)) != above.end();
}

const RegularLanguage& RegionSplitter::language_of(RegionKey atom) {
  const auto [it, fresh] = languages_.try_emplace(atom);
  if (fresh) {
    const bool other = atom == kOtherName;
    it->second = RegularLanguage::names_under(other ? "" : "." + space_.name(name_of_atom(atom)));
  }
  return it->second;
}

const RegularLanguage& RegionSplitter::others_below(RegionKey atom) {
  const auto [it, fresh] = excluded_.try_emplace(atom);
  if (!fresh) return it->second;
  std::vector<std::string> suffixes;
  for (const auto& entry : atoms_.under) {
    if (under_key(entry.first) != atom && below(entry.first, atom)) {
      suffixes.push_back("." + space_.name(entry.first));
    }
  }
  it->second = RegularLanguage::names_under_any(suffixes);
  return it->second;
}

bool RegionSplitter::name_of(RegionKey atom, const std::vector<std::pair<uint32_t, bool>>& answers,
                             std::string& name) {
  if (atom > kOtherName && !is_under(atom)) {
    name = space_.name(name_of_atom(atom));
    return true;
  }
  const auto [it, fresh] = names_found_.try_emplace({atom, answers});
  auto& [found, word] = it->second;
  if (fresh) {
    const Answers compiled = answers_of(Axis::regex, answers);
    // Of the names listed one by one, only those that give these answers stand in the way.
    std::vector<std::string> listed;
    for (const auto& entry : atoms_.exact) {
      if (listed.size() > kMaxExcludedNames || !below(entry.first, atom)) continue;
      const std::string& text = space_.name(entry.first);
      steps_ += compiled.size() + 1;
      const bool agrees = std::ranges::all_of(compiled, [&](const auto& answer) {
        return !answer.first->language || answer.first->language->matches(text) == answer.second;
      });
      if (agrees) listed.push_back(text);
    }
    const RegularLanguage words = RegularLanguage::words(listed);
    const uint64_t before = work_left();
    uint64_t work = before;
    found = name_can(language_of(atom), {&others_below(atom), &words}, compiled, word, work);
    charge_work(before, work);
  }
  name = word;
  return found;
}

}  // namespace sallyport
