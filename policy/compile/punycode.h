#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sallyport {

/// A host name with its non-ASCII labels in punycode ("bücher.de" → "xn--bcher-kva.de"), ASCII
/// letters lower-cased. For hints only: full IDNA mapping (other cases, composition) is not done.
/// @return nothing when the text is not UTF-8 or a label has over 63 characters.
std::optional<std::string> to_punycode(std::string_view name);

}  // namespace sallyport
