// Flows as users write them: --flow, PolicyTest documents and flow records.
#include <catch2/catch.hpp>

#include "policy/compile/flow_text.h"

using namespace sallyport;

namespace {

constexpr int64_t kNow = 1'800'000'000;
const std::string kEnds = "src=10.1.2.3 dst=203.0.113.9:443 ";

/// The flow again in its full form, or what is wrong with it: "#2 message (hint)" each.
std::string outcome(const std::expected<FlowDescription, FlowFaults>& flow) {
  if (flow) return to_text(*flow, kNow);
  std::string out;
  for (const FlowFault& fault : flow.error()) {
    if (!out.empty()) out += "; ";
    if (fault.word != FlowFault::kWholeFlow) out += "#" + std::to_string(fault.word) + " ";
    out += fault.message;
    if (!fault.hint.empty()) out += " (" + fault.hint + ")";
  }
  return out;
}

std::string read(std::string_view text) {
  return outcome(parse_flow(text, kNow));
}

/// Which facts are unknown, absent and present: "app+ name? alpn-".
std::string known(std::string_view text) {
  const auto flow = parse_flow(text, kNow);
  if (!flow) return outcome(flow);
  const FlowFacts facts = flow->facts();
  std::string out;
  const auto add = [&](const char* name, Known fact) {
    out += std::string(out.empty() ? "" : " ") + name +
           (fact == Known::unknown  ? "?"
            : fact == Known::absent ? "-"
                                    : "+");
  };
  add("app", facts.app_known);
  add("name", facts.name_known);
  add("alpn", facts.alpns_known);
  add("ja4", facts.ja4_known);
  add("ech", facts.ech_known);
  add("method", facts.method_known);
  add("path", facts.path_known);
  add("headers", facts.headers_known);
  add("binding", facts.binding_known);
  return out;
}

std::string read_yaml(const std::string& text) {
  const auto documents = parse_yaml({"t.yaml", text});
  REQUIRE(documents);
  Report report("t.yaml");
  const auto flow = read_flow(documents->front(), kNow, report);
  if (flow) return to_text(*flow, kNow);
  std::string out;
  for (const Diagnostic& one : report.take()) out += to_string(one) + "\n";
  return out;
}

std::string read_record(std::string_view json) {
  const auto flow = parse_flow_record(json, kNow);
  return flow ? to_text(*flow, kNow) : "error: " + flow.error();
}

}  // namespace

TEST_CASE("a flow in words: what each key means") {
  struct Row {
    std::string given, full;
  };
  const auto row = GENERATE(values<Row>({
      {"", ""},
      {"tls.sni=pypi.org", "tls.sni=pypi.org"},
      {"tls.sni=PyPI.org.", "tls.sni=pypi.org"},
      {"tls.sni=-", "tls.sni=-"},
      // An address is no name: the inspectors see none, either.
      {"tls.sni=203.0.113.9", "tls.sni=-"},
      {"app=tls", "app=tls"},
      {"app=-", "app=-"},
      {"tls.alpn=h2,http/1.1", "tls.alpn=h2,http/1.1"},
      {"tls.alpn=-", "tls.alpn=-"},
      {"tls.ja4=t13d1516h2_8daaf6152771_b186095e22b6",
       "tls.ja4=t13d1516h2_8daaf6152771_b186095e22b6"},
      {"tls.ech=true", "tls.ech=true"},
      {"tls.ech=-", "tls.ech=false"},
      {"quic.sni=pypi.org quic.ech=false", "proto=udp quic.sni=pypi.org quic.ech=false"},
      {"http.host=pypi.org:8080 http.method=GET http.path=/simple/?q=1",
       "http.host=pypi.org http.method=GET http.path=/simple/"},
      {"http.host=[2001:db8::1]:8080", "http.host=-"},
      {"http.header.User-Agent=pip/23", "http.header.user-agent=pip/23"},
      {"http.header.a=1 http.header.a=2", "http.header.a=1 http.header.a=2"},
      {"http.header.a=\"x \\\"y\\\" \\\\z\"", "http.header.a=\"x \\\"y\\\" \\\\z\""},
      {"http.header.a=-", "http.header.any=-"},
      {"http.header.a=", "http.header.a="},
      {"dns.qname=pypi.org", "proto=udp dns.qname=pypi.org"},
      {"proto=tcp dns.qname=pypi.org", "proto=tcp dns.qname=pypi.org"},
      {"proto=17", "proto=udp"},
      {"label.job=train label.team=-", "label.job=train"},
      {"label.job=-", "label.any=-"},
      {"spiffeId=spiffe://c/ns/a/sa/b", "spiffeId=spiffe://c/ns/a/sa/b"},
      {"time=2026-12-01T00:00:00+01:00", "time=2026-11-30T23:00:00Z"},
      {"binding=bound", "binding=bound"},
      {"binding=-", "binding=unbound"},
      {"budget=spent", "budget=spent"},
      {"budget=left", ""},
  }));
  CAPTURE(row.given);
  const std::string expected =
      "src=10.1.2.3 dst=203.0.113.9:443" + (row.full.empty() ? "" : " " + row.full);
  CHECK(read(kEnds + row.given) == expected);
  CHECK(read(expected) == expected);
}

TEST_CASE("a flow in words: addresses, ports and protocols") {
  struct Row {
    std::string given, full;
  };
  const auto row = GENERATE(values<Row>({
      {"src=2001:db8::1 dst=[2001:DB8:0::2]:443", "src=2001:db8::1 dst=[2001:db8::2]:443"},
      {"src=10.0.0.1 dst=10.0.0.2 proto=icmp", "src=10.0.0.1 dst=10.0.0.2 proto=icmp app=-"},
      {"src=::1 dst=::2 proto=icmp", "src=::1 dst=::2 proto=icmp app=-"},
      {"src=::1 dst=[::2] proto=47", "src=::1 dst=::2 proto=47 app=-"},
      {"  src=10.0.0.1\t dst=10.0.0.2:53 \n proto=udp ", "src=10.0.0.1 dst=10.0.0.2:53 proto=udp"},
  }));
  CAPTURE(row.given);
  CHECK(read(row.given) == row.full);
  CHECK(read(row.full) == row.full);
  if (row.given.starts_with("src=::1 dst=::2")) {
    CHECK(parse_flow(row.given, kNow)->facts().ip_protocol == kIpProtocolIcmpV6);
  }
}

TEST_CASE("a flow in words: what is not said is unknown, unless the application rules it out") {
  struct Row {
    std::string given, known;
  };
  const auto row = GENERATE(values<Row>({
      {"", "app? name? alpn? ja4? ech? method? path? headers? binding?"},
      {"tls.sni=a.b", "app+ name+ alpn? ja4? ech? method- path- headers- binding?"},
      {"app=tls", "app+ name? alpn? ja4? ech? method- path- headers- binding?"},
      {"http.host=a.b", "app+ name+ alpn- ja4- ech- method? path? headers? binding?"},
      {"http.header.a=-", "app+ name? alpn- ja4- ech- method? path? headers+ binding?"},
      {"dns.qname=a.b", "app+ name+ alpn- ja4- ech- method- path- headers- binding?"},
      {"app=- binding=bound", "app- name- alpn- ja4- ech- method- path- headers- binding+"},
  }));
  CAPTURE(row.given);
  CHECK(known(kEnds + row.given) == row.known);
}

TEST_CASE("a flow in words: every mistake is named") {
  struct Row {
    std::string given, said;
  };
  const auto row = GENERATE(values<Row>({
      {"",
       "the flow has no src (write src=10.1.2.3); "
       "the flow has no dst (write dst=203.0.113.9:443)"},
      {"src=10.1.2 dst=x",
       "#0 '10.1.2' is not an IPv4 or IPv6 address (write src=10.1.2.3 or "
       "src=2001:db8::1, without a port); #1 'x' is not an address, or an "
       "address and a port (write dst=203.0.113.9:443 or "
       "dst=[2001:db8::1]:443)"},
      {"src=10.0.0.1 dst=10.0.0.2", "#1 dst has no port (write dst=ADDRESS:PORT, or proto=icmp)"},
      {"src=10.0.0.1 dst=10.0.0.2:0", "#1 '0' is not a port (1 to 65535)"},
      {"src=10.0.0.1 dst=10.0.0.2:99999", "#1 '99999' is not a port (1 to 65535)"},
      {"src=10.0.0.1 dst=[10.0.0.2]:1",
       "#1 '[10.0.0.2]:1' is not an address, or an address and "
       "a port (write dst=203.0.113.9:443 or "
       "dst=[2001:db8::1]:443)"},
      {"src=10.0.0.1 dst=[::2]:1", "#1 src and dst are not of one address family"},
      {"src=10.0.0.1 dst=10.0.0.2:1 proto=icmp", "#1 icmp has no ports (write dst=10.0.0.2)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 src=10.0.0.1", "#2 'src' is given twice"},
      {"src=10.0.0.1 dst=10.0.0.2:1 tls.sin=a.b",
       "#2 unknown key 'tls.sin' (did you mean "
       "'tls.sni'?)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 http.metod=GET",
       "#2 unknown key 'http.metod' (did you mean 'http.method'?)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 zzzzzz=1",
       "#2 unknown key 'zzzzzz' (the keys begin with src, dst, proto, app, tls., quic., http., "
       "dns., label., spiffeId, time, binding or budget)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 tls.sni=a_b..c",
       "#2 'a_b..c' is not a host name: a label is empty or over 63 bytes"},
      {"src=10.0.0.1 dst=10.0.0.2:1 tls.sni=",
       "#2 'tls.sni' has no value (write tls.sni=- for "
       "none)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 tls.alpn=h2,", "#2 'h2,' has an empty protocol in it"},
      {"src=10.0.0.1 dst=10.0.0.2:1 tls.ech=yes",
       "#2 'tls.ech' cannot be 'yes' (write true or false)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 tls.sni=a.b http.path=/",
       "#3 'http.path' does not go with 'tls.sni' (a flow has one application protocol)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 tls.sni=a.b app=http",
       "#3 app=http does not go with 'tls.sni'"},
      {"src=10.0.0.1 dst=10.0.0.2:1 app=- tls.sni=a.b", "#2 app=- does not go with 'tls.sni'"},
      {"src=10.0.0.1 dst=10.0.0.2:1 tls.sni=a.b proto=udp",
       "#3 tls is not over udp (leave proto out, or write proto=tcp)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 quic.sni=a.b proto=tcp",
       "#3 quic is not over tcp (leave proto out, or write proto=udp)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 proto=tls", "#2 'tls' is not an IP protocol (write app=tls)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 proto=256",
       "#2 '256' is not an IP protocol (write tcp, udp, icmp or a number up to 255)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 app=ssh",
       "#2 no application protocol 'ssh' (write tls, quic, http or dns, or - for bytes that are "
       "none of them)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 http.path=x", "#2 'x' is not a path (it starts with '/')"},
      {"src=10.0.0.1 dst=10.0.0.2:1 time=now",
       "#2 'now' is not a time (write it like "
       "2026-12-01T00:00:00Z)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 pypi.org",
       "#2 'pypi.org' is not KEY=VALUE (write a flow like src=10.1.2.3 dst=203.0.113.9:443 "
       "tls.sni=pypi.org)"},
      {"src=10.0.0.1 dst=10.0.0.2:1 http.header.a=\"x y",
       "#2 'http.header.a=x y' has no closing quote"},
      {"src=10.0.0.1 dst=10.0.0.2:1 http.header.=x label.=y",
       "#2 unknown key 'http.header.' (did you mean 'http.header.NAME'?); "
       "#3 unknown key 'label.' (did you mean 'label.KEY'?)"},
  }));
  CAPTURE(row.given);
  CHECK(read(row.given) == row.said);
}

TEST_CASE("a flow's facts outlive the description they were first read as") {
  FlowFacts facts;
  std::optional<FlowDescription> kept;
  {
    auto flow = parse_flow(kEnds + "tls.sni=pypi.org tls.alpn=h2,http/1.1", kNow);
    REQUIRE(flow);
    facts = flow->facts();
    const FlowDescription copy = *flow;
    kept = std::move(*flow);
  }
  CHECK(facts.name == "pypi.org");
  REQUIRE(facts.alpns.size() == 2);
  CHECK(facts.alpns[1] == "http/1.1");
  CHECK(kept->facts().alpns.data() == facts.alpns.data());
}

TEST_CASE("a flow in YAML: a text, or a map of the same keys") {
  const std::string pypi = "src=10.1.2.3 dst=203.0.113.9:443 tls.sni=pypi.org";
  CHECK(read_yaml("src=10.1.2.3 dst=203.0.113.9:443 tls.sni=pypi.org") == pypi);
  CHECK(read_yaml("{src: 10.1.2.3, dst: '203.0.113.9:443', tls.sni: pypi.org}") == pypi);
  CHECK(read_yaml("{src: 10.1.2.3, dst: '203.0.113.9:443', tls: {sni: pypi.org}}") == pypi);
  CHECK(read_yaml("{src: 10.1.2.3, dst: '203.0.113.9:443', tls: {}}") ==
        "src=10.1.2.3 dst=203.0.113.9:443 app=tls");
  CHECK(read_yaml("{src: 10.1.2.3, dst: '203.0.113.9:443', tls: {sni: ~, alpn: [h2, x]}}") ==
        "src=10.1.2.3 dst=203.0.113.9:443 tls.sni=- tls.alpn=h2,x");
  CHECK(read_yaml("{src: 10.1.2.3, dst: '203.0.113.9:80', http: {header: {a: [x, y z]}}, "
                  "label: {job: train}}") ==
        "src=10.1.2.3 dst=203.0.113.9:80 http.header.a=x http.header.a=\"y z\" "
        "label.job=train");
}

TEST_CASE("a flow in YAML: mistakes have their places") {
  CHECK(read_yaml("src: 10.1.2.3\ndst: 203.0.113.9:443\ntls:\n  sin: pypi.org\n") ==
        "t.yaml:4:3: error[E036]: unknown key 'tls.sin' (did you mean 'tls.sni'?)\n");
  CHECK(read_yaml("src: 10.1.2.3\n") ==
        "t.yaml:1:1: error[E036]: the flow has no dst (write dst=203.0.113.9:443)\n");
  CHECK(read_yaml("\n  src=10.1.2.3\n") ==
        "t.yaml:2:3: error[E036]: the flow has no dst (write dst=203.0.113.9:443)\n");
  CHECK(read_yaml("src: 10.1.2.3\ndst: 203.0.113.9:443\ntls: {alpn: [[h2]]}\n") ==
        "t.yaml:3:14: error[E010]: an item of tls.alpn must be a single value\n");
  CHECK(read_yaml("[a]") == "t.yaml:1:1: error[E010]: a flow must be a text or a map\n");
}

TEST_CASE("a flow record: from replay and from the flow log") {
  CHECK(read_record(R"({"timestamp":"2027-01-15T08:00:00.001000+0000","src_ip":"10.1.2.3",)"
                    R"("src_port":4000,"dest_ip":"203.0.113.9","dest_port":443,"proto":"TCP",)"
                    R"("app":"tls","host":"pypi.org","alpn":["h2"],"ech":false,)"
                    R"("ja4":"t13d","http_method":"","http_path":""})") ==
        "src=10.1.2.3 dst=203.0.113.9:443 tls.sni=pypi.org tls.alpn=h2 tls.ja4=t13d "
        "tls.ech=false");
  CHECK(read_record(R"({"src_ip":"10.1.2.3","dest_ip":"203.0.113.9","dest_port":80,)"
                    R"("proto":"TCP","app":"http1","host":"pypi.org","http_method":"GET",)"
                    R"("http_path":"/a?b","alpn":[]})") ==
        "src=10.1.2.3 dst=203.0.113.9:80 http.host=pypi.org http.method=GET "
        "http.path=/a");
  CHECK(read_record(R"({"timestamp":"2027-01-15T09:00:01.5-0100","src_ip":"::1",)"
                    R"("dest_ip":"2001:db8::9","dest_port":443,"proto":"UDP","app_proto":"quic",)"
                    R"("quic":{"sni":"","client_alpns":[],"ech":true}})") ==
        "src=::1 dst=[2001:db8::9]:443 proto=udp quic.sni=- quic.alpn=- quic.ech=true "
        "time=2027-01-15T10:00:01Z");
  CHECK(read_record(R"({"src_ip":"::1","src_port":0,"dest_ip":"::2","dest_port":0,)"
                    R"("proto":"IPv6-ICMP","app_proto":"unknown"})") ==
        "src=::1 dst=::2 proto=icmp app=-");
  CHECK(read_record(R"({"src_ip":"10.0.0.1","dest_ip":"10.0.0.2","dest_port":22,"proto":"TCP",)"
                    R"("app":"unknown","host":""})") == "src=10.0.0.1 dst=10.0.0.2:22");
  CHECK(read_record("{}") == "error: no src_ip in it");
  CHECK(read_record("{\"src_ip\"") == "error: not a JSON object");
  CHECK(read_record(R"({"src_ip":"10.0.0.1","dest_ip":"x","dest_port":22,"proto":"TCP"})")
            .starts_with("error: 'x:22' is not an address"));
}
