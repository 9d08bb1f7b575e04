#pragma once

#include <string>
#include <utility>
#include <vector>

#include "policy/runtime/ip_address.h"

namespace sallyport {

/// One inside address and what the identity feed says of it. A SPIFFE ID is a label, too.
struct Identity {
  IpAddress address;
  std::vector<std::pair<std::string, std::string>> labels;  ///< Key and value, each key once.
};

/// The label that holds a workload's SPIFFE ID ("spiffe://cluster.local/ns/train/sa/llm").
inline constexpr const char* kSpiffeIdLabel = "spiffeId";

}  // namespace sallyport
