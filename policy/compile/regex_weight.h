#pragma once

#include <cstddef>
#include <string_view>

namespace sallyport {

/// Names have up to 253 bytes: longer repeats say nothing more, and cost Hyperscan minutes.
inline constexpr size_t kMaxRegexWeight = 1000;

/// About how many characters a regex has with its counted repeats written out: "(ab{3}){1,10}" has
/// 40. Hyperscan's work grows at least with it. Syntax errors are for Hyperscan to find; where they
/// make counting a guess, and for \Q and (?# that hide brackets, this is over kMaxRegexWeight.
size_t regex_weight(std::string_view regex);

}  // namespace sallyport
