#include "policy/runtime/frames.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <numeric>

#include "control/common/unique_fd.h"

using namespace sallyport;

namespace {

std::vector<uint8_t> sample(size_t size) {
  std::vector<uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  return bytes;
}

UniqueFd memfd(off_t size, int seals) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(fd.get(), size) == 0);
  REQUIRE(::fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
  return fd;
}

}  // namespace

TEST_CASE("an image survives the sealed memfd") {
  for (const size_t size : {size_t{ImageHeader::kBytes}, size_t{4096}, size_t{3'000'001}}) {
    const auto image = sample(size);
    const auto made = make_sealed_memfd(image);
    REQUIRE(made);
    const UniqueFd fd(*made);
    CHECK(read_sealed_memfd(fd.get()) == image);
    // The offset of the descriptor, which the sender shares, plays no part.
    CHECK(read_sealed_memfd(fd.get()) == image);
  }
}

TEST_CASE("a sealed memfd cannot be changed and is not inherited") {
  const UniqueFd fd(make_sealed_memfd(sample(4096)).value());
  CHECK(::fcntl(fd.get(), F_GET_SEALS) == required_seals());
  CHECK(::fcntl(fd.get(), F_GETFD) == FD_CLOEXEC);
  CHECK(::pwrite(fd.get(), "x", 1, 0) == -1);
  CHECK(::ftruncate(fd.get(), 0) == -1);
  CHECK(::ftruncate(fd.get(), 8192) == -1);
}

TEST_CASE("a descriptor that is not a sealed image is refused by name") {
  struct Row {
    const char* what;
    std::function<UniqueFd()> make;
    Refusal refusal;
  };
  const int all = required_seals();
  const std::vector<Row> rows{
      {"no seals", [] { return memfd(4096, 0); }, Refusal::not_sealed},
      {"no write seal", [=] { return memfd(4096, all & ~F_SEAL_WRITE); }, Refusal::not_sealed},
      {"no shrink seal", [=] { return memfd(4096, all & ~F_SEAL_SHRINK); }, Refusal::not_sealed},
      {"no grow seal", [=] { return memfd(4096, all & ~F_SEAL_GROW); }, Refusal::not_sealed},
      {"no seal seal", [=] { return memfd(4096, all & ~F_SEAL_SEAL); }, Refusal::not_sealed},
      {"empty", [=] { return memfd(0, all); }, Refusal::too_short},
      {"one byte short", [=] { return memfd(ImageHeader::kBytes - 1, all); }, Refusal::too_short},
      {"one byte long", [=] { return memfd(off_t{kMaxImageBytes} + 1, all); }, Refusal::too_large},
      {"a device", [] { return UniqueFd(::open("/dev/zero", O_RDONLY)); }, Refusal::not_sealed},
      {"closed", [] { return UniqueFd(); }, Refusal::not_sealed},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    const UniqueFd fd = row.make();
    const auto read = read_sealed_memfd(fd.get());
    REQUIRE_FALSE(read);
    CHECK(read.error() == row.refusal);
  }
}

TEST_CASE("a request is a whole header that is known, and nothing else") {
  for (const unsigned type : {1u, 2u, 4u}) {
    const FrameHeader good{.type = static_cast<FrameType>(type), .request_id = 9};
    std::array<uint8_t, sizeof good + 1> bytes{};
    std::memcpy(bytes.data(), &good, sizeof good);
    for (size_t size = 0; size <= bytes.size(); ++size) {
      CAPTURE(type, size);
      CHECK(read_request({bytes.data(), size}).has_value() == (size == sizeof good));
    }
    CHECK(read_request(std::span(bytes).first(sizeof good))->request_id == 9);
    // Magic, version and type; the id may be anything.
    for (size_t at = 0; at < 8; ++at) {
      auto changed = bytes;
      changed[at] ^= 0x80;
      CHECK(read_request(std::span(changed).first(sizeof good)).error() == Refusal::bad_frame);
    }
  }
  for (const unsigned type : {0u, 3u, 5u, 65535u}) {
    const FrameHeader unknown{.type = static_cast<FrameType>(type)};
    std::array<uint8_t, sizeof unknown> bytes{};
    std::memcpy(bytes.data(), &unknown, sizeof unknown);
    CHECK(read_request(bytes).error() == Refusal::bad_frame);
  }
}

TEST_CASE("a sealed memfd over the limit that is asked for is refused") {
  const UniqueFd fd(make_sealed_memfd(sample(4096)).value());
  CHECK(read_sealed_memfd(fd.get(), 4096).has_value());
  CHECK(read_sealed_memfd(fd.get(), 4095).error() == Refusal::too_large);
}
