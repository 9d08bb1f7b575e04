#include "policy/compile/domain_name.h"

#include <algorithm>

#include "policy/compile/punycode.h"
#include "policy/runtime/framed_name.h"
#include "policy/runtime/host_name.h"

namespace sallyport {
namespace {

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

bool has_non_ascii(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

bool has_upper_case(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

ValueError non_ascii(std::string_view text) {
  const auto encoded = to_punycode(text);
  return {"E016", quoted(text) + " is not in ASCII; names are compared as A-labels",
          encoded ? "write " + quoted(*encoded) : "write the name in punycode"};
}

ValueError from_fault(HostNameFault fault, std::string_view text) {
  if (fault == HostNameFault::address_literal) {
    return {"E017", quoted(text) + " is an IP address, not a domain name", "list it under cidrs"};
  }
  return {"E016", quoted(text) + " is not a domain name: " + std::string(to_string(fault)), ""};
}

}  // namespace

std::expected<DomainPattern, ValueError> parse_domain_pattern(std::string_view text) {
  constexpr std::string_view kWildcard = "*.";
  if (text == "*") {
    return std::unexpected(ValueError{"E018", "'*' alone is not a domain name",
                                      "leave out 'to' to match any destination"});
  }
  DomainPattern pattern;
  std::string_view name = text;
  if (name.starts_with(kWildcard)) {
    pattern.wildcard = true;
    name.remove_prefix(kWildcard.size());
  }
  if (name.find('*') != std::string_view::npos) {
    return std::unexpected(
        ValueError{"E018", quoted(text) + ": '*' may stand only for all labels in front of a name",
                   "write '*.' and the name under which everything matches"});
  }
  if (parse_ip_prefix_clearing(name)) {  // IPv6 text and blocks, too, which are no host names.
    return std::unexpected(from_fault(HostNameFault::address_literal, text));
  }
  if (has_non_ascii(text)) return std::unexpected(non_ascii(text));
  HostName canonical;
  if (const auto fault = canonical.assign(name); fault != HostNameFault::none) {
    return std::unexpected(from_fault(fault, text));
  }
  if (has_upper_case(text)) {
    return std::unexpected(ValueError{"E016", quoted(text) + " has upper-case letters",
                                      "write " + quoted(lower_case(text))});
  }
  pattern.name = canonical.view();
  // "a." in front of the shortest name under it must still fit.
  if (pattern.wildcard && pattern.name.size() + kWildcard.size() > kMaxHostNameBytes) {
    return std::unexpected(from_fault(HostNameFault::too_long, text));
  }
  return pattern;
}

std::string literal_of(const DomainPattern& pattern) {
  FramedName framed;
  if (!framed.assign(pattern.name)) return "";
  std::string out(framed.exact());
  if (pattern.wildcard) out.back() = '.';  // In place of the end: more labels must follow.
  return out;
}

}  // namespace sallyport
