#pragma once

#include <string>
#include <vector>

#include "dataplane/io/capture_normaliser.h"

namespace sallyport {

struct ReplayOptions {
  int image_fd = -1;                   ///< A sealed memfd with the compiled policy.
  int feed_fd = -1;                    ///< One with an identity feed; -1: labels are unknown.
  std::vector<std::string> captures;   ///< Files, and folders of them.
  std::string flows = "-";             ///< NDJSON, one line a flow; "-" is standard output.
  std::string write_capture;           ///< Packets sent on, of one capture; empty: none is written.
  std::vector<std::string> resolvers;  ///< Addresses whose answers count for destination bindings.
  ChecksumMode checksums = ChecksumMode::automatic;
};

/// Runs each capture through a real worker of its own, with the capture's own clock. No root, no
/// hugepages. What is wrong with one capture is said on standard error and stops no other.
/// @return the process's exit status: 0 good, 2 when something could not be read or written.
int replay(const ReplayOptions& options);

}  // namespace sallyport
