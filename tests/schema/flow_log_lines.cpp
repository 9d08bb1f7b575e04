// Prints lines of the flow log as the data plane writes them, for flow_log_test.py:
//   real   what real workers make of some conversations under `log: all`
//   every  each value of each field at least once, gaps too
#include <cstdio>
#include <string>
#include <string_view>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/io/eve_text.h"
#include "dataplane/io/log_gaps.h"
#include "tests/pipeline/conversation.h"
#include "tests/support/dns_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr std::string_view kLogAll = R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: good, action: Allow, to: {domainNames: [good.test]}, log: all}
    - {name: bad, action: Deny, to: {domainNames: [bad.test]}, log: all}
)";

void print(const std::string& line) {
  std::puts(line.c_str());
}

void print_real() {
  Pipeline pipeline(kLogAll);
  const auto say = [&](uint16_t client_port, uint16_t server_port, const Bytes& first,
                       const Bytes& second) {
    const Conversation flow{
        .pipeline = pipeline, .client_port = client_port, .server_port = server_port};
    flow.open();
    flow.send(first);
    if (!second.empty()) pipeline.from_inside(flow.out(first.size()).payload(second).frame());
  };
  say(40001, 80, request("good.test"), request("good.test"));
  say(40002, 80, request("good.test:80"), request("bad.test"));
  say(40003, 443, hello().sni("good.test").record(), {});
  say(40004, 443, hello().sni("bad.test").record(), {});
  say(40005, 80, bytes_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), {});
  say(40006, 22, bytes_of("SSH-2.0-x\r\n"), {});
  for (const std::string_view name : {"good.test", "good.test", "other.test"}) {
    pipeline.from_inside(
        udp("2001:db8::2", 5300, "2001:db8::53", 53).payload(dns_query(name)).frame());
  }
  pipeline.end_all_flows();
  const PolicyNames unnamed;
  for (const auto type : {FlowEvent::Type::start, FlowEvent::Type::verdict,
                          FlowEvent::Type::request, FlowEvent::Type::flow}) {
    print(pipeline.last_line(type));
  }
  for (const FlowEvent& event : pipeline.events()) print(to_eve(event, unnamed));
}

FlowEvent full_event(AppProtocol app) {
  FlowEvent event{};
  event.flow_id = 1;
  event.key.inside = parse_ip_address("10.1.2.3").value();
  event.key.outside = parse_ip_address("203.0.113.9").value();
  event.key.ip_protocol = kIpProtocolTcp;
  event.type = FlowEvent::Type::flow;
  event.state = FlowState::denied;
  event.app_known = Known::present;
  event.app = app;
  event.tls_version = 0x0304;
  event.ech_known = Known::present;
  event.query_type = 28;
  const bool hello = app == AppProtocol::tls || app == AppProtocol::quic;
  event.set(EventText::host, "a.test:8080", 255);
  if (hello) event.set(EventText::alpns, "\x02h2", 256);
  if (hello) event.set(EventText::ja3, std::string(32, 'a'), 36);
  if (hello) event.set(EventText::ja4, "t13d1516h2_8daaf6152771_02713d6af862", 36);
  if (app == AppProtocol::http) event.set(EventText::method, "GET", 32);
  if (app == AppProtocol::http) event.set(EventText::target, "/\xff\n", 2048);
  return event;
}

template <typename Enum, typename Set>
void each(Enum first, Enum behind_last, const Set& set) {
  for (int i = static_cast<int>(first); i < static_cast<int>(behind_last); ++i) {
    FlowEvent event = full_event(AppProtocol::tls);
    set(event, static_cast<Enum>(i));
    print(to_eve(event, PolicyNames{}));
  }
}

void print_every() {
  each(FlowReason{}, FlowReason::count_, [](FlowEvent& e, FlowReason r) { e.reason = r; });
  each(InspectFault{}, InspectFault::count_, [](FlowEvent& e, InspectFault f) { e.fault = f; });
  each(FlowEnd::closed, static_cast<FlowEnd>(5), [](FlowEvent& e, FlowEnd end) { e.end = end; });
  each(FlowState::pending, static_cast<FlowState>(4),
       [](FlowEvent& e, FlowState state) { e.state = state; });
  each(TunnelKind{}, TunnelKind::count_, [](FlowEvent& e, TunnelKind kind) {
    e.app_known = Known::absent;
    e.tunnel = kind;
  });
  each(0, 256, [](FlowEvent& e, int p) { e.key.ip_protocol = static_cast<uint8_t>(p); });
  each(0, 300, [](FlowEvent& e, int t) {
    e.app = AppProtocol::dns;
    e.query_type = static_cast<uint16_t>(t);
  });
  each(0x2ff, 0x306, [](FlowEvent& e, int v) { e.tls_version = static_cast<uint16_t>(v); });
  for (int i = 0; i < static_cast<int>(AppProtocol::count_); ++i) {
    FlowEvent event = full_event(static_cast<AppProtocol>(i));
    print(to_eve_of_capture(event, event, {"a.test", "b.test"}, PolicyNames{}, "a.pcap"));
    event.http2 = event.app == AppProtocol::http;
    print(to_eve(event, PolicyNames{}));
    print(to_eve_of_capture(event, event, {}, PolicyNames{}, "a.pcap"));
    event.app_known = Known::absent;
    print(to_eve_of_capture(event, event, {}, PolicyNames{}, ""));
  }
  for (const EventText text : {EventText::alpns, EventText::method, EventText::target}) {
    FlowEvent event = full_event(AppProtocol::http);
    event.note_cut(text);
    for (const auto type :
         {FlowEvent::Type::verdict, FlowEvent::Type::request, FlowEvent::Type::flow}) {
      event.type = type;
      print(to_eve(event, PolicyNames{}));
    }
  }
  LogGaps gaps({1, 2});
  for (size_t i = 0; i < kLogLosses; ++i) gaps.note(i % 2, static_cast<LogLoss>(i), {i + 1, 1, 2});
  std::string text;
  gaps.append(3, text);
  std::fputs(text.c_str(), stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "real") {
    print_real();
  } else if (argc == 2 && std::string_view(argv[1]) == "every") {
    print_every();
  } else {
    return 2;
  }
}
