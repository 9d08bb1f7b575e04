#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <memory>

#include "dataplane/inspect/fragment.h"
#include "dataplane/inspect/fragment_table.h"

namespace sallyport {

/// Buffers for datagrams put together from fragments: long enough that each is one linear packet,
/// as the stages behind expect. All workers of a process share them, because a datagram may be put
/// together by one and held by another. What lies in one of these buffers is a whole datagram, and
/// its shape stands beside it: Transmit takes it apart again.
class DatagramPool {
 public:
  /// Throws std::runtime_error when memory is short. Start-up only.
  DatagramPool(const FragmentLimits& limits, unsigned workers);

  const FragmentLimits& limits() const noexcept { return limits_; }
  rte_mempool* get() const noexcept { return pool_.get(); }

  static DatagramShape& shape(rte_mbuf* datagram) noexcept {
    return *static_cast<DatagramShape*>(rte_mbuf_to_priv(datagram));
  }

 private:
  struct FreePool {
    void operator()(rte_mempool* pool) const noexcept { rte_mempool_free(pool); }
  };
  FragmentLimits limits_;
  std::unique_ptr<rte_mempool, FreePool> pool_;
};

}  // namespace sallyport
