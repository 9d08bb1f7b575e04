#include "dataplane/inspect/http_path.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

using namespace sallyport;
using namespace std::string_literals;

namespace {

// The readings between " or ", or "fault".
std::string read(const std::string& path) {
  static const auto space = std::make_unique<HttpPathSpace>();
  const std::vector<char> block(path.begin(), path.end());
  HttpPathReadings out;
  const auto fault = read_http_path({block.data(), block.size()}, *space, out);
  if (fault != InspectFault::none) {
    CHECK(fault == InspectFault::http_bad_path);
    CHECK(out.count == 0);
    return "fault";
  }
  std::string text;
  for (const auto one : out.view()) text += (text.empty() ? "" : " or ") + std::string(one);
  return text;
}

struct Row {
  std::string path;
  std::string readings;
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    CAPTURE(row.path);
    CHECK(read(row.path) == row.readings);
  }
}

}  // namespace

TEST_CASE("a plain path is itself", "[http_path]") {
  check_rows({
      {"/", "/"},
      {"/models/llama-3.1_8B/resolve/main/config.json",
       "/models/llama-3.1_8B/resolve/main/config.json"},
      {"/a/", "/a/"},
      {"/~u/a,b!$&'()*+=:@c", "/~u/a,b!$&'()*+=:@c"},
      {"/.hidden/..x/x../...", "/.hidden/..x/x../..."},
  });
}

TEST_CASE("every spelling of a byte is one", "[http_path]") {
  check_rows({
      {"/%61%62c", "/abc"},
      {"/%7Euser/%2d%2E%5f", "/~user/-._"},
      {"/%40scope%3Aname", "/@scope:name"},
      {"/a%20b", "/a%20b"},
      {"/\"<>^`{|}", "/%22%3C%3E%5E%60%7B%7C%7D"},
      {"/%c3%bc", "/%C3%BC"},
      {"/\xc3\xbc", "/%C3%BC"},
      {"/%e9t%e9", "/%E9t%E9"},  // Latin-1
      {"/what%3f%23", "/what%3F%23"},
      {"/100%25", "/100%25"},
      {"/100%25 ", "/100%25%20"},
  });
}

TEST_CASE("dot segments are removed, however they are written", "[http_path]") {
  check_rows({
      {"/a/./b", "/a/b"},
      {"/a/../b", "/b"},
      {"/a/b/..", "/a/"},
      {"/a/b/.", "/a/b/"},
      {"/..", "/"},
      {"/../../x", "/x"},
      {"/a/../../x", "/x"},
      {"/a/%2e%2E/b", "/b"},
      {"/a/.%2e/b", "/b"},
      {"/%2e/b", "/b"},
      {"/a/b/../../../c/./d/..", "/c/"},
  });
}

TEST_CASE("where servers disagree, each reading is given", "[http_path]") {
  check_rows({
      {"/@scope%2fname", "/@scope%2Fname or /@scope/name"},
      {"/public/..%2fsecret", "/public/..%2Fsecret or /secret"},
      {"/public/%2e%2e%2Fsecret", "/public/..%2Fsecret or /secret"},
      {"/public/..\\secret", "/public/..%5Csecret or /secret"},
      {"/public/..%5csecret", "/public/..%5Csecret or /secret"},
      {"/public//secret", "/public//secret or /public/secret"},
      {"//a", "//a or /a"},
      {"/a//", "/a// or /a/"},
      {"/a//../b", "/a/b or /b"},
      {"/public/%252e%252e/secret", "/public/%252e%252e/secret or /secret"},
      {"/public/..%252fsecret", "/public/..%252fsecret or /secret"},
      {"/public/..%25252fsecret", "/public/..%25252fsecret or /secret"},
      {"/%2573ecret", "/%2573ecret or /secret"},
      {"/public/..;/secret", "/public/..;/secret or /secret"},
      {"/public/..;x=1/secret", "/public/..;x=1/secret or /secret"},
      {"/public/..%3bx/secret", "/public/..;x/secret or /secret"},
      {"/secret;v=1/a;b", "/secret;v=1/a;b or /secret/a"},
      {"/a;x%2Fb", "/a;x%2Fb or /a;x/b or /a or /a/b"},
      {"/a%2f", "/a%2F or /a/"},
      {"/a%2f/..", "/"},  // the same either way
  });
}

TEST_CASE("what no path may hold is a fault", "[http_path]") {
  check_rows({
      {"", "fault"},
      {"a", "fault"},
      {"*", "fault"},
      {"\\a", "fault"},
      {"%2fa", "fault"},
      {"/%", "fault"},
      {"/%5", "fault"},
      {"/%zz", "fault"},
      {"/%u002e", "fault"},
      {"/a%00", "fault"},
      {"/a%00.html", "fault"},
      {"/a%2500", "fault"},
      {"/a%0d%0aX:%20y", "fault"},
      {"/a%09", "fault"},
      {"/a%7f", "fault"},
      {"/a\x7f", "fault"},
      {"/a\tb", "fault"},
      {"/a\0b"s, "fault"},
      {"/a#b", "fault"},
      {"/..%c0%afsecret", "fault"},  // overlong '/'
      {"/%c0%ae%c0%ae/secret", "fault"},
      {"/..%e0%80%afsecret", "fault"},
      {"/..%f0%80%80%afsecret", "fault"},
      {"/..\xc0\xafsecret", "fault"},
      {"/..\xc0%afsecret", "fault"},
      {"/%c1%9csecret", "fault"},
      {"/..%25c0%25afsecret", "fault"},
  });
  CHECK(read("/%e0%a4%85/%f0%9f%98%80/%c0x") == "/%E0%A4%85/%F0%9F%98%80/%C0x");
}

TEST_CASE("a path is read up to its limit, in the longest spelling", "[http_path]") {
  CHECK(read("/" + std::string(kMaxHttpPathBytes - 1, 'x')).size() == kMaxHttpPathBytes);
  CHECK(read("/" + std::string(kMaxHttpPathBytes, 'x')) == "fault");
  CHECK(read("/" + std::string((kMaxHttpPathBytes - 1) / 3, '"')) != "fault");
  CHECK(read("/" + std::string((kMaxHttpPathBytes - 1) / 3 + 1, '"')) == "fault");
}
