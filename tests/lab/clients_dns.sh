#!/bin/bash
# dig over UDP and TCP against dnsmasq: each query is decided for itself.
set -euo pipefail
source "$(dirname "$0")/clients.sh"

dnsmasq_ready() { server ss -Hlun sport = :53 | grep -q . || lab_dead dnsmasq; }
dnsmasq_start() {
  server_log=$lab/log/dnsmasq.err
  lab_spawn dnsmasq ip netns exec sp-server dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts \
    --user=nobody --group=nogroup --pid-file= --log-queries --log-facility=- --bind-interfaces \
    --listen-address="$server_ip4" --address=/sp.test/192.0.2.1
  wait_for 5 dnsmasq_ready || die 1 "dnsmasq did not start"
  lab_alive dnsmasq || die 1 "dnsmasq ended: $(tail -n 3 "$lab/log/dnsmasq.err")"
}

dig=(dig "@$server_ip4" +tries=1 +timeout=1 +nosearch)
# answered|refused WHAT FLAG…
answered() { gets "dig, $1" dns clients/over-dns 'IN[[:space:]]+A[[:space:]]+192\.0\.2\.1' "${dig[@]}" "${@:2}" "{}" A; }
refused() { is_refused "dig, $1" dns "$refusal" "${dig[@]}" "${@:2}" "{}" A; }

clients_begin dig dnsmasq
dnsmasq_start
refusal='no servers could be reached'
answered "UDP"
refused "UDP"

# A resolver on the node sends all its queries from few ports: one flow, and each query is judged alone.
one_port=(-b "$client_ip4#5300")
answered "UDP from one port" "${one_port[@]}"
refused "UDP from one port" "${one_port[@]}"
answered "UDP from the same port" "${one_port[@]}"

refusal='connection reset'
answered "TCP" +tcp
refused "TCP" +tcp
answered "TCP after a denial" +tcp
clients_end
