// What `sallyport flows` finds in a record, whether it is asked for, and the line it becomes.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "control/cli/flow_filter.h"
#include "control/cli/flow_line.h"
#include "control/cli/flow_output.h"
#include "control/common/json_text.h"

using namespace sallyport;

namespace {

/// A verdict on TLS to pypi.org, changed by the members of `more`.
std::string line_of(const Json& more = Json::object()) {
  Json record{{"timestamp", "2026-11-22T23:59:30.512345+0000"},
              {"flow_id", 281474976710657},
              {"event_type", "verdict"},
              {"src_ip", "10.1.2.3"},
              {"src_port", 40001},
              {"dest_ip", "203.0.113.9"},
              {"dest_port", 443},
              {"proto", "TCP"},
              {"app_proto", "tls"},
              {"tls", {{"sni", "pypi.org"}}},
              {"verdict", {{"action", "allow"}}},
              {"policy",
               {{"name", "packages"}, {"rule", "pypi"}, {"would_deny", false}, {"reason", "rule"}}},
              {"core", 1},
              {"schema", 1}};
  if (!more.is_null()) record.merge_patch(more);
  return dump(record);
}

LoggedRecord record_of(const Json& more = Json::object()) {
  return read_logged_record(line_of(more)).value_or(LoggedRecord{});
}

const Json kDenied{{"verdict", {{"action", "deny"}}},
                   {"policy", {{"name", nullptr}, {"rule", nullptr}, {"reason", "default_deny"}}}};
const Json kGap{{"event_type", "gap"},
                {"gap",
                 {{"events", 14},
                  {"cause", "write_failed"},
                  {"start", "2026-11-22T23:59:22.101213+0000"},
                  {"end", "2026-11-22T23:59:29.998877+0000"}}}};

std::string with(const std::string& member, const std::string& value) {
  return Json{{member, value}}.dump();
}

}  // namespace

TEST_CASE("a record is asked for when all conditions hold") {
  struct Row {
    const char* what;
    FlowOptions options;
    Json record;
    bool matches;
  };
  const std::vector<Row> rows{
      {"no condition", {}, {}, true},
      {"denied", {.denied = true}, kDenied, true},
      {"allowed", {.denied = true}, {}, false},
      {"audited", {.denied = true}, {{"policy", {{"would_deny", true}}}}, true},
      {"start", {.denied = true}, {{"event_type", "start"}, {"verdict", nullptr}}, false},
      {"rule", {.rule = "pypi"}, {}, true},
      {"policy and rule", {.rule = "packages/pypi"}, {}, true},
      {"another policy", {.rule = "models/pypi"}, {}, false},
      {"all of a policy", {.rule = "packages/*"}, {}, true},
      {"all of another", {.rule = "models/*"}, {}, false},
      {"another rule", {.rule = "pyp"}, {}, false},
      {"reason without a rule", {.rule = "default_deny"}, kDenied, true},
      {"reason beside a rule", {.rule = "rule"}, {}, false},
      {"name", {.host = "PyPI.org."}, {}, true},
      {"below itself", {.host = "*.pypi.org"}, {}, false},
      {"below", {.host = "*.org"}, {}, true},
      {"no label's end", {.host = "*.pi.org"}, {}, false},
      {"upper case on the wire", {.host = "pypi.org"}, {{"tls", {{"sni", "PYPI.org"}}}}, true},
      {"no name", {.host = "*.org"}, {{"tls", nullptr}}, false},
      {"no host name", {.host = "*.org"}, {{"tls", {{"sni", "a b.org"}}}}, false},
      {"HTTP",
       {.host = "pypi.org"},
       {{"app_proto", "http2"}, {"http", {{"hostname", "pypi.org"}}}},
       true},
      {"DNS", {.host = "x.test"}, {{"app_proto", "dns"}, {"dns", {{"rrname", "x.test"}}}}, true},
      {"source", {.src = "10.1.0.0/16"}, {}, true},
      {"another source", {.src = "10.2.0.0/16"}, {}, false},
      {"one source", {.src = "10.1.2.3"}, {}, true},
      {"of the other family", {.src = "::/0"}, {}, false},
      {"destination", {.dst = "203.0.113.0/24"}, {}, true},
      {"another destination", {.dst = "10.1.0.0/16"}, {}, false},
      {"event", {.events = {"verdict"}}, {}, true},
      {"another event", {.events = {"request", "end"}}, {}, false},
      {"one of two", {.events = {"request", "end"}}, {{"event_type", "flow"}}, true},
      {"as the log calls it", {.events = {"flow"}}, {{"event_type", "flow"}}, true},
      {"id", {.id = "281474976710657"}, {}, true},
      {"another id", {.id = "281474976710658"}, {}, false},
      {"one of two holds", {.rule = "pypi", .src = "10.2.0.0/16"}, {}, false},
      {"the other holds", {.rule = "hub", .src = "10.1.0.0/16"}, {}, false},
      {"both hold", {.rule = "pypi", .src = "10.1.0.0/16"}, {}, true},
      {"a gap might have matched", {.denied = true, .rule = "pypi"}, kGap, true},
      {"a gap is no other event", {.events = {"verdict"}}, kGap, false},
      {"a gap by name", {.events = {"gap"}}, kGap, true},
      {"a gap is not of a flow", {.id = "1"}, kGap, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const auto filter = FlowFilter::make(row.options).value();
    const std::string line = line_of(row.record);
    CHECK(filter.matches(record_of(row.record)) == row.matches);
    if (row.matches) CHECK(filter.could_match(line));
  }
}

TEST_CASE("nonsense in a condition is said, with what to write") {
  struct Row {
    FlowOptions options;
    const char* problem;
  };
  const std::vector<Row> rows{
      {{.rule = ""}, "--rule ''"},
      {{.rule = "a/b/c"}, "--rule 'a/b/c'"},
      {{.rule = "/pypi"}, "--rule '/pypi'"},
      {{.rule = "*"}, "--rule '*'"},
      {{.rule = "a\x1b[m"}, "--rule 'a\\x1b[m'"},
      {{.host = "x.*"}, "--host: "},
      {{.host = ""}, "--host: "},
      {{.host = "10.1.2.3"}, "give an address with --dst"},
      {{.src = "10.1.2.3/8"}, "write 10.0.0.0/8"},
      {{.src = "10.0.0.0/33"}, "--src '10.0.0.0/33': the prefix length"},
      {{.src = "pypi.org"}, "--src 'pypi.org': is neither an address nor a block"},
      {{.dst = "x"}, "--dst 'x'"},
      {{.events = {"verdict", "ending"}}, "--event 'ending'"},
      {{.id = "-1"}, "--id '-1'"},
      {{.id = "12x"}, "--id '12x'"},
      {{.id = ""}, "--id ''"},
      {{.id = "99999999999999999999"}, "--id '99999999999999999999'"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.problem);
    const auto filter = FlowFilter::make(row.options);
    REQUIRE_FALSE(filter);
    CHECK(filter.error().contains(row.problem));
  }
}

TEST_CASE("a line for people, in 100 columns") {
  struct Row {
    Json record;
    const char* line;
  };
  const std::vector<Row> rows{
      {{},
       "23:59:30 allow   10.1.2.3        pypi.org:443/tls                     packages/pypi        "
       "        -"},
      {kDenied,
       "23:59:30 deny    10.1.2.3        pypi.org:443/tls                     default_deny         "
       "        -"},
      {{{"policy", {{"would_deny", true}, {"reason", "budget_exceeded"}}}},
       "23:59:30 audit   10.1.2.3        pypi.org:443/tls                packages/pypi "
       "budget_exceeded     -"},
      {{{"event_type", "flow"}, {"flow", {{"bytes_toserver", 900}, {"bytes_toclient", 345}}}},
       "23:59:30 allow   10.1.2.3        pypi.org:443/tls                     packages/pypi        "
       "     1.2K"},
      {{{"app_proto", "unknown"}, {"tls", nullptr}, {"dest_ip", "2001:db8::9"}},
       "23:59:30 allow   10.1.2.3        [2001:db8::9]:443/tcp                packages/pypi        "
       "        -"},
      {{{"proto", "ICMP"}, {"app_proto", "unknown"}, {"dest_port", 0}},
       "23:59:30 allow   10.1.2.3        203.0.113.9/icmp                     packages/pypi        "
       "        -"},
      {kGap,
       "23:59:30 gap     14 events are missing here: write_failed, core 1, 23:59:22 to 23:59:29"},
  };
  for (const Row& row : rows) CHECK(flow_line(record_of(row.record), {}) == row.line);
  CHECK(flow_line_header({}).size() == 100);
  CHECK(flow_line_header({.width = 80}).size() == 80);
  CHECK(flow_line(record_of(), {.width = 120}).ends_with(" 281474976710657"));
}

TEST_CASE("the ends of a name that is too long are shown") {
  const std::string name = std::string(60, 'a') + ".s3.amazonaws.com";
  const std::string line = flow_line(record_of({{"tls", {{"sni", name}}}}), {.width = 80});
  CHECK(line.size() == 80);
  CHECK(line.contains("aaa.."));
  CHECK(line.contains("amazonaws.com:443/tls packages/pypi"));
}

TEST_CASE("no byte from the wire forges a line or drives a terminal") {
  struct Row {
    const char* text;
    const char* shown;
  };
  const auto row = GENERATE(values<Row>({
      {"\x1b[2J", "\\x1b[2J"},
      {"a\nb\r\tc", "a\\x0ab\\x0d\\x09c"},
      {"a  deny", "a\\x20\\x20deny"},
      {"\\x1b", "\\\\x1b"},
      {"\x7f", "\\x7f"},
      {"\xc2\x9b"
       "1m",
       "\\u{009b}1m"},
      {"\xe2\x80\xae", "\\u{202e}"},
      {"\xd7\x90", "\\u{05d0}"},
      {"\xff\x80", "\\xff\\x80"},
      {"pypi.org", "pypi.org"},
  }));
  CHECK(wire_text(row.text) == row.shown);
}

TEST_CASE("whatever a record holds, its line is printable and no longer than asked for") {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    const auto text = [&random] {
      std::string out(random() % 60, ' ');
      for (char& c : out) c = static_cast<char>(random() % 4 == 0 ? random() % 32 : random() % 256);
      return out;
    };
    LoggedRecord record = record_of(round % 5 == 0 ? kGap : Json::object());
    for (std::string* one :
         {&record.timestamp, &record.src_ip, &record.dest_ip, &record.protocol, &record.app,
          &record.name, &record.action, &record.policy, &record.rule, &record.reason, &record.fault,
          &record.gap_cause, &record.gap_start, &record.gap_end}) {
      if (random() % 2 == 0) *one = text();
    }
    if (random() % 2 == 0) record.bytes = record.flow_id = record.dest_port = UINT64_MAX - random();
    const unsigned width = 80 + static_cast<unsigned>(random() % 60);
    const std::string line = flow_line(record, {.width = width}) + day_of(record);
    CAPTURE(line);
    CHECK(std::ranges::all_of(line, [](char c) { return c >= 0x20 && c < 0x7f; }));
    CHECK(line.size() <= width + day_of(record).size());
  }
}

TEST_CASE("colours are around the verdict alone") {
  const std::string plain = flow_line(record_of(kDenied), {});
  std::string painted = flow_line(record_of(kDenied), {.colours = true});
  CHECK(painted.starts_with("23:59:30 \x1b[31mdeny   \x1b[0m 10.1.2.3"));
  painted.erase(painted.find("\x1b[31m"), 5);
  painted.erase(painted.find("\x1b[0m"), 4);
  CHECK(painted == plain);
}

TEST_CASE("lines that are no records") {
  const auto line = GENERATE(values<std::string>(
      {"", "{", "[]", "{}", "{\"event_type\":\"other\"}", "{\"event_type\":1}", "\xff"}));
  CHECK_FALSE(read_logged_record(line));
}

TEST_CASE("odd members of a record read as empty") {
  const std::string odd =
      R"({"event_type":"flow","flow_id":-1,"src_ip":7,"tls":3,"policy":[],"verdict":"x","flow":null})";
  const LoggedRecord record = read_logged_record(odd).value_or(record_of());
  CHECK(record.event == LoggedEvent::end);
  CHECK(record.flow_id == 0);
  CHECK(record.src_ip.empty());
  CHECK(record.action.empty());
  CHECK_FALSE(record.would_deny);
}

namespace {

/// What came out of an output, without header and day, each line's verdict and bytes.
std::vector<std::string> ends_of(const std::string& text) {
  std::vector<std::string> out;
  for (size_t start = 0; start < text.size();) {
    const size_t end = text.find('\n', start);
    const std::string line = text.substr(start, end - start);
    const bool told = !line.starts_with("UTC") && !line.starts_with("--");
    if (told) out.push_back(line.substr(9, 7) + line.substr(line.rfind(' ')));
    start = end + 1;
  }
  return out;
}

using Lines = std::vector<std::string>;

Json end_of(const Json& more, unsigned bytes) {
  Json out = more.is_null() ? Json::object() : more;
  out["event_type"] = "flow";
  out["flow"] = {{"bytes_toserver", bytes}, {"bytes_toclient", 0}};
  return out;
}

struct Shown {
  std::string text;
  std::unique_ptr<FlowOutput> output;

  explicit Shown(FlowTextOptions options = {}) {
    output = text_flow_output(options, [this](const std::string& more) { text += more; });
  }
  void add(const Json& more) const { output->add(record_of(more), ""); }
};

}  // namespace

TEST_CASE("a flow is one line: its end gives it its bytes") {
  Shown shown;
  shown.add({});
  shown.add({{"flow_id", 2}});
  shown.add({{"event_type", "start"}});
  shown.add(end_of(Json::object(), 70));
  shown.output->go_live();
  CHECK(ends_of(shown.text) == Lines{"allow   70", "allow   -"});
}

TEST_CASE("the end of a flow whose verdict is not at hand is a line") {
  Shown shown;
  shown.add(end_of({{"flow_id", 2}}, 70));
  shown.add({{"flow_id", 3}});
  // The gateway began anew, and gave another flow the id.
  shown.add(end_of({{"flow_id", 3}, {"src_port", 7}}, 80));
  shown.output->go_live();
  CHECK(ends_of(shown.text) == Lines{"allow   70", "allow   -", "allow   80"});
}

TEST_CASE("requests are lines of their own, and the last has the bytes") {
  Shown shown;
  shown.add({});
  shown.add({{"event_type", "request"}});
  shown.add(end_of(Json::object(), 70));
  shown.output->go_live();
  CHECK(ends_of(shown.text) == Lines{"allow   -", "allow   70"});
}

TEST_CASE("the last lines alone") {
  Shown shown({.last = 2});
  for (unsigned id = 1; id <= 4; ++id) shown.add({{"flow_id", id}});
  shown.add(end_of({{"flow_id", 1}}, 10));  // Its line is gone: it is one of its own.
  shown.add(end_of({{"flow_id", 4}}, 40));
  CHECK(shown.output->kept() == 2);
  shown.output->go_live();
  CHECK(ends_of(shown.text) == Lines{"allow   40", "allow   10"});
}

TEST_CASE("live, a verdict is shown at once and an end only where there was none") {
  Shown shown;
  shown.output->go_live();
  shown.add(kDenied);
  CHECK(ends_of(shown.text) == Lines{"deny    -"});
  shown.add(end_of(kDenied, 10));
  shown.add(kGap);
  shown.add(end_of({{"verdict", {{"action", "pending"}}}}, 20));
  CHECK(ends_of(shown.text).size() == 3);
  CHECK(ends_of(shown.text).back() == "pending 20");
}

TEST_CASE("events that were asked for by name are a line each") {
  Shown shown({.every_record = true});
  shown.add({{"event_type", "start"}, {"verdict", nullptr}});
  shown.add({});
  shown.add(end_of(Json::object(), 70));
  shown.output->go_live();
  CHECK(ends_of(shown.text) == Lines{"start   -", "allow   -", "allow   70"});
}

TEST_CASE("the day stands above its first line") {
  Shown shown;
  shown.output->go_live();
  shown.add({});
  shown.add({});
  shown.add({{"timestamp", "2026-11-23T00:00:01.000000+0000"}});
  size_t days = 0;
  for (size_t at = shown.text.find("\n-- "); at != std::string::npos;
       at = shown.text.find("\n-- ", at + 1)) {
    ++days;
  }
  CHECK(days == 2);
  CHECK(shown.text.contains("\n-- 2026-11-23\n00:00:01 allow"));
}

TEST_CASE("JSON is the record as it stands; what no gateway writes is escaped") {
  std::string text;
  const auto output = json_flow_output(1, [&text](const std::string& more) { text += more; });
  const std::string line = with("b", "1") + "  ";
  output->add(record_of(), "left out");
  output->add(record_of(), line);
  output->go_live();
  CHECK(text == line + "\n");
  output->add(record_of(), "{\"sni\":\"\xc2\x9b\"}");
  CHECK(text == line + "\n{\"sni\":\"\\u009b\"}\n");
}
