#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "tests/support/bytes.h"

namespace sallyport::test {

/// Takes frames apart into fragments and puts them together, as RFC 791 and RFC 8200 have it and on
/// purpose not by the code under test. For frames without IPv6 extension headers.
namespace fragments {

inline size_t ip_at(const Bytes& frame) {
  size_t at = 12;
  while (frame.at(at) == 0x81 || frame.at(at) == 0x88 || frame.at(at) == 0x91) at += 4;
  return at + 2;
}

inline bool is_v4(const Bytes& frame) {
  return frame.at(ip_at(frame)) >> 4 == 4;
}

/// Where the payload of the whole datagram starts.
inline size_t payload_at(const Bytes& frame) {
  return ip_at(frame) + (is_v4(frame) ? (frame.at(ip_at(frame)) & 15U) * size_t{4} : 40);
}

inline void set_checksum(Bytes& frame) {
  const size_t ip = ip_at(frame);
  store16(frame, ip + 10, 0);
  uint32_t sum = 0;
  for (size_t i = ip; i < payload_at(frame); i += 2) sum += frame[i] * 256U + frame[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  store16(frame, ip + 10, static_cast<uint16_t>(~sum));
}

/// The fragment with `payload`, which belongs `from` bytes behind the headers of `whole`.
inline Bytes make(const Bytes& whole, size_t from, const Bytes& payload, bool more,
                  uint32_t id = 0x1234) {
  const size_t ip = ip_at(whole);
  Bytes out = prefix_of(whole, payload_at(whole));
  if (is_v4(whole)) {
    store16(out, ip + 2, out.size() - ip + payload.size());
    store16(out, ip + 4, id);
    store16(out, ip + 6, (out.at(ip + 6) & 0x40U) << 8 | from / 8 | (more ? 0x2000U : 0U));
    set_checksum(out);
  } else {
    store16(out, ip + 4, payload.size() + 8);
    put8(out, out.at(ip + 6));
    put8(out, 0);
    put16(out, from | (more ? 1U : 0U));
    put32(out, id);
    out.at(ip + 6) = 44;
  }
  return out + payload;
}

/// The fragment with bytes `from` to `to` of the payload of `whole`.
inline Bytes cut(const Bytes& whole, size_t from, size_t to, uint32_t id = 0x1234) {
  const auto payload = whole.begin() + static_cast<std::ptrdiff_t>(payload_at(whole));
  const auto size = whole.size() - payload_at(whole);
  return make(whole, from,
              Bytes(payload + static_cast<std::ptrdiff_t>(from),
                    payload + static_cast<std::ptrdiff_t>(std::min(to, size))),
              to < size, id);
}

/// All of it, `step` bytes in each but the last.
inline std::vector<Bytes> split(const Bytes& whole, size_t step, uint32_t id = 0x1234) {
  std::vector<Bytes> out;
  const size_t size = whole.size() - payload_at(whole);
  for (size_t from = 0; from < size; from += step) out.push_back(cut(whole, from, from + step, id));
  return out;
}

/// The whole datagram of fragments of one, as a receiver reads it; empty if they are not all there,
/// or any two overlap. IPv4 keeps its id.
inline Bytes joined(const std::vector<Bytes>& frames) {
  std::map<size_t, Bytes> parts;
  Bytes headers;
  size_t end = 0;
  size_t bytes = 0;
  for (const Bytes& frame : frames) {
    const size_t ip = ip_at(frame);
    const bool v4 = is_v4(frame);
    const size_t at = payload_at(frame) + (v4 ? 0 : 8);
    const size_t place = v4 ? frame.at(ip + 6) * 256U + frame.at(ip + 7)
                            : frame.at(at - 6) * 256U + frame.at(at - 5);
    const size_t from = v4 ? (place & 0x1fff) * 8 : place & 0xfff8;
    const bool more = (place & (v4 ? 0x2000 : 1)) != 0;
    Bytes payload(frame.begin() + static_cast<std::ptrdiff_t>(at), frame.end());
    if (!more) end = from + payload.size();
    if (from == 0) {
      headers = prefix_of(frame, payload_at(frame));
      if (!v4) headers.at(ip + 6) = frame.at(at - 8);
    }
    bytes += payload.size();
    if (!parts.emplace(from, std::move(payload)).second) return {};
  }
  if (headers.empty() || end == 0 || bytes != end) return {};
  Bytes out = headers;
  for (const auto& [from, payload] : parts) {
    if (out.size() != headers.size() + from) return {};
    append(out, payload);
  }
  const size_t ip = ip_at(out);
  if (is_v4(out)) {
    store16(out, ip + 2, out.size() - ip);
    store16(out, ip + 6, (out.at(ip + 6) & 0x40U) << 8);
    set_checksum(out);
  } else {
    store16(out, ip + 4, out.size() - ip - 40);
  }
  return out;
}

}  // namespace fragments
}  // namespace sallyport::test
