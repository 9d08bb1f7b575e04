#include "dataplane/inspect/http_facts.h"

#include "dataplane/inspect/http_text.h"

namespace sallyport {

std::string_view HttpHeaderSink::wanted(std::string_view name) const noexcept {
  for (const std::string_view one : names_) {
    if (equal_ignoring_case(one, name)) return one;
  }
  return {};
}

}  // namespace sallyport
