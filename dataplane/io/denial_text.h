#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/inspect/flow.h"
#include "policy/runtime/table.h"

namespace sallyport {

using DenialText = std::array<uint8_t, 1024>;

/// The 403 for a denied HTTP client (RFC 9110 section 15.5.4): policy, rule, revision, reason and
/// flow id, a line each, the same words as in the flow log. Nothing of the request is in it.
///
/// @param table  The one that decided; nullptr when there is none.
/// @param out    Where it is written; the result borrows it. Names too long for it are cut.
std::span<const uint8_t> write_forbidden(const Flow& flow, const PolicyTable* table,
                                         DenialText& out) noexcept;

}  // namespace sallyport
