// What inspecting one flow's first bytes, and decoding one packet, costs.
#include <benchmark/benchmark.h>

#include <memory>

#include "dataplane/inspect/identify.h"
#include "dataplane/inspect/packet.h"
#include "tests/support/client_hello_builder.h"
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
void http_request(benchmark::State& state) {
  run_identify(state, bytes_of("GET /models/llama/resolve/main/config.json HTTP/1.1\r\n"
                               "Host: cdn.models.example.net\r\n"
                               "User-Agent: python-requests/2.32.3\r\n"
                               "Accept-Encoding: gzip, deflate\r\n"
                               "Accept: */*\r\n"
                               "Connection: keep-alive\r\n\r\n"));
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
BENCHMARK(decode_tcp4);
BENCHMARK(decode_tcp6);
BENCHMARK(decode_tcp4_with_checksum);

}  // namespace

BENCHMARK_MAIN();
