#include <algorithm>

#include "policy/compile/reading.h"
#include "policy/runtime/rule_name.h"

namespace sallyport {
namespace {

class RuleReader {
 public:
  RuleReader(const YamlNode& node, const RuleTerms& terms, Report& report)
      : map_(node, "spec.egress[]", report), report_(report) {
    draft_.rule.terms = terms;
    draft_.rule.place = place_of(node, report);
  }

  RuleDraft read() {
    if (map_.node().kind != YamlNode::Kind::map) return std::move(draft_);
    if (const YamlNode* name = map_.require("name")) read_name(*name);
    if (const YamlNode* action = map_.require("action")) read_action(*action);
    const YamlNode* to = map_.find("to");
    rule().any_destination = to == nullptr;
    if (to != nullptr) read_to(*to);
    if (const YamlNode* protocols = map_.find("protocols")) read_protocols(*protocols);
    if (const YamlNode* binding = map_.find("destinationBinding")) read_binding(*binding);
    if (const YamlNode* budget = map_.find("budget")) read_budget(*budget);
    read_times();
    read_reactions();
    map_.finish();
    return std::move(draft_);
  }

 private:
  RuleModel& rule() { return draft_.rule; }
  RuleTerms& terms() { return draft_.rule.terms; }

  void read_name(const YamlNode& node) {
    rule().name = read_text(node, "name", report_);
    rule().place = place_of(node, report_);
    if (node.kind == YamlNode::Kind::scalar && !is_rule_name(rule().name)) {
      report_.error(
          node, "E013", "'" + rule().name + "' is not a rule name",
          "1 to 63 of letters, digits, '-', '_' and '.', starting with a letter or digit");
      rule().name.clear();
    }
  }

  void read_action(const YamlNode& node) {
    constexpr std::array<std::string_view, 3> kActions{"Allow", "Deny", "Pass"};
    // Allow fits every other key: one mistake shall be one error.
    terms().action = read_enum(node, "action", kActions, RuleAction::allow, report_);
    if (terms().action == RuleAction::pass && terms().tier == Tier::baseline) {
      report_.error(node, "E027", "action Pass in tier Baseline: there is no next tier",
                    "write Deny, or move the policy to an earlier tier");
    }
  }

  void read_to(const YamlNode& node) {
    MapReader to(node, "to", report_);
    read_destinations(to, "to", rule().destinations, report_);
    if (const YamlNode* sets = to.find("sets")) {
      for (ListedText& item : read_texts(*sets, "to.sets", report_)) {
        draft_.sets.push_back({std::move(item.text), place_of(*item.node, report_)});
      }
    }
    if (lists_nothing(node)) {
      report_.error(node, "E015", "'to' is empty and would match nothing",
                    "leave it out to match any destination");
    }
    to.finish();
  }

  void read_protocols(const YamlNode& node) {
    if (!is_filled_list(node, "protocols", report_)) return;
    for (const YamlNode& item : node.items) {
      if (auto term = read_protocol(item, report_)) rule().protocols.push_back(std::move(*term));
    }
  }

  /// For keys that say more about a flow that is let through.
  void needs_allow(const YamlNode& node, const std::string& key) {
    if (terms().action == RuleAction::allow) return;
    report_.error(
        node, "E034",
        key + " means nothing on a rule whose action is " + std::string(to_string(terms().action)),
        "remove it, or write it on the rule that allows");
  }

  void read_binding(const YamlNode& node) {
    constexpr std::array<std::string_view, 3> kChoices{"off", "audit", "enforce"};
    terms().binding =
        read_enum(node, "destinationBinding", kChoices, DestinationBinding::off, report_);
    needs_allow(node, "destinationBinding");
  }

  void read_budget(const YamlNode& node) {
    needs_allow(node, "budget");
    MapReader map(node, "budget", report_);
    Budget& budget = terms().budget;
    if (const YamlNode* bytes = map.require("bytesOut")) {
      const auto size = parse_size(read_text(*bytes, "budget.bytesOut", report_));
      if (!size && bytes->kind == YamlNode::Kind::scalar) {
        report_.error(*bytes, "E033", "'" + bytes->scalar + "' is not a size",
                      "a whole number of bytes, KB, MB, GB, TB, KiB, MiB, GiB or TiB, like 20GiB");
      }
      budget.bytes_out = size.value_or(0);
    }
    if (const YamlNode* window = map.require("window")) {
      const auto seconds = parse_duration(read_text(*window, "budget.window", report_));
      if (!seconds && window->kind == YamlNode::Kind::scalar) {
        report_.error(*window, "E033", "'" + window->scalar + "' is not a duration",
                      "1s to 366d, in s, m, h or d, like 24h");
      }
      budget.window_seconds = seconds.value_or(0);
    }
    constexpr std::array<std::string_view, 3> kScopes{"subject", "source", "rule"};
    if (const YamlNode* scope = map.find("scope")) {
      budget.scope = read_enum(*scope, "budget.scope", kScopes, BudgetScope::subject, report_);
    }
    constexpr std::array<std::string_view, 2> kOnExceed{"deny", "audit"};
    if (const YamlNode* on_exceed = map.find("onExceed")) {
      budget.on_exceed =
          read_enum(*on_exceed, "budget.onExceed", kOnExceed, OnExceed::deny, report_);
    }
    map.finish();
  }

  void read_time(const YamlNode& node, const std::string& key, int64_t& out) {
    const std::string text = read_text(node, key, report_);
    if (node.kind != YamlNode::Kind::scalar) return;
    if (const auto time = parse_time(text)) {
      out = *time;
    } else {
      report_.error(node, "E032", "'" + text + "' is not a time",
                    "write it as in RFC 3339, like 2026-12-01T00:00:00Z");
    }
  }

  void read_times() {
    if (const YamlNode* node = map_.find("notBefore")) {
      read_time(*node, "notBefore", rule().not_before);
    }
    const YamlNode* expires = map_.find("expiresAt");
    if (expires == nullptr) return;
    read_time(*expires, "expiresAt", rule().expires_at);
    if (rule().expires_at <= rule().not_before) {
      report_.error(*expires, "E032", "expiresAt is not after notBefore",
                    "the rule would never match");
    }
  }

  void read_reactions() {
    constexpr std::array<std::string_view, 2> kOnDeny{"reset", "drop"};
    if (const YamlNode* node = map_.find("onDeny")) {
      terms().on_deny = read_enum(*node, "onDeny", kOnDeny, OnDeny::reset, report_);
    }
    constexpr std::array<std::string_view, 4> kLevels{"none", "denies", "decisions", "all"};
    if (const YamlNode* node = map_.find("log")) {
      terms().log = read_enum(*node, "log", kLevels, LogLevel::decisions, report_);
    }
  }

  MapReader map_;
  Report& report_;
  RuleDraft draft_;
};

}  // namespace

RuleDraft read_rule(const YamlNode& node, const RuleTerms& terms, Report& report) {
  return RuleReader(node, terms, report).read();
}

}  // namespace sallyport
