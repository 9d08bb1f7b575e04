// Reading a hello takes no memory from the heap, neither here nor inside OpenSSL.
#include <openssl/crypto.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <new>

#include "dataplane/inspect/fingerprint.h"
#include "tests/support/quic_helper.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

size_t allocations = 0;

void* count_malloc(size_t size, const char*, int) {
  ++allocations;
  return std::malloc(size);
}
void* count_realloc(void* block, size_t size, const char*, int) {
  ++allocations;
  return std::realloc(block, size);
}
void plain_free(void* block, const char*, int) {
  std::free(block);
}

// Before main(), because OpenSSL takes other functions only until it has allocated.
const int counting = CRYPTO_set_mem_functions(count_malloc, count_realloc, plain_free);

}  // namespace

void* operator new(size_t size) {
  ++allocations;
  if (void* const block = std::malloc(size); block != nullptr) return block;
  throw std::bad_alloc();
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, size_t) noexcept {
  std::free(block);
}

TEST_CASE("a hello is read and fingerprinted without allocating", "[quic]") {
  REQUIRE(counting == 1);
  const Bytes message = browser_hello("a.example").message();
  const Bytes first = hello_initial(message).packet();
  const Bytes retried = hello_initial(message).to({1, 2, 3, 4}).packet();
  const Bytes bad = hello_initial(message).bad_tag().packet();
  Bytes held(kMaxQuicHelloBytes);
  const auto scratch = std::make_unique<QuicScratch>();
  QuicTracker tracker;
  QuicStep out;
  const size_t before = allocations;
  REQUIRE(before > 0);

  quic_step(first, tracker, held, *scratch, out);
  const auto status = out.status;
  const Ja3 ja3 = make_ja3(out.hello);
  const Ja4 ja4 = make_ja4(out.hello, HelloTransport::quic);
  quic_step(bad, tracker, held, *scratch, out);
  quic_step(retried, tracker, held, *scratch, out);
  const size_t after = allocations;

  CHECK(after == before);
  CHECK(status == QuicStep::Status::hello);
  CHECK(out.status == QuicStep::Status::hello);
  CHECK(ja3.view().size() + ja4.view().size() == 68);
}
