#include "dataplane/inspect/dns_query.h"

#include <algorithm>

#include "dataplane/inspect/byte_reader.h"

namespace sallyport {
namespace {

using Status = DnsQueryAnswer::Status;

constexpr size_t kHeaderBytes = 12;
constexpr uint16_t kResponse = 0x8000;
constexpr unsigned kOpcodeShift = 11;
constexpr uint16_t kMaxQuestions = 16;  // announced; over that it is no DNS at all
constexpr uint16_t kMaxAdditional = 3;

constexpr uint16_t kUsualAdditional = 1;  // EDNS

enum Opcode : uint8_t {
  kQuery = 0,
  kNotify = 4,
  kUpdate = 5,
  kHighestOpcode = 6,  // of those that mean something (RFC 8490): servers refuse the rest
};

enum Type : uint16_t {
  kSoa = 6,
  kSig = 24,
  kOpt = 41,
  kTsig = 250,
  kIxfr = 251,
};

struct Header {
  uint16_t id, flags, questions, answers, authorities, additional;

  uint8_t opcode() const noexcept { return flags >> kOpcodeShift & 15; }
};

Header read_header(std::span<const uint8_t, kHeaderBytes> bytes) noexcept {
  ByteReader in(bytes);
  Header out{};
  out.id = in.u16();
  out.flags = in.u16();
  out.questions = in.u16();
  out.answers = in.u16();
  out.authorities = in.u16();
  out.additional = in.u16();
  return out;
}

bool may_be_query(const Header& header) noexcept {
  return (header.flags & kResponse) == 0 && header.questions >= 1 &&
         header.questions <= kMaxQuestions;
}

bool has_no_records_but_edns(const Header& header) noexcept {
  return header.answers == 0 && header.authorities == 0 && header.additional <= kUsualAdditional;
}

// IN, CH, HS, NONE, ANY.
bool is_known_class(uint16_t value) noexcept {
  return value == 1 || value == 3 || value == 4 || value == 254 || value == 255;
}

// Name, type and class. False when it is no question of DNS.
bool read_question(std::span<const uint8_t> message, size_t& at, DnsQuery& out) noexcept {
  if (!out.text.read_labels(message, at)) return false;
  ByteReader in(message.subspan(at));
  out.type = in.u16();
  out.query_class = in.u16();
  at = message.size() - in.rest().size();
  return in.ok();
}

bool is_plain(const Header& header, const DnsQuery& query) noexcept {
  const uint8_t opcode = header.opcode();
  return (opcode == kQuery || opcode == kNotify || opcode == kUpdate) && query.type != 0 &&
         is_known_class(query.query_class);
}

// What is not plain some servers answer, or pass on, all the same. Random bytes rarely name a host,
// or announce so little.
bool is_odd_query(const Header& header, const DnsQuery& query, uint16_t port) noexcept {
  if (port == kDnsPort) return true;
  if (header.opcode() > kHighestOpcode) return false;
  if (!query.name.empty() && !query.text.compressed()) return true;
  return header.questions == 1 && has_no_records_but_edns(header) && !query.text.text().empty();
}

// A record a query may carry: EDNS once, a signature, or what an IXFR starts from.
bool read_record(std::span<const uint8_t> message, size_t& at, bool in_authority,
                 DnsQuery& out) noexcept {
  DnsName owner;
  if (!owner.read(message, at)) return false;
  ByteReader in(message.subspan(at));
  const uint16_t type = in.u16();
  in.bytes(2 + 4);  // class, TTL
  in.block16();
  at = message.size() - in.rest().size();
  if (!in.ok()) return false;
  if (in_authority) return type == kSoa;
  if (type != kOpt) return type == kTsig || type == kSig;
  const bool first = !out.edns;
  out.edns = true;
  return first && owner.text().empty();  // RFC 6891 section 6.1.1
}

InspectFault check_query(std::span<const uint8_t> message, size_t at, const Header& header,
                         DnsQuery& out) noexcept {
  const uint16_t authorities = out.type == kIxfr ? 1 : 0;  // RFC 1995 section 3
  if (header.opcode() != kQuery || header.questions != 1 || header.answers != 0 ||
      header.authorities > authorities) {
    return InspectFault::dns_bad_header;
  }
  if (header.additional > kMaxAdditional) return InspectFault::dns_bad_record;
  for (unsigned i = 0; i < header.authorities + unsigned{header.additional}; ++i) {
    if (!read_record(message, at, i < header.authorities, out)) return InspectFault::dns_bad_record;
  }
  return at == message.size() ? InspectFault::none : InspectFault::dns_bad_record;
}

}  // namespace

DnsShape dns_shape(std::span<const uint8_t> message) noexcept {
  const Header header = read_header(message.first<kHeaderBytes>());
  DnsShape out{.may_be_query = may_be_query(header)};
  if (!has_no_records_but_edns(header)) return out;
  if (header.questions == 1) {
    out.surely_dns = true;
  } else if (header.questions == 0 && header.additional == 1) {
    ByteReader in(message.subspan(kHeaderBytes));
    out.surely_dns = in.u8() == 0 && in.u16() == kOpt && in.ok();
    out.may_be_query = !in.ok();  // nobody knows yet
  }
  return out;
}

DnsQueryAnswer parse_dns_query(std::span<const uint8_t> message, uint16_t port,
                               DnsQuery& out) noexcept {
  if (message.size() < kHeaderBytes) return {};
  const Header header = read_header(message.first<kHeaderBytes>());
  if (!may_be_query(header)) return {};
  out.id = header.id;
  out.edns = false;
  size_t at = kHeaderBytes;
  if (!read_question(message, at, out)) return {};

  const bool is_host = out.text.to_host(out.name);
  if (!is_plain(header, out) && !is_odd_query(header, out, port)) return {};
  // No client compresses the first name of a message: there is nothing to point to.
  if (!is_known_class(out.query_class) || out.type == 0 || out.text.compressed()) {
    return {Status::fault, InspectFault::dns_bad_question};
  }
  const auto fault = check_query(message, at, header, out);
  if (fault != InspectFault::none) return {Status::fault, fault};
  if (!is_host) return {Status::fault, InspectFault::dns_bad_name};
  return {Status::done, InspectFault::none};
}

}  // namespace sallyport
