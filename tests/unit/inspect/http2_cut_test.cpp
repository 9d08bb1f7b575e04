#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>

#include "dataplane/inspect/http2_connection.h"
#include "tests/support/http2_builder.h"
#include "tests/support/http_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

constexpr std::string_view kNames[] = {"user-agent", "x-a"};
constexpr auto kBadBlock = "fault http2_bad_header_block";

struct Adapter {
  std::unique_ptr<Http2Connection> connection = std::make_unique<Http2Connection>();

  HttpStep next(const Bytes& window, bool, HttpRequest& out) {
    return connection->next(window, kNames, http_scratch(), out);
  }
  void allow(const HttpRequest&) { connection->allow(); }
  void turn() { connection->turn(); }
};

std::string answer(const Bytes& stream) {
  Adapter adapter;
  HttpFeeder feeder(adapter);
  feeder.feed(stream);
  return feeder.run().text;
}

}  // namespace

// A frame that ends where it likes ends no field but at its end: then it says what it says, and no
// host but the one there.
TEST_CASE("no cut of a header block is taken for more than the fields in it", "[http2]") {
  const H2Fields before = h2_get("c.d", "/other") + H2Fields{{"x-a", "1"}};
  const H2Fields fields = h2_get("a.b", "/") +
                          H2Fields({{"host", "a.b"}, {"user-agent", "grpc-go/1.60"}, {"x-a", "1"}});
  // How many fields a block of so many bytes ends with, and the block.
  for (const bool table : {false, true}) {
    std::map<size_t, size_t> ends;
    Bytes start, block;
    for (size_t count = 0; count <= fields.size(); ++count) {
      const H2Fields first(fields.begin(), fields.begin() + static_cast<std::ptrdiff_t>(count));
      H2Encoder encoder;
      start = h2_start() + (table ? encoder.request(1, before) : Bytes{});
      block = table ? encoder.encode(first) : hpack_literals(first);
      ends[block.size()] = count;
    }
    const std::string earlier = table ? "GET c.d /other x-a=1 | " : "";
    for (size_t cut = 0; cut <= block.size(); ++cut) {
      CAPTURE(table, cut);
      std::string expected = kBadBlock;
      if (ends.contains(cut)) {
        const auto last = fields.begin() + static_cast<std::ptrdiff_t>(ends[cut]);
        expected = answer(h2_start() + h2_request(3, H2Fields(fields.begin(), last)));
        CHECK(expected.starts_with(ends[cut] < 4 ? "fault http" : "GET a.b /"));
      }
      const Bytes part = prefix_of(block, cut);
      const Bytes behind = h2_frame(kH2Data, kH2EndStream, 3, Bytes(9, 'x'));
      CHECK(answer(start + h2_frame(kH2Headers, kH2EndHeaders, 3, part) + behind) ==
            earlier + expected);
      for (const size_t split : {size_t{0}, cut / 2, cut}) {
        const Bytes rest(part.begin() + static_cast<std::ptrdiff_t>(split), part.end());
        CHECK(answer(start + h2_frame(kH2Headers, 0, 3, prefix_of(part, split)) +
                     h2_frame(kH2Continuation, kH2EndHeaders, 3, rest) + behind) ==
              earlier + expected);
      }
    }
  }
}
