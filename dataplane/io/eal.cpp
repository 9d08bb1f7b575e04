#include "dataplane/io/eal.h"

#include <bpf/libbpf.h>
#include <net/if.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace sallyport {
namespace {

namespace fs = std::filesystem;

bool is_virtual(const std::string& device) {
  return device.starts_with("net_");
}

// The value of "key=" in a device's arguments, or "".
std::string argument(const std::string& device, const std::string& key) {
  const size_t at = device.find("," + key + "=");
  if (at == std::string::npos) return "";
  const size_t from = at + key.size() + 2;
  return device.substr(from, device.find(',', from) - from);
}

std::string check_device(const std::string& device) {
  if (!is_virtual(device)) {
    const fs::path path = "/sys/bus/pci/devices/" + device_name(device);
    if (!fs::exists(path)) {
      return "device " + device_name(device) +
             ": no such PCI device (a virtual one starts with net_)";
    }
    return "";
  }
  const std::string interface = argument(device, "iface");
  if (!interface.empty() && if_nametoindex(interface.c_str()) == 0) {
    return "device " + device + ": there is no network interface " + interface;
  }
  const std::string capture = argument(device, "rx_pcap");
  if (!capture.empty() && access(capture.c_str(), R_OK) != 0) {
    return "device " + device + ": cannot read " + capture;
  }
  const bool raw = device.starts_with("net_af_");
  if (raw && geteuid() != 0) {
    return "device " + device + ": needs root (CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF)";
  }
  return "";
}

std::string check_cores(const EalOptions& options) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return "";
  auto cores = options.worker_cores;
  cores.push_back(options.main_core);
  for (const unsigned core : cores) {
    if (core >= CPU_SETSIZE || !CPU_ISSET(core, &allowed)) {
      return "core " + std::to_string(core) +
             " is not available to this process (cores.main, "
             "cores.workers)";
    }
  }
  return "";
}

// Of all sizes; `file` is free_hugepages or nr_hugepages.
uint64_t hugepage_mb(const char* file) {
  uint64_t kilobytes = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
    const std::string name = entry.path().filename();  // hugepages-2048kB
    uint64_t count = 0;
    std::ifstream(entry.path() / file) >> count;
    const size_t dash = name.find('-');
    if (dash != std::string::npos) {
      kilobytes += count * std::strtoull(name.c_str() + dash + 1, nullptr, 10);
    }
  }
  return kilobytes / 1024;
}

// The kernel gives back the packet memory of AF_XDP sockets some time after their process has
// ended: a restart would not find the hugepages that its predecessor had.
bool enough_hugepages(uint64_t total_mb) {
  constexpr int kTries = 50;
  if (hugepage_mb("nr_hugepages") < total_mb) return false;
  for (int i = 0; i < kTries; ++i) {
    if (hugepage_mb("free_hugepages") >= total_mb) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

std::vector<std::string> arguments(const EalOptions& options, bool hugepages, bool telemetry) {
  std::string cores = std::to_string(options.main_core);
  for (const unsigned core : options.worker_cores) cores += "," + std::to_string(core);
  std::vector<std::string> args{"sallyport-dataplane",
                                "-l",
                                cores,
                                "--main-lcore",
                                std::to_string(options.main_core),
                                "-m",
                                std::to_string(options.total_mb),
                                "--iova-mode=va",
                                "--log-level=error"};
  // The name of the runtime folder, where nothing is put but telemetry's socket. Whoever asks that
  // needs a name that stays; a second data plane's socket gets another name in the same folder.
  args.emplace_back("--file-prefix");
  args.push_back(telemetry ? "sallyport" : "sallyport-" + std::to_string(getpid()));
  if (!telemetry) args.emplace_back("--no-telemetry");
  if (hugepages) {
    args.emplace_back("--in-memory");
  } else {
    args.emplace_back("--no-huge");
    args.emplace_back("--no-shconf");
  }
  bool pci = false;
  for (const std::string& device : options.devices) {
    args.emplace_back(is_virtual(device) ? "--vdev" : "-a");
    args.push_back(device);
    pci |= !is_virtual(device);
  }
  if (!pci) args.emplace_back("--no-pci");
  return args;
}

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of("\n ");
  if (end == std::string::npos) return "";
  const size_t start = text.rfind('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1,
                     end - (start == std::string::npos ? 0 : start + 1) + 1);
}

// AF_XDP's libraries lock memory for maps and packets, and talk of every fallback they try.
void prepare_af_xdp() {
  const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);  // without the right to, the old limit stays
  libbpf_set_print(nullptr);
  libxdp_set_print(nullptr);
}

// DPDK makes a folder for this process even where it is to put nothing there, and leaves it. Its
// telemetry socket goes when the process exits: by a function that is called before this one is,
// as it was given to atexit() after it.
void remove_runtime_folder() {
  std::error_code ignored;
  fs::remove(rte_eal_get_runtime_dir(), ignored);  // only if it is empty
}

// Where DPDK puts the socket of its telemetry. It falls back to a name in /tmp, or does not start,
// where that cannot be: better without telemetry than either.
std::string telemetry_problem() {
  constexpr size_t kLongestSocket = sizeof(sockaddr_un::sun_path) - 1;
  const char* set = std::getenv("RUNTIME_DIRECTORY");
  const char* session = std::getenv("XDG_RUNTIME_DIR");
  std::string folder = set != nullptr ? set : "/var/run";
  if (set == nullptr && getuid() != 0) folder = session != nullptr ? session : "/tmp";
  if (!fs::is_directory(folder)) return folder + " is no folder";
  if ((folder + "/dpdk/sallyport/dpdk_telemetry.v2:99").size() > kLongestSocket) {
    return folder + " is too long a name for a socket in it";
  }
  return "";
}

struct Started {
  std::string wrong;  ///< Empty: it runs.
  std::string said;   ///< Its log, which is shown only when it explains a failure.
};

Started init(std::vector<std::string> args) {
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  char* text = nullptr;
  size_t size = 0;
  FILE* log = open_memstream(&text, &size);
  if (log != nullptr) rte_openlog_stream(log);
  const int result = rte_eal_init(static_cast<int>(argv.size()), argv.data());
  const int error = rte_errno;
  rte_openlog_stream(stderr);
  std::string said;
  if (log != nullptr) {
    std::fclose(log);
    said.assign(text, size);
    std::free(text);
  }
  if (result >= 0) return {.wrong = "", .said = std::move(said)};
  remove_runtime_folder();
  const std::string detail = last_line(said);
  return {.wrong =
              "DPDK did not start: " + (detail.empty() ? std::string(rte_strerror(error)) : detail),
          .said = ""};
}

// DPDK starts without a virtual device that it cannot make, and says why only in its log.
std::string check_ports(const EalOptions& options, const std::string& said) {
  for (const std::string& device : options.devices) {
    uint16_t id = 0;
    if (rte_eth_dev_get_port_by_name(device_name(device).c_str(), &id) == 0) continue;
    const std::string detail = said.substr(0, said.find('\n'));
    return "device " + device +
           ": DPDK cannot use it: " + (detail.empty() ? "it has no driver for it" : detail);
  }
  return "";
}

}  // namespace

std::expected<Eal, std::string> Eal::start(const EalOptions& options) {
  for (const std::string& device : options.devices) {
    if (std::string wrong = check_device(device); !wrong.empty()) return std::unexpected(wrong);
  }
  if (std::string wrong = check_cores(options); !wrong.empty()) return std::unexpected(wrong);

  const bool hugepages =
      options.hugepages != Hugepages::never && enough_hugepages(options.total_mb);
  if (options.hugepages == Hugepages::require && !hugepages) {
    return std::unexpected(
        "memory.hugepages is require, but only " + std::to_string(hugepage_mb("free_hugepages")) +
        " MB of hugepages are free and memory.total_mb is " + std::to_string(options.total_mb) +
        ": raise vm.nr_hugepages, or set memory.hugepages to auto");
  }
  prepare_af_xdp();
  bool telemetry = options.telemetry;
  if (const std::string problem = telemetry ? telemetry_problem() : ""; !problem.empty()) {
    spdlog::warn("no DPDK telemetry: {}; see RUNTIME_DIRECTORY", problem);
    telemetry = false;
  }
  if (telemetry) std::atexit(remove_runtime_folder);
  const Started started = init(arguments(options, hugepages, telemetry));
  if (!started.wrong.empty()) return std::unexpected(started.wrong);
  Eal eal(hugepages);
  if (std::string wrong = check_ports(options, started.said); !wrong.empty()) {
    return std::unexpected(wrong);
  }
  return eal;
}

Eal::Eal(Eal&& other) noexcept : hugepages_(other.hugepages_), live_(other.live_) {
  other.live_ = false;
}

Eal::~Eal() {
  if (!live_) return;
  rte_eal_cleanup();
  remove_runtime_folder();
}

}  // namespace sallyport
