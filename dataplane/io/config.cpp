#include "dataplane/io/config.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "dataplane/inspect/budget_ledger.h"

namespace sallyport {
namespace {

/// Reads typed values out of one section of the file.
class Section {
 public:
  Section(const YamlNode& node, std::string name, Report& report)
      : name_(name), report_(report), map_(node, std::move(name), report) {}

  const YamlNode* find(std::string_view key) { return map_.find(key); }

  template <typename T>
  void number(std::string_view key, T& out, uint64_t least, uint64_t most) {
    const YamlNode* node = map_.find(key);
    if (node != nullptr) read_number(*node, key, out, least, most);
  }

  void text(std::string_view key, std::string& out, bool required = false) {
    const YamlNode* node = required ? map_.require(key) : map_.find(key);
    if (node == nullptr) return;
    if (node->kind != YamlNode::Kind::scalar || node->scalar.empty()) {
      report_.error(*node, "E101", name_ + "." + std::string(key) + " must be a text");
    } else {
      out = node->scalar;
    }
  }

  template <typename T>
  void one_of(std::string_view key, T& out,
              std::initializer_list<std::pair<std::string_view, T>> words) {
    const YamlNode* node = map_.find(key);
    if (node == nullptr) return;
    std::string known;
    for (const auto& [word, value] : words) {
      if (node->kind == YamlNode::Kind::scalar && node->scalar == word) {
        out = value;
        return;
      }
      known += (known.empty() ? "" : " | ") + std::string(word);
    }
    report_.error(*node, "E102", name_ + "." + std::string(key) + " must be one of " + known);
  }

  /// @return whether `out` was read; if not, it was reported.
  template <typename T>
  bool read_number(const YamlNode& node, std::string_view key, T& out, uint64_t least,
                   uint64_t most) {
    uint64_t value = 0;
    const char* end = node.scalar.data() + node.scalar.size();
    const auto parsed = std::from_chars(node.scalar.data(), end, value);
    if (node.kind != YamlNode::Kind::scalar || node.quoted || parsed.ec != std::errc{} ||
        parsed.ptr != end || value < least || value > most) {
      report_.error(node, "E103",
                    name_ + "." + std::string(key) + " must be a whole number from " +
                        std::to_string(least) + " to " + std::to_string(most));
      return false;
    }
    out = static_cast<T>(value);
    return true;
  }

  void finish() { map_.finish(); }

 private:
  std::string name_;
  Report& report_;
  MapReader map_;
};

void read_ports(Section section, GatewayConfig& config) {
  section.text("inside", config.inside_device, true);
  section.text("outside", config.outside_device, true);
  section.one_of<bool>("orientation", config.by_initiator,
                       {{"by_port", false}, {"by_initiator", true}});
  section.number("mtu_bytes", config.mtu_bytes, 576, 9600);
  section.number("rx_descriptors", config.rx_descriptors, 64, 32768);
  section.number("tx_descriptors", config.tx_descriptors, 64, 32768);
  section.finish();
}

void read_cores(Section section, GatewayConfig& config, Report& report) {
  section.number("main", config.main_core, 0, 1023);
  if (const YamlNode* workers = section.find("workers"); workers != nullptr) {
    if (workers->kind != YamlNode::Kind::sequence || workers->items.empty() ||
        workers->items.size() > 64) {
      report.error(*workers, "E104", "cores.workers must be a list of 1 to 64 core numbers");
    } else {
      config.worker_cores.clear();
      for (const YamlNode& item : workers->items) {
        unsigned core = 0;
        if (!section.read_number(item, "workers", core, 0, 1023)) continue;
        if (std::ranges::count(config.worker_cores, core) > 0 || core == config.main_core) {
          report.error(item, "E105", "core " + std::to_string(core) + " is used twice",
                       "each worker and the main thread need a core of their own");
        }
        config.worker_cores.push_back(core);
      }
    }
  }
  section.finish();
}

void read_memory(Section section, GatewayConfig& config) {
  section.one_of<Hugepages>("hugepages", config.hugepages,
                            {{"auto", Hugepages::automatic},
                             {"require", Hugepages::require},
                             {"never", Hugepages::never}});
  section.number("total_mb", config.total_mb, 64, 1u << 20);
  section.number("packets", config.packets, 1024, 1u << 24);
  section.finish();
}

void read_flows(Section section, GatewayConfig& config) {
  section.number("capacity", config.flow_capacity, 16, 1u << 22);
  section.number("tcp_idle_seconds", config.tcp_idle_seconds, 1, 1'000'000);
  section.number("tcp_opening_seconds", config.tcp_opening_seconds, 1, 1'000'000);
  section.number("tcp_closing_seconds", config.tcp_closing_seconds, 1, 1'000'000);
  section.number("udp_idle_seconds", config.udp_idle_seconds, 1, 1'000'000);
  section.number("other_idle_seconds", config.other_idle_seconds, 1, 1'000'000);
  section.finish();
}

void read_inspection(Section section, GatewayConfig& config) {
  section.number("held_bytes_per_flow", config.held_bytes_per_flow, 2048, 65536);
  section.number("held_packets_per_worker", config.held_packets_per_worker, 16, 1u << 22);
  section.number("timeout_seconds", config.inspection_timeout_seconds, 1, 3600);
  section.number("flows_per_worker", config.inspected_flows_per_worker, 16, 1u << 24);
  section.number("http2_connections_per_worker", config.http2_connections_per_worker, 1, 1u << 16);
  section.one_of<bool>("http2_opening", config.pass_http2_opening,
                       {{"hold", false}, {"pass", true}});
  section.number("quic_handshakes_per_worker", config.quic_handshakes_per_worker, 1, 1u << 20);
  section.finish();
}

void read_fragments(Section section, GatewayConfig& config) {
  section.number("table_entries", config.fragments.datagrams, 16, 16384);
  section.number("timeout_ms", config.fragments.timeout_ms, 10, 60'000);
  section.number("max_datagram_bytes", config.fragments.max_datagram_bytes, 1500, 64'000);
  section.finish();
}

void read_binding(Section section, GatewayConfig& config, Report& report) {
  constexpr size_t kMostResolvers = 64;
  if (const YamlNode* resolvers = section.find("resolvers"); resolvers != nullptr) {
    if (resolvers->kind != YamlNode::Kind::sequence || resolvers->items.size() > kMostResolvers) {
      report.error(*resolvers, "E110", "binding.resolvers must be a list of at most 64 addresses");
    } else {
      for (const YamlNode& item : resolvers->items) {
        const auto address = parse_ip_address(item.scalar);
        if (item.kind == YamlNode::Kind::scalar && address) {
          config.resolvers.push_back(*address);
        } else {
          report.error(item, "E110", "binding.resolvers must hold IP addresses",
                       "write each as 198.51.100.53 or \"2001:db8::53\"");
        }
      }
    }
  }
  section.number("grace_seconds", config.binding_grace_seconds, 0, 86'400);
  section.number("entries", config.binding_entries, 64, 1u << 22);
  section.finish();
}

void read_budgets(Section section, GatewayConfig& config) {
  section.number("entries", config.budget_entries, 16, BudgetLedger::kMostEntries);
  section.finish();
}

std::string words_of(uint8_t choices) {
  std::string words;
  for (size_t i = 0; i < static_cast<size_t>(ExceptionAction::count_); ++i) {
    if ((choices >> i & 1) == 0) continue;
    words += (words.empty() ? "" : " | ") + std::string(to_string(static_cast<ExceptionAction>(i)));
  }
  return words;
}

// @return nothing where `node` is none of `choices`; that was reported.
std::optional<ExceptionAction> read_action(const YamlNode& node, std::string_view name,
                                           uint8_t choices, Report& report) {
  for (size_t i = 0; i < static_cast<size_t>(ExceptionAction::count_); ++i) {
    const auto action = static_cast<ExceptionAction>(i);
    const bool named = node.kind == YamlNode::Kind::scalar && node.scalar == to_string(action);
    if (named && (choices >> i & 1) != 0) return action;
  }
  report.error(node, "E102",
               "exceptions." + std::string(name) + " must be one of " + words_of(choices));
  return std::nullopt;
}

// `all` is for every condition that is not named itself and has that choice.
void read_exceptions(Section section, GatewayConfig& config, Report& report) {
  constexpr uint8_t kEvery = (1U << static_cast<unsigned>(ExceptionAction::count_)) - 1;
  std::optional<ExceptionAction> all;
  if (const auto* node = section.find("all")) all = read_action(*node, "all", kEvery, report);
  for (const ExceptionInfo& info : kExceptionInfo) {
    if (all) config.exceptions.set(info.id, *all);
    const auto* node = section.find(info.name);
    if (node == nullptr) continue;
    if (const auto action = read_action(*node, info.name, info.choices, report)) {
      config.exceptions.set(info.id, *action);
    }
  }
  section.number("midstream_grace_seconds", config.midstream_grace_seconds, 0, 86'400);
  section.finish();
}

void read_log(Section section, const YamlNode& node, GatewayConfig& config, Report& report) {
  LogOptions& log = config.log;
  section.one_of<bool>("file", log.to_file, {{"on", true}, {"off", false}});
  section.text("socket", log.socket);
  section.number("rotate_mb", log.rotate_mb, 0, 1u << 20);
  section.number("rotate_minutes", log.rotate_minutes, 0, 525'600);
  section.number("keep", log.keep, 1, 10'000);
  section.one_of<bool>("compress", log.compress, {{"zstd", true}, {"none", false}});
  section.finish();
  if (!log.to_file && log.socket.empty()) {
    report.error(node, "E111", "flow_log has nowhere to write to",
                 "file: off needs a socket; to log nothing, say so in the rules");
  }
}

void read_paths(Section section, GatewayConfig& config) {
  section.text("control_socket", config.control_socket);
  section.text("control_user", config.control_user);
  section.text("stats", config.stats);
  section.text("flow_log", config.flow_log);
  section.text("policy_image", config.policy_image);
  section.text("identity_feed", config.identity_feed);
  section.text("budget_state", config.budget_state);
  section.finish();
}

void check_together(const GatewayConfig& config, const YamlNode& root, Report& report) {
  if (config.held_packets_per_worker * config.worker_cores.size() > config.packets / 2) {
    report.error(root, "E106",
                 "inspection.held_packets_per_worker over all workers is more than half of "
                 "memory.packets",
                 "held packets would starve the receive queues: raise memory.packets");
  }
  // Each may hold two fragments on average: see FragmentTable.
  if (size_t{2} * config.fragments.datagrams * config.worker_cores.size() > config.packets / 4) {
    report.error(
        root, "E109",
        "fragments.table_entries over all workers is more than an eighth of memory.packets",
        "fragments that wait would starve the receive queues: raise memory.packets");
  }
  if (config.by_initiator && !config.outside_device.starts_with("net_null")) {
    report.error(root, "E108",
                 "ports.orientation by_initiator would let either side open flows to the other",
                 "it is for one port that carries both ways, with net_null as ports.outside");
  }
  if (!config.inside_device.empty() &&
      device_name(config.inside_device) == device_name(config.outside_device)) {
    report.error(root, "E107", "ports.inside and ports.outside are the same device");
  }
}

}  // namespace

std::expected<GatewayConfig, std::vector<Diagnostic>> parse_gateway_config(
    const SourceFile& source) {
  auto documents = parse_yaml(source);
  if (!documents) return std::unexpected(documents.error());
  Report report(source.name);
  if (documents->size() != 1) {
    report.error(0, 0, "E100", "must hold exactly one YAML document");
    return std::unexpected(report.take());
  }

  GatewayConfig config;
  const YamlNode& root = documents->front();
  MapReader map(root, "gateway configuration", report);
  if (const auto* node = map.require("ports")) read_ports({*node, "ports", report}, config);
  if (const auto* node = map.find("cores")) read_cores({*node, "cores", report}, config, report);
  if (const auto* node = map.find("memory")) read_memory({*node, "memory", report}, config);
  if (const auto* node = map.find("flows")) read_flows({*node, "flows", report}, config);
  if (const auto* node = map.find("inspection")) {
    read_inspection({*node, "inspection", report}, config);
  }
  if (const auto* node = map.find("fragments")) {
    read_fragments({*node, "fragments", report}, config);
  }
  if (const auto* node = map.find("binding"))
    read_binding({*node, "binding", report}, config, report);
  if (const auto* node = map.find("budgets")) read_budgets({*node, "budgets", report}, config);
  if (const auto* node = map.find("exceptions")) {
    read_exceptions({*node, "exceptions", report}, config, report);
  }
  if (const auto* node = map.find("inbound_flows")) {
    if (node->scalar != "drop" && node->scalar != "pass") {
      report.error(*node, "E102", "inbound_flows must be one of drop | pass");
    }
    config.pass_inbound_flows = node->scalar == "pass";
  }
  if (const auto* node = map.find("telemetry")) {
    if (node->scalar != "on" && node->scalar != "off") {
      report.error(*node, "E102", "telemetry must be one of on | off");
    }
    config.telemetry = node->scalar == "on";
  }
  if (const auto* node = map.find("flow_log")) {
    read_log({*node, "flow_log", report}, *node, config, report);
  }
  if (const auto* node = map.find("paths")) read_paths({*node, "paths", report}, config);
  map.finish();
  if (report.ok()) check_together(config, root, report);
  if (!report.ok()) return std::unexpected(report.take());
  return config;
}

std::string device_name(const std::string& device) {
  return device.substr(0, device.find(','));
}

std::expected<GatewayConfig, std::vector<Diagnostic>> load_gateway_config(const std::string& path) {
  const auto unreadable = [&path](int error) {
    return std::unexpected(std::vector<Diagnostic>{
        {.file = path,
         .code = "E100",
         .message = std::string("cannot be read: ") + std::strerror(error)}});
  };
  std::error_code ignored;
  // A folder opens like a file, and throws when it is read.
  if (std::filesystem::is_directory(path, ignored)) return unreadable(EISDIR);
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open()) return unreadable(errno);
  const SourceFile source{.name = path,
                          .text = std::string(std::istreambuf_iterator<char>(in), {})};
  if (in.bad()) return unreadable(EIO);
  return parse_gateway_config(source);
}

}  // namespace sallyport
