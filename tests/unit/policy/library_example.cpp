#include <iostream>

#include "policy/compile/compile.h"
#include "policy/runtime/table.h"

using namespace sallyport;

int main() {
  const SourceFile source{
      "packages.yaml",
      "apiVersion: sallyport/v1\n"
      "kind: EgressPolicy\n"
      "metadata: {name: packages}\n"
      "spec: {egress: [{name: pypi, action: Allow, to: {domainNames: [pypi.org]}}]}\n"};
  const auto policy = compile_policy({&source, 1});
  if (!policy) {
    for (const Diagnostic& one : policy.error()) std::cout << to_string(one) << '\n';
    return 2;
  }
  const auto table = PolicyTable::load(policy->image, 1);  // For one deciding thread.
  if (!table) return 2;
  FlowFacts flow{.source = parse_ip_address("10.1.2.3").value(),
                 .destination = parse_ip_address("151.101.0.223").value(),
                 .ip_protocol = kIpProtocolTcp,
                 .destination_port = 443};
  std::cout << to_string(decide(**table, flow, 0).verdict) << '\n';  // pending: no name yet
  flow.app_known = flow.name_known = Known::present;
  flow.app = AppProtocol::tls;
  flow.name = "pypi.org";
  const Decision decision = decide(**table, flow, 0);
  std::cout << table.value()->rule(decision.rule).name << '\n';  // pypi
  return decision.verdict == Verdict::allow ? 0 : 1;
}
