#include "tests/process/gateway_process.h"

#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>

#include "control/common/system.h"
#include "policy/compile/compile.h"
#include "policy/runtime/table.h"

namespace sallyport::test {
namespace {

constexpr std::chrono::seconds kStart{30};  // a sanitized build on a busy machine

std::vector<unsigned> cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  std::vector<unsigned> out;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &allowed)) out.push_back(i);
  }
  INFO("the data plane needs two cores");
  REQUIRE(out.size() >= 2);
  return out;
}

}  // namespace

GatewayProcess::GatewayProcess() : user(::getpwuid(::geteuid())->pw_name) {
  const auto available = cores();
  main_core = std::to_string(available[0]);
  worker_cores = "[" + std::to_string(available[1]) + "]";
}

std::string GatewayProcess::config() const {
  return "ports: {inside: '" + inside + "', outside: '" + outside +
         "'}\ncores: {main: " + main_core + ", workers: " + worker_cores +
         "}\nmemory: {hugepages: never, total_mb: 256, packets: " + packets +
         "}\npaths:\n  control_socket: " + socket.string() + "\n  control_user: " + user +
         "\n  stats: " + stats_path.string() + "\n  flow_log: " + flow_log.string() +
         "\n  policy_image: " + policy_image.string() +
         "\n  identity_feed: " + identity_feed.string() +
         "\n  budget_state: " + budget_state.string() + "\n" + extra;
}

void GatewayProcess::run_program() {
  write_text(folder / "gateway.yaml", config());
  std::filesystem::remove(folder / "log");  // "ready" is to be this one's
  // Each its own telemetry socket: tests run beside one another.
  ::setenv("RUNTIME_DIRECTORY", folder.path().c_str(), 1);
  process_ = std::make_unique<Process>(
      std::vector<std::string>{program("sallyport-dataplane"), "--config", folder / "gateway.yaml"},
      folder / "log");
  pid_ = process_->pid();
}

void GatewayProcess::start() {
  run_program();
  const bool ready = eventually([&] { return process_->log_count("ready: ") > 0; }, kStart);
  INFO(log());
  REQUIRE(ready);
}

int GatewayProcess::start_and_fail() {
  run_program();
  return process_->wait();
}

int GatewayProcess::stop() {
  signal(SIGTERM);
  return wait();
}

std::vector<std::string> GatewayProcess::leftovers() const {
  const std::vector<std::filesystem::path> paths{socket, stats_path, stats_path.string() + ".new",
                                                 folder / "dpdk/sallyport"};
  std::vector<std::string> out;
  for (const auto& path : paths) {
    if (std::filesystem::exists(path)) out.push_back(path);
  }
  return out;
}

StatsSnapshot GatewayProcess::stats() const {
  const auto reader = StatsReader::open(stats_path);
  if (!reader) FAIL(reader.error().text);
  return reader->snapshot().value();
}

uint64_t GatewayProcess::counter(std::string_view family, std::string_view labels) const {
  const StatsSnapshot now = stats();
  for (size_t i = 0; i < now.counters.size(); ++i) {
    if (now.counters[i].family != family || now.counters[i].labels != labels) continue;
    uint64_t sum = 0;
    for (const StatsCoreValues& core : now.cores) sum += core.values[i];
    return sum;
  }
  FAIL("no counter " << family << "{" << labels << "}");
  return 0;
}

ControlClient::ControlClient(const std::filesystem::path& socket) {
  auto connected = connect_unix(socket, SOCK_SEQPACKET);
  REQUIRE(connected);
  fd_ = std::move(*connected);
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  REQUIRE(::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
}

PushReply ControlClient::send(std::span<const uint8_t> bytes, const std::vector<int>& fds) {
  iovec vector{.iov_base = const_cast<uint8_t*>(bytes.data()), .iov_len = bytes.size()};
  std::vector<uint8_t> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size() * sizeof(int));
  }
  REQUIRE(::sendmsg(fd_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  PushReply reply;
  REQUIRE(::recv(fd_.get(), &reply, sizeof reply, 0) == static_cast<ssize_t>(sizeof reply));
  REQUIRE(reply.header.magic == kFrameMagic);
  REQUIRE(reply.header.version == kFrameVersion);
  REQUIRE(reply.header.type == FrameType::push_reply);
  return reply;
}

PushReply ControlClient::send(const FrameHeader& header, const std::vector<int>& fds) {
  std::vector<uint8_t> bytes(sizeof header);
  std::memcpy(bytes.data(), &header, sizeof header);
  return send(bytes, fds);
}

PushReply ControlClient::push(std::span<const uint8_t> bytes, FrameType type) {
  const auto made = make_sealed_memfd(bytes);
  REQUIRE(made);
  const UniqueFd fd(*made);
  return send({.type = type, .request_id = 1}, {fd.get()});
}

bool ControlClient::closed() const {
  pollfd waiting{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  char byte = 0;
  return ::poll(&waiting, 1, 5000) == 1 && ::recv(fd_.get(), &byte, 1, MSG_DONTWAIT) == 0;
}

std::vector<uint8_t> image_allowing(std::string_view name) {
  const std::vector<SourceFile> sources{{"p.yaml", policy_yaml("p", name)}};
  return compile_policy(sources).value().image;
}

uint64_t revision_of(std::span<const uint8_t> image) {
  return PolicyTable::load(image, 1).value()->revision();
}

}  // namespace sallyport::test
