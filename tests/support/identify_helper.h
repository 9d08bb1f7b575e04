#pragma once

#include <memory>
#include <string>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/inspect/identify.h"
#include "tests/support/bytes.h"

namespace sallyport::test {

/// One line that says all of an answer: "tls api.example.com", "http -" for a name that is absent,
/// "absent" for an unknown protocol, "need_more", or "fault tls_truncated".
inline std::string describe(const Identified& got) {
  if (got.status == Identified::Status::need_more) return "need_more";
  if (got.status == Identified::Status::fault) return "fault " + std::string(to_string(got.fault));
  if (got.app_known == Known::unknown || got.name_known == Known::unknown)
    return "done, but unknown";
  if (got.app_known == Known::absent) return got.name_known == Known::absent ? "absent" : "named?";
  return std::string("tls ") +
         (got.name_known == Known::present ? std::string(got.name.view()) : "-");
}

/// Feeds an identify() whose scratch starts with junk from the call before.
inline Identified identify_bytes(const Bytes& prefix, bool ended = false) {
  static const auto scratch = std::make_unique<IdentifyScratch>();
  Identified out;
  identify(prefix, ended, *scratch, out);
  return out;
}

inline std::string answer(const Bytes& prefix, bool ended = false) {
  return describe(identify_bytes(prefix, ended));
}

}  // namespace sallyport::test
