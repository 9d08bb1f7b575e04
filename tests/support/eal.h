#pragma once

namespace sallyport::test {

/// DPDK without hugepages, devices, files or root, on one core. Once a process, as DPDK cannot be
/// started twice; throws std::runtime_error when it does not start.
void start_eal();

}  // namespace sallyport::test
