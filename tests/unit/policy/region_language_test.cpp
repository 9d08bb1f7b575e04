#include <array>
#include <catch2/catch.hpp>
#include <regex>

#include "policy/compile/region_language.h"

using namespace sallyport;

namespace {

RegularLanguage regex(const char* text) {
  auto out = RegularLanguage::regex(text);
  if (out) return std::move(*out);
  FAIL("not understood: " << text);
  return RegularLanguage();
}

RegularLanguage path(const std::string& glob) {
  return RegularLanguage::paths({&glob, 1});
}

/// A word of the first that is none of the second.
WordSearch beyond(const RegularLanguage& in, const RegularLanguage& out, std::string& word) {
  const std::array all{&in};
  const std::array none{&out};
  return find_word(all, none, word);
}

}  // namespace

TEST_CASE("a regex is understood as it is compiled") {
  constexpr const char* kRegexes[] = {
      "a",        "ab|cd",     "(ab|c)d",     "a*b+c?", "[a-c]x",     "[^a-c]x", "a{2}",
      "a{2,}",    "a{1,3}b",   "\\d+\\.\\w",  "a.c",    "^abc$",      "^a|b$",   "(^a|^b)c",
      "a(b$|c$)", "(?:ab)+?",  "[]a]",        "[a-]",   "\\x61[\\d]", "()a",     "(a|)b",
      "a\\-b",    "[\\w.]{2}", "((a|b)c){2}", "x{0}a",  "a|b|^cd$",   ""};
  constexpr const char* kWords[] = {"",    "a",    "b",  "aa",   "ab",   "cd",   "abd", "abc",
                                    "aab", "ax",   "dx", "]",    "-",    "a-b",  "1.a", "c",
                                    "cx",  "abab", "bc", "ac",   "acbc", "aaab", "a1",  "bcd",
                                    "x",   "ad",   "..", "aaaa", "bcac", "a.c",  "xa"};
  for (const char* text : kRegexes) {
    const RegularLanguage language = regex(text);
    for (const char* word : kWords) {
      CAPTURE(text, word);
      // ECMAScript reads "[]a]" otherwise.
      const bool want = std::string(text) == "[]a]"
                            ? std::string(word) == "]" || std::string(word) == "a"
                            : std::regex_match(word, std::regex(text));
      CHECK(language.matches(word) == want);
    }
  }
}

TEST_CASE("a regex that means more than a language is left alone") {
  for (const char* text :
       {"a$b",     "a^b", "(a$)b", "(^a)*", "(a$)?",   "\\ba", "(?i)a",   "(?=a)b",
        "(?<n>a)", "a++", "a**",   "(a",    "a)",      "[a",   "a\\",     "[[:alpha:]]",
        "\\1",     "a{2", "{2}",   "[c-a]", "\\Qa\\E", "*a",   "a{5000}", "\\x6"}) {
    CAPTURE(text);
    CHECK_FALSE(RegularLanguage::regex(text));
  }
}

TEST_CASE("globs") {
  struct Row {
    const char* glob;
    const char* text;
    bool matches;
  };
  const Row rows[] = {
      {"/a/*", "/a/b", true}, {"/a/*", "/a/b/c", false}, {"/a/**", "/a/b/c", true},
      {"/a/*", "/a/", true},  {"/a/**", "/a", false},    {"**", "/", true},
      {"**/b", "/a/b", true}, {"**/b", "/b", true},      {"/a*b", "/a/b", false},
      {"/a*b", "/axb", true}, {"/***", "/a/b", true},    {"/a.b", "/axb", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.glob, row.text);
    CHECK(path(row.glob).matches(row.text) == row.matches);
  }
  CHECK(RegularLanguage::header("pip/*").matches("pip/23/x"));
  CHECK_FALSE(RegularLanguage::header("pip/*").matches("curl"));
}

TEST_CASE("one language holds another") {
  std::string word;
  CHECK(beyond(path("/a/*"), path("/a/**"), word) == WordSearch::none);
  CHECK(beyond(path("/a/**"), path("/a/*"), word) == WordSearch::found);
  CHECK(path("/a/**").matches(word));
  CHECK_FALSE(path("/a/*").matches(word));
  CHECK(beyond(regex("cdn-[0-9]+"), regex("cdn-.*"), word) == WordSearch::none);
  CHECK(beyond(regex("cdn-.*"), regex("cdn-[0-9]+"), word) == WordSearch::found);
  CHECK(word == "cdn-");
}

TEST_CASE("words are excluded one by one") {
  const std::array<std::string, 3> listed{"a.x", "b.x", "ab.x"};
  const RegularLanguage words = RegularLanguage::words(listed);
  for (const std::string& one : listed) CHECK(words.matches(one));
  for (const char* other : {"", "a", "a.xx", "b.", "ab"}) CHECK_FALSE(words.matches(other));
  std::string word;
  CHECK(beyond(regex("(a|b)\\.x"), words, word) == WordSearch::none);
  CHECK(beyond(regex("(a|b|c)\\.x"), words, word) == WordSearch::found);
  CHECK(word == "c.x");
  CHECK_FALSE(RegularLanguage::words({}).matches(""));
}

TEST_CASE("names under a suffix have one label more, or several") {
  const RegularLanguage names = RegularLanguage::names_under(".x.org");
  for (const char* name : {"a.x.org", "a.b.x.org", "a_b-1.x.org"}) CHECK(names.matches(name));
  for (const char* name : {"x.org", ".x.org", "a..x.org", "a.xxorg", "ax.org"}) {
    CHECK_FALSE(names.matches(name));
  }
}

TEST_CASE("a search ends, whatever it is asked") {
  // The n-th byte from the end: deterministic, it has 2^n states.
  std::string word;
  const RegularLanguage a = regex("[ab]*a[ab]{20}");
  const RegularLanguage b = regex("[ab]*b[ab]{20}");
  const std::array in{&a, &b};
  CHECK(find_word(in, {}, word) == WordSearch::gave_up);
}
