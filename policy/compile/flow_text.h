#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/compile/model.h"
#include "policy/runtime/facts.h"
#include "policy/yaml/document.h"

namespace sallyport {

/// A fact that is a text; `value` holds only where it is present.
struct TextFact {
  Known known = Known::unknown;
  std::string value;

  bool operator==(const TextFact&) const = default;
};

/// FlowFacts with texts of their own, and the labels of the source. What nobody said is unknown.
struct FlowValues {
  IpAddress source;
  IpAddress destination;
  uint8_t ip_protocol = kIpProtocolTcp;
  uint16_t destination_port = 0;
  int64_t unix_seconds = 0;

  Known app_known = Known::unknown;
  AppProtocol app{};
  TextFact name;  ///< Canonical.
  Known alpns_known = Known::unknown;
  std::vector<std::string> alpns;
  TextFact ja4;
  Known ech_known = Known::unknown;
  TextFact method;
  TextFact path;  ///< Without query.
  Known headers_known = Known::unknown;
  std::vector<std::pair<std::string, std::string>> headers;  ///< Names in lower case.
  Known binding_known = Known::unknown;
  bool budget_spent = false;
  std::optional<Labels> labels;  ///< All labels of the source; none: whatever the table knows.

  bool operator==(const FlowValues&) const = default;
};

/// One flow as somebody described it. Cheap to copy; copies share what they hold, which nobody can
/// change any more, so any thread may read it.
class FlowDescription {
 public:
  explicit FlowDescription(FlowValues values);

  const FlowValues& values() const noexcept;
  /// A view for decide(). Lives as long as this description or any copy of it.
  FlowFacts facts() const noexcept;

 private:
  struct Shared;
  std::shared_ptr<const Shared> shared_;
};

/// One thing wrong with a description.
struct FlowFault {
  static constexpr size_t kWholeFlow = SIZE_MAX;

  size_t word = kWholeFlow;  ///< Which KEY=VALUE it is about, from 0.
  std::string message;
  std::string hint;  ///< What to do; may be empty.
};
using FlowFaults = std::vector<FlowFault>;

/// One KEY=VALUE of a description.
struct FlowWord {
  std::string key;
  std::string value;
};

/// Reads "src=10.1.2.3 dst=203.0.113.9:443 tls.sni=pypi.org". docs/policy.md lists the keys. Double
/// quotes keep blanks in a value, with \" and \\ inside. `-` says that there is no such thing; what
/// is left out is unknown. A tls., quic., http. or dns. key says what the application is, and that
/// what the IP protocol is.
/// @param now  Unix seconds; the time of the flow unless it says another.
/// @return     the flow, or everything that is wrong with it, in the order written.
std::expected<FlowDescription, FlowFaults> parse_flow(std::string_view text, int64_t now);

/// The same from words that are already apart.
std::expected<FlowDescription, FlowFaults> parse_flow(std::span<const FlowWord> words, int64_t now);

/// The same from YAML: one text, or a map of the same keys, in which `tls: {sni: pypi.org}` is
/// another way to write `tls.sni`, null one to write `-`, and a list to give several values.
/// @return nothing after an error, which `report` then has (E036).
std::optional<FlowDescription> read_flow(const YamlNode& node, int64_t now, Report& report);

/// The same from one line of the flow log, or of what `sallyport replay --out` writes. A record
/// says nothing of labels, of headers or of the destination binding.
/// @return the flow at the time of the record, or why it cannot be read.
std::expected<FlowDescription, std::string> parse_flow_record(std::string_view json, int64_t now);

/// "tcp", "udp", "icmp" (of both families) or "IP protocol 47".
std::string ip_protocol_text(uint8_t ip_protocol);

/// What parse_flow() reads as the same flow, given the same `now`.
std::string to_text(const FlowDescription& flow, int64_t now);

}  // namespace sallyport
