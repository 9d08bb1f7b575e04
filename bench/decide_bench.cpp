// What a decision and a compilation cost, by the number of rules. Each rule has a name of its own.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include "policy/compile/compile.h"
#include "policy/runtime/table.h"

namespace {

using namespace sallyport;

std::string host(int64_t i) {
  return "host-" + std::to_string(i) + ".example.com";
}

/// A Deny for one address, then `rules` named Allows, every fourth a wildcard.
std::string policy_of(int64_t rules) {
  std::string text =
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: bench}\nspec:\n"
      "  subject: {cidrs: [10.0.0.0/8]}\n  egress:\n"
      "    - {name: metadata, action: Deny, to: {cidrs: [169.254.169.254/32]}}\n";
  for (int64_t i = 0; i < rules; ++i) {
    text += "    - {name: r" + std::to_string(i) + ", action: Allow, to: {domainNames: [\"" +
            (i % 4 == 3 ? "*." : "") + host(i) + "\"]}, protocols: [tls: {ports: [443]}]}\n";
  }
  return text;
}

/// One compilation a size, however often the library runs a benchmark.
const PolicyTable& table_of(int64_t rules) {
  static std::map<int64_t, std::unique_ptr<PolicyTable>> tables;
  auto& table = tables[rules];
  if (!table) {
    const auto compiled = compile_policy(std::vector{SourceFile{"bench", policy_of(rules)}});
    auto loaded = compiled ? PolicyTable::load(compiled->image, 1) : std::unexpected(Refusal::none);
    if (!loaded) {
      std::fputs("the bench policy does not compile\n", stderr);
      std::exit(1);
    }
    table = std::move(*loaded);
  }
  return *table;
}

FlowFacts facts_of(std::string_view name) {
  FlowFacts facts;
  facts.source = parse_ip_address("10.1.2.3").value();
  facts.destination = parse_ip_address("198.51.100.7").value();
  facts.ip_protocol = kIpProtocolTcp;
  facts.destination_port = 443;
  facts.app_known = facts.name_known = Known::present;
  facts.app = AppProtocol::tls;
  facts.name = name;
  return facts;
}

void run(benchmark::State& state, const FlowFacts& facts, Verdict expected) {
  const PolicyTable& table = table_of(state.range(0));
  if (decide(table, facts, 0).verdict != expected) {
    state.SkipWithError("decide() gives another verdict than this bench is about");
    return;
  }
  for (auto _ : state) benchmark::DoNotOptimize(decide(table, facts, 0));
}

void decide_hit(benchmark::State& state) {
  const std::string name = host(state.range(0) / 8 * 4);  // The middle of the order, exact.
  run(state, facts_of(name), Verdict::allow);
}

void decide_wildcard_hit(benchmark::State& state) {
  const std::string name = "a.b." + host(state.range(0) / 8 * 4 + 3);
  run(state, facts_of(name), Verdict::allow);
}

void decide_miss(benchmark::State& state) {
  run(state, facts_of("www.not-listed.example.org"), Verdict::deny);
}

void decide_on_syn(benchmark::State& state) {
  FlowFacts facts = facts_of("");
  facts.app_known = facts.name_known = Known::unknown;
  run(state, facts, Verdict::pending);
}

void decide_on_syn_denied(benchmark::State& state) {
  FlowFacts facts = facts_of("");
  facts.app_known = facts.name_known = Known::unknown;
  facts.destination_port = 25;
  run(state, facts, Verdict::deny);
}

void compile(benchmark::State& state) {
  const std::vector sources{SourceFile{"bench", policy_of(state.range(0))}};
  size_t bytes = 0;
  for (auto _ : state) {
    const auto compiled = compile_policy(sources);
    if (compiled) bytes = compiled->image.size();
  }
  state.counters["image_bytes"] = static_cast<double>(bytes);
}

void load(benchmark::State& state) {
  const auto compiled = compile_policy(std::vector{SourceFile{"bench", policy_of(state.range(0))}});
  for (auto _ : state) benchmark::DoNotOptimize(PolicyTable::load(compiled->image, 1));
}

BENCHMARK(decide_hit)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK(decide_wildcard_hit)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK(decide_miss)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK(decide_on_syn)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK(decide_on_syn_denied)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK(compile)->Arg(10)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);
BENCHMARK(load)->Arg(10)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
