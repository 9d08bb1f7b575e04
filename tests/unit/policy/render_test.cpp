#include <catch2/catch.hpp>

#include "policy/yaml/printable.h"
#include "policy/yaml/render.h"

using namespace sallyport;
using namespace std::string_literals;

namespace {

constexpr const char* kText =
    "apiVersion: sallyport/v1\n"
    "kind: Policy   # of egress\n"
    "metadata: {name: My-Policy, labels: {}}\n"
    "\tindent: \"a \\\" b\" \n"
    "  b\xc3\xbc: \xe4\xbe\x8b, x\n"
    "esc: \x1b[2J\xff\xe2\x80\xae end\r\n"
    "last: [";

Diagnostic at(unsigned line, unsigned column, std::string hint = "") {
  return {"p.yaml", line, column, "E008", "odd", std::move(hint)};
}

/// What stands between the heading and the summary, for one finding in kText.
std::string body(const Diagnostic& one, const RenderStyle& style = {}) {
  const SourceFile source{"p.yaml", kText};
  const std::string all = render({&one, 1}, {&source, 1}, style);
  const size_t heading = all.find('\n') + 1;
  CHECK(all.ends_with("\n\n1 error\n"));
  return all.substr(heading, all.size() - heading - std::string("\n1 error\n").size());
}

std::string long_line(size_t before, size_t after) {
  return std::string(before, 'b') + " [TOKEN] " + std::string(after, 'a');
}

/// The two lines under the heading.
std::string body_of_long(size_t before, size_t after, unsigned width) {
  const SourceFile source{"l.yaml", long_line(before, after)};
  const Diagnostic one{"l.yaml", 1, static_cast<unsigned>(before) + 3, "E008", "odd", ""};
  const std::string all = render({&one, 1}, {&source, 1}, {.width = width});
  return all.substr(all.find('\n') + 1);
}

}  // namespace

TEST_CASE("a finding shows its line, a mark under its place and its hint") {
  struct Row {
    unsigned line;
    unsigned column;
    const char* body;
  };
  for (const Row& row : std::initializer_list<Row>{
           {2, 7, "  2 | kind: Policy   # of egress\n    |       ^~~~~~\n"},
           {1, 1, "  1 | apiVersion: sallyport/v1\n    | ^~~~~~~~~~\n"},
           {3, 11, "  3 | metadata: {name: My-Policy, labels: {}}\n    |           ^\n"},
           {3, 18,
            "  3 | metadata: {name: My-Policy, labels: {}}\n"
            "    |                  ^~~~~~~~~\n"},
           // A tab takes up four cells here, whatever the terminal makes of it.
           {4, 2, "  4 |     indent: \"a \\\" b\" \n    |     ^~~~~~\n"},
           {4, 10, "  4 |     indent: \"a \\\" b\" \n    |             ^~~~~~~~\n"},
           // Columns count bytes, marks count cells: ü has two bytes and one cell, 例 three and
           // two.
           {5, 8, "  5 |   b\xc3\xbc: \xe4\xbe\x8b, x\n    |       ^~\n"},
           {5, 9, "  5 |   b\xc3\xbc: \xe4\xbe\x8b, x\n    |       ^~\n"},
           // At and far behind the end of a line.
           {7, 8, "  7 | last: [\n    |        ^\n"},
           {7, 999, "  7 | last: [\n    |        ^\n"},
           {99, 3, " 99 | \n    | ^\n"},
       }) {
    INFO(row.line << ":" << row.column);
    CHECK(body(at(row.line, row.column)) == row.body);
  }
  CHECK(body(at(2, 7, "write 'EgressPolicy'")) ==
        "  2 | kind: Policy   # of egress\n    |       ^~~~~~\n    help: write 'EgressPolicy'\n");
  CHECK(body(at(0, 0, "split it")) == "    help: split it\n");
  Diagnostic elsewhere = at(2, 7);
  elsewhere.file = "other.yaml";
  CHECK(body(elsewhere).empty());
}

TEST_CASE("a byte order mark shifts nothing") {
  const SourceFile source{"p.yaml", "\xef\xbb\xbfkind: x\n"};
  const Diagnostic one = at(1, 7);
  CHECK(render({&one, 1}, {&source, 1}) ==
        "p.yaml:1:7: error[E008]: odd\n  1 | kind: x\n    |       ^\n\n1 error\n");
}

TEST_CASE("nothing that a terminal obeys gets through") {
  CHECK(body(at(6, 1)) == "  6 | esc: \\x1b[2J\\xff\\u{202e} end\n    | ^~~\n");
  CHECK(body(at(6, 6)) ==
        "  6 | esc: \\x1b[2J\\xff\\u{202e} end\n    |      ^~~~~~~~~~~~~~~~~~~~~~~\n");
  const Diagnostic evil{"\x1b]0;x\a.yaml",
                        1,
                        1,
                        "E008",
                        "key 'a\nb\x1b[31m'",
                        "write \xc2\x9b",
                        Diagnostic::Severity::warning};
  const std::string expected =
      "\\x1b]0;x\\x07.yaml:1:1: warning[E008]: key 'a\\nb\\x1b[31m' (write \\x9b)";
  CHECK(to_string(evil) == expected);
  const std::string rendered = render({&evil, 1}, {});
  CHECK(rendered ==
        "\\x1b]0;x\\x07.yaml:1:1: warning[E008]: key 'a\\nb\\x1b[31m'\n"
        "    help: write \\x9b\n\n1 warning\n");
  // Every byte and every code point that is harmful, in every place.
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  for (const char* point : {"\xc2\x80", "\xc2\x9f", "\xe2\x80\xa8", "\xe2\x81\xa9"}) all += point;
  const SourceFile source{all, all + "\n" + all};
  for (unsigned column = 1; column <= all.size() + 1; ++column) {
    const Diagnostic one{all, 2, column, "E008", all, all};
    for (const char c : render({&one, 1}, {&source, 1})) {
      if (c != '\n' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) FAIL(column);
    }
  }
}

TEST_CASE("long lines are cut around the place") {
  CHECK(body_of_long(3, 3, 40) == "  1 | bbb [TOKEN] aaa\n    |      ^~~~~\n\n1 error\n");
  CHECK(body_of_long(3, 500, 40) ==
        "  1 | bbb [TOKEN] " + std::string(28, 'a') + "...\n    |      ^~~~~\n\n1 error\n");
  CHECK(body_of_long(500, 3, 40) == "  1 | ..." + std::string(28, 'b') + " [TOKEN] aaa\n    | " +
                                        std::string(33, ' ') + "^~~~~\n\n1 error\n");
  CHECK(body_of_long(5000, 5000, 40) == "  1 | ..." + std::string(12, 'b') + " [TOKEN] " +
                                            std::string(19, 'a') + "...\n    | " +
                                            std::string(17, ' ') + "^~~~~\n\n1 error\n");
  // A line of 10 MB costs no more than one of a kilobyte: a thousand of them are quick.
  const SourceFile source{"l.yaml", long_line(5'000'000, 5'000'000)};
  const std::vector<Diagnostic> many(1000, {"l.yaml", 1, 5'000'003, "E008", "odd", ""});
  CHECK(render(many, {&source, 1}).size() < 300'000);
}

TEST_CASE("colours only where they are asked for") {
  const std::string coloured = body(at(2, 7, "write it"), {.colours = true});
  CHECK(coloured ==
        "\x1b[34m  2 | \x1b[0mkind: Policy   # of egress\n"
        "\x1b[34m    | \x1b[0m\x1b[1;32m      ^~~~~~\x1b[0m\n"
        "    \x1b[1;36mhelp: \x1b[0mwrite it\n");
  CHECK_FALSE(body(at(2, 7, "write it")).contains('\x1b'));
}

TEST_CASE("the summary counts") {
  const auto warning = Diagnostic::Severity::warning;
  const Diagnostic error{"p", 0, 0, "E001", "x", ""};
  const Diagnostic warn{"p", 0, 0, "W001", "x", "", warning};
  const Diagnostic note{"p", 0, 0, kTooManyErrorsCode, "x", ""};
  const auto count = [](const std::vector<Diagnostic>& all) { return count_findings(all); };
  CHECK(count({}).empty());
  CHECK(count({error}) == "1 error");
  CHECK(count({error, warn, error, error}) == "3 errors, 1 warning");
  CHECK(count({warn, warn}) == "2 warnings");
  CHECK(count({error, error, note}) == "at least 2 errors");
  CHECK(render({}, {}).empty());
}

TEST_CASE("text made printable, and cut without breaking a character") {
  CHECK(printable("plain b\xc3\xbc\xe4\xbe\x8b \xf0\x9f\x98\x80") ==
        "plain b\xc3\xbc\xe4\xbe\x8b \xf0\x9f\x98\x80");
  // Overlong, surrogate, above U+10FFFF, cut off, stray continuation.
  CHECK(printable("\xc0\xaf") == "\\xc0\\xaf");
  CHECK(printable("\xe0\x80\xaf") == "\\xe0\\x80\\xaf");
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
  CHECK(printable("\xe4\xbe") == "\\xe4\\xbe");
  CHECK(printable(std::string_view("\xe4\xbe\x8b").substr(0, 2)) == "\\xe4\\xbe");
  CHECK(printable("\x80"
                  "a") ==
        "\\x80"
        "a");
  CHECK(printable("a\0b\x7f"s) == "a\\x00b\\x7f");
  CHECK(printable("a\xe2\x80\x8b.b") == "a\\u{200b}.b");
  CHECK(shortened("b\xc3\xbcro", 5) == "b\xc3\xbcro");
  CHECK(shortened("b\xc3\xbcro", 4) == "b\xc3\xbcr...");
  CHECK(shortened("b\xc3\xbcro", 2) == "b...");
  CHECK(shortened("b\xc3\xbcro", 0) == "...");
}
