#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policy/compile/compile.h"
#include "policy/runtime/table.h"

namespace sallyport::test {

/// A policy document around `spec`, whose lines are indented by two.
std::string policy_text(std::string_view spec, std::string_view name = "p");

/// Compiles and loads, failing the test case with the diagnostics when either does not work.
std::unique_ptr<PolicyTable> load_table(const std::vector<SourceFile>& sources,
                                        unsigned workers = 1);
std::unique_ptr<PolicyTable> load_table(const std::string& text);

/// The facts of a flow written as text: "src=10.0.0.1 dst=203.0.113.9 tcp/443 app=tls
/// name=pypi.org". Defaults: src 10.1.2.3, dst 198.51.100.1, tcp/443, app and name unknown; "app=-"
/// and "name=-" are absent. Keeps the name, so the facts live as long as this does.
class Flow {
 public:
  Flow(std::string_view text);  // NOLINT(google-explicit-constructor): tables read better.
  Flow(const char* text) : Flow(std::string_view(text)) {}
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  const FlowFacts& facts() const { return facts_; }

 private:
  void set(std::string_view word);

  std::string name_;
  FlowFacts facts_;
};

/// A decision in words: "allow p/hub", "deny default_deny", "pending app name".
std::string say(const PolicyTable& table, const Decision& decision);
std::string say(const PolicyTable& table, const Flow& flow);

}  // namespace sallyport::test
