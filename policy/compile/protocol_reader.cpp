#include <algorithm>

#include "policy/compile/reading.h"

namespace sallyport {
namespace {

constexpr std::array<std::string_view, 7> kProtocols{"tls", "quic", "http", "dns",
                                                     "tcp", "udp",  "icmp"};
static_assert(kProtocols.size() == static_cast<size_t>(ProtocolKind::count_));

constexpr size_t kMaxAlpnBytes = 255;  // RFC 7301 section 3.1.
constexpr size_t kMaxGlobBytes = 1024;

/// RFC 9110 section 5.6.2: what methods and header names are made of.
bool is_token(std::string_view text) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

std::string upper_case(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

/// "t13d1516h2_8daaf6152771_e5627efa2ab1"
bool is_ja4(std::string_view text) {
  constexpr size_t kBytes = 36;
  if (text.size() != kBytes || text[10] != '_' || text[23] != '_') return false;
  return std::ranges::all_of(
      text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

std::optional<uint16_t> parse_port(std::string_view text) {
  const auto port = parse_whole_number(text, UINT16_MAX);
  if (!port || *port == 0) return {};
  return static_cast<uint16_t>(*port);
}

std::optional<PortRange> read_port(const ListedText& item, Report& report) {
  const std::string_view text = item.text;
  const size_t dash = text.find('-');
  const auto first = parse_port(text.substr(0, dash));
  const auto last = dash == std::string::npos ? first : parse_port(text.substr(dash + 1));
  if (!first || !last) {
    report.error(*item.node, "E021", "'" + item.text + "' is not a port",
                 "a number from 1 to 65535, or a range like \"8000-8099\"");
    return {};
  }
  if (*first > *last) {
    report.error(*item.node, "E022", "port range '" + item.text + "' ends before it starts",
                 "write \"" + std::to_string(*last) + "-" + std::to_string(*first) + "\"");
    return {};
  }
  return PortRange{*first, *last};
}

class TermReader {
 public:
  TermReader(const YamlNode::Entry& entry, ProtocolKind kind, Report& report)
      : name_(entry.key), map_(entry.value, entry.key, report), report_(report) {
    term_.kind = kind;
  }

  ProtocolTerm read() {
    if (term_.kind != ProtocolKind::icmp) read_ports();
    if (term_.kind == ProtocolKind::tls || term_.kind == ProtocolKind::quic) read_hello();
    if (term_.kind == ProtocolKind::http) read_request();
    map_.finish();
    return std::move(term_);
  }

 private:
  void read_ports() {
    const YamlNode* node = map_.find("ports");
    if (node == nullptr) return;
    for (const ListedText& item : read_texts(*node, name_ + ".ports", report_)) {
      if (const auto range = read_port(item, report_)) term_.ports.push_back(*range);
    }
  }

  void read_hello() {
    if (const YamlNode* alpns = map_.find("alpns")) {
      for (ListedText& item : read_texts(*alpns, name_ + ".alpns", report_)) {
        if (item.text.empty() || item.text.size() > kMaxAlpnBytes || !is_printable(item.text)) {
          report_.error(*item.node, "E031", "'" + item.text + "' is not an ALPN protocol",
                        "write it as in IANA's registry, like h2 or http/1.1");
        } else {
          term_.alpns.push_back(std::move(item.text));
        }
      }
    }
    if (const YamlNode* ja4s = map_.find("ja4s")) {
      for (ListedText& item : read_texts(*ja4s, name_ + ".ja4s", report_, Empty::accepted)) {
        if (is_ja4(item.text)) {
          term_.ja4s.push_back(std::move(item.text));
        } else {
          report_.error(*item.node, "E031", "'" + item.text + "' is not a JA4",
                        "36 characters like t13d1516h2_8daaf6152771_e5627efa2ab1");
        }
      }
    }
    if (const YamlNode* ech = map_.find("ech")) {
      constexpr std::array<std::string_view, 3> kChoices{"allow", "deny", "require"};
      term_.ech = read_enum(*ech, name_ + ".ech", kChoices, EchMatch::any, report_);
    }
  }

  void read_request() {
    if (const YamlNode* methods = map_.find("methods")) read_methods(*methods);
    if (const YamlNode* paths = map_.find("paths")) {
      for (ListedText& item : read_texts(*paths, "http.paths", report_)) {
        if (check_path(item)) term_.paths.push_back(std::move(item.text));
      }
    }
    if (const YamlNode* headers = map_.find("headers")) read_headers(*headers);
  }

  void read_methods(const YamlNode& node) {
    for (ListedText& item : read_texts(node, "http.methods", report_)) {
      if (!is_token(item.text)) {
        report_.error(*item.node, "E031", "'" + item.text + "' is not an HTTP method");
      } else if (item.text != upper_case(item.text)) {
        report_.error(*item.node, "E031",
                      "'" + item.text + "' would match nothing: methods are in upper case",
                      "write " + upper_case(item.text));
      } else {
        term_.methods.push_back(std::move(item.text));
      }
    }
  }

  bool check_path(const ListedText& item) {
    const std::string& glob = item.text;
    if (!glob.starts_with('/') && !glob.starts_with("**")) {
      report_.error(*item.node, "E030", "path '" + glob + "' does not start with '/' or '**'",
                    "write '/" + glob + "'");
    } else if (glob.size() > kMaxGlobBytes || !is_printable(glob)) {
      report_.error(*item.node, "E030", "a path must be up to 1024 printable ASCII characters",
                    "percent-encode the others");
    } else if (glob.find_first_of("?#") != std::string::npos) {
      report_.error(*item.node, "E030", "path '" + glob + "' has a '?' or '#'",
                    "paths are compared without query; leave it out");
    } else if (glob.find("***") != std::string::npos) {
      report_.error(*item.node, "E030", "path '" + glob + "' has three '*' in a row",
                    "'*' is within a segment, '**' across");
    } else {
      return true;
    }
    return false;
  }

  void read_headers(const YamlNode& node) {
    for (auto& [name, glob] : read_labels(node, "http.headers", report_)) {
      if (!is_token(name)) {
        report_.error(node, "E031", "'" + name + "' is not a header name");
      } else if (glob.size() > kMaxGlobBytes || !is_printable(glob)) {
        report_.error(
            node, "E030",
            "the value of header '" + name + "' must be up to 1024 printable ASCII characters");
      } else {
        term_.headers.push_back({lower_case(name), glob});
      }
    }
    std::ranges::sort(term_.headers);
    const auto twice = std::ranges::adjacent_find(term_.headers, {}, &HeaderMatch::name);
    if (twice != term_.headers.end()) {
      report_.error(node, "E002", "header '" + twice->name + "' is given twice");
    }
    if (term_.headers.size() > kMaxHeaderMatches) {
      report_.error(node, "E035",
                    "more than " + std::to_string(kMaxHeaderMatches) + " header conditions",
                    "write the rest as a Deny rule in front");
    }
  }

  const std::string& name_;
  MapReader map_;
  Report& report_;
  ProtocolTerm term_;
};

}  // namespace

std::optional<ProtocolTerm> read_protocol(const YamlNode& node, Report& report) {
  if (node.kind != YamlNode::Kind::map || node.entries.size() != 1) {
    report.error(node, "E023", "a protocol must be a map with one key",
                 "write '- tls: {ports: [443]}' or '- tls: {}'");
    return {};
  }
  const YamlNode::Entry& entry = node.entries.front();
  const auto known = std::ranges::find(kProtocols, entry.key);
  if (known == kProtocols.end()) {
    report.error(entry.line, entry.column, "E008", "unknown protocol '" + entry.key + "'",
                 hint_of_choices(entry.key, kProtocols));
    return {};
  }
  return TermReader(entry, static_cast<ProtocolKind>(known - kProtocols.begin()), report).read();
}

}  // namespace sallyport
