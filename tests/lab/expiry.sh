#!/bin/bash
# A rule that ends takes its live flows with it, a Deny that begins ends them, and an Allow that begins lets new ones
# pass: with the agent dead.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

utc() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ; }
expiry_policy() {
  cat <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: timed}
spec:
  egress:
    - {name: early, action: Allow, to: {domainNames: [allowed.sp.test]}, expiresAt: $(utc "$1")}
    - {name: late, action: Allow, to: {domainNames: [new.sp.test]}, notBefore: $(utc "$1")}
    - {name: shut, action: Deny, to: {domainNames: [pkg.mirror.sp.test]}, notBefore: $(utc "$1")}
    - {name: always, action: Allow, to: {domainNames: [old.sp.test, pkg.mirror.sp.test]}}
END
}
# long_download FILE NAME: some fifteen seconds of it.
long_download() {
  long_port=$((next_port += 1))
  lab_spawn "$1" ip netns exec sp-client curl -4 --local-port "$long_port" --silent --show-error --cacert "$lab/ca.pem" --max-time 60 \
    --output "$lab/$1.bin" "https://$2/drip/10mb.bin"
}
# long_download_begins FILE NAME: its source port is in $long_port.
long_download_begins() {
  long_download "$1" "$2"
  check "a download from $2 begins" wait_for 5 has_begun "$1"
}
has_begun() { [[ $(stat -c %s "$lab/$1.bin" 2>/dev/null || echo 0) -gt 100000 ]]; }
is_denied() { verdict "$1"; [[ $action = deny ]]; }
is_closed() { [[ -z $(server ss -Htn state established dport = ":$1") ]]; }
# The gateway promises a second, and a flow is decided on its next packet: between two pieces of 64 KiB its server
# pauses for 64 / 700 s.
most_delay_ms=$((1000 + 64 * 1000 / 700))
# delay_ms PORT: from the rules' time to the flow's denial, by the clock of both: the gateway's.
delay_ms() { echo $(($(date -d "$(record verdict "$1" | jq -r .timestamp)" +%s%3N) - ends * 1000)); }
# ends_in_time FILE PORT RULE: a download that must not outlive the rules' time.
ends_in_time() {
  local delay
  check "$1: is denied on its next packet" wait_for 3 is_denied "$2"
  delay=$(delay_ms "$2")
  check "$1: within a second, after $delay ms" test "$delay" -ge 0 -a "$delay" -le "$most_delay_ms"
  check "$1: by $3" test "$policy" = "$3"
  check "$1: its server is left no half of it" wait_for 2 is_closed "$2"
  check "$1: it ends before its time" wait_for 10 lab_dead "$1"
  check "$1: and short" test "$(stat -c %s "$lab/$1.bin")" -lt 10000000
}
is_at() { (($(date +%s%3N) >= $1)); }

lab_begin
dataplane_start
ends=$(($(date +%s) + 9))
expiry_policy "$ends" >"$lab/timed.yaml"
agent_start "$lab/timed.yaml"
expect allow timed/early https://allowed.sp.test/ -4
expect deny default_deny https://new.sp.test/ -4
long_download_begins early allowed.sp.test
early_port=$long_port
long_download_begins shut pkg.mirror.sp.test
shut_port=$long_port
long_download_begins always old.sp.test
lab_stop agent KILL || true
wait_for 15 is_at $((ends * 1000 - 600)) || true
check "the first runs until its rule ends" lab_alive early
check "the second until it is denied" lab_alive shut
wait_for 5 is_at $((ends * 1000)) || true
ends_in_time early "$early_port" default_deny
ends_in_time shut "$shut_port" timed/shut
expect deny default_deny https://allowed.sp.test/ -4
expect allow timed/late https://new.sp.test/ -4
expect deny timed/shut https://pkg.mirror.sp.test/ -4
check "a download under another rule goes on" lab_alive always
check "and comes whole" wait_for 20 lab_dead always
check "to the last byte" test "$(file_sum "$lab/always.bin")" = "$(file_sum "$lab/www/10mb.bin")"
lab_end
