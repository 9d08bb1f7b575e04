#pragma once

#include <deque>
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
/// name=pypi.org alpn=h2,h3 ja4=… ech=yes method=GET path=/a header.accept=x binding=bound
/// budget=spent time=1000". Defaults: src 10.1.2.3, dst 198.51.100.1, tcp/443, time 0, all else
/// unknown; "-" as a value is absent. Keeps the texts, so the facts live as long as this does.
class Flow {
 public:
  Flow(std::string_view text);  // NOLINT(google-explicit-constructor): tables read better.
  Flow(const char* text) : Flow(std::string_view(text)) {}
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  const FlowFacts& facts() const { return facts_; }

 private:
  void set(std::string_view word);
  bool set_application(std::string_view key, std::string_view value);

  std::deque<std::string> texts_;  ///< What the facts point to.
  std::vector<std::string_view> alpns_;
  std::vector<HttpHeader> headers_;
  FlowFacts facts_;
};

/// A decision in words: "allow p/hub", "deny default_deny", "pending app name".
std::string say(const PolicyTable& table, const Decision& decision);
std::string say(const PolicyTable& table, const Flow& flow);

}  // namespace sallyport::test
