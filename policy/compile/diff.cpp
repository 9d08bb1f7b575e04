#include "policy/compile/diff.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "policy/compile/diff_regions.h"
#include "policy/compile/region_text.h"

namespace sallyport {
namespace {

/// A list up to this long is read as it is.
constexpr size_t kMaxUnjoined = 20;

std::vector<std::string> names_of(const RegionSpace& space, const std::set<uint32_t>& rules) {
  std::vector<std::string> out;
  for (const uint32_t rule : rules) {
    if (rule == kDefaultDeny) {
      out.emplace_back("default_deny");
    } else {
      const auto& info = space.rules()[rule];
      out.push_back(info.policy->name + "/" + info.model->name);
    }
  }
  return out;
}

FlowDescription describe(const SampleFlow& sample) {
  const auto known = [](bool present) { return present ? Known::present : Known::absent; };
  const auto fact = [&](bool holds, const std::string& text) {
    return TextFact{known(holds && !text.empty()), text};
  };
  const bool http = sample.app == AppProtocol::http;
  FlowValues out;
  out.source = sample.source;
  out.destination = sample.destination;
  out.ip_protocol = sample.ip_protocol;
  out.destination_port = sample.destination_port;
  out.unix_seconds = sample.unix_seconds;
  out.app_known = known(sample.app.has_value());
  out.app = sample.app.value_or(AppProtocol{});
  out.name = fact(true, sample.name);
  out.alpns_known = known(!sample.alpns.empty());
  out.alpns = sample.alpns;
  out.ja4 = fact(true, sample.ja4);
  out.ech_known = known(sample.ech);
  out.method = fact(http, sample.method);
  out.path = fact(http, sample.path);
  out.headers_known = known(http);
  out.headers = sample.headers;
  out.binding_known = known(sample.bound);
  out.labels = sample.labels;
  return FlowDescription(std::move(out));
}

/// Changes that differ in their subjects alone, as one. A policy for each of a thousand workloads
/// else makes a thousand lines of one change.
std::vector<PolicyChange> joined(std::vector<PolicyChange> changes) {
  const auto key_of = [](const PolicyChange& one) {
    return std::tuple(one.kind, one.is_allowed, one.destination, one.protocol, one.condition,
                      one.note);
  };
  const auto add = [](const std::vector<std::string>& more, std::vector<std::string>& out) {
    for (const std::string& one : more) {
      if (std::ranges::find(out, one) == out.end()) out.push_back(one);
    }
  };
  std::map<decltype(key_of(changes.front())), size_t> known;
  std::vector<PolicyChange> out;
  for (PolicyChange& change : changes) {
    const auto [it, fresh] = known.try_emplace(key_of(change), out.size());
    if (fresh) {
      out.push_back(std::move(change));
      continue;
    }
    add(change.subjects, out[it->second].subjects);
    add(change.old_rules, out[it->second].old_rules);
    add(change.new_rules, out[it->second].new_rules);
  }
  return out;
}

}  // namespace

std::string_view to_string(ChangeKind kind) noexcept {
  constexpr std::array<std::string_view, static_cast<size_t>(ChangeKind::count_)> kNames{
      "newly allowed", "newly denied", "no longer logged", "other change"};
  return kNames[static_cast<size_t>(kind)];
}

bool PolicyDiff::has(ChangeKind kind) const noexcept {
  return std::ranges::any_of(changes, [&](const PolicyChange& one) { return one.kind == kind; });
}

PolicyDiff diff_policies(const PolicyModels& before, const PolicyModels& after,
                         const DiffOptions& options) {
  PolicyComparison comparison(before, after, options);
  PolicyDiff out;
  for (const Region& region : comparison.run()) {
    const ChangeOutcome& outcome = comparison.outcome(region);
    const RegionSpace& space = comparison.space();
    RegionText text = describe(space, region, comparison.names(), comparison.time());
    const bool verdict_changes =
        outcome.kind == ChangeKind::newly_allowed || outcome.kind == ChangeKind::newly_denied;
    out.changes.push_back({.kind = outcome.kind,
                           .was_allowed = outcome.allowed != verdict_changes,
                           .is_allowed = outcome.allowed,
                           .subjects = {std::move(text.subject)},
                           .destination = std::move(text.destination),
                           .protocol = std::move(text.protocol),
                           .condition = std::move(text.condition),
                           .note = outcome.note,
                           .old_rules = names_of(space, outcome.before),
                           .new_rules = names_of(space, outcome.after),
                           .example = describe(comparison.sample(region))});
  }
  out.complete = comparison.end() == SearchEnd::complete;
  out.left_out = comparison.left_out();
  std::ranges::stable_sort(out.changes, [](const PolicyChange& a, const PolicyChange& b) {
    return std::tie(a.kind, a.new_rules, a.old_rules) < std::tie(b.kind, b.new_rules, b.old_rules);
  });
  if (out.changes.size() > kMaxUnjoined) out.changes = joined(std::move(out.changes));
  return out;
}

}  // namespace sallyport
