// Any bytes as a ClientHello, and as what comes behind one: every view stays inside, fingerprints
// have their shape, and records and CRYPTO frames of any cut carry the same hello.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/inspect/crypto_stream.h"
#include "dataplane/inspect/fingerprint.h"
#include "dataplane/inspect/tls_client_hello.h"
#include "dataplane/inspect/tls_record.h"

namespace {

using namespace sallyport;
using Bytes = std::vector<uint8_t>;

void require(bool holds) {
  if (!holds) std::abort();
}

bool inside(std::span<const uint8_t> part, std::span<const uint8_t> whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void check_hello(const ClientHello& hello, std::span<const uint8_t> body) {
  for (const auto list : {hello.cipher_suites, hello.alpns, hello.supported_versions,
                          hello.supported_groups, hello.signature_algorithms}) {
    require(inside(list, body));
  }
  require(hello.cipher_suites.size() % 2 == 0 && hello.supported_versions.size() % 2 == 0);
  std::array<std::string_view, kMaxHelloAlpns> alpns;
  const auto names = read_alpns(hello, alpns);
  require(names.size() == hello.alpn_count);
  for (const auto name : names) {
    require(!name.empty());
    require(inside({reinterpret_cast<const uint8_t*>(name.data()), name.size()}, body));
  }
  require(is_hex(make_ja3(hello).view()));
  const Ja4 ja4 = make_ja4(hello, HelloTransport::quic);
  require(ja4.view()[0] == 'q' && ja4.view()[10] == '_' && ja4.view()[23] == '_');
  require(is_hex(ja4.view().substr(11, 12)) && is_hex(ja4.view().substr(24)));
}

Bytes message_of(std::span<const uint8_t> body) {
  Bytes out{1, static_cast<uint8_t>(body.size() >> 16), static_cast<uint8_t>(body.size() >> 8),
            static_cast<uint8_t>(body.size())};
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

void check_records(const Bytes& message, std::minstd_rand& random, IdentifyScratch& scratch) {
  Bytes stream;
  for (size_t at = 0; at < message.size();) {
    const size_t size = std::min<size_t>(message.size() - at, 1 + random() % 600);
    stream.insert(stream.end(),
                  {22, 3, 1, static_cast<uint8_t>(size >> 8), static_cast<uint8_t>(size)});
    stream.insert(stream.end(), message.begin() + static_cast<std::ptrdiff_t>(at),
                  message.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
  }
  const NextHello next = next_client_hello(stream, scratch);
  require(next.status == NextHello::Status::hello && next.end == stream.size());
  require(std::ranges::equal(next.body, std::span(message).subspan(kHandshakeHeaderBytes)));
}

void check_crypto_frames(const Bytes& message, std::minstd_rand& random) {
  CryptoStream crypto;
  Bytes held(message.size(), 0xee);
  size_t done = 0;
  for (int i = 0; i < 200 && done < message.size(); ++i) {
    // Random pieces for a while, then whatever is missing.
    const size_t at = i < 30 ? random() % message.size() : done;
    const size_t size = std::min<size_t>(message.size() - at, 1 + random() % 900);
    require(crypto.add(at, std::span(message).subspan(at, size), held) == InspectFault::none);
    done = crypto.contiguous_end(0);
    require(std::equal(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(done),
                       message.begin()));
  }
}

void check_as_stream(std::span<const uint8_t> stream, IdentifyScratch& scratch) {
  const NextHello next = next_client_hello(stream, scratch);
  using Status = NextHello::Status;
  require((next.status == Status::fault) == (next.fault != InspectFault::none));
  require(next.status != Status::need_more || next.need_bytes > stream.size());
  require(next.status != Status::skip || next.end > 0);
  require(next.status != Status::hello || next.end <= stream.size());
  if (read_server_answer(stream) == ServerAnswer::hello_retry_request) {
    require(read_server_answer(stream.first(38)) == ServerAnswer::need_more);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto scratch = std::make_unique<IdentifyScratch>();
  const std::span<const uint8_t> body(data, size);
  check_as_stream(body, *scratch);

  ClientHello hello;
  HostName name;
  const InspectFault fault = parse_client_hello(body, hello, name);
  const bool bad_name = fault == InspectFault::tls_bad_server_name;
  if (fault != InspectFault::none && !bad_name) return 0;
  require(!bad_name || name.empty());
  check_hello(hello, body);
  if (size > kMaxHelloBytes - kHandshakeHeaderBytes) return 0;
  const Bytes message = message_of(body);
  std::minstd_rand random(static_cast<unsigned>(size));
  check_records(message, random, *scratch);
  check_crypto_frames(message, random);
  return 0;
}
