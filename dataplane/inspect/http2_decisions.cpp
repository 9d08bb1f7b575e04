#include "dataplane/inspect/http2_decisions.h"

namespace sallyport {
namespace {

constexpr uint8_t kMost = Http2Streams::kMostRequests;
constexpr uint8_t kNone = Http2Streams::kNone;

}  // namespace

Http2Decisions::Decision Http2Decisions::take_from(Flow& flow) noexcept {
  const Decision decision{.facts = flow.facts,
                          .budget = flow.budget,
                          .rule = flow.rule,
                          .reason = flow.reason,
                          .would_deny = flow.would_deny,
                          .on_deny = flow.on_deny,
                          .log = flow.log};
  flow.facts = FactStore::kNone;
  return decision;
}

void Http2Decisions::give_to(Flow& flow, Decision& decision) noexcept {
  flow.facts = decision.facts;
  flow.budget = decision.budget;
  flow.rule = decision.rule;
  flow.reason = decision.reason;
  flow.would_deny = decision.would_deny;
  flow.on_deny = decision.on_deny;
  flow.log = decision.log;
  decision.facts = FactStore::kNone;
}

void Http2Decisions::put_away(Flow& flow, const Http2Streams& streams, FactStore& facts) noexcept {
  if (streams.current() != kNone) {
    decisions_[streams.current()] = take_from(flow);
  } else {
    facts.release(flow.facts);
    flow.facts = FactStore::kNone;
  }
}

uint8_t Http2Decisions::find(const Http2Streams& streams, std::span<const uint8_t> packed,
                             const FactStore& facts) const noexcept {
  for (uint8_t i = 0; i < kMost; ++i) {
    if (streams.is_live(i) && facts.holds(decisions_[i].facts, packed)) return i;
  }
  return kNone;
}

// @return a place that nothing lives in.
uint8_t Http2Decisions::make_room(Http2Streams& streams, FactStore& facts) noexcept {
  for (uint8_t i = 0; i < kMost; ++i) {
    if (!streams.is_live(i)) return i;
  }
  for (uint8_t i = 0; i < kMost; ++i) {
    for (uint8_t j = i + 1; j < kMost; ++j) {
      Decision& one = decisions_[i];
      Decision& other = decisions_[j];
      if (one.rule != other.rule || one.budget != other.budget) continue;
      facts.release(one.facts);
      facts.release(other.facts);
      one.facts = other.facts = FactStore::kNone;
      streams.join(j, i);
      return j;
    }
  }
  return kNone;
}

bool Http2Decisions::keep(Flow& flow, Http2Streams& streams, std::span<const uint8_t> packed,
                          FactStore& facts) noexcept {
  put_away(flow, streams, facts);
  const uint8_t newest_before = streams.newest();
  streams.set_newest(kNone);
  for (uint8_t i = 0; i < kMost; ++i) {
    if (streams.is_live(i)) continue;
    facts.release(decisions_[i].facts);
    decisions_[i].facts = FactStore::kNone;
  }
  if (const uint8_t same = find(streams, packed, facts); same != kNone) {
    give_to(flow, decisions_[same]);
    streams.set_newest(same);
    streams.set_current(same);
    return true;
  }
  const uint8_t place = make_room(streams, facts);
  if (place == kNone) {
    streams.set_newest(newest_before);
    return false;
  }
  streams.set_newest(place);
  streams.set_current(place);
  flow.facts = facts.store(packed);
  return flow.facts != FactStore::kNone || packed.empty() || packed.size() > kShortFactsBytes;
}

void Http2Decisions::turn_to(Flow& flow, Http2Streams& streams, uint8_t request) noexcept {
  if (request == streams.current()) return;
  decisions_[streams.current()] = take_from(flow);
  give_to(flow, decisions_[request]);
  streams.set_current(request);
}

bool Http2Decisions::turn_to_lost(Flow& flow, Http2Streams& streams) noexcept {
  uint8_t first = 0;
  while (!streams.has_lost(first)) ++first;
  turn_to(flow, streams, first);
  for (uint8_t i = first + 1; i < kMost; ++i) {
    if (streams.has_lost(i) && decisions_[i].budget != flow.budget) return false;
  }
  return true;
}

void Http2Decisions::release(FactStore& facts) noexcept {
  for (Decision& decision : decisions_) {
    facts.release(decision.facts);
    decision.facts = FactStore::kNone;
  }
}

}  // namespace sallyport
