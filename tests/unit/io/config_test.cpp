#include "dataplane/io/config.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <functional>
#include <limits>

using namespace sallyport;

namespace {

const std::string kPorts = "ports: {inside: net_null0, outside: net_null1}\n";

GatewayConfig parsed(const std::string& text) {
  const auto config = parse_gateway_config({.name = "g.yaml", .text = text});
  INFO(text);
  if (!config) FAIL(to_string(config.error().front()));
  return *config;
}

// What is wrong, one line a diagnostic as the user sees it; "" when nothing is.
std::string complaints(const std::string& text) {
  const auto config = parse_gateway_config({.name = "g.yaml", .text = text});
  std::string out;
  if (config) return out;
  for (const Diagnostic& diagnostic : config.error()) out += to_string(diagnostic) + "\n";
  return out;
}

GatewayConfig defaults() {
  GatewayConfig config;
  config.inside_device = "net_null0";
  config.outside_device = "net_null1";
  return config;
}

}  // namespace

TEST_CASE("the shipped file shows the defaults", "[config]") {
  const char* source = std::getenv("SALLYPORT_SOURCE");
  REQUIRE(source != nullptr);
  auto config = load_gateway_config(std::string(source) + "/configs/gateway.yaml");
  REQUIRE(config);
  CHECK(config->inside_device.starts_with("net_af_xdp0,"));
  CHECK(config->outside_device.starts_with("net_af_xdp1,"));
  config->inside_device.clear();
  config->outside_device.clear();
  CHECK(*config == GatewayConfig{});
}

TEST_CASE("each key sets its own value and no other", "[config]") {
  struct Row {
    std::string text;
    std::function<void(GatewayConfig&)> change;
  };
  using C = GatewayConfig;
  const auto row = GENERATE(values<Row>({
      {"", [](C&) {}},
      {"cores: {main: 3}", [](C& c) { c.main_core = 3; }},
      {"cores: {workers: [4, 2]}", [](C& c) { c.worker_cores = {4, 2}; }},
      {"cores: {main: 1, workers: [0]}", [](C& c) { c.main_core = 1, c.worker_cores = {0}; }},
      {"memory: {hugepages: require}", [](C& c) { c.hugepages = Hugepages::require; }},
      {"memory: {hugepages: never}", [](C& c) { c.hugepages = Hugepages::never; }},
      {"memory: {hugepages: auto}", [](C& c) { c.hugepages = Hugepages::automatic; }},
      {"memory: {total_mb: 900}", [](C& c) { c.total_mb = 900; }},
      {"memory: {packets: 40000}", [](C& c) { c.packets = 40000; }},
      {"flows: {capacity: 17}", [](C& c) { c.flow_capacity = 17; }},
      {"flows: {tcp_idle_seconds: 11}", [](C& c) { c.tcp_idle_seconds = 11; }},
      {"flows: {tcp_opening_seconds: 12}", [](C& c) { c.tcp_opening_seconds = 12; }},
      {"flows: {tcp_closing_seconds: 13}", [](C& c) { c.tcp_closing_seconds = 13; }},
      {"flows: {udp_idle_seconds: 14}", [](C& c) { c.udp_idle_seconds = 14; }},
      {"flows: {other_idle_seconds: 15}", [](C& c) { c.other_idle_seconds = 15; }},
      {"inspection: {held_bytes_per_flow: 4096}", [](C& c) { c.held_bytes_per_flow = 4096; }},
      {"inspection: {held_packets_per_worker: 99}", [](C& c) { c.held_packets_per_worker = 99; }},
      {"inspection: {timeout_seconds: 3}", [](C& c) { c.inspection_timeout_seconds = 3; }},
      {"inspection: {flows_per_worker: 99}", [](C& c) { c.inspected_flows_per_worker = 99; }},
      {"inspection: {http2_connections_per_worker: 9}",
       [](C& c) { c.http2_connections_per_worker = 9; }},
      {"inspection: {quic_handshakes_per_worker: 8}",
       [](C& c) { c.quic_handshakes_per_worker = 8; }},
      {"fragments: {table_entries: 99}", [](C& c) { c.fragments.datagrams = 99; }},
      {"fragments: {timeout_ms: 98}", [](C& c) { c.fragments.timeout_ms = 98; }},
      {"fragments: {max_datagram_bytes: 9700}",
       [](C& c) { c.fragments.max_datagram_bytes = 9700; }},
      {"inbound_flows: pass", [](C& c) { c.pass_inbound_flows = true; }},
      {"inbound_flows: drop", [](C&) {}},
      {"telemetry: on", [](C&) {}},
      {"telemetry: off", [](C& c) { c.telemetry = false; }},
      {"paths: {control_socket: /s}", [](C& c) { c.control_socket = "/s"; }},
      {"paths: {control_user: u}", [](C& c) { c.control_user = "u"; }},
      {"paths: {stats: /t}", [](C& c) { c.stats = "/t"; }},
      {"paths: {flow_log: /l}", [](C& c) { c.flow_log = "/l"; }},
      {"paths: {policy_image: /i}", [](C& c) { c.policy_image = "/i"; }},
      {"paths: {identity_feed: /f}", [](C& c) { c.identity_feed = "/f"; }},
      {"paths: {budget_state: /b}", [](C& c) { c.budget_state = "/b"; }},
      {"budgets: {entries: 99}", [](C& c) { c.budget_entries = 99; }},
      {"inspection: {http2_opening: pass}", [](C& c) { c.pass_http2_opening = true; }},
      {"binding: {resolvers: [198.19.0.53, \"2001:db8::53\"]}",
       [](C& c) {
         c.resolvers = {parse_ip_address("198.19.0.53").value(),
                        parse_ip_address("2001:db8::53").value()};
       }},
      {"binding: {grace_seconds: 0}", [](C& c) { c.binding_grace_seconds = 0; }},
      {"binding: {entries: 4096}", [](C& c) { c.binding_entries = 4096; }},
      {"exceptions: {midstream: pass-flow}",
       [](C& c) { c.exceptions.set(Exception::midstream, ExceptionAction::pass_flow); }},
      {"exceptions: {malformed: drop-flow, overlap_conflict: drop-packet}",
       [](C& c) {
         c.exceptions.set(Exception::malformed, ExceptionAction::drop_flow);
         c.exceptions.set(Exception::overlap_conflict, ExceptionAction::drop_packet);
       }},
      {"flow_log: {file: off, socket: /s}",
       [](C& c) {
         c.log.to_file = false;
         c.log.socket = "/s";
       }},
      {"flow_log: {rotate_mb: 0}", [](C& c) { c.log.rotate_mb = 0; }},
      {"flow_log: {rotate_minutes: 5}", [](C& c) { c.log.rotate_minutes = 5; }},
      {"flow_log: {keep: 1}", [](C& c) { c.log.keep = 1; }},
      {"flow_log: {compress: none}", [](C& c) { c.log.compress = false; }},
      {"exceptions: {midstream_grace_seconds: 9}", [](C& c) { c.midstream_grace_seconds = 9; }},
  }));
  CAPTURE(row.text);
  GatewayConfig expected = defaults();
  row.change(expected);
  CHECK(parsed(kPorts + row.text) == expected);
}

TEST_CASE("the ports' own keys", "[config]") {
  GatewayConfig expected = defaults();
  expected.inside_device = "net_pcap0,rx_pcap=/a b,tx_pcap=/c";
  expected.mtu_bytes = 9000;
  expected.rx_descriptors = 64;
  expected.tx_descriptors = 128;
  CHECK(parsed("ports:\n  inside: 'net_pcap0,rx_pcap=/a b,tx_pcap=/c'\n  outside: net_null1\n"
               "  mtu_bytes: 9000\n  rx_descriptors: 64\n  tx_descriptors: 128\n") == expected);
}

TEST_CASE("each number has a range, and says it where it is left", "[config]") {
  struct Row {
    std::string section, key;
    uint64_t least, most;
  };
  const auto row = GENERATE(values<Row>({
      {"ports", "mtu_bytes", 576, 9600},
      {"ports", "rx_descriptors", 64, 32768},
      {"ports", "tx_descriptors", 64, 32768},
      {"cores", "main", 0, 1023},
      {"memory", "total_mb", 64, 1u << 20},
      {"memory", "packets", 1024, 1u << 24},
      {"flows", "capacity", 16, 1u << 22},
      {"flows", "tcp_idle_seconds", 1, 1'000'000},
      {"flows", "tcp_opening_seconds", 1, 1'000'000},
      {"flows", "tcp_closing_seconds", 1, 1'000'000},
      {"flows", "udp_idle_seconds", 1, 1'000'000},
      {"flows", "other_idle_seconds", 1, 1'000'000},
      {"inspection", "held_bytes_per_flow", 2048, 65536},
      {"inspection", "held_packets_per_worker", 16, 1u << 22},
      {"inspection", "timeout_seconds", 1, 3600},
      {"inspection", "flows_per_worker", 16, 1u << 24},
      {"inspection", "http2_connections_per_worker", 1, 1u << 16},
      {"inspection", "quic_handshakes_per_worker", 1, 1u << 20},
      {"fragments", "table_entries", 16, 16384},
      {"fragments", "timeout_ms", 10, 60'000},
      {"fragments", "max_datagram_bytes", 1500, 64'000},
      {"exceptions", "midstream_grace_seconds", 0, 86'400},
      {"flow_log", "rotate_mb", 0, 1u << 20},
      {"flow_log", "rotate_minutes", 0, 525'600},
      {"flow_log", "keep", 1, 10'000},
  }));
  CAPTURE(row.key);
  const auto with = [&](const std::string& value) {
    const std::string line = "  " + row.key + ": " + value + "\n";
    // Room for the largest of what is checked together.
    std::string text = row.section == "ports" ? "" : kPorts;
    if (row.section != "memory" && row.section != "ports") text += "memory: {packets: 16777216}\n";
    text += row.section + ":\n";
    if (row.section == "ports") text += "  inside: net_null0\n  outside: net_null1\n";
    if (row.key == "packets") {
      return complaints(text + line + "inspection: {held_packets_per_worker: 16}\n" +
                        "fragments: {table_entries: 16}\n");
    }
    if (row.key == "main") return complaints(text + "  workers: [7]\n" + line);
    return complaints(text + line);
  };
  CHECK(with(std::to_string(row.least)).empty());
  CHECK(with(std::to_string(row.most)).empty());
  std::vector<std::string> bad{std::to_string(row.most + 1),
                               "-1",
                               "1.5",
                               "0x10",
                               "many",
                               "''",
                               "'" + std::to_string(row.most) + "'",
                               "[1]",
                               "{a: 1}",
                               "null",
                               "99999999999999999999999"};
  if (row.least > 0) bad.push_back(std::to_string(row.least - 1));
  for (const std::string& value : bad) {
    CAPTURE(value);
    const std::string said = with(value);
    CHECK(std::count(said.begin(), said.end(), '\n') == 1);
    CHECK(said.find(":" + std::to_string(row.key.size() + 5) + ": error[E103]: " + row.section +
                    "." + row.key + " must be a whole number from " + std::to_string(row.least) +
                    " to " + std::to_string(row.most)) != std::string::npos);
  }
}

TEST_CASE("exceptions.all is for whatever is not named and has that choice", "[config]") {
  const auto action = GENERATE(ExceptionAction::reject, ExceptionAction::drop_flow,
                               ExceptionAction::drop_packet, ExceptionAction::pass_flow);
  const GatewayConfig config = parsed(kPorts + "exceptions:\n  malformed: drop-flow\n  all: " +
                                      std::string(to_string(action)) + "\n");
  for (const ExceptionInfo& info : kExceptionInfo) {
    CAPTURE(info.name, to_string(action));
    ExceptionActions expected;
    expected.set(info.id, info.id == Exception::malformed ? ExceptionAction::drop_flow : action);
    CHECK(config.exceptions[info.id] == expected[info.id]);
  }
}

TEST_CASE("each mistake is named where it stands", "[config]") {
  struct Row {
    std::string text, said;
  };
  const auto row = GENERATE(values<Row>({
      {"", "g.yaml: error[E100]: must hold exactly one YAML document\n"},
      {"a: 1\n---\nb: 2\n", "g.yaml: error[E100]: must hold exactly one YAML document\n"},
      {"[]", "g.yaml:1:1: error[E010]: gateway configuration must be a map\n"},
      {"cores: {}", "g.yaml:1:1: error[E009]: gateway configuration needs the key 'ports'\n"},
      {"ports: 5", "g.yaml:1:8: error[E010]: ports must be a map\n"},
      {kPorts + "exceptions: {overlap_conflict: pass-flow}",
       "g.yaml:2:32: error[E102]: exceptions.overlap_conflict must be one of reject | drop-flow | "
       "drop-packet\n"},
      {kPorts + "exceptions: {all: open}",
       "g.yaml:2:19: error[E102]: exceptions.all must be one of reject | drop-flow | drop-packet | "
       "pass-flow\n"},
      {kPorts + "exceptions: {malformed: [reject]}",
       "g.yaml:2:25: error[E102]: exceptions.malformed must be one of reject | drop-flow | "
       "pass-flow\n"},
      {"ports: {inside: net_null0}", "g.yaml:1:8: error[E009]: ports needs the key 'outside'\n"},
      {"ports:\n  inside: ''\n  outside: [x]\n",
       "g.yaml:2:11: error[E101]: ports.inside must be a text\n"
       "g.yaml:3:12: error[E101]: ports.outside must be a text\n"},
      {kPorts + "paths: {stats: ~}", "g.yaml:2:16: error[E101]: paths.stats must be a text\n"},
      {kPorts + "memory:\n  hugepages: yes\n",
       "g.yaml:3:14: error[E102]: memory.hugepages must be one of auto | require | never\n"},
      {kPorts + "memory: {hugepages: [auto]}",
       "g.yaml:2:21: error[E102]: memory.hugepages must be one of auto | require | never\n"},
      {kPorts + "inbound_flows: maybe",
       "g.yaml:2:16: error[E102]: inbound_flows must be one of drop | pass\n"},
      {kPorts + "inbound_flows: [pass]",
       "g.yaml:2:16: error[E102]: inbound_flows must be one of drop | pass\n"},
      {kPorts + "flow_log: {file: off}",
       "g.yaml:2:11: error[E111]: flow_log has nowhere to write to (file: off needs a socket; to "
       "log nothing, say so in the rules)\n"},
      {kPorts + "telemetry: maybe",
       "g.yaml:2:12: error[E102]: telemetry must be one of on | off\n"},
      {kPorts + "telemetry: [on]", "g.yaml:2:12: error[E102]: telemetry must be one of on | off\n"},
      {kPorts + "flow_log: {compress: gzip}",
       "g.yaml:2:22: error[E102]: flow_log.compress must be one of zstd | none\n"},
      {kPorts + "cores: {workers: []}",
       "g.yaml:2:18: error[E104]: cores.workers must be a list of 1 to 64 core numbers\n"},
      {kPorts + "cores: {workers: 1}",
       "g.yaml:2:18: error[E104]: cores.workers must be a list of 1 to 64 core numbers\n"},
      {kPorts + "cores: {workers: [1, 1024]}",
       "g.yaml:2:22: error[E103]: cores.workers must be a whole number from 0 to 1023\n"},
      {kPorts + "cores: {workers: [x, y]}",
       "g.yaml:2:19: error[E103]: cores.workers must be a whole number from 0 to 1023\n"
       "g.yaml:2:22: error[E103]: cores.workers must be a whole number from 0 to 1023\n"},
      {kPorts + "cores: {workers: [1, 2, 1]}",
       "g.yaml:2:25: error[E105]: core 1 is used twice (each worker and the main thread need a "
       "core of their own)\n"},
      {kPorts + "cores: {main: 2, workers: [1, 2]}",
       "g.yaml:2:31: error[E105]: core 2 is used twice (each worker and the main thread need a "
       "core of their own)\n"},
      {kPorts + "cores: {workers: [1, 2, 3]}",
       "g.yaml:1:1: error[E106]: inspection.held_packets_per_worker over all workers is more than "
       "half of memory.packets (held packets would starve the receive queues: raise "
       "memory.packets)\n"},
      {kPorts + "fragments: {table_entries: 4097}",
       "g.yaml:1:1: error[E109]: fragments.table_entries over all workers is more than an eighth "
       "of "
       "memory.packets (fragments that wait would starve the receive queues: raise "
       "memory.packets)\n"},
      {"ports: {inside: net_null0, outside: net_null0}",
       "g.yaml:1:1: error[E107]: ports.inside and ports.outside are the same device\n"},
      {"ports: {inside: 'net_null0,no-rx=1', outside: net_null0}",
       "g.yaml:1:1: error[E107]: ports.inside and ports.outside are the same device\n"},
      {kPorts + "inbound_flow: drop",
       "g.yaml:2:1: error[E008]: unknown key 'inbound_flow' in gateway configuration (did you "
       "mean 'inbound_flows'?)\n"},
      {kPorts + "flows:\n  capacty: 5\n",
       "g.yaml:3:3: error[E008]: unknown key 'capacty' in flows (did you mean 'capacity'?)\n"},
  }));
  CHECK(complaints(row.text) == row.said);
}

TEST_CASE("every section refuses keys it does not know", "[config]") {
  for (const std::string section :
       {"cores", "memory", "flows", "inspection", "fragments", "flow_log", "paths"}) {
    CHECK(complaints(kPorts + section + ":\n  zzzzzzzz: 1\n")
              .starts_with("g.yaml:3:3: error[E008]: unknown key 'zzzzzzzz' in " + section +
                           " (one of "));
  }
  CHECK(complaints("ports:\n  inside: a\n  outside: b\n  zzzzzzzz: 1\n") ==
        "g.yaml:4:3: error[E008]: unknown key 'zzzzzzzz' in ports (one of inside, outside, "
        "orientation, mtu_bytes, rx_descriptors, tx_descriptors)\n");
}

TEST_CASE("all mistakes are reported at once", "[config]") {
  const std::string said = complaints(
      "ports: {inside: net_null0, mtu_bytes: 1}\nmemory: {hugepages: x, total_mb: 1}\n"
      "flows: {capacity: 1}\nextra: 1\n");
  CHECK(std::count(said.begin(), said.end(), '\n') == 6);
}

TEST_CASE("a file that cannot be read is named, with the cause", "[config]") {
  const auto said = [](const std::string& path) {
    const auto config = load_gateway_config(path);
    REQUIRE_FALSE(config);
    REQUIRE(config.error().size() == 1);
    return to_string(config.error().front());
  };
  CHECK(said("no/such/file.yaml") ==
        "no/such/file.yaml: error[E100]: cannot be read: No such file or directory");
  CHECK(said(".") == ".: error[E100]: cannot be read: Is a directory");
}
