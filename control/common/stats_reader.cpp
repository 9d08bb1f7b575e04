#include "control/common/stats_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "control/common/system.h"
#include "policy/runtime/frames.h"

namespace sallyport {
namespace {

constexpr uint32_t kMaxCounters = 65536;
constexpr uint32_t kMaxHistograms = 256;
constexpr uint32_t kMaxRules = 65536;
constexpr size_t kMaxSegmentBytes = size_t{1} << 30;

/// Text up to the first NUL, with bytes that could move a terminal's cursor made harmless.
template <size_t kSize>
std::string printable(const std::array<char, kSize>& bytes) {
  std::string text(bytes.begin(), std::find(bytes.begin(), bytes.end(), '\0'));
  std::replace_if(
      text.begin(), text.end(), [](char byte) { return byte < 0x20 || byte > 0x7e; }, '?');
  return text;
}

/// Calls `read` until nothing was rewritten meanwhile.
/// @return the sequence; nothing when the writer is never done: it may have died in the midst of
/// it.
template <typename Read>
std::optional<uint64_t> read_whole(const std::atomic<uint64_t>& sequence, const Read& read) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    const uint64_t before = sequence.load(std::memory_order_acquire);
    if (before % 2 == 0) {
      read();
      std::atomic_thread_fence(std::memory_order_acquire);
      if (sequence.load(std::memory_order_relaxed) == before) return before;
    }
    std::this_thread::yield();
  }
  return std::nullopt;
}

const char* describe(StatsFault fault) {
  switch (fault) {
    case StatsFault::missing:
      return "does not exist: no data plane has started here; start sallyport-dataplane, or give "
             "its paths.stats with --stats";
    case StatsFault::unreadable:
      return "cannot be read";
    case StatsFault::not_a_file:
      return "is not a regular file; give the data plane's paths.stats with --stats";
    case StatsFault::too_short:
      return "is too short to be a stats segment";
    case StatsFault::bad_magic:
      return "is not a stats segment; give the data plane's paths.stats with --stats";
    case StatsFault::unsupported_version:
      return "was written by another version of sallyport-dataplane; use the sallyport of that "
             "version";
    case StatsFault::bad_layout:
      return "is damaged: its counts do not fit in its size; restart sallyport-dataplane";
    case StatsFault::shrunk:
      return "was cut while it was read; restart sallyport-dataplane";
  }
  return "cannot be read";
}

}  // namespace

std::expected<StatsReader, StatsError> StatsReader::open(const std::filesystem::path& path) {
  StatsReader reader;
  reader.path_ = path;
  // O_NONBLOCK: opening a FIFO by mistake must not hang.
  reader.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (reader.fd_ < 0) {
    const auto fault = errno == ENOENT ? StatsFault::missing : StatsFault::unreadable;
    return std::unexpected(
        reader.error(fault, fault == StatsFault::missing ? "" : errno_text(errno)));
  }
  struct stat info{};
  if (::fstat(reader.fd_, &info) != 0) {
    return std::unexpected(reader.error(StatsFault::unreadable, errno_text(errno)));
  }
  if (!S_ISREG(info.st_mode)) return std::unexpected(reader.error(StatsFault::not_a_file));
  const auto size = static_cast<size_t>(info.st_size);
  if (size < sizeof(StatsHeader)) return std::unexpected(reader.error(StatsFault::too_short));
  if (size > kMaxSegmentBytes) {
    return std::unexpected(reader.error(StatsFault::bad_layout, "it is over 1 GiB"));
  }
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, reader.fd_, 0);
  if (mapped == MAP_FAILED) {
    return std::unexpected(reader.error(StatsFault::unreadable, errno_text(errno)));
  }
  reader.data_ = static_cast<const std::byte*>(mapped);
  reader.size_ = size;
  reader.device_ = info.st_dev;
  reader.inode_ = info.st_ino;
  if (auto checked = reader.read_layout(); !checked) return std::unexpected(checked.error());
  return reader;
}

StatsReader::StatsReader(StatsReader&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(other.size_),
      device_(other.device_),
      inode_(other.inode_),
      layout_(other.layout_) {}

StatsReader::~StatsReader() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) ::close(fd_);
}

std::expected<void, StatsError> StatsReader::read_layout() {
  const auto bad = [this](const char* flaw) {
    return std::unexpected(error(StatsFault::bad_layout, flaw));
  };
  if (header().magic != kStatsMagic) return std::unexpected(error(StatsFault::bad_magic));
  if (header().version != kStatsVersion) {
    return std::unexpected(error(StatsFault::unsupported_version));
  }
  layout_.counters = header().counters;
  layout_.histograms = header().histograms;
  layout_.cores = header().cores;
  layout_.core_offset = header().core_offset;
  layout_.core_stride = header().core_stride;
  layout_.rules = header().rules;
  layout_.rules_offset = header().rules_offset;
  if (layout_.rules > kMaxRules) return bad("too many rules");
  if (layout_.counters > kMaxCounters) return bad("too many counters");
  if (layout_.histograms > kMaxHistograms) return bad("too many histograms");
  if (layout_.cores > kMaxCores) return bad("too many cores");
  // With all counts bounded no sum below can wrap.
  const size_t names_end = sizeof(StatsHeader) + layout_.counters * sizeof(StatsCounterInfo) +
                           layout_.histograms * sizeof(StatsHistogramInfo);
  const size_t slots =
      layout_.counters + layout_.histograms * kHistogramSlots + layout_.rules + kStatsMoreHits;
  const size_t block_bytes = sizeof(StatsCore) + slots * sizeof(uint64_t) + sizeof(StatsHits);
  if (layout_.rules_offset < names_end) return bad("rule tables overlap the counter names");
  if (layout_.rules_offset % alignof(StatsRuleTable) != 0) return bad("rule tables not aligned");
  const size_t rules_end = layout_.rules_offset + 2 * stats_rule_table_bytes(layout_.rules);
  if (layout_.core_offset < rules_end) return bad("core blocks overlap the rule tables");
  if (layout_.core_stride < block_bytes) return bad("core blocks overlap");
  if (layout_.core_offset % alignof(StatsCore) != 0 ||
      layout_.core_stride % alignof(StatsCore) != 0) {
    return bad("core blocks are not aligned");
  }
  if (layout_.core_offset + size_t{layout_.cores} * layout_.core_stride > size_) {
    return bad("core blocks reach beyond the end");
  }
  return {};
}

std::expected<StatsSnapshot, StatsError> StatsReader::snapshot() const {
  // A page behind a file's end faults when it is touched. The data plane never shrinks a segment;
  // something else might have.
  struct stat info{};
  if (::fstat(fd_, &info) != 0 || static_cast<size_t>(info.st_size) < size_) {
    return std::unexpected(error(StatsFault::shrunk));
  }
  StatsSnapshot out;
  out.pid = header().pid;
  out.started_unix_ns = header().started_unix_ns;
  out.ended = header().ended.load(std::memory_order_acquire) != 0;
  out.identity_revision = header().identity_revision.load(std::memory_order_acquire);
  out.identity_addresses = header().identity_addresses.load(std::memory_order_relaxed);
  out.identity_since_unix_ns = header().identity_since_unix_ns.load(std::memory_order_relaxed);
  out.log_writer_unix_ns = header().log_writer_unix_ns.load(std::memory_order_relaxed);
  const std::byte* infos = data_ + sizeof(StatsHeader);
  for (uint32_t i = 0; i < layout_.counters; ++i) {
    StatsCounterInfo one;
    std::memcpy(&one, infos + i * sizeof one, sizeof one);
    out.counters.push_back({.family = printable(one.family),
                            .labels = printable(one.labels),
                            .help = printable(one.help),
                            .kind = one.kind,
                            .entry = printable(one.entry),
                            .books = one.books});
  }
  infos += layout_.counters * sizeof(StatsCounterInfo);
  for (uint32_t i = 0; i < layout_.histograms; ++i) {
    StatsHistogramInfo one;
    std::memcpy(&one, infos + i * sizeof one, sizeof one);
    out.histograms.push_back(
        {.family = printable(one.family), .help = printable(one.help), .unit = one.unit});
  }
  for (uint32_t i = 0; i < layout_.cores; ++i) out.cores.push_back(read_core(i));
  // Behind the hits: a policy has its names before any core counts for it.
  for (const size_t which : {0, 1}) {
    if (auto rules = read_rules(which)) out.rules.push_back(std::move(*rules));
  }
  return out;
}

StatsCoreValues StatsReader::read_core(uint32_t index) const {
  // The writer placed these objects in the shared file; the mapping shows the same objects.
  const std::byte* block = data_ + layout_.core_offset + size_t{index} * layout_.core_stride;
  const auto& core = *reinterpret_cast<const StatsCore*>(block);
  const auto* values = reinterpret_cast<const std::atomic<uint64_t>*>(block + sizeof(StatsCore));
  StatsCoreValues out;
  out.core = core.core;
  out.heartbeat_unix_ns = core.heartbeat_unix_ns.load(std::memory_order_relaxed);
  out.revision = core.revision.load(std::memory_order_relaxed);
  out.generation = core.generation.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < layout_.counters; ++i) {
    out.values.push_back(values[i].load(std::memory_order_relaxed));
  }
  values += layout_.counters;
  for (uint32_t i = 0; i < layout_.histograms; ++i, values += kHistogramSlots) {
    StatsHistogramValues& one = out.histograms.emplace_back();
    one.sum = values[0].load(std::memory_order_relaxed);
    for (size_t bucket = 0; bucket < kHistogramBuckets; ++bucket) {
      one.counts.push_back(values[1 + bucket].load(std::memory_order_relaxed));
    }
  }
  out.rules = read_hits(reinterpret_cast<const std::byte*>(values));
  return out;
}

StatsRuleHits StatsReader::read_hits(const std::byte* at) const {
  const auto& head = *reinterpret_cast<const StatsHits*>(at);
  const auto* hits = reinterpret_cast<const std::atomic<uint64_t>*>(at + sizeof(StatsHits));
  StatsRuleHits out;
  out.hits.resize(layout_.rules);
  const auto sequence = read_whole(head.sequence, [&] {
    out.revision = head.revision.load(std::memory_order_relaxed);
    for (size_t i = 0; i < out.hits.size(); ++i) {
      out.hits[i] = hits[i].load(std::memory_order_relaxed);
    }
    out.others = hits[layout_.rules + kStatsOtherRules].load(std::memory_order_relaxed);
    out.no_rule = hits[layout_.rules + kStatsNoRule].load(std::memory_order_relaxed);
  });
  if (!sequence) return {};
  out.whole = true;
  out.sequence = *sequence;
  return out;
}

// @return nothing when it is of no policy.
std::optional<StatsRules> StatsReader::read_rules(size_t which) const {
  const std::byte* at =
      data_ + layout_.rules_offset + which * stats_rule_table_bytes(layout_.rules);
  const auto& table = *reinterpret_cast<const StatsRuleTable*>(at);
  const auto* names = reinterpret_cast<const StatsRuleName*>(at + sizeof(StatsRuleTable));
  StatsRules out;
  const auto sequence = read_whole(table.sequence, [&] {
    out.revision = table.revision.load(std::memory_order_relaxed);
    out.rules = table.rules.load(std::memory_order_relaxed);
    out.names.clear();
    const size_t named = std::min<uint64_t>(out.rules, layout_.rules);
    for (size_t i = 0; i < named; ++i) {
      std::array<char, kStatsRuleNameBytes> text{};
      for (size_t word = 0; word < names[i].size(); ++word) {
        const uint64_t value = names[i][word].load(std::memory_order_relaxed);
        std::memcpy(text.data() + word * sizeof value, &value, sizeof value);
      }
      out.names.push_back(printable(text));
    }
  });
  if (!sequence || out.revision == 0) return std::nullopt;
  return out;
}

bool StatsReader::replaced() const {
  struct stat info{};
  if (::stat(path_.c_str(), &info) != 0) return true;
  return info.st_dev != device_ || info.st_ino != inode_;
}

StatsError StatsReader::error(StatsFault fault, const std::string& detail) const {
  std::string text = "stats segment " + path_.string() + " " + describe(fault);
  if (!detail.empty()) text += " (" + detail + ")";
  return {.fault = fault, .text = std::move(text)};
}

const StatsHeader& StatsReader::header() const noexcept {
  return *reinterpret_cast<const StatsHeader*>(data_);
}

std::expected<StatsSnapshot, StatsError> read_stats(const std::filesystem::path& path) {
  const auto reader = StatsReader::open(path);
  if (!reader) return std::unexpected(reader.error());
  return reader->snapshot();
}

uint64_t heartbeat_age_ns(const StatsCoreValues& core, uint64_t now_unix_ns) noexcept {
  return core.heartbeat_unix_ns < now_unix_ns ? now_unix_ns - core.heartbeat_unix_ns : 0;
}

uint64_t log_writer_age_ns(const StatsSnapshot& snapshot, uint64_t now_unix_ns) noexcept {
  const uint64_t last = std::max(snapshot.log_writer_unix_ns, snapshot.started_unix_ns);
  return last < now_unix_ns ? now_unix_ns - last : 0;
}

std::string label_value(const std::string& labels, const std::string& key) {
  const std::string wanted = key + "=";
  size_t start = 0;
  while (start < labels.size()) {
    const size_t end = std::min(labels.find(',', start), labels.size());
    const std::string pair = labels.substr(start, end - start);
    if (pair.starts_with(wanted)) return pair.substr(wanted.size());
    start = end + 1;
  }
  return "";
}

}  // namespace sallyport
