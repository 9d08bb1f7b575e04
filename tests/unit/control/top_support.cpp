#include "tests/unit/control/top_support.h"

#include <stdexcept>

namespace sallyport::test {
namespace {

TopSample sample_of(const StatsFile& file, uint64_t taken_ns) {
  const TempDir folder;
  write_text(folder / "stats", stats_bytes(file));
  TopSample sample = TopSampler(folder / "stats").sample();
  sample.taken_ns = taken_ns;
  sample.taken_unix_ns = kStart + taken_ns;
  return sample;
}

}  // namespace

StatsFile made_gateway(uint64_t unix_ns) {
  StatsFile file{
      .pid = 4242,
      .started_unix_ns = kStart - 3700 * kSecond,
      .counters = {{"sallyport_packets_total", "direction=rx,port=inside"},
                   {"sallyport_packets_total", "direction=rx,port=outside"},
                   {"sallyport_packets_total", "direction=tx,port=outside"},
                   {"sallyport_bytes_total", "direction=rx,port=inside"},
                   {"sallyport_bytes_total", "direction=rx,port=outside"},
                   {"sallyport_missed_packets_total", "cause=queue_full,port=inside"},
                   {"sallyport_resets_sent_total", ""},
                   {"sallyport_verdicts_total", "action=allow,mode=enforce,protocol=tls"},
                   {"sallyport_verdicts_total", "action=deny,mode=enforce,protocol=tls"},
                   {"sallyport_verdicts_total", "action=deny,mode=audit,protocol=tls"},
                   {"sallyport_verdicts_total", "action=allow,mode=enforce,protocol=dns"},
                   {"sallyport_events_lost_total", "cause=ring_full"},
                   {"sallyport_polls_total", "result=busy"},
                   {"sallyport_polls_total", "result=idle"},
                   {"sallyport_flows", "state=pending", StatsKind::gauge},
                   {"sallyport_flows", "state=allowed", StatsKind::gauge},
                   {"sallyport_held_packets", "", StatsKind::gauge},
                   {"sallyport_drops_total", "reason=denied"},
                   {"sallyport_drops_total", "reason=inbound"},
                   {"sallyport_drops_total", "reason=retransmission_differs"}},
      .histograms = {{"sallyport_packet_latency_seconds"},
                     {"sallyport_time_to_verdict_seconds"},
                     {"sallyport_burst_packets", StatsUnit::packets}}};
  for (const uint32_t core : {1, 2}) {
    file.cores.push_back({.core = core,
                          .heartbeat_unix_ns = unix_ns,
                          .revision = 0x3fa9c1d27b60,
                          .generation = 7,
                          .values = std::vector<uint64_t>(file.counters.size()),
                          .recorded = std::vector<std::vector<uint64_t>>(file.histograms.size())});
  }
  return file;
}

uint64_t& value_of(StatsFile& file, size_t core, std::string_view family, std::string_view labels) {
  for (size_t i = 0; i < file.counters.size(); ++i) {
    if (file.counters[i].family == family && file.counters[i].labels == labels) {
      return file.cores.at(core).values[i];
    }
  }
  throw std::logic_error("no such counter: " + std::string(family));
}

TopModel between(const StatsFile& before, const StatsFile& after, double seconds) {
  const auto ns = static_cast<uint64_t>(seconds * 1e9);
  TopSample first = sample_of(before, kSecond);
  TopSample second = sample_of(after, kSecond + ns);
  second.mapping = first.mapping;
  return compare(&first, second);
}

}  // namespace sallyport::test
