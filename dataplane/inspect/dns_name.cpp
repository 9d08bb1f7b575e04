#include "dataplane/inspect/dns_name.h"

namespace sallyport {
namespace {

constexpr size_t kHeaderBytes = 12;
constexpr size_t kMaxWireBytes = 255;  // RFC 1035 section 2.3.4, with every length byte
constexpr uint8_t kPointer = 0xc0;

}  // namespace

void DnsName::start() noexcept {
  size_ = 0;
  wire_bytes_ = 1;  // of the root
  compressed_ = false;
}

bool DnsName::put_label(std::span<const uint8_t> label) noexcept {
  wire_bytes_ = static_cast<uint16_t>(wire_bytes_ + 1 + label.size());
  if (wire_bytes_ > kMaxWireBytes) return false;
  if (size_ != 0) text_[size_++] = '.';
  for (const uint8_t byte : label) {
    const bool plain = byte > 0x20 && byte < 0x7f && byte != '.';
    text_[size_++] = plain ? static_cast<char>(byte) : '?';
  }
  return true;
}

// Labels up to the root or the first pointer, which `at` moves behind.
bool DnsName::read_run(std::span<const uint8_t> message, size_t& at) noexcept {
  for (;;) {
    if (at >= message.size()) return false;
    const size_t length = message[at];
    if (length == 0) {
      ++at;
      return true;
    }
    if (length >= kPointer) {
      if (message.size() - at < 2) return false;
      at += 2;
      compressed_ = true;
      return true;
    }
    constexpr size_t kMaxLabel =
        63;  // what is above is no label type of today (RFC 6891 section 5)
    if (length > kMaxLabel || length > message.size() - at - 1) return false;
    if (!put_label(message.subspan(at + 1, length))) return false;
    at += 1 + length;
  }
}

bool DnsName::read_labels(std::span<const uint8_t> message, size_t& at) noexcept {
  start();
  return read_run(message, at);
}

bool DnsName::read(std::span<const uint8_t> message, size_t& at) noexcept {
  start();
  size_t run_start = at;
  if (!read_run(message, at)) return false;
  bool more = compressed_;
  for (size_t behind = at; more;) {
    const size_t target =
        static_cast<size_t>(message[behind - 2] & ~kPointer) << 8 | message[behind - 1];
    if (target < kHeaderBytes || target >= run_start) return false;
    run_start = behind = target;
    compressed_ = false;
    if (!read_run(message, behind)) return false;
    more = compressed_;
  }
  return true;
}

bool DnsName::to_host(HostName& out) const noexcept {
  out.clear();
  if (size_ == 0) return true;
  const auto fault = out.assign(text());  // no name has the '?' of an odd byte
  return fault == HostNameFault::none || fault == HostNameFault::address_literal;
}

}  // namespace sallyport
