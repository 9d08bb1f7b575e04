#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport {

// The patterns of the language as Hyperscan expressions. All of them match a whole text, never a
// part of one. Those of names are scanned over the name as it is, the others over a FramedText.

/// Hyperscan flags that every pattern is compiled with.
extern const unsigned kPatternFlags;

/// An entry of domainRegexes.
std::string regex_expression(std::string_view regex);
/// A path glob: '*' is any run of bytes but '/', '**' any run.
std::string path_expression(std::string_view glob);
/// A header glob: '*' is any run of bytes.
std::string header_expression(std::string_view glob);

/// Why Hyperscan does not take this entry of domainRegexes, by itself; nothing when it does.
std::optional<std::string> regex_error(std::string_view regex);

/// What did not compile, and which of the expressions it was, if one alone was to blame.
struct PatternError {
  std::string message;
  std::optional<size_t> index;
};

/// Compiles whole-text expressions with ids from `first_id` on, for the CPU level that the whole
/// project is built for. The same expressions give the same bytes on every node.
/// @return the serialized database; empty for no expressions.
std::expected<std::vector<uint8_t>, PatternError> compile_patterns(
    std::span<const std::string> expressions, unsigned first_id);

/// The same for literals (name_database.h), with ids from 0 on.
std::expected<std::vector<uint8_t>, PatternError> compile_literals(
    std::span<const std::string> literals);

}  // namespace sallyport
