// Following a log through what may happen to its file.
#include "control/cli/log_tail.h"

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <catch2/catch.hpp>

#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace fs = std::filesystem;

namespace {

using Lines = std::vector<std::string>;

std::string packed(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

/// A log, its writer and its reader.
struct Fixture {
  TempDir folder;
  fs::path log = folder / "flows.ndjson";
  LogTail tail{log};
  Lines notes;

  Fixture() { write_text(log, ""); }
  void append(const std::string& text) const { append_to(log, text); }
  static void append_to(const fs::path& path, const std::string& text) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  fs::path rotated(int number) const {
    return folder / ("flows.ndjson.20261122T00000" + std::to_string(number) + ".000000Z");
  }
  /// As the gateway does: the old one gets a name, and a new one is made.
  void rotate(int number, const std::string& first) const {
    fs::rename(log, rotated(number));
    append(first);
  }
  static void compress(const fs::path& path) {
    write_text(path.string() + ".zst", packed(read_text(path)));
    fs::remove(path);
  }
  Lines start() {
    REQUIRE(tail.open());
    Lines out;
    CHECK(tail.read([&out](std::string_view line) { out.emplace_back(line); }) == 0);
    return out;
  }
  Lines step() {
    Lines out;
    tail.step([&out](std::string_view line) { out.emplace_back(line); },
              [this](const std::string& note) { notes.push_back(note); });
    return out;
  }
};

Lines whole(const fs::path& path, std::string* problem = nullptr) {
  Lines out;
  const std::string wrong =
      read_whole_log(path, [&out](std::string_view line) { out.emplace_back(line); });
  if (problem != nullptr) *problem = wrong;
  return out;
}

}  // namespace

TEST_CASE("lines are given once they are whole") {
  Fixture at;
  at.append("a\nb\nhal");
  CHECK(at.start() == Lines{"a", "b"});
  CHECK(at.step().empty());
  at.append("f\nc");
  CHECK(at.step() == Lines{"half"});
  at.append("\n");
  CHECK(at.step() == Lines{"c"});
  CHECK(at.step().empty());
  CHECK(at.notes.empty());
}

TEST_CASE("a half line that its writer takes back is forgotten") {
  Fixture at;
  at.append("a\nhalf");
  CHECK(at.start() == Lines{"a"});
  fs::resize_file(at.log, 2);
  at.append("b, which is longer\n");
  CHECK(at.step() == Lines{"b, which is longer"});
  at.append("half");
  CHECK(at.step().empty());
  fs::resize_file(at.log, fs::file_size(at.log) - 4);
  CHECK(at.step().empty());
  CHECK(at.notes.empty());
}

TEST_CASE("a line that is too long is left out, in however many reads it comes") {
  Fixture at;
  at.append("a\n" + std::string(kMaxLineBytes + 1, 'x'));
  CHECK(at.start() == Lines{"a"});
  at.append("its end\nb\n");
  CHECK(at.step() == Lines{"b"});
}

TEST_CASE("following over rotation") {
  Fixture at;
  at.append("a\n");
  CHECK(at.start() == Lines{"a"});
  at.append("b\n");
  at.rotate(1, "c\n");
  CHECK(at.step() == Lines{"b", "c"});
  at.append("d\n");
  CHECK(at.step() == Lines{"d"});
  CHECK(at.notes.empty());
}

TEST_CASE("the old file is followed until the new one has lines") {
  Fixture at;
  CHECK(at.start().empty());
  fs::rename(at.log, at.rotated(1));
  CHECK(at.step().empty());
  Fixture::append_to(at.rotated(1), "a\n");
  CHECK(at.step() == Lines{"a"});
  write_text(at.log, "");
  Fixture::append_to(at.rotated(1), "b\n");
  CHECK(at.step() == Lines{"b"});
  Fixture::append_to(at.rotated(1), "c\n");
  at.append("d\n");
  CHECK(at.step() == Lines{"c", "d"});
}

TEST_CASE("what was rotated while nobody looked is read in order") {
  const bool compressed = GENERATE(false, true);
  Fixture at;
  write_text(at.rotated(0), "of before\n");
  at.append("a\n");
  CHECK(at.start() == Lines{"a"});
  at.append("b\n");
  at.rotate(1, "c\n");
  at.rotate(2, "d\n");
  at.rotate(3, "e\n");
  if (compressed) {
    for (const int one : {0, 1, 2}) Fixture::compress(at.rotated(one));
  }
  CHECK(at.step() == Lines{"b", "c", "d", "e"});
  CHECK(at.step().empty());
  CHECK(at.notes.empty());
}

TEST_CASE("a log that is cut is read from its start") {
  Fixture at;
  at.append("a\nb\n");
  CHECK(at.start() == Lines{"a", "b"});
  write_text(at.log, "c\n");
  CHECK(at.step() == Lines{"c"});
  CHECK(at.notes == Lines{at.log.string() + " was cut: reading it from its start"});
}

TEST_CASE("a log that comes later is read from its start") {
  Fixture at;
  fs::remove(at.log);
  CHECK(at.start().empty());
  CHECK_FALSE(at.tail.is_open());
  CHECK(at.step().empty());
  at.append("a\n");
  CHECK(at.step() == Lines{"a"});
}

TEST_CASE("something else in the log's place is said once, and waited for") {
  Fixture at;
  fs::remove(at.log);
  CHECK(at.start().empty());
  fs::create_directory(at.log);
  CHECK(at.step().empty());
  CHECK(at.step().empty());
  REQUIRE(at.notes.size() == 1);
  CHECK(at.notes[0].contains(" is not a file; "));
  fs::remove(at.log);
  at.append("a\n");
  CHECK(at.step() == Lines{"a"});
}

TEST_CASE("rotated files, from the oldest to the newest") {
  const TempDir folder;
  for (const char* name :
       {"f.20261122T000002.000000Z", "f.20261122T000001.000000Z.zst", "f.20261122T000003.000000Z",
        "f.20261122T000003.000000Z.zst", "f.1", "f.2.zst", "f.10", "f.20261122T000004.000000Z.part",
        "f", "f.old", "g.1", "f.20261122T000004.000000", "f.1.gz", "f."}) {
    write_text(folder / name, "");
  }
  Lines names;
  for (const fs::path& one : rotated_logs(folder / "f")) names.push_back(one.filename());
  CHECK(names == Lines{"f.10", "f.2.zst", "f.1", "f.20261122T000001.000000Z.zst",
                       "f.20261122T000002.000000Z", "f.20261122T000003.000000Z"});
}

TEST_CASE("whole files, plain and compressed") {
  const TempDir folder;
  write_text(folder / "plain", "a\n\nb");
  CHECK(whole(folder / "plain") == Lines{"a", "", "b"});
  std::string large;
  Lines expected;
  for (int i = 0; i < 100'000; ++i) {
    expected.push_back("line " + std::to_string(i));
    large += expected.back() + "\n";
  }
  write_text(folder / "large.zst", packed(large) + packed("in a second frame\n"));
  expected.emplace_back("in a second frame");
  CHECK(whole(folder / "large.zst") == expected);
  // Compressed since it was listed.
  CHECK(whole(folder / "large") == expected);
}

TEST_CASE("a damaged file is said, and what can be read of it is") {
  const TempDir folder;
  std::string problem;
  const std::string good = packed("a\nb\nccc\n");
  write_text(folder / "cut.zst", good.substr(0, good.size() - 3));
  CHECK(whole(folder / "cut.zst", &problem) == Lines{"a", "b"});
  CHECK(problem.contains("cut.zst is damaged"));
  std::string bad = good;
  bad[5] = static_cast<char>(~bad[5]);
  write_text(folder / "bad.zst", bad);
  whole(folder / "bad.zst", &problem);
  CHECK(problem.contains("bad.zst is damaged"));
  whole(folder / "none", &problem);
  CHECK(problem == (folder / "none").string() + " cannot be read: No such file or directory");
}

TEST_CASE("lines that are too long are left out, and only they") {
  const auto piece = GENERATE(size_t{1000}, size_t{1} << 17, size_t{1} << 22);
  const std::string text =
      "a\n" + std::string(kMaxLineBytes, 'x') + "\n" + std::string(kMaxLineBytes + 1, 'y') + "\nb";
  LineCutter cutter;
  std::vector<size_t> sizes;
  const TakeLine take = [&sizes](std::string_view line) { sizes.push_back(line.size()); };
  for (size_t at = 0; at < text.size(); at += piece) {
    cutter.feed(std::string_view(text).substr(at, piece), take);
    CHECK(cutter.pending() <= kMaxLineBytes);
  }
  cutter.finish(take);
  CHECK(sizes == std::vector<size_t>{1, kMaxLineBytes, 1});
}
