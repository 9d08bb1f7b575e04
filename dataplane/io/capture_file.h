#pragma once

#include <string>

namespace sallyport {

/// Looks at the start of an open capture, because what DPDK says of a file it cannot read is lost.
/// @return what is wrong with it, or "" when it is pcap or pcapng with Ethernet frames.
std::string check_capture(int fd);

}  // namespace sallyport
