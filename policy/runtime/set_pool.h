#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace sallyport {

/// Builds the compressed clause sets of an image (image.fbs: Set, Summary, words), each content
/// once.
class SetPool {
 public:
  struct Summary {
    uint64_t bits = 0;
    uint32_t words = 0;
    bool operator==(const Summary&) const = default;
  };
  struct Set {
    uint32_t summary = 0;
    uint32_t first = 0;
    uint32_t count = 0;
  };

  /// `clauses` are sorted and unique. Once full(), answers 0 and adds nothing.
  uint32_t add(std::span<const uint32_t> clauses);
  uint32_t add(std::initializer_list<uint32_t> clauses) {
    return add(std::span(clauses.begin(), clauses.size()));
  }

  /// Grown past what an image may hold: the policy must be refused.
  bool full() const noexcept { return words_.size() > kMaxWords || summaries_.size() > kMaxWords; }

  std::span<const uint64_t> words() const noexcept { return words_; }
  std::span<const Summary> summaries() const noexcept { return summaries_; }
  std::span<const Set> sets() const noexcept { return sets_; }

 private:
  static constexpr size_t kMaxWords = size_t{24} << 20;  // 192 MB of words, 384 MB of summaries.

  void append(std::span<const uint32_t> clauses, Set& set);
  bool equal(const Set& a, const Set& b) const noexcept;
  uint64_t hash(const Set& set) const noexcept;

  std::vector<uint64_t> words_;
  std::vector<Summary> summaries_;
  std::vector<Set> sets_;
  std::unordered_multimap<uint64_t, uint32_t> by_hash_;
};

}  // namespace sallyport
