#include "control/agent/active_feed.h"

#include <catch2/catch.hpp>

#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

std::string feed_text(std::string_view address) {
  return "apiVersion: sallyport/v1\nkind: IdentityFeed\nidentities:\n  - {addresses: [" +
         std::string(address) + "]}\n";
}

}  // namespace

TEST_CASE("a feed is a file or a folder of them, and the same content is the same feed") {
  const TempDir folder;
  std::filesystem::create_directory(folder / "feed");
  write_text(folder / "both.yaml", feed_text("10.0.0.2, 10.0.0.1"));
  write_text(folder.path() / "feed" / "a.yaml", feed_text("10.0.0.1"));
  write_text(folder.path() / "feed" / "b.yml", feed_text("10.0.0.2"));
  const auto file = read_feed(folder / "both.yaml");
  const auto split = read_feed(folder / "feed");
  REQUIRE(file);
  REQUIRE(split);
  CHECK(file->addresses == 2);
  CHECK(file->revision == split->revision);
  CHECK(file->source == PolicySource::files);
  const auto stored = load_stored_feed(*file->bytes);
  REQUIRE(stored);
  CHECK(stored->revision == file->revision);
  CHECK(stored->source == PolicySource::last_good);
  CHECK(load_stored_feed({}).error() == Refusal::too_short);
  CHECK(read_feed(folder / "missing").error().front().code == "E025");
}

TEST_CASE("a change is seen when two looks see the same, once") {
  const TempDir folder;
  const auto path = folder / "feed.yaml";
  write_text(path, "one");
  FeedWatch watch(path);
  watch.mark_read();
  CHECK_FALSE(watch.changed());

  const auto seen_after = [&](auto change) {
    change();
    const bool at_once = watch.changed();
    const bool settled = watch.changed();
    watch.mark_read();
    return !at_once && settled && !watch.changed() && !watch.changed();
  };
  CHECK(seen_after([&] { write_text(path, "longer"); }));
  CHECK(seen_after([&] {
    write_text(folder / "new", "shorte");
    std::filesystem::rename(folder / "new", path);
  }));
  CHECK(seen_after([&] { std::filesystem::remove(path); }));
  CHECK(seen_after([&] { write_text(path, "again"); }));
  // Written over and over, it is let alone.
  for (int i = 0; i < 5; ++i) {
    write_text(path, std::string(static_cast<size_t>(i) + 10, 'x'));
    CHECK_FALSE(watch.changed());
  }
  CHECK(watch.changed());
}

TEST_CASE("a folder changes with each of its files, and a link with what it leads to") {
  const TempDir folder;
  std::filesystem::create_directory(folder / "one");
  std::filesystem::create_directory(folder / "two");
  write_text(folder.path() / "one" / "a.yaml", "a");
  std::filesystem::create_directory_symlink(folder / "one", folder / "feed");
  FeedWatch watch(folder / "feed");
  watch.mark_read();
  const auto seen = [&] {
    watch.changed();
    const bool changed = watch.changed();
    watch.mark_read();
    return changed;
  };
  CHECK_FALSE(seen());
  write_text(folder.path() / "one" / "b.yaml", "b");
  CHECK(seen());
  write_text(folder.path() / "one" / "a.yaml", "aa");
  CHECK(seen());
  std::filesystem::remove(folder / "feed");
  std::filesystem::create_directory_symlink(folder / "two", folder / "feed");
  CHECK(seen());
}
