#include "dataplane/inspect/http_answers.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "dataplane/inspect/http_status.h"
#include "dataplane/inspect/http_stream.h"
#include "tests/support/http_helper.h"

using namespace sallyport;
using namespace sallyport::test;
using namespace std::string_literals;

namespace {

/// The status codes of what a server says to `asked` requests, then "all" when every answer has
/// ended, "lost", or how many wait.
std::string told(const std::vector<Bytes>& pieces, int asked = 1, bool of_head = false) {
  HttpAnswers answers;
  for (int i = 0; i < asked; ++i) answers.asked(of_head);
  std::string out;
  for (const Bytes& piece : pieces) {
    const Bytes in_its_own_block(piece);
    std::span<const uint8_t> bytes(in_its_own_block);
    while (const uint16_t code = answers.next_status(bytes)) out += std::to_string(code) + ' ';
  }
  if (answers.is_lost()) return out + "lost";
  return out + (answers.all_answered() ? "all" : std::to_string(answers.waiting()));
}
std::string told(const std::string& text, int asked = 1) {
  return told(std::vector<Bytes>{bytes_of(text)}, asked);
}

struct Row {
  std::string what;
  std::string server;
  std::string told;
};

std::string ok(const std::string& fields, const std::string& body = "") {
  return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body;
}
std::string chunked(const std::string& body) {
  return ok("Transfer-Encoding: chunked\r\n", body);
}
const std::string kLong(100, 'x');

std::vector<Row> followed() {
  return {
      {"an empty body", ok("Content-Length: 0\r\n"), "200 all"},
      {"a length", ok("Content-Length: 5\r\n", "hello"), "200 all"},
      {"a body that looks like an answer",
       ok("content-length:\t19 \r\n", "HTTP/1.1 101 X\r\n\r\nx"), "200 all"},
      {"part of a body", ok("Content-Length: 5\r\n", "hell"), "200 1"},
      {"part of a head", ok("Content-Length: 0\r\n").substr(0, 30), "200 1"},
      {"part of a code", "HTTP/1.1 20", "1"},
      {"a code alone", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 all"},
      {"HTTP/1.0", "HTTP/1.0 407 X\r\nContent-Length: 1\r\n\r\nx", "407 all"},
      {"chunks", chunked("5\r\nhello\r\n00a;x=y\r\n0123456789\r\n0\r\n\r\n"), "200 all"},
      {"a trailer", chunked("0\r\nX-T: " + kLong + "\r\n\r\n"), "200 all"},
      {"a chunk without its end", chunked("5\r\nhello"), "200 1"},
      {"an answer in a chunk", chunked("10\r\nHTTP/1.1 101 X\r\n\r\n0\r\n\r\n"), "200 all"},
      {"long fields", ok("X: " + kLong + "\r\nContent-Length: 0\r\nY: " + kLong + "\r\n"),
       "200 all"},
      {"204", "HTTP/1.1 204 X\r\n\r\n", "204 all"},
      {"304", "HTTP/1.1 304 X\r\nETag: x\r\n\r\n", "304 all"},
      {"304 and the length of what is not sent", "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n",
       "304 all"},
      {"an upgrade on offer", ok("Upgrade: h2,h2c\r\nContent-Length: 0\r\n"), "200 all"},
      {"interim answers",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: x\r\n\r\n" +
           ok("Content-Length: 0\r\n"),
       "100 103 200 all"},
  };
}

/// The client's side, whose tunnels the answers are followed for.
struct Adapter {
  HttpStream stream;

  HttpStep next(const Bytes& window, bool ended, HttpRequest& out) {
    return stream.next(window, ended, {}, http_scratch(), out);
  }
  void allow(const HttpRequest&) { stream.allow(); }
};

const std::string kConnect = "CONNECT c.d:443 HTTP/1.1\r\nHost: c.d:443\r\n\r\n";

}  // namespace

TEST_CASE("answers are followed to their end", "[http_answers]") {
  for (const Row& row : followed()) {
    CAPTURE(row.what);
    CHECK(told(row.server) == row.told);
  }
  const std::string two = ok("Content-Length: 1\r\n", "x") + chunked("0\r\n\r\n");
  CHECK(told(two, 2) == "200 200 all");
  CHECK(told(two, 3) == "200 200 1");
}

TEST_CASE("where an answer's end is in doubt the server is lost", "[http_answers]") {
  const auto length = [](const std::string& value) {
    return ok("Content-Length:" + value + "\r\n", "hello");
  };
  for (const Row& row : std::vector<Row>{
           {"no length", ok(""), "200 lost"},
           {"two lengths", ok("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "200 lost"},
           {"a list", length(" 5, 5"), "200 lost"},
           {"a sign", length(" +5"), "200 lost"},
           {"no digits", length(""), "200 lost"},
           {"19 digits", length(" 1000000000000000000"), "200 lost"},
           {"a line too long to keep", length(std::string(64, ' ') + "5"), "200 lost"},
           {"one whose end would change it", length(" 5" + std::string(64, ' ') + "5"), "200 lost"},
           {"a length and chunks", ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            "200 lost"},
           {"another coding", ok("Transfer-Encoding: gzip, chunked\r\n"), "200 lost"},
           {"chunks in HTTP/1.0", "HTTP/1.0 200 X\r\nTransfer-Encoding: chunked\r\n\r\n",
            "200 lost"},
           {"a folded line", ok("Content-Length:\r\n 5\r\n"), "200 lost"},
           {"a folded line behind", ok("Content-Length: 5\r\n 5\r\n"), "200 lost"},
           {"a space before the colon", ok("Content-Length : 5\r\n"), "200 lost"},
           {"no field", ok("Content-Length\r\n"), "200 lost"},
           {"LF alone", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "200 lost"},
           {"LF alone for the empty line", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
            "200 lost"},
           {"CR alone", ok("X: a\rContent-Length: 0\r\n"), "200 lost"},
           {"NUL", ok("X: \0\r\nContent-Length: 0\r\n"s), "200 lost"},
           {"a line end in front", "\r\n" + ok("Content-Length: 0\r\n"), "lost"},
           {"204 with a body", "HTTP/1.1 204 X\r\nContent-Length: 1\r\n\r\n", "204 lost"},
           {"304, and a body", "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\nhello", "304 lost"},
           {"101 that nobody asked for", "HTTP/1.1 101 X\r\n\r\n", "101 lost"},
           {"more than was asked for", ok("Content-Length: 0\r\n", "H"), "200 lost"},
           {"no answer", "SSH-2.0-OpenSSH\r\n", "lost"},
           {"HTTP/2", "HTTP/2.0 200 X\r\n", "lost"},
           {"a code of two digits", "HTTP/1.1 20 OK\r\n", "lost"},
           {"no chunk", chunked("\r\n"), "200 lost"},
           {"a chunk longer than its size", chunked("1\r\nab\r\n"), "200 lost"},
           {"LF alone behind a size", chunked("1\na\r\n"), "200 lost"},
           {"a size line too long to keep", chunked("1;" + kLong + "\r\na\r\n"), "200 lost"},
           {"no field in the trailers", chunked("0\r\nHTTP/1.1 101 X\r\n\r\n"), "200 lost"},
       }) {
    CAPTURE(row.what);
    CHECK(told(row.server) == row.told);
  }
}

TEST_CASE("an answer to HEAD ends with its head", "[http_answers]") {
  for (const std::string fields : {"", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"}) {
    CHECK(told({bytes_of(ok(fields))}, 1, true) == "200 all");
    CHECK(told({bytes_of(ok(fields) + ok(fields))}, 2, true) == "200 200 all");
    CHECK(told({bytes_of(ok(fields, "hello"))}, 1, true) == "200 lost");
  }
  // Which of many it is an answer to.
  for (const size_t place : {0, 1, 17, 31}) {
    CAPTURE(place);
    HttpAnswers answers;
    for (size_t i = 0; i < 40; ++i) answers.asked(i == place);
    std::string text;
    for (size_t i = 0; i < 40; ++i) text += ok("Content-Length: 2\r\n", i == place ? "" : "ok");
    const Bytes bytes = bytes_of(text);
    std::span<const uint8_t> rest(bytes);
    int codes = 0;
    while (answers.next_status(rest) != 0) ++codes;
    CHECK(codes == 40);
    CHECK(answers.all_answered());
    CHECK(answers.is_in_doubt());
  }
  HttpAnswers many;
  for (size_t i = 0; i < 32; ++i) many.asked(false);
  many.asked(true);
  CHECK(many.is_lost());
}

TEST_CASE("a body that may follow all the same leaves a doubt", "[http_answers]") {
  const auto doubts = [](const std::string& server, bool of_head) {
    HttpAnswers answers;
    answers.asked(of_head);
    const Bytes bytes = bytes_of(server);
    std::span<const uint8_t> rest(bytes);
    while (answers.next_status(rest) != 0) {
    }
    REQUIRE(answers.all_answered());
    return answers.is_in_doubt();
  };
  CHECK(doubts(ok("Content-Length: 5\r\n"), true));
  CHECK(doubts(ok("Transfer-Encoding: chunked\r\n"), true));
  CHECK(doubts(ok(""), true));
  CHECK(doubts("HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", false));
  CHECK_FALSE(doubts(ok("Content-Length: 0\r\n"), true));
  CHECK_FALSE(doubts(ok("Content-Length: 5\r\n", "hello"), false));
  CHECK_FALSE(doubts("HTTP/1.1 304 X\r\n\r\n", false));
  CHECK_FALSE(doubts("HTTP/1.1 204 X\r\n\r\n", false));
  CHECK_FALSE(doubts("HTTP/1.1 204 X\r\n\r\n", true));
}

TEST_CASE("bytes of a body are counted, seen or not", "[http_answers]") {
  HttpAnswers answers;
  answers.asked(false);
  answers.asked(false);
  const Bytes first = bytes_of(ok("Content-Length: 100\r\n", "hello"));
  std::span<const uint8_t> rest(first);
  CHECK(answers.next_status(rest) == 200);
  CHECK(answers.next_status(rest) == 0);
  CHECK(answers.body_bytes_left() == 95);
  answers.pass_body(90);
  CHECK(answers.body_bytes_left() == 5);
  const Bytes second = bytes_of("12345" + ok("Content-Length: 0\r\n"));
  rest = second;
  CHECK(answers.next_status(rest) == 200);
  CHECK(answers.next_status(rest) == 0);
  CHECK(answers.all_answered());
}

TEST_CASE("nothing is known of a server that speaks unasked", "[http_answers]") {
  CHECK(told(ok("Content-Length: 0\r\n"), 0) == "lost");
  CHECK(told("H", 0) == "lost");
  // Once lost it stays so.
  HttpAnswers answers;
  answers.lose();
  answers.asked(false);
  const Bytes bytes = bytes_of(ok("Content-Length: 0\r\n"));
  std::span<const uint8_t> rest(bytes);
  CHECK(answers.next_status(rest) == 0);
  CHECK_FALSE(answers.all_answered());
}

TEST_CASE("every split of a server's bytes tells the same", "[http_answers]") {
  for (const Row& row : followed()) {
    CAPTURE(row.what);
    const Bytes whole = bytes_of(row.server);
    std::vector<Bytes> bytewise;
    for (size_t cut = 0; cut < whole.size(); ++cut) {
      const auto middle = whole.begin() + static_cast<std::ptrdiff_t>(cut);
      CHECK(told({{whole.begin(), middle}, {middle, whole.end()}}) == row.told);
      bytewise.push_back({whole[cut]});
    }
    CHECK(told(bytewise) == row.told);
  }
}

TEST_CASE("a tunnel may be asked for when every answer before has ended", "[http_answers]") {
  const std::string twice = "CONNECT c.d - connect | CONNECT c.d - connect";
  // What the server says between the two, and whether the second is taken.
  struct AnswerRow {
    std::string what;
    std::string server;
    bool taken;
  };
  const std::string line = "HTTP/1.1 407 X\r\n";
  for (const AnswerRow& row : std::vector<AnswerRow>{
           {"a body of known length", line + "Content-Length: 2\r\n\r\nno", true},
           {"an interim answer in front",
            "HTTP/1.1 103 X\r\nA: b\r\n\r\n" + line + "Content-Length: 0\r\n\r\n", true},
           {"not all of the body", line + "Content-Length: 3\r\n\r\nno", false},
           {"a byte too many", line + "Content-Length: 2\r\n\r\nnot", false},
           {"not all of the head", line + "Content-Length: 0\r\n", false},
           {"a body up to the end of the connection", line + "\r\n", false},
       }) {
    CAPTURE(row.what);
    Adapter adapter;
    HttpFeeder feeder(adapter);
    feeder.feed(bytes_of(kConnect));
    adapter.stream.read_server(bytes_of(row.server));
    feeder.feed(bytes_of(kConnect));
    CHECK(feeder.run().text ==
          (row.taken ? twice : "CONNECT c.d - connect | fault http_early_tunnel"));
  }
}

TEST_CASE("a server that was not seen whole agrees to no tunnel", "[http_answers]") {
  Adapter adapter;
  HttpFeeder feeder(adapter);
  feeder.feed(bytes_of(kConnect));
  adapter.stream.lose_server();
  CHECK_FALSE(adapter.stream.reads_server());
  adapter.stream.read_server(bytes_of(ok("")));
  CHECK_FALSE(adapter.stream.opaque());
}

TEST_CASE("a fault in a body says nothing of a request before", "[http_answers]") {
  HttpStream stream;
  HttpRequest request;
  const std::string head = "POST / HTTP/1.1\r\nHost: a.b\r\nTransfer-Encoding: chunked\r\n\r\n"s;
  REQUIRE(stream.next(bytes_of(head), false, {}, http_scratch(), request).status ==
          HttpStep::Status::request);
  stream.allow();
  HttpRequest other;
  other.method = "of another flow";
  CHECK(stream.next(bytes_of("x\r\n"), false, {}, http_scratch(), other).fault ==
        InspectFault::http_bad_chunk);
  CHECK(other.method.empty());
}

TEST_CASE("a status line is RFC 9112 section 4", "[http_status]") {
  struct StatusRow {
    std::string_view text;
    int code;  // 0: need more; -1: no status line
  };
  for (const StatusRow& row : std::vector<StatusRow>{
           {"HTTP/1.1 200 OK\r\n", 200},
           {"HTTP/1.0 407 Proxy Authentication Required\r\n", 407},
           {"HTTP/1.1 101 ", 101},
           {"HTTP/1.1 999\r\n", 999},
           {"", 0},
           {"HTTP/1.1 200", 0},
           {"HTTP/2 200 OK", -1},
           {"HTTP/1.x 200 ", -1},
           {"HTTP/1.1  200 ", -1},
           {"HTTP/1.1 099 ", -1},
           {"HTTP/1.1 2000", -1},
           {"HTTP/1.1 20 O", -1},
           {"http/1.1 200 ", -1},
           {"ICY 200 OK", -1},
       }) {
    CAPTURE(row.text);
    const HttpStatus got = parse_http_status(bytes_of(row.text));
    using State = HttpStatus::State;
    CHECK(got.state == (row.code > 0   ? State::done
                        : row.code < 0 ? State::not_http
                                       : State::need_more));
    CHECK(got.code == std::max(row.code, 0));
  }
  const Bytes whole = bytes_of("HTTP/1.1 200 OK");
  for (size_t size = 0; size < 13; ++size) {
    CHECK(parse_http_status(prefix_of(whole, size)).state == HttpStatus::State::need_more);
  }
}
