// The log as a file: full disks, rotation and reopening. Whatever happens, lines are whole and what
// is missing is counted and said.
#include "dataplane/io/log_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <zstd.h>

#include <catch2/catch.hpp>

#include "tests/unit/io/log_support.h"

using namespace sallyport;
using namespace sallyport::test;
namespace fs = std::filesystem;

namespace {

/// What a full disk is to write(2), for files of this process: no byte behind `bytes`.
struct FullDisk {
  rlimit before{};
  explicit FullDisk(uint64_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit now{bytes, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &now) == 0);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before); }
};

const LogOptions kNoRotation{.rotate_mb = 0, .rotate_minutes = 0};

struct Opened {
  LogLosses losses{2};
  std::unique_ptr<LogFile> file;

  explicit Opened(const std::string& path, const LogOptions& options = kNoRotation,
                  uint64_t now = kNoon) {
    auto opened = LogFile::open(path, options, {3, 5}, losses, now);
    REQUIRE(opened);
    file = std::move(*opened);
  }
};

std::string decompressed(const fs::path& path) {
  const std::string packed = text_of(path);
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   ZSTD_freeDCtx);
  std::string out(size_t{16} << 20, '\0');
  ZSTD_inBuffer input{packed.data(), packed.size(), 0};
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  REQUIRE(ZSTD_decompressStream(context.get(), &output, &input) == 0);
  REQUIRE(input.pos == packed.size());
  out.resize(output.pos);
  return out;
}

/// All rotated files and then the log itself.
std::string all_of(const std::string& path) {
  std::string out;
  for (const std::string& name : LogArchive::rotated(path)) {
    out += name.ends_with(".zst") ? decompressed(name) : text_of(name);
  }
  return out + text_of(path);
}

bool all_packed(const std::string& path, size_t count) {
  const auto files = LogArchive::rotated(path);
  return files.size() == count &&
         std::ranges::all_of(files, [](const auto& name) { return name.ends_with(".zst"); });
}

}  // namespace

TEST_CASE("a disk that fills at any byte costs whole lines, which are said when there is room",
          "[log]") {
  const LogBatch lost = numbered(0, 4, 1);
  const size_t line = lost.lines.front().end;
  for (size_t room = 0; room < 4 * line; ++room) {
    CAPTURE(room);
    const LogFolder folder;
    const std::string path = folder / "flows";
    Opened log(path);
    {
      const FullDisk full(room);
      log.file->take(lost, kNoon);
      log.file->take(numbered(4, 3), kNoon + 1);
      log.file->tick(kNoon + 9 * kSecond);
      CHECK_THAT(log.file->trouble(), Catch::StartsWith(path + ": cannot write it: "));
    }
    const uint64_t kept = room / line;
    CHECK(log.losses.of(1, LogLoss::write_failed) == 4 - kept);
    CHECK(log.losses.of(0, LogLoss::write_failed) == 3);
    log.file->take(numbered(7, 2), kNoon + 10 * kSecond);
    CHECK(log.file->trouble().empty());
    const auto records = records_of(text_of(path));
    auto expected = counting(0, kept);
    for (const uint64_t n : counting(7, 2)) expected.push_back(n);
    CHECK(numbers_in(records) == expected);
    const auto gaps = gaps_in(records);
    REQUIRE(gaps.size() == 2);
    CHECK(gaps[0]["core"] == 3);
    CHECK(gaps[0]["gap"]["events"] == 3);
    CHECK(gaps[1]["core"] == 5);
    const auto from = "2023-11-15T12:00:00.00" + std::to_string(kept) + "000+0000";
    CHECK(gaps[1]["gap"] == nlohmann::json{{"events", 4 - kept},
                                           {"cause", "write_failed"},
                                           {"start", from},
                                           {"end", "2023-11-15T12:00:00.003000+0000"}});
  }
}

TEST_CASE("a gap is said without a further event", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  Opened log(path);
  {
    const FullDisk full(0);
    log.file->take(numbered(0, 1), kNoon);
  }
  log.file->tick(kNoon + 2 * kSecond);
  CHECK(gaps_in(records_of(text_of(path))).size() == 1);
  log.file->tick(kNoon + 4 * kSecond);
  CHECK(records_of(text_of(path)).size() == 1);
}

TEST_CASE("a half line that cannot be taken back spoils no other", "[log]") {
  const int fd = memfd_create("log", MFD_ALLOW_SEALING);
  REQUIRE(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  Opened log(path);
  {
    const FullDisk full(10);
    log.file->take(numbered(0, 1), kNoon);
  }
  log.file->take(numbered(1, 2), kNoon + kSecond);
  const std::string text = text_of(path);
  const size_t half = text.find('\n');
  CHECK(half == 10);
  CHECK(numbers_in(records_of(text.substr(half + 1))) == counting(1, 2));
  CHECK(gaps_in(records_of(text.substr(half + 1))).size() == 1);
  close(fd);
}

TEST_CASE("a device that is always full loses everything, and counts it", "[log]") {
  Opened log("/dev/full", {});
  for (uint64_t i = 0; i < 100; ++i) log.file->take(numbered(i * 10, 10), kNoon + i * kSecond);
  log.file->finish(kNoon);
  CHECK(log.losses.of(0, LogLoss::write_failed) == 1000);
  CHECK(log.file->trouble() ==
        "/dev/full: cannot write it: No space left on device; events are lost; make room, or mend "
        "it");
}

TEST_CASE("rotated by size, compressed, and no more kept than asked for", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  const std::string strangers[] = {folder / "flows.1", folder / "flows.20231115T120000Z",
                                   folder / "other.20231115T120000.000000Z"};
  for (const std::string& name : strangers) std::ofstream(name) << "a";
  constexpr uint64_t kBatches = 24;
  Opened log(path, {.rotate_mb = 1, .rotate_minutes = 0, .keep = 3});
  for (uint64_t i = 0; i < kBatches; ++i) {
    log.file->take(numbered(i * 100, 100, 0, 5000), kNoon);
    log.file->tick(kNoon);
  }
  CHECK(soon([&] { return all_packed(path, 3); }));
  const auto records = records_of(all_of(path));
  const auto numbers = numbers_in(records);
  CHECK(numbers == counting(kBatches * 100 - numbers.size(), numbers.size()));
  CHECK(numbers.size() >= 900);  // three files of three batches each
  CHECK(fs::file_size(path) < (1 << 20));
  for (const std::string& name : strangers) CHECK(fs::exists(name));
  CHECK((fs::status(LogArchive::rotated(path).front()).permissions() & fs::perms::others_all) ==
        fs::perms::none);
}

TEST_CASE("the newest are kept, as many as asked for", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  std::vector<std::string> names;
  {
    LogArchive archive(path, 3, false);
    for (int i = 0; i < 7; ++i) std::ofstream(names.emplace_back(archive.next_name(kNoon))) << "a";
    archive.poke();
    CHECK(soon([&] { return LogArchive::rotated(path).size() <= 3; }));
  }
  CHECK(LogArchive::rotated(path) == std::vector(names.end() - 3, names.end()));
}

TEST_CASE("rotated when its time is over, and never empty", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  const LogOptions hourly{.rotate_mb = 0, .rotate_minutes = 60, .compress = false};
  {
    Opened log(path, hourly);
    log.file->tick(kNoon + 3600 * kSecond);
    CHECK(LogArchive::rotated(path).empty());
    log.file->take(numbered(0, 1), kNoon + 3601 * kSecond);
    log.file->tick(kNoon + 7199 * kSecond);
    CHECK(LogArchive::rotated(path).empty());
    log.file->tick(kNoon + 7200 * kSecond);
    CHECK(LogArchive::rotated(path) == std::vector{path + ".20231115T140000.000000Z"});
    log.file->take(numbered(1, 1), kNoon + 7201 * kSecond);
  }
  // A later run knows by the file when it was last written: in truth just now, long after that
  // noon.
  Opened log(path, hourly, kNoon + 10800 * kSecond);
  log.file->tick(kNoon + 10800 * kSecond);
  CHECK(LogArchive::rotated(path).size() == 2);
  CHECK(numbers_in(records_of(all_of(path))) == counting(0, 2));
}

TEST_CASE("names of rotated files go on where the clock goes back, in a later run too", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  std::string last;
  for (int run = 0; run < 2; ++run) {
    LogArchive archive(path, 10, false);
    for (const uint64_t now : {kNoon, kNoon, kNoon - 3600 * kSecond}) {
      const std::string name = archive.next_name(now);
      CHECK(name > last);
      last = name;
      std::ofstream(last) << "a";
    }
  }
  CHECK(last == path + ".20231115T120000.000005Z");
  CHECK(LogArchive::rotated(path).size() == 6);
}

TEST_CASE("what a crash left uncompressed is compressed at the next start", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  const std::string left = path + ".20231115T120000.000000Z";
  std::ofstream(left) << numbered(0, 5).text;
  std::ofstream(left + ".zst.part") << "half";
  const Opened log(path, {});
  CHECK(soon([&] { return all_packed(path, 1) && !fs::exists(left + ".zst.part"); }));
  CHECK(numbers_in(records_of(all_of(path))) == counting(0, 5));
}

TEST_CASE("what a crash left of a file that is gone is removed, a neighbour's is not", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  const std::string left = path + ".20231115T120000.000000Z.zst.part";
  const std::string stranger = path + ".1.zst.part";
  for (const std::string& name : {left, stranger}) std::ofstream(name) << "half";
  const LogArchive archive(path, 3, false);
  CHECK(soon([&] { return !fs::exists(left); }));
  CHECK(fs::exists(stranger));
}

TEST_CASE("what cannot be compressed stays as it is, and is tried again", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  const std::string left = path + ".20231115T120000.000000Z";
  const std::string in_its_way = left + ".zst.part";
  std::ofstream(left) << numbered(0, 5).text;
  fs::create_directories(in_its_way + "/full");  // neither removed nor written to
  const LogArchive archive(path, 3, true, std::chrono::milliseconds(20));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(numbers_in(records_of(text_of(left))) == counting(0, 5));
  CHECK_FALSE(fs::exists(left + ".zst"));
  fs::remove_all(in_its_way);
  CHECK(soon([&] { return all_packed(path, 1); }));
  CHECK(numbers_in(records_of(all_of(path))) == counting(0, 5));
}

TEST_CASE("a file that is written yet is not compressed", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  const std::string left = path + ".20231115T110000.000000Z";  // keeps it busy
  fs::create_directories(left + ".zst.part/full");
  std::ofstream(left) << "a";
  LogArchive archive(path, 3, true, std::chrono::milliseconds(1));
  const std::string written = archive.next_name(kNoon);
  std::ofstream(written) << numbered(0, 5).text;
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(fs::exists(written));
  archive.poke();
  CHECK(soon([&] { return !fs::exists(written); }));
}

TEST_CASE(
    "rotated without a new file, it writes on in the old one, which waits for the end of that",
    "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  const rlimit before = [] {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit;
  }();
  Opened log(path, {.rotate_mb = 0, .rotate_minutes = 1});
  log.file->take(numbered(0, 1), kNoon);
  const rlimit none{0, before.rlim_max};  // a new file cannot be opened; the old one is
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  log.file->tick(kNoon + 60 * kSecond);
  const std::string trouble = log.file->trouble();
  log.file->take(numbered(1, 1), kNoon + 60 * kSecond);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK_THAT(trouble, Catch::StartsWith(path + ": cannot create it: "));
  REQUIRE(LogArchive::rotated(path).size() == 1);
  log.file->take(numbered(2, 1), kNoon + 61 * kSecond);
  CHECK(numbers_in(records_of(text_of(LogArchive::rotated(path)[0]))) == counting(0, 3));
  log.file->tick(kNoon + 63 * kSecond);
  log.file->take(numbered(3, 1), kNoon + 63 * kSecond);
  CHECK(soon([&] { return all_packed(path, 1); }));
  CHECK(numbers_in(records_of(text_of(path))) == counting(3, 1));
  CHECK(numbers_in(records_of(all_of(path))) == counting(0, 4));
  CHECK(log.losses.of(0, LogLoss::write_failed) == 0);
}

TEST_CASE("reopened after someone moved it away", "[log]") {
  const LogFolder folder;
  const std::string path = folder / "flows";
  Opened log(path);
  log.file->take(numbered(0, 2), kNoon);
  fs::rename(path, folder / "flows.1");
  log.file->take(numbered(2, 1), kNoon);  // before it was told
  log.file->reopen();
  log.file->tick(kNoon);
  log.file->take(numbered(3, 2), kNoon);
  CHECK(numbers_in(records_of(text_of(folder / "flows.1"))) == counting(0, 3));
  CHECK(numbers_in(records_of(text_of(path))) == counting(3, 2));
}

TEST_CASE("where the folder is gone it goes on in the old file, and tries again", "[log]") {
  const LogFolder folder;
  fs::create_directory(folder.path / "log");
  const std::string path = folder / "log/flows";
  Opened log(path, {.rotate_mb = 0, .rotate_minutes = 1, .compress = false});
  log.file->take(numbered(0, 1), kNoon);
  fs::rename(folder.path / "log", folder.path / "gone");
  const bool rotates = GENERATE(true, false);
  if (!rotates) log.file->reopen();
  log.file->tick(kNoon + 60 * kSecond);
  CHECK_THAT(log.file->trouble(),
             Catch::StartsWith(path + (rotates ? ": cannot rotate it: " : ": cannot reopen it: ")));
  log.file->take(numbered(1, 1), kNoon + 60 * kSecond);
  CHECK(numbers_in(records_of(text_of(folder / "gone/flows"))) == counting(0, 2));
  fs::create_directory(folder.path / "log");
  if (rotates) fs::rename(folder.path / "gone/flows", path);
  log.file->tick(kNoon + 62 * kSecond);
  log.file->take(numbered(2, 1), kNoon + 62 * kSecond);
  CHECK(log.file->trouble().empty());
  CHECK(numbers_in(records_of(text_of(path))) == counting(2, 1));
  CHECK(log.losses.of(0, LogLoss::write_failed) == 0);
}
