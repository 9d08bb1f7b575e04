#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "control/common/json_text.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/packet_builder.h"
#include "tests/support/pcap.h"
#include "tests/unit/control/support.h"

namespace sallyport::test {

inline constexpr uint64_t kStartUs = 1'700'000'000'000'000;

/// Frames of a capture, a millisecond apart.
struct Capture {
  std::vector<Captured> frames;
  uint64_t at_us = kStartUs;

  void add(const Bytes& frame) { frames.push_back({.unix_us = at_us += 1000, .frame = frame}); }

  /// A connection from 198.18.0.2 in which the client says `stream` and the server answers.
  void connection(uint16_t client_port, const Bytes& stream, uint16_t server_port = 443) {
    const auto out = [&] {
      return tcp("198.18.0.2", client_port, "198.19.0.2", server_port).seq(1001).ack(5001);
    };
    const auto in = [&] {
      return tcp("198.19.0.2", server_port, "198.18.0.2", client_port)
          .macs(kOutsideMac, kInsideMac)
          .seq(5001)
          .ack(1001);
    };
    add(out().seq(1000).flags(kSyn).frame());
    add(in().seq(5000).flags(kSyn | kAck).frame());
    add(out().frame());
    add(out().payload(stream).frame());
    const auto end = 1001 + static_cast<uint32_t>(stream.size());
    add(in().ack(end).payload("answer").frame());
    add(out().seq(end).flags(kFin | kAck).frame());
    add(in().seq(5007).ack(end + 1).flags(kFin | kAck).frame());
  }
};

inline const Bytes kGood = hello().sni("good.test").record();
inline const Bytes kOther = hello().sni("other.test").record();
inline const Bytes kRequest = bytes_of("GET / HTTP/1.1\r\nHost: good.test\r\n\r\n");

inline constexpr std::string_view kPolicy = R"(apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: p}
spec:
  egress:
    - {name: good, action: Allow, to: {domainNames: [good.test]}, protocols: [{tls: {}}, {http: {}}]}
)";

/// `sallyport replay` with files of its own.
struct Replay {
  TempDir folder;
  std::filesystem::path pcap = folder / "in.pcap";
  std::filesystem::path flows = folder / "flows.ndjson";
  std::filesystem::path written = folder / "out.pcap";
  std::vector<std::string> extra;
  bool write = true;

  Replay() { write_text(folder / "policy.yaml", kPolicy); }
  Finished run_it() const {
    std::vector<std::string> arguments{program("sallyport"),
                                       "replay",
                                       "--policy",
                                       folder / "policy.yaml",
                                       "--pcap",
                                       pcap,
                                       "--out",
                                       flows};
    if (write) arguments.insert(arguments.end(), {"--write-pcap", written});
    arguments.insert(arguments.end(), extra.begin(), extra.end());
    return run(arguments);
  }
  std::vector<Json> rows() const {
    std::vector<Json> out;
    std::istringstream lines(read_text(flows));
    for (std::string line; std::getline(lines, line);) out.push_back(Json::parse(line));
    return out;
  }
  // The row of the flow from this client port.
  Json row(uint16_t client_port) const {
    for (const Json& one : rows()) {
      if (one["src_port"] == client_port) return one;
    }
    FAIL("no row for port " << client_port);
    return {};
  }
};

inline bool contains(const std::vector<Bytes>& frames, const Bytes& wanted) {
  return std::ranges::any_of(
      frames, [&](const Bytes& frame) { return !std::ranges::search(frame, wanted).empty(); });
}

inline Capture three_connections() {
  Capture capture;
  capture.connection(40001, kGood);
  capture.connection(40002, kOther);
  capture.connection(40003, kRequest, 80);
  return capture;
}

}  // namespace sallyport::test
