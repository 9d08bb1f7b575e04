#include "dataplane/inspect/bindings.h"

#include <sys/random.h>

#include <stdexcept>
#include <utility>

namespace sallyport {
namespace {

std::array<uint64_t, 2> secret_key() {
  std::array<uint64_t, 2> key{};
  if (getrandom(key.data(), sizeof key, 0) != sizeof key) {
    throw std::runtime_error("getrandom: no random numbers for the binding table");
  }
  return key;
}

}  // namespace

Bindings::Bindings(std::vector<IpAddress> trusted, uint32_t grace, uint32_t entries)
    : resolvers(std::move(trusted)),
      grace_seconds(grace),
      table(entries, secret_key()),
      query_key(secret_key()) {}

}  // namespace sallyport
