#!/bin/bash
# Instructions a packet and a flow, counted by callgrind in the replaying data plane: of the packet path
# (Worker::handle_received: decode to transmit queue), and of all it does, which adds the driver and the
# text of the flow records. Two runs of each, with N and 2N flows of the same names: their difference,
# divided, has no start-up in it. What only replay does on that path is counted apart: the gateway knows a
# packet's direction by its port, writes its records in another thread, and gives packets to the port where
# replay frees them. No root needed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"

usage() { echo "usage: bench/callgrind.sh [--flows N] [--names N] [--kind handshakes|bulk] [--keep DIRECTORY]"; }
flows=1000 names=1000 kind=handshakes keep=
all=() path=() replay_only=()
replay_functions='^(sallyport::(orient|\(anonymous namespace\)::LineSink::push)\(|rte_pktmbuf_free_bulk$)'
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

# run FLOWS NAME [VALGRIND_OPTION…]: leaves the profile of the data plane's process alone in
# $work/run-NAME-FLOWS/profile. replay starts it, so children are traced, and each writes a file of its
# own that says which program it was.
run() {
  local directory=$work/run-$2-$1 file options=("${@:3}")
  mkdir "$directory"
  "$root/bench/make_capture.py" "$directory/capture.pcap" --flows "$1" --names "$names" --kind "$kind" \
    >"$directory/capture.txt"
  valgrind --tool=callgrind --trace-children=yes ${options[@]+"${options[@]}"} --callgrind-out-file="$directory/callgrind.%p" \
    "$build/sallyport" replay --policy "$work/policy.yaml" --pcap "$directory/capture.pcap" \
    --out "$directory/flows.ndjson" >"$directory/log" 2>&1 ||
    die 1 "replay failed under valgrind: $(tail -n 5 "$directory/log")"
  # A rate means nothing unless every flow was parsed.
  [[ $(grep -c '"sni"' "$directory/flows.ndjson") -ge $1 ]] ||
    die 1 "only $(grep -c '"sni"' "$directory/flows.ndjson") of $1 flows were identified"
  file=$(grep -lE '^cmd:.*sallyport-dataplane' "$directory"/callgrind.* | head -n 1)
  [[ -n $file ]] || die 1 "no data plane among the traced processes"
  mv "$file" "$directory/profile"
}
instructions() { awk '/^(summary|totals):/ { n = $2 } END { print n }' "$work/run-$2-$1/profile"; }
# inclusive FLOWS NAME REGEX: of the functions whose names match, with all that they call. The format gives
# a name once, "cfn=(7) name", and after that its number; the line behind "calls=" has the cost.
inclusive() {
  awk -v wanted="$3" '
    /^c?fn=\(/ {
      id = $0; sub(/^c?fn=/, "", id); name = id
      sub(/\).*/, ")", id); sub(/^\([0-9]+\) ?/, "", name)
      if (name != "") names[id] = name
      if (/^cfn=/) callee = names[id]
    }
    /^calls=/ { getline; if (callee ~ wanted) n += $2 }
    END { print n + 0 }' "$work/run-$2-$1/profile"
}
packets() { grep -o '[0-9]* packets' "$work/run-all-$1/capture.txt" | grep -o '^[0-9]*'; }

command -v valgrind >/dev/null || die 2 "valgrind is not installed; run scripts/lib/install.sh"
bench_policy "$names" >"$work/policy.yaml"
path_only='--toggle-collect=sallyport::Worker::handle_received*'
for n in "$flows" $((2 * flows)); do
  progress "callgrind: $n flows"
  run "$n" all
  run "$n" path "$path_only"
  all+=("$(instructions "$n" all)")
  replay_only+=("$(inclusive "$n" path "$replay_functions")")
  path+=($(($(instructions "$n" path) - replay_only[-1])))
  ((replay_only[-1] > 0)) || die 1 "none of replay's own functions was found in the profile"
  if [[ -n $keep ]]; then
    mkdir -p "$keep"
    for name in all path; do cp "$work/run-$name-$n/profile" "$keep/callgrind.$name.$n"; done
  fi
done
progress_end
more_packets=$(($(packets $((2 * flows))) - $(packets "$flows")))
jq -n --argjson n "$flows" --argjson names "$names" --arg kind "$kind" --argjson packets "$more_packets" \
  --argjson path $((path[1] - path[0])) --argjson all $((all[1] - all[0])) \
  --argjson replay_only $((replay_only[1] - replay_only[0])) \
  '{kind: $kind, flows: $n, names: $names,
    path_instructions_per_flow: ($path / $n | round), path_instructions_per_packet: ($path / $packets | round),
    replay_only_instructions_per_flow: ($replay_only / $n | round),
    all_instructions_per_flow: ($all / $n | round), all_instructions_per_packet: ($all / $packets | round)}'
