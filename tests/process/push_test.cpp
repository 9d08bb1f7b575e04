// Policies pushed into the real data plane: all or nothing, each refusal by its name.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "tests/process/gateway_process.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

/// A running data plane with `good` in force, as its first policy.
struct Fixture {
  Fixture() {
    gateway.start();
    client = std::make_unique<ControlClient>(gateway.socket);
    REQUIRE(client->push(good).refusal == Refusal::none);
  }
  // Refused as `expected`, and the good one still in force.
  void check_refused(const PushReply& reply, Refusal expected) const {
    CHECK(to_string(reply.refusal) == to_string(expected));
    CHECK(reply.core_count == 1);
    CHECK(reply.cores[0].revision == revision);
    CHECK(reply.cores[0].generation == 1);
  }

  GatewayProcess gateway;
  std::vector<uint8_t> good = image_allowing("good.test");
  uint64_t revision = revision_of(good);
  std::unique_ptr<ControlClient> client;
};

FrameHeader push_header() {
  return {.type = FrameType::push, .request_id = 42};
}

// A header's place says what a change of it breaks; everything behind it is under the digest.
Refusal expected_of_flip(size_t at) {
  if (at < 8) return Refusal::bad_magic;
  if (at < 12) return Refusal::unsupported_format;
  if (at >= 16 && at < 24) return Refusal::bad_length;
  return Refusal::bad_digest;
}

}  // namespace

TEST_CASE("a push is answered with what each core runs", "[process]") {
  GatewayProcess gateway;
  gateway.start();
  ControlClient client(gateway.socket);
  PushReply reply = client.query();
  CHECK(reply.header.request_id == 7);
  CHECK(reply.refusal == Refusal::none);
  CHECK(reply.core_count == 1);
  CHECK("[" + std::to_string(reply.cores[0].core) + "]" == gateway.worker_cores);
  CHECK(reply.cores[0].revision == 0);
  CHECK(reply.cores[0].generation == 0);

  uint64_t generation = 0;
  for (const char* name : {"one.test", "two.test", "one.test"}) {
    const auto image = image_allowing(name);
    reply = client.push(image);
    CHECK(reply.refusal == Refusal::none);
    CHECK(reply.cores[0].revision == revision_of(image));
    CHECK(reply.cores[0].generation == ++generation);
    CHECK(gateway.stats().cores[0].revision == revision_of(image));
    CHECK(gateway.stats().cores[0].generation == generation);
  }
  CHECK(gateway.stop() == 0);
  CHECK_FALSE(std::filesystem::exists(gateway.socket));
  CHECK(client.closed());
  CHECK(gateway.stats().ended);
  CHECK(gateway.leftovers() == std::vector<std::string>{gateway.stats_path});
}

TEST_CASE("an image cut at any length is refused", "[process]") {
  Fixture with;
  size_t tried = 0;
  for (size_t size = 0; size < with.good.size(); size += size < 200 ? 1 : 97) {
    CAPTURE(size);
    const std::span<const uint8_t> cut(with.good.data(), size);
    with.check_refused(with.client->push(cut),
                       size < ImageHeader::kBytes ? Refusal::too_short : Refusal::bad_length);
    ++tried;
  }
  CHECK(tried > 200);
  std::vector<uint8_t> longer = with.good;
  longer.push_back(0);
  with.check_refused(with.client->push(longer), Refusal::bad_length);
  CHECK(with.client->push(with.good).cores[0].generation == 2);
}

TEST_CASE("an image with one bit changed is refused", "[process]") {
  Fixture with;
  std::mt19937 random(99);
  for (int i = 0; i < 1000; ++i) {
    // All of the header once, then anywhere.
    const size_t at = i < 64 ? static_cast<size_t>(i) : random() % with.good.size();
    const unsigned bit = random() % 8;
    CAPTURE(at, bit);
    std::vector<uint8_t> image = with.good;
    image[at] ^= static_cast<uint8_t>(1u << bit);
    with.check_refused(with.client->push(image), expected_of_flip(at));
  }
}

TEST_CASE("an image of an older or newer format is refused", "[process]") {
  Fixture with;
  for (const uint8_t format : {uint8_t{0}, uint8_t{99}, uint8_t{255}}) {
    std::vector<uint8_t> image = with.good;
    image[8] = format;
    with.check_refused(with.client->push(image), Refusal::unsupported_format);
  }
}

TEST_CASE("a push must carry exactly one sealed memfd", "[process]") {
  Fixture with;
  const auto made = make_sealed_memfd(with.good);
  REQUIRE(made);
  const UniqueFd sealed(*made);
  const UniqueFd unsealed(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::write(unsealed.get(), with.good.data(), with.good.size()) > 0);
  const UniqueFd half_sealed(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::write(half_sealed.get(), with.good.data(), with.good.size()) > 0);
  REQUIRE(::fcntl(half_sealed.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  write_text(with.gateway.folder / "file",
             {reinterpret_cast<const char*>(with.good.data()), with.good.size()});
  const UniqueFd file(::open((with.gateway.folder / "file").c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd folder(::open(with.gateway.folder.path().c_str(), O_RDONLY | O_CLOEXEC));

  const auto refused = [&](const std::vector<int>& fds, Refusal why) {
    const PushReply reply = with.client->send(push_header(), fds);
    CHECK(reply.header.request_id == 42);
    with.check_refused(reply, why);
  };
  refused({}, Refusal::no_descriptor);
  refused({sealed.get(), sealed.get()}, Refusal::no_descriptor);
  refused(std::vector<int>(20, sealed.get()), Refusal::no_descriptor);
  refused({unsealed.get()}, Refusal::not_sealed);
  refused({half_sealed.get()}, Refusal::not_sealed);
  refused({file.get()}, Refusal::not_sealed);
  refused({folder.get()}, Refusal::not_sealed);
  refused({with.client->fd()}, Refusal::not_sealed);

  // A query changes nothing, whatever it carries; and nothing that was sent stays open.
  CHECK(with.client->send({.type = FrameType::query}, {sealed.get()}).cores[0].generation == 1);
  const std::filesystem::path fds = "/proc/" + std::to_string(with.gateway.pid()) + "/fd";
  const auto open_fds = [&] { return std::distance(std::filesystem::directory_iterator(fds), {}); };
  // An answer goes out before what came with its question is closed: another closes it for sure.
  with.client->send({.type = FrameType::query}, {});
  const auto before = open_fds();
  for (int i = 0; i < 50; ++i) refused(std::vector<int>(9, sealed.get()), Refusal::no_descriptor);
  CHECK(eventually([&] { return open_fds() == before; }));
}

TEST_CASE("a frame that is none is refused, with or without an image", "[process]") {
  Fixture with;
  const auto made = make_sealed_memfd(image_allowing("other.test"));
  REQUIRE(made);
  const UniqueFd sealed(*made);
  FrameHeader wrong_magic = push_header();
  ++wrong_magic.magic;
  FrameHeader wrong_version = push_header();
  ++wrong_version.version;
  FrameHeader wrong_type = push_header();
  for (const unsigned type : {0u, 3u, 5u, 65535u}) {
    wrong_type.type = static_cast<FrameType>(type);
    with.check_refused(with.client->send(wrong_type, {sealed.get()}), Refusal::bad_frame);
  }
  with.check_refused(with.client->send(wrong_magic, {sealed.get()}), Refusal::bad_frame);
  with.check_refused(with.client->send(wrong_version, {sealed.get()}), Refusal::bad_frame);

  std::vector<uint8_t> bytes(5000, 0);
  const FrameHeader header = push_header();
  std::memcpy(bytes.data(), &header, sizeof header);
  for (size_t size = 1; size <= 40; ++size) {
    if (size == sizeof header) continue;
    CAPTURE(size);
    with.check_refused(with.client->send({bytes.data(), size}, {sealed.get()}), Refusal::bad_frame);
  }
  for (const size_t size : {size_t{4095}, size_t{4096}, size_t{4097}, bytes.size()}) {
    with.check_refused(with.client->send({bytes.data(), size}, {sealed.get()}), Refusal::bad_frame);
  }
}

TEST_CASE("idle clients do not lock the agent out, and a gone one is forgotten", "[process]") {
  Fixture with;
  std::vector<std::unique_ptr<ControlClient>> crowd;
  for (int i = 0; i < 12; ++i) {
    crowd.push_back(std::make_unique<ControlClient>(with.gateway.socket));
    CHECK(crowd.back()->query().refusal == Refusal::none);
  }
  CHECK(with.client->closed());  // the oldest made room
  CHECK(crowd.front()->closed());
  CHECK(crowd.back()->push(with.good).cores[0].generation == 2);
  crowd.clear();
  ControlClient fresh(with.gateway.socket);
  CHECK(fresh.query().cores[0].generation == 2);
  CHECK(with.gateway.stop() == 0);
}
