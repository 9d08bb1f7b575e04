#!/bin/bash
# Two workers, a queue each: the kernel spreads the two directions of a flow as it likes, and still one
# worker sees both.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

if (($(nproc) < 3)) && [[ -z ${SALLYPORT_LAB_FEW_CORES:-} ]]; then
  echo "skipped: fewer than three cores: two workers and the control thread need one each"
  exit 77
fi
# Not AF_XDP: DPDK 22.11 takes a second queue of a device only if it calls its queues "combined"; veth does not.
inside_device=net_af_packet0,iface=sp-in,qpairs=2
outside_device=net_af_packet1,iface=sp-out,qpairs=2
worker_cores="1, 2"

# counted FAMILY LABELS: how many cores have counted any of these.
cores_that_counted() {
  sallyport counters --stats "$stats" --format json --all |
    jq --arg family "$1" --arg labels "$2" '[.counters[] | select(.family == $family and (.labels | contains($labels)))
      | .cores | to_entries[] | select(.value > 0) | .key] | unique | length'
}

lab_begin
dataplane_start
agent_start "$root/configs/demo/before.yaml"
for round in 1 2 3 4 5 6 7 8; do
  expect allow demo/web https://allowed.sp.test/ -4
  expect allow demo/web http://allowed.sp.test/ -6
  expect deny demo/never https://denied.sp.test/ -4
  expect deny demo/never http://denied.sp.test/ -6
done
request https://allowed.sp.test/10mb.bin -4
check "10 MB arrive as sent" test "$(file_sum "$lab/body")" = "$(file_sum "$lab/www/10mb.bin")"
slow_download_start
check "a push reaches both cores" sallyport push "$root/configs/demo/after.yaml" --socket "$agent_socket"
expect deny default_deny https://old.sp.test/ -4
expect allow demo/rotating https://new.sp.test/ -6
check "the download survives the push" slow_download_wait
check "both cores received packets" test "$(cores_that_counted sallyport_packets_total direction=rx)" = 2
check "both cores gave verdicts" test "$(cores_that_counted sallyport_verdicts_total '')" = 2
check "packets were handed to their owner" test "$(cores_that_counted sallyport_handed_off_packets_total '')" -ge 1
check_books
sallyport counters --stats "$stats"
lab_end
