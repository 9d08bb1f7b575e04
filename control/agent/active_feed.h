#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "control/agent/active_policy.h"

namespace sallyport {

/// One identity feed the agent can put in force.
struct ActiveFeed {
  std::shared_ptr<const std::vector<uint8_t>>
      bytes;  ///< As policy/runtime/identity_codec.h has it.
  uint64_t revision = 0;
  uint64_t addresses = 0;
  PolicySource source{};  ///< files or last_good.
};

/// Reads the feed at `path`, a file or a folder of them. @return the feed, or every error in it.
std::expected<ActiveFeed, std::vector<Diagnostic>> read_feed(const std::filesystem::path& path);

/// Verifies a stored feed whole.
std::expected<ActiveFeed, Refusal> load_stored_feed(std::vector<uint8_t> bytes);

/// Notices changes of a feed's files by looking at them, so that a rename in their place, a
/// symbolic link that is switched and a file system without notifications are all the same. A file
/// that is being written is let alone until two looks in a row see the same.
class FeedWatch {
 public:
  explicit FeedWatch(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const noexcept { return path_; }
  /// Before reading the files: what they are now is no change.
  void mark_read();
  /// Looks. @return whether the files are others than when they were last read, and settled.
  bool changed();

 private:
  std::string look() const;

  std::filesystem::path path_;
  std::string read_;  ///< What they were like when they were last read.
  std::string seen_;  ///< What they were like at the last look.
};

}  // namespace sallyport
