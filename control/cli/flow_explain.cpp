#include "control/cli/flow_explain.h"

#include <spdlog/fmt/fmt.h>

#include <cstdio>

#include "control/cli/explain_text.h"
#include "control/cli/flow_reasons.h"
#include "control/cli/loaded_policy.h"
#include "control/cli/text_table.h"
#include "control/common/json_text.h"
#include "control/common/policy_archive.h"
#include "control/common/system.h"
#include "policy/runtime/identity_codec.h"

namespace sallyport {
namespace {

std::string end_text(const std::string& address, uint64_t port) {
  if (port == 0) return wire_text(address);
  const bool v6 = address.contains(':');
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", wire_text(address), v6 ? "]" : "", port);
}

std::string verdict_text(const LoggedRecord& record) {
  std::string out =
      record.would_deny ? "allow, but would deny were it not for audit" : wire_text(record.action);
  if (!record.rule.empty()) {
    out += " by " + wire_text(record.policy) + "/" + wire_text(record.rule);
  }
  out += ", reason " + wire_text(record.reason);
  return record.fault.empty() ? out : out + ", fault " + wire_text(record.fault);
}

bool is_of_policy(const LoggedRecord& record) {
  const auto reason = flow_reason(record.reason);
  return !reason || reason->by_policy;  // A newer gateway may have more of them.
}

/// What the log says of it.
std::string facts_text(const FlowCase& which) {
  const LoggedRecord& record = which.record();
  std::string out = coloured("Flow " + std::to_string(record.flow_id), "1") + "\n";
  const auto row = [&out](const char* what, const std::string& value) {
    if (!value.empty()) out += fmt::format("  {:<9} {}\n", what, value);
  };
  row("time", wire_text(record.timestamp));
  row("from", end_text(record.src_ip, record.src_port));
  row("identity", wire_text(record.spiffe_id));
  row("to", end_text(record.dest_ip, record.dest_port) + " " + wire_text(record.protocol) +
                (record.app.empty() ? "" : ", " + wire_text(record.app)));
  row("name", wire_text(record.name));
  row("verdict", verdict_text(record));
  row("revision", wire_text(record.revision));
  if (record.bytes) row("carried", bytes_text(*record.bytes));
  if (which.earlier() != 0) {
    row("note", count_text(which.earlier(), "earlier flow", "earlier flows") +
                    " had this id: ids begin anew when the gateway does");
  }
  if (const auto reason = flow_reason(record.reason)) {
    out += fmt::format("\n{}: {}.\n", reason->name, reason->meaning);
  }
  if (!is_of_policy(record)) {
    out +=
        "\nThat is not the policy's word: no rule would have changed it. docs/enforcement.md has "
        "what becomes of such\nflows, and how `exceptions` in gateway.yaml changes that.\n";
  }
  return out;
}

using Sources = std::expected<std::vector<SourceFile>, PolicyFailure>;

Sources no_policy(const std::string& why) {
  return std::unexpected(PolicyFailure{
      .status = kExitBadInput, .why = why + "; give the files of that policy with --policy FILE"});
}

/// The policy that decided: what --policy names, or what the agent has kept.
Sources sources_for(const CliOptions& options, const std::string& revision) {
  if (!options.policy.empty()) return read_policy(options);
  if (revision.empty()) return no_policy("the record names no revision of a policy");
  const PolicyArchive archive(options.flow_query.state_dir);
  auto kept = archive.load(revision);
  if (!kept) return no_policy(kept.error());
  std::optional<std::vector<SourceFile>>& sources = *kept;
  if (sources) return std::move(*sources);
  return no_policy(
      fmt::format("the policy of revision {} is not in {}, where the agent keeps the "
                  "last {} that were in force",
                  wire_text(revision), archive.folder().string(), PolicyArchive::kMostRevisions));
}

std::expected<LoadedPolicy, PolicyFailure> policy_for(const CliOptions& options,
                                                      const LoggedRecord& record) {
  const auto sources = sources_for(options, record.revision);
  if (!sources) return std::unexpected(sources.error());
  auto policy = load_policy(*sources);
  if (!policy) return policy;
  const std::string revision = revision_text(policy->table->revision());
  if (revision != record.revision) {
    fmt::print(stderr, "sallyport: note: this policy is revision {}, the flow was decided by {}\n",
               revision, record.revision.empty() ? "none" : wire_text(record.revision));
  }
  return policy;
}

/// Those of --identities, or what the agent has stored last. They may be of another time than the
/// flow.
std::expected<std::optional<std::vector<Identity>>, PolicyFailure> identities_for(
    const CliOptions& options) {
  if (!options.identities.empty()) return load_identity_option(options);
  const auto bytes = read_file(options.flow_query.state_dir / "last-good.spids", kMaxFeedBytes);
  if (!bytes) return std::nullopt;
  const auto decoded = decode_identities(*bytes);
  if (!decoded) return std::nullopt;
  std::vector<Identity> out;
  for (const IdentityFeed::Entry& one : decoded->feed.entries) {
    out.push_back({one.address, decoded->feed.label_lists[one.labels]});
  }
  return out;
}

std::string help_text(const LoggedRecord& record) {
  if (record.reason == "destination_binding") {
    return "  an answer of one of binding.resolvers that gives the address for the name, before "
           "the flow\n";
  }
  if (record.reason == "budget_exceeded") {
    return "  bytes left in the rule's budget: a larger bytesOut, or the end of its window\n";
  }
  return "";
}

void print_finding(const FlowFinding& finding, const LoggedRecord& record,
                   const std::string& revision) {
  const int64_t at = finding.flow.values().unix_seconds;
  fmt::print("\nBy the policy of revision {}:\n{}", revision,
             decision_text(finding.explanation, finding.flow, at));
  if (record.truncated) {
    fmt::print(
        "\nThe record holds only the beginning of a longer text (truncated): a rule by it may "
        "decide "
        "otherwise.\n");
  }
  if (!finding.agrees) {
    fmt::print(
        "\nThat is not what the log says. The policy or the labels may be others than those of "
        "then, or the\nrecord lacks what was decided by: it has no labels and no request fields. "
        "See --policy, --identities.\n");
  }
  if (!record.denied()) return;
  fmt::print("\nWhat would have allowed it, the nearest rules first:\n{}{}", help_text(record),
             near_rules_text(finding.near_rules, finding.explanation));
}

/// The record, and what its reason means.
Json facts_json(const FlowCase& which) {
  Json out{{"record", Json::parse(which.line(), nullptr, false)}};
  const auto reason = flow_reason(which.record().reason);
  out["meaning"] = reason ? Json(reason->meaning) : Json(nullptr);
  out["by_policy"] = is_of_policy(which.record());
  return out;
}

Json finding_json(const FlowFinding& finding, const LoadedPolicy& policy) {
  const int64_t at = finding.flow.values().unix_seconds;
  return {{"revision", revision_text(policy.table->revision())},
          {"agrees_with_record", finding.agrees},
          {"explanation", explanation_json(finding.explanation, finding.flow, at, false)},
          {"near_rules", near_rules_json(finding.near_rules)}};
}

/// The facts stand without a policy: as text they were printed, as JSON they are here.
int report_no_finding(const PolicyFailure& failure, const FlowCase& which, bool json) {
  if (!failure.why.empty()) print_error(failure.why);
  if (!json) {
    print_findings(failure.diagnostics, failure.sources);
    return failure.status;
  }
  Json out = facts_json(which);
  out["error"] = failure.why.empty() ? "the files given have errors" : failure.why;
  out["diagnostics"] = diagnostics_json(failure.diagnostics);
  fmt::print("{}\n", dump_pretty(out));
  return failure.status;
}

}  // namespace

int explain_flow(const CliOptions& options, const FlowCase& which) {
  const bool json = format_of_output(options) == Format::json;
  const LoggedRecord& record = which.record();
  if (!json) fmt::print("{}", facts_text(which));
  if (!is_of_policy(record)) {
    if (json) fmt::print("{}\n", dump_pretty(facts_json(which)));
    return kExitGood;
  }
  static_cast<void>(std::fflush(stdout));  // In front of what may be said on standard error.
  const auto policy = policy_for(options, record);
  if (!policy) return report_no_finding(policy.error(), which, json);
  const auto identities = identities_for(options);
  if (!identities) return report_no_finding(identities.error(), which, json);
  Explainer explainer(policy->models, *policy->table);
  explainer.use_identities(*identities);
  const auto finding = find_out(which, explainer);
  if (!finding) {
    return report_no_finding(
        {.status = kExitBadInput,
         .why = "the record cannot be decided anew: " + wire_text(finding.error())},
        which, json);
  }
  if (json) {
    Json out = facts_json(which);
    out.update(finding_json(*finding, *policy));
    fmt::print("{}\n", dump_pretty(out));
  } else {
    print_finding(*finding, record, revision_text(policy->table->revision()));
  }
  return kExitGood;
}

}  // namespace sallyport
