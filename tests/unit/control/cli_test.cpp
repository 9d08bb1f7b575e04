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
#include "policy/runtime/budget_state.h"
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

namespace {

/// Of two cores, each with what it received, sent, dropped and handed over.
StatsFile with_books(std::vector<uint64_t> first, std::vector<uint64_t> second) {
  StatsFile file = healthy();
  constexpr auto kCounter = StatsKind::counter;
  file.counters = {{"sallyport_a", "", kCounter, "received", {1, 0, 0}},
                   {"sallyport_b", "", kCounter, "received", {0, 1, 0}},
                   {"sallyport_c", "", kCounter, "sent", {-1, 0, 0}},
                   {"sallyport_d", "", kCounter, "sent", {0, -1, 0}},
                   {"sallyport_e", "", kCounter, "dropped: denied", {-1, 0, 0}},
                   {"sallyport_f", "", kCounter, "handed to other cores", {-1, 0, 1}},
                   {"sallyport_g", "", kCounter, "taken from other cores", {1, 0, -1}}};
  file.cores[0].values = std::move(first);
  file.cores[1].values = std::move(second);
  return file;
}

}  // namespace

TEST_CASE("status --books: what came is what went, or the status is 1") {
  const TempDir folder;
  const auto books = [&](const StatsFile& file, std::vector<std::string> more = {}) {
    write_text(folder / "stats", stats_bytes(file));
    std::vector<std::string> all{"status", "--books", "--stats", folder / "stats"};
    all.insert(all.end(), more.begin(), more.end());
    return cli(all);
  };
  const StatsFile good = with_books({10, 4, 6, 4, 2, 2, 0}, {0, 0, 2, 0, 0, 0, 2});
  const Finished finished = books(good);
  CHECK(finished.status == 0);
  CHECK(finished.err.empty());
  CHECK(finished.out ==
        "core 1                   towards outside  towards inside\n"
        "in                                    10               4\n"
        "  received                            10               4\n"
        "out                                   10               4\n"
        "  sent                                 6               4\n"
        "  dropped: denied                      2\n"
        "  handed to other cores                2\n"
        "difference                             0               0\n\n"
        "core 2                    towards outside  towards inside\n"
        "in                                      2               0\n"
        "  taken from other cores                2\n"
        "out                                     2               0\n"
        "  sent                                  2               0\n"
        "difference                              0               0\n\n"
        "all cores                 between cores\n"
        "in                                    2\n"
        "  handed to other cores               2\n"
        "out                                   2\n"
        "  taken from other cores              2\n"
        "difference                            0\n\n"
        "the books balance\n");
  const Json json = Json::parse(books(good, {"--format", "json"}).out);
  CHECK(json["balanced"] == true);
  CHECK(json["readings"] == 1);
  REQUIRE(json["books"].size() == 5);
  CHECK(json["books"][0]["out"] ==
        Json{{"sent", 6}, {"dropped: denied", 2}, {"handed to other cores", 2}});

  StatsFile lost = with_books({10, 4, 6, 4, 1, 2, 0}, {0, 0, 2, 0, 0, 0, 2});
  lost.ended = true;  // nothing changes any more: it is read once
  const Finished amiss = books(lost);
  CHECK(amiss.status == 1);
  CHECK(
      amiss.err.starts_with("sallyport: error: core 1, towards outside: 10 packets came, 9 went: "
                            "1, the least of 1 reading;"));
  StatsFile between = with_books({10, 4, 6, 4, 2, 2, 0}, {0, 0, 1, 0, 0, 0, 1});
  CHECK(books(between).status == 1);
  CHECK(Json::parse(books(between, {"--format", "json"}).out)["readings"] == 100);
  CHECK(cli({"status", "--books", "--stats", folder / "none"}).status == 2);
}

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
    return cli({"status", "--stats", folder / "stats", "--socket", folder / "none", "--budgets",
                folder / "budgets.state", "--format", format});
  };
  const Finished good = status(healthy());
  CHECK(good.status == 0);
  CHECK(good.out == "data plane  running, pid " + std::to_string(::getpid()) +
                        ", up 1 h 1 min\n"
                        "agent       not reachable at " +
                        (folder / "none").string() +
                        ": No such file or directory (traffic is not affected)\n"
                        "identities  none: labels are unknown\n\n"
                        "CORE  REVISION      GENERATION  HEARTBEAT  STATE\n"
                        "1     abcdef123456           3   0 ms ago  running\n"
                        "2     abcdef123456           3   0 ms ago  running\n");
  const Json json = Json::parse(status(healthy(), "json").out);
  CHECK(json["ok"] == true);
  CHECK(json["cores"][1]["revision"] == "abcdef123456");
  CHECK(json["agent"]["reachable"] == false);

  CHECK(json["identities"] == nullptr);

  StatsFile file = healthy();
  file.identity_revision = 0xabc;
  file.identity_addresses = 1204;
  file.identity_since_unix_ns = 1'700'000'000 * kSecond;
  CHECK(status(file).out.contains(
      "\nidentities  revision 000000000abc, 1204 addresses, since 2023-11-14T22:13:20Z\n"));
  CHECK(dump(Json::parse(status(file, "json").out)["identities"]) ==
        R"({"revision":"000000000abc","addresses":1204,"since":"2023-11-14T22:13:20Z"})");
  file = healthy();
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

TEST_CASE("status: what budgets have let out") {
  const TempDir folder;
  write_text(folder / "stats", stats_bytes(healthy()));
  const auto status = [&](const std::string& format) {
    return cli({"status", "--stats", folder / "stats", "--socket", folder / "none", "--budgets",
                folder / "budgets.state", "--format", format});
  };
  CHECK(Json::parse(status("json").out)["budgets"] == Json::array());

  const auto now = static_cast<int64_t>(unix_now_ns() / kSecond);
  std::vector<BudgetCount> counts{
      {.policy = "hub",
       .rule = "pull",
       .scope = BudgetScope::source,
       .source = parse_ip_address("10.1.2.3").value(),
       .labels = {},
       .window_seconds = 86400,
       .window_start = now - 3630,  // so that the text below holds for half a minute
       .used = 50 << 20,
       .limit = 200 << 20},
      {.policy = "hub",
       .rule = "old",
       .scope = BudgetScope::rule,
       .source = {},
       .labels = {},
       .window_seconds = 60,
       .window_start = now - 61,
       .used = 7,
       .limit = 7}};
  write_text(folder / "budgets.state", budget_state_text(counts));
  const std::string text = status("text").out;
  CHECK(text.find("BUDGET    SCOPE   OF            USED      LIMIT  SHARE  ENDS IN\n"
                  "hub/pull  source  10.1.2.3  50.0 MiB  200.0 MiB    25%  22 h 59 min") !=
        std::string::npos);
  const Json json = Json::parse(status("json").out)["budgets"];
  REQUIRE(json.size() == 1);  // the other one's window is over
  CHECK(json[0]["rule"] == "pull");
  CHECK(json[0]["key"] == "10.1.2.3");
  CHECK(json[0]["used_bytes"] == 50 << 20);
  CHECK(json[0]["limit_bytes"] == 200 << 20);

  write_text(folder / "budgets.state", "garbage");
  CHECK(status("json").status == 0);
  CHECK(Json::parse(status("json").out)["budgets"].is_null());
  CHECK(status("text").out.find("budgets     unknown: ") != std::string::npos);
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
  const auto drops_text = [&](std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"drops", "--stats", stats, "--format", "text"});
    return cli(more).out;
  };
  CHECK(drops_text() ==
        "REASON           CORE 1  CORE 2  TOTAL\n"
        "bad_l4_checksum       5     100    105\n\n"
        "REASON           MEANING\n"
        "bad_l4_checksum  What it counts.\n\n"
        "Where to look for each: docs/dataplane.md#every-reason-for-a-drop\n");
  CHECK(
      drops_text({"--all"}).starts_with("REASON           CORE 1  CORE 2  TOTAL\n"
                                        "bad_l4_checksum       5     100    105\n"
                                        "malformed             0       0      0\n"));
  CHECK(cli({"counters", "--stats", stats}).out ==
        "COUNTER                                        CORE 1  CORE 2  TOTAL\n"
        "sallyport_drops_total{reason=bad_l4_checksum}       5     100    105\n"
        "sallyport_flows{state=pending}                      1       2      3\n");
  const Json json = Json::parse(cli({"drops", "--stats", stats}).out);  // into a pipe
  REQUIRE(json["drops"].size() == 1);
  CHECK(json["drops"][0]["reason"] == "bad_l4_checksum");
  CHECK(json["drops"][0]["cores"]["2"] == 100);
  CHECK(json["drops"][0]["total"] == 105);
  StatsFile quiet = healthy();
  quiet.counters.resize(1);
  quiet.cores = {{1, 0, 0, 0, {0}}};
  write_text(stats, stats_bytes(quiet));
  CHECK(drops_text() == "no drops\n");
  CHECK(Json::parse(cli({"drops", "--stats", stats}).out) == Json{{"drops", Json::array()}});
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
