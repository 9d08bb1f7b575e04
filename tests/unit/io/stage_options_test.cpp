// Every key of gateway.yaml that the flows of a worker go by reaches them.
#include "dataplane/io/stage_options.h"

#include <catch2/catch.hpp>

using namespace sallyport;

TEST_CASE("a worker's options are the configuration's", "[config]") {
  GatewayConfig config;
  config.worker_cores = {3, 5};
  config.flow_capacity = 99;
  config.tcp_idle_seconds = 1;
  config.tcp_opening_seconds = 2;
  config.tcp_closing_seconds = 3;
  config.udp_idle_seconds = 4;
  config.other_idle_seconds = 5;
  config.held_bytes_per_flow = 2049;
  config.held_packets_per_worker = 17;
  config.inspection_timeout_seconds = 6;
  config.inspected_flows_per_worker = 18;
  config.http2_connections_per_worker = 19;
  config.quic_handshakes_per_worker = 20;
  config.pass_http2_opening = true;
  config.pass_inbound_flows = true;
  config.midstream_grace_seconds = 7;
  config.exceptions.set(Exception::malformed, ExceptionAction::drop_flow);

  const FlowStageOptions options = stage_options(config, 1, nullptr, nullptr);
  CHECK(options.core == 5);
  CHECK(options.worker == 1);
  CHECK(options.flow_capacity == 99);
  CHECK(options.timeouts.tcp_idle_ms == 1000);
  CHECK(options.timeouts.tcp_opening_ms == 2000);
  CHECK(options.timeouts.tcp_closing_ms == 3000);
  CHECK(options.timeouts.udp_idle_ms == 4000);
  CHECK(options.timeouts.other_idle_ms == 5000);
  CHECK(options.limits.held_bytes_per_flow == 2049);
  CHECK(options.limits.held_packets == 17);
  CHECK(options.limits.inspection_timeout_ms == 6000);
  CHECK(options.limits.inspections == 18);
  CHECK(options.limits.http2_connections == 19);
  CHECK(options.limits.quic_hellos == 20);
  CHECK(options.limits.pass_http2_opening);
  CHECK(options.pass_inbound_flows);
  CHECK(options.midstream_grace_ms == 7000);
  CHECK(options.limits.exceptions == config.exceptions);
}
