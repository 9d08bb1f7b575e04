// What a decision and a compilation cost, by the number of rules. Each rule has a name of its own.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include "policy/compile/compile.h"
#include "policy/compile/identity_feed.h"
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

/// A hundred rules that list `names` between them.
void compile_names(benchmark::State& state) {
  std::string text =
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: bench}\nspec:\n  egress:\n";
  const int64_t each = state.range(0) / 100;
  for (int64_t rule = 0; rule < 100; ++rule) {
    text += "    - name: r" + std::to_string(rule) +
            "\n      action: Allow\n      to:\n        domainNames:\n";
    for (int64_t i = 0; i < each; ++i) text += "          - " + host(rule * each + i) + "\n";
  }
  const std::vector sources{SourceFile{"bench", text}};
  size_t bytes = 0;
  for (auto _ : state) {
    const auto compiled = compile_policy(sources);
    if (compiled) bytes = compiled->image.size();
  }
  state.counters["image_bytes"] = static_cast<double>(bytes);
}

/// Rules that use every kind of matcher, each rule with values of its own.
std::string mixed_policy(int64_t rules) {
  std::string text =
      "apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: bench}\nspec:\n"
      "  subject: {labels: {job: train}}\n  egress:\n";
  for (int64_t i = 0; i < rules; ++i) {
    const std::string n = std::to_string(i);
    text += "    - {name: r" + n + ", action: Allow, notBefore: 2026-01-01T00:00:00Z, to: {";
    text += i % 2 == 0 ? "domainNames: [" + host(i) + "]"
                       : "cidrs: [10." + std::to_string(i / 256 % 256) + "." +
                             std::to_string(i % 256) + ".0/24]";
    if (i % 4 < 2) {
      text += "}, protocols: [tls: {ports: [443], alpns: [h2, p" + n + "]}]}\n";
    } else {
      text += "}, protocols: [http: {methods: [GET], paths: [/m" + n;
      text += "/**], headers: {user-agent: 'pip/" + n + "*'}}]}\n";
    }
  }
  return text;
}

std::vector<Identity> feed_of(int64_t addresses) {
  std::vector<Identity> feed;
  for (int64_t i = 0; i < addresses; ++i) {
    const uint8_t four[] = {10, 1, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
    feed.push_back({IpAddress::v4(four),
                    {{"job", i % 3 == 0 ? "train" : "serve"},
                     {"pod", "pod-" + std::to_string(i)},
                     {kSpiffeIdLabel, "spiffe://cluster.local/ns/a/sa/" + std::to_string(i)}}});
  }
  return feed;
}

void decide_mixed(benchmark::State& state) {
  const auto compiled =
      compile_policy(std::vector{SourceFile{"bench", mixed_policy(state.range(0))}});
  const auto bare = PolicyTable::load(compiled->image, 1).value();
  const auto table = bare->with_identities(feed_of(10'000)).value();
  const int64_t rule = state.range(0) / 8 * 4 + 2;  // By name and over HTTP.
  const std::string name = host(rule);
  const std::string path = "/m" + std::to_string(rule) + "/a/b";
  const std::string agent = "pip/" + std::to_string(rule) + ".1";
  const std::array headers{HttpHeader{"user-agent", agent}};
  FlowFacts facts = facts_of(name);
  facts.source = parse_ip_address("10.1.0.3").value();
  facts.unix_seconds = 1'800'000'000;
  facts.app = AppProtocol::http;
  facts.method_known = facts.path_known = facts.headers_known = Known::present;
  facts.method = "GET";
  facts.path = path;
  facts.headers = headers;
  if (decide(*table, facts, 0).verdict != Verdict::allow) {
    state.SkipWithError("decide() gives another verdict than this bench is about");
    return;
  }
  for (auto _ : state) benchmark::DoNotOptimize(decide(*table, facts, 0));
  state.counters["image_bytes"] = static_cast<double>(compiled->image.size());
}

/// A new identity feed under a policy of 10,000 names.
void refresh_identities(benchmark::State& state) {
  const auto compiled = compile_policy(std::vector{SourceFile{"bench", mixed_policy(10'000)}});
  const auto table = PolicyTable::load(compiled->image, 1).value();
  const auto feed = feed_of(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(table->with_identities(feed));
}

void read_feed(benchmark::State& state) {
  std::string text = R"({"apiVersion": "sallyport/v1", "kind": "IdentityFeed", "identities": [)";
  for (const Identity& identity : feed_of(state.range(0))) {
    text += text.ends_with('[') ? "\n" : ",\n";
    text += R"({"addresses": [")" + to_string(identity.address) + R"("], "spiffeId": ")" +
            identity.labels[2].second + R"(", "labels": {"job": ")" + identity.labels[0].second +
            R"(", "pod": ")" + identity.labels[1].second + "\"}}";
  }
  const std::vector source{SourceFile{"feed.json", text + "]}\n"}};
  for (auto _ : state) benchmark::DoNotOptimize(load_identities(source));
  state.counters["bytes"] = static_cast<double>(source.front().text.size());
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
BENCHMARK(compile_names)->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK(decide_mixed)->Arg(16)->Arg(10'000);
BENCHMARK(refresh_identities)->Arg(10'000)->Unit(benchmark::kMillisecond);
BENCHMARK(read_feed)->Arg(10'000)->Unit(benchmark::kMillisecond);
BENCHMARK(load)->Arg(10)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
