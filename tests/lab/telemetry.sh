#!/bin/bash
# DPDK's telemetry says what `sallyport counters` says, to DPDK's own client; what it is asked wrongly it
# names; and clients that do not wait for their answers harm nobody.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

if [[ -z $(command -v dpdk-telemetry.py) ]]; then
  echo "skipped: no dpdk-telemetry.py (Debian package dpdk)"
  exit 77
fi

# telemetry COMMAND[,PARAMETERS]: the answer, one line of JSON. The first line of the client's is a greeting.
telemetry() {
  RUNTIME_DIRECTORY=$lab/dpdk dpdk-telemetry.py -f sallyport <<<"$1" 2>"$lab/log/telemetry.err" |
    tail -n 1 | jq -cS --arg command "${1%%,*}" '.[$command]'
}
counters() { sallyport counters --stats "$stats" --all --format json; }
# says COMMAND JQ…: what is asked of the answer holds.
says() { telemetry "$1" | jq -e "${@:2}" >"$lab/null"; }

# Every family by every label, over all cores and of one; polls never stand still.
families_agree() {
  local family fault=
  for family in $(counters | jq -r '[.counters[].family] | unique[]' | grep -v '_polls_'); do
    wait_for 5 family_agrees "$family" || fault+=" $family: $(telemetry "/sallyport/counters,$family");"
  done
  report "all families are those of sallyport counters" "$fault"
}
family_agrees() {
  local expected
  # shellcheck disable=SC2016 # variables of jq
  expected=$(counters | jq -cS --arg family "$1" '[.counters[] | select(.family == $family)
    | {key: (.labels | if . == "" then "total" else split(",") | map(split("=")[1]) | join("/") end), value: .total}]
    | from_entries')
  [[ $(telemetry "/sallyport/counters,$1") = "$expected" && $(telemetry "/sallyport/counters,$1,1") = "$expected" ]]
}
drops_agree() {
  [[ $(telemetry /sallyport/drops) = "$(sallyport drops --stats "$stats" --all --format json |
    jq -cS '[.drops[] | {key: .reason, value: .total}] | from_entries')" ]]
}
cores_agree() {
  [[ $(telemetry /sallyport/cores | jq -r '"\(.core[0]) \(.revision[0]) \(.generation[0])"') = "$(
    sallyport status --stats "$stats" --socket "$agent_socket" --format json |
      jq -r '.cores[0] | "\(.core) \(.revision) \(.generation)"')" ]]
}
# As a crashing or hostile client would: asks, and does not wait.
hang_up_early() {
  /usr/bin/python3 - "$lab/dpdk/dpdk/sallyport/dpdk_telemetry.v2" <<'END'
import socket, sys
for _ in range(300):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(sys.argv[1])
        try:
            client.send(b"/sallyport/drops")
            client.send(b"/sallyport/counters,sallyport_inspection_faults_total")
        except BrokenPipeError:   # over ten at a time are turned away
            pass
END
}

lab_begin
dataplane_start
agent_start "$root/configs/demo/before.yaml"
for round in 1 2 3; do
  expect allow demo/web https://allowed.sp.test/ -4
  expect deny demo/never https://denied.sp.test/ -6
done
check "drops are those of sallyport drops" wait_for 5 drops_agree
check "there are some" says /sallyport/drops '.denied >= 3'
families_agree
check "families have their totals" says /sallyport/counters '.sallyport_verdicts_total == 7 or .sallyport_verdicts_total == 6'
check "cores are those of sallyport status" cores_agree
# shellcheck disable=SC2016 # a variable of jq
check "their heartbeats are fresh" says /sallyport/cores --argjson now "$(date +%s)" \
  '.heartbeat_unix_ns[0] / 1e9 | . >= $now - 5 and . <= $now + 5'
check "histograms are named" says /sallyport/histograms '.histograms | index("sallyport_packet_latency_seconds") != null'
check "a histogram has quantiles" says /sallyport/histograms,sallyport_time_to_verdict_seconds \
  '.unit == "nanoseconds" and .count >= 6 and .p50 > 0 and .p50 <= .p99 and (.bucket_count | add) == .count'
check "an unknown family is named so" says /sallyport/counters,nonsense '.error | startswith("no such family")'
check "an unknown core, too" says /sallyport/drops,7 '.error == "no such worker core; there are: 1"'
check "an unknown histogram, too" says /sallyport/histograms,nonsense '.error | startswith("no such histogram")'
check "clients hang up" hang_up_early
check "the data plane lives" lab_alive dataplane
expect allow demo/web https://allowed.sp.test/ -4
check "and answers" wait_for 5 drops_agree
check "it ends in order" lab_stop dataplane
check "its socket and folder are gone" test ! -e "$lab/dpdk/dpdk/sallyport"
dataplane_start
lab_stop dataplane KILL || true
dataplane_start
check "a successor of one that died has its socket" says /sallyport/cores '.core == [1]'
lab_end
