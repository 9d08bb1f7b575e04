#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "policy/runtime/facts.h"
#include "policy/runtime/ip_address.h"
#include "policy/runtime/rule.h"
#include "policy/yaml/document.h"

namespace sallyport {

/// Where something stands in the sources. Lines and columns count from 1.
struct SourcePlace {
  std::string file;
  unsigned line = 0;
  unsigned column = 0;
};

/// A host name in a rule, canonical. A wildcard "*.x" keeps x and is one or more labels under it.
struct DomainPattern {
  std::string name;
  bool wildcard = false;

  auto operator<=>(const DomainPattern&) const = default;
};

/// An entry of domainRegexes. It must match a whole name.
struct DomainRegex {
  std::string text;
  SourcePlace place;
};

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;

  auto operator<=>(const PortRange&) const = default;
};

/// What `to` of a rule, or a DestinationSet, lists.
struct Destinations {
  std::vector<DomainPattern> names;
  std::vector<DomainRegex> regexes;
  std::vector<IpPrefix> cidrs;

  bool has_names() const noexcept { return !names.empty() || !regexes.empty(); }
};

/// One DestinationSet document.
struct DestinationSetModel {
  std::string name;
  SourcePlace place;  ///< Of metadata.name.
  Destinations destinations;
};

enum class ProtocolKind : uint8_t { tls, quic, http, dns, tcp, udp, icmp, count_ };

/// The protocol that a term of this kind asks a flow to be; none for tcp, udp and icmp.
constexpr std::optional<AppProtocol> app_of(ProtocolKind kind) noexcept {
  switch (kind) {
    case ProtocolKind::tls:
      return AppProtocol::tls;
    case ProtocolKind::quic:
      return AppProtocol::quic;
    case ProtocolKind::http:
      return AppProtocol::http;
    case ProtocolKind::dns:
      return AppProtocol::dns;
    default:
      return {};
  }
}

/// Which hellos a tls or quic term is about, by whether they carry encrypted_client_hello.
enum class EchMatch : uint8_t {
  any,
  without,  ///< `ech: deny`
  with,     ///< `ech: require`
};

/// `*` in `glob` is any run of bytes.
struct HeaderMatch {
  std::string name;  ///< Lower case.
  std::string glob;

  auto operator<=>(const HeaderMatch&) const = default;
};

/// One entry of `protocols`. tls and http are over TCP, quic over UDP, dns over both.
struct ProtocolTerm {
  ProtocolKind kind{};
  std::vector<PortRange> ports;  ///< Any of them; empty = any port.
  // tls and quic only
  std::vector<std::string> alpns;  ///< Empty = any. See AlpnMatch in docs/policy.md.
  std::vector<std::string> ja4s;   ///< Any of them; empty = any.
  EchMatch ech = EchMatch::any;
  // http only
  std::vector<std::string> methods;  ///< Any of them; empty = any.
  std::vector<std::string> paths;    ///< Globs, any of them; empty = any.
  std::vector<HeaderMatch> headers;  ///< All of them, sorted by name.
};

/// A rule has at most so many header conditions in one protocol term.
inline constexpr size_t kMaxHeaderMatches = 4;

struct RuleModel {
  std::string name;
  SourcePlace place;  ///< Of its name.
  RuleTerms terms;
  int64_t not_before = kBeginningOfTime;  ///< Unix seconds, inclusive.
  int64_t expires_at = kEndOfTime;        ///< Unix seconds, exclusive.
  bool any_destination = false;           ///< No `to`: destinations and sets are empty.
  Destinations destinations;
  std::vector<const DestinationSetModel*> sets;
  std::vector<ProtocolTerm> protocols;  ///< Any of them; empty = any protocol.
};

using Labels = std::map<std::string, std::string>;

/// One EgressPolicy document.
struct PolicyModel {
  std::string name;
  SourcePlace place;  ///< Of metadata.name.
  Labels metadata_labels;
  Tier tier = Tier::application;
  uint32_t priority = 0;
  PolicyMode mode = PolicyMode::enforce;
  std::vector<IpPrefix> subjects;  ///< Empty = every inside address.
  Labels subject_labels;           ///< All of them; empty = any.
  std::vector<RuleModel> rules;    ///< In the order written.
};

/// All documents of a policy.
struct PolicyModels {
  std::vector<PolicyModel> policies;  ///< In the order they are tried: tier, priority, name.
  std::vector<std::unique_ptr<const DestinationSetModel>> sets;  ///< By name.
};

/// Parses and validates all files. The models own what they point to and may be moved. Keeps no
/// state: any thread may call it; throws nothing but std::bad_alloc.
/// @return the documents, or every error of every file, in the order of place: files by name.
std::expected<PolicyModels, std::vector<Diagnostic>> load_policies(
    std::span<const SourceFile> sources);

}  // namespace sallyport
