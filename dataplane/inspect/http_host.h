#pragma once

#include <cstdint>
#include <string_view>

#include "policy/runtime/host_name.h"

namespace sallyport {

/// A uri-host with an optional port (RFC 9112 section 3.2), canonical, so that two can be compared.
struct HttpHost {
  static constexpr uint32_t kNoPort = UINT32_MAX;

  HostName name;             ///< Empty when the host is an address, or empty itself.
  std::string_view literal;  ///< The address as written, when it is one. Borrows the text.
  uint32_t port = kNoPort;

  /// Whether both name the same host, ports aside.
  bool same_host(const HttpHost& other) const noexcept;
};

/// Reads "host", "host:port", "[v6]" or "[v6]:port". No userinfo (RFC 9110 section 4.2.4).
/// @return  False when `text` is anything else, or its host is empty.
[[nodiscard]] bool parse_http_host(std::string_view text, HttpHost& out) noexcept;

/// A request-target, RFC 9112 section 3.2.
struct HttpTarget {
  enum class Form : uint8_t { origin, absolute, authority, asterisk };
  Form form = Form::origin;
  HttpHost host;                              ///< absolute and authority only.
  std::string_view host_text;                 ///< The same as written. Borrows the text.
  uint32_t default_port = HttpHost::kNoPort;  ///< absolute: of the scheme, when it is known.
  /// origin and absolute: without query, "/" where it is empty (RFC 9112 section 3.2.2).
  std::string_view path;
};

/// @param method  Decides which forms are allowed: authority is CONNECT's, asterisk is OPTIONS'.
/// @return        False when `text` is not a target for that method.
[[nodiscard]] bool parse_http_target(std::string_view method, std::string_view text,
                                     HttpTarget& out) noexcept;

}  // namespace sallyport
