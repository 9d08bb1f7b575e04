#include <array>
#include <cstdint>
#include <cstdlib>

#include "policy/compile/compile.h"
#include "policy/runtime/table.h"
#include "policy/yaml/render.h"

using namespace sallyport;

namespace {

constexpr std::array<std::string_view, 2> kAlpns{"h2", "http/1.1"};
constexpr std::array<HttpHeader, 1> kHeaders{{{"user-agent", "pip/24.0"}}};

FlowFacts opening(uint8_t ip_protocol, uint16_t port) {
  return {.source = parse_ip_address("10.1.2.3").value(),
          .destination = parse_ip_address("203.0.113.9").value(),
          .ip_protocol = ip_protocol,
          .destination_port = port,
          .unix_seconds = 1'796'083'200};
}

/// The same flow once everything about it is known.
FlowFacts known(FlowFacts flow, Known app, AppProtocol protocol) {
  const bool hello = protocol == AppProtocol::tls || protocol == AppProtocol::quic;
  const auto when = [app](bool has) { return app == Known::present && has ? app : Known::absent; };
  flow.app_known = app;
  flow.app = protocol;
  flow.name_known = app;
  flow.name = "a.b";
  flow.alpns_known = flow.ja4_known = flow.ech_known = when(hello);
  flow.alpns = kAlpns;
  flow.ja4 = "t13d1516h2_8daaf6152771_e5627efa2ab1";
  flow.method_known = flow.path_known = flow.headers_known = when(protocol == AppProtocol::http);
  flow.method = "GET";
  flow.path = "/models/a";
  flow.headers = kHeaders;
  flow.binding_known = Known::absent;
  return flow;
}

void check(const PolicyTable& table, const Decision& decision) {
  const bool pending = decision.verdict == Verdict::pending;
  if (pending != (decision.waits_for != 0)) std::abort();
  if (decision.rule != kNoRule && decision.rule >= table.rule_count()) std::abort();
  if (decision.rule != kNoRule && table.rule(decision.rule).name.empty()) std::abort();
  if (decision.reason == Reason::scan_error || decision.reason == Reason::no_policy) std::abort();
}

/// What was decided on a part of the facts must hold for all of them.
void check_decisions(const PolicyTable& table) {
  for (const auto& [ip_protocol, port] : {std::pair<uint8_t, uint16_t>{kIpProtocolTcp, 443},
                                          {kIpProtocolTcp, 80},
                                          {kIpProtocolUdp, 53},
                                          {kIpProtocolIcmp, 0}}) {
    const FlowFacts first = opening(ip_protocol, port);
    const Decision early = decide(table, first, 0);
    check(table, early);
    for (unsigned app = 0; app <= static_cast<unsigned>(AppProtocol::count_); ++app) {
      const bool none = app == static_cast<unsigned>(AppProtocol::count_);
      const FlowFacts all = known(first, none ? Known::absent : Known::present,
                                  none ? AppProtocol::tls : static_cast<AppProtocol>(app));
      const Decision late = decide(table, all, 0);
      check(table, late);
      if (late.verdict == Verdict::pending) std::abort();  // The feed below has every label.
      if (early.verdict != Verdict::pending && early.verdict != late.verdict) std::abort();
    }
  }
}

}  // namespace

/// Any text is either refused with places inside the file, or compiles to an image that loads and
/// decides.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const SourceFile source{"fuzz", std::string(reinterpret_cast<const char*>(data), size)};
  const auto compiled = compile_policy({&source, 1});
  if (compiled) {
    const auto table = PolicyTable::load(compiled->image, 1);
    if (!table) std::abort();
    const Identity identity{parse_ip_address("10.1.2.3").value(), {{"job", "train"}}};
    const auto labelled = table.value()->with_identities({&identity, 1});
    if (!labelled) std::abort();
    check_decisions(**labelled);
    return 0;
  }
  if (compiled.error().empty()) std::abort();
  for (const Diagnostic& diagnostic : compiled.error()) {
    if (diagnostic.code.empty() || diagnostic.message.empty() || diagnostic.line > size + 1) {
      std::abort();
    }
  }
  for (const char c : render(compiled.error(), {&source, 1})) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f) std::abort();
  }
  return 0;
}
