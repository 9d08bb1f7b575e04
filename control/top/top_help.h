#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace sallyport {

/// The page behind `?`; headings begin at the margin. At most 78 columns.
inline constexpr std::array<std::string_view, 40> kTopHelp{
    "KEYS",
    "  Up Down, k j   another core; on long pages, scroll; PgUp PgDn by ten",
    "  Enter          zoom into the core: quantiles, ports, verdicts, drop reasons",
    "  Esc, Backspace back",
    "  u              rules by hits, of all cores or of the one that is zoomed into",
    "  < >            sort by the column to the left or right; r the other way round",
    "  Space          pause and go on; figures stand still meanwhile",
    "  ?              this page; q quits",
    "",
    "FIGURES",
    "  k M G T        thousands, millions, ...: 12.3 k is 12,300",
    "  PKT/s, BIT/s   frames received from both ports, and their bits without FCS",
    "  BUSY%          polls that found packets, of all polls: not of time",
    "  DROP/s         packets dropped, for any reason, denied ones among them",
    "  PACKET LATENCY from the poll that received a packet to the end of the turn",
    "                 that sent it, waits for a verdict or another core included",
    "  TO VERDICT     time to verdict: from the first client bytes that it is about",
    "  RX, TX P/s b/s packets and bits received from and sent to a port",
    "  VERD/s         verdicts on flows, requests and DNS queries",
    "  DENY/s         denials that were carried out; what audit let pass has a line",
    "                 of its own behind them, \"passed by audit alone\"",
    "  RULES BY HITS  how many of them each rule gave since a core took the policy;",
    "                 (no rule): what none decided, by default denied",
    "  PEND           flows that wait for their verdict now",
    "  HELD           packets that are kept now: for a verdict, or to compare",
    "                 retransmissions with",
    "  p99            99 of 100 took at most this long, to 1.6 %; -: no values",
    "  TOTAL          of a row: all cores. Of a column: since the data plane started",
    "",
    "  Rates and quantiles are of the time that stands above on the right, between",
    "  two looks at the stats segment. Nothing is asked of the data plane for them.",
    "",
    "MARKS",
    "  >              the selected core",
    "  !              a core that is stalled: no heartbeat for over a second",
    "  ~              a name that was cut",
    "",
    "  What each reason means and what to do: docs/dataplane.md,",
    "  docs/observability.md",
    "",
};

static_assert(std::ranges::all_of(kTopHelp, [](auto line) { return line.size() < 80; }));

}  // namespace sallyport
