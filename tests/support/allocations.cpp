#include "tests/support/allocations.h"

#include <openssl/crypto.h>

#include <cstdlib>
#include <new>

namespace {

thread_local size_t allocations = 0;

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

size_t sallyport::test::allocations_so_far() noexcept {
  if (counting != 1) std::abort();
  return allocations;
}

// malloc() itself stays the sanitizers': what a library takes by it is not counted.
void* operator new(size_t size) {
  ++allocations;
  if (void* const block = std::malloc(size); block != nullptr) return block;
  throw std::bad_alloc();
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
// Not inlined: a compiler that sees free() of what came from operator new takes it for a mistake.
[[gnu::noinline]] void operator delete(void* block) noexcept {
  std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, size_t) noexcept {
  std::free(block);
}
