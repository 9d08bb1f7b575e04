#include "control/agent/state_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

std::vector<uint8_t> bytes(std::string_view text) {
  return {text.begin(), text.end()};
}

size_t file_count(const std::filesystem::path& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("what is saved is loaded, with nothing left beside it") {
  const TempDir folder;
  const auto store = StateStore::open(folder / "state");  // Made when only it is missing.
  REQUIRE(store);
  CHECK(store->load().value() == std::nullopt);
  REQUIRE(store->save(bytes("one")));
  REQUIRE(store->save(bytes("two")));
  CHECK(store->load().value() == bytes("two"));
  CHECK(file_count(folder / "state") == 1);
}

TEST_CASE("the feed is kept beside the image") {
  const TempDir folder;
  const auto store = StateStore::open(folder.path());
  REQUIRE(store->save(bytes("image")));
  CHECK(store->load_feed().value() == std::nullopt);
  REQUIRE(store->save_feed(bytes("feed")));
  CHECK(store->load_feed().value() == bytes("feed"));
  CHECK(store->load().value() == bytes("image"));
  CHECK(read_text(folder / "last-good.spids") == "feed");
}

TEST_CASE("the image may be read by all and written by its owner, whatever the umask") {
  const TempDir folder;
  const auto store = StateStore::open(folder.path());
  const mode_t old_mask = ::umask(0077);
  REQUIRE(store->save(bytes("one")));
  ::umask(old_mask);
  struct stat info{};
  REQUIRE(::stat((folder / "last-good.spimg").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0644);
}

TEST_CASE("a reader that holds the old image keeps it whole") {
  const TempDir folder;
  const auto store = StateStore::open(folder.path());
  REQUIRE(store->save(bytes("old")));
  std::filesystem::create_hard_link(folder / "last-good.spimg", folder / "held");
  REQUIRE(store->save(bytes("new!")));
  CHECK(read_text(folder / "held") == "old");
}

TEST_CASE("a failed save says why and leaves the old image") {
  const TempDir folder;
  const auto store = StateStore::open(folder.path());
  REQUIRE(store->save(bytes("old")));
  // A folder in the temporary file's place cannot be unlinked, not even by root.
  std::filesystem::create_directory(folder / ".last-good.spimg.tmp");
  const auto saved = store->save(bytes("new"));
  REQUIRE_FALSE(saved);
  CHECK(saved.error().find("cannot create " + (folder / ".last-good.spimg.tmp").string()) == 0);
  CHECK(store->load().value() == bytes("old"));
}

TEST_CASE("a crashed writer's leftover is replaced, not followed") {
  const TempDir folder;
  const auto store = StateStore::open(folder.path());
  write_text(folder / "victim", "untouched");
  std::filesystem::create_symlink(folder / "victim", folder / ".last-good.spimg.tmp");
  REQUIRE(store->save(bytes("new")));
  CHECK(read_text(folder / "victim") == "untouched");
  CHECK(store->load().value() == bytes("new"));
}

TEST_CASE("a state folder that cannot be used is refused at once") {
  const TempDir folder;
  write_text(folder / "file", "");
  CHECK(StateStore::open(folder / "a" / "b").error() ==
        "state folder " + (folder / "a" / "b").string() +
            " does not exist; create it, owned by the agent's user, or give another with "
            "--state-dir");
  CHECK_FALSE(StateStore::open(folder / "file"));
}
