#pragma once

#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"
#include "tests/support/http2_builder.h"

namespace sallyport::test {

/// One client that speaks HTTP/2 without TLS, by way of good.test. Each call sends one segment,
/// which is expected to leave as it is; the server acknowledges it.
struct Http2Talk {
  Conversation flow;
  size_t sent = 0;

  explicit Http2Talk(Pipeline& pipeline, uint16_t port = 40000)
      : flow{.pipeline = pipeline, .client_port = port, .server_port = 80} {
    flow.open();
  }

  /// @return whether it left, and nobody was told anything.
  bool passes(const Bytes& frames) {
    const Bytes segment = sent == 0 ? h2_start() + frames : frames;
    flow.pipeline.from_inside(flow.out(sent).payload(segment).frame());
    if (flow.pipeline.payload_to_outside() != segment) return false;
    sent += segment.size();
    flow.pipeline.from_outside(
        flow.in().ack(flow.client_first + static_cast<uint32_t>(sent)).frame());
    return flow.pipeline.to_inside().size() == 1;
  }
  /// @return whether nothing of it left, and both ends were reset.
  bool is_cut(const Bytes& frames) const {
    flow.pipeline.from_inside(flow.out(sent).payload(frames).frame());
    return is_reset(flow.pipeline.to_outside(), flow.client_first + static_cast<uint32_t>(sent)) &&
           is_reset(flow.pipeline.to_inside(), flow.server_first);
  }
  /// The same of a packet from the server.
  bool answer_is_cut() const {
    flow.pipeline.from_outside(flow.in()
                                   .ack(flow.client_first + static_cast<uint32_t>(sent))
                                   .payload(Bytes(30, 'a'))
                                   .frame());
    return is_reset(flow.pipeline.to_outside(), flow.client_first + static_cast<uint32_t>(sent)) &&
           is_reset(flow.pipeline.to_inside(), flow.server_first);
  }
};

/// All of a request but what it sends behind its head.
inline Bytes h2_post(uint32_t stream, const std::string& path) {
  H2Fields fields = h2_get("good.test", path);
  fields.front().second = "POST";
  return h2_open(stream, fields);
}
/// A request that is all in its head.
inline Bytes h2_get_of(uint32_t stream, const std::string& path) {
  return h2_request(stream, h2_get("good.test", path));
}
inline Bytes h2_data(uint32_t stream, size_t bytes, uint8_t flags = 0) {
  return h2_frame(kH2Data, flags, stream, Bytes(bytes, 'x'));
}

/// What a flow that has ended should leave behind: nothing.
inline void check_nothing_left(Pipeline& pipeline) {
  pipeline.end_all_flows();
  CHECK(pipeline.flow_memory().fact_blocks == 0);
  CHECK(pipeline.flow_memory().http2_connections == 0);
  CHECK(pipeline.flow_memory().inspections == 0);
  CHECK(pipeline.packets_in_use() == 0);
}

}  // namespace sallyport::test
