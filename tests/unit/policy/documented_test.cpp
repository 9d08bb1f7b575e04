// What the documents promise of policy/ is so.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace fs = std::filesystem;

namespace {

fs::path source_root() {
  const char* root = std::getenv("SALLYPORT_SOURCE");
  REQUIRE(root != nullptr);
  return root;
}

std::string text_of(const fs::path& path) {
  std::ifstream in(path);
  REQUIRE(in.is_open());
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Everything that the first group of `pattern` matches in `text`.
std::set<std::string> all_of(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  std::set<std::string> out;
  for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) {
    out.insert((*at)[1]);
  }
  return out;
}

std::set<std::string> emitted_codes() {
  std::set<std::string> out;
  for (const char* folder : {"policy", "control"}) {
    for (const auto& entry : fs::recursive_directory_iterator(source_root() / folder)) {
      const fs::path extension = entry.path().extension();
      if (extension == ".cpp" || extension == ".h") {
        out.merge(all_of(text_of(entry.path()), "\"([EW][0-9]{3})\""));
      }
    }
  }
  return out;
}

std::string joined(const std::set<std::string>& all) {
  std::string out;
  for (const std::string& one : all) out += one + " ";
  return out;
}

}  // namespace

TEST_CASE("every code has its row in docs/policy.md, and every row its code", "[docs]") {
  const std::string page = text_of(source_root() / "docs/policy.md");
  const std::set<std::string> rows = all_of(page, "\n\\| ([EW][0-9]{3}) \\|");
  CHECK(rows.size() > 30);
  CHECK(joined(rows) == joined(emitted_codes()));
}

TEST_CASE("the example of policy/README.md is the one that is built and run", "[docs]") {
  const std::string page = text_of(source_root() / "policy/README.md");
  const std::string example = text_of(source_root() / "tests/unit/policy/library_example.cpp");
  CHECK(page.find("```cpp\n" + example + "```\n") != std::string::npos);
}
