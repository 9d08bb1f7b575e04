#include <algorithm>
#include <set>
#include <tuple>

#include "policy/compile/reading.h"
#include "policy/runtime/rule_name.h"

namespace sallyport {
namespace {

constexpr std::string_view kApiVersion = "sallyport/v1";
constexpr uint32_t kDefaultPriority = 100;
constexpr uint32_t kMaxPriority = 1'000'000;

/// Tests and feeds may lie in the same folder; other readers look into them.
enum class Kind : uint8_t { policy, set, test, feed, count_ };
constexpr std::array<std::string_view, 4> kKinds{"EgressPolicy", "DestinationSet", "PolicyTest",
                                                 "IdentityFeed"};
static_assert(kKinds.size() == static_cast<size_t>(Kind::count_));

std::string text_of(const SourcePlace& place) {
  return place.file + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
}

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

/// A policy as read; its rules' sets are found once every document has been.
struct PolicyDraft {
  PolicyModel policy;
  std::vector<std::vector<RuleDraft::SetUse>> rule_sets;  ///< By rule.
};

/// What all documents of all files come to.
struct Documents {
  std::vector<PolicyDraft> policies;
  std::vector<std::unique_ptr<DestinationSetModel>> sets;
  std::array<std::map<std::string, SourcePlace, std::less<>>, kKinds.size()> names;  // By Kind.
  std::vector<Diagnostic> diagnostics;
  bool all_parsed = true;
};

/// Reads one document of one file.
class DocumentReader {
 public:
  DocumentReader(Documents& out, Report& report) : out_(out), report_(report) {}

  void read(const YamlNode& document) {
    MapReader root(document, "the document", report_);
    if (document.kind != YamlNode::Kind::map) return;
    constexpr std::array kVersions{kApiVersion};
    if (const YamlNode* version = root.require("apiVersion")) {
      static_cast<void>(read_choice(*version, "apiVersion", kVersions, report_));
    }
    const YamlNode* kind_node = root.require("kind");
    if (kind_node != nullptr) {
      const auto kind = read_choice(*kind_node, "kind", kKinds, report_);
      if (!kind) return;  // Its other keys are those of another kind.
      kind_ = static_cast<Kind>(*kind);
      if (kind_ == Kind::test || kind_ == Kind::feed) return;
    }
    if (kind_ == Kind::policy) {
      read_policy(root);
    } else {
      read_set(root);
    }
    root.finish();
  }

 private:
  void read_policy(MapReader& root) {
    PolicyDraft draft;
    if (const YamlNode* metadata = root.require("metadata")) {
      MapReader map(*metadata, "metadata", report_);
      read_name(map, draft.policy.name, draft.policy.place);
      if (const YamlNode* labels = map.find("labels")) {
        draft.policy.metadata_labels = read_labels(*labels, "metadata.labels", report_);
      }
      map.finish();
    }
    if (const YamlNode* spec = root.require("spec")) read_spec(*spec, draft);
    out_.policies.push_back(std::move(draft));
  }

  void read_set(MapReader& root) {
    auto set = std::make_unique<DestinationSetModel>();
    if (const YamlNode* metadata = root.require("metadata")) {
      MapReader map(*metadata, "metadata", report_);
      read_name(map, set->name, set->place);
      if (const YamlNode* labels = map.find("labels")) {
        static_cast<void>(read_labels(*labels, "metadata.labels", report_));
      }
      map.finish();
    }
    if (const YamlNode* spec = root.require("spec")) {
      MapReader map(*spec, "spec", report_);
      read_destinations(map, "spec", set->destinations, report_);
      if (lists_nothing(*spec)) {
        report_.error(*spec, "E015", "the set is empty and would match nothing");
      }
      map.finish();
    }
    out_.sets.push_back(std::move(set));
  }

  void read_name(MapReader& metadata, std::string& name, SourcePlace& place) {
    const YamlNode* node = metadata.require("name");
    if (node == nullptr) return;
    name = read_text(*node, "metadata.name", report_);
    place = place_of(*node, report_);
    if (node->kind != YamlNode::Kind::scalar) return;
    if (!is_policy_name(name)) {
      const std::string lower = lower_case(name);
      report_.error(*node, "E013", "'" + name + "' is not a policy name",
                    is_policy_name(lower)
                        ? "write '" + lower + "'"
                        : "1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends");
      return;
    }
    auto& names = out_.names[static_cast<size_t>(kind_)];
    const auto [first, added] = names.try_emplace(name, place);
    if (!added) {
      report_.error(
          *node, "E014",
          std::string(kKinds[static_cast<size_t>(kind_)]) + " '" + name + "' is defined twice",
          "first at " + text_of(first->second));
    }
  }

  void read_spec(const YamlNode& node, PolicyDraft& draft) {
    MapReader spec(node, "spec", report_);
    PolicyModel& policy = draft.policy;
    constexpr std::array<std::string_view, 3> kTiers{"Admin", "Application", "Baseline"};
    if (const YamlNode* tier = spec.find("tier")) {
      policy.tier = read_enum(*tier, "tier", kTiers, Tier::application, report_);
    }
    policy.priority = kDefaultPriority;
    if (const YamlNode* priority = spec.find("priority")) read_priority(*priority, policy);
    constexpr std::array<std::string_view, 2> kModes{"enforce", "audit"};
    if (const YamlNode* mode = spec.find("mode")) {
      policy.mode = read_enum(*mode, "mode", kModes, PolicyMode::enforce, report_);
    }
    if (const YamlNode* subject = spec.find("subject")) {
      MapReader reader(*subject, "spec.subject", report_);
      if (const YamlNode* cidrs = reader.find("cidrs")) {
        policy.subjects = read_cidrs(*cidrs, "spec.subject.cidrs", report_);
      }
      if (const YamlNode* labels = reader.find("labels")) {
        policy.subject_labels = read_labels(*labels, "spec.subject.labels", report_);
      }
      reader.finish();
    }
    if (const YamlNode* egress = spec.require("egress")) read_egress(*egress, draft);
    spec.finish();
  }

  void read_priority(const YamlNode& node, PolicyModel& policy) {
    const auto number = parse_whole_number(read_text(node, "priority", report_), kMaxPriority);
    if (!number && node.kind == YamlNode::Kind::scalar) {
      report_.error(node, "E033", "'" + node.scalar + "' is not a priority",
                    "a whole number from 0 to " + std::to_string(kMaxPriority));
    }
    policy.priority = static_cast<uint32_t>(number.value_or(kDefaultPriority));
  }

  void read_egress(const YamlNode& node, PolicyDraft& draft) {
    if (!is_filled_list(node, "spec.egress", report_)) return;
    const RuleTerms terms{.tier = draft.policy.tier, .mode = draft.policy.mode};
    std::set<std::string, std::less<>> seen;
    for (const YamlNode& item : node.items) {
      RuleDraft rule = read_rule(item, terms, report_);
      if (!rule.rule.name.empty() && !seen.insert(rule.rule.name).second) {
        report_.error(rule.rule.place.line, rule.rule.place.column, "E014",
                      "rule '" + rule.rule.name + "' is defined twice in this policy");
      }
      draft.policy.rules.push_back(std::move(rule.rule));
      draft.rule_sets.push_back(std::move(rule.sets));
    }
  }

  Kind kind_ = Kind::policy;
  Documents& out_;
  Report& report_;
};

/// Finds the sets that rules name.
class SetResolver {
 public:
  explicit SetResolver(Documents& documents) : documents_(documents) {
    for (const auto& set : documents.sets) {
      if (by_name_.emplace(set->name, set.get()).second) names_.push_back(set->name);
    }
  }

  void resolve() {
    for (PolicyDraft& draft : documents_.policies) {
      for (size_t i = 0; i < draft.rule_sets.size(); ++i) {
        for (const RuleDraft::SetUse& use : draft.rule_sets[i]) {
          const auto at = by_name_.find(use.name);
          if (at != by_name_.end()) {
            draft.policy.rules[i].sets.push_back(at->second);
          } else {
            report(use);
          }
        }
      }
    }
    for (auto& [file, report] : reports_) {
      std::ranges::move(report.take(), std::back_inserter(documents_.diagnostics));
    }
  }

 private:
  static constexpr size_t kMaxHints = 20;  // Each is looked for among all sets.

  void report(const RuleDraft::SetUse& use) {
    Report& report = reports_.try_emplace(use.place.file, use.place.file).first->second;
    const std::string_view nearest =
        hints_++ < kMaxHints ? nearest_key(use.name, names_) : std::string_view();
    report.error(use.place.line, use.place.column, "E028",
                 "there is no DestinationSet '" + use.name + "' in the given files",
                 nearest.empty() ? "" : "did you mean '" + std::string(nearest) + "'?");
  }

  Documents& documents_;
  std::map<std::string_view, const DestinationSetModel*> by_name_;
  std::vector<std::string_view> names_;
  std::map<std::string, Report, std::less<>> reports_;  ///< By file.
  size_t hints_ = 0;
};

void sort_by_place(std::vector<Diagnostic>& diagnostics) {
  std::ranges::stable_sort(diagnostics, [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  });
}

Documents read_documents(std::span<const SourceFile> sources) {
  Documents out;
  for (const SourceFile& source : sources) {
    auto documents = parse_yaml(source);
    if (!documents) {
      std::ranges::move(documents.error(), std::back_inserter(out.diagnostics));
      out.all_parsed = false;
      continue;
    }
    Report report(source.name);
    for (const YamlNode& document : *documents) {
      if (document.kind == YamlNode::Kind::null) continue;  // Only comments.
      DocumentReader(out, report).read(document);
    }
    std::ranges::move(report.take(), std::back_inserter(out.diagnostics));
  }
  return out;
}

}  // namespace

std::expected<PolicyModels, std::vector<Diagnostic>> load_policies(
    std::span<const SourceFile> sources) {
  Documents documents = read_documents(sources);
  if (documents.policies.empty() && documents.diagnostics.empty()) {
    const std::string file = sources.empty() ? "(no files)" : sources.front().name;
    documents.diagnostics.push_back(
        {file, 0, 0, "E024", "there is no EgressPolicy in the given files", ""});
  }
  // A file that does not parse may hold the sets that others name.
  if (documents.all_parsed) SetResolver(documents).resolve();
  if (!documents.diagnostics.empty()) {
    sort_by_place(documents.diagnostics);
    return std::unexpected(std::move(documents.diagnostics));
  }
  PolicyModels out;
  for (PolicyDraft& draft : documents.policies) out.policies.push_back(std::move(draft.policy));
  std::ranges::sort(out.policies, [](const PolicyModel& a, const PolicyModel& b) {
    return std::tie(a.tier, a.priority, a.name) < std::tie(b.tier, b.priority, b.name);
  });
  for (auto& set : documents.sets) out.sets.push_back(std::move(set));
  std::ranges::sort(out.sets, {}, [](const auto& set) { return std::string_view(set->name); });
  return out;
}

}  // namespace sallyport
