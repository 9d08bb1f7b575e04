// `sallyport flows`, as a user runs it.
#include <catch2/catch.hpp>

#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

std::string record(unsigned id, const std::string& action, const std::string& name) {
  return "{\"timestamp\":\"2026-11-22T23:59:30.512345+0000\",\"flow_id\":" + std::to_string(id) +
         ",\"event_type\":\"verdict\",\"src_ip\":\"10.1.2.3\",\"src_port\":" +
         std::to_string(40000 + id) +
         ",\"dest_ip\":\"203.0.113.9\",\"dest_port\":443,\"proto\":\"TCP\",\"app_proto\":\"tls\","
         "\"tls\":{\"sni\":\"" +
         name + "\"},\"verdict\":{\"action\":\"" + action +
         "\"},\"policy\":{\"mode\":\"enforce\",\"would_deny\":false,\"reason\":\"default_deny\"},"
         "\"core\":1,\"schema\":1}\n";
}

struct Fixture {
  TempDir folder;
  std::string log = folder / "flows.ndjson";

  Fixture() {
    write_text(log + ".20261122T000001.000000Z", record(1, "deny", "one.test"));
    write_text(log + ".20261122T000002.000000Z", record(2, "allow", "two.test"));
    write_text(log, record(3, "deny", "three.test") + "no record\n" + record(4, "allow", "x.test"));
  }
  Finished flows(std::vector<std::string> more) const {
    more.insert(more.begin(), {program("sallyport"), "flows", "--log", log});
    return run(more);
  }
};

}  // namespace

TEST_CASE("flows: no terminal gets the records as they are, from the oldest to the newest") {
  const Fixture fixture;
  const Finished got = fixture.flows({});
  CHECK(got.status == 0);
  CHECK(got.out == record(1, "deny", "one.test") + record(2, "allow", "two.test") +
                       record(3, "deny", "three.test") + record(4, "allow", "x.test"));
  CHECK(got.err == "sallyport: note: 1 line is no record of a flow log and left out\n");
}

TEST_CASE("flows: what is asked for, as far back as it takes") {
  const Fixture fixture;
  CHECK(fixture.flows({"--denied", "--last", "2"}).out ==
        record(1, "deny", "one.test") + record(3, "deny", "three.test"));
  CHECK(fixture.flows({"--last", "0"}).out.empty());
  CHECK(fixture.flows({"--id", "2"}).out == record(2, "allow", "two.test"));
  CHECK(fixture.flows({"--host", "*.test", "--denied", "--last", "1", "--format", "json"}).out ==
        record(3, "deny", "three.test"));
}

TEST_CASE("flows: text has a header, a day and no colours when it is not for a terminal") {
  const Fixture fixture;
  const Finished got = fixture.flows({"--format", "text", "--denied"});
  CHECK(got.status == 0);
  CHECK(got.out.starts_with("UTC      VERDICT CLIENT "));
  CHECK(got.out.contains("\n-- 2026-11-22\n23:59:30 deny    10.1.2.3        one.test:443/tls "));
  CHECK_FALSE(got.out.contains('\x1b'));
}

TEST_CASE("flows: statuses") {
  struct Row {
    std::vector<std::string> options;
    int status;
    std::string err;
  };
  const auto row = GENERATE(values<Row>({
      {{"--host", "nobody.test"}, 0, ""},
      {{"--id", "77"}, 1, "error: no record of flow 77 in "},
      {{"--id", "x"}, 2, "error: --id 'x': is not the id of a flow"},
      {{"--src", "10.0.0.1/8"}, 2, "error: --src '10.0.0.1/8': bits right of the prefix"},
      {{"--log", "/nonexistent/flows"}, 2, "error: flow log /nonexistent/flows does not exist"},
      {{"--log", "/"}, 2, "error: flow log / is not a file"},
      {{"--log", "-", "--follow"}, 2, "error: standard input cannot be followed"},
      {{"--last", "-1"}, 2, "--last"},
      {{"--format", "xml"}, 2, "--format"},
  }));
  const Fixture fixture;
  std::vector<std::string> command{program("sallyport"), "flows"};
  const bool own_log = row.options[0] == "--log";
  if (!own_log) command.insert(command.end(), {"--log", fixture.log});
  command.insert(command.end(), row.options.begin(), row.options.end());
  const Finished got = run(command);
  CAPTURE(got.err);
  CHECK(got.status == row.status);
  CHECK(got.err.contains(row.err));
}

TEST_CASE("flows: standard input, and one rotated file") {
  const Fixture fixture;
  const std::string old = fixture.log + ".20261122T000001.000000Z";
  CHECK(
      run({"/bin/sh", "-c", "cat \"$1\" | \"$0\" flows --log -", program("sallyport"), old}).out ==
      record(1, "deny", "one.test"));
  CHECK(run({program("sallyport"), "flows", "--log", old}).out == record(1, "deny", "one.test"));
}

TEST_CASE("flows --follow shows what comes, through rotation") {
  const Fixture fixture;
  const std::string out = fixture.folder / "out";
  const Process follower({"/bin/sh", "-c", "exec \"$@\" >\"$0\"", out, program("sallyport"),
                          "flows", "--log", fixture.log, "--follow", "--denied", "--last", "1"},
                         fixture.folder / "err");
  REQUIRE(eventually([&] { return read_text(out).contains("three.test"); }));
  std::filesystem::rename(fixture.log, fixture.log + ".20261122T000003.000000Z");
  write_text(fixture.log, record(5, "allow", "five.test") + record(6, "deny", "six.test"));
  CHECK(eventually([&] { return read_text(out).contains("six.test"); }));
  CHECK(read_text(out) == record(3, "deny", "three.test") + record(6, "deny", "six.test"));
}
