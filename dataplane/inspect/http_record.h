#pragma once

#include <string_view>

#include "dataplane/inspect/http_facts.h"

namespace sallyport {

/// Fills in what a request that is at fault seems to say: method, target and authority, where they
/// are empty. For records alone, so that their reader sees whose request was refused; a server may
/// well read it another way.
///
/// @param head  From the request's first byte, whole or not. Borrowed by `out`.
void guess_http_record(std::string_view head, HttpRequest& out) noexcept;

}  // namespace sallyport
