#!/bin/bash
# A name may only be used with an address that a trusted resolver gave for it: real dig, dnsmasq, curl and nginx.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

other_ip4=${server_ip4%.*}.77   # also the server's, but in no answer
ttl=5

eval "plain_$(declare -f gateway_config)"
gateway_config() { plain_gateway_config; printf 'binding:\n  resolvers: [%s]\n  grace_seconds: 0\n' "$server_ip4"; }

binding_policy() {
  cat <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: bound}
spec:
  egress:
    - name: resolver
      action: Allow
      to: {cidrs: [$server_ip4/32]}
      protocols: [{dns: {ports: [53]}}]
    - name: hub
      action: Allow
      to: {domainNames: [allowed.sp.test]}
      destinationBinding: enforce
    - name: aliased
      action: Allow
      to: {domainNames: [new.sp.test]}
      destinationBinding: enforce
    - name: tried
      action: Allow
      to: {domainNames: [old.sp.test]}
      destinationBinding: audit
END
}

dnsmasq_ready() { server ss -Hlun sport = :53 | grep -q . || lab_dead dnsmasq; }
dnsmasq_start() {
  lab_spawn dnsmasq ip netns exec sp-server dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts \
    --user=nobody --group=nogroup --pid-file= --log-facility=- --bind-interfaces --listen-address="$server_ip4" \
    --local-ttl="$ttl" --host-record="allowed.sp.test,$server_ip4,$server_ip6" --cname=new.sp.test,allowed.sp.test
  wait_for 5 dnsmasq_ready || die 1 "dnsmasq did not start"
  lab_alive dnsmasq || die 1 "dnsmasq ended: $(tail -n 3 "$lab/log/dnsmasq.err")"
}
resolve() { client dig "@$server_ip4" +tries=1 +timeout=2 +short "$@" A | grep -q "$server_ip4"; }
resolve6() { client dig "@$server_ip4" +tries=1 +timeout=2 +short "$@" AAAA | grep -q "$server_ip6"; }
would_deny() { [[ $(record verdict "$port" | jq -r '[.policy.would_deny, .policy.reason] | join(" ")') = "true destination_binding" ]]; }

# Some fifteen seconds long.
download_start() {
  rm -f "$lab/slow.bin"
  lab_spawn download ip netns exec sp-client curl -4 --silent --show-error --cacert "$lab/ca.pem" --max-time 60 \
    --output "$lab/slow.bin" https://allowed.sp.test/drip/10mb.bin
  wait_for 5 slow_bytes_arrived
}
says_why() { [[ $(record verdict "$port" | jq -r .policy.reason) = destination_binding ]]; }

lab_begin
for program in dig dnsmasq; do
  command -v "$program" >/dev/null || { echo "skipped: no $program, see scripts/packages.txt"; exit 77; }
done
binding_policy >"$lab/binding.yaml"
ip -n sp-server address add "$other_ip4/32" dev eth0
dnsmasq_start
dataplane_start
agent_start "$lab/binding.yaml"

expect deny bound/hub https://allowed.sp.test/ -4
check "the log says why" says_why
check "the name is resolved" resolve allowed.sp.test
expect allow bound/hub https://allowed.sp.test/ -4
expect deny bound/hub https://allowed.sp.test/ -4 --connect-to "allowed.sp.test:443:$other_ip4:443"
expect allow bound/tried https://old.sp.test/ -4
check "audit says that it would be denied" would_deny

expect deny bound/hub https://allowed.sp.test/ -6
check "the IPv6 address is resolved" resolve6 allowed.sp.test
expect allow bound/hub https://allowed.sp.test/ -6
expect deny bound/aliased https://new.sp.test/ -4
check "an alias is resolved" resolve new.sp.test
expect allow bound/aliased https://new.sp.test/ -4
expect deny bound/aliased https://new.sp.test/ -6
check "and its IPv6 address" resolve6 new.sp.test
expect allow bound/aliased https://new.sp.test/ -6

check "the name is resolved again" resolve allowed.sp.test
check "a download begins" download_start
sleep $((ttl + 5))   # until the address may not be gone to any more
check "it still runs" lab_alive download
expect deny bound/hub https://allowed.sp.test/ -4
check "and comes whole, for all that its TTL is over" slow_download_wait
check "the name is resolved over TCP" resolve +tcp allowed.sp.test
expect allow bound/hub https://allowed.sp.test/ -4
lab_end
