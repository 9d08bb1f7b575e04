#!/bin/bash
# With hugepages there the data plane takes them, and says so; without, it says that, or refuses.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

free_pages() { awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo; }
page_kb() { awk '/^Hugepagesize:/ { print $2 }' /proc/meminfo; }
enough() { (($(free_pages) >= needed)); }

lab_begin
needed=$((256 * 1024 / $(page_kb)))

if ! enough; then
  hugepages=require
  gateway_config >"$lab/variant.yaml"
  status=0
  RUNTIME_DIRECTORY=$lab/dpdk timeout 10 "$build/sallyport-dataplane" --config "$lab/variant.yaml" 2>"$lab/log/refused.err" || status=$?
  check "it refuses to start without the hugepages it requires" test "$status" = 2
  check "and says which setting gives them" grep -q nr_hugepages "$lab/log/refused.err"
fi

lab_reserve_hugepages $((needed - $(free_pages)))
if ! enough; then echo "skipped: no memory left for $needed hugepages"; exit 77; fi
hugepages=require
dataplane_start
check "it says that it has hugepages" grep -q 'ready: .*, hugepages,' "$lab/log/dataplane.err"
check "and holds them" test "$(free_pages)" -lt "$needed"
agent_start "$root/configs/demo/before.yaml"
expect allow demo/web https://allowed.sp.test/ -4
expect deny demo/never https://denied.sp.test/ -6
request https://allowed.sp.test/10mb.bin -4
check "10 MB arrive as sent" test "$(file_sum "$lab/body")" = "$(file_sum "$lab/www/10mb.bin")"
check "it ends in order" lab_stop dataplane

# At once: the kernel lets go of a socket's packet memory some time after the socket is closed.
hugepages=auto
dataplane_start
check "one that follows has hugepages too" grep -q 'ready: .*, hugepages,' "$lab/log/dataplane.err"
lab_stop dataplane KILL || true
dataplane_start
check "and one that follows a killed one" grep -q 'ready: .*, hugepages,' "$lab/log/dataplane.err"
check "it ends in order" lab_stop dataplane
check "and gives the hugepages back" wait_for 5 enough
lab_end
