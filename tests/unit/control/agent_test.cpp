#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <memory>
#include <thread>

#include "control/common/json_text.h"
#include "control/common/policy_archive.h"
#include "control/common/system.h"
#include "policy/compile/compile.h"
#include "policy/runtime/table.h"
#include "tests/unit/control/fake_dataplane.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// A folder with a policy file, and the real agent on it as a process.
class Node {
 public:
  Node() { write_text(policy, policy_yaml("one", "one.example.com")); }

  void start_agent(bool with_policy = true, bool with_feed = false) {
    std::vector<std::string> arguments{program("sallyport-control"),
                                       "--dataplane-socket",
                                       dataplane_socket,
                                       "--socket",
                                       socket,
                                       "--state-dir",
                                       folder.path() / "state"};
    if (with_policy) arguments.insert(arguments.end(), {"--policy", policy});
    if (with_feed) arguments.insert(arguments.end(), {"--identities", feed});
    agent = std::make_unique<Process>(arguments, folder / "log");
    // The file is there a moment before anyone listens.
    REQUIRE(eventually([&] { return connect_unix(socket, SOCK_STREAM).has_value(); }));
  }
  void start_dataplane() { dataplane = std::make_unique<FakeDataplane>(dataplane_socket); }

  Json ask(const std::string& line) const {
    return Json::parse(ask_line(connect_stream(socket), line + "\n"));
  }
  Json push(const std::string& text) const {
    Json source{{"name", "pushed.yaml"}, {"text", text}};
    return ask(dump({{"op", "push"}, {"sources", Json::array({source})}}));
  }
  bool status_becomes(const char* key, const Json& value) const {
    return eventually([&] { return ask(R"({"op":"status"})")[key] == value; });
  }
  Json identities() const { return ask(R"({"op":"status"})")["identities"]; }
  bool logged(std::string_view what) const {
    return eventually([&] { return agent->log_count(what) > 0; });
  }

  TempDir folder;
  std::filesystem::path policy = folder / "policy.yaml";
  std::filesystem::path feed = folder / "feed.yaml";
  std::filesystem::path socket = folder / "control.sock";
  std::filesystem::path dataplane_socket = folder / "dataplane.sock";
  std::filesystem::path image = folder.path() / "state" / "last-good.spimg";
  std::unique_ptr<FakeDataplane> dataplane;
  std::unique_ptr<Process> agent;
};

CompiledPolicy compiled(const std::string& text) {
  return compile_policy(std::vector<SourceFile>{{.name = "p.yaml", .text = text}}).value();
}
std::string revision_of(const std::string& text) {
  return revision_text(compiled(text).revision);
}

const std::string kOne = policy_yaml("one", "one.example.com");
const std::string kTwo = policy_yaml("two", "two.example.com");
const std::string kBad = replaced(kTwo, "Allow", "Alow");

}  // namespace

TEST_CASE("the sources of what was in force are kept by revision, and only theirs") {
  Node node;
  const PolicyArchive archive(node.folder.path() / "state");
  const auto kept = [&archive](const std::string& text) {
    const auto sources =
        archive.load(revision_of(text)).value().value_or(std::vector<SourceFile>{});
    return sources.size() == 1 && sources[0].text == text;
  };
  node.start_dataplane();
  node.start_agent();
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  CHECK(kept(kOne));
  node.dataplane->refusal = Refusal::bad_content;
  CHECK_FALSE(node.push(kTwo)["ok"]);
  CHECK_FALSE(kept(kTwo));
  node.dataplane->refusal = Refusal::none;
  CHECK(node.push(kTwo)["ok"]);
  CHECK(kept(kTwo));
  CHECK(kept(kOne));
}

TEST_CASE("the files' policy is pushed, acknowledged and only then stored") {
  Node node;
  node.start_agent();
  REQUIRE(node.status_becomes("pending_revision", revision_of(kOne)));
  CHECK_FALSE(std::filesystem::exists(node.image));
  node.start_dataplane();
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  const std::string image = read_text(node.image);
  const auto expected = compiled(kOne).image;
  CHECK(image == std::string(expected.begin(), expected.end()));
  CHECK(node.dataplane->last_seal_refusal == 0);
  const Json status = node.ask(R"({"op":"status"})");
  CHECK(status["source"] == "files");
  CHECK(status["rules"] == 1);
  CHECK(status["policies"] == 1);
  CHECK(status["dataplane"] == "connected");
  CHECK(status["last_push"]["result"] == "accepted");
  REQUIRE(status["cores"].size() == 2);
  CHECK(dump(status["cores"][1]) ==
        R"({"core":2,"revision":")" + revision_of(kOne) + R"(","generation":1})");
}

TEST_CASE("a push through the API replaces the policy; SIGHUP goes back to the files") {
  Node node;
  node.start_dataplane();
  node.start_agent();
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  const Json answer = node.push(kTwo);
  CHECK(answer["ok"] == true);
  CHECK(answer["revision"] == revision_of(kTwo));
  CHECK(answer["cores"].size() == 2);
  CHECK(node.ask(R"({"op":"status"})")["source"] == "api");
  node.agent->signal(SIGHUP);
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  CHECK(node.ask(R"({"op":"status"})")["source"] == "files");
}

TEST_CASE("a bad file is reported with its place and nothing is pushed") {
  Node node;
  node.start_dataplane();
  node.start_agent();
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  const unsigned pushes = node.dataplane->pushes;
  write_text(node.policy, kBad);
  node.agent->signal(SIGHUP);
  REQUIRE(node.logged("the policy files have 1 error: nothing was pushed; revision " +
                      revision_of(kOne) + " stays in force"));
  CHECK(node.agent->log_count(node.policy.string() + ":7:") == 1);
  const Json answer = node.ask(R"({"op":"reload"})");
  CHECK(answer["ok"] == false);
  REQUIRE(answer["diagnostics"].size() == 1);
  CHECK(answer["diagnostics"][0]["line"] == 7);
  CHECK(node.push(kBad)["diagnostics"][0]["file"] == "pushed.yaml");
  CHECK(node.dataplane->pushes == pushes);
  const Json status = node.ask(R"({"op":"status"})");
  CHECK(status["revision"] == revision_of(kOne));
  CHECK(status["last_push"]["result"] == "invalid");
}

TEST_CASE("a refusal is named and the old policy stays, in force and stored") {
  Node node;
  node.start_dataplane();
  node.start_agent();
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  const std::string stored = read_text(node.image);
  node.dataplane->refusal = Refusal::foreign_cpu;
  const Json answer = node.push(kTwo);
  CHECK(answer["ok"] == false);
  CHECK(answer["refusal"] == "foreign_cpu");
  const std::string why(explain(Refusal::foreign_cpu));
  CHECK(answer["error"] == "the data plane refused the policy: foreign_cpu: " + why);
  CHECK(node.ask(R"({"op":"status"})")["revision"] == revision_of(kOne));
  CHECK(read_text(node.image) == stored);
}

TEST_CASE("a core that keeps its old table is no acknowledgement") {
  Node node;
  node.start_dataplane();
  node.start_agent();
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  const std::string stored = read_text(node.image);
  node.dataplane->lagging_core = true;
  CHECK(node.push(kTwo)["refusal"] == "not_acknowledged");
  CHECK(read_text(node.image) == stored);
  node.dataplane->lagging_core = false;
  // The cores run two: the agent puts one back by itself.
  CHECK(eventually([&] { return node.dataplane->revision == compiled(kOne).revision; }));
}

TEST_CASE("a data plane that comes back gets the policy again") {
  Node node;
  node.start_dataplane();
  node.start_agent();
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  node.dataplane.reset();
  REQUIRE(node.status_becomes("dataplane", "unreachable"));
  CHECK(node.push(kTwo)["ok"] == false);
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));  // Past one retry.
  CHECK(node.agent->log_count("not reachable") <= 2);  // Lost, then refused; never each second.
  node.start_dataplane();
  CHECK(eventually([&] { return node.dataplane->revision == compiled(kOne).revision; }));
  CHECK(node.dataplane->pushes == 1);
}

TEST_CASE("an agent that comes back does not push what already runs") {
  Node node;
  node.start_dataplane();
  node.start_agent();
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  node.agent->signal(SIGTERM);
  CHECK(node.agent->wait() == 0);
  CHECK_FALSE(std::filesystem::exists(node.socket));
  node.start_agent();
  REQUIRE(node.status_becomes("source", "files"));
  CHECK(node.dataplane->pushes == 1);
}

TEST_CASE("the last good policy serves when the files are bad or none are given") {
  Node node;
  node.start_dataplane();
  node.start_agent();
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  node.agent.reset();
  node.dataplane.reset();
  std::filesystem::remove(node.socket);
  const bool with_policy = GENERATE(true, false);
  write_text(node.policy, kBad);
  node.start_dataplane();
  node.start_agent(with_policy);
  CHECK(eventually([&] { return node.dataplane->revision == compiled(kOne).revision; }));
  CHECK(node.ask(R"({"op":"status"})")["source"] == "last-good");
}

TEST_CASE("an altered stored image is not used") {
  Node node;
  std::filesystem::create_directory(node.folder / "state");
  auto image = compiled(kOne).image;
  image.back() ^= 1;
  write_text(node.image, std::string(image.begin(), image.end()));
  node.start_agent(false);
  CHECK(node.logged("is not used: bad_digest"));
  CHECK(node.ask(R"({"op":"status"})")["revision"] == nullptr);
}

TEST_CASE("a silent client delays nobody, and garbage is answered") {
  Node node;
  node.start_dataplane();
  node.start_agent();
  const UniqueFd silent = connect_stream(node.socket);
  struct Row {
    std::string request;
    const char* error;
  };
  const std::vector<Row> rows{
      {"", "the request is not a JSON object on one line"},
      {"nonsense", "the request is not a JSON object on one line"},
      {"[1,2]", "the request is not a JSON object on one line"},
      {std::string("\xff\xfe\0{", 4), "the request is not a JSON object on one line"},
      {std::string(5'000'000, '['), "the request is nested too deeply"},
      {"{}", R"("op" must be "push", "status" or "reload")"},
      {R"({"op":7})", R"("op" must be "push", "status" or "reload")"},
      {R"({"op":"push"})", R"(push needs "sources": [{"name": …, "text": …}, …], not empty)"},
      {R"({"op":"push","sources":[7]})",
       R"(each source needs a "name" and a "text", both strings)"},
  };
  for (const Row& row : rows) {
    INFO(row.request.substr(0, 50));
    CHECK(node.ask(row.request)["error"] == row.error);
  }
}

TEST_CASE("an answer that is cut short is not believed") {
  Node node;
  node.start_dataplane();
  node.dataplane->malformed = true;
  node.start_agent();
  CHECK(node.logged("its reply is malformed"));
  CHECK(node.ask(R"({"op":"status"})")["dataplane"] == "unreachable");
}

namespace {

std::string feed_of(std::string_view job) {
  return "apiVersion: sallyport/v1\nkind: IdentityFeed\nidentities:\n"
         "  - {addresses: [10.1.2.3], labels: {job: " +
         std::string(job) + "}}\n";
}

}  // namespace

TEST_CASE("a feed goes its own way: without a policy, and without being asked") {
  Node node;
  write_text(node.feed, feed_of("train"));
  node.start_agent(false, true);
  REQUIRE(eventually([&] { return node.identities().contains("pending_revision"); }));
  const std::string train = node.identities()["pending_revision"];
  CHECK(node.identities()["revision"] == nullptr);
  CHECK(node.identities()["last_load"]["result"] == "read");
  CHECK_FALSE(std::filesystem::exists(node.folder.path() / "state" / "last-good.spids"));
  node.start_dataplane();
  REQUIRE(eventually([&] { return node.identities()["revision"] == train; }));
  CHECK(node.identities()["since"] == "2023-11-14T22:13:20Z");
  CHECK(node.identities()["source"] == "files");
  CHECK(std::filesystem::exists(node.folder.path() / "state" / "last-good.spids"));
  CHECK(node.dataplane->pushes == 0);
  CHECK(node.dataplane->feed_pushes == 1);

  // A data plane that comes back without it gets it again.
  node.dataplane.reset();
  REQUIRE(eventually([&] { return node.identities()["since"] == nullptr; }));
  node.start_dataplane();
  REQUIRE(eventually([&] { return node.dataplane->feed_revision != 0; }));

  // Asked to reload, it answers with what became of the feed.
  write_text(node.feed, feed_of("serve"));
  const Json answer = node.ask(R"({"op":"reload"})");
  CHECK(answer["ok"] == true);
  REQUIRE(eventually([&] { return node.identities()["revision"] != train; }));
  write_text(node.feed, "x");
  CHECK(node.ask(R"({"op":"reload"})")["ok"] == false);
}

TEST_CASE("a feed that the data plane refuses is named and not tried over and over") {
  Node node;
  write_text(node.feed, feed_of("train"));
  node.start_dataplane();
  node.start_agent(true, true);
  REQUIRE(eventually([&] { return node.dataplane->feed_revision != 0; }));
  REQUIRE(node.status_becomes("revision", revision_of(kOne)));
  const Json before = node.identities();
  node.dataplane->feed_refusal = Refusal::not_acknowledged;
  write_text(node.feed, feed_of("serve"));
  REQUIRE(eventually([&] { return node.dataplane->feed_pushes == 2; }));
  REQUIRE(node.logged("not_acknowledged"));
  CHECK(node.identities()["revision"] == before["revision"]);
  CHECK(node.identities()["last_load"]["refusal"] == "not_acknowledged");
  // Policies go on as ever, and the feed is not offered again for it.
  CHECK(node.push(kTwo)["ok"] == true);
  CHECK(node.dataplane->feed_pushes == 2);
  node.dataplane->feed_refusal = Refusal::none;
  node.agent->signal(SIGHUP);
  CHECK(eventually([&] { return node.identities()["last_load"]["result"] == "accepted"; }));
  CHECK(node.identities()["revision"] != before["revision"]);
}
