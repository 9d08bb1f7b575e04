#pragma once

#include <string>
#include <vector>

#include "dataplane/io/config.h"

namespace sallyport {

/// One line of what a gateway does when it cannot do what it is there for.
struct Preflight {
  bool fails_open;
  std::string text;
};

/// What fails closed and what open under this configuration, in plain words: what fails open first.
std::vector<Preflight> preflight(const GatewayConfig& config, bool has_policy);

}  // namespace sallyport
