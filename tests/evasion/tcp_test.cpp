// Ways past the gateway in how a client sends its TCP segments. Out of order in every order, and
// random mixtures of all of it: hold_test.cpp and stream_property_test.cpp.
#include "tests/evasion/evasion.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

using Frames = std::vector<Bytes>;

const size_t kSize = kAllowedHello.size();
// Where the two hellos differ: inside the name.
const size_t kName = static_cast<size_t>(std::ranges::mismatch(kAllowedHello, kDeniedHello).in1 -
                                         kAllowedHello.begin());

struct SegmentCase {
  std::string name;
  std::string server;
  std::function<Frames(const Conversation&)> frames;
  Right right;
  Bytes leaves;
};

void play(const SegmentCase& row) {
  CAPTURE(row.name, row.server);
  Pipeline pipeline(kEvasionPolicy);
  const Conversation flow{.pipeline = pipeline};
  flow.open();
  for (const Bytes& frame : row.frames(flow)) pipeline.from_inside(frame);
  const auto left = pipeline.to_outside();
  CHECK(verdict(pipeline) == row.right);
  CHECK((row.right == Right::deny) == is_told(pipeline.to_inside()));
  check_left(left, flow.client_first, row.leaves, row.leaves.size());
}

PacketBuilder hello_of(const Conversation& flow, const Bytes& bytes) {
  return flow.out().payload(bytes);
}

}  // namespace

TEST_CASE("a hello in any pieces", "[evasion]") {
  for (const bool allowed : {true, false}) {
    const Bytes& stream = allowed ? kAllowedHello : kDeniedHello;
    const StreamCase row{.name = "a hello cut in two, or in bytes",
                         .server = "reads the stream",
                         .script = {client(stream)},
                         .right = allowed ? Right::allow : Right::deny,
                         .leaves = allowed ? stream : Bytes{}};
    play(row, kEvasionPolicy, 443, {.step = 1});
    for (size_t split = 1; split < kSize; ++split) play(row, kEvasionPolicy, 443, {.split = split});
    play({"last byte first", "waits for the gap",
          [&](const Conversation& flow) {
            Frames out;
            for (size_t i = kSize; i-- > 0;) out.push_back(flow.segment(stream, i, i + 1));
            return out;
          },
          row.right, row.leaves});
  }
}

TEST_CASE("overlapping segments, for servers that keep the first copy and the last", "[evasion]") {
  struct Row {
    std::string shape;
    size_t from1, to1, from2, to2;
  };
  const size_t a = kName - 10;
  const size_t b = kName + 4;
  const std::vector<Row> shapes{
      {"the same range", a, b, a, b},
      {"the second inside the first", a, b, a + 2, b - 2},
      {"the first inside the second", a + 2, b - 2, a, b},
      {"over the first one's start", a + 5, b + 9, a, b},
      {"over the first one's end", a, b, a + 5, b + 9},
      {"one byte at the start", kName, b, a, kName + 1},
      {"one byte at the end", a, kName + 1, kName, b},
      {"same start, longer", a, b, a, b + 9},
      {"same end, longer", a + 5, b, a, b},
      {"the whole hello", 0, kSize, 0, kSize},
  };
  struct Contents {
    std::string name;
    const Bytes &first, &second;
  };
  const std::vector<Contents> contents{
      {"same bytes, allowed", kAllowedHello, kAllowedHello},
      {"same bytes, denied", kDeniedHello, kDeniedHello},
      {"allowed, then denied", kAllowedHello, kDeniedHello},
      {"denied, then allowed", kDeniedHello, kAllowedHello},
  };
  for (const Row& row : shapes) {
    for (const auto& [what, first, second] : contents) {
      // Before the verdict: each of the two is followed by the rest, with a gap left till last.
      const bool same = first == second;
      const bool ok = same && first == kAllowedHello;
      // A whole hello is judged when it is there: the second one is a retransmission.
      const bool whole = row.from1 == 0 && first == kAllowedHello;
      play({row.shape + ": " + what, "reads either name",
            [&, &first = first, &second = second](const Conversation& flow) {
              return Frames{flow.segment(first, row.from1, row.to1),
                            flow.segment(second, row.from2, row.to2),
                            flow.segment(first, 0, std::min(row.from1, row.from2)),
                            flow.segment(second, std::max(row.to1, row.to2), kSize)};
            },
            ok || whole ? Right::allow : Right::deny, ok || whole ? kAllowedHello : Bytes{}});
    }
  }
}

TEST_CASE("a retransmission that names another host", "[evasion]") {
  const std::vector<SegmentCase> rows{
      {"before the verdict",
       "takes either copy",
       [](const Conversation& flow) {
         return Frames{flow.segment(kAllowedHello, 0, kSize - 1),
                       flow.segment(kDeniedHello, 0, kSize - 1)};
       },
       Right::deny,
       {}},
      {"after it, before the server has the first", "takes the copy that arrives",
       [](const Conversation& flow) {
         return Frames{flow.segment(kAllowedHello, 0, kSize), flow.segment(kDeniedHello, 0, kSize)};
       },
       Right::allow, kAllowedHello},
      {"after it, the name alone", "takes the copy that arrives",
       [](const Conversation& flow) {
         return Frames{flow.segment(kAllowedHello, 0, kSize),
                       flow.segment(kDeniedHello, kName, kName + 1)};
       },
       Right::allow, kAllowedHello},
      {"after it, from before the stream's start", "cuts off what it has",
       [](const Conversation& flow) {
         return Frames{
             flow.segment(kAllowedHello, 0, kSize),
             flow.out().seq(flow.client_first - 1).payload(Bytes{0} + kDeniedHello).frame()};
       },
       Right::allow, kAllowedHello},
      {"a denied hello, then an allowed one over it",
       "takes either copy",
       [](const Conversation& flow) {
         return Frames{flow.segment(kDeniedHello, 0, kSize), flow.segment(kAllowedHello, 0, kSize)};
       },
       Right::deny,
       {}},
  };
  for (const SegmentCase& row : rows) play(row);
}

// Decoys that no server reads: they must not be read here, nor pass.
TEST_CASE("decoys with an allowed name that every server drops", "[evasion]") {
  struct Row {
    std::string name;
    std::function<Bytes(const Conversation&)> decoy;
  };
  const std::vector<Row> rows{
      {"bad TCP checksum",
       [](const Conversation& f) { return hello_of(f, kAllowedHello).bad_l4_checksum().frame(); }},
      {"bad IP checksum",
       [](const Conversation& f) { return hello_of(f, kAllowedHello).bad_ip_checksum().frame(); }},
      {"no ACK flag",
       [](const Conversation& f) { return hello_of(f, kAllowedHello).flags(kPsh).frame(); }},
      {"no flag at all",
       [](const Conversation& f) { return hello_of(f, kAllowedHello).flags(0).frame(); }},
      {"acknowledges what was never sent",
       [](const Conversation& f) {
         return hello_of(f, kAllowedHello).ack(f.server_first + 9999).frame();
       }},
      {"far behind the window",
       [](const Conversation& f) { return f.out(5'000'000).payload(kAllowedHello).frame(); }},
      {"before the window",
       [](const Conversation& f) {
         return f.out().seq(f.client_first - 5000).payload(kAllowedHello).frame();
       }},
      {"one byte before the stream",
       [](const Conversation& f) {
         return f.out().seq(f.client_first - 1).payload(kAllowedHello).frame();
       }},
      {"in a RST",
       [](const Conversation& f) { return hello_of(f, kAllowedHello).flags(kRst).frame(); }},
      {"in a RST with a bad sequence number",
       [](const Conversation& f) {
         return f.out(99'999).flags(kRst | kAck).payload(kAllowedHello).frame();
       }},
      {"SYN and FIN",
       [](const Conversation& f) { return hello_of(f, kAllowedHello).flags(kSyn | kFin).frame(); }},
      {"in a SYN",
       [](const Conversation& f) {
         return f.out().seq(f.client_first - 1).flags(kSyn).payload(kAllowedHello).frame();
       }},
      {"in a SYN-ACK",
       [](const Conversation& f) {
         return f.out().seq(f.client_first - 1).flags(kSyn | kAck).payload(kAllowedHello).frame();
       }},
      {"urgent",
       [](const Conversation& f) { return hello_of(f, kAllowedHello).flags(kAck | kUrg).frame(); }},
      {"a data offset behind the packet",
       [](const Conversation& f) { return hello_of(f, Bytes(4)).data_offset(15).frame(); }},
  };
  for (const Row& row : rows) {
    play({row.name + ", alone",
          "drops it",
          [&](const Conversation& flow) { return Frames{row.decoy(flow)}; },
          Right::none,
          {}});
    play({row.name + ", then a denied hello",
          "drops it, and reads the second",
          [&](const Conversation& flow) {
            return Frames{row.decoy(flow), flow.segment(kDeniedHello, 0, kSize)};
          },
          Right::deny,
          {}});
    play({row.name + ", inside a denied hello",
          "drops it, and reads the other two",
          [&](const Conversation& flow) {
            return Frames{flow.segment(kDeniedHello, 0, kName), row.decoy(flow),
                          flow.segment(kDeniedHello, kName, kSize)};
          },
          Right::deny,
          {}});
    play({row.name + ", before an allowed hello", "drops it, and reads the second",
          [&](const Conversation& flow) {
            return Frames{row.decoy(flow), flow.segment(kAllowedHello, 0, kSize)};
          },
          Right::allow, kAllowedHello});
  }
}

// Decoys that some servers read and others do not, or that never reach them. They count as sent:
// what would take their place must say the same.
TEST_CASE("decoys that only some servers drop", "[evasion]") {
  struct Row {
    std::string name;
    std::function<PacketBuilder(PacketBuilder)> spoil;
  };
  const Bytes md5 = Bytes{19, 18} + Bytes(16, 7) + Bytes{1, 1};
  const Bytes old_stamp{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0};
  const std::vector<Row> rows{
      {"a TTL that ends on the way", [](PacketBuilder p) { return p.ttl(2); }},
      {"a TTL of 1", [](PacketBuilder p) { return p.ttl(1); }},
      {"a TCP MD5 signature nobody asked for", [&](PacketBuilder p) { return p.tcp_options(md5); }},
      {"an old timestamp (PAWS)", [&](PacketBuilder p) { return p.tcp_options(old_stamp); }},
  };
  for (const Row& row : rows) {
    const auto decoy = [&](const Conversation& flow, size_t from, size_t to) {
      return row
          .spoil(flow.out(from).payload(
              Bytes(kAllowedHello.begin() + static_cast<std::ptrdiff_t>(from),
                    kAllowedHello.begin() + static_cast<std::ptrdiff_t>(to))))
          .frame();
    };
    play({row.name + ", a whole allowed hello before a denied one", "may read the second",
          [&](const Conversation& flow) {
            return Frames{decoy(flow, 0, kSize), flow.segment(kDeniedHello, 0, kSize)};
          },
          Right::allow, kAllowedHello});
    play({row.name + ", the name before another in its place",
          "may read the second",
          [&](const Conversation& flow) {
            return Frames{decoy(flow, kName, kName + 4), flow.segment(kDeniedHello, kName, kSize),
                          flow.segment(kDeniedHello, 0, kName)};
          },
          Right::deny,
          {}});
    play({row.name + ", the name behind another in its place",
          "may read the first",
          [&](const Conversation& flow) {
            return Frames{flow.segment(kDeniedHello, kName, kSize), decoy(flow, kName, kName + 4),
                          flow.segment(kDeniedHello, 0, kName)};
          },
          Right::deny,
          {}});
    play({row.name + ", and the same bytes again", "reads the second",
          [&](const Conversation& flow) {
            return Frames{decoy(flow, 0, kSize), flow.segment(kAllowedHello, 0, kSize)};
          },
          Right::allow, kAllowedHello});
  }
}

TEST_CASE("the ends of a connection, in the wrong place", "[evasion]") {
  const auto fin = [](const Conversation& flow, const Bytes& stream, size_t from, size_t to) {
    return flow.out(from)
        .flags(kAck | kFin)
        .payload(Bytes(stream.begin() + static_cast<std::ptrdiff_t>(from),
                       stream.begin() + static_cast<std::ptrdiff_t>(to)))
        .frame();
  };
  const std::vector<SegmentCase> rows{
      {"a FIN in the middle of an allowed hello",
       "ends there",
       [&](const Conversation& flow) {
         return Frames{fin(flow, kAllowedHello, 0, 40), flow.segment(kAllowedHello, 40, kSize)};
       },
       Right::deny,
       {}},
      {"a FIN in the middle of a denied hello",
       "ends there, or reads on",
       [&](const Conversation& flow) {
         return Frames{fin(flow, kDeniedHello, 0, kName), flow.segment(kDeniedHello, kName, kSize)};
       },
       Right::deny,
       {}},
      {"a FIN alone in front of a denied hello",
       "ends there",
       [&](const Conversation& flow) {
         return Frames{fin(flow, kDeniedHello, 0, 0), flow.segment(kDeniedHello, 0, kSize)};
       },
       Right::none,
       {}},
      {"a FIN with an allowed hello, then denied bytes", "ends there",
       [&](const Conversation& flow) {
         return Frames{fin(flow, kAllowedHello, 0, kSize),
                       flow.out(kSize).payload(kDeniedHello).frame()};
       },
       Right::allow, kAllowedHello},
      {"a bare RST with a bad sequence number inside a denied hello",
       "drops it, and reads on",
       [](const Conversation& flow) {
         return Frames{flow.segment(kDeniedHello, 0, kName), flow.out(99'999).flags(kRst).frame(),
                       flow.segment(kDeniedHello, kName, kSize)};
       },
       Right::deny,
       {}},
      {"a bare RST in its place, then a denied hello",
       "ends there; one that lost it reads on",
       [](const Conversation& flow) {
         return Frames{flow.out().flags(kRst).frame(), flow.segment(kDeniedHello, 0, kSize)};
       },
       Right::deny,
       {}},
  };
  for (const SegmentCase& row : rows) play(row);
}

TEST_CASE("ways to open a connection that hide its first bytes", "[evasion]") {
  Pipeline pipeline(kEvasionPolicy);
  const Conversation flow{.pipeline = pipeline};
  const auto syn = [&](unsigned flags) {
    return flow.out().seq(flow.client_first - 1).flags(flags);
  };
  const Bytes syn_only = flow.in().seq(flow.server_first - 1).flags(kSyn).frame();
  std::vector<Bytes> left;
  const auto inside = [&](const Bytes& frame) {
    pipeline.from_inside(frame);
    for (Bytes& out : pipeline.to_outside()) left.push_back(std::move(out));
  };
  SECTION("data in a SYN (Fast Open)") {
    inside(syn(kSyn).payload(kDeniedHello).frame());
    CHECK(left.empty());
  }
  SECTION("an allowed hello in a SYN, a denied one behind the handshake") {
    inside(syn(kSyn).payload(kAllowedHello).frame());
    flow.open();
    inside(flow.segment(kDeniedHello, 0, kSize));
    CHECK(has_reset(left));
  }
  SECTION("split handshake: the server's SYN, the client's SYN-ACK, data") {
    inside(syn(kSyn).frame());
    pipeline.from_outside(syn_only);
    CHECK(pipeline.to_inside().empty());
    inside(syn(kSyn | kAck).frame());
    inside(flow.segment(kDeniedHello, 0, kSize));
  }
  SECTION("split handshake, then the usual one") {
    inside(syn(kSyn).frame());
    pipeline.from_outside(syn_only);
    pipeline.from_outside(flow.syn_ack());
    inside(syn(kSyn | kAck).payload(kDeniedHello).frame());
    inside(flow.segment(kDeniedHello, 0, kSize));
    CHECK(has_reset(left));
  }
  SECTION("data in the segment that should only acknowledge, before the server has answered") {
    inside(syn(kSyn).frame());
    inside(flow.segment(kDeniedHello, 0, kSize));
  }
  SECTION("a second SYN with another number, as if the first had not been") {
    inside(syn(kSyn).frame());
    inside(syn(kSyn).seq(flow.client_first + 5000).frame());
    pipeline.from_outside(flow.syn_ack());
    inside(flow.out(5001).payload(kAllowedHello).frame());
    inside(flow.segment(kDeniedHello, 0, kSize));
    CHECK_FALSE(has_reset(left));  // no connection that both ends agree about
    inside(syn(kSyn).frame());
    pipeline.from_outside(flow.syn_ack());
    inside(flow.segment(kDeniedHello, 0, kSize));
    CHECK(has_reset(left));
  }
  CHECK(payloads(left, flow.client_first).empty());
}
