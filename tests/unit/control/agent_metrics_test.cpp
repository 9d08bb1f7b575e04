// The agent with --metrics, as it is started.
#include <signal.h>

#include <catch2/catch.hpp>
#include <charconv>

#include "control/common/json_text.h"
#include "control/common/system.h"
#include "policy/compile/compile.h"
#include "policy/runtime/image.h"
#include "tests/unit/control/fake_dataplane.h"
#include "tests/unit/control/stats_file.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

struct Node {
  std::vector<std::string> arguments(const std::string& metrics) const {
    return {program("sallyport-control"),
            "--dataplane-socket",
            folder / "dataplane.sock",
            "--socket",
            folder / "control.sock",
            "--state-dir",
            folder / "state",
            "--policy",
            folder / "policy.yaml",
            "--stats",
            folder / "stats",
            "--budgets",
            folder / "budgets",
            "--metrics",
            metrics};
  }
  /// @return the port that it serves on.
  uint16_t start() {
    write_text(folder / "policy.yaml", policy_yaml("one", "one.example.com"));
    agent = std::make_unique<Process>(arguments("127.0.0.1:0"), folder / "log");
    const std::string said = "metrics at http://127.0.0.1:";
    REQUIRE(eventually([&] { return agent->log_count("/metrics\n") > 0; }));
    const std::string log = agent->log();
    uint16_t port = 0;
    const char* at = log.data() + log.find(said) + said.size();
    REQUIRE(std::from_chars(at, log.data() + log.size(), port).ec == std::errc());
    return port;
  }

  TempDir folder;
  std::unique_ptr<Process> agent;
};

bool has_line(const std::string& text, const std::string& line) {
  return text.find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("the agent says over HTTP what it knows of itself and of the node", "[metrics]") {
  Node node;
  const uint16_t port = node.start();
  CHECK(http_get(port, "/healthz").ends_with("\r\n\r\nok\n"));
  CHECK(http_get(port, "/readyz").starts_with("HTTP/1.1 503 "));
  CHECK(has_line(http_get(port, "/metrics"), "sallyport_agent_dataplane_connected 0"));
  const FakeDataplane dataplane(node.folder / "dataplane.sock");
  REQUIRE(eventually([&] {
    return has_line(http_get(port, "/metrics"), "sallyport_agent_dataplane_connected 1");
  }));
  const std::vector<SourceFile> sources{{"p.yaml", policy_yaml("one", "one.example.com")}};
  const std::string revision = revision_text(compile_policy(sources).value().revision);
  REQUIRE(eventually([&] {
    return has_line(http_get(port, "/metrics"), "sallyport_agent_policy_info{revision=\"" +
                                                    revision + "\",source=\"files\"} 1");
  }));
  CHECK(http_get(port, "/metrics").find("timestamp_seconds{result=\"accepted\"} ") !=
        std::string::npos);

  StatsFile file{.counters = {{"sallyport_x_total", ""}}, .cores = {{.core = 1, .values = {7}}}};
  file.cores[0].heartbeat_unix_ns = unix_now_ns() + 60'000'000'000;
  write_text(node.folder / "stats", stats_bytes(file));
  CHECK(has_line(http_get(port, "/metrics"), "sallyport_x_total{core=\"1\"} 7"));
  CHECK(http_get(port, "/readyz")
            .ends_with("\r\n\r\nno policy is in force: everything is denied; push one\n"));
  file.cores[0].revision = 7;
  write_text(node.folder / "stats", stats_bytes(file));
  CHECK(http_get(port, "/readyz").ends_with("\r\n\r\nok\n"));
  node.agent->signal(SIGTERM);
  CHECK(node.agent->wait() == 0);
}

TEST_CASE("an address that cannot be served is no start", "[metrics]") {
  Node node;
  const std::string taken = "127.0.0.1:" + std::to_string(node.start());
  const Node other;
  write_text(other.folder / "policy.yaml", policy_yaml("one", "one.example.com"));
  const Finished second = run(other.arguments(taken));
  CHECK(second.status == 2);
  CHECK(second.err.find("cannot serve metrics on " + taken + ": Address already in use") !=
        std::string::npos);
  const Finished name = run(other.arguments("localhost:9464"));
  CHECK(name.status == 2);
  CHECK(name.err.find("\"localhost:9464\" is no ADDRESS:PORT") != std::string::npos);
}
