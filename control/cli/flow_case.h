#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "control/cli/flow_output.h"
#include "control/cli/logged_record.h"
#include "policy/compile/explain.h"

namespace sallyport {

/// Of the records that it is given, the last flow, and of that the record to explain: its last
/// denial, or else its last verdict.
class FlowCase final : public FlowOutput {
 public:
  void add(const LoggedRecord& record, std::string_view line) override;
  void go_live() override {}
  size_t kept() const override { return found() ? 1 : 0; }

  bool found() const noexcept { return !line_.empty(); }
  const LoggedRecord& record() const noexcept { return record_; }
  const std::string& line() const noexcept { return line_; }
  /// Flows before it that had the same id: ids begin anew when the gateway does.
  size_t earlier() const noexcept { return earlier_; }

 private:
  LoggedRecord record_;
  std::string line_;
  size_t earlier_ = 0;
};

/// What decide() says of a recorded flow, and what came near to letting it pass.
struct FlowFinding {
  FlowDescription flow;
  Explanation explanation;
  std::vector<NearRule> near_rules;
  bool agrees = false;  ///< With the verdict and the rule of the record.
};

/// Decides a recorded flow anew. What a record does not tell and its verdict implies is filled in:
/// that an address was bound or was not, a budget spent; of a flow that was decided, that what it
/// was not seen to have it does not have.
/// @return why the record cannot be read as a flow, otherwise.
std::expected<FlowFinding, std::string> find_out(const FlowCase& which, Explainer& explainer);

}  // namespace sallyport
