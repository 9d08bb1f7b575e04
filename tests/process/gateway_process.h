#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/common/stats_reader.h"
#include "control/common/unique_fd.h"
#include "policy/runtime/frames.h"
#include "tests/unit/control/support.h"

namespace sallyport::test {

/// The real sallyport-dataplane in a folder of its own, on devices that need no root: what a test
/// changes before start() is its configuration.
class GatewayProcess {
 public:
  GatewayProcess();

  std::string config() const;
  /// Runs it until it says that it is ready; fails the test when it does not.
  void start();
  /// Runs it to its end, which is expected at once. @return its exit status.
  int start_and_fail();
  /// SIGTERM. @return its exit status.
  int stop();
  void signal(int number) const { process_->signal(number); }
  int wait() { return process_->wait(); }
  std::string log() const { return process_->log(); }
  pid_t pid() const { return pid_; }

  /// What DPDK, the socket and the segment left on this machine; empty is good.
  std::vector<std::string> leftovers() const;
  StatsSnapshot stats() const;
  /// A counter over all cores.
  uint64_t counter(std::string_view family, std::string_view labels) const;

  TempDir folder;
  std::string inside = "net_null0,no-rx=1";
  std::string outside = "net_null1,no-rx=1";
  std::string main_core, worker_cores;
  std::string packets = "32768";
  std::string extra;  ///< Further lines of YAML.
  std::filesystem::path socket = folder / "dataplane.sock";
  std::filesystem::path stats_path = folder / "stats";
  std::filesystem::path flow_log = folder / "flows.ndjson";
  std::filesystem::path policy_image = folder / "last-good.spimg";
  std::filesystem::path identity_feed = folder / "last-good.spids";
  std::filesystem::path budget_state = folder / "budgets.state";
  std::string user;

 private:
  void run_program();

  pid_t pid_ = -1;
  std::unique_ptr<Process> process_;
};

/// A connection to a data plane's control socket.
class ControlClient {
 public:
  explicit ControlClient(const std::filesystem::path& socket);

  /// Sends one datagram with descriptors. @return the reply.
  PushReply send(std::span<const uint8_t> bytes, const std::vector<int>& fds = {});
  PushReply send(const FrameHeader& header, const std::vector<int>& fds = {});
  PushReply query() { return send({.type = FrameType::query, .request_id = 7}); }
  PushReply push(std::span<const uint8_t> bytes, FrameType type = FrameType::push);
  /// Whether the other side has closed.
  bool closed() const;
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

/// The compiled image of one policy that allows `name`.
std::vector<uint8_t> image_allowing(std::string_view name);
uint64_t revision_of(std::span<const uint8_t> image);

}  // namespace sallyport::test
