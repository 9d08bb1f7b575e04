#include "policy/compile/region_automaton.h"

#include <algorithm>

namespace sallyport {
namespace {

/// More states than this cost more time than an exact answer is worth. Word lists get no limit:
/// they are as long as the policy.
constexpr size_t kMaxStates = 1U << 20;

}  // namespace

Pattern Pattern::one_of(const RegularLanguage::Bytes& bytes) {
  return {.kind = Kind::bytes, .bytes = bytes, .parts = {}};
}

Pattern Pattern::byte(char c) {
  RegularLanguage::Bytes bytes;
  bytes.set(static_cast<unsigned char>(c));
  return one_of(bytes);
}

Pattern Pattern::text(std::string_view text) {
  Pattern out;
  for (const char c : text) out.parts.push_back(byte(c));
  return out;
}

Pattern Pattern::repeated(Pattern what, unsigned min, unsigned max) {
  Pattern out{.kind = Kind::repeat, .bytes = {}, .parts = {}, .min = min, .max = max};
  out.parts.push_back(std::move(what));
  return out;
}

std::optional<RegularLanguage> AutomatonBuilder::build(const Pattern& pattern) {
  AutomatonBuilder builder;
  const uint32_t end = builder.add_state({RegularLanguage::kAccept, 0, 0});
  builder.out_.start_ = builder.add(pattern, end);
  if (builder.too_big_) return std::nullopt;
  return std::move(builder.out_);
}

uint32_t AutomatonBuilder::add(const Pattern& pattern, uint32_t next) {
  if (out_.states_.size() > kMaxStates) too_big_ = true;
  if (too_big_) return next;
  switch (pattern.kind) {
    case Pattern::Kind::bytes:
      return add_state({set_index(pattern.bytes), next, 0});
    case Pattern::Kind::sequence:
      for (size_t i = pattern.parts.size(); i-- > 0;) next = add(pattern.parts[i], next);
      return next;
    case Pattern::Kind::choice: {
      uint32_t first = add(pattern.parts.back(), next);
      for (size_t i = pattern.parts.size() - 1; i-- > 0;) {
        first = add_state({RegularLanguage::kSplit, add(pattern.parts[i], next), first});
      }
      return first;
    }
    case Pattern::Kind::repeat:
      return add_repeat(pattern, next);
  }
  return next;
}

uint32_t AutomatonBuilder::add_repeat(const Pattern& pattern, uint32_t next) {
  const Pattern& what = pattern.parts.front();
  uint32_t first = next;
  if (pattern.max == Pattern::kNoLimit) {
    first = add_state({RegularLanguage::kSplit, 0, next});
    const uint32_t body = add(what, first);
    out_.states_[first].next = body;
  } else {
    for (unsigned i = pattern.min; i < pattern.max && !too_big_; ++i) {
      first = add_state({RegularLanguage::kSplit, add(what, first), next});
    }
  }
  for (unsigned i = 0; i < pattern.min && !too_big_; ++i) first = add(what, first);
  return first;
}

uint32_t AutomatonBuilder::add_state(RegularLanguage::State state) {
  out_.states_.push_back(state);
  return static_cast<uint32_t>(out_.states_.size() - 1);
}

uint32_t AutomatonBuilder::set_index(const RegularLanguage::Bytes& bytes) {
  const auto known = std::ranges::find(out_.sets_, bytes);
  if (known == out_.sets_.end()) {
    out_.sets_.push_back(bytes);
    return static_cast<uint32_t>(out_.sets_.size() - 1);
  }
  return static_cast<uint32_t>(known - out_.sets_.begin());
}

}  // namespace sallyport
