#include "dataplane/io/datagram_pool.h"

#include <rte_errno.h>

#include <stdexcept>
#include <string>

namespace sallyport {
namespace {

constexpr uint32_t kMostHeadersBytes = 22 + 400;  // link, IP: see decode_fragment()
constexpr uint16_t kPrivateBytes = RTE_ALIGN(sizeof(DatagramShape), RTE_MBUF_PRIV_ALIGN);

}  // namespace

// No cache for each core: it would keep buffers from the others, and datagrams are few.
DatagramPool::DatagramPool(const FragmentLimits& limits, unsigned workers) : limits_(limits) {
  const uint32_t room = RTE_PKTMBUF_HEADROOM + kMostHeadersBytes + limits.max_datagram_bytes;
  if (room > UINT16_MAX) throw std::runtime_error("fragments.max_datagram_bytes is too large");
  pool_.reset(rte_pktmbuf_pool_create("datagrams", limits.datagrams * workers, 0, kPrivateBytes,
                                      static_cast<uint16_t>(room), SOCKET_ID_ANY));
  if (!pool_) {
    throw std::runtime_error(std::string("datagram buffers (fragments.table_entries): ") +
                             rte_strerror(rte_errno) + "; raise memory.total_mb");
  }
}

}  // namespace sallyport
