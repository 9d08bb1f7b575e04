#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "policy/runtime/log_histogram.h"
#include "policy/runtime/stats_layout.h"

namespace sallyport {

/// What each core measures. Log-linear: policy/runtime/log_histogram.h.
enum class Histogram : uint8_t {
  packet_latency,
  hold_time,
  time_to_verdict,
  scan_time,
  burst_size,
  count_
};

struct HistogramInfo {
  Histogram id;
  StatsUnit unit;
  std::string_view family;
  std::string_view help;
};

inline constexpr size_t kHistograms = static_cast<size_t>(Histogram::count_);

/// One line a histogram, in enum order: the stats segment, documents and tests read this.
inline constexpr std::array<HistogramInfo, kHistograms> kHistogramInfo{{
    {Histogram::packet_latency, StatsUnit::nanoseconds, "sallyport_packet_latency_seconds",
     "From the poll that received a packet to the end of the turn that sent it, on whatever core."},
    {Histogram::hold_time, StatsUnit::nanoseconds, "sallyport_hold_seconds",
     "How long packets were held for a verdict, or behind a gap, over the end of their turn."},
    {Histogram::time_to_verdict, StatsUnit::nanoseconds, "sallyport_time_to_verdict_seconds",
     "From the first client bytes that a verdict is about, or the packet that needs none, to it."},
    {Histogram::scan_time, StatsUnit::nanoseconds, "sallyport_scan_seconds",
     "What one decision spent in Hyperscan."},
    {Histogram::burst_size, StatsUnit::packets, "sallyport_burst_packets",
     "Packets that one poll of a port received, if any."},
}};

consteval bool histograms_in_order() {
  for (size_t i = 0; i < kHistograms; ++i) {
    if (kHistogramInfo[i].id != static_cast<Histogram>(i)) return false;
  }
  return true;
}
static_assert(histograms_in_order(), "kHistogramInfo must follow enum Histogram");

}  // namespace sallyport
