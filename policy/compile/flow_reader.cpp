#include <algorithm>
#include <array>
#include <map>

#include "policy/compile/flow_text.h"
#include "policy/compile/reading.h"
#include "policy/runtime/host_name.h"
#include "policy/runtime/identity.h"

namespace sallyport {
namespace {

constexpr std::string_view kHeaderPrefix = "http.header.";
constexpr std::string_view kLabelPrefix = "label.";
constexpr std::array<std::string_view, 22> kKeys{
    "src",       "dst",       "proto",     "app",         "tls.sni",          "tls.alpn",
    "tls.ja4",   "tls.ech",   "quic.sni",  "quic.alpn",   "quic.ja4",         "quic.ech",
    "http.host", "http.path", "dns.qname", "http.method", "http.header.NAME", "label.KEY",
    "spiffeId",  "time",      "binding",   "budget"};

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool is_absent(std::string_view value) {
  return value == "-";
}

/// "host:port" without its port, where there is one. A port says nothing of the name.
std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':');
  if (colon == std::string_view::npos) return host;
  const std::string_view rest = host.substr(0, colon);
  const bool one_colon = rest.find(':') == std::string_view::npos;
  return one_colon || rest.ends_with(']') ? rest : host;
}

std::optional<AppProtocol> app_named(std::string_view text) {
  for (unsigned i = 0; i < static_cast<unsigned>(AppProtocol::count_); ++i) {
    if (to_string(static_cast<AppProtocol>(i)) == text) return static_cast<AppProtocol>(i);
  }
  return {};
}

bool has_ports(uint8_t ip_protocol) {
  return ip_protocol == kIpProtocolTcp || ip_protocol == kIpProtocolUdp;
}

/// Reads the words of one flow. Goes on after an error, so that all are reported at once.
class FlowReader {
 public:
  FlowReader(std::span<const FlowWord> words, int64_t now) : words_(words) {
    flow_.unix_seconds = now;
  }

  std::expected<FlowDescription, FlowFaults> read() {
    for (at_ = 0; at_ < words_.size(); ++at_) read_word();
    settle_ends();
    settle_protocol();
    settle_application();
    if (!faults_.empty()) {
      std::ranges::stable_sort(faults_, {}, &FlowFault::word);
      return std::unexpected(std::move(faults_));
    }
    return FlowDescription(std::move(flow_));
  }

 private:
  void fault(std::string message, std::string hint = "") {
    faults_.push_back({at_, std::move(message), std::move(hint)});
  }
  void fault_of(std::string_view key, std::string message, std::string hint = "") {
    const auto found = seen_.find(key);
    const size_t word = found == seen_.end() ? FlowFault::kWholeFlow : found->second;
    faults_.push_back({word, std::move(message), std::move(hint)});
  }
  bool given(std::string_view key) const { return seen_.contains(key); }

  void read_word() {
    const auto& [key, value] = words_[at_];
    const bool first = seen_.try_emplace(key, at_).second;
    // A request may carry a header field twice.
    if (!first && !key.starts_with(kHeaderPrefix)) return fault(quoted(key) + " is given twice");
    if (value.empty() && !key.starts_with(kHeaderPrefix)) {
      return fault(quoted(key) + " has no value", "write " + key + "=- for none");
    }
    if (key.starts_with(kHeaderPrefix)) return read_header(key, value);
    if (key.starts_with(kLabelPrefix) || key == kSpiffeIdLabel) return read_label(key, value);
    const size_t dot = key.find('.');
    const auto app = app_named(key.substr(0, dot));
    if (dot != std::string::npos && app) {
      if (read_app_key(*app, std::string_view(key).substr(dot + 1), value)) imply(*app);
    } else if (!read_plain_key(key, value)) {
      unknown_key();
    }
  }

  void unknown_key() {
    const std::string& key = words_[at_].key;
    const std::string_view nearest = nearest_key(key, kKeys);
    fault("unknown key " + quoted(key),
          nearest.empty() ? "the keys begin with src, dst, proto, app, tls., quic., http., dns., "
                            "label., spiffeId, time, binding or budget"
                          : "did you mean " + quoted(nearest) + "?");
  }

  bool read_plain_key(std::string_view key, const std::string& value) {
    if (key == "src") {
      read_source(value);
    } else if (key == "dst") {
      read_destination(value);
    } else if (key == "proto") {
      read_protocol_key(value);
    } else if (key == "app") {
      read_app(value);
    } else if (key == "time") {
      read_time(value);
    } else if (key == "binding") {
      const bool bound = read_either(value, "bound", "unbound");
      flow_.binding_known = bound ? Known::present : Known::absent;
    } else if (key == "budget") {
      flow_.budget_spent = read_either(value, "spent", "left");
    } else {
      return false;
    }
    return true;
  }

  /// False when the application has no such key, which is then reported.
  bool read_app_key(AppProtocol app, std::string_view key, const std::string& value) {
    const bool hello = app == AppProtocol::tls || app == AppProtocol::quic;
    if ((hello && key == "sni") || (app == AppProtocol::http && key == "host") ||
        (app == AppProtocol::dns && key == "qname")) {
      read_name(app == AppProtocol::http ? without_port(value) : value);
    } else if (hello && key == "alpn") {
      read_alpns(value);
    } else if (hello && key == "ja4") {
      flow_.ja4 = text_of(value);
    } else if (hello && key == "ech") {
      flow_.ech_known = read_either(value, "true", "false") ? Known::present : Known::absent;
    } else if (app == AppProtocol::http && key == "method") {
      flow_.method = text_of(value);
    } else if (app == AppProtocol::http && key == "path") {
      read_path(value);
    } else {
      unknown_key();
      return false;
    }
    return true;
  }

  static TextFact text_of(const std::string& value) {
    if (is_absent(value)) return {Known::absent, ""};
    return {Known::present, value};
  }

  /// True for `yes`, false for `no` and for none at all.
  bool read_either(const std::string& value, std::string_view yes, std::string_view no) {
    if (value == yes) return true;
    if (value != no && !is_absent(value)) {
      fault(quoted(words_[at_].key) + " cannot be " + quoted(value),
            "write " + std::string(yes) + " or " + std::string(no));
    }
    return false;
  }

  void imply(AppProtocol app) {
    if (implied_ && *implied_ != app) {
      fault(quoted(words_[at_].key) + " does not go with " + quoted(implied_by_),
            "a flow has one application protocol");
    }
    if (implied_) return;
    implied_ = app;
    implied_by_ = words_[at_].key;
  }

  void read_source(const std::string& value) {
    const auto address = parse_ip_address(value);
    if (address) {
      flow_.source = *address;
      has_source_ = true;
    } else {
      fault(quoted(value) + " is not an IPv4 or IPv6 address",
            "write src=10.1.2.3 or src=2001:db8::1, without a port");
    }
  }

  void read_destination(const std::string& value) {
    std::string_view host = value;
    std::string_view port;
    const size_t colon = value.rfind(':');
    const bool bracketed = host.starts_with('[');
    if (bracketed) {
      const size_t bracket = host.find(']');
      if (bracket == std::string_view::npos) return bad_destination(value);
      port = host.substr(bracket + 1);
      host = host.substr(1, bracket - 1);
      if (!port.empty() && !port.starts_with(':')) return bad_destination(value);
      has_port_ = !port.empty();
    } else if (colon != std::string::npos && value.find(':') == colon) {
      port = host.substr(colon);
      host = host.substr(0, colon);
      has_port_ = true;
    }
    const auto address = parse_ip_address(host);
    if (!address || (bracketed && host.find(':') == std::string_view::npos)) {
      return bad_destination(value);
    }
    flow_.destination = *address;
    has_destination_ = true;
    if (has_port_) read_port(port.substr(1));
  }

  void bad_destination(const std::string& value) {
    fault(quoted(value) + " is not an address, or an address and a port",
          "write dst=203.0.113.9:443 or dst=[2001:db8::1]:443");
  }

  void read_port(std::string_view text) {
    const auto port = parse_whole_number(text, UINT16_MAX);
    if (!port || *port == 0) return fault(quoted(text) + " is not a port", "1 to 65535");
    flow_.destination_port = static_cast<uint16_t>(*port);
  }

  void read_protocol_key(const std::string& value) {
    const auto number = parse_whole_number(value, UINT8_MAX);
    if (value == "tcp") {
      protocol_ = kIpProtocolTcp;
    } else if (value == "udp") {
      protocol_ = kIpProtocolUdp;
    } else if (value == "icmp") {
      protocol_ = kIpProtocolIcmp;  // Or ICMPv6: settle_ends() knows the addresses.
    } else if (number) {
      protocol_ = static_cast<uint8_t>(*number);
    } else {
      const bool application = app_named(value).has_value();
      fault(quoted(value) + " is not an IP protocol",
            application ? "write app=" + value : "write tcp, udp, icmp or a number up to 255");
    }
  }

  void read_app(const std::string& value) {
    const auto app = app_named(value);
    if (app) {
      flow_.app_known = Known::present;
      flow_.app = *app;
      has_app_ = true;
    } else if (is_absent(value)) {
      flow_.app_known = Known::absent;
      has_app_ = true;
    } else {
      fault("no application protocol " + quoted(value),
            "write tls, quic, http or dns, or - for bytes that are none of them");
    }
  }

  void read_time(const std::string& value) {
    const auto time = parse_time(value);
    if (time) {
      flow_.unix_seconds = *time;
    } else {
      fault(quoted(value) + " is not a time", "write it like 2026-12-01T00:00:00Z");
    }
  }

  void read_name(std::string_view value) {
    flow_.name = {Known::absent, ""};
    if (is_absent(value)) return;
    HostName name;
    const HostNameFault wrong = name.assign(value);
    // A client that names an address has named nothing: see the inspectors.
    if (wrong == HostNameFault::address_literal) return;
    if (wrong != HostNameFault::none) {
      fault(quoted(value) + " is not a host name: " + std::string(to_string(wrong)));
      return;
    }
    flow_.name = {Known::present, std::string(name.view())};
  }

  void read_alpns(const std::string& value) {
    flow_.alpns_known = is_absent(value) ? Known::absent : Known::present;
    if (is_absent(value)) return;
    for (size_t start = 0; start <= value.size();) {
      const size_t comma = std::min(value.find(',', start), value.size());
      if (comma == start) return fault(quoted(value) + " has an empty protocol in it");
      flow_.alpns.push_back(value.substr(start, comma - start));
      start = comma + 1;
    }
  }

  void read_path(const std::string& value) {
    flow_.path = text_of(value.substr(0, value.find('?')));
    if (flow_.path.known == Known::present && !flow_.path.value.starts_with('/')) {
      fault(quoted(value) + " is not a path", "it starts with '/'");
    }
  }

  void read_header(const std::string& key, const std::string& value) {
    imply(AppProtocol::http);
    flow_.headers_known = Known::present;
    const std::string name = lower_case(key.substr(kHeaderPrefix.size()));
    if (name.empty()) return unknown_key();
    if (!is_absent(value)) flow_.headers.emplace_back(name, value);
  }

  void read_label(const std::string& key, const std::string& value) {
    const std::string label =
        key == kSpiffeIdLabel ? key : std::string(key.substr(kLabelPrefix.size()));
    if (label.empty()) return unknown_key();
    if (!flow_.labels) flow_.labels.emplace();
    if (!is_absent(value)) flow_.labels->insert_or_assign(label, value);
  }

  void settle_ends() {
    at_ = FlowFault::kWholeFlow;
    if (!given("src")) fault("the flow has no src", "write src=10.1.2.3");
    if (!given("dst")) fault("the flow has no dst", "write dst=203.0.113.9:443");
    if (!has_source_ || !has_destination_) return;
    if (flow_.source.is_v4() != flow_.destination.is_v4()) {
      fault_of("dst", "src and dst are not of one address family");
    }
    const bool icmp = given("proto") && protocol_ == kIpProtocolIcmp;
    if (icmp && !flow_.destination.is_v4()) protocol_ = kIpProtocolIcmpV6;
  }

  void settle_protocol() {
    const auto app = implied_                            ? implied_
                     : flow_.app_known == Known::present ? std::optional(flow_.app)
                                                         : std::nullopt;
    const bool udp = app == AppProtocol::quic || app == AppProtocol::dns;
    flow_.ip_protocol = protocol_.value_or(udp ? kIpProtocolUdp : kIpProtocolTcp);
    if (app) check_carrier(*app);
    if (!has_destination_) return;
    const std::string name = ip_protocol_text(flow_.ip_protocol);
    if (has_ports(flow_.ip_protocol) && !has_port_) {
      fault_of("dst", "dst has no port", "write dst=ADDRESS:PORT, or proto=icmp");
    } else if (!has_ports(flow_.ip_protocol) && has_port_) {
      fault_of("dst", name + " has no ports", "write dst=" + to_string(flow_.destination));
    }
  }

  void check_carrier(AppProtocol app) {
    const bool udp = app == AppProtocol::quic || app == AppProtocol::dns;
    const bool tcp = app != AppProtocol::quic;
    const bool fits = (udp && flow_.ip_protocol == kIpProtocolUdp) ||
                      (tcp && flow_.ip_protocol == kIpProtocolTcp);
    if (fits) return;
    const std::string carrier = udp && tcp ? "udp or tcp" : udp ? "udp" : "tcp";
    fault_of("proto",
             std::string(to_string(app)) + " is not over " + ip_protocol_text(flow_.ip_protocol),
             "leave proto out, or write proto=" + carrier.substr(0, 3));
  }

  /// What the application makes impossible is absent, and so is known.
  void settle_application() {
    if (has_app_ && implied_ && (flow_.app_known != Known::present || flow_.app != *implied_)) {
      fault_of("app", "app=" + words_[seen_.find("app")->second].value + " does not go with " +
                          quoted(implied_by_));
    }
    if (implied_) {
      flow_.app_known = Known::present;
      flow_.app = *implied_;
    }
    if (!has_ports(flow_.ip_protocol)) flow_.app_known = Known::absent;
    if (flow_.app_known == Known::unknown) return;
    const bool none = flow_.app_known == Known::absent;
    if (none) flow_.name.known = Known::absent;
    if (none || (flow_.app != AppProtocol::tls && flow_.app != AppProtocol::quic)) {
      flow_.alpns_known = flow_.ja4.known = flow_.ech_known = Known::absent;
    }
    if (none || flow_.app != AppProtocol::http) {
      flow_.method.known = flow_.path.known = flow_.headers_known = Known::absent;
    }
  }

  std::span<const FlowWord> words_;
  size_t at_ = 0;  ///< The word that is being read.
  std::map<std::string, size_t, std::less<>> seen_;
  FlowValues flow_;
  FlowFaults faults_;
  bool has_source_ = false;
  bool has_destination_ = false;
  bool has_port_ = false;
  bool has_app_ = false;  ///< By the key app.
  std::optional<uint8_t> protocol_;
  std::optional<AppProtocol> implied_;  ///< By a key such as tls.sni.
  std::string implied_by_;
};

}  // namespace

std::expected<FlowDescription, FlowFaults> parse_flow(std::span<const FlowWord> words,
                                                      int64_t now) {
  return FlowReader(words, now).read();
}

}  // namespace sallyport
