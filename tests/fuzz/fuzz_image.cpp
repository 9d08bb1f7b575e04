#include <cstdint>
#include <cstdlib>
#include <span>

#include "policy/runtime/image_codec.h"
#include "policy/runtime/table.h"

namespace {

/// Decides a few flows by whatever loaded: none may read outside the table.
void decide_by(const sallyport::PolicyTable& table) {
  using namespace sallyport;
  FlowFacts facts;
  for (unsigned i = 0; i < 64; ++i) {
    facts.source.bytes.fill(static_cast<uint8_t>(i * 37));
    facts.destination = i % 2 == 0 ? IpAddress::v4(&facts.source.bytes[0]) : facts.source;
    facts.ip_protocol = i % 3 == 0 ? kIpProtocolUdp : kIpProtocolTcp;
    facts.destination_port = static_cast<uint16_t>(i * 1021);
    facts.app_known = static_cast<Known>(i % 3);
    facts.app = i % 5 == 0 ? AppProtocol::http : AppProtocol::tls;
    facts.name_known = static_cast<Known>(i / 3 % 3);
    facts.name = i % 7 == 0 ? "bad.org" : "a.b.org";
    const Decision decision = decide(table, facts, 0);
    if (decision.reason == Reason::rule && decision.rule >= table.rule_count()) std::abort();
  }
}

}  // namespace

/// The input is a payload: sealed here, so that mutations get behind the digest.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span input(data, size);
  // As a whole image too: the header's own checks.
  if (const auto raw = sallyport::PolicyTable::load(input, 1)) decide_by(**raw);
  const auto table = sallyport::PolicyTable::load(sallyport::seal_image(input), 1);
  if (table) decide_by(**table);
  return 0;
}
