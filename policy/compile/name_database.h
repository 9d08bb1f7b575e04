#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "policy/compile/model.h"

namespace sallyport {

/// The Hyperscan literal that finds this pattern in a FramedName. `pattern.name` is canonical.
std::string literal_of(const DomainPattern& pattern);

/// Compiles literals, whose places in the list become their ids, for the CPU level that the whole
/// project is built for: the same names give the same bytes on every node.
/// @return the serialized database (empty for no literals), or what Hyperscan said.
std::expected<std::vector<uint8_t>, std::string> compile_names(
    const std::vector<std::string>& literals);

}  // namespace sallyport
