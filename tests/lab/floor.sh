#!/bin/bash
# The lab without a gateway that decides: dpdk-testpmd forwards everything. All requests succeed, so
# what the other tests see denied was denied by the gateway, not lost by the lab.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

reaches() {
  request "$@"
  report "reaches the server: $*" "$([[ $answer = "hello from "* ]] || echo "$answer")"
}

lab_begin
testpmd_start
for name in allowed.sp.test pkg.mirror.sp.test denied.sp.test other.test; do
  reaches "https://$name/" -4
  reaches "https://$name/" -6
  reaches "http://$name/" -4
done
reaches https://allowed.sp.test:8443/ -4
request_without_sni "$server_ip4"
check "openssl without a server name reaches the server" test "$answer" = "hello from $server_ip4"
request https://allowed.sp.test/10mb.bin -4
check "10 MB arrive as sent" test "$(file_sum "$lab/body")" = "$(file_sum "$lab/www/10mb.bin")"
slow_download_start
check "a slow download arrives as sent" slow_download_wait

# A gateway that was killed leaves its XDP program attached: the next one must come up regardless.
lab_stop testpmd KILL || true
testpmd_start
reaches https://allowed.sp.test/ -4
lab_end
