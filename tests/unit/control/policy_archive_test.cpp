// The sources of policies that were in force, by revision.
#include "control/common/policy_archive.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "policy/runtime/image.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace fs = std::filesystem;

namespace {

struct Fixture {
  TempDir folder;
  PolicyArchive archive{folder.path()};

  void keep(uint64_t revision, const std::string& text) const {
    REQUIRE(archive.keep(revision, std::vector<SourceFile>{{"p.yaml", text}}));
    // So far apart that their order does not hang on the clock's ticks.
    const fs::path path = archive.folder() / (revision_text(revision) + ".json");
    fs::last_write_time(path, fs::file_time_type::clock::now() +
                                  std::chrono::seconds(static_cast<int64_t>(revision) - 1000));
  }
  bool has(uint64_t revision) const {
    return archive.load(revision_text(revision)).value().has_value();
  }
  size_t count() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(archive.folder()), fs::directory_iterator()));
  }
};

}  // namespace

TEST_CASE("sources come back as they were") {
  const Fixture at;
  const std::vector<SourceFile> sources{{"a \"b\".yaml", "x: 1\n# \xc3\xa4\n"}, {"c.yaml", ""}};
  CHECK_FALSE(at.has(7));
  REQUIRE(at.archive.keep(7, sources));
  const auto loaded = at.archive.load(revision_text(7)).value().value_or(std::vector<SourceFile>{});
  REQUIRE(loaded.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(loaded[i].name == sources[i].name);
    CHECK(loaded[i].text == sources[i].text);
  }
  CHECK_FALSE(at.has(8));
}

TEST_CASE("the folder and its files are for the agent and its group, whatever the umask") {
  const Fixture at;
  const mode_t old_mask = ::umask(0077);
  at.keep(7, "x");
  ::umask(old_mask);
  struct stat info{};
  REQUIRE(::stat(at.archive.folder().c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0750);
  REQUIRE(::stat((at.archive.folder() / (revision_text(7) + ".json")).c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0640);
}

TEST_CASE("the last sixteen are kept; one that is in force again is the latest") {
  const Fixture at;
  for (uint64_t one = 1; one <= 16; ++one) at.keep(one, "x");
  CHECK(at.has(1));
  REQUIRE(at.archive.keep(1, std::vector<SourceFile>{{"p.yaml", "x"}}));
  at.keep(17, "x");
  CHECK(at.count() == PolicyArchive::kMostRevisions);
  CHECK(at.has(1));
  CHECK_FALSE(at.has(2));
  CHECK(at.has(3));
}

TEST_CASE("no more bytes than the bound, and nothing older than what was let go") {
  const Fixture at;
  const std::string third(PolicyArchive::kMostBytes / 3, 'x');
  at.keep(1, "small");
  at.keep(2, third);
  at.keep(3, third);
  CHECK(at.has(1));
  at.keep(4, third);
  CHECK(at.has(4));
  CHECK(at.has(3));
  CHECK_FALSE(at.has(2));
  CHECK_FALSE(at.has(1));
  const std::vector<SourceFile> whole{{"p.yaml", std::string(PolicyArchive::kMostBytes, 'x')}};
  const auto kept = at.archive.keep(5, whole);
  REQUIRE_FALSE(kept);
  CHECK(kept.error().ends_with(" would have over 64 MiB"));
  CHECK(at.has(4));
}

TEST_CASE("what a crash left goes, what is not ours stays") {
  const Fixture at;
  at.keep(1, "x");
  write_text(at.archive.folder() / ".000000000009.json.tmp", "half");
  write_text(at.archive.folder() / "notes.json", "mine");
  at.keep(2, "x");
  CHECK(at.count() == 3);
  CHECK(fs::exists(at.archive.folder() / "notes.json"));
}

TEST_CASE("a damaged or foreign file is not believed") {
  const Fixture at;
  at.keep(7, "x");
  const fs::path path = at.archive.folder() / (revision_text(7) + ".json");
  for (const std::string& text :
       {std::string("{"), std::string("[]"), replaced(read_text(path), revision_text(7), "x"),
        R"({"revision":")" + revision_text(7) + R"(","sources":[]})"}) {
    write_text(path, text);
    const auto loaded = at.archive.load(revision_text(7));
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().starts_with(path.string() + " is damaged"));
  }
  CHECK_FALSE(at.archive.load("../../etc/passwd").value().has_value());
}
