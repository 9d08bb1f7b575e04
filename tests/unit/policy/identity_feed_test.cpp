#include "policy/compile/identity_feed.h"

#include <catch2/catch.hpp>

using namespace sallyport;

namespace {

/// "10.0.0.1 job=train spiffeId=…" of each, or "line:column code" of each error.
std::string read(const std::string& identities) {
  const auto feed = load_identities(std::vector{SourceFile{
      "feed.yaml", "apiVersion: sallyport/v1\nkind: IdentityFeed\nidentities:" + identities}});
  std::string out;
  if (!feed) {
    for (const Diagnostic& one : feed.error()) {
      out += std::to_string(one.line) + ":" + std::to_string(one.column) + " " + one.code + "\n";
    }
    return out;
  }
  for (const Identity& identity : *feed) {
    out += to_string(identity.address);
    for (const auto& [key, value] : identity.labels)
      out.append(" ").append(key).append("=").append(value);
    out += "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("a feed gives each address its labels") {
  CHECK(read("\n  - {addresses: [10.0.0.1, \"fd00::1\"], labels: {team: a, job: train}}\n"
             "  - {addresses: [10.0.0.2], spiffeId: spiffe://x/y}\n"
             "  - {addresses: [10.0.0.3]}\n") ==
        "10.0.0.1 job=train team=a\n"
        "fd00::1 job=train team=a\n"
        "10.0.0.2 spiffeId=spiffe://x/y\n"
        "10.0.0.3\n");
  CHECK(read(" []\n").empty());
}

TEST_CASE("an address stands in one file of a feed only") {
  const std::string head = "apiVersion: sallyport/v1\nkind: IdentityFeed\nidentities:\n";
  const auto file = [&](const char* name, const char* address) {
    return SourceFile{name, head + "  - {addresses: [" + address + "]}\n"};
  };
  CHECK(load_identities(std::vector{file("a", "10.0.0.1"), file("b", "10.0.0.2")})->size() == 2);
  const auto twice = load_identities(
      std::vector{file("a", "10.0.0.1"), file("b", "10.0.0.2"), file("c", "10.0.0.1")});
  REQUIRE(!twice);
  REQUIRE(twice.error().size() == 1);
  CHECK(
      to_string(twice.error().front()).starts_with("c: error[E014]: address 10.0.0.1 stands in a"));
}

TEST_CASE("a feed may be JSON") {
  const auto feed = load_identities(std::vector{
      SourceFile{"feed.json",
                 "{\"apiVersion\": \"sallyport/v1\", \"kind\": \"IdentityFeed\",\n \"identities\": "
                 "[{\"addresses\": [\"10.0.0.1\"], \"labels\": {\"job\": \"train\"}}]}\n"}});
  REQUIRE(feed);
  REQUIRE(feed->size() == 1);
  CHECK(feed->front().labels == decltype(Identity::labels){{"job", "train"}});
}

TEST_CASE("the quick reader takes nothing that the other one would refuse") {
  const auto quick = [](const std::string& entries, const std::string& more = "") {
    return read_identity_json(R"({"apiVersion": "sallyport/v1", "kind": "IdentityFeed", )" + more +
                              R"("identities": [)" + entries + "]}");
  };
  const auto good = quick(R"({"addresses": ["10.0.0.1", "fd00::1"], "spiffeId": "spiffe://x/y",
                              "labels": {"team": "a", "job": "train"}})");
  REQUIRE(good.has_value());
  if (!good) return;
  REQUIRE(good->size() == 2);
  CHECK(good->back().labels ==
        decltype(Identity::labels){{"job", "train"}, {"team", "a"}, {"spiffeId", "spiffe://x/y"}});
  for (const char* entry :
       {R"({})", R"([])", R"({"addresses": []})", R"({"addresses": ["10.0.0.0/8"]})",
        R"({"addresses": [1]})", R"({"addresses": ["10.0.0.1"], "label": {}})",
        R"({"addresses": ["10.0.0.1"], "labels": {}})",
        R"({"addresses": ["10.0.0.1"], "labels": {"a": 1}})",
        R"({"addresses": ["10.0.0.1"], "labels": {"a": ""}})",
        R"({"addresses": ["10.0.0.1"], "labels": {"a": "\u001b[2J"}})",
        R"({"addresses": ["10.0.0.1"], "labels": {"\u202e": "b"}})",
        R"({"addresses": ["10.0.0.1"], "labels": {"a": "b", "a": "b"}})",
        R"({"addresses": ["10.0.0.1"], "labels": {"spiffeId": "spiffe://x"}})",
        R"({"addresses": ["10.0.0.1"], "addresses": ["10.0.0.1"]})",
        R"({"addresses": ["10.0.0.1"], "spiffeId": "http://x"})",
        R"({"addresses": ["10.0.0.1"], "spiffeId": 1})", R"({"addresses": ["10.0.0.1"]},)"}) {
    INFO(entry);
    CHECK(!quick(entry));
  }
  CHECK(!quick("", R"("identities": [], )"));
  CHECK(!quick("", R"("extra": 1, )"));
  CHECK(!read_identity_json(""));
}

TEST_CASE("what is wrong in a feed is listed where it stands") {
  CHECK(read("\n  - {addresses: [10.0.0.0/8, x], label: {a: b}}\n") ==
        "4:18 E019\n4:30 E019\n4:34 E008\n");
  CHECK(read("\n  - {labels: {a: [b]}, spiffeId: http://x}\n") ==
        "4:5 E009\n4:18 E010\n4:34 E031\n");
  CHECK(read("\n  - {addresses: [10.0.0.1], labels: {spiffeId: x}}\n") == "4:37 E008\n");
  CHECK(read("\n  - {addresses: [10.0.0.1]}\n  - {addresses: [10.0.0.1]}\n") == "4:3 E014\n");
  std::string labels;
  for (int i = 0; i < 64; ++i) labels += "k" + std::to_string(i) + ": v, ";
  CHECK(read("\n  - {addresses: [10.0.0.1], labels: {" + labels + "}}\n").contains("k63=v"));
  CHECK(read("\n  - {addresses: [10.0.0.1], labels: {" + labels + "more: v}}\n") == "4:37 E035\n");
  CHECK(read(" {a: b}\n") == "3:13 E010\n");
  CHECK(read("\n  - {addresses: []}\n") == "4:17 E015\n");
  for (const char* text : {"", "# only a comment\n", "---\n"}) {
    const auto nothing = load_identities(std::vector{SourceFile{"feed.yaml", text}});
    REQUIRE(!nothing);
    CHECK(nothing.error().front().code == "E024");
  }
  const auto other =
      load_identities(std::vector{SourceFile{"p.yaml", "apiVersion: v1\nkind: EgressPolicy\n"}});
  REQUIRE(!other);
  CHECK(other.error().size() == 3);
}
