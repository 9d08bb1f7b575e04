#include "policy/compile/regex_weight.h"

#include <algorithm>
#include <vector>

namespace sallyport {
namespace {

/// Far over the limit, and far from overflow when multiplied with itself.
constexpr size_t kTooHeavy = size_t{1} << 24;

size_t capped(size_t weight) {
  return std::min(weight, kTooHeavy);
}

/// Walks a regex once, and keeps a sum for every group that is open.
class Weigher {
 public:
  explicit Weigher(std::string_view regex) : text_(regex) {}

  size_t weigh() {
    if (text_.contains("\\Q") || text_.contains("(?#")) return kTooHeavy;
    while (at_ < text_.size()) step();
    for (; open_.size() > 1; close_group()) {
    }
    add_last();
    return open_.back();
  }

 private:
  void step() {
    const char c = text_[at_];
    if (c == '(') {
      add_last();
      open_.push_back(0);
    } else if (c == ')') {
      close_group();
    } else if (c == '{' && repeat()) {
      return;
    } else {
      add_last();
      last_ = 1;
      if (c == '\\') ++at_;
      if (c == '[') skip_class();
    }
    ++at_;
  }

  void add_last() {
    open_.back() = capped(open_.back() + last_);
    last_ = 0;
  }

  void close_group() {
    add_last();
    last_ = open_.back();
    if (open_.size() > 1) {
      open_.pop_back();
    } else {
      open_.back() = 0;
    }
  }

  /// Leaves at_ on the ']', of which the first character of a class is none.
  void skip_class() {
    ++at_;
    if (text_.substr(at_).starts_with('^')) ++at_;
    if (text_.substr(at_).starts_with(']')) ++at_;
    for (; at_ < text_.size() && text_[at_] != ']'; ++at_) {
      if (text_[at_] == '\\') ++at_;
      at_ += posix_class_bytes();
    }
  }

  /// Of "[:alpha:]" inside a class, but for its ']'; 0 for anything else.
  size_t posix_class_bytes() const {
    const std::string_view rest = text_.substr(at_);
    if (!rest.starts_with("[:")) return 0;
    const size_t end = rest.find_first_not_of("abcdefghijklmnopqrstuvwxyz^", 2);
    return end != std::string_view::npos && rest.substr(end).starts_with(":]") ? end + 1 : 0;
  }

  size_t number() {
    size_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = capped(value * 10 + static_cast<size_t>(text_[at_] - '0'));
    }
    return value;
  }

  /// "{3}", "{3,}" or "{3,5}" multiplies what stands before it; anything else is left alone.
  bool repeat() {
    const size_t start = at_++;
    size_t times = number();
    const bool counted = at_ > start + 1;
    if (at_ < text_.size() && text_[at_] == ',') {
      ++at_;
      times = std::max(times, number());
    }
    if (!counted || at_ >= text_.size() || text_[at_] != '}') {
      at_ = start;
      return false;
    }
    ++at_;
    last_ = capped(last_ * std::max<size_t>(times, 1));
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<size_t> open_{0};  ///< The sum of each group that is open, outermost first.
  size_t last_ = 0;              ///< Of what a repeat would multiply; not in a sum yet.
};

}  // namespace

size_t regex_weight(std::string_view regex) {
  return Weigher(regex).weigh();
}

}  // namespace sallyport
