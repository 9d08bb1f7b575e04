#include "dataplane/inspect/asked_queries.h"

#include <algorithm>

#include "dataplane/inspect/siphash.h"

namespace sallyport {

AskedQueries::AskedQueries(uint32_t places, std::array<uint64_t, 2> key)
    : key_(key), buckets_(std::max(places / kWays, 1u)) {}

uint64_t AskedQueries::hash(const FlowKey& flow, const AskedQuestion& question) const noexcept {
  SipHash hash(key_);
  hash.text({reinterpret_cast<const char*>(&flow), sizeof flow});
  hash.word(uint64_t{question.id} << 16 | question.type);
  hash.text(question.name);
  return hash.finish();
}

// The same question once more, which a client repeats that has lost patience, is one question.
void AskedQueries::note(const FlowKey& flow, const AskedQuestion& question,
                        uint64_t now_ns) noexcept {
  const uint64_t tag = hash(flow, question);
  Place* oldest = nullptr;
  for (Place& place : bucket_of(tag).places) {
    if (place.tag == tag) {
      oldest = &place;
      break;
    }
    if (oldest == nullptr || place.asked_ns < oldest->asked_ns) oldest = &place;
  }
  *oldest = {.tag = tag, .asked_ns = std::max<uint64_t>(now_ns, 1)};
}

bool AskedQueries::take(const FlowKey& flow, const AskedQuestion& question,
                        uint64_t now_ns) noexcept {
  const uint64_t tag = hash(flow, question);
  auto& places = bucket_of(tag).places;
  const auto place = std::ranges::find_if(
      places, [tag](const Place& at) { return at.tag == tag && at.asked_ns != 0; });
  if (place == places.end()) return false;
  const bool in_time = now_ns - place->asked_ns <= kAnswerWithinNs;
  *place = {};
  return in_time;
}

}  // namespace sallyport
