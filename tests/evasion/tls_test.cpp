// Ways past the gateway in how a TLS client writes its hello.
#include "tests/evasion/evasion.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const std::string kAllowed{kAllowedName};
const std::string kDenied{kDeniedName};

Bytes named(std::string_view name) {
  return hello().sni(name).record();
}

/// A server_name extension of these entries, each a type and a name.
Bytes names(const std::vector<std::pair<uint8_t, std::string>>& entries) {
  Bytes list;
  for (const auto& [type, name] : entries) append(list, Bytes{type} + block(bytes_of(name), 2));
  return block(list, 2);
}

Bytes server_hello(bool retry) {
  const Bytes random = retry ? from_hex(
                                   "cf21ad74e59a6111be1d8c021e65b891"
                                   "c2a211167abb8c5e079e09e2c8a8339c")
                             : Bytes(32, 7);
  const Bytes body = Bytes{3, 3} + random + Bytes{0, 0x13, 1, 0, 0, 0};
  return tls_record(Bytes{2} + block(body, 3), 22, 0x0303);
}

/// In two records, the first with `first` bytes of the message.
Bytes two_records(const Bytes& message, size_t first) {
  const Bytes rest(message.begin() + static_cast<std::ptrdiff_t>(first), message.end());
  return tls_record(prefix_of(message, first)) + tls_record(rest);
}

const Bytes kChangeCipherSpec = tls_record({1}, 20, 0x0303);

}  // namespace

TEST_CASE("a hello over several records", "[evasion]") {
  std::vector<StreamCase> rows;
  for (const std::string& name : {kAllowed, kDenied}) {
    const Bytes message = hello().sni(name).message();
    const Right right = name == kAllowed ? Right::allow : Right::deny;
    const std::string server = "joins the records, and serves " + name;
    const auto add = [&](const std::string& what, const Bytes& bytes) {
      rows.push_back({what + ", " + name, server, {client(bytes)}, right, {}});
    };
    // The three places of a record's end that others get wrong, and every other one.
    for (size_t first = 1; first < message.size(); first += first < 6 ? 1 : 7) {
      add("two records, " + std::to_string(first) + " bytes in the first",
          two_records(message, first));
    }
    add("a byte in each record", tls_records(message, 1));
    add("five bytes in each record", tls_records(message, 5));
  }
  play_all(rows, kEvasionPolicy, 443);
}

TEST_CASE("a second hello with another name", "[evasion]") {
  const Bytes first = named(kAllowed);
  const Bytes second = named(kDenied);
  const Bytes again = named("api.allowed.test");
  const Bytes retry = server_hello(true);
  const Bytes early = tls_record(Bytes(60, 9), 23, 0x0303);
  play_all(
      {
          {"after a HelloRetryRequest",
           "serves the second",
           {client(first), server(retry), client(second)},
           Right::deny,
           first},
          {"after a HelloRetryRequest, behind change cipher spec",
           "serves the second",
           {client(first), server(retry), client(kChangeCipherSpec), client(second)},
           Right::deny,
           first + kChangeCipherSpec},
          {"after a HelloRetryRequest, over records of 3 bytes",
           "serves the second",
           {client(first), server(retry), client(tls_records(hello().sni(kDenied).message(), 3))},
           Right::deny,
           first},
          {"after a HelloRetryRequest that was cut in two",
           "serves the second",
           {client(first), server(prefix_of(retry, 20)),
            server(Bytes(retry.begin() + 20, retry.end())), client(second)},
           Right::deny,
           first},
          {"after a HelloRetryRequest, allowed",
           "serves the second",
           {client(first), server(retry), client(again), server(server_hello(false)),
            client(app_data("data"))},
           Right::allow,
           {}},
          {"without being asked",
           "an alert, or serves the second",
           {client(first), client(second)},
           Right::deny,
           first},
          {"without being asked, in the same segment",
           "an alert, or serves the second",
           {client(first + second)},
           Right::deny,
           first},
          {"after an alert of the server",
           "may serve the second",
           {client(first), server(tls_record({2, 40}, 21)), client(second)},
           Right::deny,
           first},
          {"in the place of early data",
           "skips early data, serves the hello",
           {client(first), client(early), client(second)},
           Right::deny,
           first + early},
          {"in the place of early data, after a HelloRetryRequest",
           "skips early data, serves the hello",
           {client(first), client(early), server(retry), client(early), client(second)},
           Right::deny,
           first + early + early},
          {"early data, then an allowed one",
           "skips early data, serves the hello",
           {client(first), client(early), server(retry), client(again)},
           Right::allow,
           {}},
          {"inside an encrypted record type, after the ServerHello",
           "sees data that does not open",
           {client(first), server(server_hello(false)), client(tls_record(Bytes(90, 3), 22))},
           Right::allow,
           {}},
      },
      kEvasionPolicy, 443);
}

TEST_CASE("names that are read in two ways", "[evasion]") {
  using namespace std::string_literals;
  const std::string nul = kDenied + "\0."s + kAllowed;
  const std::string nul_behind = kAllowed + "\0"s;
  const std::string nul_denied = kAllowed + "\0."s + kDenied;
  const Bytes one = names({{0, kAllowed}});
  const Bytes other = names({{0, kDenied}});
  const auto extended = [](uint16_t type, const Bytes& data) {
    return hello().extension(type, data).record();
  };
  const auto denied = [](const std::string& name, const std::string& server, const Bytes& bytes) {
    return StreamCase{name, server, {client(bytes)}, Right::deny, {}};
  };
  const auto allowed = [](const std::string& name, const std::string& server, const Bytes& bytes) {
    return StreamCase{name, server, {client(bytes)}, Right::allow, {}};
  };
  const auto bad_name = [&](const std::string& name, const std::string& server,
                            const Bytes& bytes) {
    return because("tls_bad_server_name", denied(name, server, bytes));
  };
  const auto twice = [&](const std::string& name, const std::string& server, const Bytes& bytes) {
    return because("tls_duplicate_extension", denied(name, server, bytes));
  };
  play_all(
      {
          bad_name("NUL between a denied and an allowed name", "cuts the name at the NUL",
                   named(nul)),
          bad_name("NUL between an allowed and a denied name", "cuts the name, or does not",
                   named(nul_denied)),
          bad_name("NUL behind an allowed name", "an alert", named(nul_behind)),
          allowed("upper case", "compares without case", named("WWW.Allowed.TEST")),
          denied("upper case, denied", "compares without case", named("WWW.DENIED.TEST")),
          allowed("a trailing dot", "as without, or an alert", named(kAllowed + ".")),
          denied("a trailing dot, denied", "as without, or an alert", named(kDenied + ".")),
          bad_name("two trailing dots", "an alert", named(kAllowed + "..")),
          bad_name("an empty label", "an alert", named("www..allowed.test")),
          nameless(denied("the bare name under a wildcard", "serves another host",
                          named("allowed.test"))),
          nameless(denied("a name that ends alike", "serves another host", named("xallowed.test"))),
          nameless(denied("an allowed name in front of another", "serves another host",
                          named(kAllowed + ".evil.test"))),
          bad_name("a wildcard as a name", "serves what it likes", named("*.allowed.test")),

          nameless(denied("an IPv4 address", "serves its default host", named("198.51.100.7"))),
          bad_name("an IPv6 address", "serves its default host", named("2001:db8::7")),
          nameless(denied("an IPv6 address in brackets", "serves its default host",
                          named("[2001:db8::7]"))),
          bad_name("a name with a port", "an alert", named(kAllowed + ":443")),
          bad_name("a space in front", "may trim it", named(" " + kAllowed)),
          bad_name("a tab behind", "may trim it", named(kAllowed + "\t")),
          bad_name("a slash", "may cut there", named(kDenied + "/." + kAllowed)),
          bad_name("UTF-8 dots", "may fold them to dots", named("www\u3002denied\u3002test")),
          bad_name("256 bytes", "an alert",
                   named(std::string(242, 'a') + "." + "allowed.test" + "x")),
          bad_name("256 bytes under an allowed name", "an alert, or serves it",
                   named(std::string(60, 'a') + "." + std::string(60, 'b') + "." +
                         std::string(60, 'c') + "." + std::string(59, 'd') + ".allowed.test")),
          bad_name("a label of 64 bytes", "an alert, or serves it",
                   named(std::string(64, 'a') + ".allowed.test")),
          bad_name("an empty name", "an alert, or its default host", named("")),
          nameless(denied("no server_name at all", "serves its default host", hello().record())),
          nameless(denied("no extensions at all", "serves its default host",
                          hello().legacy_version(0x0301).record())),
          twice("the extension twice, allowed first", "the first, the last, or an alert",
                hello().sni(kAllowed).sni(kDenied).record()),
          twice("the extension twice, denied first", "the first, the last, or an alert",
                hello().sni(kDenied).sni(kAllowed).record()),
          twice("the extension twice, the same", "an alert, or serves it",
                hello().sni(kAllowed).sni(kAllowed).record()),
          bad_name("two names in the list", "the first, the last, or an alert",
                   extended(0, names({{0, kAllowed}, {0, kDenied}}))),
          bad_name("two names in the list, the other first", "the first, the last, or an alert",
                   extended(0, names({{0, kDenied}, {0, kAllowed}}))),
          bad_name("a name of another type in front", "skips it, serves the second",
                   extended(0, names({{1, kAllowed}, {0, kDenied}}))),
          bad_name("a name of another type behind", "serves the first",
                   extended(0, names({{0, kAllowed}, {7, kDenied}}))),
          denied("an empty extension", "its default host", extended(0, {})),
          denied("bytes behind the list", "an alert, or serves it", extended(0, one + Bytes{0})),
          denied("a second list behind the first", "the first, or an alert",
                 extended(0, one + other)),
          allowed("GREASE all over", "ignores it",
                  hello()
                      .suites({0x0a0a, 0x1301})
                      .extension(0x1a1a, {})
                      .sni(kAllowed)
                      .extension(0xfafa, {0})
                      .versions({0x2a2a, 0x0304})
                      .record()),
          denied("an allowed name in a GREASE extension", "ignores it, serves the other",
                 hello().extension(0x0a0a, one).sni(kDenied).extension(0x1a1a, one).record()),
          twice("GREASE of one value twice", "an alert, or ignores it",
                hello().extension(0x0a0a, {}).sni(kAllowed).extension(0x0a0a, {}).record()),
          nameless(denied("an encrypted hello behind an allowed name", "serves the inner name",
                          browser_hello(kAllowed).record())),
          nameless(denied("an encrypted hello in two bytes", "serves the inner name, or an alert",
                          hello().sni(kAllowed).extension(0xfe0d, {0, 1}).record())),
          nameless(denied("the draft's encrypted name", "serves the encrypted name",
                          hello().extension(0xffce, Bytes(200, 5)).record())),
          nameless(denied("the draft's encrypted name behind an allowed one",
                          "serves the encrypted name",
                          hello().sni(kAllowed).extension(0xffce, Bytes(200, 5)).record())),
      },
      kEvasionPolicy, 443);
}

TEST_CASE("what is no hello", "[evasion]") {
  const Bytes message = hello().sni(kAllowed).message();
  Bytes empty_record = tls_record({}) + named(kDenied);
  Bytes sslv2 = from_hex("802e0103010015000000100100800300800700c0");
  const auto denied = [](const std::string& name, const std::string& server, const Bytes& bytes) {
    return StreamCase{name, server, {client(bytes)}, Right::deny, {}};
  };
  play_all(
      {
          nameless(denied("other bytes on port 443", "speaks the other protocol",
                          bytes_of("SSH-2.0-OpenSSH_9.2p1\r\n"))),
          nameless(denied("binary bytes on port 443", "speaks the other protocol",
                          from_hex("ffeeddccbbaa99887766554433221100"))),
          nameless(denied("an SSL 2.0 hello", "an alert, or takes it", sslv2 + Bytes(60, 1))),
          denied("an empty record in front", "skips it", empty_record),
          denied("an alert in front", "skips a warning", tls_record({1, 90}, 21) + named(kDenied)),
          denied("change cipher spec in front", "skips it", kChangeCipherSpec + named(kDenied)),
          denied("another handshake message in front", "an alert",
                 tls_record(Bytes{0, 0, 0, 0} + hello().sni(kDenied).message())),
          denied("a record version of 0x0404", "some take any",
                 tls_record(hello().sni(kDenied).message(), 22, 0x0404)),
          denied("bytes behind the hello in its record", "an alert, or reads them",
                 tls_record(message + hello().sni(kDenied).message())),
          denied("a hello cut short by its own length", "an alert",
                 tls_record(Bytes{1} + block(prefix_of(hello().sni(kAllowed).body(), 60), 3))),
          denied("a record over 16 KiB", "an alert",
                 tls_record(hello().extension(0x1234, Bytes(17'000, 1)).sni(kAllowed).message())),
      },
      kEvasionPolicy, 443);
}

TEST_CASE("a denied TLS client is told at once", "[evasion]") {
  Pipeline pipeline(kEvasionPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  flow.send(kDeniedHello);
  CHECK(farewell(pipeline.to_inside(), flow, kDeniedHello.size()) == kAccessDenied);
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));
}

TEST_CASE("an encrypted hello passes where the policy lets it", "[evasion]") {
  play({"ech is allowed by default",
        "serves the inner or the outer name",
        {client(browser_hello("www.allowed.test").record())},
        Right::allow,
        {}},
       R"(
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: a, action: Allow, to: {domainNames: ["*.allowed.test"]}, protocols: [{tls: {}}]}
)",
       443, {});
}
