#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "policy/compile/model.h"
#include "policy/runtime/rule_name.h"

namespace sallyport {
namespace {

constexpr std::string_view kApiVersion = "sallyport/v1";
constexpr std::string_view kPolicyKind = "EgressPolicy";
constexpr std::string_view kSetKind = "DestinationSet";

/// Where a policy name was first given, for the hint of its second use.
using FirstUses = std::map<std::string, std::string, std::less<>>;

std::string place_of(const std::string& file, const YamlNode& node) {
  return file + ":" + std::to_string(node.line) + ":" + std::to_string(node.column);
}

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

/// Reads one document of one file.
class DocumentReader {
 public:
  DocumentReader(const std::string& file, FirstUses& names, Report& report)
      : file_(file), names_(names), report_(report) {}

  PolicyModel read(const YamlNode& document) {
    PolicyModel policy;
    MapReader root(document, "the document", report_);
    if (document.kind != YamlNode::Kind::map) return policy;
    if (const YamlNode* version = root.require("apiVersion")) read_version(*version);
    if (const YamlNode* kind = root.require("kind"); kind != nullptr && !read_kind(*kind)) {
      return policy;  // Its other keys are those of another kind.
    }
    if (const YamlNode* metadata = root.require("metadata")) read_metadata(*metadata, policy);
    if (const YamlNode* spec = root.require("spec")) read_spec(*spec, policy);
    root.finish();
    return policy;
  }

 private:
  void read_version(const YamlNode& node) {
    const std::string version = read_text(node, "apiVersion", report_);
    if (node.kind == YamlNode::Kind::scalar && version != kApiVersion) {
      report_.error(node, "E011", "apiVersion '" + version + "' is not known",
                    "write '" + std::string(kApiVersion) + "'");
    }
  }

  bool read_kind(const YamlNode& node) {
    const std::string kind = read_text(node, "kind", report_);
    if (kind == kPolicyKind) return true;
    if (kind == kSetKind) {
      report_.error(node, "E012", "kind DestinationSet is not supported by this version",
                    "list the names and cidrs in the rule");
      return false;
    }
    if (node.kind == YamlNode::Kind::scalar) {
      report_.error(node, "E011", "kind '" + kind + "' is not known",
                    "write '" + std::string(kPolicyKind) + "'");
    }
    return false;
  }

  void read_metadata(const YamlNode& node, PolicyModel& policy) {
    MapReader metadata(node, "metadata", report_);
    if (const YamlNode* name = metadata.require("name")) read_name(*name, policy);
    refuse_unsupported(metadata, "metadata", std::array<std::string_view, 1>{"labels"}, report_);
    metadata.finish();
  }

  void read_name(const YamlNode& node, PolicyModel& policy) {
    policy.name = read_text(node, "metadata.name", report_);
    if (node.kind != YamlNode::Kind::scalar) return;
    if (!is_policy_name(policy.name)) {
      const std::string folded = lower_case(policy.name);
      report_.error(node, "E013", "'" + policy.name + "' is not a policy name",
                    is_policy_name(folded) ? "write '" + folded + "'"
                                           : "1 to 63 of a-z, 0-9 and '-', with a letter or digit "
                                             "at both ends");
      return;
    }
    const auto [first, added] = names_.try_emplace(policy.name, place_of(file_, node));
    if (!added) {
      report_.error(node, "E014", "policy '" + policy.name + "' is defined twice",
                    "first at " + first->second);
    }
  }

  void read_spec(const YamlNode& node, PolicyModel& policy) {
    MapReader spec(node, "spec", report_);
    if (const YamlNode* subject = spec.find("subject")) {
      MapReader reader(*subject, "spec.subject", report_);
      if (const YamlNode* cidrs = reader.find("cidrs")) {
        policy.subjects = read_cidrs(*cidrs, "spec.subject.cidrs", report_);
      }
      refuse_unsupported(reader, "spec.subject", std::array<std::string_view, 1>{"labels"},
                         report_);
      reader.finish();
    }
    if (const YamlNode* egress = spec.require("egress")) read_egress(*egress, policy);
    refuse_unsupported(spec, "spec", std::array<std::string_view, 3>{"tier", "priority", "mode"},
                       report_);
    spec.finish();
  }

  void read_egress(const YamlNode& node, PolicyModel& policy) {
    if (!is_filled_list(node, "spec.egress", report_)) return;
    std::set<std::string, std::less<>> seen;
    for (const YamlNode& item : node.items) {
      RuleModel rule = read_rule(item, report_);
      if (!rule.name.empty() && !seen.insert(rule.name).second) {
        const auto name = std::ranges::find(item.entries, "name", &YamlNode::Entry::key);
        report_.error(name->value, "E014",
                      "rule '" + rule.name + "' is defined twice in this policy");
      }
      policy.rules.push_back(std::move(rule));
    }
  }

  const std::string& file_;
  FirstUses& names_;
  Report& report_;
};

void sort_by_place(std::vector<Diagnostic>& diagnostics) {
  std::ranges::stable_sort(diagnostics, [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  });
}

}  // namespace

std::expected<std::vector<PolicyModel>, std::vector<Diagnostic>> load_policies(
    std::span<const SourceFile> sources) {
  std::vector<PolicyModel> policies;
  std::vector<Diagnostic> diagnostics;
  FirstUses names;
  for (const SourceFile& source : sources) {
    auto documents = parse_yaml(source);
    if (!documents) {
      std::ranges::move(documents.error(), std::back_inserter(diagnostics));
      continue;
    }
    Report report(source.name);
    for (const YamlNode& document : *documents) {
      if (document.kind == YamlNode::Kind::null) continue;  // Only comments.
      policies.push_back(DocumentReader(source.name, names, report).read(document));
    }
    std::ranges::move(report.take(), std::back_inserter(diagnostics));
  }
  if (policies.empty() && diagnostics.empty()) {
    const std::string file = sources.empty() ? "(no files)" : sources.front().name;
    diagnostics.push_back({file, 0, 0, "E024", "there is no EgressPolicy in the given files", ""});
  }
  if (!diagnostics.empty()) {
    sort_by_place(diagnostics);
    return std::unexpected(std::move(diagnostics));
  }
  std::ranges::sort(policies, {}, &PolicyModel::name);
  return policies;
}

}  // namespace sallyport
