#include <cstdint>
#include <cstdlib>
#include <span>

#include "policy/runtime/frames.h"
#include "policy/runtime/identity_codec.h"
#include "policy/runtime/image_codec.h"

namespace {

using namespace sallyport;

/// What was decoded is a feed: every address leads to its labels, and it is written as it came.
void check(std::span<const uint8_t> bytes) {
  const auto decoded = decode_identities(bytes);
  if (!decoded) return;
  for (const IdentityFeed::Entry& entry : decoded->feed.entries) {
    const LabelList* labels = decoded->feed.find(entry.address);
    if (labels != &decoded->feed.label_lists.at(entry.labels)) std::abort();
  }
  const auto again = encode_identities(decoded->feed);
  if (!again || again->size() != bytes.size() || decoded->revision == 0) std::abort();
  if (decode_identities(*again)->revision != decoded->revision) std::abort();
}

}  // namespace

/// The input is a message, a feed with its header, and a payload: sealed here, so that mutations
/// get behind the digest.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span input(data, size);
  if (const auto header = read_request(input); header && size != sizeof(FrameHeader)) std::abort();
  check(input);
  check(seal(kIdentitySeal, input));
  return 0;
}
