#include "tests/unit/control/stats_file.h"

#include <algorithm>
#include <new>

namespace sallyport::test {
namespace {

template <size_t kSize>
void fill(std::array<char, kSize>& to, std::string_view from) {
  std::copy_n(from.begin(), std::min(from.size(), kSize - 1), to.begin());
}

}  // namespace

std::string stats_bytes(const StatsFile& file) {
  const size_t counters = file.counters.size();
  const size_t names_end = sizeof(StatsHeader) + counters * sizeof(StatsCounterInfo);
  const size_t offset = (names_end + 4095) / 4096 * 4096;
  const size_t stride = (sizeof(StatsCore) + counters * 8 + 63) / 64 * 64;
  std::string bytes(offset + file.cores.size() * stride, '\0');
  auto* header = new (bytes.data()) StatsHeader;
  header->counters = static_cast<uint32_t>(counters);
  header->cores = static_cast<uint32_t>(file.cores.size());
  header->core_offset = static_cast<uint32_t>(offset);
  header->core_stride = static_cast<uint32_t>(stride);
  header->pid = file.pid;
  header->started_unix_ns = file.started_unix_ns;
  header->ended = file.ended ? 1 : 0;
  for (size_t i = 0; i < counters; ++i) {
    char* at = bytes.data() + sizeof(StatsHeader) + i * sizeof(StatsCounterInfo);
    auto* info = new (at) StatsCounterInfo;
    fill(info->family, file.counters[i].family);
    fill(info->labels, file.counters[i].labels);
    fill(info->help, "What it counts.");
    info->kind = file.counters[i].kind;
  }
  for (size_t i = 0; i < file.cores.size(); ++i) {
    char* at = bytes.data() + offset + i * stride;
    auto* core = new (at) StatsCore;
    core->core = file.cores[i].core;
    core->heartbeat_unix_ns = file.cores[i].heartbeat_unix_ns;
    core->revision = file.cores[i].revision;
    core->generation = file.cores[i].generation;
    for (size_t v = 0; v < file.cores[i].values.size(); ++v) {
      new (at + sizeof(StatsCore) + v * 8) std::atomic<uint64_t>(file.cores[i].values[v]);
    }
  }
  return bytes;
}

}  // namespace sallyport::test
