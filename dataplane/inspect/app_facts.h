#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/inspect/client_hello.h"
#include "dataplane/inspect/dns_query.h"
#include "dataplane/inspect/fact_store.h"
#include "dataplane/inspect/http_facts.h"
#include "policy/runtime/facts.h"

namespace sallyport {

/// What a flow's own bytes told: of its hello, of one request or of one query. A plain view;
/// whoever fills it owns the texts. The first part is what rules may ask for, as in FlowFacts.
struct AppFacts {
  Known app_known = Known::unknown;
  AppProtocol app{};
  Known name_known = Known::unknown;
  std::string_view name;
  Known alpns_known = Known::unknown;
  std::span<const std::string_view> alpns;
  Known ja4_known = Known::unknown;
  std::string_view ja4;
  Known ech_known = Known::unknown;
  Known method_known = Known::unknown;
  std::string_view method;
  Known path_known = Known::unknown;
  std::span<const std::string_view> paths;  ///< Every reading of the path: each must be allowed.
  Known headers_known = Known::unknown;
  std::span<const HttpHeader> headers;
  /// present: a trusted resolver gave the flow's address for `name`.
  Known binding_known = Known::unknown;
  /// Which fields `headers` was looked for: all that the table asked for then, in its order.
  std::span<const std::string_view> header_names;

  // For records alone.
  std::string_view host_text;  ///< The name as it stands there; perhaps an address, or no name.
  std::string_view target;     ///< Of a request, as sent.
  std::string_view ja3;
  const ClientHello* hello = nullptr;
  uint16_t query_type = 0;  ///< DNS.
  bool http2 = false;
};

/// Every fact absent: bytes that are no protocol we know, or that can have none.
AppFacts no_facts() noexcept;

/// The protocol, and every other fact absent.
AppFacts only_app(AppProtocol app) noexcept;

/// Of a ClientHello. Everything but the fingerprint, which stays unknown.
/// @param name   Its server name, canonical; empty for none.
/// @param alpns  At least kMaxHelloAlpns: where the list of protocols is written.
AppFacts facts_of_hello(AppProtocol app, const ClientHello& hello, std::string_view name,
                        std::span<std::string_view> alpns) noexcept;

/// @param header_names  As the request was read with.
AppFacts facts_of_request(const HttpRequest& request,
                          std::span<const std::string_view> header_names, bool http2) noexcept;

AppFacts facts_of_query(const DnsQuery& query) noexcept;

/// The facts that rules may ask for as a text of their own, to be kept with a flow.
/// @return The part of `out` that is filled; empty when it does not all fit.
std::span<const uint8_t> pack_facts(const AppFacts& facts,
                                    std::span<uint8_t, kMaxKeptBytes> out) noexcept;

/// Where kept facts are unpacked: one a worker, any content.
struct FactSpace {
  std::array<uint8_t, kMaxKeptBytes> bytes;
  std::array<std::string_view, kMaxHelloAlpns> alpns;
  std::array<std::string_view, kMaxHttpPathReadings> paths;
  std::array<HttpHeader, kMaxHttpHeaderLines> headers;
  std::array<std::string_view, kMaxHttpHeaderLines> header_names;
};

/// The facts that pack_facts() wrote; every fact unknown for anything else.
/// @param bytes  Borrowed by the result; commonly space.bytes.
AppFacts unpack_facts(std::span<const uint8_t> bytes, FactSpace& space) noexcept;

}  // namespace sallyport
