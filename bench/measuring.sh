#!/bin/bash
# What it costs to count and measure: the gateway as it is against one that was built without
# (-Dmeasure=false), in instructions a packet and in packets a second. Builds the second tree beside the first.
# Prints one JSON object. No root needed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"

usage() { echo "usage: bench/measuring.sh [--flows N] [--names N] [--rounds N] [--seconds N]"; }
flows=200 names=1000 rounds=21 seconds=2
while (($#)); do
  case $1 in
    --flows | --names | --rounds | --seconds)
      (($# > 1)) || { usage >&2; exit 2; }
      printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done
source "$root/bench/bench.sh"
needs sallyport-dataplane sallyport
without=$build-unmeasured
SALLYPORT_BUILD_DIR=$without "$root/scripts/lib/build.sh" -Dmeasure=false -Dtests=false

# instructions BUILD KIND: on the path, a packet.
instructions() {
  SALLYPORT_BUILD_DIR=$1 "$root/bench/callgrind.sh" --kind "$2" --flows "$flows" --names "$names" |
    jq .path_instructions_per_packet
}
results=()
for kind in handshakes bulk; do
  progress "measuring: $kind"
  with=$(instructions "$build" "$kind")
  bare=$(instructions "$without" "$kind")
  forward=$(SALLYPORT_BUILD_DIR=$build "$root/bench/forward.sh" --against "$without" --kind "$kind" \
    --flows "$flows" --names "$names" --rounds "$rounds" --seconds "$seconds")
  results+=("$(jq -n --arg kind "$kind" --argjson with "$with" --argjson bare "$bare" --argjson forward "$forward" \
    '{($kind): {instructions_per_packet: {with: $with, without: $bare,
                                          more_percent: (($with / $bare - 1) * 10000 | round / 100)},
                packets_per_second: {with: $forward.gateway_pps, without: $forward.against_pps,
                                     median_ratio_of_a_round: $forward.median_ratio_of_a_round},
                rounds: $forward.rounds}}')")
done
progress_end
jq -s add <<<"${results[*]}"
