#include <catch2/catch.hpp>

#include "policy/yaml/document.h"

using namespace sallyport;
using namespace std::string_literals;

namespace {

std::vector<Diagnostic> diagnose(const std::string& text) {
  const auto parsed = parse_yaml({"p.yaml", text});
  return parsed ? std::vector<Diagnostic>{} : parsed.error();
}

std::string first(const std::string& text) {
  const auto found = diagnose(text);
  return found.empty() ? "" : to_string(found.front());
}

std::string repeated(std::string_view text, size_t times) {
  std::string out;
  out.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("text that no reviewer could trust is refused with its place") {
  struct Row {
    std::string text;
    const char* says;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"a: b # caf\xe9\n",
            "p.yaml:1:11: error[E001]: not valid YAML: \\xe9 is not UTF-8 (save the file as "
            "UTF-8)"},
           {"a: b\nc: \x1b[0m\n",
            "p.yaml:2:4: error[E001]: not valid YAML: control character \\x1b (remove it)"},
           {"a: \x7f\n",
            "p.yaml:1:4: error[E001]: not valid YAML: control character \\x7f (remove it)"},
           {"a: \xc2\x9b\n",
            "p.yaml:1:4: error[E001]: not valid YAML: control character \\x9b (remove it)"},
           {"# \xe2\x80\xae yllA\na: b\n",
            "p.yaml:1:3: error[E001]: not valid YAML: control character \\u{202e} (remove it)"},
           {"\xef\xbb\xbf# \x01\n",
            "p.yaml:1:3: error[E001]: not valid YAML: control character \\x01 (remove it)"},
           {"a: \"\\e[2J\"\n",
            "p.yaml:1:4: error[E001]: not valid YAML: control character \\x1b in a value (remove "
            "it)"},
           {"\"\\u202e\": b\n",
            "p.yaml:1:1: error[E001]: not valid YAML: control character \\u{202e} in a value "
            "(remove "
            "it)"},
           {"a: \"\\n\\t\\xfc\"\n", ""},
           {"\x7f"
            "ELF\x02\x01\x01\0\0\0"s,
            "p.yaml: error[E001]: not valid YAML: the file is not UTF-8 text (save it as UTF-8)"},
           {"\xff\xfe"
            "a",
            "p.yaml: error[E001]: not valid YAML: the file is not UTF-8 text (save it as UTF-8)"},
           {"a: \"tab\tb\xc3\xbc \xe4\xbe\x8b\"\r\nb: c\n", ""},
       }) {
    INFO(row.text);
    CHECK(first(row.text) == row.says);
  }
}

TEST_CASE("a file with endless errors gives a thousand and says so") {
  const auto found = diagnose("a: [" + repeated("&x 1, ", 300'000) + "]\n");
  REQUIRE(found.size() == kMaxErrorsPerFile + 1);
  CHECK(found[0].code == "E003");
  CHECK(found[kMaxErrorsPerFile - 1].code == "E003");
  CHECK(found.back().code == kTooManyErrorsCode);
  CHECK(found.back().message == "too many errors: no more than 1000 of one file are reported");
  CHECK(found.back().line == 1);
  CHECK(found.back().column == found[kMaxErrorsPerFile - 1].column);
  CHECK(diagnose(repeated("\x01", 5000)).size() <= kMaxErrorsPerFile + 1);
}

TEST_CASE("Report keeps the first thousand, in whatever order they come") {
  Report report("p.yaml");
  for (unsigned i = 0; i < kMaxErrorsPerFile; ++i) report.error(5000 - i, 1, "E008", "x");
  CHECK(report.full());
  CHECK(Report(report).take().size() == kMaxErrorsPerFile);
  report.error(9000, 1, "E008", "x");
  const auto found = report.take();
  REQUIRE(found.size() == kMaxErrorsPerFile + 1);
  CHECK(found.back().line == 5000);  // Sorting by place leaves it behind all others.
}

TEST_CASE("an unknown key gets the nearest known one as its hint, or all of them") {
  const auto parsed = parse_yaml({"p.yaml", "prots: 1\nwhatever: 2\n"});
  REQUIRE(parsed.has_value());
  Report report("p.yaml");
  MapReader map(parsed->front(), "tls", report);
  map.find("ports");
  map.find("alpns");
  map.finish();
  const auto found = report.take();
  REQUIRE(found.size() == 2);
  CHECK(to_string(found[0]) ==
        "p.yaml:1:1: error[E008]: unknown key 'prots' in tls (did you mean 'ports'?)");
  CHECK(to_string(found[1]) ==
        "p.yaml:2:1: error[E008]: unknown key 'whatever' in tls (one of ports, alpns)");
}

TEST_CASE("a hundred thousand unknown keys are quick") {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "k" + std::to_string(i) + ": 1\n";
  const auto parsed = parse_yaml({"p.yaml", text});
  REQUIRE(parsed.has_value());
  Report report("p.yaml");
  MapReader map(parsed->front(), "tls", report);
  for (const char* key : {"ports", "alpns", "ja4s", "ech"}) map.find(key);
  map.finish();
  CHECK(report.take().size() == kMaxErrorsPerFile + 1);
}

TEST_CASE("a message quotes only the head of a huge value") {
  Report report("p.yaml");
  report.error(1, 1, "E011", repeated("x", 10'000'000), repeated("y", 10'000'000));
  CHECK(to_string(report.take().front()).size() < 1100);
}

TEST_CASE("quoted text without an end") {
  const char* says = "p.yaml:1:4: error[E001]: not valid YAML: the quoted text has no end";
  for (const char* text : {"a: \"x\n\n", "a: 'x\n", "a: 'x''\n", "a: \"x\\\"\n", "a: \"x\n\ny\n"}) {
    INFO(text);
    CHECK(first(text).starts_with(says));
  }
  for (const char* text :
       {"a: \"x\"\n", "a: 'x'''\n", "a: ''\n", "a: \"x\\\\\"\n", "a: \"x\n\n y\"\n"}) {
    INFO(text);
    CHECK(first(text).empty());
  }
}

TEST_CASE("a comma that belongs nowhere") {
  for (const char* text : {",", ", ", "\n\n,b", "a\n---\n,b", "[a],", "{a: b},\n"}) {
    INFO(text);
    CHECK(first(text).ends_with("error[E001]: not valid YAML: unexpected ','"));
  }
}

TEST_CASE("a file of too many values") {
  const std::string text = repeated("---\n", kMaxYamlNodes + 1);
  CHECK(first(text) ==
        "p.yaml:2000002:1: error[E007]: the file holds over 2000000 values (split it)");
}

// docs/policy.md says how long 10 MB of each take.
TEST_CASE("inputs that are meant to hurt end by name") {
  constexpr size_t kBytes = 500'000;
  struct Row {
    const char* what;
    std::string head;
    std::string unit;
    const char* code;  ///< Of the first finding; "" = parses.
  };
  for (const Row& row : std::initializer_list<Row>{
           {"aliases", "a: &a [", "*a,", "E003"},
           {"anchors", "", "- &a\n", "E003"},
           {"tags", "[", "!t a,", "E004"},
           {"deep flow lists", "", "[", "E006"},
           {"deep flow maps", "", "{a: ", "E006"},
           {"deep block lists", "", "- ", "E006"},
           {"complex keys", "", "? ", "E006"},
           {"documents", "", "---\n", ""},
           {"documents of a value", "", "--- a\n", ""},
           {"values", "[", "a,", "E001"},
           {"values in lines", "", "- a\n", ""},
           {"long values", "", "- abcdefghijklmnop\n", ""},
           {"one key again and again", "", "a: b\n", "E002"},
           {"a plain scalar", "a: ", "x", ""},
           {"a plain scalar of words", "a: ", "x ", ""},
           {"a scalar over many lines", "a:\n", " x\n", ""},
           {"an open quoted scalar", "a: \"", "x", "E001"},
           {"escapes", "a: \"", "\\x1b", "E001"},
           {"a quoted scalar over many lines", "a: \"", "x\n\n", "E001"},
           {"a block scalar", "a: |\n", "  x\n", ""},
           {"a comment", "# ", "x", ""},
           {"comments", "", "#\n", ""},
           {"blank lines", "", "\n", ""},
           {"spaces", "", " ", ""},
           {"tabs", "", "\t", ""},
           {"colons", "", ":", "E001"},
           {"colons and spaces", "", ": ", "E005"},
           {"directives", "", "%TAG !a! b\n", "E001"},
           {"open maps", "", "a: {", "E006"},
           {"commas", "[", ",", "E001"},
       }) {
    INFO(row.what);
    const std::string text = row.head + repeated(row.unit, kBytes / row.unit.size());
    const auto found = diagnose(text);
    CHECK((found.empty() ? "" : found.front().code) == row.code);
    CHECK(found.size() <= kMaxErrorsPerFile + 1);
  }
}
