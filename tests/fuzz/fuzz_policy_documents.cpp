#include <cstdint>
#include <cstdlib>
#include <vector>

#include "policy/compile/flow_text.h"
#include "policy/compile/identity_feed.h"
#include "policy/compile/policy_test.h"

using namespace sallyport;

namespace {

void check(const std::vector<Diagnostic>& diagnostics, size_t size) {
  if (diagnostics.empty()) std::abort();
  for (const Diagnostic& one : diagnostics) {
    if (one.code.empty() || one.message.empty() || one.line > size + 1) std::abort();
    for (const char c : to_string(one)) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) std::abort();
    }
  }
}

}  // namespace

/// Any text is an identity feed, tests of a policy and a flow, or is refused as each of them. What
/// is read as a flow reads the same once it is written out again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kNow = 1'796'083'200;
  const SourceFile source{"fuzz", std::string(reinterpret_cast<const char*>(data), size)};
  const auto identities = load_identities({&source, 1});
  if (!identities) check(identities.error(), size);
  const auto suites = load_policy_tests({&source, 1}, kNow);
  if (!suites) check(suites.error(), size);
  static_cast<void>(is_policy_test(source));

  const auto flow = parse_flow(source.text, kNow);
  if (flow) {
    const auto again = parse_flow(to_text(*flow, kNow), kNow);
    if (!again || again->values() != flow->values()) std::abort();
  } else if (flow.error().empty()) {
    std::abort();
  }
  const auto record = parse_flow_record(source.text, kNow);
  if (!record && record.error().empty()) std::abort();
  return 0;
}
