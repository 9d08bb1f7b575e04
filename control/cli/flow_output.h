#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "control/cli/flow_line.h"
#include "control/cli/logged_record.h"

namespace sallyport {

/// Where records that match go. One thread.
class FlowOutput {
 public:
  using Write = std::function<void(const std::string& text)>;

  virtual ~FlowOutput() = default;
  /// A record, and the line that it stands on.
  virtual void add(const LoggedRecord& record, std::string_view line) = 0;
  /// What was added is history: it goes out, and what comes from now on at once.
  virtual void go_live() = 0;
  /// Lines or records that are kept for go_live(); at most as many as were asked for.
  virtual size_t kept() const = 0;
};

/// The records as they stand in the log, one a line. What is not printable ASCII, which no gateway
/// writes, is escaped as JSON has it.
/// @param last  So many of the history.
std::unique_ptr<FlowOutput> json_flow_output(size_t last, FlowOutput::Write write);

/// A line for each flow and each further request. The end of a flow is no line of its own where its
/// verdict is at hand: it gives that line its bytes.
struct FlowTextOptions {
  FlowLineStyle style;
  size_t last = SIZE_MAX;     ///< So many lines of the history.
  bool every_record = false;  ///< Events were asked for by name: a line for each record.
};
std::unique_ptr<FlowOutput> text_flow_output(const FlowTextOptions& options,
                                             FlowOutput::Write write);

}  // namespace sallyport
