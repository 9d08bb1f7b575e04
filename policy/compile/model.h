#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "policy/runtime/ip_address.h"
#include "policy/runtime/verdict.h"
#include "policy/yaml/document.h"

namespace sallyport {

/// A host name in a rule, canonical. A wildcard "*.x" keeps x and is one or more labels under it.
struct DomainPattern {
  std::string name;
  bool wildcard = false;

  auto operator<=>(const DomainPattern&) const = default;
};

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
};

enum class ProtocolKind : uint8_t { tls, http, tcp, udp };

/// One entry of `protocols`. tls and http are over TCP.
struct ProtocolTerm {
  ProtocolKind kind{};
  std::vector<PortRange> ports;  ///< Any of them; empty = any port.
};

struct RuleModel {
  std::string name;
  Verdict action = Verdict::deny;
  bool any_destination = false;  ///< No `to`: names and cidrs are empty.
  std::vector<DomainPattern> names;
  std::vector<IpPrefix> cidrs;
  std::vector<ProtocolTerm> protocols;  ///< Any of them; empty = any protocol.
};

/// One EgressPolicy document.
struct PolicyModel {
  std::string name;
  std::vector<IpPrefix> subjects;  ///< Empty = every inside address.
  std::vector<RuleModel> rules;    ///< In the order written.
};

/// Parses and validates all files. Policies come sorted by name: the order they are tried in.
std::expected<std::vector<PolicyModel>, std::vector<Diagnostic>> load_policies(
    std::span<const SourceFile> sources);

/// Reads one item of spec.egress, reporting everything wrong with it.
RuleModel read_rule(const YamlNode& node, Report& report);

/// A list of address blocks; `what` names it in messages.
std::vector<IpPrefix> read_cidrs(const YamlNode& node, const std::string& what, Report& report);

/// The text of a scalar; reports anything else and gives "".
std::string read_text(const YamlNode& node, const std::string& what, Report& report);

/// Whether `node` is a list with something in it; reports it otherwise.
bool is_filled_list(const YamlNode& node, const std::string& what, Report& report);

/// Reports each of `keys` that stands in the map as known but not supported yet.
void refuse_unsupported(MapReader& map, const std::string& what,
                        std::span<const std::string_view> keys, Report& report);

}  // namespace sallyport
