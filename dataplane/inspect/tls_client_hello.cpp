#include "dataplane/inspect/tls_client_hello.h"

#include <algorithm>
#include <string_view>

#include "dataplane/inspect/byte_reader.h"

namespace sallyport {
namespace {

enum ExtensionType : uint16_t {
  kServerName = 0,            // RFC 6066 section 3
  kSupportedGroups = 10,      // RFC 8446 section 4.2.7
  kPointFormats = 11,         // RFC 8422 section 5.1.2
  kSignatureAlgorithms = 13,  // RFC 8446 section 4.2.3
  kAlpn = 16,                 // RFC 7301 section 3.1
  kSupportedVersions = 43,    // RFC 8446 section 4.2.1
  kEncryptedHello = 0xfe0d,   // RFC 9849 section 5
  kEncryptedName = 0xffce,    // draft-ietf-tls-esni-01
};
constexpr uint8_t kHostNameType = 0;

/// False when `type` was there before. A hello has about 20 extensions, so a search beats clearing
/// an 8 KiB bitmap.
bool add_type(uint16_t type, ClientHello& hello) noexcept {
  const auto seen = hello.extensions();
  if (std::find(seen.begin(), seen.end(), type) != seen.end()) return false;
  hello.extension_types[hello.extension_count++] = type;
  return true;
}

// ServerNameList, of which the only defined form is a single host_name.
InspectFault parse_server_name(ByteReader extension, ClientHello& hello, HostName& name) noexcept {
  ByteReader list = extension.block16();
  const uint8_t type = list.u8();
  const auto text = list.block16().rest();
  if (!extension.ok() || !list.ok()) return InspectFault::tls_truncated;
  if (!extension.empty()) return InspectFault::tls_trailing_bytes;
  if (!list.empty() || type != kHostNameType) return InspectFault::tls_bad_server_name;
  hello.server_name = {reinterpret_cast<const char*>(text.data()), text.size()};
  switch (name.assign(hello.server_name)) {
    case HostNameFault::none:
    case HostNameFault::address_literal:
      return InspectFault::none;
    default:
      return InspectFault::tls_bad_server_name;
  }
}

// ProtocolNameList: names that a server could read in two ways are a fault here, so that what rules
// match is what it chooses from.
InspectFault parse_alpns(ByteReader extension, ClientHello& hello) noexcept {
  ByteReader list = extension.block16();
  if (!extension.ok() || !extension.empty()) return InspectFault::tls_bad_extension;
  hello.alpns = list.rest();
  while (!list.empty()) {
    if (list.block8().empty()) return InspectFault::tls_bad_extension;
    if (++hello.alpn_count > kMaxHelloAlpns) return InspectFault::tls_hello_too_long;
  }
  return InspectFault::none;
}

// An extension that is one list and nothing else; `list` comes off `extension`.
InspectFault take_list(const ByteReader& extension, const ByteReader& list, size_t item_bytes,
                       std::span<const uint8_t>& out) noexcept {
  out = list.rest();
  const bool good = extension.ok() && extension.empty() && out.size() % item_bytes == 0;
  return good ? InspectFault::none : InspectFault::tls_bad_extension;
}

InspectFault parse_extension(uint16_t type, ByteReader data, ClientHello& hello,
                             HostName& name) noexcept {
  switch (type) {
    case kServerName:
      hello.has_server_name = true;
      return parse_server_name(data, hello, name);
    case kAlpn:
      return parse_alpns(data, hello);
    case kSupportedGroups: {
      const ByteReader list = data.block16();
      return take_list(data, list, 2, hello.supported_groups);
    }
    case kSignatureAlgorithms: {
      const ByteReader list = data.block16();
      return take_list(data, list, 2, hello.signature_algorithms);
    }
    case kSupportedVersions: {
      const ByteReader list = data.block8();
      return take_list(data, list, 2, hello.supported_versions);
    }
    case kPointFormats: {
      const ByteReader list = data.block8();
      return take_list(data, list, 1, hello.point_formats);
    }
    case kEncryptedHello:
      hello.encrypted_hello = true;
      return InspectFault::none;
    case kEncryptedName:
      hello.encrypted_name = true;
      return InspectFault::none;
    default:
      return InspectFault::none;
  }
}

}  // namespace

InspectFault parse_client_hello(std::span<const uint8_t> body, ClientHello& hello,
                                HostName& name) noexcept {
  hello = ClientHello{};
  name.clear();
  ByteReader in(body);
  hello.legacy_version = in.u16();
  in.bytes(32);  // random
  in.block8();   // legacy_session_id
  hello.cipher_suites = in.block16().rest();
  in.block8();  // legacy_compression_methods
  if (!in.ok() || hello.cipher_suites.size() % 2 != 0) return InspectFault::tls_truncated;
  if (hello.cipher_suites.size() / 2 > kMaxHelloCiphers) return InspectFault::tls_hello_too_long;

  // TLS 1.2 lets a client leave out the extensions block altogether (RFC 5246 section 7.4.1.2).
  ByteReader extensions = in.empty() ? in : in.block16();
  if (!in.ok()) return InspectFault::tls_truncated;
  if (!in.empty()) return InspectFault::tls_trailing_bytes;

  InspectFault name_fault = InspectFault::none;
  while (!extensions.empty()) {
    const uint16_t type = extensions.u16();
    const ByteReader data = extensions.block16();
    if (!extensions.ok()) return InspectFault::tls_truncated;
    if (hello.extension_count == kMaxHelloExtensions) return InspectFault::tls_hello_too_long;
    if (!add_type(type, hello)) return InspectFault::tls_duplicate_extension;
    const auto fault = parse_extension(type, data, hello, name);
    if (fault == InspectFault::tls_bad_server_name) {
      name_fault = fault;  // the record of the refusal should say all the rest
    } else if (fault != InspectFault::none) {
      return fault;
    }
  }
  return name_fault;
}

}  // namespace sallyport
