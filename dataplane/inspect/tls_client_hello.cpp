#include "dataplane/inspect/tls_client_hello.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "dataplane/inspect/byte_reader.h"

namespace sallyport {
namespace {

constexpr uint16_t kServerName = 0;  // RFC 6066 section 3
constexpr uint8_t kHostNameType = 0;

/// Extension types met so far. A hello has about 20, so a search beats clearing an 8 KiB bitmap.
class SeenExtensions {
 public:
  bool full() const noexcept { return count_ == types_.size(); }

  /// False when `type` was there before. Call it only while not full().
  bool insert(uint16_t type) noexcept {
    const auto end = types_.begin() + count_;
    if (std::find(types_.begin(), end, type) != end) return false;
    types_[count_++] = type;
    return true;
  }

 private:
  std::array<uint16_t, kMaxHelloExtensions> types_;
  size_t count_ = 0;
};

// ServerNameList, of which the only defined form is a single host_name.
InspectFault parse_server_name(ByteReader extension, HostName& name) noexcept {
  ByteReader list = extension.block16();
  const uint8_t type = list.u8();
  const auto text = list.block16().rest();
  if (!extension.ok() || !list.ok()) return InspectFault::tls_truncated;
  if (!extension.empty()) return InspectFault::tls_trailing_bytes;
  if (!list.empty() || type != kHostNameType) return InspectFault::tls_bad_server_name;
  switch (name.assign({reinterpret_cast<const char*>(text.data()), text.size()})) {
    case HostNameFault::none:
    case HostNameFault::address_literal:
      return InspectFault::none;
    default:
      return InspectFault::tls_bad_server_name;
  }
}

}  // namespace

InspectFault parse_client_hello(std::span<const uint8_t> body, HostName& name) noexcept {
  name.clear();
  ByteReader in(body);
  in.bytes(2 + 32);  // legacy_version, random
  in.block8();       // legacy_session_id
  in.block16();      // cipher_suites
  in.block8();       // legacy_compression_methods
  if (!in.ok()) return InspectFault::tls_truncated;

  // TLS 1.2 lets a client leave out the extensions block altogether (RFC 5246 section 7.4.1.2).
  ByteReader extensions = in.empty() ? in : in.block16();
  if (!in.ok()) return InspectFault::tls_truncated;
  if (!in.empty()) return InspectFault::tls_trailing_bytes;

  SeenExtensions seen;
  while (!extensions.empty()) {
    const uint16_t type = extensions.u16();
    const ByteReader data = extensions.block16();
    if (!extensions.ok()) return InspectFault::tls_truncated;
    if (seen.full()) return InspectFault::tls_hello_too_long;
    if (!seen.insert(type)) return InspectFault::tls_duplicate_extension;
    if (type != kServerName) continue;
    if (const auto fault = parse_server_name(data, name); fault != InspectFault::none) return fault;
  }
  return InspectFault::none;
}

}  // namespace sallyport
