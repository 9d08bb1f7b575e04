#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/inspect/client_hello.h"

namespace sallyport {

/// What carried the hello: the first letter of a JA4.
enum class HelloTransport : char { tcp = 't', quic = 'q' };

/// 32 lower-case hex digits.
struct Ja3 {
  std::array<char, 32> text;
  std::string_view view() const noexcept { return {text.data(), text.size()}; }
};

/// "t13d1516h2_8daaf6152771_e5627efa2ab1".
struct Ja4 {
  std::array<char, 36> text;
  std::string_view view() const noexcept { return {text.data(), text.size()}; }
};

/// The JA3 of a hello: MD5 over version, cipher suites, extensions, groups and point formats in
/// decimal, GREASE left out. For records, and so made on demand only.
Ja3 make_ja3(const ClientHello& hello) noexcept;

/// The JA4 of a hello, as FoxIO publishes the format: a readable part, then 12 hex digits of the
/// SHA-256 of the sorted cipher suites, and as many of the sorted extensions with the signature
/// algorithms in their order. GREASE is left out everywhere. Made on demand only: about as dear as
/// all of parse_client_hello().
Ja4 make_ja4(const ClientHello& hello, HelloTransport transport) noexcept;

}  // namespace sallyport
