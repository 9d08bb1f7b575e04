#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <thread>

#include "control/common/unique_fd.h"
#include "policy/runtime/frames.h"

namespace sallyport::test {

/// A data plane's control socket with two cores and no packets. It takes each image that it is not
/// told to refuse. One connection at a time, as the agent makes; stops with the object.
class FakeDataplane {
 public:
  explicit FakeDataplane(const std::filesystem::path& socket);
  ~FakeDataplane();
  FakeDataplane(const FakeDataplane&) = delete;
  FakeDataplane& operator=(const FakeDataplane&) = delete;

  // Written by the test, read by the serving thread.
  std::atomic<Refusal> refusal{Refusal::none};       ///< The answer to every push.
  std::atomic<Refusal> feed_refusal{Refusal::none};  ///< The answer to every identity feed.
  std::atomic<bool> silent{false};                   ///< Takes messages and never answers.
  std::atomic<bool> lagging_core{false};             ///< The second core keeps its old table.
  std::atomic<bool> malformed{false};                ///< Answers half a reply.

  // Written by the serving thread, read by the test.
  std::atomic<uint64_t> revision{0};
  std::atomic<uint64_t> feed_revision{0};
  std::atomic<unsigned> pushes{0};
  std::atomic<unsigned> feed_pushes{0};
  std::atomic<unsigned> queries{0};
  std::atomic<uint32_t> last_seal_refusal{0};  ///< What read_sealed_memfd said to the last push.

 private:
  void serve();
  void serve_connection(const UniqueFd& connection);
  PushReply answer(const FrameHeader& header, int image_fd);
  Refusal take_image(int fd);
  Refusal take_feed(int fd);
  bool stopping(int fd) const;

  std::filesystem::path socket_;
  UniqueFd listener_;
  UniqueFd stop_;
  uint64_t generation_ = 0;
  uint64_t lagging_revision_ = 0;
  std::thread thread_;
};

}  // namespace sallyport::test
