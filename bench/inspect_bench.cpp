// What inspecting one flow's first bytes, and decoding one packet, costs.
#include <benchmark/benchmark.h>

#include <memory>
#include <optional>

#include "dataplane/inspect/dns_query.h"
#include "dataplane/inspect/dns_response.h"
#include "dataplane/inspect/fingerprint.h"
#include "dataplane/inspect/http2_connection.h"
#include "dataplane/inspect/http_stream.h"
#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/packet.h"
#include "dataplane/inspect/quic_tracker.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/dns_builder.h"
#include "tests/support/http2_builder.h"
#include "tests/support/packet_builder.h"
#include "tests/support/quic_helper.h"

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
// The name, and then the JA4, as a policy with ja4s asks for.
void client_hello_ja4(benchmark::State& state) {
  const Bytes stream = browser_hello("cdn.models.example.net").record();
  const auto scratch = std::make_unique<IdentifyScratch>();
  Identified out;
  identify(stream, false, *scratch, out);
  for (auto _ : state) {
    benchmark::DoNotOptimize(out);
    benchmark::DoNotOptimize(make_ja4(out.hello, HelloTransport::tcp));
  }
}
void client_hello_ja4_cached(benchmark::State& state) {
  const Bytes stream = browser_hello("cdn.models.example.net").record();
  const auto scratch = std::make_unique<IdentifyScratch>();
  const auto cache = std::make_unique<FingerprintCache>();
  Identified out;
  identify(stream, false, *scratch, out);
  for (auto _ : state) {
    benchmark::DoNotOptimize(out);
    benchmark::DoNotOptimize(make_ja4(out.hello, HelloTransport::tcp, *cache));
  }
}
void client_hello_ja3(benchmark::State& state) {
  const Bytes stream = browser_hello("cdn.models.example.net").record();
  const auto scratch = std::make_unique<IdentifyScratch>();
  Identified out;
  identify(stream, false, *scratch, out);
  for (auto _ : state) {
    benchmark::DoNotOptimize(out);
    benchmark::DoNotOptimize(make_ja3(out.hello));
  }
}

/// `datagrams` of one new flow, to its hello.
void run_quic(benchmark::State& state, const std::vector<Bytes>& datagrams) {
  const auto scratch = std::make_unique<QuicScratch>();
  Bytes held(kMaxQuicHelloBytes);
  QuicStep out;
  for (auto _ : state) {
    QuicTracker tracker;
    for (const Bytes& datagram : datagrams) quic_step(datagram, tracker, held, *scratch, out);
    benchmark::DoNotOptimize(out);
  }
  if (out.status != QuicStep::Status::hello) state.SkipWithError("no hello found");
}
const Bytes kQuicHello = browser_hello("cdn.models.example.net").message();

void quic_initial(benchmark::State& state) {
  run_quic(state, {hello_initial(kQuicHello).packet()});
}
// As a browser sends it: 1.7 KB over two datagrams, in pieces out of order.
void quic_initial_post_quantum(benchmark::State& state) {
  const Bytes message = browser_hello("cdn.models.example.net", kPostQuantumKeyShare).message();
  const auto cut = crypto_frames(message, {120, 300, 480, 700, 1000, 1300});
  run_quic(state, {initial(cut[3] + kPingFrame + cut[0] + Bytes(30) + cut[4] + cut[2]).packet(),
                   initial(cut[6] + kPingFrame + cut[5] + cut[1]).number(1).packet()});
}
// Of quic_initial, the part that is key derivation, and the part that is AES.
void quic_initial_keys(benchmark::State& state) {
  const Bytes id = from_hex("8394c8f03e515708");
  const QuicVersion& version = *find_quic_version(kQuicV1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(id.data());
    benchmark::DoNotOptimize(client_initial_keys(version, id));
  }
}
void quic_initial_aes(benchmark::State& state) {
  const Bytes packet = hello_initial(kQuicHello).packet();
  const QuicHeader header = read_quic_header(packet);
  const QuicKeys keys = client_initial_keys(*header.traits, header.destination_id);
  QuicCipher cipher;
  Bytes out(packet.size());
  OpenedPacket opened;
  for (auto _ : state) {
    opened = cipher.open(keys, packet, header.packet_number_offset, 0, out);
    benchmark::DoNotOptimize(opened);
  }
  if (!opened.ok) state.SkipWithError("not opened");
}
// What an Initial behind the verdict costs: a retransmission, compared with what was inspected.
void quic_initial_again(benchmark::State& state) {
  const Bytes packet = hello_initial(kQuicHello).packet();
  const auto scratch = std::make_unique<QuicScratch>();
  Bytes held(kMaxQuicHelloBytes);
  QuicTracker tracker;
  QuicStep out;
  quic_step(packet, tracker, held, *scratch, out);
  for (auto _ : state) {
    quic_step(packet, tracker, held, *scratch, out);
    benchmark::DoNotOptimize(out);
  }
  if (out.status != QuicStep::Status::nothing_new) state.SkipWithError("not the same");
}
void quic_short_header(benchmark::State& state) {
  const auto scratch = std::make_unique<QuicScratch>();
  Bytes held(kMaxQuicHelloBytes);
  QuicTracker tracker;
  QuicStep out;
  quic_step(hello_initial(kQuicHello).packet(), tracker, held, *scratch, out);
  const Bytes packet(1200, 0x41);
  for (auto _ : state) {
    quic_step(packet, tracker, held, *scratch, out);
    benchmark::DoNotOptimize(out);
  }
}
const Bytes kHttpRequest = bytes_of(
    "GET /models/llama/resolve/main/config.json HTTP/1.1\r\n"
    "Host: cdn.models.example.net\r\n"
    "User-Agent: python-requests/2.32.3\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Accept: */*\r\n"
    "Connection: keep-alive\r\n\r\n");
constexpr std::string_view kHeaderNames[] = {"user-agent"};

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
    answer = parse_dns_query(message, kDnsPort, query);
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
BENCHMARK(client_hello_ja4);
BENCHMARK(client_hello_ja4_cached);
BENCHMARK(client_hello_ja3);
BENCHMARK(quic_initial);
BENCHMARK(quic_initial_post_quantum);
BENCHMARK(quic_initial_keys);
BENCHMARK(quic_initial_aes);
BENCHMARK(quic_initial_again);
BENCHMARK(quic_short_header);
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
