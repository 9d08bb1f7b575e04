// What a ClientHello says beside its server name.
#include <array>
#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/inspect/fault_info.h"
#include "dataplane/inspect/tls_client_hello.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/identify_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// "none alpn=h2,http/1.1 version=0304 ech", or the fault alone.
std::string fields(const HelloBuilder& builder) {
  const Bytes body = builder.body();
  ClientHello hello;
  HostName name;
  const InspectFault fault = parse_client_hello(body, hello, name);
  if (fault != InspectFault::none) return std::string(to_string(fault));
  std::array<std::string_view, kMaxHelloAlpns> alpns;
  std::string out = "alpn=";
  for (const auto alpn : read_alpns(hello, alpns)) out += std::string(alpn) + ',';
  out += " version=" + std::to_string(newest_version(hello));
  if (hello.encrypted_hello) out += " ech";
  if (hello.encrypted_name) out += " esni";
  return out;
}

HelloBuilder with_alpns(size_t count) {
  return hello().alpn(std::vector<std::string_view>(count, "h3"));
}

}  // namespace

TEST_CASE("a ClientHello gives its protocols, versions and encrypted names", "[tls]") {
  struct Row {
    std::string what;
    HelloBuilder hello;
    std::string fields;
  };
  const std::vector<Row> rows = {
      {"nothing", hello(), "alpn= version=771"},
      {"one protocol", hello().alpn({"h2"}), "alpn=h2, version=771"},
      {"a browser's", browser_hello("a.b"), "alpn=h2,http/1.1, version=772 ech"},
      {"ESNI", hello().extension(0xffce, {1}), "alpn= version=771 esni"},
      {"an empty ECH", hello().extension(0xfe0d, {}), "alpn= version=771 ech"},
      {"an older draft of ECH", hello().extension(0xfe0c, {}), "alpn= version=771"},
      {"32 protocols", with_alpns(32).versions({0x0304}),
       [] {
         std::string out = "alpn=";
         for (int i = 0; i < 32; ++i) out += "h3,";
         return out + " version=772";
       }()},
      {"33 protocols", with_alpns(33), "tls_hello_too_long"},
      {"an empty protocol name", hello().alpn({"h2", ""}), "tls_bad_extension"},
      {"no protocols", hello().alpn({}), "alpn= version=771"},
      {"empty ALPN", hello().extension(16, {}), "tls_bad_extension"},
      {"a protocol past its list", hello().extension(16, {0, 2, 2, 'h'}), "tls_bad_extension"},
      {"a list past ALPN", hello().extension(16, {0, 3, 1, 'h'}), "tls_bad_extension"},
      {"a list short of ALPN", hello().extension(16, {0, 2, 1, 'h', 0}), "tls_bad_extension"},
      {"half a group", hello().extension(10, {0, 3, 0, 29, 0}), "tls_bad_extension"},
      {"groups past their extension", hello().extension(10, {0, 4, 0, 29}), "tls_bad_extension"},
      {"bytes behind groups", hello().extension(10, {0, 2, 0, 29, 0}), "tls_bad_extension"},
      {"half a signature", hello().extension(13, {0, 1, 4}), "tls_bad_extension"},
      {"half a version", hello().extension(43, {3, 3, 4, 3}), "tls_bad_extension"},
      {"versions with a long length", hello().extension(43, {0, 2, 3, 4}), "tls_bad_extension"},
      {"formats past their extension", hello().extension(11, {2, 0}), "tls_bad_extension"},
      {"formats", hello().extension(11, {3, 0, 1, 2}), "alpn= version=771"},
      {"1024 cipher suites", hello().ciphers(1024), "alpn= version=771"},
      {"1025 cipher suites", hello().ciphers(1025), "tls_hello_too_long"},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(fields(row.hello) == row.fields);
  }
}

TEST_CASE("a hello whose server name is none is read to its end", "[tls]") {
  for (const std::string text : {"server4:443", "192.0.2.1", "Mixed.Case."}) {
    const Bytes body = hello().sni(text).alpn({"h2"}).body();
    ClientHello got;
    HostName name;
    const bool good = text.find(':') == std::string::npos;
    CHECK(parse_client_hello(body, got, name) ==
          (good ? InspectFault::none : InspectFault::tls_bad_server_name));
    CHECK(got.server_name == text);
    CHECK(got.alpn_count == 1);
  }
  // Any other fault goes first.
  CHECK(fields(hello().sni("a b").alpn({""})) == "tls_bad_extension");
}

TEST_CASE("half a cipher suite is cut off", "[tls]") {
  Bytes body = hello().body();
  store16(body, 35, 1);  // cipher_suites: one byte of two
  body.erase(body.begin() + 38);
  ClientHello fields;
  HostName name;
  CHECK(parse_client_hello(body, fields, name) == InspectFault::tls_truncated);
}

TEST_CASE("identify() gives the hello and its end", "[tls][identify]") {
  const Bytes message = browser_hello("a.b").message();
  for (const size_t size : {message.size(), message.size() - 1, size_t{7}}) {
    CAPTURE(size);
    const Bytes records = tls_records(message, size);
    const Bytes stream = records + Bytes{20, 3, 3, 0, 1, 1};
    IdentifyScratch scratch{};
    Identified got;
    identify(stream, false, scratch, got);
    REQUIRE(got.status == Identified::Status::done);
    CHECK(got.hello_end == records.size());
    CHECK(got.hello.encrypted_hello);
    CHECK(got.hello.alpn_count == 2);
    CHECK(got.hello.extension_count == 17);
    CHECK(got.hello.cipher_suites.size() == 32);
  }
}
