// Sinks of the flow log that end or hang: packets go on, and whoever looks is told.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <catch2/catch.hpp>

#include "control/common/system.h"
#include "tests/process/gateway_process.h"
#include "tests/support/packet_builder.h"
#include "tests/support/pcap.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// A FIFO and its reader, which takes nothing by itself.
struct Fifo {
  std::filesystem::path path;
  UniqueFd reader;

  explicit Fifo(std::filesystem::path where) : path(std::move(where)) {
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    reader = UniqueFd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(reader.get() >= 0);
  }
  /// @return whether there was anything.
  bool read_some() const {
    char some[4096];
    return ::read(reader.get(), some, sizeof some) > 0;
  }
};

/// A data plane that denies one SYN after the other, and so has something to log.
struct Denying {
  GatewayProcess gateway;

  Denying() {
    const Bytes syn = tcp("198.18.0.2", 40000, "198.19.0.2", 443).seq(1).flags(kSyn).frame();
    write_bytes(gateway.folder / "syn.pcap", pcap_bytes({{1, syn}}));
    gateway.inside = "net_pcap0,infinite_rx=1,rx_pcap=" + (gateway.folder / "syn.pcap").string();
  }
  uint64_t lost(const std::string& cause) const {
    return gateway.counter("sallyport_events_lost_total", "cause=" + cause);
  }
  uint64_t received() const {
    return gateway.counter("sallyport_packets_total", "direction=rx,port=inside");
  }
  bool turns() const {
    const uint64_t before = received();
    return eventually([&] { return received() > before; });
  }
};

/// A collector that reads all that comes.
struct Collector {
  std::filesystem::path path;
  UniqueFd listening, connected;

  explicit Collector(std::filesystem::path where)
      : path(std::move(where)), listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listening.get(), 1) == 0);
  }
  /// @return whether there was anything.
  bool read_some() {
    if (connected.get() < 0) {
      connected = UniqueFd(::accept4(listening.get(), nullptr, nullptr, SOCK_NONBLOCK));
    }
    std::vector<char> some(1 << 20);
    return ::read(connected.get(), some.data(), some.size()) > 0;
  }
};

/// The agent of a data plane, with its pages for Prometheus.
struct AgentProcess {
  Process process;
  uint16_t port = 0;

  explicit AgentProcess(const GatewayProcess& gateway)
      : process({program("sallyport-control"), "--dataplane-socket", gateway.socket, "--socket",
                 gateway.folder / "control.sock", "--state-dir", gateway.folder / "state",
                 "--stats", gateway.stats_path, "--metrics", "127.0.0.1:0"},
                gateway.folder / "agent.log") {
    const std::string said = "metrics at http://127.0.0.1:";
    REQUIRE(eventually([&] { return process.log_count(said) > 0; }));
    const std::string log = process.log();
    port = static_cast<uint16_t>(std::stoul(log.substr(log.find(said) + said.size())));
  }
  std::string readiness() const { return http_get(port, "/readyz"); }
};

}  // namespace

TEST_CASE("a flow log into a pipe outlives its reader, and goes on at the next", "[process]") {
  Denying node;
  Fifo fifo(node.gateway.flow_log);
  node.gateway.start();
  REQUIRE(eventually([&] { return fifo.read_some(); }));
  fifo.reader.reset();
  CHECK(eventually([&] { return node.lost("write_failed") > 0; }));
  CHECK(node.turns());
  CHECK(node.gateway.log().find(": cannot write it: Broken pipe; ") != std::string::npos);
  fifo.reader = UniqueFd(open(fifo.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  CHECK(eventually([&] { return fifo.read_some(); }));
  fifo.reader.reset();
  CHECK(node.gateway.stop() == 0);
}

TEST_CASE("an agent outlives the reader of its log", "[process]") {
  const TempDir folder;
  Fifo log(folder / "log");
  const std::string start = "exec '" + program("sallyport-control").string() + "' --socket '" +
                            (folder / "control.sock").string() + "' --state-dir '" +
                            (folder / "state").string() + "' --dataplane-socket '" +
                            (folder / "none.sock").string() + "' 2>'" + log.path.string() + "'";
  Process agent({"/bin/sh", "-c", start}, folder / "stderr");
  REQUIRE(eventually([&] { return log.read_some(); }));
  REQUIRE(eventually([&] { return std::filesystem::exists(folder / "control.sock"); }));
  log.reader.reset();
  agent.signal(SIGHUP);  // of which it says something
  const UniqueFd client = connect_stream(folder / "control.sock");
  CHECK_FALSE(ask_line(client, "{\"op\":\"status\"}\n").empty());
  agent.signal(SIGTERM);
  CHECK(agent.wait() == 0);
}

TEST_CASE("a disk that hangs holds up neither packets, collector nor end, and is said",
          "[process]") {
  Denying node;
  const Fifo disk(node.gateway.flow_log);  // nobody reads it
  Collector collector(node.gateway.folder / "collector.sock");
  node.gateway.extra = "flow_log: {socket: " + collector.path.string() + "}\n";
  node.gateway.start();
  const AgentProcess agent(node.gateway);
  CHECK(eventually([&] {
    return agent.readiness().find(
               "the flow log's writer is stuck or has ended: it has not turned "
               "for ") != std::string::npos;
  }));
  CHECK(node.turns());
  for (int i = 0; i < 20; ++i) CHECK(eventually([&] { return collector.read_some(); }));
  CHECK(eventually([&] { return node.lost("sink_slow") > 0; }));
  CHECK(eventually([&] {
    return node.gateway.log().find(": stuck, a write does not come back; ") != std::string::npos;
  }));

  const uint64_t before = node.lost("sink_slow");
  const auto begun = std::chrono::steady_clock::now();
  CHECK(node.gateway.stop() == 0);
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(10));
  CHECK(node.gateway.log().find(": it hangs and is left behind; ") != std::string::npos);
  CHECK(node.gateway.stats().ended);
  CHECK(node.lost("sink_slow") > before);
  CHECK(node.gateway.leftovers() == std::vector<std::string>{node.gateway.stats_path});
}
