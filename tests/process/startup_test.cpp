// Starting, stopping and starting again. A mistake ends with status 2 and says what to do.
#include <signal.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <functional>

#include "policy/runtime/image.h"
#include "tests/process/gateway_process.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

void write_image(const std::filesystem::path& path, const std::vector<uint8_t>& image) {
  write_text(path, {reinterpret_cast<const char*>(image.data()), image.size()});
}

}  // namespace

TEST_CASE("a mistake in the configuration ends with one clear line", "[process]") {
  struct Row {
    std::string what;
    std::function<void(GatewayProcess&)> change;
    std::string said;
  };
  const auto row = GENERATE(values<Row>({
      {"no capture", [](GatewayProcess& g) { g.inside = "net_pcap0,rx_pcap=/no/such.pcap"; },
       "device net_pcap0,rx_pcap=/no/such.pcap: cannot read /no/such.pcap"},
      {"no PCI device", [](GatewayProcess& g) { g.outside = "0000:ff:1f.7"; },
       "device 0000:ff:1f.7: no such PCI device (a virtual one starts with net_)"},
      {"no interface", [](GatewayProcess& g) { g.inside = "net_af_packet0,iface=nosuch0"; },
       "device net_af_packet0,iface=nosuch0: there is no network interface nosuch0"},
      {"no driver", [](GatewayProcess& g) { g.inside = "net_nosuch0"; },
       "DPDK did not start: EAL: Unable to parse device 'net_nosuch0'"},
      {"no such argument", [](GatewayProcess& g) { g.inside = "net_null0,nosuch=1"; },
       "device net_null0,nosuch=1: DPDK cannot use it: "},
      {"no capture but garbage",
       [](GatewayProcess& g) {
         write_text(g.folder / "garbage", "garbage");
         g.inside = "net_pcap0,rx_pcap=" + (g.folder / "garbage").string();
       },
       "DPDK cannot use it: open_single_rx_pcap(): Couldn't open "},
      {"no core", [](GatewayProcess& g) { g.worker_cores = "[1000]"; },
       "core 1000 is not available to this process (cores.main, cores.workers)"},
      {"no main core", [](GatewayProcess& g) { g.main_core = "1001"; },
       "core 1001 is not available to this process (cores.main, cores.workers)"},
      {"no user", [](GatewayProcess& g) { g.user = "nosuchuser"; },
       "there is no user nosuchuser (paths.control_user)"},
      {"log under a file", [](GatewayProcess& g) { g.flow_log = g.folder / "gateway.yaml" / "f"; },
       "gateway.yaml: cannot be made: "},
      {"log is a folder", [](GatewayProcess& g) { g.flow_log = g.folder.path(); },
       ": cannot open: Is a directory (paths.flow_log in the configuration)"},
      {"log is a FIFO that nobody reads",
       [](GatewayProcess& g) { REQUIRE(mkfifo(g.flow_log.c_str(), 0600) == 0); },
       ": cannot open: nobody reads it (a FIFO without a reader, or a socket); start its reader "
       "first (paths.flow_log in the configuration)"},
      {"log socket too long",
       [](GatewayProcess& g) { g.extra = "flow_log: {socket: /" + std::string(120, 's') + "}\n"; },
       "the path is too long for a socket (flow_log.socket)"},
      {"stats under a file",
       [](GatewayProcess& g) { g.stats_path = g.folder / "gateway.yaml" / "stats"; },
       "gateway.yaml: cannot be made: "},
      {"socket path too long",
       [](GatewayProcess& g) { g.socket = g.folder / std::string(120, 's'); },
       "the path is too long for a socket"},
      {"socket under a file", [](GatewayProcess& g) { g.socket = g.folder / "gateway.yaml" / "s"; },
       "gateway.yaml: cannot be made: "},
      {"too little memory",
       [](GatewayProcess& g) { g.extra = "inspection: {held_packets_per_worker: 16}\n"; },
       "packet buffers (memory.packets 4000000): "},
  }));
  CAPTURE(row.what);
  GatewayProcess gateway;
  row.change(gateway);
  if (row.what == "too little memory") gateway.packets = "4000000";
  CHECK(gateway.start_and_fail() == 2);
  const std::string log = gateway.log();
  CAPTURE(log);
  CHECK(std::count(log.begin(), log.end(), '\n') == 1);
  CHECK(log.starts_with("sallyport-dataplane: "));
  CHECK(log.find(row.said) != std::string::npos);
  CHECK(gateway.leftovers().empty());
}

TEST_CASE("a stats path that is a folder is refused, and the folder stays", "[process]") {
  GatewayProcess gateway;
  std::filesystem::create_directory(gateway.stats_path);
  CHECK(gateway.start_and_fail() == 2);
  CHECK(gateway.log() == "sallyport-dataplane: stats segment " + gateway.stats_path.string() +
                             ".new: cannot rename: Is a directory\n");
  CHECK(gateway.leftovers() == std::vector<std::string>{gateway.stats_path});
}

TEST_CASE("every mistake in the file is listed, each where it stands", "[process]") {
  GatewayProcess gateway;
  gateway.extra = "flows:\n  capacity: none\n  capacty: 5\ninbound_flows: maybe\n";
  CHECK(gateway.start_and_fail() == 2);
  const std::string file = (gateway.folder / "gateway.yaml").string();
  CHECK(gateway.log() ==
        file + ":13:13: error[E103]: flows.capacity must be a whole number from 16 to 4194304\n" +
            file +
            ":14:3: error[E008]: unknown key 'capacty' in flows (did you mean 'capacity'?)\n" +
            file + ":15:16: error[E102]: inbound_flows must be one of drop | pass\n");
  CHECK(gateway.leftovers().empty());
}

TEST_CASE("without a configuration, or with options it has not", "[process]") {
  const std::string dataplane = program("sallyport-dataplane");
  const Finished missing = run({dataplane, "--config", "/no/such.yaml"});
  CHECK(missing.status == 2);
  CHECK(missing.err == "/no/such.yaml: error[E100]: cannot be read: No such file or directory\n");
  CHECK(run({dataplane, "--nosuch"}).status == 2);
  CHECK(run({dataplane, "replay"}).status == 2);
  CHECK(run({dataplane, "--version"}).status == 0);
  CHECK(run({dataplane, "--help"}).status == 0);
}

TEST_CASE("a second data plane leaves the first one alone", "[process]") {
  GatewayProcess first;
  first.start();
  GatewayProcess second;
  second.socket = first.socket;
  second.stats_path = first.stats_path;
  second.inside = "net_null2,no-rx=1";
  CHECK(second.start_and_fail() == 2);
  CHECK(second.log() == "sallyport-dataplane: control socket " + first.socket.string() +
                            ": another data plane is listening there\n");
  CHECK(first.stats().pid == first.pid());
  CHECK_FALSE(first.stats().ended);
  ControlClient client(first.socket);
  CHECK(client.push(image_allowing("a.test")).refusal == Refusal::none);
  CHECK(first.stop() == 0);
}

TEST_CASE("SIGTERM and SIGINT end it in order, SIGHUP reopens the flow log", "[process]") {
  GatewayProcess gateway;
  gateway.start();
  const auto running = ControlClient(gateway.socket).query();
  CHECK(running.refusal == Refusal::none);
  std::filesystem::rename(gateway.flow_log, gateway.folder / "moved");
  gateway.signal(SIGHUP);
  CHECK(eventually([&] { return std::filesystem::exists(gateway.flow_log); }));
  CHECK(ControlClient(gateway.socket).query().refusal == Refusal::none);
  gateway.signal(GENERATE(SIGTERM, SIGINT));
  CHECK(gateway.wait() == 0);
  CHECK(gateway.log().find("stopped\n") != std::string::npos);
  CHECK(gateway.stats().ended);
  CHECK(gateway.leftovers() == std::vector<std::string>{gateway.stats_path});
}

TEST_CASE("a restart has the stored policy at once, whatever the last one left", "[process]") {
  GatewayProcess gateway;
  const auto image = image_allowing("stored.test");
  write_image(gateway.policy_image, image);
  for (int round = 0; round < 2; ++round) {
    gateway.start();
    CHECK(gateway.log().find(", policy " + revision_text(revision_of(image)) + "\n") !=
          std::string::npos);
    ControlClient client(gateway.socket);
    CHECK(eventually([&] { return client.query().cores[0].generation == 1; }));
    CHECK(client.query().cores[0].revision == revision_of(image));
    CHECK(client.push(image_allowing("pushed.test")).cores[0].generation == 2);
    // Killed, it leaves its socket and a segment that never ended; the next one takes both over.
    gateway.signal(SIGKILL);
    CHECK(gateway.wait() == -1);
    CHECK(std::filesystem::exists(gateway.socket));
    CHECK_FALSE(gateway.stats().ended);
  }
}

TEST_CASE("a stored policy that is damaged is named, and everything is denied", "[process]") {
  GatewayProcess gateway;
  std::vector<uint8_t> image = image_allowing("stored.test");
  std::string said;
  SECTION("altered") {
    image[image.size() / 2] ^= 1;
    write_image(gateway.policy_image, image);
    said = "is refused (bad_digest)";
  }
  SECTION("cut") {
    image.resize(image.size() - 1);
    write_image(gateway.policy_image, image);
    said = "is refused (bad_length)";
  }
  SECTION("empty") {
    write_image(gateway.policy_image, {});
    said = "is refused (too_short)";
  }
  SECTION("a folder") {
    std::filesystem::create_directory(gateway.policy_image);
    said = "no stored policy at";
  }
  SECTION("none") {
    said = "no stored policy at";
  }
  gateway.start();
  CHECK(gateway.log().find(said) != std::string::npos);
  CHECK(gateway.log().find("everything is denied until one is pushed") != std::string::npos);
  CHECK(gateway.log().find(", policy none\n") != std::string::npos);
  ControlClient client(gateway.socket);
  CHECK(client.query().cores[0].revision == 0);
  CHECK(client.push(image_allowing("a.test")).cores[0].generation == 1);
}
