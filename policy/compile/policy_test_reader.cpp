// PolicyTest documents, read as strictly as policies.
#include <algorithm>
#include <array>
#include <filesystem>
#include <tuple>

#include "policy/compile/identity_feed.h"
#include "policy/compile/policy_test.h"
#include "policy/compile/reading.h"

namespace sallyport {
namespace {

constexpr std::string_view kKind = "PolicyTest";
constexpr std::array<std::string_view, 1> kVersions{"sallyport/v1"};
constexpr std::array<std::string_view, 1> kKinds{kKind};
constexpr std::array<std::string_view, 3> kActions{"Pending", "Allow", "Deny"};  // As in Verdict.
constexpr std::array<std::string_view, 2> kBooleans{"false", "true"};
constexpr std::array<std::string_view, 7> kApps{"tls",   "quic", "http",   "http1",
                                                "http2", "dns",  "unknown"};
// As in Reason, without what no policy leads to.
constexpr std::array<std::string_view, 4> kReasons{"rule", "default_deny", "destination_binding",
                                                   "budget_exceeded"};
constexpr std::array<Reason, kReasons.size()> kReasonValues{
    Reason::rule, Reason::default_deny, Reason::destination_binding, Reason::budget_exceeded};

class SuiteReader {
 public:
  SuiteReader(const std::string& file, int64_t now, Report& report) : file_(file), report_(report) {
    suite_.now = now;
  }

  PolicyTestSuite read(const YamlNode& document) {
    MapReader root(document, "the document", report_);
    if (document.kind != YamlNode::Kind::map) return std::move(suite_);
    if (const YamlNode* version = root.require("apiVersion")) {
      static_cast<void>(read_choice(*version, "apiVersion", kVersions, report_));
    }
    if (const YamlNode* kind = root.require("kind")) {
      if (!read_choice(*kind, "kind", kKinds, report_)) return std::move(suite_);
    }
    if (const YamlNode* metadata = root.require("metadata")) read_metadata(*metadata);
    if (const YamlNode* now = root.find("now")) read_now(*now);
    if (const YamlNode* list = root.find("identities")) {
      suite_.identities = read_identities(*list, report_);
    }
    if (const YamlNode* tests = root.require("tests")) read_tests(*tests);
    root.finish();
    return std::move(suite_);
  }

 private:
  void read_metadata(const YamlNode& node) {
    MapReader metadata(node, "metadata", report_);
    if (const YamlNode* name = metadata.require("name")) {
      suite_.name = read_text(*name, "metadata.name", report_);
      suite_.place = place_of(*name, report_);
    }
    metadata.finish();
  }

  void read_now(const YamlNode& node) {
    const std::string text = read_text(node, "now", report_);
    if (node.kind != YamlNode::Kind::scalar) return;
    const auto time = parse_time(text);
    if (time) {
      suite_.now = *time;
    } else {
      report_.error(node, "E032", "'" + text + "' is not a time",
                    "write it like 2026-12-01T00:00:00Z");
    }
  }

  void read_tests(const YamlNode& node) {
    if (!is_filled_list(node, "tests", report_)) return;
    for (const YamlNode& item : node.items) read_test(item);
  }

  void read_test(const YamlNode& node) {
    PolicyTestCase test{
        .name = "", .place = place_of(node, report_), .subject = CaptureUse{}, .expected = {}};
    MapReader map(node, "a test", report_);
    if (node.kind != YamlNode::Kind::map) return;
    if (const YamlNode* name = map.require("name")) {
      test.name = read_text(*name, "name", report_);
      test.place = place_of(*name, report_);
      refuse_second(test, *name);
    }
    const YamlNode* flow = map.find("flow");
    const YamlNode* capture = map.find("capture");
    if ((flow == nullptr) == (capture == nullptr)) {
      report_.error(node, "E009", "a test needs a flow or a capture, and one of them only");
    } else if (flow != nullptr) {
      if (auto read = read_flow(*flow, suite_.now, report_)) test.subject = std::move(*read);
    } else {
      test.subject = read_capture(*capture);
    }
    if (const YamlNode* expect = map.require("expect")) test.expected = read_expected(*expect);
    map.finish();
    suite_.tests.push_back(std::move(test));
  }

  void refuse_second(const PolicyTestCase& test, const YamlNode& name) {
    const auto first = std::ranges::find(suite_.tests, test.name, &PolicyTestCase::name);
    if (first == suite_.tests.end()) return;
    report_.error(name, "E014", "test '" + test.name + "' is defined twice",
                  "first on line " + std::to_string(first->place.line));
  }

  CaptureUse read_capture(const YamlNode& node) {
    CaptureUse out;
    MapReader map(node, "capture", report_);
    if (const YamlNode* file = map.require("file")) {
      const auto folder = std::filesystem::path(file_).parent_path();
      out.path = (folder / read_text(*file, "capture.file", report_)).string();
    }
    if (const YamlNode* filter = map.find("filter")) out.filter = read_filter(*filter);
    map.finish();
    return out;
  }

  CaptureFilter read_filter(const YamlNode& node) {
    CaptureFilter out;
    MapReader map(node, "capture.filter", report_);
    if (const YamlNode* host = map.find("host")) {
      out.host = read_text(*host, "capture.filter.host", report_);
    }
    if (const YamlNode* source = map.find("src")) out.source = read_block(*source);
    if (const YamlNode* destination = map.find("dst")) out.destination = read_block(*destination);
    if (const YamlNode* port = map.find("port")) {
      const std::string text = read_text(*port, "capture.filter.port", report_);
      const auto number = parse_whole_number(text, UINT16_MAX);
      if (number && *number != 0) {
        out.port = static_cast<uint16_t>(*number);
      } else if (port->kind == YamlNode::Kind::scalar) {
        report_.error(*port, "E021", "'" + text + "' is not a port", "1 to 65535");
      }
    }
    if (const YamlNode* app = map.find("app")) {
      if (const auto choice = read_choice(*app, "capture.filter.app", kApps, report_)) {
        out.app = kApps[*choice];
      }
    }
    map.finish();
    return out;
  }

  std::optional<IpPrefix> read_block(const YamlNode& node) {
    YamlNode list;  // read_cidrs() has all the messages.
    list.kind = YamlNode::Kind::sequence;
    list.items = {node};
    const auto blocks = read_cidrs(list, "capture.filter", report_);
    return blocks.empty() ? std::nullopt : std::optional(blocks.front());
  }

  ExpectedOutcome read_expected(const YamlNode& node) {
    ExpectedOutcome out;
    MapReader map(node, "expect", report_);
    if (const YamlNode* action = map.find("action")) {
      const auto choice = read_choice(*action, "expect.action", kActions, report_);
      if (choice) out.action = static_cast<Verdict>(*choice);
    }
    if (const YamlNode* rule = map.find("rule")) out.rule = read_rule_name(*rule);
    if (const YamlNode* would_deny = map.find("wouldDeny")) {
      const auto choice = read_choice(*would_deny, "expect.wouldDeny", kBooleans, report_);
      if (choice) out.would_deny = *choice == 1;
    }
    if (const YamlNode* reason = map.find("reason")) {
      const auto choice = read_choice(*reason, "expect.reason", kReasons, report_);
      if (choice) out.reason = kReasonValues[*choice];
    }
    map.finish();
    if (node.kind == YamlNode::Kind::map && node.entries.empty()) {
      report_.error(node, "E015", "expect is empty and would hold for anything",
                    "write action: Allow, Deny or Pending");
    }
    return out;
  }

  std::string read_rule_name(const YamlNode& node) {
    std::string rule = read_text(node, "expect.rule", report_);
    const bool named = rule == kDefaultDeny || std::ranges::count(rule, '/') == 1;
    if (node.kind == YamlNode::Kind::scalar && !named) {
      report_.error(node, "E037", "'" + rule + "' is not a rule",
                    "write POLICY/RULE, or default_deny for none");
    }
    return rule;
  }

  const std::string& file_;
  Report& report_;
  PolicyTestSuite suite_;
};

}  // namespace

bool is_policy_test(const SourceFile& source) {
  const auto documents = parse_yaml(source);
  if (!documents) return false;
  return std::ranges::any_of(*documents, [](const YamlNode& document) {
    const auto kind = std::ranges::find(document.entries, "kind", &YamlNode::Entry::key);
    return kind != document.entries.end() && kind->value.scalar == kKind;
  });
}

std::expected<std::vector<PolicyTestSuite>, std::vector<Diagnostic>> load_policy_tests(
    std::span<const SourceFile> sources, int64_t now) {
  std::vector<PolicyTestSuite> suites;
  std::vector<Diagnostic> diagnostics;
  for (const SourceFile& source : sources) {
    auto documents = parse_yaml(source);
    if (!documents) {
      std::ranges::move(documents.error(), std::back_inserter(diagnostics));
      continue;
    }
    Report report(source.name);
    for (const YamlNode& document : *documents) {
      if (document.kind == YamlNode::Kind::null) continue;  // Only comments.
      suites.push_back(SuiteReader(source.name, now, report).read(document));
    }
    std::ranges::move(report.take(), std::back_inserter(diagnostics));
  }
  if (!diagnostics.empty()) {
    std::ranges::stable_sort(diagnostics, [](const Diagnostic& a, const Diagnostic& b) {
      return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
    });
    return std::unexpected(std::move(diagnostics));
  }
  return suites;
}

}  // namespace sallyport
