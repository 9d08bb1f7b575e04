#include "dataplane/io/denial_text.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "dataplane/inspect/fault_info.h"
#include "policy/runtime/image.h"

namespace sallyport {
namespace {

constexpr size_t kMostNameBytes = 128;

/// Appends to a fixed space; what does not fit is left out.
class Text {
 public:
  explicit Text(std::span<uint8_t> space) noexcept : space_(space) {}

  Text& add(std::string_view text) noexcept {
    const size_t count = std::min(text.size(), space_.size() - used_);
    std::copy_n(text.begin(), count, space_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ += count;
    return *this;
  }
  Text& line(std::string_view key, std::string_view value) noexcept {
    return add(key).add(": ").add(value.substr(0, kMostNameBytes)).add("\n");
  }
  Text& number(uint64_t value) noexcept {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return add({digits.data(), static_cast<size_t>(end - digits.data())});
  }
  std::span<const uint8_t> written() const noexcept { return space_.first(used_); }

 private:
  std::span<uint8_t> space_;
  size_t used_ = 0;
};

void write_body(const Flow& flow, const PolicyTable* table, Text& out) noexcept {
  out.add("sallyport: denied by the egress policy of this network\n");
  if (table != nullptr && flow.rule != kNoRule) {
    const RuleInfo rule = table->rule(flow.rule);
    out.line("policy", rule.policy).line("rule", rule.name);
  } else {
    out.line("rule", "none");
  }
  out.line("reason", to_string(flow.reason));
  if (flow.fault != InspectFault::none) out.line("fault", to_string(flow.fault));
  if (table != nullptr) {
    const auto digits = revision_digits(table->revision());
    out.line("revision", {digits.data(), digits.size()});
  }
  out.add("flow: ").number(flow.id).add("\n");
}

}  // namespace

std::span<const uint8_t> write_forbidden(const Flow& flow, const PolicyTable* table,
                                         DenialText& out) noexcept {
  std::array<uint8_t, 640> space;
  Text body(space);
  write_body(flow, table, body);
  const auto content = body.written();
  Text whole(out);
  whole.add("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n")
      .add("Connection: close\r\nContent-Length: ")
      .number(content.size())
      .add("\r\n\r\n")
      .add({reinterpret_cast<const char*>(content.data()), content.size()});
  return whole.written();
}

}  // namespace sallyport
