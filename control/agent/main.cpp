#include <poll.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <exception>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "control/agent/agent.h"
#include "control/agent/agent_api.h"
#include "control/agent/api_server.h"
#include "control/agent/http_server.h"
#include "control/agent/metrics_service.h"
#include "control/common/system.h"

namespace sallyport {
namespace {

using Clock = std::chrono::steady_clock;

struct MainOptions {
  AgentOptions agent{
      .policy_paths = {}, .identities = {}, .dataplane_socket = "/run/sallyport/dataplane.sock"};
  std::filesystem::path socket = "/run/sallyport/control.sock";
  std::filesystem::path state_dir = "/var/lib/sallyport";
  std::string metrics;  ///< Where to serve them; empty: nowhere.
  MetricsPaths metrics_paths;
  std::string log_level = "info";
};

void add_options(CLI::App& app, MainOptions& options) {
  app.set_version_flag("--version", std::string("sallyport-control ") + SALLYPORT_VERSION);
  app.add_option("--policy", options.agent.policy_paths,
                 "Policy files, or folders of *.yaml and *.yml; none: serve the last good policy")
      ->type_name("PATH...");
  app.add_option(
         "--identities", options.agent.identities,
         "Identity feed, a file or a folder of *.yaml and *.yml; watched for changes; none: "
         "serve the last good feed")
      ->type_name("PATH");
  app.add_option("--dataplane-socket", options.agent.dataplane_socket, "The data plane's socket")
      ->capture_default_str();
  app.add_option("--socket", options.socket, "Where to serve the control API")
      ->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "Where the last good policy and feed are kept")
      ->capture_default_str();
  app.add_option("--metrics", options.metrics,
                 "Serve /metrics, /healthz and /readyz over HTTP there; none: do not")
      ->type_name("ADDRESS:PORT")
      ->check([](const std::string& text) {
        const auto address = parse_listen_address(text);
        return address ? std::string() : address.error();
      });
  app.add_option("--stats", options.metrics_paths.stats,
                 "The data plane's stats segment, for --metrics")
      ->capture_default_str();
  app.add_option("--budgets", options.metrics_paths.budgets,
                 "Where the data plane keeps what budgets let out, for --metrics")
      ->capture_default_str();
  app.add_option("--log-level", options.log_level)
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
}

/// Signals become readable events, so that a reload never interrupts anything halfway.
UniqueFd signal_events() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int one : {SIGHUP, SIGTERM, SIGINT}) sigaddset(&signals, one);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

/// @return false when the agent is to stop.
bool handle_signals(int fd, Agent& agent) {
  signalfd_siginfo info{};
  while (::read(fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo != SIGHUP) {
      spdlog::info("stopping: the data plane goes on with the policy it has");
      return false;
    }
    spdlog::info("SIGHUP: reloading the files");
    agent.reload(nullptr, Clock::now());
  }
  return true;
}

int run_loop(Agent& agent, ApiServer& server, AgentBoard& board, int signal_fd) {
  std::vector<pollfd> polls;
  while (true) {
    const auto now = Clock::now();
    const auto next = std::min(agent.tick(now), server.expire(now));
    board.post(agent.facts(), now);
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
    polls.assign({{.fd = signal_fd, .events = POLLIN, .revents = 0},
                  {.fd = agent.dataplane_fd(), .events = POLLIN, .revents = 0}});
    server.add_polls(polls);
    if (::poll(polls.data(), polls.size(), static_cast<int>(std::clamp<long>(wait, 0, 60'000))) <
            0 &&
        errno != EINTR) {
      spdlog::critical("poll: {}", errno_text(errno));
      return 1;
    }
    if (polls[0].revents != 0 && !handle_signals(signal_fd, agent)) return 0;
    if (polls[1].revents != 0) agent.on_dataplane_readable(Clock::now());
    server.dispatch(polls, Clock::now());
  }
}

/// After signal_events(): the server's thread must not take the signals. @return null without an
/// address.
std::expected<std::unique_ptr<HttpServer>, std::string> serve_metrics(
    const std::string& where, const MetricsService& metrics) {
  if (where.empty()) return nullptr;
  const auto address = parse_listen_address(where);
  if (!address) return std::unexpected("--metrics: " + address.error());
  auto server = HttpServer::listen(*address, metrics.pages());
  if (server) {
    spdlog::info("metrics at http://{}:{}/metrics", where.substr(0, where.rfind(':')),
                 (*server)->port());
  }
  return server;
}

int run(const MainOptions& options) {
  auto store = StateStore::open(options.state_dir);
  if (!store) {
    spdlog::critical("{}", store.error());
    return 2;
  }
  const UniqueFd signals = signal_events();
  Agent agent(options.agent, std::move(*store));
  ApiServer* serving = nullptr;
  const auto handler = [&](ClientId client, const std::string& line) {
    const auto respond = [&serving, client](const std::string& text) {
      serving->respond(client, text);
    };
    handle_request(agent, line, respond, Clock::now());
  };
  auto server = ApiServer::listen(options.socket, {}, handler);
  if (!server) {
    spdlog::critical("{}", server.error());
    return 2;
  }
  serving = server->get();
  AgentBoard board;
  board.post({}, Clock::now());
  const MetricsService metrics(options.metrics_paths, board);
  const auto metrics_server = serve_metrics(options.metrics, metrics);
  if (!metrics_server) {
    spdlog::critical("{}", metrics_server.error());
    return 2;
  }
  spdlog::info("sallyport-control {} serves {}", SALLYPORT_VERSION, options.socket.string());
  agent.start(Clock::now());
  return run_loop(agent, **server, board, signals.get());
}

}  // namespace
}  // namespace sallyport

int main(int argc, char** argv) {
  // The log's reader may end, and so may any client: neither ends the agent.
  static_cast<void>(::signal(SIGPIPE, SIG_IGN));
  try {
    sallyport::MainOptions options;
    CLI::App app("sallyport-control: loads, checks and pushes policy to sallyport-dataplane");
    sallyport::add_options(app, options);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app.exit(error) == 0 ? 0 : 2;
    }
    spdlog::set_default_logger(spdlog::stderr_logger_mt("sallyport-control"));
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l: %v");
    spdlog::set_level(spdlog::level::from_str(options.log_level));
    return sallyport::run(options);
  } catch (const std::exception& error) {
    static_cast<void>(std::fprintf(stderr, "sallyport-control: %s\n", error.what()));
    return 2;
  }
}
