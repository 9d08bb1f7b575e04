#pragma once

#include <rte_mempool.h>

#include <cstdint>
#include <expected>
#include <string>

namespace sallyport {

struct PortOptions {
  uint16_t queues = 1;  ///< Receive and transmit; one of each a worker.
  uint16_t rx_descriptors = 1024;
  uint16_t tx_descriptors = 1024;
  uint16_t mtu_bytes = 1500;
  bool transmit = true;
};

/// One started Ethernet port, in promiscuous mode: a bump in the wire takes what is not for it.
/// Stopped and closed at the end.
class Port {
 public:
  /// @param name  What DPDK calls the device.
  static std::expected<Port, std::string> start(const std::string& name, const PortOptions& options,
                                                rte_mempool* pool);
  ~Port();
  Port(Port&& other) noexcept;
  Port& operator=(Port&&) = delete;

  /// Packets the port lost before they could be received, or after they were sent.
  struct Missed {
    uint64_t queue_full = 0;
    uint64_t no_buffer = 0;
    uint64_t received_damaged = 0;
    uint64_t not_sent = 0;
  };
  Missed missed() const noexcept;

  uint16_t id() const noexcept { return id_; }
  int socket() const noexcept;

 private:
  explicit Port(uint16_t id) : id_(id), live_(true) {}
  uint16_t id_;
  bool live_;
};

/// Packet buffers for frames of `mtu_bytes` and their link layer. nullptr with rte_errno set when
/// memory is short.
rte_mempool* make_packet_pool(uint32_t packets, uint16_t mtu_bytes);

}  // namespace sallyport
