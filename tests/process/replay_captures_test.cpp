// `sallyport replay` over captures as users have them: several at once, from hosts with offload, of
// other links than Ethernet.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/process/replay_helper.h"
#include "tests/support/capture_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

std::vector<std::string> names_of(const std::vector<Json>& rows) {
  std::vector<std::string> out;
  for (const Json& row : rows) out.push_back(row["pcap"]);
  return out;
}

std::vector<Captured> one_connection(uint64_t at_us = kStartUs) {
  Capture capture;
  capture.at_us = at_us;
  capture.connection(40001, kGood);
  return capture.frames;
}

/// A client's connection with the checksums of its own packets left to its NIC.
std::vector<Captured> with_offload() {
  std::vector<Captured> frames = one_connection();
  for (Captured& one : frames) {
    if (one.frame[14 + 13] != 18) continue;  // the server's
    store16(one.frame, 14 + 20 + 16, 0x1234);
    store16(one.frame, 14 + 10, 0);
  }
  return frames;
}

size_t lines_with(const std::string& text, std::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("a folder's captures are replayed in order, each on its own", "[process]") {
  Replay replay;
  replay.write = false;
  replay.pcap = replay.folder / "captures";
  std::filesystem::create_directory(replay.pcap);
  write_bytes(replay.pcap / "b.pcap", pcap_bytes(one_connection()));
  // Earlier than the one before it, and the same flow again.
  write_bytes(replay.pcap / "c.pcapng", pcapng_bytes(one_connection(kStartUs - 3'600'000'000)));
  // The end of a connection that began in another capture: named here only if something was left.
  const auto whole = one_connection();
  write_bytes(replay.pcap / "d.cap", pcap_bytes({whole.begin() + 3, whole.begin() + 5}));
  write_bytes(replay.pcap / "a.pcap", pcap_bytes({whole.begin(), whole.begin() + 3}));
  write_text(replay.pcap / "notes.txt", "no capture");
  const Finished finished = replay.run_it();
  CAPTURE(finished.err);
  CHECK(finished.status == 0);
  CHECK(finished.err.starts_with("19 packets of 4 captures"));
  const auto rows = replay.rows();
  REQUIRE(names_of(rows) == std::vector<std::string>{"a.pcap", "b.pcap", "c.pcapng", "d.cap"});
  CHECK(rows[0]["app"] == "unknown");
  CHECK(rows[3]["flow"]["pkts_toserver"] == 1);  // taken up midway, nothing of a.pcap was left
  for (const size_t i : {1, 2}) {
    CHECK(rows[i]["host"] == "good.test");
    CHECK(rows[i]["flow"]["pkts_toserver"] == 4);
    CHECK(rows[i]["flow"]["age"] == 0);
  }
  CHECK(rows[2]["flow"]["start"] == "2023-11-14T21:13:20.001000+0000");
}

TEST_CASE("a bad capture among many is named and stops no other", "[process]") {
  Replay replay;
  replay.write = false;
  replay.extra = {"--pcap",
                  replay.folder / "garbage.pcap",
                  "--pcap",
                  replay.folder / "none.pcap",
                  "--pcap",
                  replay.folder / "radio.pcap",
                  replay.folder / "last.pcap"};
  write_bytes(replay.pcap, pcap_bytes(one_connection()));
  write_text(replay.folder / "garbage.pcap", std::string(500, 'x'));
  write_bytes(replay.folder / "radio.pcap", PcapBuilder{.network = 127}.file());
  write_bytes(replay.folder / "last.pcap", pcap_bytes(one_connection()) + Bytes(16, 0xff));
  const Finished finished = replay.run_it();
  CAPTURE(finished.err);
  CHECK(finished.status == 2);
  CHECK(names_of(replay.rows()) == std::vector<std::string>{"in.pcap", "last.pcap"});
  CHECK(finished.err.contains("garbage.pcap: it is no capture"));
  CHECK(finished.err.contains("none.pcap: No such file"));
  CHECK(finished.err.contains("radio.pcap: its link type is IEEE802_11_RADIOTAP (127)"));
  CHECK(finished.err.contains("last.pcap: it is damaged"));
  CHECK(finished.err.contains("14 packets of 5 captures"));
  CHECK(lines_with(finished.err, "\n") == 5);
}

TEST_CASE("a capture that was cut short is good up to there", "[process]") {
  Replay replay;
  Bytes file = pcap_bytes(one_connection());
  file.pop_back();
  write_bytes(replay.pcap, file);
  const Finished finished = replay.run_it();
  CHECK(finished.status == 0);
  CHECK(finished.err.contains("in.pcap: it is cut short, after 6 packets\n"));
  CHECK(replay.row(40001)["host"] == "good.test");
}

TEST_CASE("captures that cannot be replayed together are refused", "[process]") {
  Replay replay;
  write_bytes(replay.pcap, pcap_bytes(one_connection()));
  std::filesystem::create_directory(replay.folder / "empty");
  struct Row {
    std::string what, said;
  };
  const auto row = GENERATE(values<Row>({{"write", "--write-pcap takes what one capture sends on"},
                                         {"empty", "no *.pcap, *.pcapng or *.cap in this folder"},
                                         {"over", "it is the capture that is read"},
                                         {"in folder", "it is the capture that is read"}}));
  CAPTURE(row.what);
  if (row.what == "write") replay.extra = {"--pcap", replay.pcap};
  if (row.what == "empty") replay.pcap = replay.folder / "empty";
  if (row.what == "over") {
    replay.extra = {"--pcap", replay.folder / "x.pcap"};
    replay.flows = replay.pcap;
  }
  if (row.what == "in folder") {
    replay.flows = replay.pcap;
    replay.pcap = replay.folder.path();
  }
  const Finished finished = replay.run_it();
  CAPTURE(finished.err);
  CHECK(finished.status == 2);
  CHECK(finished.err.contains(row.said));
}

TEST_CASE("checksums are ignored where offload left them undone", "[process]") {
  Replay replay;
  write_bytes(replay.pcap, pcap_bytes(with_offload()));
  struct Row {
    std::string mode;
    bool read, said;
  };
  const auto row = GENERATE(values<Row>(
      {{"", true, true}, {"auto", true, true}, {"ignore", true, false}, {"verify", false, false}}));
  CAPTURE(row.mode);
  if (!row.mode.empty()) replay.extra = {"--checksums", row.mode};
  const Finished finished = replay.run_it();
  CAPTURE(finished.err);
  CHECK(finished.status == 0);
  CHECK(finished.err.contains("in.pcap: checksums are ignored") == row.said);
  if (row.read) {
    CHECK(replay.row(40001)["host"] == "good.test");
  } else {
    CHECK(finished.err.contains("bad_ip_checksum 4"));
    for (const auto& flow : replay.rows()) CHECK(flow["app"] == "unknown");
  }
}

TEST_CASE("a segment longer than any link carries is read as its pieces", "[process]") {
  Replay replay;
  Capture capture;
  capture.connection(40001, kGood + tls_records(Bytes(30'000, 'x'), 10'000));
  write_bytes(replay.pcap, pcap_bytes(capture.frames));
  const Finished finished = replay.run_it();
  CAPTURE(finished.err);
  CHECK(finished.status == 0);
  CHECK(finished.err.contains("in.pcap: 1 packet cut up"));
  CHECK(replay.row(40001)["host"] == "good.test");
  CHECK(replay.row(40001)["flow"]["pkts_toserver"] == 7);
  const auto frames = read_pcap(replay.written);
  CHECK(frames.size() == 10);
  CHECK(contains(frames, kGood));
}

TEST_CASE("one capture may be of several links", "[process]") {
  Replay replay;
  PcapngBuilder file;
  file.section().interface(1, 65535).interface(101, 262144);
  size_t count = 0;
  for (const Captured& one : one_connection()) {
    const bool raw = count++ % 2 == 1;
    const Bytes packet(one.frame.begin() + (raw ? 14 : 0), one.frame.end());
    file.enhanced(raw ? 1 : 0, one.unix_us, packet);
  }
  write_bytes(replay.pcap, file.file());
  const Finished finished = replay.run_it();
  CAPTURE(finished.err);
  CHECK(finished.status == 0);
  CHECK(replay.row(40001)["host"] == "good.test");
  CHECK(replay.row(40001)["flow"]["pkts_toclient"] == 3);
}
