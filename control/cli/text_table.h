#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/common/number_text.h"

namespace sallyport {

/// Columns aligned with spaces. The first row is the header; column 0 is left-aligned, and so are
/// the others unless `numbers` says that they hold numbers.
std::string align(const std::vector<std::vector<std::string>>& rows,
                  const std::vector<bool>& numbers);

/// True when the open file is a terminal that wants colours (NO_COLOR unset).
bool colours_wanted(int fd);

/// `text` in an SGR colour ("31" red, "32" green, "1" bold) when standard output wants colours.
std::string coloured(std::string_view text, std::string_view sgr);

}  // namespace sallyport
