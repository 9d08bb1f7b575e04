// Reading a hello takes no memory from the heap, neither here nor inside OpenSSL.
#include <catch2/catch.hpp>
#include <memory>

#include "dataplane/inspect/fingerprint.h"
#include "tests/support/allocations.h"
#include "tests/support/quic_helper.h"

using namespace sallyport;
using namespace sallyport::test;

TEST_CASE("a hello is read and fingerprinted without allocating", "[quic]") {
  const Bytes message = browser_hello("a.example").message();
  const Bytes first = hello_initial(message).packet();
  const Bytes retried = hello_initial(message).to({1, 2, 3, 4}).packet();
  const Bytes bad = hello_initial(message).bad_tag().packet();
  Bytes held(kMaxQuicHelloBytes);
  const auto scratch = std::make_unique<QuicScratch>();
  QuicTracker tracker;
  QuicStep out;
  const size_t before = allocations_so_far();
  REQUIRE(before > 0);

  quic_step(first, tracker, held, *scratch, out);
  const auto status = out.status;
  const Ja3 ja3 = make_ja3(out.hello);
  const Ja4 ja4 = make_ja4(out.hello, HelloTransport::quic);
  quic_step(bad, tracker, held, *scratch, out);
  quic_step(retried, tracker, held, *scratch, out);
  const size_t after = allocations_so_far();

  CHECK(after == before);
  CHECK(status == QuicStep::Status::hello);
  CHECK(out.status == QuicStep::Status::hello);
  CHECK(ja3.view().size() + ja4.view().size() == 68);
}
