#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "policy/compile/region_language.h"

namespace sallyport {

/// The syntax tree of a regular expression without anchors.
struct Pattern {
  enum class Kind : uint8_t { bytes, sequence, choice, repeat };
  static constexpr unsigned kNoLimit = UINT32_MAX;

  Kind kind = Kind::sequence;  ///< An empty sequence is the empty text.
  RegularLanguage::Bytes bytes;
  std::vector<Pattern> parts;
  unsigned min = 0;
  unsigned max = kNoLimit;

  static Pattern one_of(const RegularLanguage::Bytes& bytes);
  static Pattern byte(char c);
  static Pattern text(std::string_view text);
  static Pattern repeated(Pattern what, unsigned min, unsigned max = kNoLimit);
};

/// Reads the subset of PCRE that RegularLanguage::regex() documents.
std::optional<Pattern> parse_regex(std::string_view text);

/// Turns a pattern into an automaton.
class AutomatonBuilder {
 public:
  /// nullopt when it has too many states.
  static std::optional<RegularLanguage> build(const Pattern& pattern);

 private:
  /// Adds the automaton of `pattern` that goes on to state `next`. @return its first state.
  uint32_t add(const Pattern& pattern, uint32_t next);
  uint32_t add_repeat(const Pattern& pattern, uint32_t next);
  uint32_t add_state(RegularLanguage::State state);
  uint32_t set_index(const RegularLanguage::Bytes& bytes);

  RegularLanguage out_;
  bool too_big_ = false;
};

}  // namespace sallyport
