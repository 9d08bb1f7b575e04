#pragma once

#include <nghttp2/nghttp2.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/bytes.h"

namespace sallyport::test {

/// Frame types and flags, RFC 9113 sections 6.1 to 6.10.
enum : uint8_t {
  kH2Data,
  kH2Headers,
  kH2Priority,
  kH2Reset,
  kH2Settings,
  kH2PushPromise,
  kH2Ping,
  kH2Goaway,
  kH2WindowUpdate,
  kH2Continuation,
};
enum : uint8_t {
  kH2EndStream = 1,
  kH2Ack = 1,
  kH2EndHeaders = 4,
  kH2Padded = 8,
  kH2Prioritised = 32
};

inline Bytes h2_frame(uint8_t type, uint8_t flags, uint32_t stream, const Bytes& payload = {}) {
  Bytes out;
  put(out, payload.size(), 3);
  put8(out, type);
  put8(out, flags);
  put32(out, stream);
  append(out, payload);
  return out;
}

inline Bytes h2_preface() {
  return bytes_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}
/// The preface and empty SETTINGS.
inline Bytes h2_start() {
  return h2_preface() + h2_frame(kH2Settings, 0, 0);
}

using H2Fields = std::vector<std::pair<std::string, std::string>>;

inline H2Fields h2_get(std::string_view authority, std::string_view path) {
  return {{":method", "GET"},
          {":scheme", "http"},
          {":authority", std::string(authority)},
          {":path", std::string(path)}};
}
inline H2Fields operator+(H2Fields left, const H2Fields& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

/// An HPACK integer of at most 14 bits behind `pattern` (RFC 7541 section 5.1).
inline void put_hpack_integer(Bytes& out, uint8_t pattern, unsigned bits, size_t value) {
  const size_t most = (size_t{1} << bits) - 1;
  if (value < most) return put8(out, pattern | value);
  put8(out, pattern | most);
  for (value -= most; value >= 128; value >>= 7) put8(out, (value & 127) | 128);
  put8(out, value);
}

/// Literals without Huffman code; `pattern` 0x00 leaves the table alone, 0x40 adds each to it.
inline Bytes hpack_literals(const H2Fields& fields, uint8_t pattern = 0) {
  Bytes out;
  for (const auto& [name, value] : fields) {
    put8(out, pattern);
    put_hpack_integer(out, 0, 7, name.size());
    append(out, bytes_of(name));
    put_hpack_integer(out, 0, 7, value.size());
    append(out, bytes_of(value));
  }
  return out;
}

/// A client's encoder: Huffman code, and a table that later blocks refer to.
class H2Encoder {
 public:
  H2Encoder() { check(nghttp2_hd_deflate_new(&deflater_, 4096)); }
  ~H2Encoder() { nghttp2_hd_deflate_del(deflater_); }
  H2Encoder(const H2Encoder&) = delete;
  H2Encoder& operator=(const H2Encoder&) = delete;

  Bytes encode(const H2Fields& fields) {
    std::vector<nghttp2_nv> list;
    for (const auto& [name, value] : fields) {
      const auto bytes = [](const std::string& text) {
        return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
      };
      list.push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    Bytes out(nghttp2_hd_deflate_bound(deflater_, list.data(), list.size()));
    const auto size =
        nghttp2_hd_deflate_hd(deflater_, out.data(), out.size(), list.data(), list.size());
    check(size < 0 ? -1 : 0);
    out.resize(static_cast<size_t>(size));
    return out;
  }

  /// A HEADERS frame that holds all of it and ends the stream.
  Bytes request(uint32_t stream, const H2Fields& fields) {
    return h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream, stream, encode(fields));
  }

 private:
  static void check(int result) {
    if (result != 0) throw std::runtime_error("nghttp2 cannot encode");
  }
  nghttp2_hd_deflater* deflater_ = nullptr;
};

/// The same with literals, without a table.
inline Bytes h2_request(uint32_t stream, const H2Fields& fields) {
  return h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream, stream, hpack_literals(fields));
}

/// The same, and the stream stays open for more.
inline Bytes h2_open(uint32_t stream, const H2Fields& fields) {
  return h2_frame(kH2Headers, kH2EndHeaders, stream, hpack_literals(fields));
}

}  // namespace sallyport::test
