#include "policy/runtime/identity_codec.h"

#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "policy/runtime/image_codec.h"

namespace sallyport {
namespace {

static_assert(std::endian::native == std::endian::little, "integers are copied as they are");

constexpr size_t kEntryBytes = sizeof(IpAddress::bytes) + sizeof(uint32_t);
constexpr size_t kSmallestList = sizeof(uint32_t);

class Writer {
 public:
  explicit Writer(std::vector<uint8_t>& out) : out_(out) {}

  void number(size_t value) { bytes(static_cast<uint32_t>(value)); }
  void text(const std::string& text) {
    number(text.size());
    out_.insert(out_.end(), text.begin(), text.end());
  }
  void address(const IpAddress& address) {
    out_.insert(out_.end(), address.bytes.begin(), address.bytes.end());
  }

 private:
  void bytes(uint32_t value) {
    const auto raw = std::bit_cast<std::array<uint8_t, sizeof value>>(value);
    out_.insert(out_.end(), raw.begin(), raw.end());
  }
  std::vector<uint8_t>& out_;
};

/// Every read is checked against what is left; after one that fails, all fail.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : left_(bytes) {}

  size_t left() const noexcept { return left_.size(); }
  bool number(uint32_t& out) noexcept { return copy(&out, sizeof out); }
  bool address(IpAddress& out) noexcept { return copy(out.bytes.data(), out.bytes.size()); }
  bool text(std::string& out) {
    uint32_t size = 0;
    if (!number(size) || size > left_.size()) return false;
    out.assign(reinterpret_cast<const char*>(left_.data()), size);
    left_ = left_.subspan(size);
    return true;
  }

 private:
  bool copy(void* to, size_t size) noexcept {
    if (size > left_.size()) {
      left_ = {};
      return false;
    }
    std::memcpy(to, left_.data(), size);
    left_ = left_.subspan(size);
    return true;
  }
  std::span<const uint8_t> left_;
};

Refusal read_list(Reader& reader, uint32_t& labels_left, LabelList& out) {
  uint32_t count = 0;
  if (!reader.number(count)) return Refusal::bad_structure;
  if (count > labels_left) return Refusal::too_large;
  labels_left -= count;
  for (uint32_t i = 0; i < count; ++i) {
    std::pair<std::string, std::string> label;
    if (!reader.text(label.first) || !reader.text(label.second)) return Refusal::bad_structure;
    const bool ascends = out.empty() || out.back().first < label.first;
    if (label.first.empty() || !ascends) return Refusal::bad_content;
    out.push_back(std::move(label));
  }
  return Refusal::none;
}

Refusal read_lists(Reader& reader, uint32_t count, std::vector<LabelList>& out) {
  uint32_t labels_left = kMaxFeedLabels;
  for (uint32_t i = 0; i < count; ++i) {
    LabelList list;
    const Refusal refusal = read_list(reader, labels_left, list);
    if (refusal != Refusal::none) return refusal;
    if (!out.empty() && !(out.back() < list)) return Refusal::bad_content;
    out.push_back(std::move(list));
  }
  return Refusal::none;
}

Refusal read_entries(Reader& reader, uint32_t count, IdentityFeed& feed) {
  // Nothing stands behind the entries, so their number is known from both ends.
  if (reader.left() != size_t{count} * kEntryBytes) return Refusal::bad_structure;
  feed.entries.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    IdentityFeed::Entry entry;
    if (!reader.address(entry.address) || !reader.number(entry.labels)) {
      return Refusal::bad_structure;
    }
    const bool ascends = feed.entries.empty() || feed.entries.back().address < entry.address;
    if (!ascends || entry.labels >= feed.label_lists.size()) return Refusal::bad_content;
    feed.entries.push_back(entry);
  }
  return Refusal::none;
}

Refusal read_payload(std::span<const uint8_t> payload, IdentityFeed& feed) {
  Reader reader(payload);
  uint32_t lists = 0;
  uint32_t entries = 0;
  if (!reader.number(lists) || !reader.number(entries)) return Refusal::bad_structure;
  if (entries > kMaxFeedAddresses) return Refusal::too_large;
  if (lists > reader.left() / kSmallestList) return Refusal::bad_structure;
  if (lists > entries) return Refusal::bad_content;  // One that no address has.
  const Refusal refusal = read_lists(reader, lists, feed.label_lists);
  return refusal == Refusal::none ? read_entries(reader, entries, feed) : refusal;
}

/// The payload's size, or one over the limit when a limit is passed.
size_t payload_bytes(const IdentityFeed& feed) {
  constexpr size_t kTooMany = kMaxFeedBytes + 1;
  if (feed.entries.size() > kMaxFeedAddresses) return kTooMany;
  size_t labels = 0;
  size_t bytes = 2 * sizeof(uint32_t) + feed.entries.size() * kEntryBytes;
  for (const LabelList& list : feed.label_lists) {
    labels += list.size();
    bytes += sizeof(uint32_t);
    for (const auto& [key, value] : list) {
      bytes += 2 * sizeof(uint32_t) + key.size() + value.size();
    }
  }
  return labels > kMaxFeedLabels ? kTooMany : bytes;
}

}  // namespace

std::expected<std::vector<uint8_t>, Refusal> encode_identities(const IdentityFeed& feed) {
  const size_t size = payload_bytes(feed);
  if (size > kMaxFeedBytes - ImageHeader::kBytes) return std::unexpected(Refusal::too_large);
  std::vector<uint8_t> payload;
  payload.reserve(size);
  Writer writer(payload);
  writer.number(feed.label_lists.size());
  writer.number(feed.entries.size());
  for (const LabelList& list : feed.label_lists) {
    writer.number(list.size());
    for (const auto& [key, value] : list) {
      writer.text(key);
      writer.text(value);
    }
  }
  for (const IdentityFeed::Entry& entry : feed.entries) {
    writer.address(entry.address);
    writer.number(entry.labels);
  }
  return seal(kIdentitySeal, payload);
}

std::expected<DecodedFeed, Refusal> decode_identities(std::span<const uint8_t> bytes) {
  try {
    const auto opened = open_sealed(kIdentitySeal, bytes);
    if (!opened) return std::unexpected(opened.error());
    DecodedFeed out{.feed = {}, .revision = opened->revision};
    const Refusal refusal = read_payload(opened->payload, out.feed);
    if (refusal != Refusal::none) return std::unexpected(refusal);
    return out;
  } catch (const std::bad_alloc&) {
    return std::unexpected(Refusal::no_memory);
  }
}

}  // namespace sallyport
