#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "dataplane/inspect/exception.h"
#include "dataplane/inspect/fragment_table.h"
#include "dataplane/io/log_options.h"
#include "policy/runtime/ip_address.h"
#include "policy/yaml/document.h"

namespace sallyport {

enum class Hugepages : uint8_t { automatic, require, never };

/// configs/gateway.yaml: see there for the meaning of each key. Plain values, already in range.
struct GatewayConfig {
  std::string inside_device;
  std::string outside_device;
  bool by_initiator = false;  ///< ports.orientation
  uint16_t mtu_bytes = 1500;
  uint16_t rx_descriptors = 1024;
  uint16_t tx_descriptors = 1024;

  unsigned main_core = 0;
  std::vector<unsigned> worker_cores{1};

  Hugepages hugepages = Hugepages::automatic;
  uint32_t total_mb = 512;
  uint32_t packets = 32768;

  uint32_t flow_capacity = 65536;
  uint32_t tcp_idle_seconds = 7500;
  uint32_t tcp_opening_seconds = 30;
  uint32_t tcp_closing_seconds = 10;
  uint32_t udp_idle_seconds = 60;
  uint32_t other_idle_seconds = 30;

  uint32_t held_bytes_per_flow = 65536;
  uint32_t held_packets_per_worker = 8192;
  uint32_t inspection_timeout_seconds = 10;
  uint32_t inspected_flows_per_worker = 16384;
  uint32_t http2_connections_per_worker = 256;
  uint32_t quic_handshakes_per_worker = 1024;

  bool pass_http2_opening = false;

  FragmentLimits fragments;

  std::vector<IpAddress> resolvers;
  uint32_t binding_grace_seconds = 300;
  uint32_t binding_entries = 65536;

  uint32_t budget_entries = 16384;

  bool pass_inbound_flows = false;

  bool telemetry = true;  ///< DPDK's telemetry socket.

  ExceptionActions exceptions;
  uint32_t midstream_grace_seconds = 300;

  LogOptions log;

  std::string control_socket = "/run/sallyport/dataplane.sock";
  std::string control_user = "root";
  std::string stats = "/run/sallyport/stats";
  std::string flow_log = "/var/log/sallyport/flows.ndjson";
  std::string policy_image = "/var/lib/sallyport/last-good.spimg";
  std::string identity_feed = "/var/lib/sallyport/last-good.spids";
  std::string budget_state = "/var/lib/sallyport/budgets.state";

  bool operator==(const GatewayConfig&) const = default;
};

/// "net_af_xdp0" of "net_af_xdp0,iface=eth1": what DPDK calls the device.
std::string device_name(const std::string& device);

/// Reads and checks a configuration. All errors at once, with file, line and column.
std::expected<GatewayConfig, std::vector<Diagnostic>> parse_gateway_config(
    const SourceFile& source);

/// The same from a file on disk.
std::expected<GatewayConfig, std::vector<Diagnostic>> load_gateway_config(const std::string& path);

}  // namespace sallyport
