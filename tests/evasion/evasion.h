#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/inspect/fault_info.h"
#include "tests/pipeline/conversation.h"

// What the tables of this folder share. A case is a way to get bytes past the gateway: `server`
// says what a server stack would make of it if nobody stood between, `right` and `leaves` what must
// come of it here.
namespace sallyport::test {

enum class Right : uint8_t {
  allow,
  deny,
  none,  ///< Nothing to decide: what was sent is dropped, and the flow waits.
};

/// Names under allowed.test may be reached, by any protocol that tells them.
inline constexpr std::string_view kEvasionPolicy = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: names, action: Allow, to: {domainNames: ["*.allowed.test"]},
       protocols: [{tls: {ech: deny}}, {quic: {ech: deny}}, {http: {}}, {dns: {}}]}
)";
/// The other way round: what cannot be named passes.
inline constexpr std::string_view kDenyListPolicy = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: names, action: Deny, to: {domainNames: ["*.denied.test"]}}
    - {name: rest, action: Allow}
)";
inline constexpr std::string_view kAllowedName = "www.allowed.test";
inline constexpr std::string_view kDeniedName = "www.denied.test";
// Of one length, so that either may stand in the place of the other.
inline const Bytes kAllowedHello = hello().sni(kAllowedName).record();
inline const Bytes kDeniedHello = hello().sni("wwwx.denied.test").record();

/// Part of a frame's payload, with where it stands in its stream.
struct Sent {
  size_t at = 0;
  Bytes bytes;
};

/// What of a TCP client's payload is among frames that left; RSTs and pure ACKs have none.
inline std::vector<Sent> payloads(const std::vector<Bytes>& frames, uint32_t client_first) {
  std::vector<Sent> out;
  for (const Bytes& frame : frames) {
    const Bytes payload = payload_of(frame);
    if (!payload.empty()) out.push_back({decoded(frame).tcp_sequence - client_first, payload});
  }
  return out;
}

/// The stream as a server reads it that keeps the first copy of each byte, or the last. Bytes
/// behind a gap, and those before the stream's start, are not read by any.
inline Bytes read_by_server(const std::vector<Sent>& sent, bool first_wins) {
  Bytes out;
  std::vector<bool> there;
  for (const Sent& segment : sent) {
    if (segment.at > 1'000'000) continue;
    const size_t end = segment.at + segment.bytes.size();
    if (end > out.size()) out.resize(end), there.resize(end);
    for (size_t i = 0; i < segment.bytes.size(); ++i) {
      if (first_wins && there[segment.at + i]) continue;
      out[segment.at + i] = segment.bytes[i];
      there[segment.at + i] = true;
    }
  }
  const auto gap = std::ranges::find(there, false);
  out.resize(static_cast<size_t>(gap - there.begin()));
  return out;
}

inline bool has_reset(const std::vector<Bytes>& frames) {
  return std::ranges::any_of(
      frames, [](const Bytes& frame) { return (decoded(frame).tcp_flags & kRst) != 0; });
}

/// Whether a client was told that it is denied: by RST, or in the server's name with FIN.
inline bool is_told(const std::vector<Bytes>& frames) {
  return std::ranges::any_of(
      frames, [](const Bytes& frame) { return (decoded(frame).tcp_flags & (kRst | kFin)) != 0; });
}

/// The verdict the one flow of `pipeline` has come to.
inline Right verdict(const Pipeline& pipeline) {
  if (pipeline.counter("sallyport_flows", "state=allowed") == 1) return Right::allow;
  if (pipeline.counter("sallyport_flows", "state=denied") == 1) return Right::deny;
  return Right::none;
}

/// What the one flow of `pipeline` leaves in its record as the reason of its last verdict, or, if
/// its bytes break their protocol, as the fault. Ends the flow.
inline std::string recorded_why(Pipeline& pipeline) {
  pipeline.end_all_flows();
  const auto events = pipeline.events();
  if (events.empty() || events.back().type != FlowEvent::Type::flow) return "no record";
  const FlowEvent& record = events.back();
  if (record.fault == InspectFault::none) return std::string(to_string(record.reason));
  return std::string(kInspectFaultInfo[static_cast<size_t>(record.fault)].name);
}

/// Everything that left must come to at most `leaves`, and at least `least` bytes of it, whoever
/// reads it, and carry nothing else.
inline void check_left(const std::vector<Bytes>& frames, uint32_t client_first, const Bytes& leaves,
                       size_t least) {
  const auto sent = payloads(frames, client_first);
  const Bytes read = read_by_server(sent, true);
  CHECK(read == read_by_server(sent, false));
  CHECK(read == prefix_of(leaves, std::min(read.size(), leaves.size())));
  CHECK(read.size() >= least);
  for (const Sent& segment : sent) {
    const bool inside = segment.at + segment.bytes.size() <= leaves.size();
    CHECK(inside);
  }
}

/// One thing that one end of a TCP connection says.
struct Say {
  Bytes bytes;
  bool by_server = false;
};
inline Say client(Bytes bytes) {
  return {.bytes = std::move(bytes)};
}
inline Say client(std::string_view text) {
  return {.bytes = bytes_of(text)};
}
inline Say server(Bytes bytes) {
  return {.bytes = std::move(bytes), .by_server = true};
}
inline Say server(std::string_view text) {
  return {.bytes = bytes_of(text), .by_server = true};
}

/// A dialogue, and how much of what the client says in it may ever leave. Whole Says of `leaves`
/// must leave; of one that goes on with a denied request, whatever is cut off in front of that.
struct StreamCase {
  std::string name;
  std::string server;
  std::vector<Say> script;
  Right right = Right::deny;
  Bytes leaves;               ///< With Right::allow and empty: all of it.
  bool pass_opening = false;  ///< inspection.http2_opening: pass
  /// Denied because nothing of it names an allowed host: a list of denied names lets it pass.
  bool nameless = false;
  std::string why;  ///< The fault or reason that docs/evasion.md names; empty: either way.
};

inline StreamCase nameless(StreamCase row) {
  row.nameless = true;
  return row;
}
inline StreamCase because(std::string why, StreamCase row) {
  row.why = std::move(why);
  return row;
}

/// How the client's bytes are cut into segments.
struct Cut {
  size_t step = 1400;  ///< Bytes a segment, of those of one Say.
  size_t split = 0;    ///< The one place where the stream is cut as well.
};

inline void play(const StreamCase& row, std::string_view policy, uint16_t server_port, Cut cut) {
  CAPTURE(row.name, row.server, cut.step, cut.split);
  Pipeline pipeline(policy, {.stage = {.limits = {.pass_http2_opening = row.pass_opening}}});
  const Conversation flow{.pipeline = pipeline, .server_port = server_port};
  flow.open();
  std::vector<Bytes> left;
  Bytes said;
  size_t answered = 0;
  for (const Say& say : row.script) {
    if (say.by_server) {
      const size_t acknowledged = read_by_server(payloads(left, flow.client_first), true).size();
      pipeline.from_outside(flow.in(answered)
                                .ack(flow.client_first + static_cast<uint32_t>(acknowledged))
                                .payload(say.bytes)
                                .frame());
      answered += say.bytes.size();
    }
    for (size_t at = 0; !say.by_server && at < say.bytes.size();) {
      size_t end = std::min(say.bytes.size(), at + cut.step);
      const size_t place = said.size() + at;
      if (cut.split > place && cut.split < said.size() + end) end = cut.split - said.size();
      const Bytes part(say.bytes.begin() + static_cast<std::ptrdiff_t>(at),
                       say.bytes.begin() + static_cast<std::ptrdiff_t>(end));
      pipeline.from_inside(flow.out(place)
                               .ack(flow.server_first + static_cast<uint32_t>(answered))
                               .payload(part)
                               .frame());
      at = end;
    }
    if (!say.by_server) append(said, say.bytes);
    for (Bytes& frame : pipeline.to_outside()) left.push_back(std::move(frame));
    pipeline.to_inside();
  }
  CHECK(verdict(pipeline) == row.right);
  CHECK(has_reset(left) == (row.right == Right::deny));
  const Bytes& leaves = row.right == Right::allow && row.leaves.empty() ? said : row.leaves;
  size_t least = 0;
  for (const Say& say : row.script) {
    if (say.by_server) continue;
    if (least + say.bytes.size() > leaves.size()) break;
    least += say.bytes.size();
  }
  check_left(left, flow.client_first, leaves, least);
  if (!row.why.empty()) CHECK(recorded_why(pipeline) == row.why);
}

/// Each case as it stands, a byte a segment, and cut once at places all over it. What a list of
/// allowed names denies one of denied names must deny as well, where it is not just nameless.
inline void play_all(const std::vector<StreamCase>& rows, std::string_view policy,
                     uint16_t server_port) {
  for (const StreamCase& row : rows) {
    size_t bytes = 0;
    for (const Say& say : row.script) bytes += say.by_server ? 0 : say.bytes.size();
    play(row, policy, server_port, {});
    play(row, policy, server_port, {.step = bytes / 500 + 1});
    if (policy == kEvasionPolicy && !row.nameless) {
      INFO("under a list of denied names");
      play(row, kDenyListPolicy, server_port, {});
      play(row, kDenyListPolicy, server_port, {.step = bytes / 100 + 1});
    }
    const size_t apart = bytes / 12 + 1;
    for (size_t split = 1; split < bytes; split += apart) {
      play(row, policy, server_port, {.split = split});
    }
  }
}

}  // namespace sallyport::test
