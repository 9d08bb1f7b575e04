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

constexpr size_t kHistogramsAt = sizeof(StatsHeader) + kAllCounters * sizeof(StatsCounterInfo);
constexpr size_t kRulesOffset = kHistogramsAt + kHistograms * sizeof(StatsHistogramInfo);
constexpr size_t kCoreOffset =
    round_up(kRulesOffset + 2 * stats_rule_table_bytes(kRulesCounted), kPage);
// Two lines apart, so that the neighbour prefetcher does not make cores share.
constexpr size_t kCoreStride =
    round_up(sizeof(StatsCore) + kCoreSlots * sizeof(std::atomic<uint64_t>), 2 * kCacheLine);

template <size_t N>
void put_text(std::array<char, N>& out, std::string_view text) noexcept {
  text.copy(out.data(), N - 1);
}

// Faults and exceptions: one counter each, told apart by a label.
template <typename Table>
StatsCounterInfo* put_table(StatsCounterInfo* info, const Table& table, std::string_view family,
                            std::string_view label, std::string_view help = "") {
  for (const auto& row : table) {
    put_text(info->family, family);
    put_text(info->labels, std::string(label) + std::string(row.name));
    put_text(info->help, help.empty() ? row.help : help);
    ++info;
  }
  return info;
}

// The same of drops, two counters each: by where the packet was to go.
template <typename Table>
StatsCounterInfo* put_drops(StatsCounterInfo* info, const Table& table) {
  for (const auto& row : table) {
    for (const auto& [towards, books] :
         {std::pair{"outside", kOutOfOutbound}, std::pair{"inside", kOutOfInbound}}) {
      put_text(info->family, "sallyport_drops_total");
      put_text(info->labels, "reason=" + std::string(row.name) + ",towards=" + towards);
      put_text(info->help, row.help);
      put_text(info->entry, "dropped: " + std::string(row.name));
      info->books = books;
      ++info;
    }
  }
  return info;
}

// Whether a counter is `wanted`, or a part of it: those towards one side.
bool is_of(std::string_view labels, std::string_view wanted) {
  if (!labels.starts_with(wanted)) return false;
  const std::string_view rest = labels.substr(wanted.size());
  return rest.empty() || rest.starts_with(wanted.empty() ? "towards=" : ",towards=");
}

}  // namespace

void StatsSegment::describe(std::span<const unsigned> cores) noexcept {
  auto* header = new (base_) StatsHeader;
  header->counters = kAllCounters;
  header->histograms = kHistograms;
  header->cores = static_cast<uint32_t>(cores.size());
  header->rules = kRulesCounted;
  header->rules_offset = kRulesOffset;
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
    put_text(info->entry, counter.entry);
    info->books = counter.books;
    info->kind = counter.kind;
    ++info;
  }
  info = put_drops(info, kDropReasonInfo);
  info = put_drops(info, std::span(kDecodeFaultInfo).subspan(1));
  info = put_table(info, std::span(kInspectFaultInfo).subspan(1),
                   "sallyport_inspection_faults_total", "fault=");
  info = put_table(info, kExceptionInfo, "sallyport_exceptions_total", "condition=");
  StatsCounterInfo* open = info;
  info = put_table(info, kExceptionInfo, "sallyport_exception_fails_open",
                   "condition=", "1 where exceptions says pass-flow (first core).");
  for (; open != info; ++open) open->kind = StatsKind::gauge;

  auto* histogram = new (base_ + kHistogramsAt) StatsHistogramInfo[kHistograms];
  for (const HistogramInfo& row : kHistogramInfo) {
    put_text(histogram->family, row.family);
    put_text(histogram->help, row.help);
    histogram->unit = row.unit;
    ++histogram;
  }
  rule_tables_.emplace(base_ + kRulesOffset);

  for (size_t i = 0; i < cores.size(); ++i) {
    uint8_t* block = base_ + kCoreOffset + i * kCoreStride;
    new (block) StatsCore{.core = cores[i]};
    new (block + sizeof(StatsCore)) std::atomic<uint64_t>[ kCoreSlots ]();
  }
}

std::expected<std::unique_ptr<StatsSegment>, std::string> StatsSegment::create(
    const std::string& path, std::span<const unsigned> cores) {
  std::unique_ptr<StatsSegment> segment(new StatsSegment);
  segment->size_ = kCoreOffset + cores.size() * kCoreStride;
  const std::string fresh = path + ".new";
  int fd = -1;
  const auto failed = [&](const std::string& what) {
    const int error = errno;
    if (fd >= 0) unlink(fresh.c_str());
    return std::unexpected("stats segment " + fresh + ": cannot " + what + ": " +
                           std::strerror(error));
  };

  if (!path.empty()) {
    unlink(fresh.c_str());
    fd = open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) return failed("create");
    // Not ftruncate: a full tmpfs would say so by SIGBUS, when the pages are written.
    if (const int error = posix_fallocate(fd, 0, static_cast<off_t>(segment->size_)); error != 0) {
      close(fd);
      errno = error;
      return failed("get its " + std::to_string(segment->size_) +
                    " bytes (free some there, or set paths.stats)");
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

void StatsSegment::name_rules(const PolicyTable& policy) noexcept {
  if (rule_tables_) rule_tables_->name(policy);
}

StatsCore& StatsSegment::core(size_t index) noexcept {
  return *reinterpret_cast<StatsCore*>(base_ + kCoreOffset + index * kCoreStride);
}

CoreCounters StatsSegment::counters(size_t index) noexcept {
  uint8_t* block = base_ + kCoreOffset + index * kCoreStride;
  return CoreCounters(reinterpret_cast<std::atomic<uint64_t>*>(block + sizeof(StatsCore)));
}

void StatsSegment::note_identities(const IdentityState& state) noexcept {
  auto* header = reinterpret_cast<StatsHeader*>(base_);
  header->identity_addresses.store(state.addresses, std::memory_order_relaxed);
  header->identity_since_unix_ns.store(state.since_unix_ns, std::memory_order_relaxed);
  header->identity_revision.store(state.revision, std::memory_order_release);
}

const std::atomic<uint64_t>* StatsSegment::slots(size_t core) const noexcept {
  return reinterpret_cast<const std::atomic<uint64_t>*>(base_ + kCoreOffset + core * kCoreStride +
                                                        sizeof(StatsCore));
}

size_t StatsSegment::cores() const noexcept {
  return reinterpret_cast<const StatsHeader*>(base_)->cores;
}

const StatsCore& StatsSegment::core(size_t index) const noexcept {
  return *reinterpret_cast<const StatsCore*>(base_ + kCoreOffset + index * kCoreStride);
}

std::span<const StatsCounterInfo> StatsSegment::infos() const noexcept {
  return {reinterpret_cast<const StatsCounterInfo*>(base_ + sizeof(StatsHeader)), kAllCounters};
}

uint64_t StatsSegment::value(size_t counter, size_t core) const noexcept {
  return slots(core)[counter].load(std::memory_order_relaxed);
}

std::atomic<uint64_t>& StatsSegment::log_writer_heartbeat() noexcept {
  return reinterpret_cast<StatsHeader*>(base_)->log_writer_unix_ns;
}

void StatsSegment::for_each(
    const std::function<void(std::string_view, std::string_view, uint64_t)>& visit) const {
  const auto info = infos();
  for (size_t counter = 0; counter < kAllCounters; ++counter) {
    uint64_t sum = 0;
    for (size_t i = 0; i < cores(); ++i) sum += value(counter, i);
    visit(info[counter].family.data(), info[counter].labels.data(), sum);
  }
}

uint64_t StatsSegment::histogram_sum(Histogram id, size_t core) const noexcept {
  return value(kAllCounters + static_cast<size_t>(id) * kHistogramSlots, core);
}

std::vector<uint64_t> StatsSegment::histogram(Histogram id, std::optional<size_t> core) const {
  std::vector<uint64_t> counts(kHistogramBuckets);
  const size_t first = kAllCounters + static_cast<size_t>(id) * kHistogramSlots + 1;
  for (size_t i = 0; i < cores(); ++i) {
    if (core && *core != i) continue;
    for (size_t bucket = 0; bucket < counts.size(); ++bucket) {
      counts[bucket] += value(first + bucket, i);
    }
  }
  return counts;
}

std::optional<uint64_t> StatsSegment::find(std::string_view family, std::string_view labels) const {
  std::optional<uint64_t> found;
  for_each([&](std::string_view of, std::string_view with, uint64_t value) {
    if (of == family && is_of(with, labels)) found = found.value_or(0) + value;
  });
  return found;
}

std::vector<BookLine> StatsSegment::book_lines(size_t core) const {
  const auto* info = reinterpret_cast<const StatsCounterInfo*>(base_ + sizeof(StatsHeader));
  const auto* slots = reinterpret_cast<const std::atomic<uint64_t>*>(
      base_ + kCoreOffset + core * kCoreStride + sizeof(StatsCore));
  std::vector<BookLine> lines;
  for (size_t counter = 0; counter < kAllCounters; ++counter) {
    if (info[counter].books == BookSides{}) continue;
    lines.push_back({.entry = info[counter].entry.data(),
                     .sides = info[counter].books,
                     .packets = slots[counter].load(std::memory_order_relaxed)});
  }
  return lines;
}

}  // namespace sallyport
