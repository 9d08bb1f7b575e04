#include <catch2/catch.hpp>
#include <string>

#include "policy/compile/regex_weight.h"

using namespace sallyport;

TEST_CASE("what a regex weighs with its repeats written out") {
  struct Row {
    const char* regex;
    size_t weight;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"", 0},
           {"abc", 3},
           {"a+b*c?", 6},
           {"a{3}", 3},
           {"ab{3}", 4},
           {"a{3,}", 3},
           {"a{3,7}", 7},
           {"a{0}", 1},
           {"(ab{3}){1,10}", 40},
           {"((a{2}){3}){4}b", 25},
           {"(a|bb|ccc){2}", 16},
           {"(?:a){5}", 15},
           {"[a-z]{63}", 63},
           {"[]a]{2}", 2},
           {"[^]a]{2}", 2},
           {"[\\]]{2}", 2},
           {"[[:alpha:]]{2}", 2},
           {"[{9}]{2}", 2},
           {"\\.{4}", 4},
           {"\\({4}", 4},
           {"\\[{4}x]", 6},
           {"a{x}", 4},
           {"a{3", 3},
           {"a{,3}", 5},
           {"{3}", 0},
           {"(a{2}", 2},
           {"a)b{2}", 3},
       }) {
    INFO(row.regex);
    CHECK(regex_weight(row.regex) == row.weight);
  }
}

TEST_CASE("what cannot be weighed is too heavy") {
  for (const char* regex :
       {"\\Q[\\E(a{1000}){1000}", "(?#[)(a{1000}){1000}", "a{99999999999999999999999}",
        "(((((((a{999}){999}){999}){999}){999}){999}){999}){999}",
        "((a{16777216}){16777216}){16777216}", "[a](a{40}){40}", "[[:x](a{99}){99}]]{2000}"}) {
    INFO(regex);
    CHECK(regex_weight(regex) > kMaxRegexWeight);
  }
  CHECK(regex_weight(std::string(100'000, '(')) == 0);
  CHECK(regex_weight(std::string(500, '[')) == 1);
}
