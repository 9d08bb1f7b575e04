#pragma once

#include <cstddef>

namespace sallyport::test {

/// How often this thread has taken memory by operator new, or inside OpenSSL. A program that calls
/// this has its operator new replaced. Aborts where OpenSSL would not be counted.
size_t allocations_so_far() noexcept;

}  // namespace sallyport::test
