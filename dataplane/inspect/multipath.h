#pragma once

#include <cstdint>
#include <span>

#include "dataplane/inspect/packet.h"

namespace sallyport {

/// Overwrites the Multipath TCP options (kind 30, RFC 8684) of a TCP header with no-operations and
/// brings the checksum in line: right if it was right. With them a server orders data by another
/// sequence than the one that is inspected here, and may take it from several flows at once;
/// without them both ends fall back to plain TCP.
///
/// @param frame  The frame that `packet` was decoded from; changed in place.
/// @return       whether there was anything to overwrite.
bool remove_multipath_options(std::span<uint8_t> frame, const Packet& packet) noexcept;

}  // namespace sallyport
