#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "dataplane/inspect/tls_client_hello.h"
#include "dataplane/inspect/tls_record.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/identify_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

struct Row {
  std::string what;
  Bytes stream;
  std::string answer;
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(answer(row.stream) == row.answer);
  }
}

HelloBuilder with_extensions(size_t count) {
  auto out = hello();
  for (size_t i = 0; i < count; ++i) out.extension(static_cast<uint16_t>(1000 + i), {});
  return out;
}

// server_name extension with the ServerNameList given byte by byte.
Bytes name_list(const Bytes& list) {
  return hello().extension(0, block(list, 2)).record();
}

}  // namespace

TEST_CASE("a ClientHello gives its server name or a named fault", "[tls]") {
  const std::string longest = std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                              std::string(63, 'c') + "." + std::string(61, 'd');
  check_rows({
      {"one name", hello().sni("api.example.com").record(), "tls api.example.com"},
      {"case is folded", hello().sni("API.Example").record(), "tls api.example"},
      {"one trailing dot is stripped", hello().sni("a.b.").record(), "tls a.b"},
      {"253 bytes", hello().sni(longest).record(), "tls " + longest},
      {"254 bytes", hello().sni(longest + "d").record(), "fault tls_bad_server_name"},
      {"no extensions block", hello().record(), "tls -"},
      {"no server name", hello().extension(10, {0, 2, 0, 29}).record(), "tls -"},
      {"behind an unknown extension", hello().extension(0x0a0a, {1}).sni("a.b").record(),
       "tls a.b"},
      {"in front of one", hello().sni("a.b").extension(0x0a0a, {1}).record(), "tls a.b"},
      {"a browser's", browser_hello("www.example.org").record(), "tls www.example.org"},
      {"an IPv4 address, which clients do send", hello().sni("203.0.113.9").record(), "tls -"},
      {"empty name", hello().sni("").record(), "fault tls_bad_server_name"},
      {"only a dot", hello().sni(".").record(), "fault tls_bad_server_name"},
      {"two trailing dots", hello().sni("a.b..").record(), "fault tls_bad_server_name"},
      {"NUL in the name", hello().sni({"a\0b", 3}).record(), "fault tls_bad_server_name"},
      {"NUL behind the name", hello().sni({"a.b\0", 4}).record(), "fault tls_bad_server_name"},
      {"a space", hello().sni("a b").record(), "fault tls_bad_server_name"},
      {"a U-label",
       hello()
           .sni("b\xc3\xbc"
                "cher.example")
           .record(),
       "fault tls_bad_server_name"},
      {"a port", hello().sni("a.b:443").record(), "fault tls_bad_server_name"},
      {"a wildcard", hello().sni("*.a.b").record(), "fault tls_bad_server_name"},
      {"name type 1", name_list({1, 0, 1, 'a'}), "fault tls_bad_server_name"},
      {"two names in one list", name_list({0, 0, 1, 'a', 0, 0, 1, 'b'}),
       "fault tls_bad_server_name"},
      {"empty list", name_list({}), "fault tls_truncated"},
      {"name past its list", name_list({0, 0, 2, 'a'}), "fault tls_truncated"},
      {"list past its extension", hello().extension(0, {0, 9, 0}).record(), "fault tls_truncated"},
      {"list short of its extension", hello().extension(0, {0, 4, 0, 0, 1, 'a', 0}).record(),
       "fault tls_trailing_bytes"},
      {"empty server_name", hello().extension(0, {}).record(), "fault tls_truncated"},
  });
}

TEST_CASE("the rest of a ClientHello is held to its lengths", "[tls]") {
  check_rows({
      {"two server names", hello().sni("a.b").sni("c.d").record(), "fault tls_duplicate_extension"},
      {"an address, then a name", hello().sni("192.0.2.1").sni("c.d").record(),
       "fault tls_duplicate_extension"},
      {"any extension twice", hello().extension(99, {}).sni("a.b").extension(99, {1}).record(),
       "fault tls_duplicate_extension"},
      {"64 extensions", with_extensions(63).sni("a.b").record(), "tls a.b"},
      {"65 extensions", with_extensions(64).sni("a.b").record(), "fault tls_hello_too_long"},
      {"the last of 64 twice", with_extensions(63).extension(1062, {}).record(),
       "fault tls_duplicate_extension"},
      {"bytes behind the extensions", hello().sni("a.b").trailing({0}).record(),
       "fault tls_trailing_bytes"},
      {"one byte of an extensions length", hello().trailing({0}).record(), "fault tls_truncated"},
      {"an empty extensions block", hello().trailing({0, 0}).record(), "tls -"},
      {"half an extension header", hello().trailing({0, 3, 0, 9, 0}).record(),
       "fault tls_truncated"},
      {"an empty ClientHello", tls_record({1, 0, 0, 0}), "fault tls_truncated"},
  });
}

TEST_CASE("no prefix of a ClientHello body is one", "[tls]") {
  const Bytes whole = browser_hello("api.example.com").body();
  // Up to here the prefix is a TLS 1.2 hello without extensions, which is whole by itself.
  const size_t without_extensions = hello().session(32).ciphers(16).body().size();
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    const Bytes prefix = prefix_of(whole, size);
    ClientHello hello_fields;
    HostName name;
    const auto expected =
        size == without_extensions ? InspectFault::none : InspectFault::tls_truncated;
    CHECK(parse_client_hello(prefix, hello_fields, name) == expected);
    CHECK(name.empty());
  }
}

TEST_CASE("TLS records are framed by RFC 8446 section 5.1", "[tls]") {
  const Bytes message = hello().sni("api.example.com").message();
  const Bytes head = prefix_of(message, 50);
  const Bytes tail(message.begin() + 50, message.end());
  const Bytes first = tls_record(head);
  check_rows({
      {"version 0x0303", tls_record(message, 22, 0x0303), "tls api.example.com"},
      {"version 0x0300", tls_record(message, 22, 0x0300), "tls api.example.com"},
      {"version 0x0304", tls_record(message, 22, 0x0304), "fault tls_bad_record"},
      {"two records", first + tls_record(tail), "tls api.example.com"},
      {"two records of two versions", first + tls_record(tail, 22, 0x0303), "tls api.example.com"},
      {"data behind the last record", tls_record(message) + Bytes{20, 3, 3, 0, 1, 1},
       "tls api.example.com"},
      {"an alert between", first + tls_record({1, 0}, 21), "fault tls_bad_record"},
      {"early data between", first + tls_record({1, 0}, 23), "fault tls_bad_record"},
      {"another major version between", first + tls_record(tail, 22, 0x0201),
       "fault tls_bad_record"},
      {"an empty record first", tls_record({}) + tls_record(message), "fault tls_bad_record"},
      {"an empty record between", first + tls_record({}) + tls_record(tail),
       "fault tls_bad_record"},
      {"a record of 2^14 bytes",
       tls_record(prefix_of(hello().extension(9, Bytes(20000)).message(), 16384)), "need_more"},
      {"a record of 2^14 + 1", Bytes{22, 3, 1, 0x40, 0x01}, "fault tls_bad_record"},
      {"a ServerHello", tls_record({2, 0, 0, 1, 0}), "fault tls_not_client_hello"},
      {"a HelloRequest", tls_record({0, 0, 0, 0}), "fault tls_not_client_hello"},
      {"another message in the record", tls_record(message + Bytes{16, 0, 0, 0}),
       "fault tls_trailing_bytes"},
      {"a hello of 2^24 - 1", tls_record({1, 0xff, 0xff, 0xff}), "fault tls_hello_too_long"},
      {"a message of 32769 bytes", tls_record({1, 0, 0x7f, 0xfd}), "fault tls_hello_too_long"},
      {"a message of 32768 bytes", tls_record({1, 0, 0x7f, 0xfc}), "need_more"},
  });
}

TEST_CASE("the largest hello fits, in records of any size", "[tls]") {
  // 43 bytes of fixed fields and lengths, 10 of server name framing, and the padding's header.
  auto largest = hello().sni("a.b");
  const size_t rest = kMaxHelloBytes - largest.message().size() - 4;
  const Bytes message = largest.extension(21, Bytes(rest)).message();
  REQUIRE(message.size() == kMaxHelloBytes);
  for (const size_t size : {1, 5, 1000, 16384}) {
    CAPTURE(size);
    CHECK(answer(tls_records(message, size)) == "tls a.b");
  }
}

TEST_CASE("a hello over records of any size is the same hello", "[tls]") {
  const Bytes message = browser_hello("api.example.com").message();
  for (size_t size = 1; size <= message.size(); ++size) {
    CAPTURE(size);
    CHECK(answer(tls_records(message, size)) == "tls api.example.com");
  }
}

TEST_CASE("a hello in one record is not copied", "[tls]") {
  IdentifyScratch scratch{};
  const Bytes message = hello().sni("a.b").message();
  const Bytes stream = tls_record(message);
  const FramedHello framed = frame_client_hello(stream, scratch);
  REQUIRE(framed.status == Identified::Status::done);
  CHECK(framed.body.data() == stream.data() + 9);
  CHECK(framed.body.size() == message.size() - 4);

  // Nor when its header came in a record of its own.
  const Bytes two =
      tls_record(prefix_of(message, 4)) + tls_record({message.begin() + 4, message.end()});
  CHECK(frame_client_hello(two, scratch).body.data() == two.data() + 5 + 4 + 5);
}

TEST_CASE("what is not TLS, and what ends before it is", "[tls]") {
  const Bytes record = hello().sni("a.b").record();
  CHECK(answer({0x80, 0x2e, 0x01, 0x03, 0x01}) == "absent");  // SSL 2.0 hello
  CHECK(answer({22, 0x10, 0}) == "absent");
  CHECK(answer({22}) == "need_more");
  CHECK(answer({22}, true) == "absent");
  // Some servers read past an alert in front, or take any version for 3.x: these are TLS gone
  // wrong, never another protocol.
  CHECK(answer({21, 3, 1, 0, 2, 2, 40}) == "fault tls_bad_record");
  CHECK(answer({22, 2, 0}) == "fault tls_bad_record");
  for (size_t size = 2; size < record.size(); ++size) {
    CAPTURE(size);
    CHECK(answer(prefix_of(record, size), true) == "fault tls_truncated");
    const Identified got = identify_bytes(prefix_of(record, size));
    CHECK(got.app_known == Known::present);
    CHECK(got.app == AppProtocol::tls);
  }
}
