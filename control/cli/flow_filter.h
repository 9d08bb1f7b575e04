#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/cli/flow_options.h"
#include "control/cli/logged_record.h"
#include "policy/compile/model.h"
#include "policy/runtime/ip_address.h"

namespace sallyport {

/// Which records are asked for: all conditions that were given must hold.
class FlowFilter {
 public:
  /// @return the filter, or what is wrong with an option and what to write.
  static std::expected<FlowFilter, std::string> make(const FlowOptions& options);

  /// A gap is asked for by --event, or where neither --event nor --id is given: what it lacks might
  /// have matched.
  bool matches(const LoggedRecord& record) const;
  /// False only for lines that hold no record that matches, told without reading them as JSON.
  bool could_match(std::string_view line) const;

  bool names_events() const { return !events_.empty(); }

 private:
  bool matches_rule(const LoggedRecord& record) const;
  bool matches_host(const LoggedRecord& record) const;

  bool denied_ = false;
  std::string policy_;  ///< "" for any.
  std::string rule_;    ///< "" for any; of records that no rule decided, the reason.
  bool any_rule_ = true;
  std::optional<DomainPattern> host_;
  std::optional<IpPrefix> src_;
  std::optional<IpPrefix> dst_;
  std::vector<LoggedEvent> events_;  ///< Empty: all.
  std::optional<uint64_t> id_;
  std::string id_text_;
};

}  // namespace sallyport
