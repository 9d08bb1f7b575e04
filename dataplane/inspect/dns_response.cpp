#include "dataplane/inspect/dns_response.h"

#include <algorithm>

#include "dataplane/inspect/byte_reader.h"
#include "dataplane/inspect/dns_name.h"

namespace sallyport {
namespace {

constexpr size_t kHeaderBytes = 12;
constexpr uint16_t kResponse = 0x8000;
constexpr uint16_t kOpcodeMask = 0x7800;
constexpr uint16_t kErrorMask = 0x000f;
constexpr uint16_t kClassIn = 1;

enum Type : uint16_t { kA = 1, kCname = 5, kAaaa = 28, kSvcb = 64, kHttps = 65 };

// RFC 9460 section 14.3.2.
enum Parameter : uint16_t { kAlpn = 1, kIpv4Hint = 4, kEch = 5, kIpv6Hint = 6 };

/// Reads the answer section of one message.
class AnswerReader {
 public:
  AnswerReader(std::span<const uint8_t> message, DnsResponse& out) noexcept
      : message_(message), out_(out) {}

  /// The question. False when there is none about a host name.
  bool read_question(size_t& at) noexcept {
    DnsName name;
    if (!name.read(message_, at) || !name.to_host(out_.name) || out_.name.empty()) return false;
    ByteReader in(message_.subspan(at));
    out_.type = in.u16();
    const bool internet = in.u16() == kClassIn;
    at = message_.size() - in.rest().size();
    current_ = out_.name;
    return in.ok() && internet;
  }

  /// One record; `at` moves behind it. False when it leads astray.
  bool read_record(size_t& at) noexcept {
    DnsName owner;
    if (!owner.read(message_, at)) return false;
    ByteReader in(message_.subspan(at));
    const uint16_t type = in.u16();
    const bool internet = in.u16() == kClassIn;
    uint32_t ttl = uint32_t{in.u16()} << 16;
    ttl |= in.u16();
    ByteReader data = in.block16();
    if (!in.ok()) return false;
    at = message_.size() - in.rest().size();

    HostName host;
    if (!internet || !owner.to_host(host) || host.empty()) return true;
    if (host.view() != current_.view()) return true;
    if (ttl > INT32_MAX) ttl = 0;  // RFC 2181 section 8
    const uint32_t least = std::min(ttl, ttl_seconds_);
    const size_t data_at = at - data.rest().size();
    switch (type) {
      case kA:
        return data.rest().size() == 4 && take_addresses(data, 4, least);
      case kAaaa:
        return data.rest().size() == 16 && take_addresses(data, 16, least);
      case kCname:
        ttl_seconds_ = least;
        return follow(data_at, at);
      case kSvcb:
      case kHttps:
        return take_service(data_at, at, least);
      default:
        return true;
    }
  }

 private:
  // At least one address of `width` bytes, and nothing but addresses.
  bool take_addresses(ByteReader& in, size_t width, uint32_t ttl) noexcept {
    do {
      const auto bytes = in.bytes(width);
      if (!in.ok()) return false;
      if (out_.address_count == out_.address_list.size()) {
        out_.cut_off = true;
        continue;
      }
      out_.address_list[out_.address_count++] = {
          width == 4 ? IpAddress::v4(bytes.data()) : IpAddress::v6(bytes.data()), ttl};
    } while (!in.empty());
    return true;
  }

  // Behind a CNAME only records of its target count. One that is no host name has none.
  bool follow(size_t at, size_t end) noexcept {
    DnsName target;
    if (!target.read(message_, at) || at != end) return false;
    if (!target.to_host(current_)) current_.clear();
    return true;
  }

  // RFC 9460 section 2.2.
  bool take_service(size_t at, size_t end, uint32_t ttl) noexcept {
    const auto message = message_.first(end);
    if (end - at < 2) return false;
    at += 2;  // SvcPriority: an alias (0) counts like a service
    DnsName target;
    if (!target.read_labels(message, at) || target.compressed()) return false;
    take_target(target, ttl);
    ByteReader parameters(message.subspan(at));
    for (int last = -1; !parameters.empty();) {
      const int key = parameters.u16();
      ByteReader value = parameters.block16();
      if (!parameters.ok() || key <= last) return false;
      last = key;
      if (!take_parameter(static_cast<uint16_t>(key), value, ttl)) return false;
    }
    return true;
  }

  void take_target(const DnsName& name, uint32_t ttl) noexcept {
    HostName host;
    if (!name.to_host(host) || host.empty() || host.view() == current_.view()) return;
    if (out_.target_count == out_.target_list.size()) {
      out_.cut_off = true;
      return;
    }
    out_.target_list[out_.target_count++] = {host, ttl};
  }

  bool take_parameter(uint16_t key, ByteReader& value, uint32_t ttl) noexcept {
    switch (key) {
      case kAlpn:
        return take_alpns(value);
      case kIpv4Hint:
        return take_addresses(value, 4, ttl);
      case kIpv6Hint:
        return take_addresses(value, 16, ttl);
      case kEch:
        out_.ech = true;
        return true;
      default:
        return true;
    }
  }

  bool take_alpns(ByteReader& in) noexcept {
    do {
      const auto id = in.block8().rest();
      if (!in.ok() || id.empty()) return false;
      if (out_.alpn_count == out_.alpn_list.size()) {
        out_.cut_off = true;
        continue;
      }
      out_.alpn_list[out_.alpn_count++] = {reinterpret_cast<const char*>(id.data()), id.size()};
    } while (!in.empty());
    return true;
  }

  std::span<const uint8_t> message_;
  DnsResponse& out_;
  HostName current_;                  ///< The question's name, or where CNAMEs led to.
  uint32_t ttl_seconds_ = INT32_MAX;  ///< The least of those CNAMEs.
};

void clear(DnsResponse& out) noexcept {
  out.address_count = out.target_count = out.alpn_count = 0;
  out.ech = out.cut_off = false;
}

}  // namespace

DnsResponseStatus parse_dns_response(std::span<const uint8_t> message, DnsResponse& out) noexcept {
  clear(out);
  ByteReader in(message);
  out.id = in.u16();
  const uint16_t flags = in.u16();
  const uint16_t questions = in.u16();
  const uint16_t answers = in.u16();
  in.bytes(4);
  if (!in.ok() || (flags & kResponse) == 0 || (flags & kOpcodeMask) != 0 || questions != 1) {
    return DnsResponseStatus::not_response;
  }
  size_t at = kHeaderBytes;
  AnswerReader reader(message, out);
  if (!reader.read_question(at)) return DnsResponseStatus::not_response;
  if ((flags & kErrorMask) != 0) return DnsResponseStatus::failed;
  for (unsigned i = 0; i < answers; ++i) {
    if (reader.read_record(at)) continue;
    clear(out);
    return DnsResponseStatus::malformed;
  }
  return DnsResponseStatus::done;
}

}  // namespace sallyport
