#include "policy/compile/flow_text.h"

#include <algorithm>

#include "policy/compile/reading.h"
#include "policy/runtime/identity.h"

namespace sallyport {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// Takes one word off `text`, which starts with it.
std::expected<FlowWord, FlowFault> take_word(std::string_view& text, size_t index) {
  std::string word;
  size_t equals = std::string::npos;
  bool quote = false;
  size_t i = 0;
  for (; i < text.size() && (quote || !is_blank(text[i])); ++i) {
    if (text[i] == '"') {
      quote = !quote;
      continue;
    }
    if (quote && text[i] == '\\' && i + 1 < text.size()) ++i;
    if (text[i] == '=' && !quote && equals == std::string::npos) equals = word.size();
    word += text[i];
  }
  text.remove_prefix(i);
  if (quote) {
    return std::unexpected(FlowFault{index, "'" + word + "' has no closing quote", ""});
  }
  if (equals == std::string::npos || equals == 0) {
    return std::unexpected(
        FlowFault{index, "'" + word + "' is not KEY=VALUE",
                  "write a flow like src=10.1.2.3 dst=203.0.113.9:443 tls.sni=pypi.org"});
  }
  return FlowWord{word.substr(0, equals), word.substr(equals + 1)};
}

/// The words of a map, and where each stands.
class FlattenedMap {
 public:
  explicit FlattenedMap(Report& report) : report_(report) {}

  void add(const YamlNode& map, const std::string& prefix) {
    for (const YamlNode::Entry& entry : map.entries) {
      key_ = &entry;
      add_value(prefix + entry.key, entry.value);
    }
  }

  std::vector<FlowWord> words;
  std::vector<const YamlNode::Entry*> entries;
  bool ok = true;

 private:
  void add_value(const std::string& key, const YamlNode& value) {
    switch (value.kind) {
      case YamlNode::Kind::scalar:
        return add_word(key, value.scalar);
      case YamlNode::Kind::null:
        return add_word(key, "-");
      case YamlNode::Kind::map:
        return add_map(key, value);
      case YamlNode::Kind::sequence:
        return add_list(key, value);
    }
  }

  void add_word(const std::string& key, const std::string& value) {
    words.push_back({key, value});
    entries.push_back(key_);
  }

  void add_map(const std::string& key, const YamlNode& map) {
    // `tls: {}` says no more than that it is TLS.
    if (map.entries.empty()) return add_word("app", key);
    add(map, key + ".");
  }

  void add_list(const std::string& key, const YamlNode& list) {
    std::string joined;
    for (const YamlNode& item : list.items) {
      if (item.kind != YamlNode::Kind::scalar) {
        report_.error(item, "E010", "an item of " + key + " must be a single value");
        ok = false;
      } else if (key.starts_with("http.header.")) {
        add_word(key, item.scalar);
      } else {
        joined += (joined.empty() ? "" : ",") + item.scalar;
      }
    }
    if (!key.starts_with("http.header.")) add_word(key, joined.empty() ? "-" : joined);
  }

  Report& report_;
  const YamlNode::Entry* key_ = nullptr;
};

std::string quoted_where_needed(const std::string& value) {
  const bool plain = std::ranges::none_of(
      value, [](char c) { return is_blank(c) || c == '"' || c == '\\' || c == '\''; });
  if (plain) return value;
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

/// Writes KEY=VALUE words with a blank in between.
class FlowWriter {
 public:
  void word(const std::string& key, const std::string& value) {
    out_ += (out_.empty() ? "" : " ") + key + "=" + quoted_where_needed(value);
  }
  void fact(const std::string& key, const TextFact& fact) {
    if (fact.known != Known::unknown) word(key, fact.known == Known::absent ? "-" : fact.value);
  }
  void flag(const std::string& key, Known known, const char* yes, const char* no) {
    if (known != Known::unknown) word(key, known == Known::present ? yes : no);
  }
  size_t size() const { return out_.size(); }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string end_text(const FlowValues& flow) {
  std::string address = to_string(flow.destination);
  if (flow.ip_protocol != kIpProtocolTcp && flow.ip_protocol != kIpProtocolUdp) return address;
  const std::string host = flow.destination.is_v4() ? address : "[" + address + "]";
  return host + ":" + std::to_string(flow.destination_port);
}

/// @return whether a key was written, which then says what the application is.
bool write_application(const FlowValues& flow, FlowWriter& out) {
  const size_t before = out.size();
  const std::string app(to_string(flow.app));
  switch (flow.app) {
    case AppProtocol::tls:
    case AppProtocol::quic:
      out.fact(app + ".sni", flow.name);
      if (flow.alpns_known == Known::present) {
        std::string list;
        for (const std::string& one : flow.alpns) list += (list.empty() ? "" : ",") + one;
        out.word(app + ".alpn", list);
      } else {
        out.fact(app + ".alpn", {flow.alpns_known, ""});
      }
      out.fact(app + ".ja4", flow.ja4);
      out.flag(app + ".ech", flow.ech_known, "true", "false");
      break;
    case AppProtocol::http:
      out.fact("http.host", flow.name);
      out.fact("http.method", flow.method);
      out.fact("http.path", flow.path);
      for (const auto& [name, value] : flow.headers) out.word("http.header." + name, value);
      // One that is not there makes known that the others are not there either.
      if (flow.headers_known == Known::present && flow.headers.empty()) {
        out.word("http.header.any", "-");
      }
      break;
    case AppProtocol::dns:
      out.fact("dns.qname", flow.name);
      break;
    case AppProtocol::count_:
      break;
  }
  return out.size() != before;
}

}  // namespace

struct FlowDescription::Shared {
  explicit Shared(FlowValues given) : values(std::move(given)) {
    alpns.assign(values.alpns.begin(), values.alpns.end());
    for (const auto& [name, value] : values.headers) headers.push_back({name, value});
  }
  Shared(const Shared&) = delete;  // The views are into this very object.
  Shared& operator=(const Shared&) = delete;

  FlowValues values;
  std::vector<std::string_view> alpns;
  std::vector<HttpHeader> headers;
};

FlowDescription::FlowDescription(FlowValues values)
    : shared_(std::make_shared<const Shared>(std::move(values))) {}

const FlowValues& FlowDescription::values() const noexcept {
  return shared_->values;
}

FlowFacts FlowDescription::facts() const noexcept {
  const FlowValues& from = shared_->values;
  return {.source = from.source,
          .destination = from.destination,
          .ip_protocol = from.ip_protocol,
          .destination_port = from.destination_port,
          .unix_seconds = from.unix_seconds,
          .app_known = from.app_known,
          .app = from.app,
          .name_known = from.name.known,
          .name = from.name.value,
          .alpns_known = from.alpns_known,
          .alpns = shared_->alpns,
          .ja4_known = from.ja4.known,
          .ja4 = from.ja4.value,
          .ech_known = from.ech_known,
          .method_known = from.method.known,
          .method = from.method.value,
          .path_known = from.path.known,
          .path = from.path.value,
          .headers_known = from.headers_known,
          .headers = shared_->headers,
          .binding_known = from.binding_known,
          .budget_spent = from.budget_spent};
}

std::expected<FlowDescription, FlowFaults> parse_flow(std::string_view text, int64_t now) {
  std::vector<FlowWord> words;
  FlowFaults faults;
  for (size_t index = 0;; ++index) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    if (text.empty()) break;
    auto word = take_word(text, index);
    if (word) {
      words.push_back(std::move(*word));
    } else {
      faults.push_back(std::move(word.error()));
    }
  }
  if (!faults.empty()) return std::unexpected(std::move(faults));
  return parse_flow(words, now);
}

std::optional<FlowDescription> read_flow(const YamlNode& node, int64_t now, Report& report) {
  FlattenedMap map(report);
  if (node.kind == YamlNode::Kind::map) {
    map.add(node, "");
  } else if (node.kind != YamlNode::Kind::scalar) {
    report.error(node, "E010", "a flow must be a text or a map");
    return {};
  }
  auto flow = node.kind == YamlNode::Kind::map ? parse_flow(map.words, now)
                                               : parse_flow(std::string_view(node.scalar), now);
  if (flow && map.ok) return std::move(*flow);
  if (flow) return {};
  for (const FlowFault& fault : flow.error()) {
    const bool placed = fault.word < map.entries.size();
    report.error(placed ? map.entries[fault.word]->line : node.line,
                 placed ? map.entries[fault.word]->column : node.column, "E036", fault.message,
                 fault.hint);
  }
  return {};
}

std::string ip_protocol_text(uint8_t ip_protocol) {
  switch (ip_protocol) {
    case kIpProtocolTcp:
      return "tcp";
    case kIpProtocolUdp:
      return "udp";
    case kIpProtocolIcmp:
    case kIpProtocolIcmpV6:
      return "icmp";
    default:
      return "IP protocol " + std::to_string(ip_protocol);
  }
}

std::string to_text(const FlowDescription& flow, int64_t now) {
  const FlowValues& values = flow.values();
  FlowWriter out;
  out.word("src", to_string(values.source));
  out.word("dst", end_text(values));
  const bool dns = values.app_known == Known::present && values.app == AppProtocol::dns;
  if (values.ip_protocol != kIpProtocolTcp || dns) {
    const bool number = ip_protocol_text(values.ip_protocol).contains(' ');
    out.word("proto",
             number ? std::to_string(values.ip_protocol) : ip_protocol_text(values.ip_protocol));
  }
  if (values.app_known == Known::absent) out.word("app", "-");
  if (values.app_known == Known::present && !write_application(values, out)) {
    out.word("app", std::string(to_string(values.app)));
  }
  if (values.labels && values.labels->empty()) out.word("label.any", "-");
  for (const auto& [key, value] : values.labels.value_or(Labels{})) {
    out.word(key == kSpiffeIdLabel ? key : "label." + key, value);
  }
  if (values.unix_seconds != now) out.word("time", time_text(values.unix_seconds));
  out.flag("binding", values.binding_known, "bound", "unbound");
  if (values.budget_spent) out.word("budget", "spent");
  return out.take();
}

}  // namespace sallyport
