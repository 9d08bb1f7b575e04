#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "dataplane/io/config.h"

namespace sallyport {

struct EalOptions {
  std::vector<std::string> devices;  ///< "net_…" virtual devices or PCI addresses, with arguments.
  unsigned main_core = 0;
  std::vector<unsigned> worker_cores;  ///< Empty: everything runs on the main core.
  Hugepages hugepages = Hugepages::automatic;
  uint32_t total_mb = 512;
  bool telemetry = false;  ///< DPDK's telemetry socket, in its runtime folder.
};

/// DPDK's environment, once a process. Movable, cleans up at the end.
class Eal {
 public:
  /// Checks devices, cores and memory first, so that the common mistakes get one clear line.
  /// @return the environment, or what is wrong and what to do.
  static std::expected<Eal, std::string> start(const EalOptions& options);
  ~Eal();
  Eal(Eal&& other) noexcept;
  Eal& operator=(Eal&&) = delete;

  bool hugepages() const noexcept { return hugepages_; }

 private:
  explicit Eal(bool hugepages) : hugepages_(hugepages), live_(true) {}
  bool hugepages_;
  bool live_;
};

}  // namespace sallyport
