#!/bin/bash
# Packets a second of one core over a capture, against dpdk-testpmd on the same ports: net_pcap, which
# copies each packet as a NIC would deliver it, into net_null. Prints one JSON object. No root needed.
# With --against the other is the gateway of another build, for what one change costs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"

usage() {
  cat <<'END'
usage: bench/forward.sh [--flows N] [--names N] [--kind handshakes|bulk] [--rounds N] [--seconds N] [--testpmd-only]
                        [--against BUILD]   (the gateway of another build directory in testpmd's stead)
END
}
flows=2000 names=1000 kind=handshakes rounds=5 seconds=3 gateway=yes against=
while (($#)); do
  case $1 in
    --flows | --names | --kind | --rounds | --seconds | --against)
      (($# > 1)) || { usage >&2; exit 2; }
      printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    --testpmd-only) gateway=; shift ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done
source "$root/bench/bench.sh"

capture=$work/capture.pcap
memory_mb=1024
mbufs=131072   # infinite_rx keeps the whole capture in them

# rate PACKETS NANOSECONDS
rate() { awk -v p="$1" -v ns="$2" 'BEGIN { printf "%.0f\n", p / ns * 1e9 }'; }

testpmd_packets() { grep -o 'RX-packets: *[0-9]*' "$work/testpmd.out" | head -n "$1" | tail -n 1 | grep -o '[0-9]*$'; }
testpmd_has() { [[ $(grep -c 'RX-packets' "$work/testpmd.out") -ge $1 ]]; }
ask_testpmd() { echo "show port stats 0" >&"$commands"; wait_for 5 testpmd_has "$1" || die 1 "testpmd does not answer"; }

# Ports as the gateway has them; its commands come through a pipe, so that it can be asked twice.
testpmd_started() { grep -q 'testpmd> ' "$work/testpmd.out"; }
testpmd_round() {
  rm -f "$work/commands"
  mkfifo "$work/commands"
  exec {commands}<>"$work/commands"
  stdbuf -oL dpdk-testpmd -l 0,1 --no-huge -m "$memory_mb" --no-pci --file-prefix "bench$$" \
    --vdev "net_pcap0,rx_pcap=$capture,infinite_rx=1" --vdev net_null0,no-rx=1 \
    -- -i --no-flush-rx --forward-mode=io --total-num-mbufs="$mbufs" \
    <"$work/commands" >"$work/testpmd.out" 2>"$work/testpmd.err" {commands}>&- &
  local pid=$! t0 t1
  started=("$pid")
  wait_for 60 testpmd_started || die 1 "testpmd did not start: $(tail -n 3 "$work/testpmd.err")"
  echo start >&"$commands"
  sleep 0.5
  ask_testpmd 1; t0=$(date +%s%N)
  sleep "$seconds"
  ask_testpmd 2; t1=$(date +%s%N)
  echo quit >&"$commands"
  wait "$pid" || true
  exec {commands}>&-
  started=()
  rate $(($(testpmd_packets 2) - $(testpmd_packets 1))) $((t1 - t0)) >>"$work/testpmd.pps"
}

gateway_config() {
  cat <<END
ports:
  inside: "net_pcap0,rx_pcap=$capture,infinite_rx=1"
  outside: "net_null0,no-rx=1"
  orientation: by_initiator   # both directions of the capture come in by the one port
cores: {main: 0, workers: [1]}
memory: {hugepages: never, total_mb: $memory_mb, packets: $mbufs}
paths:
  control_socket: $work/dataplane.sock
  control_user: $(id -un)
  stats: $work/stats
  flow_log: /dev/null
  policy_image: $work/policy.spimg
  identity_feed: $work/feed.spids
  budget_state: $work/budgets.state
END
}

gateway_packets() {
  "$build/sallyport" counters --stats "$work/stats" --format json --all | jq '
    [.counters[] | select(.family == "sallyport_packets_total")
      | select((.labels | contains("direction=rx")) and (.labels | contains("port=inside"))) | .total]
    | add // error("no sallyport_packets_total{direction=rx,port=inside}")'
}
gateway_ready() { grep -q '\bready: ' "$work/dataplane.err" || ! kill -0 "${started[0]}" 2>/dev/null; }

# gateway_round BUILD NAME
gateway_round() {
  gateway_config >"$work/gateway.yaml"
  "$1/sallyport-dataplane" --config "$work/gateway.yaml" >"$work/dataplane.out" 2>"$work/dataplane.err" &
  started=("$!")
  wait_for 60 gateway_ready || die 1 "the data plane did not start: $(tail -n 3 "$work/dataplane.err")"
  sleep 0.5
  local before after t0 t1
  before=$(gateway_packets); t0=$(date +%s%N)
  sleep "$seconds"
  after=$(gateway_packets); t1=$(date +%s%N)
  kill "${started[0]}"
  wait "${started[0]}" || true
  started=()
  rate $((after - before)) $((t1 - t0)) >>"$work/$2.pps"
}
# The other build first in every second round: whoever comes first may find a warmer machine.
against_round() {
  if (($1 % 2)); then gateway_round "$build" gateway; gateway_round "$against" against
  else gateway_round "$against" against; gateway_round "$build" gateway; fi
}

[[ $(nproc) -ge 2 ]] || die 2 "needs two cores: one that forwards, one for all else"
[[ -z $gateway ]] || needs sallyport-dataplane sallyport
"$root/bench/make_capture.py" "$capture" --flows "$flows" --names "$names" --kind "$kind" >&2
bench_policy "$names" >"$work/policy.yaml"
[[ -z $gateway ]] || "$build/sallyport" policy compile "$work/policy.yaml" --output "$work/policy.spimg" >&2
# In turn, so that a slow minute of the machine meets both.
for ((round = 1; round <= rounds; round++)); do
  progress "bench: round $round of $rounds"
  if [[ -n $against ]]; then
    against_round "$round"
  else
    testpmd_round
    [[ -z $gateway ]] || gateway_round "$build" gateway
  fi
done
progress_end
if [[ -n $against ]]; then
  jq -n --arg kind "$kind" --argjson flows "$flows" --argjson names "$names" --argjson seconds "$seconds" \
    --argjson gateway "$(median <"$work/gateway.pps")" --argjson against "$(median <"$work/against.pps")" \
    --argjson ratio "$(paste "$work/gateway.pps" "$work/against.pps" | awk '{ print $1 / $2 }' | median)" \
    --slurpfile gateway_rounds "$work/gateway.pps" --slurpfile against_rounds "$work/against.pps" \
    '{kind: $kind, flows: $flows, names: $names, seconds: $seconds, gateway_pps: $gateway, against_pps: $against,
      median_ratio_of_a_round: ($ratio * 10000 | round / 10000),
      rounds: {gateway_pps: $gateway_rounds, against_pps: $against_rounds}}'
  exit
fi
testpmd=$(median <"$work/testpmd.pps")
own=null
[[ -z $gateway ]] || own=$(median <"$work/gateway.pps")
jq -n --argjson testpmd "$testpmd" --argjson gateway "$own" --arg kind "$kind" \
  --argjson flows "$flows" --argjson names "$names" --argjson seconds "$seconds" \
  --slurpfile testpmd_rounds "$work/testpmd.pps" \
  --slurpfile gateway_rounds <([[ -z $gateway ]] || cat "$work/gateway.pps") \
  '{kind: $kind, flows: $flows, names: $names, seconds: $seconds, testpmd_pps: $testpmd, gateway_pps: $gateway,
    ratio: (if $gateway then ($gateway / $testpmd * 1000 | round / 1000) else null end),
    rounds: {testpmd_pps: $testpmd_rounds, gateway_pps: $gateway_rounds}}'
