#include "dataplane/inspect/client_hello.h"

#include <algorithm>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/byte_reader.h"

namespace sallyport {

std::span<const std::string_view> read_alpns(const ClientHello& hello,
                                             std::span<std::string_view> out) noexcept {
  ByteReader list(hello.alpns);
  size_t count = 0;
  while (!list.empty() && count < out.size()) {
    const auto name = list.block8().rest();
    out[count++] = {reinterpret_cast<const char*>(name.data()), name.size()};
  }
  return out.first(count);
}

uint16_t newest_version(const ClientHello& hello) noexcept {
  uint16_t newest = 0;
  for (size_t i = 0; i + 1 < hello.supported_versions.size(); i += 2) {
    const uint16_t version = load_be16(&hello.supported_versions[i]);
    if (!is_grease(version)) newest = std::max(newest, version);
  }
  return newest == 0 ? hello.legacy_version : newest;
}

}  // namespace sallyport
