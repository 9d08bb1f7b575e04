#include "dataplane/io/port.h"

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

namespace sallyport {
namespace {

constexpr uint32_t kPoolCache = 256;
constexpr uint16_t kLinkBytes = RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN + RTE_ETHER_CRC_LEN;

std::string problem(const std::string& name, const std::string& what, int error) {
  return "port " + name + ": " + what + ": " + std::strerror(-error);
}

rte_eth_conf port_conf(const rte_eth_dev_info& info, const PortOptions& options) {
  rte_eth_conf conf{};
  conf.rxmode.mtu = std::clamp(options.mtu_bytes, info.min_mtu, info.max_mtu);
  constexpr uint64_t kWanted = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
  if (options.queues > 1 && (info.flow_type_rss_offloads & kWanted) != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & kWanted;
  }
  // No RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE: packets kept as a guard have a second reference.
  return conf;
}

int set_up_queues(uint16_t id, const rte_eth_dev_info& info, const PortOptions& options,
                  rte_mempool* pool) {
  uint16_t rx = options.rx_descriptors;
  uint16_t tx = options.tx_descriptors;
  int error = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx, &tx);
  for (uint16_t queue = 0; error == 0 && queue < options.queues; ++queue) {
    rte_eth_rxconf rx_conf = info.default_rxconf;
    error = rte_eth_rx_queue_setup(id, queue, rx, rte_eth_dev_socket_id(id), &rx_conf, pool);
    if (error != 0 || !options.transmit) continue;
    rte_eth_txconf tx_conf = info.default_txconf;
    error = rte_eth_tx_queue_setup(id, queue, tx, rte_eth_dev_socket_id(id), &tx_conf);
  }
  return error;
}

}  // namespace

std::expected<Port, std::string> Port::start(const std::string& name, const PortOptions& options,
                                             rte_mempool* pool) {
  uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id) != 0) {
    return std::unexpected("port " + name + ": DPDK found no such device");
  }
  Port port(id);
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(id, &info); error != 0) {
    return std::unexpected(problem(name, "cannot be queried", error));
  }
  const uint16_t tx_queues = options.transmit ? options.queues : 0;
  if (options.queues > info.max_rx_queues || tx_queues > info.max_tx_queues) {
    return std::unexpected("port " + name + ": has " + std::to_string(info.max_rx_queues) +
                           " receive and " + std::to_string(info.max_tx_queues) +
                           " transmit queues, but each of the " + std::to_string(options.queues) +
                           " cores.workers needs one of both");
  }
  const rte_eth_conf conf = port_conf(info, options);
  if (const int error = rte_eth_dev_configure(id, options.queues, tx_queues, &conf); error != 0) {
    return std::unexpected(problem(name, "cannot be configured", error));
  }
  if (const int error = set_up_queues(id, info, options, pool); error != 0) {
    return std::unexpected(problem(name, "cannot set up its queues", error));
  }
  if (const int error = rte_eth_dev_start(id); error != 0) {
    return std::unexpected(problem(name, "cannot be started", error));
  }
  if (const int error = rte_eth_promiscuous_enable(id); error != 0 && error != -ENOTSUP) {
    return std::unexpected(problem(name, "cannot be made promiscuous", error));
  }
  return port;
}

Port::Port(Port&& other) noexcept : id_(other.id_), live_(other.live_) {
  other.live_ = false;
}

Port::~Port() {
  if (!live_) return;
  rte_eth_dev_stop(id_);
  rte_eth_dev_close(id_);
}

Port::Missed Port::missed() const noexcept {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) != 0) return {};
  return {.queue_full = stats.imissed,
          .no_buffer = stats.rx_nombuf,
          .received_damaged = stats.ierrors,
          .not_sent = stats.oerrors};
}

int Port::socket() const noexcept {
  return rte_eth_dev_socket_id(id_);
}

rte_mempool* make_packet_pool(uint32_t packets, uint16_t mtu_bytes) {
  const int needed = RTE_PKTMBUF_HEADROOM + mtu_bytes + kLinkBytes;
  const auto room = static_cast<uint16_t>(std::max<int>(needed, RTE_MBUF_DEFAULT_BUF_SIZE));
  return rte_pktmbuf_pool_create("packets", packets, kPoolCache, 0, room, SOCKET_ID_ANY);
}

}  // namespace sallyport
