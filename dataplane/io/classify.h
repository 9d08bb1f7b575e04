#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <span>

#include "dataplane/io/burst.h"
#include "dataplane/io/counters.h"
#include "dataplane/io/flow_hash.h"
#include "dataplane/io/flow_table.h"
#include "dataplane/io/fragment_stage.h"
#include "dataplane/io/transmit.h"

namespace sallyport {

/// How a packet's direction is known.
enum class Orientation : uint8_t {
  by_port,       ///< From the port it came in by.
  by_initiator,  ///< From who opened the flow: replay of one capture.
};

/// What orient() needs of its worker.
struct OrientContext {
  const FlowHash& hash;
  const FlowTable& table;
  bool guess;  ///< What no SYN tells is told by the ports: who has a well-known one is the server.
  CoreCounters counters;
};

/// What classify() needs of its worker.
struct ClassifyContext {
  const PortPair& ports;
  FlowHash hash;
  FragmentStage& fragments;
  Transmit& transmit;
  CoreCounters& counters;
};

/// Stage 2: decodes received packets and fills `burst` with those that name a flow. Packets that do
/// not decode are freed and counted; ARP and neighbour discovery are queued to the other side.
/// Fragments go through the FragmentStage: a row is always a whole packet.
/// @return  The bytes of all that were received.
uint64_t classify(std::span<rte_mbuf* const> received, const ClassifyContext& context,
                  Burst& burst) noexcept;

/// Stage 4: finds each packet's flow, all at once.
void find_flows(Burst& burst, const FlowTable& table) noexcept;

/// With Orientation::by_initiator, right before packet `i` is handled: turns it round when it goes
/// against the flow it belongs to, which a packet before it in the burst may have opened.
[[gnu::noinline]]  // bench/callgrind.sh counts it apart
void orient(Burst& burst, uint16_t i, const OrientContext& context) noexcept;

}  // namespace sallyport
