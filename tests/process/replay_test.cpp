// `sallyport replay`: the pipeline over a capture, as a user runs it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <span>

#include "tests/process/replay_helper.h"

using namespace sallyport;
using namespace sallyport::test;

TEST_CASE("a capture gives a row a flow, and what would have left", "[process]") {
  Replay replay;
  const Capture capture = three_connections();
  const bool next_generation = GENERATE(false, true);
  write_bytes(replay.pcap,
              next_generation ? pcapng_bytes(capture.frames) : pcap_bytes(capture.frames));
  const Finished finished = replay.run_it();
  CAPTURE(finished.err);
  REQUIRE(finished.status == 0);
  CHECK(finished.err == "21 packets, dropped: denied 3, held_after_denial 1\n");
  CHECK(finished.out.empty());

  CHECK(replay.rows().size() == 3);
  const Json allowed = replay.row(40001);
  CHECK(allowed["verdict"]["action"] == "allow");
  CHECK(allowed["policy"]["rule"] == "good");
  CHECK(allowed["host"] == "good.test");
  CHECK(allowed["app"] == "tls");
  CHECK(allowed["dst_ip"] == "198.19.0.2");
  CHECK(allowed["pcap"] == "in.pcap");
  CHECK(allowed["flow"]["pkts_toserver"] == 4);
  CHECK(allowed["flow"]["pkts_toclient"] == 3);
  CHECK(allowed["flow"]["start"] == "2023-11-14T22:13:20.001000+0000");
  const Json denied = replay.row(40002);
  CHECK(denied["verdict"]["action"] == "deny");
  CHECK(denied["policy"]["reason"] == "default_deny");
  CHECK(denied["host"] == "other.test");
  const Json http = replay.row(40003);
  CHECK(http["verdict"]["action"] == "allow");
  CHECK(http["app"] == "http1");

  const auto frames = read_pcap(replay.written);
  CHECK(contains(frames, kGood));
  CHECK(contains(frames, kRequest));
  CHECK_FALSE(contains(frames, kOther));
  // What passes, passes as it was.
  CHECK(std::ranges::count(frames, capture.frames[3].frame) == 1);
}

TEST_CASE("checksums that offloading left undone can be ignored", "[process]") {
  Replay replay;
  Capture capture = three_connections();
  capture.frames[3].frame = tcp("198.18.0.2", 40001, "198.19.0.2", 443)
                                .seq(1001)
                                .ack(5001)
                                .payload(kGood)
                                .bad_l4_checksum()
                                .frame();
  write_bytes(replay.pcap, pcap_bytes(capture.frames));
  CHECK(replay.run_it().status == 0);
  CHECK(replay.row(40001)["app"] == "unknown");
  replay.extra = {"--checksums", "ignore"};
  CHECK(replay.run_it().status == 0);
  CHECK(replay.row(40001)["host"] == "good.test");
}

TEST_CASE("packets stamped out of order end no flow before its time", "[process]") {
  Replay replay;
  Capture capture;
  capture.connection(40001, kGood);
  capture.connection(40002, kGood);
  std::ranges::swap_ranges(std::span(capture.frames).subspan(1, 6),
                           std::span(capture.frames).subspan(7, 6));
  write_bytes(replay.pcap, pcap_bytes(capture.frames));
  CHECK(replay.run_it().status == 0);
  CHECK(replay.rows().size() == 2);
  for (const uint16_t port : {uint16_t{40001}, uint16_t{40002}}) {
    CHECK(replay.row(port)["flow"]["pkts_toserver"] == 4);
    CHECK(replay.row(port)["flow"]["pkts_toclient"] == 3);
    CHECK(replay.row(port)["flow"]["age"] == 0);
  }
}

TEST_CASE("what passes keeps its order, however close it came", "[process]") {
  Replay replay;
  Capture capture;
  capture.connection(40001, kGood);
  std::vector<Bytes> expected;
  for (Captured& one : capture.frames) {
    one.unix_us = kStartUs;
    expected.push_back(one.frame);
  }
  write_bytes(replay.pcap, pcap_bytes(capture.frames));
  CHECK(replay.run_it().status == 0);
  CHECK(read_pcap(replay.written) == expected);
}

TEST_CASE("a SYN-ACK shows who the server is, even without its SYN", "[process]") {
  Replay replay;
  Capture capture;
  capture.connection(40001, kGood);
  write_bytes(replay.pcap, pcap_bytes({capture.frames[1]}));
  CHECK(replay.run_it().status == 0);
  CHECK(replay.rows().empty());
  CHECK(read_pcap(replay.written).empty());  // it comes from outside, and is owed no RST
  write_bytes(replay.pcap, pcap_bytes({capture.frames[2]}));
  CHECK(replay.run_it().status == 0);
  CHECK(read_pcap(replay.written).size() == 1);
}

TEST_CASE("time passes as in the capture", "[process]") {
  Replay replay;
  Capture capture;
  capture.add(tcp("198.18.0.2", 40001, "198.19.0.2", 443).seq(1000).flags(kSyn).frame());
  capture.at_us += 3'600'000'000;  // an hour: the SYN's flow is gone, and this is another
  capture.add(tcp("198.18.0.2", 40001, "198.19.0.2", 443).seq(1000).flags(kSyn).frame());
  write_bytes(replay.pcap, pcap_bytes(capture.frames));
  CHECK(replay.run_it().status == 0);
  CHECK(replay.rows().size() == 2);
}

TEST_CASE("a capture without packets gives no rows", "[process]") {
  Replay replay;
  write_bytes(replay.pcap, pcap_bytes({}));
  const Finished finished = replay.run_it();
  CAPTURE(finished.err);
  CHECK(finished.status == 0);
  CHECK(replay.rows().empty());
  CHECK(read_pcap(replay.written).empty());
}

TEST_CASE("a capture's path may hold what DPDK takes for syntax", "[process]") {
  Replay replay;
  for (const char* name : {"a,b.pcap", "tx_pcap=x,rx_pcap=y", "a b'\"[].pcap"}) {
    CAPTURE(name);
    replay.pcap = replay.folder / name;
    replay.written = replay.folder / (std::string("out ,") + name);
    write_bytes(replay.pcap, pcap_bytes(three_connections().frames));
    CHECK(replay.run_it().status == 0);
    CHECK(replay.rows().size() == 3);
    CHECK(replay.rows().front()["pcap"] == name);
    CHECK(contains(read_pcap(replay.written), kGood));
  }
}

TEST_CASE("what cannot be read or written is named, with its cause", "[process]") {
  Replay replay;
  write_bytes(replay.pcap, pcap_bytes(three_connections().frames));
  struct Row {
    std::string what, said;
  };
  const auto row =
      GENERATE(values<Row>({{"garbage", "in.pcap: it is no capture"},
                            {"empty file", "in.pcap: it is no capture"},
                            {"cut header", "in.pcap: it is cut short"},
                            {"radio", "in.pcap: its link type is IEEE802_11_RADIOTAP (127)"},
                            {"USB", "in.pcap: its link type is USB_LINUX (189)"},
                            {"no capture", "in.pcap"},
                            {"out", "flows.ndjson"},
                            {"write", "out.pcap"},
                            {"policy", "policy.yaml:3"}}));
  CAPTURE(row.what);
  if (row.what == "garbage") write_text(replay.pcap, std::string(500, 'x'));
  if (row.what == "empty file") write_text(replay.pcap, "");
  if (row.what == "cut header") write_text(replay.pcap, "\xd4\xc3\xb2\xa1\x02");
  if (row.what == "radio") {
    Bytes radio = pcap_bytes(three_connections().frames);
    radio[20] = 127;
    write_bytes(replay.pcap, radio);
  }
  if (row.what == "USB") {
    Bytes usb = pcapng_bytes(three_connections().frames);
    usb[28 + 8] = 189;
    write_bytes(replay.pcap, usb);
  }
  if (row.what == "no capture") std::filesystem::remove(replay.pcap);
  if (row.what == "out") replay.flows = replay.folder / "policy.yaml" / "flows.ndjson";
  if (row.what == "write") replay.written = replay.folder / "policy.yaml" / "out.pcap";
  if (row.what == "policy") {
    write_text(replay.folder / "policy.yaml",
               "apiVersion: sallyport/v1\nkind: EgressPolicy\nx: 1\n");
  }
  const Finished finished = replay.run_it();
  CAPTURE(finished.err);
  CHECK(finished.status == (row.what == "policy" ? 1 : 2));
  CHECK(finished.err.find(row.said) != std::string::npos);
  if (row.what != "policy") CHECK(std::count(finished.err.begin(), finished.err.end(), '\n') == 1);
}

TEST_CASE("rows go to standard output unless told otherwise", "[process]") {
  Replay replay;
  write_bytes(replay.pcap, pcap_bytes(three_connections().frames));
  const Finished finished = run({program("sallyport"), "replay", "--policy",
                                 replay.folder / "policy.yaml", "--pcap", replay.pcap});
  CHECK(finished.status == 0);
  CHECK(std::count(finished.out.begin(), finished.out.end(), '\n') == 3);
  CHECK_FALSE(std::filesystem::exists(replay.written));
}
