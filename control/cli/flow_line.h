#pragma once

#include <string>

#include "control/cli/logged_record.h"

namespace sallyport {

/// How lines for people are laid out.
struct FlowLineStyle {
  unsigned width = 100;  ///< Columns of a line; kLeastFlowLine or more.
  bool colours = false;
};
inline constexpr unsigned kLeastFlowLine = 80;
/// From this width on lines end with the id of the flow.
inline constexpr unsigned kFlowLineWithId = 120;

/// Names of the columns.
std::string flow_line_header(const FlowLineStyle& style);

/// One record on one line of at most `style.width` printable ASCII characters, colours apart,
/// without a line feed: time (UTC), verdict, client, name or address, rule or reason, bytes. What
/// does not fit is cut in its middle, marked "..".
std::string flow_line(const LoggedRecord& record, const FlowLineStyle& style);

/// "2026-11-22", or "" where the record's time is none.
std::string day_of(const LoggedRecord& record);

}  // namespace sallyport
