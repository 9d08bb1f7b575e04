#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport {

/// A regular language over bytes, as a nondeterministic automaton. What globs, name patterns and
/// domainRegexes become so that one can be compared with another.
class RegularLanguage {
 public:
  using Bytes = std::bitset<256>;

  /// Whole-text match of a domainRegexes entry.
  /// @return nullopt for what is not understood here: assertions in the middle, back references,
  ///         named classes, inline options, possessive quantifiers, very long repeats.
  static std::optional<RegularLanguage> regex(std::string_view text);
  /// Any of the path globs: '*' is any run without '/', '**' any run. Only paths, which start
  /// with '/'.
  static RegularLanguage paths(std::span<const std::string> globs);
  /// '*' is any run of bytes.
  static RegularLanguage header(std::string_view glob);
  /// Exactly these texts.
  static RegularLanguage words(std::span<const std::string> texts);
  /// One or more labels and then `suffix`, which is empty or starts with '.'. Lengths are not
  /// looked at.
  static RegularLanguage names_under(std::string_view suffix);
  /// The same with any of the suffixes.
  static RegularLanguage names_under_any(std::span<const std::string> suffixes);
  static RegularLanguage any_path();

  bool matches(std::string_view text) const;

  /// A node of the automaton. `kSplit` goes on to both others without a byte.
  struct State {
    uint32_t bytes = 0;  ///< Index into sets(), kSplit or kAccept.
    uint32_t next = 0;
    uint32_t other = 0;
  };
  static constexpr uint32_t kSplit = UINT32_MAX;
  static constexpr uint32_t kAccept = UINT32_MAX - 1;

  /// Sorted states that are not splits.
  using Active = std::vector<uint32_t>;
  Active start() const;
  Active step(const Active& from, unsigned char byte) const;
  bool accepts(const Active& active) const;
  const std::vector<State>& states() const noexcept { return states_; }
  const std::vector<Bytes>& sets() const noexcept { return sets_; }

 private:
  friend class AutomatonBuilder;
  void close(std::vector<uint32_t>& todo, Active& out) const;

  std::vector<State> states_;
  std::vector<Bytes> sets_;
  uint32_t start_ = 0;
};

enum class WordSearch : uint8_t {
  found,
  none,     ///< Proved: there is no such word.
  gave_up,  ///< Too many states.
};

/// The shortest word, or one of them, that is in all of `in` and in none of `out`.
WordSearch find_word(std::span<const RegularLanguage* const> in,
                     std::span<const RegularLanguage* const> out, std::string& word);
/// The same with a limit: `work` units, about 25 ns each, less those that the search took. It
/// grows with the automata, so many large ones end a search sooner. 0 after it gave up.
WordSearch find_word(std::span<const RegularLanguage* const> in,
                     std::span<const RegularLanguage* const> out, std::string& word,
                     uint64_t& work);

}  // namespace sallyport
