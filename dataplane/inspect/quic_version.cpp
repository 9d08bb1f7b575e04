#include "dataplane/inspect/quic_version.h"

#include <algorithm>

namespace sallyport {
namespace {

constexpr uint32_t draft(uint32_t number) noexcept {
  return 0xff000000 | number;
}

constexpr std::array<uint8_t, 20> kSaltV1 = {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34,
                                             0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
                                             0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a};
constexpr std::array<uint8_t, 20> kSaltDraft23 = {0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb,
                                                  0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4,
                                                  0x63, 0x65, 0xbe, 0xf9, 0xf5, 0x02};
constexpr std::array<uint8_t, 4> kTypesV1 = {0, 1, 2, 3};

constexpr std::array<QuicVersion, 7> kVersions = {{
    {kQuicV1, kQuicV1, kSaltV1, "quic ", kTypesV1},
    {kQuicV2,
     kQuicV2,
     {0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
      0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
     "quicv2 ",
     {1, 2, 3, 0}},  // RFC 9369 section 3.2
    {draft(33), draft(34), kSaltV1, "quic ", kTypesV1},
    {draft(29),
     draft(32),
     {0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97,
      0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99},
     "quic ",
     kTypesV1},
    {draft(23), draft(28), kSaltDraft23, "quic ", kTypesV1},
    {0xfaceb002, 0xfaceb002, kSaltDraft23, "quic ", kTypesV1},  // mvfst: draft 27
    {0xfaceb00e, 0xfaceb00e, kSaltDraft23, "quic ", kTypesV1},
}};

}  // namespace

const QuicVersion* find_quic_version(uint32_t version) noexcept {
  const auto* const found = std::ranges::find_if(kVersions, [version](const QuicVersion& one) {
    return version >= one.first && version <= one.last;
  });
  return found == kVersions.end() ? nullptr : found;
}

bool is_unread_quic_version(uint32_t version) noexcept {
  const bool is_reserved = (version & 0x0f0f0f0f) == 0x0a0a0a0a;
  const bool is_draft = version > draft(0) && version < draft(0x40);
  const bool is_google = (version >> 24 == 'Q' || version >> 24 == 'T') &&
                         (version >> 16 & 0xff) == '0';  // "Q043", "T051"
  const bool is_meta = version >> 8 == 0xfaceb0;
  return is_reserved || is_draft || is_google || is_meta;
}

}  // namespace sallyport
