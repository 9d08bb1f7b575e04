// The identity feed on the wire and on disk: every byte is checked before any is believed.
#include "policy/runtime/identity_codec.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstring>

#include "policy/runtime/image_codec.h"
#include "tests/support/policy_builder.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

IpAddress address(const char* text) {
  return parse_ip_address(text).value();
}

std::vector<Identity> sample() {
  return {{.address = address("10.0.0.2"), .labels = {{"team", "a"}, {"job", "train"}}},
          {.address = address("10.0.0.1"), .labels = {{"job", "train"}, {"team", "a"}}},
          {.address = address("fd00::1"), .labels = {{kSpiffeIdLabel, "spiffe://x/y"}}},
          {.address = address("10.0.0.3"), .labels = {}}};
}

std::vector<uint8_t> encoded(std::span<const Identity> identities) {
  return encode_identities(make_identity_feed(identities)).value();
}

/// "10.0.0.1 job=train team=a" of each.
std::string text_of(const IdentityFeed& feed) {
  std::string out;
  for (const IdentityFeed::Entry& entry : feed.entries) {
    out += to_string(entry.address);
    for (const auto& [key, value] : feed.label_lists[entry.labels]) {
      out.append(" ").append(key).append("=").append(value);
    }
    out += "\n";
  }
  return out;
}

/// A payload put together by hand.
struct Payload {
  std::vector<uint8_t> bytes;

  Payload& number(uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<uint8_t>(value >> shift));
    return *this;
  }
  Payload& text(std::string_view text) {
    number(static_cast<uint32_t>(text.size()));
    bytes.insert(bytes.end(), text.begin(), text.end());
    return *this;
  }
  Payload& entry(const char* of, uint32_t list) {
    const IpAddress one = address(of);
    bytes.insert(bytes.end(), one.bytes.begin(), one.bytes.end());
    return number(list);
  }
};

Refusal refusal_of(std::span<const uint8_t> bytes) {
  const auto decoded = decode_identities(bytes);
  return decoded ? Refusal::none : decoded.error();
}
std::string sealed_refusal(const Payload& payload) {
  return std::string(to_string(refusal_of(seal(kIdentitySeal, payload.bytes))));
}

}  // namespace

TEST_CASE("a feed comes back as it was, sorted and with shared labels once") {
  const auto decoded = decode_identities(encoded(sample()));
  REQUIRE(decoded);
  CHECK(text_of(decoded->feed) ==
        "10.0.0.1 job=train team=a\n10.0.0.2 job=train team=a\n10.0.0.3\n"
        "fd00::1 spiffeId=spiffe://x/y\n");
  CHECK(decoded->feed.label_lists.size() == 3);
  CHECK(decode_identities(encoded({}))->feed.entries.empty());
}

TEST_CASE("the same feed in another order is the same feed") {
  std::vector<Identity> other = sample();
  std::ranges::reverse(other);
  CHECK(encoded(other) == encoded(sample()));
  other.front().labels = {{"job", "else"}};
  CHECK(decode_identities(encoded(other))->revision !=
        decode_identities(encoded(sample()))->revision);
}

TEST_CASE("of an address given twice the last mention counts") {
  std::vector<Identity> twice = sample();
  twice.push_back({.address = address("10.0.0.1"), .labels = {{"job", "other"}}});
  const IdentityFeed feed = make_identity_feed(twice);
  REQUIRE(feed.find(address("10.0.0.1")) != nullptr);
  CHECK(*feed.find(address("10.0.0.1")) == LabelList{{"job", "other"}});
  CHECK(feed.find(address("10.0.0.9")) == nullptr);
  CHECK(spiffe_id_of(*feed.find(address("fd00::1"))) == "spiffe://x/y");
  CHECK(spiffe_id_of(*feed.find(address("10.0.0.1"))).empty());
}

TEST_CASE("a feed cut at any length, or with one bit changed, is refused") {
  const auto good = encoded(sample());
  for (size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    const auto expected = size < ImageHeader::kBytes ? Refusal::too_short : Refusal::bad_length;
    CHECK(refusal_of({good.data(), size}) == expected);
  }
  auto longer = good;
  longer.push_back(0);
  CHECK(refusal_of(longer) == Refusal::bad_length);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto changed = good;
    changed[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    CAPTURE(bit);
    CHECK(refusal_of(changed) != Refusal::none);
  }
}

TEST_CASE("a payload cut at any length is refused under a right digest too") {
  const auto good = encoded(sample());
  const std::span<const uint8_t> payload = std::span(good).subspan(ImageHeader::kBytes);
  for (size_t size = 0; size < payload.size(); ++size) {
    CAPTURE(size);
    CHECK(refusal_of(seal(kIdentitySeal, payload.first(size))) == Refusal::bad_structure);
  }
  std::vector<uint8_t> longer(payload.begin(), payload.end());
  longer.push_back(0);
  CHECK(refusal_of(seal(kIdentitySeal, longer)) == Refusal::bad_structure);
}

TEST_CASE("a policy image is no feed, and a feed no policy image") {
  CHECK(refusal_of(seal_image(std::array<uint8_t, 8>{})) == Refusal::bad_magic);
  CHECK(open_image(encoded(sample())).error() == Refusal::bad_magic);
  auto newer = kIdentitySeal;
  ++newer.format;
  CHECK(refusal_of(seal(newer, std::array<uint8_t, 8>{})) == Refusal::unsupported_format);
}

TEST_CASE("hostile counts and lengths are refused by name") {
  constexpr uint32_t kHuge = 0xffff'ffff;
  const auto head = [](uint32_t lists, uint32_t entries) {
    return Payload{}.number(lists).number(entries);
  };
  CHECK(sealed_refusal(head(0, 0)) == "none");
  CHECK(sealed_refusal(head(kHuge, 1)) == "bad_structure");
  CHECK(sealed_refusal(head(0, kHuge)) == "too_large");
  CHECK(sealed_refusal(head(0, kMaxFeedAddresses)) == "bad_structure");
  CHECK(sealed_refusal(head(0, kMaxFeedAddresses + 1)) == "too_large");
  CHECK(sealed_refusal(head(1, 1).number(kHuge)) == "too_large");
  CHECK(sealed_refusal(head(1, 1).number(kMaxFeedLabels)) == "bad_structure");
  for (const uint32_t bytes : {2u, 0x8000'0000u, kHuge - 3, kHuge}) {
    CHECK(sealed_refusal(head(1, 1).number(1).number(bytes)) == "bad_structure");
    CHECK(sealed_refusal(head(1, 1).number(1).text("k").number(bytes)) == "bad_structure");
  }
}

TEST_CASE("orders and indices that do not hold are refused by name") {
  const auto head = [](uint32_t lists, uint32_t entries) {
    return Payload{}.number(lists).number(entries);
  };
  const auto one = [&] { return head(1, 1).number(1).text("k").text("v"); };
  CHECK(sealed_refusal(one().entry("10.0.0.1", 0)) == "none");
  CHECK(sealed_refusal(one().entry("10.0.0.1", 1)) == "bad_content");
  CHECK(sealed_refusal(one().entry("10.0.0.1", 0xffff'ffff)) == "bad_content");
  CHECK(sealed_refusal(head(1, 1).number(1).text("").text("v").entry("10.0.0.1", 0)) ==
        "bad_content");
  const auto two_keys = [&](const char* first, const char* second) {
    return sealed_refusal(
        head(1, 1).number(2).text(first).text("v").text(second).text("v").entry("10.0.0.1", 0));
  };
  CHECK(two_keys("a", "b") == "none");
  CHECK(two_keys("a", "a") == "bad_content");
  CHECK(two_keys("b", "a") == "bad_content");
  const auto two_entries = [&](const char* first, const char* second) {
    return sealed_refusal(head(1, 2).number(0).entry(first, 0).entry(second, 0));
  };
  CHECK(two_entries("10.0.0.1", "10.0.0.2") == "none");
  CHECK(two_entries("10.0.0.1", "10.0.0.1") == "bad_content");
  CHECK(two_entries("10.0.0.2", "10.0.0.1") == "bad_content");
  const auto two_lists = [&](const char* first, const char* second) {
    return sealed_refusal(head(2, 2)
                              .number(1)
                              .text(first)
                              .text("v")
                              .number(1)
                              .text(second)
                              .text("v")
                              .entry("10.0.0.1", 0)
                              .entry("10.0.0.2", 1));
  };
  CHECK(two_lists("a", "b") == "none");
  CHECK(two_lists("a", "a") == "bad_content");
  CHECK(two_lists("b", "a") == "bad_content");
  CHECK(sealed_refusal(head(2, 1).number(0).number(1).text("a").text("v").entry("10.0.0.1", 0)) ==
        "bad_content");
}

TEST_CASE("a feed over a limit is not encoded") {
  IdentityFeed feed{.label_lists = {{{"k", std::string(kMaxFeedBytes, 'v')}}}, .entries = {{}}};
  CHECK(encode_identities(feed).error() == Refusal::too_large);
  feed.label_lists.front().front().second = "v";
  CHECK(encode_identities(feed));
  feed.entries.resize(kMaxFeedAddresses + 1);
  CHECK(encode_identities(feed).error() == Refusal::too_large);
}

TEST_CASE("a table decides by a decoded feed as by the identities it came from") {
  const auto table = load_table(policy_text(
      "  subject: {labels: {job: train}}\n  egress:\n    - {name: a, action: Allow}\n"));
  const auto decoded = decode_identities(encoded(sample()));
  REQUIRE(decoded);
  const auto by_feed = table->with_feed(decoded->feed).value();
  const auto by_list = table->with_identities(sample()).value();
  for (const char* source : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "10.0.0.9"}) {
    CAPTURE(source);
    const FlowFacts facts{.source = address(source), .ip_protocol = kIpProtocolTcp};
    const bool trains = std::string_view(source) < "10.0.0.3";
    CHECK(decide(*by_feed, facts, 0).verdict == (trains ? Verdict::allow : Verdict::deny));
    CHECK(decide(*by_list, facts, 0).verdict == decide(*by_feed, facts, 0).verdict);
  }
}
