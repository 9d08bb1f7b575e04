#include <algorithm>
#include <utility>

#include "policy/compile/region_automaton.h"

namespace sallyport {
namespace {

using Bytes = RegularLanguage::Bytes;

constexpr unsigned kMaxRepeat = 1000;
constexpr unsigned kMaxDepth = 64;

void set_range(Bytes& bytes, unsigned char first, unsigned char last) {
  for (unsigned byte = first; byte <= last; ++byte) bytes.set(byte);
}

/// \d, \w and \s, or with a capital letter all else.
std::optional<Bytes> shorthand(char letter) {
  Bytes out;
  const bool negated = letter >= 'A' && letter <= 'Z';
  switch (negated ? letter - 'A' + 'a' : letter) {
    case 'd':
      set_range(out, '0', '9');
      break;
    case 'w':
      set_range(out, '0', '9');
      set_range(out, 'a', 'z');
      set_range(out, 'A', 'Z');
      out.set('_');
      break;
    case 's':
      set_range(out, '\t', '\r');
      out.set(' ');
      break;
    default:
      return std::nullopt;
  }
  return negated ? ~out : out;
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Recursive descent. Every function leaves ok_ false at what it does not know: the caller then
/// keeps the text as an opaque condition, so guessing is never needed.
class RegexParser {
 public:
  explicit RegexParser(std::string_view text) : text_(text) {}

  std::optional<Pattern> parse() {
    Pattern out = choice(true, 0);
    if (!ok_ || at_ != text_.size()) return std::nullopt;
    return out;
  }

 private:
  bool more() const { return ok_ && at_ < text_.size(); }
  bool looking_at(char c) const { return more() && text_[at_] == c; }
  bool take(char c) {
    if (!looking_at(c)) return false;
    ++at_;
    return true;
  }

  Pattern choice(bool at_start, unsigned depth) {
    if (depth > kMaxDepth) ok_ = false;
    Pattern out{.kind = Pattern::Kind::choice, .bytes = {}, .parts = {}};
    ended_ = false;
    bool ended = false;
    do {
      out.parts.push_back(sequence(at_start, depth));
      ended |= std::exchange(ended_, false);
    } while (take('|'));
    ended_ = ended;
    return out;
  }

  /// `at_start`: nothing was read before, so '^' holds. After a '$' (ended_) nothing may follow.
  Pattern sequence(bool at_start, unsigned depth) {
    Pattern out;
    while (more() && !looking_at('|') && !looking_at(')')) {
      if (ended_) ok_ = false;
      if (take('^')) {
        if (!at_start || !out.parts.empty()) ok_ = false;
      } else if (take('$')) {
        ended_ = true;
      } else {
        const bool first = at_start && out.parts.empty();
        out.parts.push_back(item(first, depth));
      }
    }
    return out;
  }

  Pattern item(bool first, unsigned depth) {
    const bool group = looking_at('(');
    const size_t from = at_;
    Pattern out = group ? parenthesis(first, depth) : Pattern::one_of(one_byte());
    const bool quantified =
        looking_at('*') || looking_at('+') || looking_at('?') || looking_at('{');
    // An anchor inside of something repeated means more than where the text starts and ends.
    if (quantified &&
        text_.substr(from, at_ - from).find_first_of("^$") != std::string_view::npos && group) {
      ok_ = false;
    }
    return quantified ? quantifier(std::move(out)) : out;
  }

  Pattern parenthesis(bool first, unsigned depth) {
    ++at_;
    if (take('?') && !take(':')) ok_ = false;
    Pattern out = choice(first, depth + 1);
    if (!take(')')) ok_ = false;
    return out;
  }

  Pattern quantifier(Pattern what) {
    unsigned min = 0;
    unsigned max = Pattern::kNoLimit;
    if (take('+')) {
      min = 1;
    } else if (take('?')) {
      max = 1;
    } else if (!take('*')) {
      ++at_;
      min = number();
      max = min;
      if (take(',')) max = looking_at('}') ? Pattern::kNoLimit : number();
      if (!take('}') || max < min) ok_ = false;
    }
    take('?');  // Lazy: the same texts match.
    if (looking_at('+') || looking_at('*') || looking_at('{') || looking_at('?')) ok_ = false;
    return Pattern::repeated(std::move(what), min, max);
  }

  unsigned number() {
    unsigned out = 0;
    const size_t from = at_;
    while (more() && text_[at_] >= '0' && text_[at_] <= '9' && out <= kMaxRepeat) {
      out = out * 10 + static_cast<unsigned>(text_[at_++] - '0');
    }
    if (at_ == from || out > kMaxRepeat) ok_ = false;
    return out;
  }

  Bytes one_byte() {
    const char c = text_[at_++];
    Bytes out;
    switch (c) {
      case '[':
        return byte_class();
      case '\\':
        return escape();
      case '.':
        out.set();
        out.reset('\n');
        return out;
      case '*':
      case '+':
      case '?':
      case '{':
      case ')':
        ok_ = false;
        return out;
      default:
        out.set(static_cast<unsigned char>(c));
        return out;
    }
  }

  Bytes escape() {
    Bytes out;
    if (!more()) {
      ok_ = false;
      return out;
    }
    const char c = text_[at_++];
    if (const auto known = shorthand(c)) return *known;
    if (c == 'x') {
      out.set(hex_byte());
    } else if (is_alphanumeric(c)) {
      ok_ = false;
    } else {
      out.set(static_cast<unsigned char>(c));
    }
    return out;
  }

  unsigned char hex_byte() {
    unsigned out = 0;
    for (int i = 0; i < 2; ++i) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      const char c = more() ? text_[at_++] : '?';
      const auto digit = kDigits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
      if (digit == std::string_view::npos) ok_ = false;
      out = out * 16 + static_cast<unsigned>(digit & 15);
    }
    return static_cast<unsigned char>(out);
  }

  Bytes byte_class() {
    Bytes out;
    const bool negated = take('^');
    bool empty = true;
    while (more() && (empty || !looking_at(']'))) {
      empty = false;
      const Bytes first = class_item();
      const bool range = looking_at('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (!range) {
        out |= first;
        continue;
      }
      ++at_;
      add_range(first, class_item(), out);
    }
    if (!take(']')) ok_ = false;
    return negated ? ~out : out;
  }

  Bytes class_item() {
    if (looking_at('[')) {
      const char after = at_ + 1 < text_.size() ? text_[at_ + 1] : ' ';
      if (after == ':' || after == '.' || after == '=') ok_ = false;
    }
    if (!more()) {
      ok_ = false;
      return {};
    }
    if (take('\\')) return escape();
    Bytes out;
    out.set(static_cast<unsigned char>(text_[at_++]));
    return out;
  }

  void add_range(const Bytes& first, const Bytes& last, Bytes& out) {
    if (first.count() != 1 || last.count() != 1) {
      ok_ = false;
      return;
    }
    const auto from = static_cast<unsigned char>(first._Find_first());
    const auto to = static_cast<unsigned char>(last._Find_first());
    if (from > to) ok_ = false;
    set_range(out, from, to);
  }

  std::string_view text_;
  size_t at_ = 0;
  bool ok_ = true;
  bool ended_ = false;  ///< '$' was read on this branch.
};

}  // namespace

std::optional<Pattern> parse_regex(std::string_view text) {
  return RegexParser(text).parse();
}

}  // namespace sallyport
