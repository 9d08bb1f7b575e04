// The budgets' file: written by a thread of its own, the newest counts, whatever the disk does.
#include "dataplane/io/budget_writer.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>

using namespace sallyport;
using namespace std::chrono_literals;

namespace {

constexpr int64_t kNow = 1'800'000'000;

std::vector<BudgetCount> used(uint64_t bytes) {
  return {{.policy = "p",
           .rule = "r",
           .source = {},
           .labels = {},
           .window_seconds = 3600,
           .window_start = kNow,
           .used = bytes,
           .limit = 1'000'000}};
}

/// A disk that can be stuck, or full.
class Disk {
 public:
  BudgetWriter::Replace replace() {
    return [this](const std::string& path, const std::string& text) {
      std::unique_lock lock(mutex_);
      ++tries_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !stuck_; });
      REQUIRE(path == "/state");
      if (error_ == 0) texts_.push_back(text);
      return error_;
    };
  }
  void be_stuck(bool stuck) {
    const std::scoped_lock lock(mutex_);
    stuck_ = stuck;
    changed_.notify_all();
  }
  void fail_with(int error) {
    const std::scoped_lock lock(mutex_);
    error_ = error;
  }
  bool wait_for_tries(size_t tries) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 10s, [&] { return tries_ >= tries; });
  }
  std::vector<std::string> texts() {
    const std::scoped_lock lock(mutex_);
    return texts_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stuck_ = false;
  int error_ = 0;
  size_t tries_ = 0;
  std::vector<std::string> texts_;
};

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 2000 && !holds(); ++i) std::this_thread::sleep_for(5ms);
  return holds();
}

}  // namespace

TEST_CASE("a stuck disk holds up nobody, and gets the newest counts when it goes on", "[budget]") {
  Disk disk;
  BudgetWriter writer("/state", disk.replace());
  CHECK(writer.behind_seconds(kNow) == 0);
  disk.be_stuck(true);
  writer.put(used(1), kNow);
  REQUIRE(disk.wait_for_tries(1));
  for (uint64_t i = 2; i <= 50; ++i) writer.put(used(i), kNow + static_cast<int64_t>(i));
  CHECK(writer.behind_seconds(kNow + 50) == 50);
  CHECK(writer.failures() == 0);
  disk.be_stuck(false);
  CHECK(eventually([&] { return writer.behind_seconds(kNow + 50) == 0; }));
  CHECK(disk.texts() ==
        std::vector<std::string>{budget_state_text(used(1)), budget_state_text(used(50))});
}

TEST_CASE("what was put last is written before the end", "[budget]") {
  Disk disk;
  BudgetWriter writer("/state", disk.replace());
  disk.be_stuck(true);
  writer.put(used(1), kNow);
  REQUIRE(disk.wait_for_tries(1));
  writer.put(used(2), kNow + 1);
  std::jthread repair([&] {
    std::this_thread::sleep_for(50ms);
    disk.be_stuck(false);
  });
  writer.finish();
  CHECK(disk.texts().back() == budget_state_text(used(2)));
  writer.finish();  // does nothing
}

TEST_CASE("what the file holds already is not written again", "[budget]") {
  Disk disk;
  BudgetWriter writer("/state", disk.replace());
  writer.put({}, kNow);  // nothing was ever counted
  writer.put(used(1), kNow);
  REQUIRE(disk.wait_for_tries(1));
  CHECK(eventually([&] { return writer.behind_seconds(kNow + 9) == 0; }));
  writer.put(used(1), kNow + 1);
  CHECK(eventually([&] { return writer.behind_seconds(kNow + 9) == 0; }));
  writer.put({}, kNow + 2);  // a window is over
  writer.finish();
  CHECK(disk.texts() ==
        std::vector<std::string>{budget_state_text(used(1)), budget_state_text({})});
}

TEST_CASE("each failure is counted, and the file stays behind until one goes well", "[budget]") {
  Disk disk;
  BudgetWriter writer("/state", disk.replace());
  disk.fail_with(ENOSPC);
  for (uint64_t i = 1; i <= 3; ++i) {
    writer.put(used(7), kNow + static_cast<int64_t>(i));
    REQUIRE(eventually([&] { return writer.failures() == i; }));
  }
  CHECK(writer.behind_seconds(kNow + 11) == 10);
  disk.fail_with(0);
  writer.put(used(7), kNow + 11);
  CHECK(eventually([&] { return writer.behind_seconds(kNow + 11) == 0; }));
  CHECK(writer.failures() == 3);
  CHECK(disk.texts() == std::vector<std::string>{budget_state_text(used(7))});
}
