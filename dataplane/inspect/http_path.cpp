#include "dataplane/inspect/http_path.h"

#include <algorithm>

#include "dataplane/inspect/http_text.h"

namespace sallyport {
namespace {

// pchar without pct-encoded, RFC 3986 section 3.3.
constexpr std::array<bool, 256> kPathBytes = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = table[c | 0x20] = true;
  for (const char c : std::string_view("-._~!$&'()*+,;=:@")) table[static_cast<uint8_t>(c)] = true;
  return table;
}();

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = to_lower_ascii(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The byte that two hex digits at `at` encode, or -1.
int hex_pair(std::string_view text, size_t at) noexcept {
  if (at > text.size() || text.size() - at < 2) return -1;
  const int high = hex_value(text[at]);
  const int low = hex_value(text[at + 1]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/// Refuses the sequences that a careless decoder turns into another character than UTF-8 means.
class OverlongCheck {
 public:
  // RFC 3629 section 3: C0 and C1 start nothing valid, E0 and F0 need a second byte at least that
  // high. Latin-1 text with those bytes alone passes.
  bool bad(uint8_t byte) noexcept {
    const bool overlong = byte >= 0x80 && byte < limit_;
    limit_ = byte == 0xc0 || byte == 0xc1 ? 0xc0 : byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0;
    return overlong;
  }

 private:
  uint8_t limit_ = 0;
};

struct Reading {
  bool deep = false;           ///< Takes every trick for a '/', and undoes encodings of encodings.
  bool no_parameters = false;  ///< Leaves out what stands behind a ';'.
};

/// One reading of a path, written into a buffer.
class PathWriter {
 public:
  PathWriter(Reading reading, std::span<char> out) noexcept : reading_(reading), out_(out) {}

  bool write(std::string_view path) noexcept;

  std::string_view text() const noexcept { return {out_.data(), size_}; }
  bool deep_differs() const noexcept { return deep_differs_; }
  bool has_parameters() const noexcept { return has_parameters_; }

 private:
  struct Byte {
    uint8_t value;
    bool encoded;
  };

  // The byte at `at`, which moves behind it. False for what no path may hold.
  bool next(std::string_view path, size_t& at, Byte& byte) noexcept {
    byte = {static_cast<uint8_t>(path[at]), path[at] == '%'};
    ++at;
    if (byte.encoded) {
      const int value = hex_pair(path, at);
      if (value < 0) return false;
      at += 2;
      byte.value = static_cast<uint8_t>(value);
      while (byte.value == '%' && hex_pair(path, at) >= 0) {
        deep_differs_ = true;
        if (!reading_.deep) break;
        byte.value = static_cast<uint8_t>(hex_pair(path, at));
        at += 2;
      }
    }
    if (is_control(static_cast<char>(byte.value)) || overlong_.bad(byte.value)) return false;
    return byte.encoded || byte.value != '#';
  }

  bool separates(Byte byte) noexcept {
    if (byte.value == '/' && !byte.encoded) return true;
    if (byte.value != '/' && byte.value != '\\') return false;
    deep_differs_ = true;
    return reading_.deep;
  }

  bool put(char c) noexcept {
    if (size_ == out_.size()) return false;
    out_[size_++] = c;
    return true;
  }

  bool put_canonical(Byte byte) noexcept {
    if (kPathBytes[byte.value]) return put(static_cast<char>(byte.value));
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    return put('%') && put(kDigits[byte.value >> 4]) && put(kDigits[byte.value & 15]);
  }

  // RFC 3986 section 5.2.4 for the segment that just ended.
  bool end_segment(bool by_separator) noexcept {
    const auto segment = text().substr(segment_);
    if (segment == "." || segment == "..") {
      const bool up = segment.size() == 2;
      size_ = segment_;
      // Over the '/' in front of the segment, to behind the one before it; never over the root's.
      if (up && size_ > 1) size_ = text().substr(0, size_ - 1).rfind('/') + 1;
    } else if (segment.empty() && by_separator) {
      deep_differs_ = true;
      if (!reading_.deep && !put('/')) return false;
    } else if (by_separator && !put('/')) {
      return false;
    }
    segment_ = size_;
    return true;
  }

  Reading reading_;
  std::span<char> out_;
  size_t size_ = 0;
  size_t segment_ = 0;  ///< Where the last segment starts in out_.
  OverlongCheck overlong_;
  bool deep_differs_ = false;
  bool has_parameters_ = false;
};

bool PathWriter::write(std::string_view path) noexcept {
  if (!path.starts_with('/') || !put('/')) return false;
  segment_ = size_;
  bool in_parameters = false;
  for (size_t at = 1; at < path.size();) {
    Byte byte{};
    if (!next(path, at, byte)) return false;
    if (separates(byte)) {
      in_parameters = false;
      if (!end_segment(true)) return false;
      continue;
    }
    if (byte.value == ';') {
      has_parameters_ = true;
      in_parameters = reading_.no_parameters;
    }
    if (!in_parameters && !put_canonical(byte)) return false;
  }
  return end_segment(false);
}

}  // namespace

InspectFault read_http_path(std::string_view path, HttpPathSpace& space,
                            HttpPathReadings& out) noexcept {
  out.count = 0;
  bool deep = false;
  bool parameters = false;
  constexpr Reading kReadings[] = {{}, {.deep = true}, {.no_parameters = true}, {true, true}};
  static_assert(std::size(kReadings) == kMaxHttpPathReadings);
  for (const Reading reading : kReadings) {
    if ((reading.deep && !deep) || (reading.no_parameters && !parameters)) continue;
    PathWriter writer(reading, space[out.count]);
    if (!writer.write(path)) {
      out.count = 0;
      return InspectFault::http_bad_path;
    }
    deep |= writer.deep_differs();
    parameters |= writer.has_parameters();
    const bool known = std::ranges::find(out.view(), writer.text()) != out.view().end();
    if (!known) out.text[out.count++] = writer.text();
  }
  return InspectFault::none;
}

}  // namespace sallyport
