#include "dataplane/inspect/app_facts.h"

#include <algorithm>
#include <cstring>

#include "dataplane/inspect/big_endian.h"
#include "dataplane/inspect/byte_reader.h"

namespace sallyport {
namespace {

Known known(bool present) noexcept {
  return present ? Known::present : Known::absent;
}

/// Appends to a bounded text; once something did not fit, nothing does.
class Packer {
 public:
  explicit Packer(std::span<uint8_t> out) noexcept : out_(out) {}

  void u8(size_t value) noexcept {
    if (value > UINT8_MAX || used_ == out_.size()) return fail();
    out_[used_++] = static_cast<uint8_t>(value);
  }
  void text(std::string_view text) noexcept {
    constexpr size_t kLengthBytes = 2;
    const size_t room = out_.size() - used_;
    if (text.size() > UINT16_MAX || room < kLengthBytes || text.size() > room - kLengthBytes) {
      return fail();
    }
    store_be16(&out_[used_], static_cast<uint16_t>(text.size()));
    used_ += kLengthBytes;
    if (!text.empty()) std::memcpy(out_.data() + used_, text.data(), text.size());
    used_ += text.size();
  }
  std::span<const uint8_t> packed() const noexcept {
    return failed_ ? std::span<const uint8_t>{} : out_.first(used_);
  }

 private:
  void fail() noexcept { failed_ = true; }

  std::span<uint8_t> out_;
  size_t used_ = 0;
  bool failed_ = false;
};

/// Reads what a Packer wrote.
class Unpacker {
 public:
  explicit Unpacker(std::span<const uint8_t> bytes) noexcept : reader_(bytes) {}

  uint8_t u8() noexcept { return reader_.u8(); }
  std::string_view text() noexcept {
    const auto bytes = reader_.block16().rest();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  Known known() noexcept {
    switch (u8()) {
      case static_cast<uint8_t>(Known::unknown):
        return Known::unknown;
      case static_cast<uint8_t>(Known::absent):
        return Known::absent;
      case static_cast<uint8_t>(Known::present):
        return Known::present;
      default:
        good_ = false;
        return Known::unknown;
    }
  }
  template <typename Item, typename Read>
  std::span<const Item> list(std::span<Item> space, Read read) noexcept {
    const size_t count = u8();
    if (count > space.size()) good_ = false;
    if (!good_) return {};
    for (Item& item : space.first(count)) item = read();
    return space.first(count);
  }
  bool finished() const noexcept { return good_ && reader_.ok() && reader_.empty(); }

 private:
  ByteReader reader_;
  bool good_ = true;
};

}  // namespace

AppFacts no_facts() noexcept {
  return {.app_known = Known::absent,
          .name_known = Known::absent,
          .alpns_known = Known::absent,
          .ja4_known = Known::absent,
          .ech_known = Known::absent,
          .method_known = Known::absent,
          .path_known = Known::absent,
          .headers_known = Known::absent};
}

AppFacts only_app(AppProtocol app) noexcept {
  AppFacts facts = no_facts();
  facts.app_known = Known::present;
  facts.app = app;
  return facts;
}

AppFacts facts_of_hello(AppProtocol app, const ClientHello& hello, std::string_view name,
                        std::span<std::string_view> alpns) noexcept {
  AppFacts facts = only_app(app);
  facts.name_known = known(!name.empty());
  facts.name = name;
  facts.alpns = read_alpns(hello, alpns);
  facts.alpns_known = known(!facts.alpns.empty());
  facts.ja4_known = Known::unknown;
  facts.ech_known = known(hello.encrypted_hello || hello.encrypted_name);
  facts.host_text = hello.server_name;
  facts.hello = &hello;
  return facts;
}

AppFacts facts_of_request(const HttpRequest& request,
                          std::span<const std::string_view> header_names, bool http2) noexcept {
  AppFacts facts = only_app(AppProtocol::http);
  facts.name_known = known(!request.host.empty());
  facts.name = request.host.view();
  facts.method_known = known(!request.method.empty());
  facts.method = request.method;
  facts.paths = request.paths.view();
  facts.path_known = known(!facts.paths.empty());
  facts.headers_known = Known::present;
  facts.headers = request.headers;
  facts.header_names = header_names;
  facts.host_text = request.authority;
  facts.target = request.target;
  facts.http2 = http2;
  return facts;
}

AppFacts facts_of_query(const DnsQuery& query) noexcept {
  AppFacts facts = only_app(AppProtocol::dns);
  facts.name_known = known(!query.name.empty());
  facts.name = query.name.view();
  facts.host_text = query.text.text();
  facts.query_type = query.type;
  return facts;
}

std::span<const uint8_t> pack_facts(const AppFacts& facts,
                                    std::span<uint8_t, kMaxKeptBytes> out) noexcept {
  Packer packer(out);
  const auto put = [&](Known state) { packer.u8(static_cast<size_t>(state)); };
  put(facts.app_known);
  packer.u8(static_cast<size_t>(facts.app));
  put(facts.name_known);
  packer.text(facts.name);
  put(facts.alpns_known);
  packer.u8(facts.alpns.size());
  for (const auto alpn : facts.alpns) packer.text(alpn);
  put(facts.ja4_known);
  packer.text(facts.ja4);
  put(facts.ech_known);
  put(facts.method_known);
  packer.text(facts.method);
  put(facts.path_known);
  packer.u8(facts.paths.size());
  for (const auto path : facts.paths) packer.text(path);
  put(facts.headers_known);
  packer.u8(facts.headers.size());
  for (const HttpHeader& header : facts.headers) {
    packer.text(header.name);
    packer.text(header.value);
  }
  packer.u8(facts.header_names.size());
  for (const auto name : facts.header_names) packer.text(name);
  put(facts.binding_known);
  packer.u8(facts.http2 ? 1 : 0);
  return packer.packed();
}

AppFacts unpack_facts(std::span<const uint8_t> bytes, FactSpace& space) noexcept {
  Unpacker in(bytes);
  AppFacts facts;
  facts.app_known = in.known();
  facts.app = static_cast<AppProtocol>(
      std::min<uint8_t>(in.u8(), static_cast<uint8_t>(AppProtocol::count_) - 1));
  facts.name_known = in.known();
  facts.name = in.text();
  facts.alpns_known = in.known();
  facts.alpns = in.list(std::span<std::string_view>(space.alpns), [&] { return in.text(); });
  facts.ja4_known = in.known();
  facts.ja4 = in.text();
  facts.ech_known = in.known();
  facts.method_known = in.known();
  facts.method = in.text();
  facts.path_known = in.known();
  facts.paths = in.list(std::span<std::string_view>(space.paths), [&] { return in.text(); });
  facts.headers_known = in.known();
  facts.headers = in.list(std::span<HttpHeader>(space.headers), [&] {
    const auto name = in.text();
    return HttpHeader{name, in.text()};
  });
  facts.header_names =
      in.list(std::span<std::string_view>(space.header_names), [&] { return in.text(); });
  facts.binding_known = in.known();
  facts.http2 = in.u8() != 0;
  facts.host_text = facts.name;
  return in.finished() ? facts : AppFacts{};
}

}  // namespace sallyport
