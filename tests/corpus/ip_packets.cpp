#include "tests/corpus/ip_packets.h"

#include <arpa/inet.h>
#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <tuple>

#include "dataplane/inspect/big_endian.h"
#include "tests/support/bytes.h"

namespace sallyport::test {
namespace {

using View = std::span<const uint8_t>;

/// The IP packet in a frame, or nothing.
View ip_of(View frame, int link_type) {
  size_t at = 0;
  const auto after_ethertype = [&](size_t type_at) -> View {
    while (frame.size() >= type_at + 2) {
      const uint16_t type = load_be16(&frame[type_at]);
      if (type == 0x0800 || type == 0x86dd) return frame.subspan(type_at + 2);
      if (type != 0x8100 && type != 0x88a8 && type != 0x9100) break;
      type_at += 4;
    }
    return {};
  };
  switch (link_type) {
    case DLT_EN10MB:
      return after_ethertype(12);
    case DLT_LINUX_SLL:
      return after_ethertype(14);
    case DLT_LINUX_SLL2:
      return frame.size() < 20 ? View{}
             : (load_be16(frame.data()) == 0x0800 || load_be16(frame.data()) == 0x86dd)
                 ? frame.subspan(20)
                 : View{};
    case DLT_NULL:
      at = 4;
      break;
    case DLT_PPP:
      at = frame.size() > 1 && frame[0] == 0xff ? 4 : 2;
      break;
    case DLT_C_HDLC:
      at = 4;
      break;
    default:  // raw
      break;
  }
  return frame.size() > at ? frame.subspan(at) : View{};
}

uint16_t fold(uint64_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint64_t sum16(View bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] * 256U : bytes[i];
  return sum;
}

struct IpPacket {
  View source;
  View destination;
  uint8_t protocol = 0;
  bool is_fragment = false;
  uint32_t id = 0;
  size_t offset = 0;
  bool more = false;
  View payload;
};

std::optional<IpPacket> parse_v4(View ip) {
  const size_t header = (ip[0] & 15U) * 4;
  if (ip.size() < 20 || header < 20 || ip.size() < header) return {};
  size_t total = load_be16(&ip[2]);
  if (total < header || total > ip.size()) total = ip.size();  // TSO, or cut by the capture
  const uint16_t flags = load_be16(&ip[6]);
  return IpPacket{.source = ip.subspan(12, 4),
                  .destination = ip.subspan(16, 4),
                  .protocol = ip[9],
                  .is_fragment = (flags & 0x3fff) != 0,
                  .id = load_be16(&ip[4]),
                  .offset = (flags & 0x1fffU) * 8,
                  .more = (flags & 0x2000) != 0,
                  .payload = ip.first(total).subspan(header)};
}

std::optional<IpPacket> parse_v6(View ip) {
  if (ip.size() < 40) return {};
  IpPacket out{.source = ip.subspan(8, 16), .destination = ip.subspan(24, 16), .protocol = ip[6]};
  const size_t length = load_be16(&ip[4]);
  out.payload = ip.subspan(40);
  if (length > 0 && length < out.payload.size()) out.payload = out.payload.first(length);
  for (int headers = 0; headers < 8 && out.payload.size() >= 8; ++headers) {
    const uint8_t next = out.protocol;
    if (next != 0 && next != 43 && next != 60 && next != 44) break;
    out.protocol = out.payload[0];
    size_t size = 8;
    if (next == 44) {
      const uint16_t field = load_be16(&out.payload[2]);
      out.is_fragment = (field & 0xfff9) != 0;
      out.offset = field & 0xfff8U;
      out.more = (field & 1) != 0;
      out.id = load_be32(&out.payload[4]);
    } else {
      size += out.payload[1] * size_t{8};
    }
    if (size > out.payload.size()) return {};
    out.payload = out.payload.subspan(size);
    if (out.is_fragment && out.offset > 0) break;
  }
  return out;
}

/// Joins fragments; the first copy of a byte counts.
class Fragments {
 public:
  /// The whole payload once it is there.
  std::optional<Bytes> add(const IpPacket& ip) {
    const auto key = std::tuple(Bytes(ip.source.begin(), ip.source.end()),
                                Bytes(ip.destination.begin(), ip.destination.end()), ip.id);
    auto& parts = pending_[key];
    parts.try_emplace(ip.offset, Bytes(ip.payload.begin(), ip.payload.end()), ip.more);
    Bytes whole;
    for (const auto& [offset, part] : parts) {
      if (offset > whole.size()) return {};
      const size_t known = whole.size() - offset;
      if (known < part.first.size()) {
        whole.insert(whole.end(), part.first.begin() + static_cast<std::ptrdiff_t>(known),
                     part.first.end());
      }
      if (!part.second) {
        pending_.erase(key);
        return whole;
      }
    }
    return {};
  }

 private:
  std::map<std::tuple<Bytes, Bytes, uint32_t>, std::map<size_t, std::pair<Bytes, bool>>> pending_;
};

std::string text_of(View address) {
  std::array<char, INET6_ADDRSTRLEN> out{};
  inet_ntop(address.size() == 4 ? AF_INET : AF_INET6, address.data(), out.data(), out.size());
  return out.data();
}

std::optional<TransportPacket> parse_transport(const IpPacket& ip, View payload) {
  const bool is_tcp = ip.protocol == 6;
  if ((!is_tcp && ip.protocol != 17) || payload.size() < (is_tcp ? 20U : 8U)) return {};
  TransportPacket out{.source = text_of(ip.source),
                      .destination = text_of(ip.destination),
                      .source_port = load_be16(payload.data()),
                      .destination_port = load_be16(&payload[2]),
                      .is_tcp = is_tcp};
  const uint64_t pseudo = sum16(ip.source) + sum16(ip.destination) + ip.protocol + payload.size();
  out.good_checksum =
      fold(pseudo + sum16(payload)) == 0xffff || (!is_tcp && load_be16(&payload[6]) == 0);
  size_t header = 8;
  if (is_tcp) {
    header = (payload[12] >> 4U) * size_t{4};
    if (header < 20 || header > payload.size()) return {};
    out.is_syn = (payload[13] & 2) != 0;
    out.sequence = load_be32(&payload[4]);
  } else if (const size_t length = load_be16(&payload[4]); length >= 8 && length < payload.size()) {
    payload = payload.first(length);
  }
  out.payload = payload.subspan(header);
  return out;
}

}  // namespace

bool for_each_packet(const std::filesystem::path& capture,
                     const std::function<void(const TransportPacket&)>& each) {
  std::array<char, PCAP_ERRBUF_SIZE> error{};
  const std::unique_ptr<pcap_t, decltype(&pcap_close)> file(
      pcap_open_offline(capture.c_str(), error.data()), &pcap_close);
  if (file == nullptr) return false;
  const int link_type = pcap_datalink(file.get());
  Fragments fragments;
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  while (pcap_next_ex(file.get(), &header, &bytes) == 1) {
    const View ip = ip_of({bytes, header->caplen}, link_type);
    if (ip.empty()) continue;
    const auto packet = ip[0] >> 4 == 4   ? parse_v4(ip)
                        : ip[0] >> 4 == 6 ? parse_v6(ip)
                                          : std::nullopt;
    if (!packet) continue;
    std::optional<Bytes> joined;
    if (packet->is_fragment && !(joined = fragments.add(*packet))) continue;
    const auto transport = parse_transport(*packet, joined ? View(*joined) : packet->payload);
    if (transport) each(*transport);
  }
  return true;
}

}  // namespace sallyport::test
