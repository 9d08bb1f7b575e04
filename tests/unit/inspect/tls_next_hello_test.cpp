// Later ClientHellos of a flow, and the server's answers between them.
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/inspect/tls_client_hello.h"
#include "dataplane/inspect/tls_record.h"
#include "tests/support/client_hello_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const Bytes kChangeCipherSpec = tls_record({1}, 20, 0x0303);

/// "skip 6", "hello a.b 99", "over", "need_more", "fault tls_bad_record".
std::string next(const Bytes& stream) {
  static const auto scratch = std::make_unique<IdentifyScratch>();
  const NextHello got = next_client_hello(stream, *scratch);
  switch (got.status) {
    case NextHello::Status::need_more:
      CHECK(got.need_bytes > stream.size());
      return "need_more";
    case NextHello::Status::skip:
      return "skip " + std::to_string(got.end);
    case NextHello::Status::hello: {
      ClientHello fields;
      HostName name;
      REQUIRE(parse_client_hello(got.body, fields, name) == InspectFault::none);
      return "hello " + std::string(name.view()) + " " + std::to_string(got.end);
    }
    case NextHello::Status::over:
      return "over";
    case NextHello::Status::fault:
      break;
  }
  return "fault " + std::string(to_string(got.fault));
}

/// The names of all hellos of a client's stream, walked record by record.
std::vector<std::string> all_names(const Bytes& stream) {
  std::vector<std::string> out;
  const auto scratch = std::make_unique<IdentifyScratch>();
  size_t at = 0;
  while (at < stream.size()) {
    const NextHello got = next_client_hello(std::span(stream).subspan(at), *scratch);
    if (got.status != NextHello::Status::skip && got.status != NextHello::Status::hello) break;
    if (got.status == NextHello::Status::hello) {
      ClientHello fields;
      HostName name;
      REQUIRE(parse_client_hello(got.body, fields, name) == InspectFault::none);
      out.emplace_back(name.view());
    }
    at += got.end;
  }
  return out;
}

Bytes server_hello(const Bytes& random) {
  return Bytes{2} + block(Bytes{3, 3} + random + Bytes{0, 0x13, 1, 0, 0, 0}, 3);
}

// SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3).
const Bytes kRetryRandom = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                            0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                            0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

}  // namespace

TEST_CASE("what stands behind a ClientHello", "[tls]") {
  const Bytes second = hello().sni("second.example").record();
  const std::string found = "hello second.example " + std::to_string(second.size());
  struct Row {
    std::string what;
    Bytes stream;
    std::string answer;
  };
  const std::vector<Row> rows = {
      {"nothing yet", {}, "need_more"},
      {"change cipher spec", kChangeCipherSpec + second, "skip 6"},
      {"half of one", {20, 3, 3, 0}, "need_more"},
      {"early data not all here", {23, 3, 3, 0x40, 0x11, 9}, "skip 16406"},
      {"an alert", tls_record({1, 0}, 21), "skip 7"},
      {"another hello", second, found},
      {"another hello and more", second + kChangeCipherSpec, found},
      {"ClientKeyExchange", tls_record({16, 0, 0, 1, 0}), "over"},
      {"no record", {'G', 'E', 'T', ' ', '/'}, "fault tls_bad_record"},
      {"no record, first byte", {'G'}, "fault tls_bad_record"},
      {"another major version", {20, 2}, "fault tls_bad_record"},
      {"a record of 2^14 + 2049", {23, 3, 3, 0x48, 0x01}, "fault tls_bad_record"},
      {"a hello of two messages", tls_record(hello().message() + hello().message()),
       "fault tls_trailing_bytes"},
      {"a hello that is too long", tls_record({1, 1, 0, 0}), "fault tls_hello_too_long"},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(next(row.stream) == row.answer);
  }
}

TEST_CASE("a second hello is found over any records and cuts", "[tls]") {
  const Bytes message = browser_hello("second.example").message();
  for (size_t size = 1; size <= message.size(); size += 13) {
    const Bytes records = tls_records(message, size);
    CHECK(next(records) == "hello second.example " + std::to_string(records.size()));
    for (size_t cut = 0; cut < records.size(); ++cut) {
      REQUIRE(next(prefix_of(records, cut)) == "need_more");
    }
  }
}

TEST_CASE("every plaintext hello of a stream is found", "[tls]") {
  const Bytes stream = hello().sni("one.example").record() + kChangeCipherSpec +
                       tls_record(Bytes(900, 7), 23) + tls_record(Bytes(16400, 1), 23) +
                       browser_hello("two.example").record() +
                       tls_records(hello().sni("three.example").message(), 5);
  CHECK(all_names(stream) ==
        std::vector<std::string>{"one.example", "two.example", "three.example"});
}

TEST_CASE("a server's answer is told apart", "[tls]") {
  const Bytes taken = server_hello(Bytes(32, 0x11));
  Bytes near_retry = kRetryRandom;
  near_retry.back() ^= 1;
  CHECK(read_server_answer(tls_record(taken)) == ServerAnswer::server_hello);
  CHECK(read_server_answer(tls_record(server_hello(kRetryRandom))) ==
        ServerAnswer::hello_retry_request);
  CHECK(read_server_answer(tls_record(server_hello(near_retry))) == ServerAnswer::server_hello);
  CHECK(read_server_answer(tls_record({2, 40}, 21)) == ServerAnswer::other);
  CHECK(read_server_answer(bytes_of("HTTP/1.1 400")) == ServerAnswer::other);
  CHECK(read_server_answer(tls_record({1, 0, 0, 0})) == ServerAnswer::other);
  for (const size_t size : {1, 3, 37, 38, 70}) {
    CAPTURE(size);
    const Bytes whole = tls_records(server_hello(kRetryRandom), size);
    CHECK(read_server_answer(whole) == ServerAnswer::hello_retry_request);
    for (size_t cut = 0; cut < 43; ++cut) {
      CHECK(read_server_answer(prefix_of(whole, cut)) == ServerAnswer::need_more);
    }
  }
}
