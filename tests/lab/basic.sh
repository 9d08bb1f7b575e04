#!/bin/bash
# What the policy allows arrives whole; what it does not is refused at once and reaches nobody.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

flow_ended() { has_record flow "$port"; }

lab_begin
dataplane_start
agent_start "$root/configs/demo/before.yaml"
wire_begin

expect allow demo/web https://allowed.sp.test/ -4
check "the flow's end is logged too" wait_for 15 flow_ended
expect allow demo/web https://allowed.sp.test/ -6
expect allow demo/web https://allowed.sp.test/ -4 --tlsv1.2 --tls-max 1.2
expect allow demo/web http://allowed.sp.test/ -4
expect allow demo/web http://allowed.sp.test/ -6
expect allow demo/mirrors https://pkg.mirror.sp.test/ -4
expect deny default_deny https://mirror.sp.test/ -4
expect deny default_deny http://pkg.mirror.sp.test/ -4
expect deny demo/never https://denied.sp.test/ -4
expect deny demo/never https://denied.sp.test/ -6
expect deny demo/never http://denied.sp.test/ -4
expect deny default_deny https://other.test/ -4
expect deny default_deny "https://$server_ip4/"
expect deny default_deny "https://[$server_ip6]/"
expect deny default_deny "http://$server_ip4/"
expect deny default_deny https://allowed.sp.test:8443/ -4

request_without_sni "$server_ip4"
judge deny default_deny
report "deny openssl without a server name" "$fault"

# The name that counts is the one on the wire, not the one the client says inside.
expect deny demo/never https://denied.sp.test/ -4 -H "Host: allowed.sp.test"
expect deny demo/never http://denied.sp.test/ -4 -H "X-Real-Host: allowed.sp.test"

request https://allowed.sp.test/10mb.bin -4
check "10 MB arrive as sent" test "$(file_sum "$lab/body")" = "$(file_sum "$lab/www/10mb.bin")"
request https://allowed.sp.test/10mb.bin -6
check "10 MB arrive as sent over IPv6" test "$(file_sum "$lab/body")" = "$(file_sum "$lab/www/10mb.bin")"

check_books
check "the gateway counted what was on the wires" wait_for 10 wire_agrees
check "status answers" sallyport status --stats "$stats" --socket "$agent_socket"
check "drops answers" sallyport drops --stats "$stats"
check "the data plane ends in order" lab_stop dataplane
check_books
lab_end
