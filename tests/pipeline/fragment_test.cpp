// Fragments are put together before anything is decided, and what was judged is what leaves.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/pipeline/conversation.h"
#include "tests/support/fragment_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr size_t kStep = 1000;

// Of each family: a client, and a server that kPolicy allows by address.
struct Family {
  std::string client, dns, other;
};
const std::vector<Family> kFamilies{
    {"198.18.0.2", "198.19.0.53", "198.19.0.99"},
    {"fd00:1::2", "2001:db8::53", "2001:db8::99"},
};

Bytes pattern(size_t size) {
  Bytes out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(i * 7 + i / 256);
  return out;
}

PacketBuilder query(const Family& family, size_t size = 2600) {
  return udp(family.client, 5353, family.dns, 53).id(0x1234).payload(pattern(size));
}

void send(Pipeline& pipeline, const std::vector<Bytes>& frames) {
  for (const Bytes& frame : frames) pipeline.from_inside(frame);
}

uint64_t reassembled(const Pipeline& pipeline) {
  return pipeline.counter("sallyport_datagrams_reassembled_total", "");
}

}  // namespace

TEST_CASE("an allowed datagram arrives whole, in whatever order its fragments come", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  CAPTURE(family.client);
  Pipeline pipeline(kPolicy);
  const Bytes whole = query(family).frame();
  const std::vector<Bytes> parts = fragments::split(whole, kStep);
  REQUIRE(parts.size() == 3);
  std::vector<size_t> order{0, 1, 2};
  do {
    CAPTURE(order);
    for (size_t i = 0; i < 3; ++i) {
      CHECK(pipeline.to_outside().empty());
      pipeline.from_inside(parts[order[i]]);
    }
    const auto out = pipeline.to_outside();
    CHECK(out == parts);  // headers, id and lengths as they came
    CHECK(fragments::joined(out) == whole);
    CHECK(pipeline.packets_in_use() == 0);
  } while (std::ranges::next_permutation(order).found);
  CHECK(reassembled(pipeline) == 6);
  CHECK(pipeline.counter("sallyport_fragments_total", "direction=rx") == 18);
  CHECK(pipeline.counter("sallyport_fragments_total", "direction=tx") == 18);
}

TEST_CASE("a denied datagram does not leave in fragments", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  CAPTURE(family.client);
  Pipeline pipeline(kPolicy);
  const Bytes whole = udp(family.client, 5353, family.other, 53).payload(pattern(2600)).frame();
  std::vector<Bytes> parts = fragments::split(whole, kStep);
  send(pipeline, parts);
  std::ranges::reverse(parts);
  send(pipeline, parts);
  CHECK(pipeline.to_outside().empty());
  CHECK(reassembled(pipeline) == 2);
  CHECK(pipeline.drops("denied") == 2);
  CHECK(pipeline.to_inside().size() == 2);  // told by ICMP
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("answers are put together as well", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  Pipeline pipeline(kPolicy);
  pipeline.from_inside(query(family, 30).frame());
  const Bytes answer = udp(family.dns, 53, family.client, 5353).payload(pattern(4000)).frame();
  const std::vector<Bytes> parts = fragments::split(answer, kStep);
  for (const Bytes& part : parts) pipeline.from_outside(part);
  CHECK(pipeline.to_inside() == parts);
  // The same from someone who was not asked.
  const Bytes other = udp(family.other, 53, family.client, 5353).payload(pattern(4000)).frame();
  for (const Bytes& part : fragments::split(other, kStep)) pipeline.from_outside(part);
  CHECK(pipeline.to_inside().empty());
  CHECK(pipeline.drops("inbound") == 1);
}

TEST_CASE("a sender learns the path's MTU from errors about its fragments", "[fragment]") {
  Pipeline pipeline(kPolicy);
  for (const Family& family : kFamilies) {
    const Bytes whole = query(family).frame();
    send(pipeline, fragments::split(whole, kStep));
    Bytes quote = pipeline.to_outside().front();
    quote = Bytes(quote.begin() + 14, quote.begin() + 14 + 80);
    const bool v4 = fragments::is_v4(whole);
    const Bytes error = icmp(family.other, family.client, v4 ? 3 : 2, v4 ? 4 : 0)
                            .icmp_rest(1000)
                            .payload(quote)
                            .frame();
    pipeline.from_outside(error);
    CHECK(pipeline.to_inside() == std::vector<Bytes>{error});
  }
}

TEST_CASE("fragments leave behind their VLAN tags, with DF if they came with it", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  Pipeline pipeline(kPolicy);
  for (const Bytes& whole :
       {query(family).vlan(7).frame(), query(family).vlan(7, 0x88a8).vlan(8).frame(),
        query(family).fragment(0x4000, false).options({148, 4, 0, 0}).frame()}) {
    const std::vector<Bytes> parts = fragments::split(whole, kStep);
    send(pipeline, parts);
    CHECK(pipeline.to_outside() == parts);
  }
}

TEST_CASE("fragments of two VLANs, sides, protocols or ids never meet", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  CAPTURE(family.client);
  Pipeline pipeline(kPolicy);
  const Bytes whole = query(family).frame();
  pipeline.from_inside(fragments::cut(whole, 0, 2000));
  pipeline.from_inside(fragments::cut(query(family).vlan(7).frame(), 2000, 9999));
  pipeline.from_inside(fragments::cut(whole, 2000, 9999, 0x1235));
  pipeline.from_outside(fragments::cut(whole, 2000, 9999));
  if (fragments::is_v4(whole)) {
    Bytes tcp = fragments::cut(whole, 2000, 9999);
    tcp.at(14 + 9) = 6;
    fragments::set_checksum(tcp);
    pipeline.from_inside(tcp);
  }
  CHECK(pipeline.to_outside().empty());
  CHECK(reassembled(pipeline) == 0);
  pipeline.from_inside(fragments::cut(whole, 2000, 9999));
  CHECK(fragments::joined(pipeline.to_outside()) == whole);
}

TEST_CASE("the headers of a datagram are those of its first fragment", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  Pipeline pipeline(kPolicy);
  const Bytes whole = query(family).frame();
  const std::vector<Bytes> parts = fragments::split(whole, kStep);
  Bytes later = parts[1];
  if (fragments::is_v4(whole)) {
    later.at(14 + 8) = 3;  // time to live
    fragments::set_checksum(later);
  } else {
    later.at(14 + 40) = 47;  // next header: GRE (RFC 8200 section 4.5 has it ignored)
  }
  send(pipeline, {later, parts[2], parts[0]});
  CHECK(pipeline.to_outside() == parts);
}

TEST_CASE("a TLS hello in fragments is held and decided like any other", "[fragment]") {
  const bool v6 = GENERATE(false, true);
  const bool good = GENERATE(true, false);
  CAPTURE(v6, good);
  Pipeline pipeline(kPolicy);
  Conversation flow{.pipeline = pipeline};
  if (v6) flow.client = "fd00:1::2", flow.server = "2001:db8::2";
  flow.open();
  const Bytes stream = hello().sni(good ? "good.test" : "evil.test").record();
  const Bytes whole = flow.out().payload(stream).frame();
  const std::vector<Bytes> parts = fragments::split(whole, 24);
  REQUIRE(parts.size() > 3);
  for (size_t i = 1; i < parts.size(); ++i) pipeline.from_inside(parts[i]);
  CHECK(pipeline.to_outside().empty());
  pipeline.from_inside(parts[0]);
  const auto out = pipeline.to_outside();
  if (good) {
    CHECK(out == parts);
    // Kept as the guard; a retransmission that differs does not pass in fragments either.
    CHECK(pipeline.packets_in_use() == 1);
    const Bytes evil = flow.out().payload(hello().sni("evil.test").record()).frame();
    for (const Bytes& part : fragments::split(evil, 24, 77)) pipeline.from_inside(part);
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("retransmission_differs") == 1);
    for (const Bytes& part : fragments::split(whole, 24, 78)) pipeline.from_inside(part);
    CHECK(fragments::joined(pipeline.to_outside()).size() == whole.size());
  } else {
    CHECK(is_reset(out, flow.client_first));
  }
}

TEST_CASE("a TLS hello in two segments, the first in fragments", "[fragment]") {
  Pipeline pipeline(kPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const Bytes stream = hello().sni("good.test").record();
  const Bytes first = flow.segment(stream, 0, 60);
  const std::vector<Bytes> parts = fragments::split(first, 40);
  send(pipeline, parts);
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.packets_in_use() == 1);
  const Bytes second = flow.segment(stream, 60, stream.size());
  pipeline.from_inside(second);
  auto out = pipeline.to_outside();
  REQUIRE(out.size() == parts.size() + 1);
  CHECK(out.back() == second);
  out.pop_back();
  CHECK(out == parts);
}

TEST_CASE("a first fragment too short for the ports hides nothing", "[fragment]") {
  Pipeline pipeline(kPolicy);
  // IPv4: eight bytes of TCP first, the rest of its header in the second.
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  const Bytes evil = flow.out().payload(hello().sni("evil.test").record()).frame();
  pipeline.from_inside(fragments::cut(evil, 0, 8));
  pipeline.from_inside(fragments::cut(evil, 8, 9999));
  CHECK(is_reset(pipeline.to_outside(), flow.client_first));

  // A datagram to an allowed port whose ports are read whole, however they come.
  const Bytes good = query(kFamilies[0], 40).frame();
  send(pipeline, fragments::split(good, 8));
  CHECK(pipeline.to_outside() == fragments::split(good, 8));

  // IPv6: RFC 7112.
  const Bytes six = tcp("fd00:1::2", 1, "2001:db8::2", 443).flags(kSyn).payload(Bytes(64)).frame();
  pipeline.from_inside(fragments::cut(six, 0, 16));
  pipeline.from_inside(fragments::cut(six, 16, 9999));
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("partial_header_chain") == 1);
}

TEST_CASE("overlapping fragments lose their whole datagram", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  CAPTURE(family.client);
  Pipeline pipeline(kPolicy);
  const Bytes whole = query(family).frame();
  const Bytes other = udp(family.client, 5353, family.dns, 53).payload(Bytes(2600, 'x')).frame();
  struct Row {
    std::string what;
    std::vector<Bytes> frames;
  };
  const auto cut = [&](size_t from, size_t to) { return fragments::cut(whole, from, to); };
  const std::vector<Row> rows{
      {"same bytes, by the tail", {cut(0, 1008), cut(1000, 2000), cut(2000, 9999)}},
      {"other bytes", {cut(0, 1000), fragments::cut(other, 992, 2000), cut(2000, 9999)}},
      {"inside another", {cut(0, 1000), cut(504, 800), cut(1000, 2000), cut(2000, 9999)}},
      {"around another", {cut(504, 800), cut(0, 1000), cut(1000, 2000), cut(2000, 9999)}},
      {"over the end", {cut(2000, 9999), cut(1992, 2008), cut(0, 1992)}},
      {"two ends", {cut(2000, 9999), fragments::make(whole, 2504, Bytes(8), false), cut(0, 2000)}},
      {"behind the end",
       {cut(2000, 9999), fragments::make(whole, 3000, Bytes(8), true), cut(0, 2000)}},
      {"an end before others",
       {cut(1000, 2000), fragments::make(whole, 504, Bytes(8), false), cut(0, 504), cut(0, 1000)}},
      {"gap and overlap add up", {cut(0, 1000), cut(504, 1504), cut(2000, 9999)}},
      {"the same range as the last, with more to come",
       {fragments::make(whole, 2600, Bytes(8), true), fragments::make(whole, 2600, Bytes(8), false),
        cut(0, 2600)}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const uint64_t before = pipeline.drops("fragment_overlap");
    send(pipeline, row.frames);
    CHECK(pipeline.to_outside().empty());
    CHECK(pipeline.drops("fragment_overlap") == before + row.frames.size());
    // What belongs to it is lost until its time is over; then the id is free again.
    send(pipeline, fragments::split(whole, kStep));
    CHECK(pipeline.to_outside().empty());
    pipeline.sleep_ms(3000);
    CHECK(pipeline.packets_in_use() == 0);
    send(pipeline, fragments::split(whole, kStep));
    CHECK(fragments::joined(pipeline.to_outside()) == whole);
  }
  CHECK(pipeline.drops("fragment_timeout") == 0);
}

TEST_CASE("a fragment that comes twice counts once, and the first stands", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  Pipeline pipeline(kPolicy);
  const Bytes whole = query(family).frame();
  const Bytes other = udp(family.client, 5353, family.dns, 53).payload(Bytes(2600, 'x')).frame();
  const std::vector<Bytes> parts = fragments::split(whole, kStep);
  send(pipeline, {parts[0], parts[0], parts[2], parts[2], fragments::cut(other, 2000, 9999)});
  CHECK(pipeline.to_outside().empty());
  pipeline.from_inside(parts[1]);
  CHECK(pipeline.to_outside() == parts);
  CHECK(pipeline.drops("fragment_duplicate") == 3);
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("a datagram that is never completed is let go in time", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  Pipeline pipeline(kPolicy);
  const std::vector<Bytes> parts = fragments::split(query(family).frame(), kStep);
  send(pipeline, {parts[0], parts[1]});
  CHECK(pipeline.packets_in_use() == 2);
  CHECK(pipeline.counter("sallyport_held_fragments", "") == 2);
  pipeline.sleep_ms(1500);
  CHECK(pipeline.packets_in_use() == 2);
  pipeline.sleep_ms(1500);
  CHECK(pipeline.packets_in_use() == 0);
  CHECK(pipeline.drops("fragment_timeout") == 2);
  pipeline.from_inside(parts[2]);
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.counter("sallyport_held_fragments", "") == 1);
  pipeline.end_all_flows();
  CHECK(pipeline.packets_in_use() == 0);
  CHECK(pipeline.drops("fragment_timeout") == 3);
}

TEST_CASE("more datagrams than there is room for are refused, not those under way", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  Pipeline pipeline(kPolicy, {.stage = {}, .fragments = {.datagrams = 16}});
  const Bytes whole = query(family).frame();
  for (uint32_t id = 1; id <= 20; ++id) pipeline.from_inside(fragments::cut(whole, 0, 2000, id));
  CHECK(pipeline.drops("fragment_table_full") == 4);
  CHECK(pipeline.packets_in_use() == 16);
  for (uint32_t id = 1; id <= 20; ++id) pipeline.from_inside(fragments::cut(whole, 2000, 9999, id));
  CHECK(reassembled(pipeline) == 16);
  CHECK(pipeline.to_outside().size() == 32);
  pipeline.sleep_ms(3000);
  CHECK(pipeline.drops("fragment_timeout") == 4);
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("fragments that wait are bounded, however many make up a datagram", "[fragment]") {
  Pipeline pipeline(kPolicy, {.stage = {}, .fragments = {.datagrams = 16}});
  const Bytes whole = query(kFamilies[0]).frame();
  for (uint32_t id = 1; id <= 8; ++id) {
    for (size_t from = 0; from < 6 * 8; from += 8) {
      pipeline.from_inside(fragments::cut(whole, from, from + 8, id));
    }
  }
  CHECK(pipeline.packets_in_use() <= 32);
  CHECK(pipeline.drops("fragment_table_full") > 16);
}

TEST_CASE("a datagram is neither too long nor in too many pieces", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  Pipeline pipeline(kPolicy, {.stage = {}, .fragments = {.max_datagram_bytes = 4000}});
  const auto of_bytes = [&](size_t bytes) { return query(family, bytes - 8).frame(); };
  send(pipeline, fragments::split(of_bytes(4000), 64, 1));  // 63 of them
  CHECK(fragments::joined(pipeline.to_outside()).size() == of_bytes(4000).size());

  send(pipeline, fragments::split(of_bytes(4001), 1000, 2));
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("fragment_too_long") == 5);

  send(pipeline, fragments::split(of_bytes(4000), 56, 3));
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("fragment_too_many") == 72);
}

TEST_CASE("without a buffer for the whole, a datagram is dropped", "[fragment]") {
  Pipeline pipeline(kPolicy, {.stage = {}, .fragments = {.datagrams = 16}});
  Conversation flow{.pipeline = pipeline};
  const Bytes start = prefix_of(browser_hello("good.test").record(), 100);
  for (uint16_t i = 0; i < 17; ++i) {  // all held, for want of a name
    flow.client_port = static_cast<uint16_t>(30000 + i);
    flow.open();
    send(pipeline, fragments::split(flow.out().payload(start).frame(), 64, 100 + i));
  }
  CHECK(pipeline.drops("no_datagram_buffer") == 2);
  CHECK(pipeline.to_outside().empty());
}

TEST_CASE("an atomic fragment is a whole packet, and leaves as one", "[fragment]") {
  Pipeline pipeline(kPolicy);
  const Bytes plain = query(kFamilies[1], 500).frame();
  const Bytes denied = udp("fd00:1::2", 5353, "2001:db8::99", 53).payload("query").frame();
  pipeline.from_inside(fragments::cut(plain, 0, 9999));
  CHECK(pipeline.to_outside() == std::vector<Bytes>{plain});
  // Never put together with others of its id.
  pipeline.from_inside(fragments::cut(plain, 0, 256));
  pipeline.from_inside(fragments::cut(plain, 0, 9999));
  CHECK(pipeline.to_outside() == std::vector<Bytes>{plain});
  pipeline.from_inside(fragments::cut(plain, 256, 9999));
  CHECK(fragments::joined(pipeline.to_outside()) == plain);
  pipeline.from_inside(fragments::cut(denied, 0, 9999));
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.to_inside().size() == 1);  // told by ICMP
  CHECK(pipeline.counter("sallyport_atomic_fragments_total", "") == 3);
  CHECK(pipeline.packets_in_use() == 0);

  const Bytes behind_options = udp("fd00:1::2", 5353, "2001:db8::53", 53)
                                   .extension(0)
                                   .extension(44, Bytes(6))
                                   .extension(60)
                                   .payload("query")
                                   .frame();
  pipeline.from_inside(behind_options);
  CHECK(pipeline.to_outside() == std::vector<Bytes>{udp("fd00:1::2", 5353, "2001:db8::53", 53)
                                                        .extension(0)
                                                        .extension(60)
                                                        .payload("query")
                                                        .frame()});
}

TEST_CASE("a fragment inside another is dropped", "[fragment]") {
  Pipeline pipeline(kPolicy);
  const Bytes twice = udp("fd00:1::2", 5353, "2001:db8::53", 53)
                          .extension(44, Bytes(6))
                          .extension(44, Bytes(6))
                          .payload("query")
                          .frame();
  pipeline.from_inside(twice);
  CHECK(pipeline.drops("fragment") == 1);
  const Bytes inner = udp("fd00:1::2", 5353, "2001:db8::53", 53)
                          .extension(44, Bytes(6))
                          .payload(pattern(1600))
                          .frame();
  send(pipeline, fragments::split(inner, kStep));
  CHECK(pipeline.drops("fragment") == 2);
  CHECK(pipeline.to_outside().empty());
  pipeline.sleep_ms(3000);
  CHECK(pipeline.packets_in_use() == 0);
}

TEST_CASE("link messages in fragments do not pass", "[fragment]") {
  Pipeline pipeline(kPolicy);
  const Bytes plain =
      icmp("2001:db8:1::1", "ff02::1:ff00:2", 135).ttl(255).payload(Bytes(16)).frame();
  pipeline.from_inside(plain);
  CHECK(pipeline.to_outside().size() == 1);
  pipeline.from_inside(fragments::cut(plain, 0, 9999));
  send(pipeline, fragments::split(plain, 16));
  CHECK(pipeline.to_outside().empty());
  CHECK(pipeline.drops("bad_fragment") == 2);
}

TEST_CASE("whatever queues its fragments land on, a datagram is put together once", "[fragment]") {
  const Family family = GENERATE(from_range(kFamilies));
  const unsigned workers = GENERATE(2u, 3u);
  Pipeline pipeline(kPolicy, {.workers = workers, .stage = {}, .fragments = {}});
  for (uint32_t id = 1; id <= 40; ++id) {
    CAPTURE(id);
    const Bytes good = udp(family.client, static_cast<uint16_t>(id), family.dns, 53)
                           .id(static_cast<uint16_t>(id))
                           .payload(pattern(2600))
                           .frame();
    const Bytes bad = udp(family.client, static_cast<uint16_t>(id), family.other, 53)
                          .payload(pattern(2600))
                          .frame();
    const std::vector<Bytes> parts = fragments::split(good, kStep, id);
    const std::vector<Bytes> bad_parts = fragments::split(bad, kStep, id);
    for (unsigned i = 0; i < 3; ++i) {
      pipeline.from_inside(bad_parts[2 - i], (id + i) % workers);
      pipeline.from_inside(parts[2 - i], (id + i) % workers);
    }
    CHECK(pipeline.to_outside() == parts);
    pipeline.to_inside();
    const Bytes answer = udp(family.dns, 53, family.client, static_cast<uint16_t>(id))
                             .payload(pattern(2600))
                             .frame();
    const std::vector<Bytes> answers = fragments::split(answer, kStep, id);
    for (unsigned i = 0; i < 3; ++i) pipeline.from_outside(answers[i], (id + i) % workers);
    CHECK(pipeline.to_inside() == answers);
  }
  CHECK(reassembled(pipeline) == 120);
  CHECK(pipeline.counter("sallyport_flows", "state=allowed") == 40);
  CHECK(pipeline.counter("sallyport_flows", "state=denied") == 40);
  CHECK(pipeline.packets_in_use() == 0);
  // Each fragment once at most, and each whole datagram once at most.
  CHECK(pipeline.counter("sallyport_handed_off_packets_total", "") <= 40 * 3 * 4);
}
