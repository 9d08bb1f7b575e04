#include "policy/compile/region_language.h"

#include <algorithm>
#include <array>
#include <map>

#include "policy/compile/region_automaton.h"

namespace sallyport {
namespace {

using Bytes = RegularLanguage::Bytes;

/// Product states one search may visit.
constexpr size_t kMaxVisited = 20'000;
/// What one search may cost where nobody else says so.
constexpr uint64_t kMaxWork = 4'000'000;

Bytes all_but(char c) {
  Bytes out;
  out.set();
  out.reset(static_cast<unsigned char>(c));
  return out;
}

Bytes any_byte() {
  return Bytes().set();
}

Bytes label_bytes() {
  Bytes out;
  for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz0123456789-_")) {
    out.set(static_cast<unsigned char>(c));
  }
  return out;
}

Pattern glob_pattern(std::string_view glob, bool segments) {
  Pattern out;
  for (size_t i = 0; i < glob.size(); ++i) {
    if (glob[i] != '*') {
      out.parts.push_back(Pattern::byte(glob[i]));
      continue;
    }
    const bool twice = i + 1 < glob.size() && glob[i + 1] == '*';
    if (segments && twice) ++i;
    const Bytes bytes = segments && !twice ? all_but('/') : any_byte();
    out.parts.push_back(Pattern::repeated(Pattern::one_of(bytes), 0));
  }
  return out;
}

/// The words share their starts, so that few states are active at once. All agree up to `depth`.
Pattern trie(std::span<const std::string_view> words, size_t depth) {
  Pattern out{.kind = Pattern::Kind::choice, .bytes = {}, .parts = {}};
  while (!words.empty() && words.front().size() == depth) {
    if (out.parts.empty()) out.parts.emplace_back();
    words = words.subspan(1);
  }
  while (!words.empty()) {
    const char next = words.front()[depth];
    const auto end =
        std::ranges::find_if(words, [&](std::string_view word) { return word[depth] != next; });
    const auto count = static_cast<size_t>(end - words.begin());
    Pattern branch;
    branch.parts.push_back(Pattern::byte(next));
    branch.parts.push_back(trie(words.first(count), depth + 1));
    out.parts.push_back(std::move(branch));
    words = words.subspan(count);
  }
  return out;
}

/// Globs and names are at most as long as their YAML; only repeats blow up.
RegularLanguage built(const Pattern& pattern) {
  auto out = AutomatonBuilder::build(pattern);
  return out ? std::move(*out) : RegularLanguage();
}

/// Every byte, those first that make words pleasant to read.
std::array<unsigned char, 256> readable_first() {
  std::array<unsigned char, 256> out{};
  Bytes done;
  size_t at = 0;
  const auto put = [&](unsigned byte) {
    if (done.test(byte)) return;
    done.set(byte);
    out[at++] = static_cast<unsigned char>(byte);
  };
  for (const char c : std::string_view("xabcdefghijklmnopqrstuvwyz0123456789-_./")) {
    put(static_cast<unsigned char>(c));
  }
  for (unsigned byte = 0x21; byte < 0x7f; ++byte) put(byte);
  for (unsigned byte = 0; byte < 256; ++byte) put(byte);
  return out;
}

/// Breadth first over the product of all automata, each made deterministic on the way.
class WordFinder {
 public:
  WordFinder(std::span<const RegularLanguage* const> in,
             std::span<const RegularLanguage* const> out)
      : in_(in.size()), all_(in.begin(), in.end()) {
    all_.insert(all_.end(), out.begin(), out.end());
  }

  WordSearch run(std::string& word, uint64_t& work) {
    Product first;
    for (const RegularLanguage* one : all_) first.push_back(one->start());
    visit(std::move(first), 0, 0);
    for (size_t i = 0; i < order_.size(); ++i) {
      if (wanted(order_[i]->first)) {
        word = spell(i);
        work -= cost_;
        return WordSearch::found;
      }
      expand(i);
      if (order_.size() > kMaxVisited || cost_ >= work) {
        work = 0;
        return WordSearch::gave_up;
      }
    }
    work -= cost_;
    return WordSearch::none;
  }

 private:
  using Product = std::vector<RegularLanguage::Active>;
  struct Origin {
    size_t from = 0;
    unsigned char byte = 0;
  };

  bool wanted(const Product& product) const {
    for (size_t i = 0; i < all_.size(); ++i) {
      if (all_[i]->accepts(product[i]) != (i < in_)) return false;
    }
    return true;
  }

  void visit(Product product, size_t from, unsigned char byte) {
    const auto [it, fresh] = seen_.try_emplace(std::move(product), Origin{from, byte});
    if (fresh) order_.push_back(it);
  }

  /// One byte of each class of bytes that no automaton tells apart here.
  std::vector<unsigned char> bytes_of(const Product& product) {
    std::vector<const Bytes*> sets;
    for (size_t i = 0; i < all_.size(); ++i) {
      for (const uint32_t state : product[i]) {
        const uint32_t set = all_[i]->states()[state].bytes;
        if (set != RegularLanguage::kAccept) sets.push_back(&all_[i]->sets()[set]);
      }
    }
    std::ranges::sort(sets);
    sets.erase(std::ranges::unique(sets).begin(), sets.end());
    static const auto kBytes = readable_first();
    cost_ += 8 * (sets.size() + 1);
    // Each set cuts the classes so far in two; they are numbered as they turn up.
    std::array<uint16_t, 256> class_of{};
    for (const Bytes* set : sets) {
      std::array<std::array<uint16_t, 2>, 256> cut{};
      uint16_t classes = 0;
      for (const unsigned char byte : kBytes) {
        uint16_t& part = cut[class_of[byte]][set->test(byte) ? 1 : 0];
        if (part == 0) part = ++classes;
        class_of[byte] = static_cast<uint16_t>(part - 1);
      }
    }
    std::vector<unsigned char> out;
    Bytes seen;
    for (const unsigned char byte : kBytes) {
      if (!seen.test(class_of[byte])) out.push_back(byte);
      seen.set(class_of[byte]);
    }
    return out;
  }

  void expand(size_t index) {
    const Product product = order_[index]->first;
    for (const unsigned char byte : bytes_of(product)) {
      Product next;
      bool dead = false;
      for (size_t i = 0; i < all_.size() && !dead; ++i) {
        next.push_back(all_[i]->step(product[i], byte));
        cost_ += 3 + product[i].size() + next.back().size();
        dead = i < in_ && next.back().empty();
      }
      if (!dead) visit(std::move(next), index, byte);
    }
  }

  std::string spell(size_t index) const {
    std::string out;
    for (; index != 0; index = order_[index]->second.from) {
      out.push_back(static_cast<char>(order_[index]->second.byte));
    }
    std::ranges::reverse(out);
    return out;
  }

  using Seen = std::map<Product, Origin>;
  size_t in_;
  uint64_t cost_ = 0;
  std::vector<const RegularLanguage*> all_;
  Seen seen_;
  std::vector<Seen::const_iterator> order_;
};

}  // namespace

std::optional<RegularLanguage> RegularLanguage::regex(std::string_view text) {
  const auto pattern = parse_regex(text);
  if (!pattern) return std::nullopt;
  return AutomatonBuilder::build(*pattern);
}

RegularLanguage RegularLanguage::paths(std::span<const std::string> globs) {
  Pattern any{.kind = Pattern::Kind::choice, .bytes = {}, .parts = {}};
  for (const std::string& glob : globs) any.parts.push_back(glob_pattern(glob, true));
  return built(any);
}

RegularLanguage RegularLanguage::header(std::string_view glob) {
  return built(glob_pattern(glob, false));
}

RegularLanguage RegularLanguage::words(std::span<const std::string> texts) {
  std::vector<std::string_view> sorted(texts.begin(), texts.end());
  std::ranges::sort(sorted);
  return sorted.empty() ? RegularLanguage() : built(trie(sorted, 0));
}

RegularLanguage RegularLanguage::names_under(std::string_view suffix) {
  const std::string one(suffix);
  return names_under_any({&one, 1});
}

RegularLanguage RegularLanguage::names_under_any(std::span<const std::string> suffixes) {
  if (suffixes.empty()) return {};
  std::vector<std::string_view> sorted(suffixes.begin(), suffixes.end());
  std::ranges::sort(sorted);
  const Pattern label = Pattern::repeated(Pattern::one_of(label_bytes()), 1);
  Pattern more;
  more.parts.push_back(Pattern::byte('.'));
  more.parts.push_back(label);
  Pattern out;
  out.parts.push_back(label);
  out.parts.push_back(Pattern::repeated(std::move(more), 0));
  out.parts.push_back(trie(sorted, 0));
  return built(out);
}

RegularLanguage RegularLanguage::any_path() {
  Pattern out;
  out.parts.push_back(Pattern::byte('/'));
  out.parts.push_back(Pattern::repeated(Pattern::one_of(any_byte()), 0));
  return built(out);
}

RegularLanguage::Active RegularLanguage::start() const {
  Active out;
  if (states_.empty()) return out;
  std::vector<uint32_t> todo{start_};
  close(todo, out);
  return out;
}

RegularLanguage::Active RegularLanguage::step(const Active& from, unsigned char byte) const {
  std::vector<uint32_t> todo;
  for (const uint32_t state : from) {
    const State& at = states_[state];
    if (at.bytes != kAccept && sets_[at.bytes].test(byte)) todo.push_back(at.next);
  }
  Active out;
  close(todo, out);
  return out;
}

void RegularLanguage::close(std::vector<uint32_t>& todo, Active& out) const {
  std::vector<uint32_t> splits;
  while (!todo.empty()) {
    const uint32_t state = todo.back();
    todo.pop_back();
    if (states_[state].bytes != kSplit) {
      out.push_back(state);
    } else if (std::ranges::find(splits, state) == splits.end()) {
      splits.push_back(state);
      todo.push_back(states_[state].next);
      todo.push_back(states_[state].other);
    }
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
}

bool RegularLanguage::accepts(const Active& active) const {
  return std::ranges::any_of(active,
                             [&](uint32_t state) { return states_[state].bytes == kAccept; });
}

bool RegularLanguage::matches(std::string_view text) const {
  Active active = start();
  for (const char c : text) {
    if (active.empty()) return false;
    active = step(active, static_cast<unsigned char>(c));
  }
  return accepts(active);
}

WordSearch find_word(std::span<const RegularLanguage* const> in,
                     std::span<const RegularLanguage* const> out, std::string& word) {
  uint64_t work = kMaxWork;
  return find_word(in, out, word, work);
}

WordSearch find_word(std::span<const RegularLanguage* const> in,
                     std::span<const RegularLanguage* const> out, std::string& word,
                     uint64_t& work) {
  if (work == 0) return WordSearch::gave_up;
  return WordFinder(in, out).run(word, work);
}

}  // namespace sallyport
