#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "policy/compile/model.h"

namespace sallyport {

/// What is wrong with one value, before its place in a file is known.
struct ValueError {
  std::string code;
  std::string message;
  std::string hint;
};

/// One entry of domainNames: a host name in lower-case A-labels, or "*." and such a name. One
/// trailing dot is stripped.
/// @return the pattern, or E016 (bad name), E017 (an address) or E018 (misplaced '*').
std::expected<DomainPattern, ValueError> parse_domain_pattern(std::string_view text);

/// The Hyperscan literal that finds this pattern in a FramedName. `pattern.name` is canonical.
std::string literal_of(const DomainPattern& pattern);

}  // namespace sallyport
