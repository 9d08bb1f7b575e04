#!/bin/bash
# Instructions a packet and a flow, counted by callgrind in the replaying data plane. Two runs, with N
# and 2N flows of the same names: their difference, divided, has no start-up in it. No root needed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"

usage() { echo "usage: bench/callgrind.sh [--flows N] [--names N] [--kind handshakes|bulk] [--keep DIRECTORY]"; }
flows=1000 names=1000 kind=handshakes keep=
while (($#)); do
  case $1 in
    --flows | --names | --kind | --keep)
      (($# > 1)) || { usage >&2; exit 2; }
      printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done
source "$root/bench/bench.sh"
needs sallyport-dataplane sallyport

# instructions FLOWS: of the data plane's process alone. replay starts it, so children are traced, and
# each writes a file of its own that says which program it was.
instructions() {
  local directory=$work/run-$1 file
  mkdir "$directory"
  "$root/bench/make_capture.py" "$directory/capture.pcap" --flows "$1" --names "$names" --kind "$kind" \
    >"$directory/capture.txt"
  valgrind --tool=callgrind --trace-children=yes --callgrind-out-file="$directory/callgrind.%p" \
    "$build/sallyport" replay --policy "$work/policy.yaml" --pcap "$directory/capture.pcap" \
    --out "$directory/flows.ndjson" >"$directory/log" 2>&1 ||
    die 1 "replay failed under valgrind: $(tail -n 5 "$directory/log")"
  # A rate means nothing unless every flow was parsed.
  [[ $(grep -c '"sni"' "$directory/flows.ndjson") -ge $1 ]] ||
    die 1 "only $(grep -c '"sni"' "$directory/flows.ndjson") of $1 flows were identified"
  file=$(grep -lE '^cmd:.*sallyport-dataplane' "$directory"/callgrind.* | head -n 1)
  [[ -n $file ]] || die 1 "no data plane among the traced processes"
  awk '/^(summary|totals):/ { n = $2 } END { print n }' "$file"
}
packets() { grep -o '[0-9]* packets' "$work/run-$1/capture.txt" | grep -o '^[0-9]*'; }

command -v valgrind >/dev/null || die 2 "valgrind is not installed; run scripts/lib/install.sh"
bench_policy "$names" >"$work/policy.yaml"
progress "callgrind: $flows flows"
once=$(instructions "$flows")
progress "callgrind: $((2 * flows)) flows"
twice=$(instructions $((2 * flows)))
progress_end
[[ -z $keep ]] || { mkdir -p "$keep"; cp "$work"/run-*/callgrind.* "$keep/"; }
jq -n --argjson n "$flows" --argjson names "$names" --arg kind "$kind" --argjson once "$once" --argjson twice "$twice" \
  --argjson packets $(($(packets $((2 * flows))) - $(packets "$flows"))) \
  '{kind: $kind, flows: $n, names: $names, instructions_per_flow: (($twice - $once) / $n | round),
    instructions_per_packet: (($twice - $once) / $packets | round), start_up_instructions: (2 * $once - $twice)}'
