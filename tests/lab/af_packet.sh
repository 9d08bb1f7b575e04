#!/bin/bash
# The same gateway on AF_PACKET ports, for kernels and devices without AF_XDP.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

inside_device=net_af_packet0,iface=sp-in
outside_device=net_af_packet1,iface=sp-out

lab_begin
dataplane_start
agent_start "$root/configs/demo/before.yaml"
expect allow demo/web https://allowed.sp.test/ -4
expect allow demo/web http://allowed.sp.test/ -6
expect allow demo/mirrors https://pkg.mirror.sp.test/ -6
expect deny demo/never https://denied.sp.test/ -4
expect deny demo/never http://denied.sp.test/ -6
expect deny default_deny "https://$server_ip4/"
expect deny default_deny https://allowed.sp.test:8443/ -4
request https://allowed.sp.test/10mb.bin -4
check "10 MB arrive as sent" test "$(file_sum "$lab/body")" = "$(file_sum "$lab/www/10mb.bin")"
check "the data plane ends in order" lab_stop dataplane
lab_end
