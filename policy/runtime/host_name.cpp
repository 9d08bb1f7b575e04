#include "policy/runtime/host_name.h"

namespace sallyport {
namespace {

constexpr size_t kMaxLabelBytes = 63;

/// The canonical form of a byte that may stand in a label, or 0.
constexpr std::array<char, 256> make_fold_table() {
  std::array<char, 256> table{};
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = static_cast<char>(c);
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<size_t>(c)] = static_cast<char>(c - 'A' + 'a');
  for (int c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = static_cast<char>(c);
  table['-'] = '-';
  table['_'] = '_';
  return table;
}
constexpr std::array<char, 256> kFold = make_fold_table();

/// Four labels of one to three digits. Not "is a valid address": 999.1.1.1 is no name either.
bool is_dotted_quad(std::string_view name) {
  unsigned dots = 0;
  unsigned digits = 0;
  for (const char c : name) {
    if (c == '.') {
      ++dots;
      digits = 0;
    } else if (c < '0' || c > '9' || ++digits > 3) {
      return false;
    }
  }
  return dots == 3;
}

}  // namespace

HostNameFault HostName::assign(std::string_view text) noexcept {
  size_ = 0;
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty()) return HostNameFault::empty;
  if (text.front() == '[' && text.back() == ']') return HostNameFault::address_literal;
  if (text.size() > kMaxHostNameBytes) return HostNameFault::too_long;
  const auto is_bad_label = [](size_t bytes) { return bytes == 0 || bytes > kMaxLabelBytes; };
  size_t label = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    bytes_[i] = kFold[static_cast<uint8_t>(text[i])];
    if (bytes_[i] != 0) continue;
    const size_t label_bytes = i - label;
    if (text[i] != '.' && label_bytes <= kMaxLabelBytes) return HostNameFault::bad_byte;
    if (is_bad_label(label_bytes)) return HostNameFault::bad_label;
    bytes_[i] = '.';
    label = i + 1;
  }
  if (is_bad_label(text.size() - label)) return HostNameFault::bad_label;
  if (is_dotted_quad({bytes_.data(), text.size()})) return HostNameFault::address_literal;
  size_ = static_cast<uint8_t>(text.size());
  return HostNameFault::none;
}

}  // namespace sallyport
