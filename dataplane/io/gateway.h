#pragma once

#include <atomic>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/io/budget_keeper.h"
#include "dataplane/io/clock.h"
#include "dataplane/io/config.h"
#include "dataplane/io/control_socket.h"
#include "dataplane/io/eal.h"
#include "dataplane/io/flow_log.h"
#include "dataplane/io/handoff.h"
#include "dataplane/io/policy_keeper.h"
#include "dataplane/io/policy_names.h"
#include "dataplane/io/policy_slot.h"
#include "dataplane/io/port.h"
#include "dataplane/io/stats_segment.h"
#include "dataplane/io/telemetry.h"
#include "dataplane/io/worker.h"

namespace sallyport {

/// The whole data plane of one process: ports, workers, policy, logs, and the control thread that
/// looks after them.
class Gateway {
 public:
  /// Brings everything up but the workers. Nothing stays behind when it fails.
  /// @return the gateway, or what is wrong and what to do, in one line.
  static std::expected<std::unique_ptr<Gateway>, std::string> create(const GatewayConfig& config);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// Starts the workers and serves the control socket until SIGTERM or SIGINT.
  void run();

 private:
  Gateway(const GatewayConfig& config, Eal eal);
  std::string open_ports();
  std::string open_files();
  void make_workers();
  void describe(PushReply& reply);
  void log_preflight() const;
  void launch();
  void note_missed();
  void note_log(uint64_t turned_unix_ns);
  void note_lost_events();
  void note_rings();
  void keep_budgets();
  void keep_bindings();
  int64_t unix_seconds() const noexcept;
  void serve_until_signalled();
  std::string summary() const;

  const GatewayConfig config_;
  Eal eal_;  // first in, last out: everything below lives in its memory
  rte_mempool* pool_ = nullptr;
  std::vector<Port> ports_;
  Clock clock_;
  PolicySlot policies_;
  PolicyNames names_;
  Handoff handoff_;
  DatagramPool datagrams_;
  const FlowHash hash_;
  BudgetLedger budgets_;
  BudgetKeeper budget_keeper_;
  std::unique_ptr<Bindings> bindings_;  ///< None: no resolver is trusted.
  std::atomic<bool> stop_{false};
  std::unique_ptr<StatsSegment> stats_;
  std::unique_ptr<Telemetry> telemetry_;  ///< Behind the segment that it reads.
  std::vector<std::unique_ptr<FlowEventRing>> rings_;
  std::unique_ptr<FlowLog> log_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<ControlSocket> socket_;
  std::unique_ptr<PolicyKeeper> keeper_;
};

}  // namespace sallyport
