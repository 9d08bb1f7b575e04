// `sallyport top` as a script sees it.
#include <catch2/catch.hpp>

#include "control/common/json_text.h"
#include "control/common/system.h"
#include "tests/unit/control/top_support.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

Finished top(const std::filesystem::path& stats, std::vector<std::string> more) {
  std::vector<std::string> arguments{program("sallyport"), "top", "--stats", stats};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run(arguments);
}

}  // namespace

TEST_CASE("top --once: statuses and messages", "[top]") {
  const TempDir folder;
  const auto path = folder / "stats";
  const std::vector<std::string> once{"--once", "--interval", "0.1", "--format", "json"};
  const Finished missing = top(path, once);
  CHECK(missing.status == 2);
  CHECK(missing.err.starts_with("sallyport: error: stats segment " + path.string() +
                                " does not exist: "));

  StatsFile file = made_gateway(unix_now_ns() + 60 * kSecond);
  write_text(path, stats_bytes(file));
  const Finished good = top(path, once);
  CHECK(good.status == 0);
  CHECK(good.err.empty());
  const Json json = Json::parse(good.out);
  CHECK(json["interval_seconds"].get<double>() >= 0.1);
  CHECK(json["interval_seconds"].get<double>() < 5);
  CHECK(json["dataplane"]["pid"] == 4242);

  const Finished text = top(path, {"--once", "--interval", "0.1"});
  CHECK(text.status == 0);
  CHECK(text.out.starts_with("sallyport top  running, pid 4242, up "));
  CHECK(text.out.find("\nTOTAL ") != std::string::npos);

  file.ended = true;
  write_text(path, stats_bytes(file));
  const Finished ended = top(path, once);
  CHECK(ended.status == 1);
  CHECK(Json::parse(ended.out)["dataplane"]["state"] == "stopped");

  write_text(path, "nonsense");
  CHECK(top(path, once).status == 2);
}

TEST_CASE("top: what cannot be asked for", "[top]") {
  const TempDir folder;
  struct Row {
    std::vector<std::string> arguments;
    std::string says;
  };
  const std::vector<Row> rows{
      {{"--format", "json"}, "--format json prints one interval; add --once"},
      {{}, "sallyport top needs a terminal; for scripts there is --once"},
      {{"--once", "--interval", "0"}, "--interval"},
      {{"--once", "--interval", "61"}, "--interval"},
      {{"--once", "--interval", "nan"}, "--interval"},
      {{"--once", "--format", "xml"}, "--format"},
  };
  for (const Row& row : rows) {
    const Finished finished = top(folder / "stats", row.arguments);
    CAPTURE(row.says, finished.err);
    CHECK(finished.status == 2);
    CHECK(finished.out.empty());
    CHECK(finished.err.find(row.says) != std::string::npos);
  }
}
