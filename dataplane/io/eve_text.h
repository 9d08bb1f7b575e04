#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/eve_time.h"
#include "dataplane/io/flow_event.h"
#include "dataplane/io/policy_names.h"

namespace sallyport {

/// Of every record, those of gaps too: what its fields mean.
inline constexpr int kEventSchema = 1;

/// Writes events as lines of JSON shaped like Suricata's EVE. Belongs to one thread. It keeps what
/// the next event is likely to need again, and allocates nothing once `out` has grown.
class EveText {
 public:
  explicit EveText(const PolicyNames& names) : names_(names) {}

  /// Appends the event, without a newline.
  void append(const FlowEvent& event, std::string& out);

  /// The same for `sallyport replay --out`: with the capture's name and flat fields.
  /// @param end    The flow's end.
  /// @param first  Its first decision by what it said; the same as `end` if there was none.
  /// @param hosts  All that it named.
  void append_of_capture(const FlowEvent& end, const FlowEvent& first,
                         const std::vector<std::string>& hosts, std::string_view pcap,
                         std::string& out);

 private:
  const PolicyNames::View& names_of(uint32_t generation);

  const PolicyNames& names_;
  PolicyNames::View view_;
  uint32_t view_generation_ = 0;
  EveTime time_;
};

/// One event alone.
std::string to_eve(const FlowEvent& event, const PolicyNames& names);
std::string to_eve_of_capture(const FlowEvent& end, const FlowEvent& first,
                              const std::vector<std::string>& hosts, const PolicyNames& names,
                              const std::string& pcap);

}  // namespace sallyport
