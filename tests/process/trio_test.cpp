// The three programs together: data plane, agent and command line, with traffic from captures.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "control/common/json_text.h"
#include "policy/compile/compile.h"
#include "policy/compile/identity_feed.h"
#include "policy/runtime/identity_codec.h"
#include "policy/runtime/image.h"
#include "tests/process/gateway_process.h"
#include "tests/support/packet_builder.h"
#include "tests/support/pcap.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

std::string feed_yaml(std::string_view job) {
  return "apiVersion: sallyport/v1\nkind: IdentityFeed\nidentities:\n"
         "  - {addresses: [198.18.0.2, 198.18.0.3], labels: {job: " +
         std::string(job) + "}}\n";
}

uint64_t feed_revision(std::string_view job) {
  const std::vector<SourceFile> sources{{"feed.yaml", feed_yaml(job)}};
  const auto feed = make_identity_feed(load_identities(sources).value());
  return decode_identities(encode_identities(feed).value())->revision;
}

/// A data plane and an agent that share a state folder, and the command line towards both.
struct Node {
  GatewayProcess gateway;
  std::filesystem::path state = gateway.folder / "state";
  std::filesystem::path agent_socket = gateway.folder / "control.sock";
  std::filesystem::path policy = gateway.folder / "policy.yaml";
  std::filesystem::path feed = gateway.folder / "feed.yaml";
  std::unique_ptr<Process> agent;

  Node() {
    gateway.policy_image = state / "last-good.spimg";
    gateway.identity_feed = state / "last-good.spids";
    write_text(policy, policy_yaml("p", "one.test"));
  }
  void start_agent(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{program("sallyport-control"),
                                       "--dataplane-socket",
                                       gateway.socket,
                                       "--socket",
                                       agent_socket,
                                       "--state-dir",
                                       state};
    arguments.insert(arguments.end(), more.begin(), more.end());
    agent = std::make_unique<Process>(arguments, gateway.folder / "agent.log");
    REQUIRE(eventually([&] { return std::filesystem::exists(agent_socket); }));
  }
  Finished push() const {
    return run({program("sallyport"), "push", policy, "--socket", agent_socket});
  }
  Finished read(const std::string& command, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{program("sallyport"), command,    "--stats",
                                       gateway.stats_path,   "--format", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  Json status() const { return Json::parse(read("status", {"--socket", agent_socket}).out); }
  /// As whatever starts jobs should write it.
  void write_feed(std::string_view job) const {
    write_text(gateway.folder / "feed.new", feed_yaml(job));
    std::filesystem::rename(gateway.folder / "feed.new", feed);
  }
  /// Whether the data plane goes by the feed with that job, within the time that it may take.
  bool labels_become(std::string_view job) const {
    return eventually([&] { return gateway.stats().identity_revision == feed_revision(job); });
  }
  uint64_t revision() const { return gateway.stats().cores.at(0).revision; }
};

uint64_t drops(const Node& node, const std::string& reason) {
  const Json json = Json::parse(node.read("drops").out);
  for (const Json& row : json["drops"]) {
    if (row["reason"] == reason) return row["total"].get<uint64_t>();
  }
  return 0;
}

Bytes query(uint16_t port) {
  return udp("198.18.0.2", 5000, "198.19.0.53", port).payload("query").frame();
}

constexpr std::string_view kDnsPolicy = R"(apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: dns, action: Allow, to: {cidrs: [198.19.0.53/32]}, protocols: [{udp: {ports: [53]}}]}
)";

}  // namespace

TEST_CASE("a push through the agent is in force, is stored and is seen", "[process]") {
  Node node;
  node.gateway.start();
  node.start_agent();
  REQUIRE(eventually([&] { return node.push().status == 0; }));
  const uint64_t first = node.revision();
  CHECK(first == revision_of(image_allowing("one.test")));
  CHECK(node.status()["ok"] == true);
  CHECK(read_text(node.gateway.policy_image).size() == image_allowing("one.test").size());

  SECTION("a bad policy changes nothing") {
    write_text(node.policy, "apiVersion: sallyport/v1\nkind: Nonsense\n");
    const Finished pushed = node.push();
    CHECK(pushed.status == 1);
    CHECK(pushed.err.find("policy.yaml:2:") != std::string::npos);
    CHECK(node.revision() == first);
  }
  SECTION("the agent may die: policy and numbers stay") {
    node.agent->signal(SIGKILL);
    node.agent->wait();
    CHECK(node.push().status == 2);
    CHECK(node.revision() == first);
    CHECK(node.read("drops").status == 0);
    node.start_agent();
    write_text(node.policy, policy_yaml("p", "two.test"));
    CHECK(eventually([&] { return node.push().status == 0; }));
    CHECK(node.revision() == revision_of(image_allowing("two.test")));
  }
  SECTION("the data plane may restart: it has the policy before anyone asks") {
    CHECK(node.gateway.stop() == 0);
    CHECK(node.status()["ok"] == false);
    CHECK(node.push().status == 1);
    node.gateway.start();
    CHECK(eventually([&] { return node.revision() == first; }));
    CHECK(eventually([&] { return node.status()["ok"] == true; }));
    CHECK(eventually([&] { return node.push().status == 0; }));
  }
}

TEST_CASE("an identity feed reaches the data plane, whoever starts first", "[process]") {
  Node node;
  node.write_feed("train");
  const bool agent_first = GENERATE(false, true);
  std::filesystem::create_directory(node.state);
  if (!agent_first) node.gateway.start();
  node.start_agent({"--identities", node.feed, "--policy", node.policy});
  if (agent_first) node.gateway.start();
  REQUIRE(node.labels_become("train"));
  REQUIRE(eventually([&] { return node.revision() != 0; }));
  REQUIRE(eventually([&] { return std::filesystem::exists(node.gateway.identity_feed); }));

  const Json status = node.status();
  CHECK(status["identities"]["revision"] == revision_text(feed_revision("train")));
  CHECK(status["identities"]["addresses"] == 2);
  REQUIRE(eventually(
      [&] { return node.status()["agent"]["identities"]["last_load"]["result"] == "accepted"; }));
  CHECK(node.status()["agent"]["identities"]["since"] == status["identities"]["since"]);
  const Finished text = run({program("sallyport"), "status", "--stats", node.gateway.stats_path,
                             "--socket", node.agent_socket});
  CHECK(text.out.find("identities  revision " + revision_text(feed_revision("train")) +
                      ", 2 addresses, since 20") != std::string::npos);

  SECTION("a changed file is taken by itself, a policy push leaves it alone") {
    node.write_feed("serve");
    CHECK(node.labels_become("serve"));
    CHECK(node.push().status == 0);
    CHECK(node.gateway.stats().identity_revision == feed_revision("serve"));
  }
  SECTION("a bad feed is refused whole, with its place, and the old one stays") {
    const auto generation = node.gateway.stats().cores.at(0).generation;
    write_text(node.feed, feed_yaml("serve") + "  - {addresses: [nonsense]}\n");
    REQUIRE(eventually([&] { return node.agent->log_count("feed.yaml:5:18: error[E019]") == 1; }));
    const Json known = node.status()["agent"]["identities"];
    CHECK(known["last_load"]["result"] == "invalid");
    CHECK(known["revision"] == revision_text(feed_revision("train")));
    write_text(node.feed, "");
    REQUIRE(eventually([&] { return node.agent->log_count("error[E024]") == 1; }));
    std::filesystem::remove(node.feed);
    REQUIRE(eventually([&] { return node.agent->log_count("error[E025]") == 1; }));
    CHECK(node.gateway.stats().identity_revision == feed_revision("train"));
    CHECK(node.gateway.stats().cores.at(0).generation == generation);
    node.write_feed("serve");
    CHECK(node.labels_become("serve"));
  }
  SECTION("the agent is killed and the data plane restarts: it has the labels before anyone asks") {
    node.agent->signal(SIGKILL);
    node.agent->wait();
    CHECK(node.gateway.stop() == 0);
    node.gateway.start();
    CHECK(node.gateway.stats().identity_revision == feed_revision("train"));
    CHECK(eventually([&] { return node.revision() != 0; }));
    // A change that nobody was there to see is found by the next agent.
    node.write_feed("serve");
    node.start_agent({"--identities", node.feed, "--policy", node.policy});
    CHECK(node.labels_become("serve"));
  }
  SECTION("a data plane that lost its feed gets it again, without --identities as well") {
    const std::string stored = read_text(node.gateway.identity_feed);
    node.agent->signal(SIGTERM);
    node.agent->wait();
    CHECK(node.gateway.stop() == 0);
    node.gateway.identity_feed = node.gateway.folder / "elsewhere";
    node.gateway.start();
    CHECK(node.gateway.stats().identity_revision == 0);
    node.start_agent({"--policy", node.policy});
    CHECK(node.labels_become("train"));
    CHECK(read_text(node.state / "last-good.spids") == stored);
  }
}

TEST_CASE("traffic of a capture is decided by the labels of its source", "[process]") {
  Node node;
  write_text(node.policy, replaced(std::string(kDnsPolicy), "spec:\n",
                                   "spec:\n  subject: {labels: {job: train}}\n"));
  node.write_feed("train");
  write_bytes(node.gateway.folder / "a.pcap", pcap_bytes({{1, query(53)}}));
  const auto replayed = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{
        program("sallyport"), "replay", "--policy",
        node.policy,          "--pcap", node.gateway.folder / "a.pcap"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Json::parse(run(arguments).out);
  };
  CHECK(replayed({})["policy"]["reason"] == "facts_not_inspected");
  CHECK(replayed({"--identities", node.feed})["verdict"]["action"] == "allow");
  node.write_feed("serve");
  CHECK(replayed({"--identities", node.feed})["policy"]["reason"] == "default_deny");
  write_text(node.feed, "identities: []\n");
  const Finished bad = run({program("sallyport"), "replay", "--policy", node.policy, "--pcap",
                            node.gateway.folder / "a.pcap", "--identities", node.feed});
  CHECK(bad.status == 2);
  CHECK(bad.err.find("feed.yaml:1:1: error[E009]") != std::string::npos);
}

TEST_CASE("traffic of a capture is decided, counted and logged", "[process]") {
  Node node;
  GatewayProcess& gateway = node.gateway;
  const std::vector<SourceFile> sources{{"p.yaml", std::string(kDnsPolicy)}};
  const auto image = compile_policy(sources).value().image;
  std::filesystem::create_directory(node.state);
  write_bytes(gateway.policy_image, image);
  const Bytes answer = udp("198.19.0.53", 53, "198.18.0.2", 5000).payload("answer").frame();
  const Bytes syn = tcp("198.18.0.2", 40000, "198.19.0.2", 443).seq(1).flags(kSyn).frame();
  write_bytes(gateway.folder / "client.pcap",
              pcap_bytes({{1, query(53)}, {2, query(54)}, {3, syn}, {4, query(53)}}));
  write_bytes(gateway.folder / "server.pcap", pcap_bytes({{1, answer}}));
  const auto device = [&](int n, const char* in, const char* out) {
    return "net_pcap" + std::to_string(n) + ",rx_pcap=" + (gateway.folder / in).string() +
           ",tx_pcap=" + (gateway.folder / out).string();
  };
  gateway.inside = device(0, "client.pcap", "to_client.pcap");
  gateway.outside = device(1, "server.pcap", "to_server.pcap");
  gateway.start();
  REQUIRE(eventually([&] {
    return gateway.counter("sallyport_packets_total", "direction=rx,port=inside") == 4 &&
           gateway.counter("sallyport_packets_total", "direction=rx,port=outside") == 1;
  }));
  CHECK(eventually([&] {
    return gateway.counter("sallyport_packets_total", "direction=tx,port=outside") == 2;
  }));
  CHECK(gateway.counter("sallyport_flows", "state=allowed") == 1);
  // A flow denied by its SYN keeps no place in the table; one denied by a datagram does.
  CHECK(gateway.counter("sallyport_flows", "state=denied") == 1);
  CHECK(drops(node, "denied") == 2);
  CHECK(gateway.stop() == 0);

  CHECK(read_pcap(gateway.folder / "to_server.pcap") == std::vector<Bytes>{query(53), query(53)});
  const auto to_client = read_pcap(gateway.folder / "to_client.pcap");
  REQUIRE(to_client.size() == 3);  // the RST for the SYN, the ICMP error, and the answer
  CHECK(std::ranges::count(to_client, answer) == 1);
  std::vector<std::string> ends;
  std::istringstream lines(read_text(gateway.flow_log));
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line);
    if (json["event_type"] != "flow") continue;
    ends.push_back(std::to_string(json["dest_port"].get<int>()) + " " +
                   json["verdict"]["action"].get<std::string>());
    CHECK(json["policy"]["revision"] == revision_text(revision_of(image)));
  }
  std::ranges::sort(ends);
  CHECK(ends == std::vector<std::string>{"443 deny", "53 allow", "54 deny"});
  // After its end the segment still says what was counted.
  CHECK(node.read("drops").err.find("has stopped") != std::string::npos);
  CHECK(drops(node, "denied") == 2);
}
