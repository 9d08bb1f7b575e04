// What inspecting one flow's first bytes, and decoding one packet, costs.
#include <benchmark/benchmark.h>

#include <memory>
#include <optional>

#include "dataplane/inspect/dns_query.h"
#include "dataplane/inspect/dns_response.h"
#include "dataplane/inspect/http2_connection.h"
#include "dataplane/inspect/http_stream.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/packet.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/dns_builder.h"
#include "tests/support/http2_builder.h"
#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

void run_identify(benchmark::State& state, const Bytes& stream) {
  const auto scratch = std::make_unique<IdentifyScratch>();
  Identified out;
  for (auto _ : state) {
    benchmark::DoNotOptimize(stream.data());
    identify(stream, false, *scratch, out);
    benchmark::DoNotOptimize(out);
  }
  if (out.name_known != Known::present) state.SkipWithError("no name found");
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(stream.size()));
}

void run_decode(benchmark::State& state, const Bytes& frame, bool with_checksum) {
  Packet packet;
  DecodeFault fault = DecodeFault::none;
  for (auto _ : state) {
    benchmark::DoNotOptimize(frame.data());
    fault = decode(frame, packet);
    if (with_checksum) benchmark::DoNotOptimize(l4_checksum_ok(frame, packet));
    benchmark::DoNotOptimize(packet);
  }
  if (fault != DecodeFault::none) state.SkipWithError("not decoded");
  state.SetItemsProcessed(state.iterations());
}

Bytes padded_hello(size_t record_bytes) {
  auto out = browser_hello("cdn.models.example.net");
  const size_t short_by = record_bytes - out.record().size() - 4;
  return out.extension(21, Bytes(short_by)).record();
}

PacketBuilder segment(size_t payload_bytes) {
  return tcp("198.18.0.2", 40000, "198.19.0.2", 443).payload(Bytes(payload_bytes, 0x5a));
}

void client_hello_517(benchmark::State& state) {
  run_identify(state, padded_hello(517));
}
void client_hello_post_quantum(benchmark::State& state) {
  run_identify(state, browser_hello("cdn.models.example.net", kPostQuantumKeyShare).record());
}
void client_hello_in_three_records(benchmark::State& state) {
  const auto message = browser_hello("cdn.models.example.net", kPostQuantumKeyShare).message();
  run_identify(state, tls_records(message, 700));
}
const Bytes kHttpRequest = bytes_of(
    "GET /models/llama/resolve/main/config.json HTTP/1.1\r\n"
    "Host: cdn.models.example.net\r\n"
    "User-Agent: python-requests/2.32.3\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Accept: */*\r\n"
    "Connection: keep-alive\r\n\r\n");
constexpr std::string_view kHeaderNames[] = {"user-agent"};

void http_request(benchmark::State& state) {
  run_identify(state, kHttpRequest);
}

// From bytes to every fact that a rule may ask for.
void run_http(benchmark::State& state, const Bytes& stream) {
  const auto scratch = std::make_unique<HttpScratch>();
  HttpRequest request;
  HttpStep step;
  for (auto _ : state) {
    HttpStream connection;
    benchmark::DoNotOptimize(stream.data());
    step = connection.next(stream, false, kHeaderNames, *scratch, request);
    benchmark::DoNotOptimize(request);
  }
  if (step.status != HttpStep::Status::request) state.SkipWithError("no request found");
  state.SetItemsProcessed(state.iterations());
}
void http_request_to_facts(benchmark::State& state) {
  run_http(state, kHttpRequest);
}
void http_request_with_four_paths(benchmark::State& state) {
  run_http(state,
           bytes_of("GET /@scope%2fname//-/x;v=1/y.tgz HTTP/1.1\r\nHost: a.example\r\n\r\n"));
}
void http_body_64_kib(benchmark::State& state) {
  const auto scratch = std::make_unique<HttpScratch>();
  const Bytes head =
      bytes_of("PUT /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 65536\r\n\r\n");
  const Bytes body(65536, 'x');
  HttpStream start;
  HttpRequest request;
  (void)start.next(head, false, kHeaderNames, *scratch, request);
  start.allow();
  size_t forwarded = 0;
  for (auto _ : state) {
    HttpStream connection = start;
    benchmark::DoNotOptimize(body.data());
    forwarded = connection.next(body, false, kHeaderNames, *scratch, request).forward_bytes;
    benchmark::DoNotOptimize(forwarded);
  }
  if (forwarded != body.size()) state.SkipWithError("not forwarded");
}

const H2Fields kHttp2Request = h2_get("cdn.models.example.net", "/models/llama/config.json") +
                               H2Fields{{"user-agent", "grpc-python/1.62"}, {"te", "trailers"}};

// Each request of a connection behind the first: what the table holds is referred to.
void http2_request_to_facts(benchmark::State& state) {
  const auto scratch = std::make_unique<HttpScratch>();
  const auto connection = std::make_unique<Http2Connection>();
  H2Encoder encoder;
  HttpRequest request;
  (void)connection->next(h2_start() + encoder.request(1, kHttp2Request), kHeaderNames, *scratch,
                         request);
  connection->allow();
  Bytes frame = encoder.request(3, kHttp2Request);
  uint32_t stream = 3;
  HttpStep step;
  for (auto _ : state) {
    store16(frame, 5, stream >> 16);
    store16(frame, 7, stream);
    stream += 2;
    step = connection->next(frame, kHeaderNames, *scratch, request);
    benchmark::DoNotOptimize(request);
    connection->allow();
  }
  if (step.status != HttpStep::Status::request) state.SkipWithError("no request found");
  state.SetItemsProcessed(state.iterations());
}
void http2_first_request_to_facts(benchmark::State& state) {
  const auto scratch = std::make_unique<HttpScratch>();
  const auto memory = std::make_unique<std::optional<Http2Connection>>();
  H2Encoder encoder;
  const Bytes stream = h2_start() + encoder.request(1, kHttp2Request);
  HttpRequest request;
  HttpStep step;
  for (auto _ : state) {
    memory->emplace();
    step = (*memory)->next(stream, kHeaderNames, *scratch, request);
    benchmark::DoNotOptimize(request);
  }
  if (step.status != HttpStep::Status::request) state.SkipWithError("no request found");
  state.SetItemsProcessed(state.iterations());
}

void dns_query_to_facts(benchmark::State& state) {
  const Bytes message = dns_query("cdn.models.example.net", kDnsA, {.additional = 1}) + dns_edns();
  DnsQuery query;
  DnsQueryAnswer answer;
  for (auto _ : state) {
    benchmark::DoNotOptimize(message.data());
    answer = parse_dns_query(message, query);
    benchmark::DoNotOptimize(query);
  }
  if (answer.status != DnsQueryAnswer::Status::done) state.SkipWithError("no query found");
  state.SetItemsProcessed(state.iterations());
}
void dns_response_to_addresses(benchmark::State& state) {
  Bytes message = dns_header({.flags = 0x8180, .answers = 5});
  append(message, dns_question(dns_name("cdn.models.example.net")));
  append(message, dns_record(dns_pointer(12), kDnsCname, dns_name("edge.example.org")));
  for (uint8_t i = 0; i < 4; ++i) {
    append(message, dns_record(dns_name("edge.example.org"), kDnsA, {192, 0, 2, i}));
  }
  const auto response = std::make_unique<DnsResponse>();
  for (auto _ : state) {
    benchmark::DoNotOptimize(message.data());
    benchmark::DoNotOptimize(parse_dns_response(message, *response));
    benchmark::DoNotOptimize(*response);
  }
  if (response->addresses().size() != 4) state.SkipWithError("no addresses found");
  state.SetItemsProcessed(state.iterations());
}
void decode_tcp4(benchmark::State& state) {
  run_decode(state, segment(1460).frame(), false);
}
void decode_tcp6(benchmark::State& state) {
  run_decode(state, tcp("fd00::1", 1, "fd00::2", 2).payload(Bytes(1440)).frame(), false);
}
void decode_tcp4_with_checksum(benchmark::State& state) {
  run_decode(state, segment(1460).frame(), true);
}

BENCHMARK(client_hello_517);
BENCHMARK(client_hello_post_quantum);
BENCHMARK(client_hello_in_three_records);
BENCHMARK(http_request);
BENCHMARK(http_request_to_facts);
BENCHMARK(http_request_with_four_paths);
BENCHMARK(http_body_64_kib);
BENCHMARK(http2_request_to_facts);
BENCHMARK(http2_first_request_to_facts);
BENCHMARK(dns_query_to_facts);
BENCHMARK(dns_response_to_addresses);
BENCHMARK(decode_tcp4);
BENCHMARK(decode_tcp6);
BENCHMARK(decode_tcp4_with_checksum);

}  // namespace

BENCHMARK_MAIN();
