// Ways past the gateway in how an HTTP client writes its requests.
#include "tests/evasion/evasion.h"

using namespace sallyport;
using namespace sallyport::test;
using namespace std::string_literals;

namespace {

const std::string kAllowed{kAllowedName};
const std::string kDenied{kDeniedName};
const std::string kGet = "GET / HTTP/1.1\r\nHost: " + kAllowed + "\r\n\r\n";
const std::string kEvil = "GET / HTTP/1.1\r\nHost: " + kDenied + "\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A request of this line to these fields, with the CRLFs.
std::string head(const std::string& line, const std::vector<std::string>& fields) {
  std::string out = line + "\r\n";
  for (const std::string& field : fields) out += field + "\r\n";
  return out + "\r\n";
}
std::string get(const std::vector<std::string>& fields) {
  return head("GET / HTTP/1.1", fields);
}
std::string post(const std::vector<std::string>& fields, const std::string& body) {
  std::vector<std::string> all{"Host: " + kAllowed};
  all.insert(all.end(), fields.begin(), fields.end());
  return head("POST / HTTP/1.1", all) + body;
}

StreamCase denied(const std::string& name, const std::string& server, const std::string& bytes,
                  const std::string& leaves = "") {
  return {name, server, {client(bytes)}, Right::deny, bytes_of(leaves)};
}
StreamCase bad_host(const std::string& name, const std::string& server, const std::string& bytes) {
  return because("http_bad_host", denied(name, server, bytes));
}
StreamCase two_hosts(const std::string& name, const std::string& server, const std::string& bytes) {
  return because("http_host_conflict", denied(name, server, bytes));
}
StreamCase bad_line(const std::string& name, const std::string& server, const std::string& bytes,
                    const std::string& leaves = "") {
  return because("http_bad_request_line", denied(name, server, bytes, leaves));
}
StreamCase bad_header(const std::string& name, const std::string& server,
                      const std::string& bytes) {
  return because("http_bad_header", denied(name, server, bytes));
}
StreamCase allowed(const std::string& name, const std::string& server, const std::string& bytes) {
  return {name, server, {client(bytes)}, Right::allow, {}};
}

}  // namespace

TEST_CASE("requests that name two hosts", "[evasion]") {
  const std::string host = "Host: " + kAllowed;
  const std::string other = "Host: " + kDenied;
  play_all(
      {
          two_hosts("absolute-form names a denied host, Host an allowed one", "goes to the target",
                    head("GET http://" + kDenied + "/ HTTP/1.1", {host})),
          two_hosts("absolute-form names an allowed host, Host a denied one", "some go to the Host",
                    head("GET http://" + kAllowed + "/ HTTP/1.1", {other})),
          allowed("absolute-form and Host agree", "goes there",
                  head("GET http://" + kAllowed + "/ HTTP/1.1", {host})),
          bad_line("absolute-form with user information", "some take what is in front of the @",
                   head("GET http://" + kAllowed + "@" + kDenied + "/ HTTP/1.1", {host})),
          bad_line("absolute-form with a backslash", "some cut there",
                   head("GET http://" + kDenied + "\\@" + kAllowed + "/ HTTP/1.1", {host})),
          bad_host("two Hosts, allowed first", "the first, the last, or 400", get({host, other})),
          bad_host("two Hosts, denied first", "the first, the last, or 400", get({other, host})),
          bad_host("two equal Hosts", "200 or 400", get({host, host})),
          bad_host("Host in another case, twice", "the first, the last, or 400",
                   get({host, "hOST: " + kDenied})),
          bad_host("two hosts in one Host", "the first, the last, or 400",
                   get({host + ", " + kDenied})),
          bad_host("two hosts with a space between", "the first, or 400",
                   get({host + " " + kDenied})),
          bad_host("user information in Host", "some take what is behind the @",
                   get({"Host: " + kAllowed + "@" + kDenied})),
          nameless(denied("an empty Host", "its default host", get({"Host:"}))),
          bad_host("no Host", "400, or its default host", get({"Accept: */*"})),
          nameless(denied("HTTP/1.0 without Host", "its default host", head("GET / HTTP/1.0", {}))),
          nameless(denied("HTTP/0.9", "its default host", "GET /\r\n")),
          nameless(denied("HTTP/0.9 with an absolute target", "goes to the target",
                          "GET http://" + kDenied + "/\r\n")),
          nameless(denied("an IPv4 address", "its default host", get({"Host: 198.51.100.7"}))),
          denied("a denied host behind 20 KB of fields", "reads to the end",
                 get({"X: " + std::string(20'000, 'x'), other})),
          denied("an allowed host behind 32 KB of fields", "some refuse so much",
                 get({"X: " + std::string(32'768, 'x'), host})),
          allowed("an allowed host behind 20 KB of fields", "reads to the end",
                  get({"X: " + std::string(20'000, 'x'), host})),
          two_hosts("CONNECT to another name", "tunnels to the target",
                    head("CONNECT " + kDenied + ":443 HTTP/1.1", {host})),
          two_hosts("CONNECT whose Host is another name", "tunnels to the target",
                    head("CONNECT " + kAllowed + ":443 HTTP/1.1", {other})),
          denied("CONNECT without a port", "400",
                 head("CONNECT " + kAllowed + " HTTP/1.1", {host})),
          allowed("upper case and a port", "as without", get({"hOsT: WWW.ALLOWED.TEST:80"})),
          allowed("a trailing dot", "as without", get({host + "."})),
      },
      kEvasionPolicy, 80);
}

TEST_CASE("spaces and line ends that are read in two ways", "[evasion]") {
  const std::string host = "Host: " + kAllowed;
  const std::string line = "GET / HTTP/1.1\r\n";
  const std::string evil = "Host: " + kDenied;
  play_all(
      {
          bad_header("a Host over two lines (folding)", "joins them, or takes two fields",
                     get({"Host:", " " + kAllowed})),
          bad_header("a denied Host folded behind another field", "a part of it, or a Host",
                     get({"X: a", " " + evil, host})),
          bad_header("a fold with a tab", "a part of it, or a field", get({host, "\t.evil.test"})),
          bad_header("a space in front of the colon", "a Host, or another field",
                     get({host, "Host : " + kDenied})),
          bad_header("a tab in front of the colon", "a Host, or another field",
                     get({host, "Host\t: " + kDenied})),
          bad_header("only a Host with a space in front of the colon", "a Host, or none",
                     get({"Host : " + kAllowed})),
          bad_header("a space in front of the first field", "skips the line, or reads it",
                     get({" " + evil, host})),
          bad_header("a field without a colon", "skips it, or 400", get({"Host", host})),
          bad_header("a field without a name", "skips it, or 400", get({": " + kDenied, host})),
          bad_line("bare LF behind each line", "reads it as CRLF",
                   "GET / HTTP/1.1\nHost: " + kAllowed + "\n\n"),
          bad_header("a bare LF that ends a field", "another field, or not",
                     get({"X: a\n" + evil, host})),
          bad_header("a bare CR that ends a field", "another field, or not",
                     get({"X: a\r" + evil, host})),
          bad_header("a bare LF for the empty line", "ends the head, or not",
                     line + host + "\r\n\n" + evil + "\r\n\r\n"),
          bad_header("CR CR LF", "a line end, or not", line + host + "\r\r\n\r\n"),
          bad_header("NUL in a field", "cuts it there",
                     get({"X: a" + std::string(1, '\0') + "b", host})),
          bad_header("NUL in Host", "cuts it there",
                     get({"Host: " + kDenied + std::string(1, '\0') + "." + kAllowed})),
          bad_header("vertical tab in Host", "trims it", get({"Host: \v" + kAllowed})),
          allowed("tabs around the host", "trims them", get({"Host:\t " + kAllowed + " \t"})),
          allowed("no space behind the colon", "as with", get({"Host:" + kAllowed})),
          allowed("empty lines in front", "skips them", "\r\n\r\n" + kGet),
          denied("empty lines in front, denied", "skips them", "\r\n\r\n" + kEvil),
          denied("LFs in front, denied", "skips them", "\n\n" + kEvil),
          bad_line("spaces in front of the method", "skips them", "  " + kEvil),
          bad_line("a tab for the space", "as a space", "GET\t/\tHTTP/1.1\r\n" + evil + "\r\n\r\n"),
          bad_line("two spaces, allowed", "an empty target, or skips one",
                   "GET  / HTTP/1.1\r\n" + host + "\r\n\r\n"),
          bad_line("a space in the target", "cuts it there",
                   "GET /a HTTP/1.1 b HTTP/1.1\r\n" + host + "\r\n\r\n"),
          bad_line("HTTP/1.1 in lower case", "400, or takes it",
                   "GET / http/1.1\r\n" + host + "\r\n\r\n"),
          bad_line("HTTP/2.0 in a line", "400, or takes it",
                   "GET / HTTP/2.0\r\n" + host + "\r\n\r\n"),
          bad_line("HTTP/1.10", "400, or takes it", "GET / HTTP/1.10\r\n" + host + "\r\n\r\n"),
          denied("a method of 1,000 bytes", "405",
                 std::string(1000, 'A') + " / HTTP/1.1\r\n" + evil + "\r\n\r\n"),
          denied("an unknown method, denied", "405, or takes it",
                 "FETCH / HTTP/1.1\r\n" + evil + "\r\n\r\n"),
      },
      kEvasionPolicy, 80);
}

TEST_CASE("a second request with another host", "[evasion]") {
  const Bytes first = bytes_of(kGet);
  const std::string host = "Host: " + kAllowed;
  const std::string length = "Content-Length: " + std::to_string(kEvil.size());
  const std::string longer = "Content-Length: " + std::to_string(kEvil.size() + 4);
  play_all(
      {
          {"on a connection kept alive",
           "serves both",
           {client(kGet), server(kOk), client(kEvil)},
           Right::deny,
           first},
          {"on a connection kept alive, allowed",
           "serves both",
           {client(kGet), server(kOk), client(kGet)},
           Right::allow,
           {}},
          denied("pipelined", "serves both", kGet + kEvil, kGet),
          denied("pipelined behind two", "serves all", kGet + kGet + kEvil, kGet + kGet),
          allowed("pipelined, allowed", "serves both", kGet + kGet),
          denied("behind a body", "serves both", post({"Content-Length: 5"}, "hello" + kEvil),
                 post({"Content-Length: 5"}, "hello")),
          denied("behind a body in chunks", "serves both",
                 post({"Transfer-Encoding: chunked"}, "5\r\nhello\r\n0\r\n\r\n" + kEvil),
                 post({"Transfer-Encoding: chunked"}, "5\r\nhello\r\n0\r\n\r\n")),
          allowed("inside a body", "takes it for the body",
                  post({"Content-Length: " + std::to_string(kEvil.size())}, kEvil)),
          denied("behind HTTP/1.0 with keep-alive", "serves both",
                 head("GET / HTTP/1.0", {"Host: " + kAllowed, "Connection: keep-alive"}) + kEvil,
                 head("GET / HTTP/1.0", {"Host: " + kAllowed, "Connection: keep-alive"})),
          denied("behind Connection: close", "some serve both",
                 get({"Host: " + kAllowed, "Connection: close"}) + kEvil,
                 get({"Host: " + kAllowed, "Connection: close"})),
          denied("behind a request that carries HEAD", "serves both",
                 head("HEAD / HTTP/1.1", {"Host: " + kAllowed}) + kEvil,
                 head("HEAD / HTTP/1.1", {"Host: " + kAllowed})),
          denied("another protocol behind a request", "400", kGet + "SSH-2.0-x\r\n", kGet),
          denied("HTTP/0.9 behind a request", "its default host", kGet + "GET /\r\n", kGet),
          because("http_request_in_body",
                  denied("as the body of a GET", "some read no body there, and serve it",
                         get({host, length}) + kEvil, get({host, length}))),
          because("http_request_in_body",
                  denied("as the body of a DELETE, behind line ends", "the same",
                         head("DELETE / HTTP/1.1", {host, longer}) + "\r\n\r\n" + kEvil,
                         head("DELETE / HTTP/1.1", {host, longer}))),
          because("http_request_in_body",
                  denied("in the line of a chunk, behind an OPTIONS", "the same",
                         head("OPTIONS / HTTP/1.1", {host, "Transfer-Encoding: chunked"}) +
                             "a ;/ HTTP/1.1\r\n" + kEvil,
                         head("OPTIONS / HTTP/1.1", {host, "Transfer-Encoding: chunked"}))),
          allowed("a question in the body of a GET", "takes it for the body",
                  get({host, "Content-Length: 13"}) + "{\"query\": {}}" + kGet),
          denied("the body of a GET without a length", "the next request", kGet + "X" + kEvil,
                 kGet),
          {"behind Expect: 100-continue",
           "serves it once asked, or takes it for the body",
           {client(post({"Content-Length: 5", "Expect: 100-continue"}, "")),
            server("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"), client("hello" + kEvil)},
           Right::deny,
           bytes_of(post({"Content-Length: 5", "Expect: 100-continue"}, "hello"))},
      },
      kEvasionPolicy, 80);
}

// HTTP/0.9 names no host, so a list of denied names lets it pass: alone.
TEST_CASE("requests without a version, where only some names are denied", "[evasion]") {
  const auto alone = [](const std::string& name, const std::string& server,
                        const std::string& behind) {
    return bad_line(name, server, "GET /x\r\n" + behind, "GET /x\r\n");
  };
  play_all(
      {
          allowed("alone", "its default host", "GET /x\r\n"),
          allowed("with an empty line", "its default host", "GET /x\r\n\r\n"),
          alone("a denied Host behind it", "reads the fields all the same",
                "Host: " + kDenied + "\r\n\r\n"),
          alone("a request behind it", "serves both", kEvil),
          bad_line("a denied host as its target", "goes there", "GET http://" + kDenied + "/\r\n"),
          bad_line("without a line end, ended by LF", "its default host", "GET /x\n"),
          bad_line("a version that some servers take", "reads the fields",
                   "GET /x HTP/1.1\r\nHost: " + kDenied + "\r\n\r\n"),
          bad_line("another method", "reads the fields",
                   "POST /x\r\nHost: " + kDenied + "\r\n\r\n"),
          bad_line("two spaces", "skips one", "GET  /x\r\nHost: " + kDenied + "\r\n\r\n"),
      },
      kDenyListPolicy, 80);
}

TEST_CASE("requests smuggled by two lengths", "[evasion]") {
  const std::string chunked = "Transfer-Encoding: chunked";
  const std::string end = "0\r\n\r\n";
  const auto both = "Content-Length: " + std::to_string(end.size() + kEvil.size());
  const auto in_chunks = [&](const std::string& text) { return post({chunked}, text); };
  const std::string start = post({chunked}, "");
  const auto bad_chunk = [&](const std::string& name, const std::string& text) {
    return denied("chunk: " + name, "reads another length", start + text + kEvil, start + text);
  };
  std::vector<StreamCase> rows{
      denied("Content-Length and chunked", "either", post({both, chunked}, end + kEvil)),
      denied("chunked and Content-Length", "either", post({chunked, both}, end + kEvil)),
      denied("Content-Length twice", "the first or the last",
             post({"Content-Length: 5", "Content-Length: 0"}, "hello")),
      denied("Content-Length twice, the same", "takes it, or 400",
             post({"Content-Length: 5", "Content-Length: 5"}, "hello")),
      denied("a list in Content-Length", "takes it, or 400",
             post({"Content-Length: 5, 5"}, "hello")),
      denied("Content-Length with a sign", "takes it, or 400",
             post({"Content-Length: +5"}, "hello")),
      denied("a negative Content-Length", "wraps, or 400", post({"Content-Length: -1"}, "hello")),
      denied("a hexadecimal Content-Length", "0, 5, or 400",
             post({"Content-Length: 0x5"}, "hello")),
      denied("a Content-Length that wraps", "wraps, or 400",
             post({"Content-Length: 18446744073709551621"}, "hello")),
      denied("an empty Content-Length", "0, or 400", post({"Content-Length:"}, "hello")),
      denied("Content-Length behind a tab and a space in it", "5, or 55",
             post({"Content-Length: 5 5"}, "hello")),
      denied("chunked in HTTP/1.0", "chunked, or no body",
             head("POST / HTTP/1.0", {"Host: " + kAllowed, chunked}) + end + kEvil),
      denied("CONNECT with a body", "a tunnel, or a body",
             head("CONNECT " + kAllowed + ":443 HTTP/1.1", {"Host: " + kAllowed, both}) + kEvil),
      allowed("chunked in capitals", "chunked", post({"transfer-encoding: CHUNKED"}, end)),
      allowed("an extension of a chunk", "skips it", in_chunks("5;a=b\r\nhello\r\n" + end)),
      allowed("zeros in front of a size", "skips them", in_chunks("0005\r\nhello\r\n" + end)),
      allowed("trailers", "reads them", in_chunks("5\r\nhello\r\n0\r\nX: a\r\n\r\n")),
  };
  for (const std::string& coding :
       {"xchunked"s, "chunked, identity"s, "identity"s, "identity, chunked"s, "gzip, chunked"s,
        "chunked, chunked"s, "\vchunked"s, "\"chunked\""s, "chunked;a=b"s, "chunk"s, ""s, ","s}) {
    rows.push_back(denied("Transfer-Encoding: " + coding, "chunked, no body, or 400",
                          post({"Transfer-Encoding: " + coding}, end + kEvil)));
  }
  rows.push_back(denied("Transfer-Encoding twice", "chunked, or 400",
                        post({chunked, "Transfer-Encoding: identity"}, end + kEvil)));
  rows.push_back(denied("Transfer-Encoding with a space in front of the colon", "chunked, or none",
                        post({"Transfer-Encoding : chunked"}, end + kEvil)));
  rows.push_back(denied("Transfer-Encoding folded", "chunked, or none",
                        post({"Transfer-Encoding:", " chunked"}, end + kEvil)));
  for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
           {"a sign", "+5\r\nhello\r\n"},
           {"0x", "0x5\r\nhello\r\n"},
           {"a space in front", " 5\r\nhello\r\n"},
           {"a space behind", "5 \r\nhello\r\n"},
           {"a size that wraps", "10000000000000005\r\nhello\r\n"},
           {"no size", "\r\nhello\r\n"},
           {"no size but an extension", ";a=b\r\nhello\r\n"},
           {"bare LF behind the size", "5\nhello\r\n"},
           {"bare CR behind the size", "5\rhello\r\n"},
           {"bare LF in an extension", "5;a\nhello\r\n"},
           {"NUL in an extension", "5;a" + std::string(1, '\0') + "\r\nhello\r\n"},
           {"an extension of 2 KiB", "5;" + std::string(2048, 'a') + "\r\nhello\r\n"},
           {"no line end behind the data", "5\r\nhelloXX"},
           {"bare LF behind the data", "5\r\nhello\n"},
           {"data longer than its size", "4\r\nhello\r\n"},
           {"bare LF for the empty line at the end", "0\r\n\n"},
           {"a bare LF in the trailers", "0\r\nX: a\n\r\n"},
           {"Host in the trailers", "0\r\nHost: " + kDenied + "\r\n\r\n"},
           {"Content-Length in the trailers", "0\r\nContent-Length: 9\r\n\r\n"},
           {"a second request for trailers", "0\r\nGET / HTTP/1.1\r\n"},
       }) {
    rows.push_back(bad_chunk(name, text));
  }
  play_all(rows, kEvasionPolicy, 80);
}

// What is not recognised as HTTP passes such a policy undecided.
TEST_CASE("requests by lenient servers alone, under a list of denied names", "[evasion]") {
  const std::string evil = "\r\nHost: " + kDenied + "\r\n\r\n";
  const std::string proxy2 = "\r\n\r\n\0\r\nQUIT\n"s;
  const std::vector<std::pair<std::string, std::string>> rows{
      {"leading spaces", "  GET / HTTP/1.1" + evil},
      {"leading spaces, another method", "  FETCH / HTTP/1.1" + evil},
      {"an empty line and spaces in front", "\r\n \t\r\nGET / HTTP/1.1" + evil},
      {"a leading vertical tab", "\vGET / HTTP/1.1" + evil},
      {"a leading NUL", "\0GET / HTTP/1.1"s + evil},
      {"a tab behind the method", "PROPFIND\t/ HTTP/1.1" + evil},
      {"a method in lower case", "get\t/ HTTP/1.1" + evil},
      {"a form feed in front of the version", "FETCH /\fHTTP/1.1" + evil},
      {"tabs for all spaces", "FETCH\t/\tHTTP/1.1" + evil},
      {"an absolute target", "FETCH\thttp://" + kDenied + "/ HTTP/1.1" + evil},
      {"a bare CR behind the line", "FETCH / HTTP/1.1\rHost: " + kDenied + "\r\n\r\n"},
      {"a control in the target", "FETCH /\x01 HTTP/1.1" + evil},
      {"a NUL in the target", "FETCH /\0 HTTP/1.1"s + evil},
      {"a control in an absolute target", "FETCH http://\x01 HTTP/1.1" + evil},
      {"HTTP/2.0", "FETCH / HTTP/2.0" + evil},
      {"http/1.1 in lower case", "FETCH / http/1.1" + evil},
      {"PROXY version 1", "PROXY TCP4 198.18.0.2 198.19.0.2 40000 80\r\nGET / HTTP/1.1" + evil},
      {"PROXY UNKNOWN", "PROXY UNKNOWN\r\nGET / HTTP/1.1" + evil},
      {"PROXY version 2", proxy2 + "\x20\0\0\0GET / HTTP/1.1"s + evil},
  };
  for (const auto& [name, bytes] : rows) {
    play_all({bad_line(name, "serves it", bytes)}, kDenyListPolicy, 80);
  }
}

TEST_CASE("other protocols, under a list of denied names", "[evasion]") {
  play_all(
      {
          allowed("SSH", "speaks it", "SSH-2.0-OpenSSH_9.2\r\n"),
          allowed("SMTP", "speaks it", "EHLO client.test\r\n"),
          allowed("a length in front", "speaks it", "\0\0\0\x54\0\3\0\0user\0root\0\0"s),
          allowed("rlogin", "speaks it", "\0root\0root\0xterm/38400\0"s),
          allowed("Redis", "speaks it", "*1\r\n$4\r\nPING\r\n"),
          allowed("NATS", "speaks it", "CONNECT {\"verbose\":false}\r\nPING\r\n"),
          allowed("IRC", "speaks it", "NICK a\r\nUSER a 0 * :a\r\n"),
          allowed("memcached", "speaks it", "get /some/key\r\n"),
          allowed("RTSP", "speaks it", "DESCRIBE rtsp://x/ RTSP/1.0\r\n\r\n"),
      },
      kDenyListPolicy, 80);
}
