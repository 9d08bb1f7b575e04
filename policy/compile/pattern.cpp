#include "policy/compile/pattern.h"

namespace sallyport {
namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// `c` as an expression that matches it alone, whatever it means to a regex.
std::string escaped(char c) {
  if (is_plain(c)) return {c};
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  return {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
}

/// Over a FramedText. Anchors would do, but Hyperscan tries anchored patterns one by one, and those
/// that begin with a literal all at once.
std::string framed(const std::string& expression) {
  return "\\x02" + expression + "\\x01";
}

}  // namespace

std::string regex_expression(std::string_view regex) {
  // Not framed: the user may have written anchors, too.
  return "\\A(?:" + std::string(regex) + ")\\z";
}

std::string path_expression(std::string_view glob) {
  std::string out;
  for (size_t i = 0; i < glob.size(); ++i) {
    if (glob[i] != '*') {
      out += escaped(glob[i]);
      continue;
    }
    const bool across = i + 1 < glob.size() && glob[i + 1] == '*';
    out += across ? ".*" : "[^/]*";
    i += across ? 1 : 0;
  }
  return framed(out);
}

std::string header_expression(std::string_view glob) {
  std::string out;
  for (const char c : glob) out += c == '*' ? ".*" : escaped(c);
  return framed(out);
}

}  // namespace sallyport
