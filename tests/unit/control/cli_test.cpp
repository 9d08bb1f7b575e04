#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "control/common/json_text.h"
#include "control/common/system.h"
#include "policy/compile/compile.h"
#include "tests/unit/control/fake_dataplane.h"
#include "tests/unit/control/stats_file.h"
#include "tests/unit/control/support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

const std::string kGood = policy_yaml("one", "one.example.com");
const std::string kBad = replaced(policy_yaml("two", "two.example.com"), "Allow", "Alow");
constexpr uint64_t kSecond = 1'000'000'000;

Finished cli(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program("sallyport"));
  return run(arguments);
}

std::string revision_of(const std::string& text) {
  const std::vector<SourceFile> sources{{.name = "p.yaml", .text = text}};
  return revision_text(compile_policy(sources).value().revision);
}

/// A data plane as its stats segment shows it: this very process, two cores in good order.
StatsFile healthy() {
  const uint64_t now = unix_now_ns();
  return {.pid = ::getpid(),
          .started_unix_ns = now - 3700 * kSecond,
          .ended = false,
          .counters = {{"sallyport_drops_total", "reason=bad_l4_checksum"},
                       {"sallyport_drops_total", "reason=malformed"},
                       {"sallyport_flows", "state=pending", StatsKind::gauge}},
          // A beat of the future: its age stays 0 ms however slow this test runs.
          .cores = {{1, now + 60 * kSecond, 0xabcdef123456, 3, {5, 0, 1}},
                    {2, now + 60 * kSecond, 0xabcdef123456, 3, {100, 0, 2}}}};
}

}  // namespace

TEST_CASE("policy check: statuses and messages") {
  const TempDir folder;
  write_text(folder / "good.yaml", kGood);
  write_text(folder / "bad.yaml", kBad);
  const Finished good = cli({"policy", "check", folder / "good.yaml"});
  CHECK(good.status == 0);
  CHECK(good.out.starts_with("ok: 1 policy, 1 rule, 1 name, revision " + revision_of(kGood) +
                             ", image "));
  CHECK(good.err.ends_with("\n1 warning\n"));  // W006: it binds no addresses.
  const Finished bad = cli({"policy", "check", folder / "good.yaml", folder / "bad.yaml"});
  CHECK(bad.status == 1);
  CHECK(bad.out.empty());
  CHECK(bad.err.starts_with((folder / "bad.yaml").string() + ":7:15: error[E"));
  const Finished none = cli({"policy", "check", folder / "none.yaml"});
  CHECK(none.status == 2);
  CHECK(none.err == (folder / "none.yaml").string() +
                        ": error[E025]: cannot be read: No such file or directory\n\n1 error\n");
}

TEST_CASE("findings come with their lines, without colours when they are not for a terminal") {
  const TempDir folder;
  write_text(folder / "bad.yaml", kBad);
  const std::string shown = (folder / "bad.yaml").string() +
                            ":7:15: error[E011]: action 'Alow' is not known\n"
                            "  7 |       action: Alow\n"
                            "    |               ^~~~\n"
                            "    help: did you mean 'Allow'?\n\n"
                            "1 error\n";
  CHECK(cli({"policy", "check", folder / "bad.yaml"}).err == shown);
  CHECK(cli({"policy", "compile", folder / "bad.yaml", "-o", "-"}).err == shown);
  CHECK(cli({"replay", "--policy", folder / "bad.yaml", "--pcap", folder / "bad.yaml"}).err ==
        shown);
}

TEST_CASE("a file that cannot be read hides nothing of the others") {
  const TempDir folder;
  write_text(folder / "bad.yaml", kBad);
  write_text(folder / "good.yaml", kGood);
  // Its set may be in the file that is missing.
  write_text(folder / "set.yaml", replaced(policy_yaml("three", "x"), "domainNames", "sets"));
  const std::string none = folder / "none.yaml";
  const Finished both = cli({"policy", "check", folder / "bad.yaml", none, folder / "set.yaml"});
  CHECK(both.status == 2);
  CHECK(both.err.starts_with(none + ": error[E025]: cannot be read: No such file or directory\n\n" +
                             (folder / "bad.yaml").string() + ":7:15: error[E011]"));
  CHECK(both.err.ends_with("\n2 errors\n"));
  const Finished only = cli({"policy", "check", folder / "good.yaml", none});
  CHECK(only.status == 2);
  CHECK(only.out.empty());
  CHECK(only.err.ends_with("\n1 error\n"));
  const Finished push = cli({"push", folder / "good.yaml", none, "--socket", folder / "no.sock"});
  CHECK(push.status == 2);
  CHECK(push.err.starts_with(none + ": error[E025]"));
}

TEST_CASE("policy check --format json") {
  const TempDir folder;
  write_text(folder / "good.yaml", kGood);
  write_text(folder / "bad.yaml", kBad);
  const Finished good = cli({"policy", "check", "--format", "json", folder / "good.yaml"});
  CHECK(good.status == 0);
  CHECK(Json::parse(good.out)["revision"] == revision_of(kGood));
  const Finished bad = cli({"policy", "check", "--format", "json", folder / "bad.yaml"});
  CHECK(bad.status == 1);
  CHECK(Json::parse(bad.out)["diagnostics"][0]["line"] == 7);
  CHECK(Json::parse(bad.out)["diagnostics"][0]["severity"] == "error");
}

TEST_CASE("findings as JSON and back") {
  const std::vector<Diagnostic> all{
      {"p.yaml", 1, 2, "E008", "a", "b"},
      {"q.yaml", 3, 4, "W004", "c", "", Diagnostic::Severity::warning}};
  const auto back = diagnostics_from_json(diagnostics_json(all));
  REQUIRE(back.size() == 2);
  CHECK(to_string(back[0]) == to_string(all[0]));
  CHECK(to_string(back[1]) == "q.yaml:3:4: warning[W004]: c");
}

TEST_CASE("policy compile writes the image the compiler made") {
  const TempDir folder;
  write_text(folder / "good.yaml", kGood);
  const std::vector<SourceFile> sources{{.name = "p.yaml", .text = kGood}};
  const auto image = compile_policy(sources)->image;
  const std::string expected(image.begin(), image.end());
  CHECK(cli({"policy", "compile", folder / "good.yaml", "-o", folder / "out"}).status == 0);
  CHECK(read_text(folder / "out") == expected);
  CHECK(cli({"policy", "compile", folder / "good.yaml", "-o", "-"}).out == expected);
  const Finished device = cli({"policy", "compile", folder / "good.yaml", "-o", "/dev/full"});
  CHECK(device.status == 2);
  CHECK(device.err == "sallyport: error: cannot write /dev/full: No space left on device\n");
  CHECK(std::filesystem::is_character_file("/dev/full"));
  CHECK(cli({"policy", "compile", folder / "good.yaml", "-o", folder / "no" / "out"}).status == 2);
}

TEST_CASE("usage errors exit 2, help and version 0") {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"nonsense"},
                                             {"policy"},
                                             {"policy", "check"},
                                             {"push"},
                                             {"drops", "--what"},
                                             {"status", "--format", "xml"},
                                             {"replay", "--policy", "x"}}) {
    const Finished finished = cli(arguments);
    CHECK(finished.status == 2);
    CHECK(finished.out.empty());
    CHECK_FALSE(finished.err.empty());
  }
  CHECK(cli({"--help"}).status == 0);
  CHECK(cli({"--version"}).out.starts_with("sallyport 0."));
}

TEST_CASE("push: through the agent and back") {
  const TempDir folder;
  write_text(folder / "good.yaml", kGood);
  write_text(folder / "bad.yaml", kBad);
  const std::string socket = folder / "control.sock";
  const Finished dead = cli({"push", folder / "good.yaml", "--socket", socket});
  CHECK(dead.status == 2);
  CHECK(dead.err == "sallyport: error: cannot push through the agent at " + socket +
                        ": No such file or directory; start sallyport-control, or give its socket "
                        "with --socket\n");
  FakeDataplane dataplane(folder / "dataplane.sock");
  const Process agent({program("sallyport-control"), "--socket", socket, "--dataplane-socket",
                       folder / "dataplane.sock", "--state-dir", folder / "state"},
                      folder / "log");
  REQUIRE(eventually([&] { return dataplane.queries > 0; }));
  const std::string revision = revision_of(kGood);
  const Finished pushed = cli({"push", folder / "good.yaml", "--socket", socket});
  CHECK(pushed.status == 0);
  CHECK(pushed.out == "revision " + revision + " is in force\ncore 1: revision " + revision +
                          ", generation 1\ncore 2: revision " + revision + ", generation 1\n");
  const Finished bad = cli({"push", folder / "bad.yaml", "--socket", socket});
  CHECK(bad.status == 1);
  CHECK(bad.err.starts_with((folder / "bad.yaml").string() + ":7:15: error[E"));
  CHECK(bad.err.find("    |               ^~~~\n    help: did you mean 'Allow'?\n") !=
        std::string::npos);
  const std::string kept = ": nothing was pushed; revision " + revision + " stays in force\n";
  CHECK(bad.err.ends_with("the pushed policy has 1 error" + kept));
  write_text(folder / "worse.yaml", replaced(policy_yaml("three", "a.example.com"), "Allow", "No"));
  const Finished worse =
      cli({"push", folder / "bad.yaml", folder / "worse.yaml", "--socket", socket});
  CHECK(worse.err.ends_with("the pushed policy has 2 errors" + kept));
  dataplane.refusal = Refusal::no_memory;
  const Finished refused =
      cli({"push", folder / "good.yaml", "--socket", socket, "--format", "json"});
  CHECK(refused.status == 1);
  CHECK(Json::parse(refused.out)["refusal"] == "no_memory");
  write_text(folder / "latin.yaml", "# \xe9\n" + kGood);
  const Finished latin = cli({"push", folder / "latin.yaml", "--socket", socket});
  CHECK(latin.status == 2);
  CHECK(latin.err ==
        "sallyport: error: " + (folder / "latin.yaml").string() + " is not UTF-8 text\n");
}

TEST_CASE("status: from the stats segment, agent or not") {
  const TempDir folder;
  const auto status = [&](const StatsFile& file, const std::string& format = "text") {
    write_text(folder / "stats", stats_bytes(file));
    return cli(
        {"status", "--stats", folder / "stats", "--socket", folder / "none", "--format", format});
  };
  const Finished good = status(healthy());
  CHECK(good.status == 0);
  CHECK(good.out == "data plane  running, pid " + std::to_string(::getpid()) +
                        ", up 1 h 1 min\n"
                        "agent       not reachable at " +
                        (folder / "none").string() +
                        ": No such file or directory (traffic is not affected)\n\n"
                        "CORE  REVISION      GENERATION  HEARTBEAT  STATE\n"
                        "1     abcdef123456           3   0 ms ago  running\n"
                        "2     abcdef123456           3   0 ms ago  running\n");
  const Json json = Json::parse(status(healthy(), "json").out);
  CHECK(json["ok"] == true);
  CHECK(json["cores"][1]["revision"] == "abcdef123456");
  CHECK(json["agent"]["reachable"] == false);

  StatsFile file = healthy();
  file.cores[1].heartbeat_unix_ns = unix_now_ns() - 90 * kSecond;
  CHECK(status(file).status == 1);
  CHECK(
      status(file).err.starts_with("sallyport: error: core 2 is stalled: no heartbeat for 1 min"));
  file = healthy();
  file.cores[0].revision = 0;
  CHECK(status(file).err == "sallyport: error: the cores run different revisions\n");
  file = healthy();
  file.ended = true;
  CHECK(status(file).status == 1);
  CHECK(status(file).out.starts_with("data plane  stopped, was pid " + std::to_string(::getpid()) +
                                     "\n"));
  CHECK(Json::parse(status(file, "json").out)["cores"][0]["state"] == "stopped");
  file = healthy();
  file.pid = 0x3fffffff;  // Above any pid_max.
  CHECK(status(file).err == "sallyport: error: the data plane is not running\n");
}

TEST_CASE("status and drops without a usable segment") {
  const TempDir folder;
  const std::string stats = folder / "stats";
  const auto ask = [&](const char* command) { return cli({command, "--stats", stats}); };
  CHECK(ask("status").status == 1);
  CHECK(ask("drops").status == 2);
  CHECK(ask("drops").err == "sallyport: error: stats segment " + stats +
                                " does not exist: no data plane has started here; start "
                                "sallyport-dataplane, or give its paths.stats with --stats\n");
  write_text(stats, "garbage");
  CHECK(ask("status").status == 2);
  CHECK(ask("counters").status == 2);
  CHECK(ask("drops").err ==
        "sallyport: error: stats segment " + stats + " is too short to be a stats segment\n");
}

TEST_CASE("drops and counters: the segment names what there is") {
  const TempDir folder;
  const std::string stats = folder / "stats";
  write_text(stats, stats_bytes(healthy()));
  CHECK(cli({"drops", "--stats", stats}).out ==
        "REASON           CORE 1  CORE 2  TOTAL\n"
        "bad_l4_checksum       5     100    105\n");
  CHECK(cli({"drops", "--stats", stats, "--all"}).out ==
        "REASON           CORE 1  CORE 2  TOTAL\n"
        "bad_l4_checksum       5     100    105\n"
        "malformed             0       0      0\n");
  CHECK(cli({"counters", "--stats", stats}).out ==
        "COUNTER                                        CORE 1  CORE 2  TOTAL\n"
        "sallyport_drops_total{reason=bad_l4_checksum}       5     100    105\n"
        "sallyport_flows{state=pending}                      1       2      3\n");
  const Json json = Json::parse(cli({"drops", "--stats", stats, "--format", "json"}).out);
  REQUIRE(json["drops"].size() == 1);
  CHECK(json["drops"][0]["reason"] == "bad_l4_checksum");
  CHECK(json["drops"][0]["cores"]["2"] == 100);
  CHECK(json["drops"][0]["total"] == 105);
  StatsFile quiet = healthy();
  quiet.counters.resize(1);
  quiet.cores = {{1, 0, 0, 0, {0}}};
  write_text(stats, stats_bytes(quiet));
  CHECK(cli({"drops", "--stats", stats}).out == "no drops\n");
}

TEST_CASE("replay: paths are checked before anything runs") {
  const TempDir folder;
  const std::string policy = folder / "good.yaml";
  const std::string pcap = folder / "in.pcap";
  write_text(policy, kGood);
  write_text(pcap, "");
  struct Row {
    std::vector<std::string> arguments;
    std::string error;
  };
  const std::vector<Row> rows{
      {{"--pcap", folder / "none"},
       "cannot read the capture " + (folder / "none").string() + ": No such file or directory"},
      {{"--pcap", pcap, "--out", folder / "no" / "f"},
       "cannot write --out " + (folder / "no" / "f").string() + ": folder " +
           (folder / "no").string() + ": No such file or directory"},
      {{"--pcap", pcap, "--out", folder.path()},
       "cannot write --out " + folder.path().string() + ": it is a folder"},
      {{"--pcap", pcap, "--write-pcap", pcap},
       "cannot write --write-pcap " + pcap + ": it is the capture that is read"},
  };
  for (const Row& row : rows) {
    std::vector<std::string> arguments{"replay", "--policy", policy};
    arguments.insert(arguments.end(), row.arguments.begin(), row.arguments.end());
    const Finished finished = cli(arguments);
    CHECK(finished.status == 2);
    CHECK(finished.err == "sallyport: error: " + row.error + "\n");
  }
}

TEST_CASE("replay hands the image and its arguments to the data plane beside it") {
  const TempDir folder;
  const std::string policy = folder / "good.yaml";
  const std::string pcap = folder / "in.pcap";
  write_text(policy, kGood);
  write_text(pcap, "");
  // A copy in a folder of its own, so that what stands beside it is ours.
  std::filesystem::copy_file(program("sallyport"), folder / "sallyport");
  write_text(
      folder / "sallyport-dataplane",
      "#!/bin/sh\necho \"$@\"\ncat /proc/self/fd/$3 > \"$(dirname \"$0\")/image\"\nexit 7\n");
  REQUIRE(::chmod((folder / "sallyport-dataplane").c_str(), 0755) == 0);
  const Finished finished = run({folder / "sallyport", "replay", "--policy", policy, "--pcap", pcap,
                                 "--write-pcap", folder / "out.pcap", "--checksums", "ignore"});
  CHECK(finished.status == 7);
  const std::string arguments = " --out - --pcap " + pcap + " --write-pcap " +
                                (folder / "out.pcap").string() + " --checksums ignore\n";
  CHECK(finished.out.starts_with("replay --image-fd "));
  CHECK(finished.out.ends_with(arguments));
  const std::vector<SourceFile> sources{{.name = "p.yaml", .text = kGood}};
  const auto image = compile_policy(sources)->image;
  CHECK(read_text(folder / "image") == std::string(image.begin(), image.end()));
}
