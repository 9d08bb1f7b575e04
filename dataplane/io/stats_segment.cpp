#include "dataplane/io/stats_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>

#include "dataplane/inspect/fault_info.h"

namespace sallyport {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kCacheLine = 64;

constexpr size_t round_up(size_t value, size_t unit) {
  return (value + unit - 1) / unit * unit;
}

constexpr size_t kCoreOffset =
    round_up(sizeof(StatsHeader) + kAllCounters * sizeof(StatsCounterInfo), kPage);
// Two lines apart, so that the neighbour prefetcher does not make cores share.
constexpr size_t kCoreStride =
    round_up(sizeof(StatsCore) + kAllCounters * sizeof(std::atomic<uint64_t>), 2 * kCacheLine);

template <size_t N>
void put_text(std::array<char, N>& out, std::string_view text) noexcept {
  text.copy(out.data(), N - 1);
}

// Drop reasons and faults: one counter each, told apart by a label.
template <typename Table>
StatsCounterInfo* put_table(StatsCounterInfo* info, const Table& table, std::string_view family,
                            std::string_view label) {
  for (const auto& row : table) {
    put_text(info->family, family);
    put_text(info->labels, std::string(label) + std::string(row.name));
    put_text(info->help, row.help);
    ++info;
  }
  return info;
}

}  // namespace

void StatsSegment::describe(std::span<const unsigned> cores) noexcept {
  auto* header = new (base_) StatsHeader;
  header->counters = kAllCounters;
  header->cores = static_cast<uint32_t>(cores.size());
  header->core_offset = kCoreOffset;
  header->core_stride = kCoreStride;
  header->pid = getpid();
  header->started_unix_ns = static_cast<uint64_t>(
      std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));

  auto* info = new (base_ + sizeof(StatsHeader)) StatsCounterInfo[kAllCounters];
  for (const CounterInfo& counter : kCounterInfo) {
    put_text(info->family, counter.family);
    put_text(info->labels, counter.labels);
    put_text(info->help, counter.help);
    info->kind = counter.kind;
    ++info;
  }
  info = put_table(info, kDropReasonInfo, "sallyport_drops_total", "reason=");
  info =
      put_table(info, std::span(kDecodeFaultInfo).subspan(1), "sallyport_drops_total", "reason=");
  put_table(info, std::span(kInspectFaultInfo).subspan(1), "sallyport_inspection_faults_total",
            "fault=");

  for (size_t i = 0; i < cores.size(); ++i) {
    uint8_t* block = base_ + kCoreOffset + i * kCoreStride;
    new (block) StatsCore{.core = cores[i]};
    new (block + sizeof(StatsCore)) std::atomic<uint64_t>[ kAllCounters ]();
  }
}

std::expected<std::unique_ptr<StatsSegment>, std::string> StatsSegment::create(
    const std::string& path, std::span<const unsigned> cores) {
  std::unique_ptr<StatsSegment> segment(new StatsSegment);
  segment->size_ = kCoreOffset + cores.size() * kCoreStride;
  const std::string fresh = path + ".new";
  int fd = -1;
  const auto failed = [&](const char* what) {
    const int error = errno;
    if (fd >= 0) unlink(fresh.c_str());
    return std::unexpected("stats segment " + fresh + ": cannot " + what + ": " +
                           std::strerror(error));
  };

  if (!path.empty()) {
    unlink(fresh.c_str());
    fd = open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) return failed("create");
    if (ftruncate(fd, static_cast<off_t>(segment->size_)) != 0) {
      const int error = errno;
      close(fd);
      errno = error;
      return failed("size");
    }
  }
  void* base = mmap(nullptr, segment->size_, PROT_READ | PROT_WRITE,
                    fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  if (fd >= 0) close(fd);
  if (base == MAP_FAILED) return failed("map");
  segment->base_ = static_cast<uint8_t*>(base);
  segment->describe(cores);
  if (!path.empty()) {
    if (rename(fresh.c_str(), path.c_str()) != 0) return failed("rename");
    segment->path_ = path;
  }
  return segment;
}

StatsSegment::~StatsSegment() {
  if (base_ == nullptr) return;
  reinterpret_cast<StatsHeader*>(base_)->ended.store(1, std::memory_order_release);
  munmap(base_, size_);
}

StatsCore& StatsSegment::core(size_t index) noexcept {
  return *reinterpret_cast<StatsCore*>(base_ + kCoreOffset + index * kCoreStride);
}

CoreCounters StatsSegment::counters(size_t index) noexcept {
  uint8_t* block = base_ + kCoreOffset + index * kCoreStride;
  return CoreCounters(reinterpret_cast<std::atomic<uint64_t>*>(block + sizeof(StatsCore)));
}

void StatsSegment::for_each(
    const std::function<void(std::string_view, std::string_view, uint64_t)>& visit) const {
  const auto* header = reinterpret_cast<const StatsHeader*>(base_);
  const auto* info = reinterpret_cast<const StatsCounterInfo*>(base_ + sizeof(StatsHeader));
  for (size_t counter = 0; counter < kAllCounters; ++counter) {
    uint64_t sum = 0;
    for (size_t i = 0; i < header->cores; ++i) {
      const auto* slots = reinterpret_cast<const std::atomic<uint64_t>*>(
          base_ + kCoreOffset + i * kCoreStride + sizeof(StatsCore));
      sum += slots[counter].load(std::memory_order_relaxed);
    }
    visit(info[counter].family.data(), info[counter].labels.data(), sum);
  }
}

std::optional<uint64_t> StatsSegment::find(std::string_view family, std::string_view labels) const {
  std::optional<uint64_t> found;
  for_each([&](std::string_view of, std::string_view with, uint64_t value) {
    if (of == family && with == labels) found = value;
  });
  return found;
}

}  // namespace sallyport
