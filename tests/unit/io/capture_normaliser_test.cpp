// A capture as it is, to frames that the worker can be fed.
#include <catch2/catch.hpp>

#include "dataplane/inspect/packet.h"
#include "dataplane/io/capture_split.h"
#include "tests/support/capture_builder.h"
#include "tests/support/packet_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

PacketBuilder client() {
  return tcp("198.18.0.2", 40000, "198.19.0.2", 443).payload("hello");
}

struct Normalised {
  CaptureSurvey survey;
  FrameList list;
};

Normalised normalised(const Bytes& file, ChecksumMode mode = ChecksumMode::automatic) {
  const auto survey = survey_capture(file, mode);
  REQUIRE(survey.has_value());
  Normalised out{.survey = *survey, .list = {}};
  REQUIRE(normalise_capture(file, *survey, out.list));
  CHECK(out.list.frames.size() == survey->frames);
  return out;
}

std::string refused(const Bytes& file) {
  const auto survey = survey_capture(file, ChecksumMode::automatic);
  return survey ? "" : survey.error();
}

bool said(const CaptureSurvey& survey, std::string_view what) {
  for (const std::string& note : survey.notes) {
    if (note.find(what) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a plain capture is fed as it is", "[capture]") {
  const Bytes frame = client().frame();
  const Normalised got =
      normalised(PcapBuilder().packet(frame).packet(prefix_of(frame, 20), 2, 3, 60).file());
  CHECK(got.survey.is_fit);
  CHECK(got.survey.notes.empty());
  CHECK_FALSE(got.survey.ignore_checksums);
  CHECK(got.list.frames == std::vector<Bytes>{frame, prefix_of(frame, 20)});
  CHECK(got.list.wire == std::vector<uint64_t>{frame.size(), 60});
  CHECK(got.list.times == std::vector<uint64_t>{1'000'000'000, 2'000'003'000});
}

TEST_CASE("what must be changed is not fed as it is", "[capture]") {
  const Bytes frame = client().frame();
  const auto is_fit = [](const Bytes& file) { return normalised(file).survey.is_fit; };
  CHECK_FALSE(is_fit(PcapngBuilder().section().interface(1).enhanced(0, 1, frame).file()));
  CHECK_FALSE(is_fit(PcapBuilder{.network = 101}.packet(client().ip_packet()).file()));
  CHECK_FALSE(is_fit(PcapBuilder().packet(client().payload(Bytes(9200, 1)).frame()).file()));
  CHECK_FALSE(is_fit(PcapBuilder().packet(frame).packet(client().ip_length(0).frame()).file()));
  CHECK_FALSE(is_fit(prefix_of(PcapBuilder().packet(frame).packet(frame).file(), 100)));
  Bytes session = Bytes(12, 2) + from_hex("886411000001");
  put16(session, client().ip_packet().size() + 2);
  CHECK_FALSE(is_fit(PcapBuilder()
                         .packet(session + from_hex("0021") + client().ip_packet())
                         .packet(frame)
                         .file()));
}

TEST_CASE("interfaces of several link types give one capture", "[capture]") {
  PcapngBuilder file;
  file.section().interface(1, 100).interface(101, 50, 9).interface(127);
  file.enhanced(0, 1'000'000, client().frame())
      .enhanced(1, 2'000'000'000, client().ip_packet(), 90);
  file.enhanced(2, 1, bytes_of("radio")).enhanced(2, 1, bytes_of("radio"));
  const Normalised got = normalised(file.file());
  REQUIRE(got.list.frames.size() == 2);
  Packet packet;
  for (const Bytes& frame : got.list.frames) CHECK(decode(frame, packet) == DecodeFault::none);
  CHECK(got.list.times == std::vector<uint64_t>{1'000'000'000, 2'000'000'000});
  CHECK(got.list.wire[1] == 90 + 14);
  CHECK(said(got.survey, "2 packets left out: link type IEEE802_11_RADIOTAP (127)"));
}

TEST_CASE("an oversized segment is cut up, anything else oversized is left out", "[capture]") {
  const Bytes big = client().payload(Bytes(30'000, 7)).frame();
  const Bytes datagram = udp("198.18.0.2", 1, "198.19.0.2", 2).payload(Bytes(20'000, 1)).frame();
  const Bytes jumbo = udp("198.18.0.2", 1, "198.19.0.2", 2).payload(Bytes(8'950, 1)).frame();
  Bytes not_ip(10'000, 0);
  const Normalised got =
      normalised(PcapBuilder().packet(big).packet(datagram).packet(jumbo).packet(not_ip).file());
  CHECK(got.list.frames.size() == 4 + 1);
  CHECK(got.list.frames.back() == jumbo);
  for (const Bytes& frame : got.list.frames) CHECK(frame.size() <= kMostFrameBytes);
  CHECK(said(got.survey, "1 packet cut up"));
  CHECK(said(got.survey, "2 packets left out: over 9216 bytes"));
  CHECK(got.survey.ignore_checksums);
}

TEST_CASE("checksums are as the mode and the capture say", "[capture]") {
  const Bytes good = client().frame();
  const Bytes bad_ip = client().bad_ip_checksum().frame();
  const Bytes bad_l4 = client().bad_l4_checksum().frame();
  struct Row {
    const char* name;
    ChecksumMode mode;
    std::vector<Bytes> frames;
    bool ignored;
    bool repaired;
  };
  using enum ChecksumMode;
  const std::vector<Row> rows{
      {"a good capture", automatic, {good, good}, false, true},
      {"one decoy", automatic, {good, bad_ip}, false, false},
      {"offload", automatic, {bad_ip, bad_ip}, true, true},
      {"offload of TCP", automatic, {bad_l4, bad_l4, bad_l4, bad_ip}, true, true},
      {"offload, to be verified", verify, {bad_ip, bad_ip}, false, false},
      {"one decoy, ignored", ignore, {good, bad_ip}, true, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    PcapBuilder file;
    for (const Bytes& frame : row.frames) file.packet(frame);
    const Normalised got = normalised(file.file(), row.mode);
    CHECK(got.survey.ignore_checksums == row.ignored);
    CHECK(got.survey.notes.empty() == !(row.ignored && row.mode == automatic));
    if (row.repaired) {
      Packet packet;
      for (const Bytes& frame : got.list.frames) CHECK(decode(frame, packet) == DecodeFault::none);
    } else {
      CHECK(got.list.frames == row.frames);
      CHECK(got.survey.is_fit);
    }
  }
}

TEST_CASE("an IP length left to the NIC is filled in", "[capture]") {
  const Normalised got =
      normalised(PcapBuilder().packet(client().ip_length(0).frame()).file(), ChecksumMode::verify);
  Packet packet;
  REQUIRE(decode(got.list.frames.at(0), packet) == DecodeFault::none);
  CHECK(packet.payload_bytes == 5);
}

TEST_CASE("a snapped packet stays as long as it was on the wire", "[capture]") {
  const Bytes snapped = prefix_of(client().bad_ip_checksum().frame(), 50);
  const Normalised got =
      normalised(PcapBuilder().packet(snapped, 1, 0, 59).file(), ChecksumMode::ignore);
  CHECK(got.list.frames.at(0).size() == 50);
  CHECK(got.list.frames.at(0) != snapped);
  CHECK(got.list.wire.at(0) == 59);
}

TEST_CASE("a capture of which nothing can be replayed is refused by name", "[capture]") {
  const std::string radio = "its link type is IEEE802_11_RADIOTAP (127), which is not supported";
  CHECK(refused(PcapBuilder{.network = 127}.file()) == radio);
  CHECK(refused(PcapBuilder{.network = 127}.packet(bytes_of("x")).file()) == radio);
  CHECK(refused(PcapngBuilder().section().interface(127).enhanced(0, 1, bytes_of("x")).file()) ==
        radio);
  CHECK(refused({}) == "it is no capture (neither pcap nor pcapng)");
  CHECK(refused(prefix_of(PcapBuilder().file(), 20)) == "it is cut short, before its first packet");
  CHECK(refused(PcapngBuilder().section().interface(127).file()).empty());
}

TEST_CASE("a cut or damaged capture is good up to there", "[capture]") {
  const Bytes frame = client().frame();
  const Bytes file = PcapBuilder().packet(frame).packet(frame).file();
  const Normalised cut = normalised(prefix_of(file, file.size() - 1));
  CHECK(cut.list.frames.size() == 1);
  CHECK(said(cut.survey, "it is cut short, after 1 packet"));
  CHECK_FALSE(is_damaged(cut.survey.fault));
  const Normalised damaged = normalised(file + Bytes(16, 0xff));
  CHECK(damaged.list.frames.size() == 2);
  CHECK(is_damaged(damaged.survey.fault));
}

TEST_CASE("a sink that takes no more ends it", "[capture]") {
  struct Full final : FrameSink {
    bool frame(uint64_t, std::span<const uint8_t>, uint64_t) override { return ++taken < 2; }
    int taken = 0;
  } full;
  const Bytes file = PcapBuilder()
                         .packet(client().frame())
                         .packet(client().payload(Bytes(30'000, 1)).frame())
                         .file();
  const auto survey = survey_capture(file, ChecksumMode::automatic);
  REQUIRE(survey);
  CHECK_FALSE(normalise_capture(file, *survey, full));
  CHECK(full.taken == 2);
}
