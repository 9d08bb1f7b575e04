#include "policy/compile/region_predicate.h"

#include <algorithm>

namespace sallyport {
namespace {

using Texts = std::set<std::string>;

Texts texts_of(const CompiledRegionPredicate& predicate) {
  return {predicate.predicate.texts.begin(), predicate.predicate.texts.end()};
}

void keep_common(const Texts& other, Texts& texts) {
  std::erase_if(texts, [&](const std::string& text) { return !other.contains(text); });
}

/// A text that none of the answered lists holds.
std::string fresh_text(const Answers& answers, const std::string& stem) {
  Texts all;
  for (const auto& answer : answers) all.merge(texts_of(*answer.first));
  std::string out = stem;
  while (all.contains(out)) out += "x";
  return out;
}

/// One value that is listed, or not, as answered. Empty where a value in no list will do.
bool choose_text(const Answers& answers, std::string& out) {
  std::optional<Texts> allowed;
  for (const auto& [predicate, yes] : answers) {
    if (!yes) continue;
    Texts texts = texts_of(*predicate);
    if (allowed) {
      keep_common(texts, *allowed);
    } else {
      allowed = std::move(texts);
    }
  }
  if (!allowed) {
    out.clear();
    return true;
  }
  for (const auto& [predicate, yes] : answers) {
    if (yes) continue;
    for (const std::string& text : predicate->predicate.texts) allowed->erase(text);
  }
  if (allowed->empty()) return false;
  out = *allowed->begin();
  return true;
}

using Languages = std::vector<const RegularLanguage*>;

/// A value of one header line; `must_miss` may be null.
bool line_can(const Languages& in, const RegularLanguage* must_miss, std::string& value,
              uint64_t& work) {
  Languages out;
  if (must_miss != nullptr) out.push_back(must_miss);
  static const RegularLanguage kAnything = RegularLanguage::header("*");
  Languages all = in;
  if (all.empty()) all.push_back(&kAnything);
  return find_word(all, out, value, work) != WordSearch::none;
}

/// What every line of the header must match.
Languages required(const Answers& answers, const std::string& header) {
  Languages out;
  for (const auto& [predicate, yes] : answers) {
    const auto& matches = predicate->predicate.headers;
    for (size_t i = 0; yes && i < matches.size(); ++i) {
      if (matches[i].name == header) out.push_back(&predicate->headers[i]);
    }
  }
  return out;
}

/// Makes the conjunction false by leaving a header out, or by one more line of it: a header given
/// twice matches only where both lines do, so no two refusals are in each other's way.
bool refuse(const CompiledRegionPredicate& predicate, const Answers& answers, SampleFlow& sample,
            uint64_t& work) {
  const auto& matches = predicate.predicate.headers;
  for (size_t i = 0; i < matches.size(); ++i) {
    const Languages in = required(answers, matches[i].name);
    if (in.empty()) return true;
    std::string value;
    if (!line_can(in, &predicate.headers[i], value, work)) continue;
    sample.headers.emplace_back(matches[i].name, value);
    return true;
  }
  return false;
}

}  // namespace

FlowFacts SampleFlow::facts(Storage& storage) const {
  const auto known = [](bool present) { return present ? Known::present : Known::absent; };
  storage.alpns.assign(alpns.begin(), alpns.end());
  storage.headers.clear();
  for (const auto& [key, value] : headers) storage.headers.push_back({key, value});
  FlowFacts out;
  out.source = source;
  out.destination = destination;
  out.ip_protocol = ip_protocol;
  out.destination_port = destination_port;
  out.unix_seconds = unix_seconds;
  out.app_known = known(app.has_value());
  out.app = app.value_or(AppProtocol{});
  out.name_known = known(!name.empty());
  out.name = name;
  out.alpns_known = known(!alpns.empty());
  out.alpns = storage.alpns;
  out.ja4_known = known(!ja4.empty());
  out.ja4 = ja4;
  out.ech_known = known(ech);
  const bool http = app == AppProtocol::http;
  out.method_known = known(http && !method.empty());
  out.method = method;
  out.path_known = known(http && !path.empty());
  out.path = path;
  out.headers_known = known(http);
  out.headers = storage.headers;
  out.binding_known = known(bound);
  return out;
}

bool exclude(const Labels& a, const Labels& b) {
  return std::ranges::any_of(a, [&](const auto& label) {
    const auto other = b.find(label.first);
    return other != b.end() && other->second != label.second;
  });
}

bool labels_can(const Answers& answers, SampleFlow& sample) {
  // The fewest labels that all true selectors ask for: a false one that they imply is impossible,
  // every other false one asks for a label that is not here.
  Labels all;
  for (const auto& [predicate, yes] : answers) {
    if (!yes) continue;
    for (const auto& [key, value] : predicate->predicate.labels) {
      if (all.try_emplace(key, value).first->second != value) return false;
    }
  }
  const auto implied = [&](const auto& answer) {
    return !answer.second &&
           std::ranges::all_of(answer.first->predicate.labels, [&](const auto& l) {
             const auto it = all.find(l.first);
             return it != all.end() && it->second == l.second;
           });
  };
  if (std::ranges::any_of(answers, implied)) return false;
  sample.labels = std::move(all);
  return true;
}

bool alpns_can(const Answers& answers, SampleFlow& sample) {
  // The most that may be offered: more only helps "any of" that is true and "all of" that is
  // false. No offer at all refuses both kinds.
  std::optional<Texts> offered;
  bool needs_offer = false;
  for (const auto& [predicate, yes] : answers) {
    needs_offer |= yes;
    if (!yes || predicate->predicate.any) continue;
    Texts texts = texts_of(*predicate);
    if (offered) {
      keep_common(texts, *offered);
    } else {
      offered = std::move(texts);
    }
  }
  sample.alpns.clear();
  if (!needs_offer) return true;
  if (!offered) {
    offered = Texts{fresh_text(answers, "x")};
    for (const auto& answer : answers) offered->merge(texts_of(*answer.first));
  }
  for (const auto& [predicate, yes] : answers) {
    if (yes || !predicate->predicate.any) continue;
    for (const std::string& text : predicate->predicate.texts) offered->erase(text);
  }
  if (offered->empty()) return false;
  for (const auto& [predicate, yes] : answers) {
    const Texts texts = texts_of(*predicate);
    const auto listed = [&](const std::string& text) { return texts.contains(text); };
    const bool holds = predicate->predicate.any ? std::ranges::any_of(*offered, listed)
                                                : std::ranges::all_of(*offered, listed);
    if (holds != yes) return false;
  }
  sample.alpns.assign(offered->begin(), offered->end());
  return true;
}

bool ja4_can(const Answers& answers, SampleFlow& sample) {
  return choose_text(answers, sample.ja4);
}

bool ech_can(const Answers& answers, SampleFlow& sample) {
  std::optional<bool> ech;
  for (const auto& [predicate, yes] : answers) {
    const bool wanted = predicate->predicate.with_ech == yes;
    if (ech.value_or(wanted) != wanted) return false;
    ech = wanted;
  }
  sample.ech = ech.value_or(false);
  return true;
}

bool method_can(const Answers& answers, SampleFlow& sample) {
  const bool possible = choose_text(answers, sample.method);
  if (possible && sample.method.empty()) sample.method = fresh_text(answers, "X");
  return possible;
}

bool path_can(const Answers& answers, SampleFlow& sample, uint64_t& work) {
  static const RegularLanguage kAnyPath = RegularLanguage::any_path();
  Languages in{&kAnyPath};
  Languages out;
  for (const auto& [predicate, yes] : answers) {
    if (predicate->language) (yes ? in : out).push_back(&*predicate->language);
  }
  if (find_word(in, out, sample.path, work) != WordSearch::none) return true;
  sample.path.clear();  // A request may have none: CONNECT.
  return in.size() == 1;
}

bool headers_can(const Answers& answers, SampleFlow& sample, uint64_t& work) {
  sample.headers.clear();
  std::set<std::string> present;
  for (const auto& [predicate, yes] : answers) {
    for (const HeaderMatch& match : predicate->predicate.headers) {
      if (yes) present.insert(match.name);
    }
  }
  for (const std::string& header : present) {
    std::string value;
    if (!line_can(required(answers, header), nullptr, value, work)) return false;
    sample.headers.emplace_back(header, value);
  }
  return std::ranges::all_of(answers, [&](const auto& answer) {
    return answer.second || refuse(*answer.first, answers, sample, work);
  });
}

bool name_can(const RegularLanguage& in, const std::vector<const RegularLanguage*>& out,
              const Answers& answers, std::string& name, uint64_t& work) {
  Languages must{&in};
  Languages must_not = out;
  for (const auto& [predicate, yes] : answers) {
    if (predicate->language) (yes ? must : must_not).push_back(&*predicate->language);
  }
  return find_word(must, must_not, name, work) != WordSearch::none;
}

}  // namespace sallyport
