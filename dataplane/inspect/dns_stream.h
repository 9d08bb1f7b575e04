#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/inspect/dns_query.h"

namespace sallyport {

/// The longest query over TCP: what clients send stays under 512, UPDATE and NOTIFY are refused.
inline constexpr size_t kMaxDnsQueryBytes = 4096;

struct DnsStep {
  enum class Status : uint8_t {
    need_more,
    query,    ///< The first `message_bytes` of the window are a query: decide it.
    not_dns,  ///< The stream does not start like DNS, and does not go to its port.
    fault,
  };
  Status status = Status::need_more;
  InspectFault fault = InspectFault::none;
  size_t message_bytes = 0;  ///< With query: of the window, the length in front too.
};

/// Follows the client's side of DNS over TCP from query to query (RFC 7766). Used as HttpStream is:
/// each query is decided, and when it is allowed its bytes are forwarded and leave the window.
class DnsStream {
 public:
  /// Servers read on behind a message that they refuse, so one that is DNS and no plain query is a
  /// fault; on port 53, whatever is no query.
  ///
  /// @param window  The client's stream behind the last query that was forwarded. Borrowed.
  /// @param ended   The client has sent FIN right behind the window.
  /// @param port    The server's.
  /// @param out     With query: the query. With fault: what was read of one, for records.
  DnsStep next(std::span<const uint8_t> window, bool ended, uint16_t port,
               DnsQuery& out) const noexcept;

  /// The query that next() answered with is allowed. From now on the stream must be DNS.
  void allow() noexcept { ++queries_; }

  uint32_t queries() const noexcept { return queries_; }

 private:
  uint32_t queries_ = 0;
};

}  // namespace sallyport
