#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "policy/compile/dimensions.h"
#include "policy/compile/model.h"

namespace sallyport {

/// The serialized Hyperscan databases of an image; empty where there is nothing to find.
struct Databases {
  std::vector<uint8_t> name_literals;
  std::vector<uint8_t> name_regexes;
  std::vector<uint8_t> paths;
  std::vector<uint8_t> headers;
};

/// Lays out a payload (image.fbs). Deterministic: everything it walks is ordered.
/// @return nothing when the policy does not fit into an image.
std::vector<uint8_t> write_payload(const PolicyModels& models, const ClauseList& list,
                                   PolicyDimensions& dimensions, const Databases& databases);

}  // namespace sallyport
