// Any bytes as a client's stream: every prefix, in a block of its own, gives the answer of the
// whole or asks for more, and asks for no more than the answer needs.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/inspect/identify.h"

namespace {

using namespace sallyport;

void require(bool holds) {
  if (!holds) std::abort();
}

bool same(const Identified& a, const Identified& b) {
  return a.status == b.status && a.fault == b.fault && a.app_known == b.app_known &&
         a.app == b.app && a.name_known == b.name_known && a.name.view() == b.name.view();
}

void check_answer(const Identified& got, size_t size) {
  using Status = Identified::Status;
  require((got.status == Status::fault) == (got.fault != InspectFault::none));
  require(got.status != Status::need_more || got.need_bytes > size);
  require((got.name_known == Known::present) == !got.name.empty());
  if (got.status == Status::done) {
    require(got.app_known != Known::unknown && got.name_known != Known::unknown);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto scratch = std::make_unique<IdentifyScratch>();
  Identified whole;
  identify({data, size}, false, *scratch, whole);
  check_answer(whole, size);

  // All prefixes of short inputs; of long ones about 200, or a run would take minutes.
  size_t needed = 0;
  const size_t step = std::max<size_t>(1, size / 200);
  for (size_t cut = 0; cut < size; cut += step) {
    const std::vector<uint8_t> prefix(data, data + cut);
    Identified part;
    identify(prefix, false, *scratch, part);
    check_answer(part, cut);
    if (part.status == Identified::Status::need_more) {
      needed = std::max<size_t>(needed, part.need_bytes);
    } else {
      require(same(part, whole) && cut >= needed);
    }
    identify(prefix, true, *scratch, part);
    require(part.status != Identified::Status::need_more);
  }
  require(whole.status == Identified::Status::need_more || size >= needed);
  return 0;
}
