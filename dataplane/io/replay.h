#pragma once

#include <string>

namespace sallyport {

struct ReplayOptions {
  int image_fd = -1;          ///< A sealed memfd with the compiled policy.
  std::string capture;        ///< pcap or pcapng, Ethernet.
  std::string flows = "-";    ///< NDJSON, one line a flow; "-" is standard output.
  std::string write_capture;  ///< Packets sent on; empty: none is written.
  bool verify_checksums = true;
};

/// Runs a capture through one real worker, with the capture's own clock. No root, no hugepages.
/// @return the process's exit status: 0 good, 2 when something could not be read or written.
int replay(const ReplayOptions& options);

}  // namespace sallyport
