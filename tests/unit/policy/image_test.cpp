#include "policy/runtime/image.h"

#include <image_generated.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <random>

#include "policy/runtime/image_codec.h"
#include "tests/support/policy_builder.h"

using namespace sallyport;

namespace {

constexpr uint32_t kNames = 2;  // Places in Image.conditions.
constexpr uint32_t kPaths = 7;

using Bytes = std::vector<uint8_t>;

Bytes sample_image() {
  const auto compiled =
      compile_policy(std::vector{SourceFile{"p", test::policy_text(R"(
  subject: {cidrs: [10.0.0.0/8, "fd00::/8"]}
  egress:
    - {name: a, action: Deny, to: {domainNames: [bad.org], cidrs: [192.0.2.0/24, "2001:db8::/32"]}}
    - {name: b, action: Allow, to: {domainNames: ["*.org", a.net]}, protocols: [tls: {ports: [443]}]}
    - {name: c, action: Allow, protocols: [udp: {ports: ["53-80"]}, http: {}]}
    - {name: d, action: Deny, to: {domainRegexes: ['x[0-9]+\.org']}, expiresAt: 2026-12-01T00:00:00Z}
    - {name: e, action: Allow, destinationBinding: enforce, to: {domainNames: [b.net]},
       budget: {bytesOut: 1GiB, window: 1h}, protocols: [tls: {alpns: [h2, h3], ech: deny,
       ja4s: [t13d1516h2_8daaf6152771_e5627efa2ab1]}, icmp: {}]}
    - {name: f, action: Allow, protocols: [http: {methods: [GET, PUT], paths: ['/a/**'],
       headers: {accept: 'x*', user-agent: '*'}}]}
)") + "\n---\n" +
                                                     test::policy_text(R"(
  tier: Admin
  subject: {labels: {job: train, team: a}}
  egress: [{name: p, action: Pass}]
)",
                                                                       "admin")}});
  REQUIRE(compiled.has_value());
  return compiled->image;
}

std::string load(std::span<const uint8_t> image) {
  const auto table = PolicyTable::load(image, 1);
  return std::string(table ? "none" : to_string(table.error()));
}

/// The image with its payload changed and its digest made to fit again.
Bytes reseal(Bytes image) {
  return seal_image(std::span(image).subspan(ImageHeader::kBytes));
}

/// Decides flows that reach every dimension.
void exercise(const PolicyTable& table) {
  for (const char* text :
       {"", "app=tls name=a.org", "app=http name=- tcp/80", "app=http name=a.net udp/53",
        "app=- name=-", "udp/65535 app=tls", "dst=192.0.2.9 name=bad.org",
        "src=fd00::1 dst=2001:db8::1", "app=tls name=x1.org alpn=h2,h3 ech=no",
        "app=tls name=b.net ja4=t13d1516h2_8daaf6152771_e5627efa2ab1 binding=unbound budget=spent",
        "app=http method=GET path=/a/b header.accept=x header.user-agent=y", "icmp time=1900000000",
        "dst=:: src=::", "dst=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff tcp/65535"}) {
    const std::vector<Identity> feed{
        {parse_ip_address("10.1.2.3").value(), {{"job", "train"}, {"team", "a"}}}};
    const auto with_labels = table.with_identities(feed);
    for (const PolicyTable* one : {&table, with_labels ? with_labels->get() : &table}) {
      const Decision decision = decide(*one, test::Flow(text).facts(), 0);
      CHECK(decision.verdict <= Verdict::deny);
      if (decision.reason == Reason::rule) CHECK(decision.rule < table.rule_count());
    }
  }
  for (uint32_t i = 0; i < table.rule_count(); ++i) CHECK(!table.rule(i).name.empty());
}

}  // namespace

TEST_CASE("a whole image loads; any prefix of it is refused by name") {
  const Bytes image = sample_image();
  CHECK(load(image) == "none");
  for (size_t size = 0; size < image.size(); ++size) {
    const auto got = load(std::span(image).first(size));
    if (got != (size < ImageHeader::kBytes ? "too_short" : "bad_length")) FAIL(size << ": " << got);
  }
  Bytes longer = image;
  longer.push_back(0);
  CHECK(load(longer) == "bad_length");
}

TEST_CASE("the header's own refusals") {
  const Bytes image = sample_image();
  const auto with_byte = [&](size_t at, uint8_t value) {
    Bytes changed = image;
    changed[at] = value;
    return load(changed);
  };
  CHECK(with_byte(0, 'X') == "bad_magic");
  CHECK(with_byte(8, kImageFormat - 1) == "unsupported_format");
  CHECK(with_byte(8, kImageFormat + 1) == "unsupported_format");
  CHECK(with_byte(12, 1) == "bad_digest");  // Reserved, but covered.
  CHECK(with_byte(16, image[16] ^ 1) == "bad_length");
  CHECK(with_byte(24, 1) == "bad_digest");
  CHECK(with_byte(32, image[32] ^ 1) == "bad_digest");
  CHECK(with_byte(image.size() - 1, image.back() ^ 1) == "bad_digest");
  CHECK(load(seal_image({})) == "bad_structure");
}

TEST_CASE("any flipped bit is refused") {
  const Bytes image = sample_image();
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    Bytes changed = image;
    const size_t bit = std::uniform_int_distribution<size_t>(0, image.size() * 8 - 1)(random);
    changed[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    if (load(changed) == "none") FAIL("bit " << bit);
  }
}

TEST_CASE("flipped bits under a right digest never reach outside the image") {
  const Bytes image = sample_image();
  std::mt19937 random(2);
  std::map<std::string, int> outcomes;
  for (int i = 0; i < 20000; ++i) {
    Bytes changed = image;
    for (int flips = 1 + i % 3; flips > 0; --flips) {
      const size_t at =
          std::uniform_int_distribution<size_t>(ImageHeader::kBytes, image.size() - 1)(random);
      changed[at] ^= static_cast<uint8_t>(1 << (random() % 8));
    }
    const auto table = PolicyTable::load(reseal(changed), 1);
    ++outcomes[std::string(table ? "none" : to_string(table.error()))];
    if (table) exercise(**table);
  }
  // Each way out was taken, so the test reaches what it claims to.
  CHECK(outcomes["none"] > 0);
  CHECK(outcomes["bad_structure"] > 0);
  CHECK(outcomes["bad_content"] > 0);
}

TEST_CASE("each value that decide() follows blindly is checked when loading") {
  /// Overwrites `value` in a copy of the image it points into, and loads the copy.
  const Bytes image = sample_image();
  const fb::Image& parsed = *fb::GetImage(image.data() + ImageHeader::kBytes);
  const auto load_with = [&image](const void* place, auto value) {
    Bytes changed = image;
    const auto offset = static_cast<const uint8_t*>(place) - image.data();
    std::memcpy(&changed[static_cast<size_t>(offset)], &value, sizeof value);
    return load(reseal(changed));
  };
  const auto last = [](const auto& vector) { return vector.size() - 1; };

  const auto& rules = *parsed.clause_rules();
  const uint32_t rule_count = parsed.rules()->size();
  CHECK(load_with(rules.data() + last(rules), rule_count - 1) == "none");
  CHECK(load_with(rules.data() + last(rules), rule_count) == "bad_content");
  CHECK(load_with(rules.data(), rule_count - 1) == "bad_content");  // Decreasing after it.

  // Set: summary, first, count. Summary: bits, words. All sets here have one summary or none.
  const auto* set = reinterpret_cast<const uint32_t*>(parsed.sets()->Data());
  const uint32_t set_count = parsed.sets()->size();
  CHECK(load_with(set, parsed.summaries()->size()) == "bad_content");
  CHECK(load_with(set + 1, uint32_t{1}) == "bad_content");
  CHECK(load_with(set + 2, UINT32_MAX) == "bad_content");
  const auto* summary = parsed.summaries()->Data();
  CHECK(load_with(summary, uint64_t{2}) == "bad_content");  // Past the last word.
  CHECK(load_with(summary, ~uint64_t{0}) == "bad_content");
  CHECK(load_with(summary + 8, parsed.words()->size()) == "bad_content");
  CHECK(load_with(parsed.words()->data(), uint64_t{1} << rules.size()) == "bad_content");
  CHECK(load_with(parsed.words()->data(), (uint64_t{1} << rules.size()) - 1) == "none");

  for (const auto* map : {parsed.source(), parsed.destination()}) {
    CHECK(load_with(map->sets()->data() + last(*map->sets()), set_count) == "bad_content");
    CHECK(load_with(map->starts()->Data(), uint64_t{1}) == "bad_content");
    CHECK(load_with(map->starts()->Data() + sizeof(fb::Address) * last(*map->starts()),
                    uint64_t{0}) == "bad_content");
  }
  CHECK(load_with(parsed.udp()->sets()->data() + last(*parsed.udp()->sets()), set_count) ==
        "bad_content");
  CHECK(load_with(parsed.udp()->starts()->data(), uint16_t{1}) == "bad_content");
  CHECK(load_with(parsed.udp()->starts()->data() + 1, uint16_t{0}) == "bad_content");
  CHECK(load_with(parsed.time()->starts()->data(), int64_t{0}) == "bad_content");
  CHECK(load_with(parsed.time()->starts()->data() + 1, INT64_MIN) == "bad_content");
  CHECK(load_with(parsed.time()->sets()->data(), set_count) == "bad_content");
  CHECK(load_with(parsed.tier_ends()->data() + 2, static_cast<uint32_t>(rules.size()) - 1) ==
        "bad_content");
  CHECK(load_with(parsed.tier_ends()->data() + 2, static_cast<uint32_t>(rules.size()) + 1) ==
        "bad_content");
  CHECK(load_with(parsed.tier_ends()->data(), static_cast<uint32_t>(rules.size()) + 1) ==
        "bad_content");
  CHECK(load_with(parsed.header_patterns()->data(), parsed.header_names()->size()) ==
        "bad_content");
  for (const fb::Condition* condition : *parsed.conditions()) {
    const auto* sets = condition->sets();
    if (sets->size() == 0) continue;
    CHECK(load_with(sets->data(), set_count) == "bad_content");
    // The number of sets is that of the values they are found by.
    const auto* length = reinterpret_cast<const uint32_t*>(sets->data()) - 1;
    const bool free_length = condition == parsed.conditions()->Get(kNames) ||
                             condition == parsed.conditions()->Get(kPaths);
    if (!free_length) CHECK(load_with(length, sets->size() - 1) == "bad_content");
  }
  for (const auto* values : {parsed.alpns(), parsed.methods(), parsed.header_names()}) {
    CHECK(load_with(values->Get(0)->data(), '~') == "bad_content");  // No longer sorted.
  }
  CHECK(load_with(parsed.rules()->Get(0)->name()->data(), '\n') == "bad_content");
  CHECK(load_with(parsed.policies()->Get(0)->name()->data(), 'P') == "bad_content");
}

TEST_CASE("a database for another CPU or Hyperscan version is refused as such") {
  const Bytes image = sample_image();
  const auto* parsed = fb::GetImage(image.data() + ImageHeader::kBytes);
  const auto* database = parsed->name_literals();
  const auto offset = static_cast<size_t>(database->data() - image.data());
  // Serialized header: u32 magic, u32 version, u32 length, u64 platform, u32 crc.
  Bytes other_version = image;
  other_version[offset + 7] ^= 1;
  CHECK(load(reseal(other_version)) == "foreign_cpu");
  Bytes other_platform = image;
  other_platform[offset + 12] ^= 0x3f;
  CHECK(load(reseal(other_platform)) == "foreign_cpu");
  Bytes other_magic = image;
  other_magic[offset] ^= 1;
  CHECK(load(reseal(other_magic)) == "bad_content");
  Bytes other_code = image;
  other_code[offset + database->size() / 2] ^= 1;
  CHECK(load(reseal(other_code)) == "bad_content");
}

TEST_CASE("a policy without names needs no database") {
  const auto table = test::load_table(test::policy_text("  egress: [{name: r, action: Allow}]\n"));
  CHECK(test::say(*table, "app=tls name=a.org") == "allow p/r");
}

TEST_CASE("refusals and revisions as text") {
  for (uint32_t value = 0; value <= static_cast<uint32_t>(Refusal::not_acknowledged); ++value) {
    const auto refusal = static_cast<Refusal>(value);
    CHECK(to_string(refusal) != "unknown");
    CHECK(explain(refusal).ends_with('.'));
  }
  CHECK(to_string(static_cast<Refusal>(9999)) == "unknown");
  CHECK(revision_text(0x0123456789ab) == "0123456789ab");
  CHECK(revision_text(1) == "000000000001");
}
