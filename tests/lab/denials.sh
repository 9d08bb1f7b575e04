#!/bin/bash
# A denied client knows at once: each says the error that docs/enforcement.md promises, and its wire has
# the answer within 50 ms of the request, not counting any program's start. No server is left half a connection.
set -euo pipefail
source "$(dirname "$0")/chromium.sh"
source "$(dirname "$0")/wire.sh"

denied_ip4=198.18.0.11   # also the server's: denied by address, so that no packet of it leaves
silent=other.test        # denied in silence
silent_ip4=198.18.0.12
is_reset='(tcp[13] & 4 != 0 or ip6[53] & 4 != 0)'   # of both families; captures hold no IPv6 options

# In front of what clients.yaml says.
guard() {
  cat <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: guard}
spec:
  tier: Admin
  egress:
    - {name: closed, action: Deny, to: {cidrs: [$denied_ip4/32]}}
    - {name: silent, action: Deny, to: {domainNames: [$silent], cidrs: [$silent_ip4/32]}, onDeny: drop}
END
}
# live_denial: the same, and what was allowed is not any more.
live_denial() {
  guard
  echo "    - {name: over, action: Deny, to: {domainNames: [$allowed]}}"
}

# told WHAT REQUEST APP ANSWER WORD…: refused, and at once.
told() {
  at_once "$1" "$2" is_refused "$1" "${@:3}"
  check "$1: nothing is left at the server" wait_for 2 none_left server_side
}
over_tls() { told "$1" "$says_something" tls "${@:2}"; }
over_http() { told "$1" "$says_something" http "${@:2}"; }
# closed WHAT REQUEST ANSWER WORD…: to an address that is denied whatever is said, so there is no name.
closed() {
  local answer=$3
  at_once "$1" "$2" run_client "$denied" "${@:4}"
  check "$1: says '$answer'" grep -qE "$answer" "$lab/said"
  check "$1: not a packet of it left" test "$(captured "ip dst host $denied_ip4")" = 0
}

tls_clients() {
  over_tls "curl, TLS 1.3" 'alert access denied' curl -sS --cacert "$lab/ca.pem" "https://{}/"
  over_tls "curl, TLS 1.2" 'alert access denied' curl -sS -4 --tls-max 1.2 "https://{}/"
  over_tls "openssl" 'alert access denied.*SSL alert number 49' openssl s_client -connect "$server_ip4:443" -servername "{}"
  over_tls "wget" 'Unable to establish SSL' wget -nv -O - --tries 1 "https://{}/"
  over_tls "python requests" 'TLSV1_ALERT_ACCESS_DENIED' /usr/bin/python3 -c "$requests_program" "https://{}/"
  chromium_words --disable-quic
  over_tls "chromium" 'ERR_SSL_PROTOCOL_ERROR' "${words[@]}"
}

http_clients() {
  local revision page
  revision=$(sallyport status --stats "$stats" --socket "$agent_socket" --format json | jq -r .agent.revision)
  page="policy: clients.*rule: never.*reason: rule.*revision: $revision.*flow: [0-9]"
  over_http "curl over HTTP" "403 Forbidden.*$page" curl -sS -i "http://{}/"
  over_http "wget over HTTP" 'ERROR 403: Forbidden' wget -nv -O - --tries 1 "http://{}/"
  over_http "python requests over HTTP" "$page" /usr/bin/python3 -c "$requests_program" "http://{}/"
  chromium_words --disable-quic
  over_http "chromium over HTTP" "$page" "${words[@]/#https:/http:}"
}

other_clients() {
  chromium_words --enable-quic "--origin-to-force-quic-on={}:443"
  told "chromium over QUIC" "$is_datagram" quic 'ERR_QUIC_PROTOCOL_ERROR' "${words[@]}"
  told "dig, a denied name" "$is_datagram" dns 'no servers could be reached' dig "@$server_ip4" +tries=1 "{}"
  closed "dig, a denied resolver" "$is_datagram" 'no servers could be reached' dig "@$denied_ip4" +tries=1 "{}"
  closed "plain TCP" "$opens" 'Connection refused' bash -c "exec 3<>/dev/tcp/$denied_ip4/22"
  closed "curl to a denied address" "$opens" 'Connection refused|Couldn.t connect' curl -sS "https://$denied_ip4/"
}

# unanswered WHAT STATUS REQUEST WORD…: the client hears nothing until it gives up, which is its STATUS.
unanswered() {
  local what=$1 expected=$2 request=$3; shift 3
  wire_mark
  run_client "$silent" "$@"
  check "$what: gives up by itself" test "$status" = "$expected"
  check "$what: asked, and was not answered" test "$(wire_answers "$request" | sort -u)" = never
}
kept_by_server() { [[ $(server_side | wc -l) = 1 ]]; }
in_silence() {
  local before
  before=$(payload_frames)
  # Long enough for it to send its hello again when the gateway has forgotten all but denied flows.
  unanswered "dropped, curl" 28 "$says_something" curl -sS -4 --max-time 8 "https://{}/"
  unanswered "dropped, plain TCP" 28 "$opens" curl -sS --connect-timeout 1 "telnet://$silent_ip4:22"
  unanswered "dropped, dig" 9 "$is_datagram" dig "@$silent_ip4" +tries=1 +timeout=1 "{}"
  check "what is dropped does not leave" test "$(payload_frames) $(captured "ip dst host $silent_ip4")" = "$before 0"
  # A handshake had to pass before the name was there to see, and the server is not told either.
  check "the server keeps the connection until it gives up itself" kept_by_server
}

was_reset() { (($(wire_lines | grep -c "$1: Flags \[R") > 0)) && (($(captured "src port $1 and $is_reset") > 0)); }
live_flows() {
  local port
  slow_download_start
  keep_alive_start "$allowed"
  live_denial >"$lab/live.yaml"
  wire_mark
  check "a push denies what is live" sallyport push "$root/tests/lab/clients.yaml" "$lab/live.yaml" --socket "$agent_socket"
  check "the download ends" wait_for 2 lab_dead download
  check "with a reset" grep -q 'reset by peer' "$lab/log/download.err"
  check "the kept connection gets no other page" eval '! keep_alive_again'
  check "but a reset" kept_was_reset
  for port in "$slow_port" "$kept_port"; do check "on the wires of both ends" wait_for 2 was_reset "$port"; done
  check "nothing is left at the server" wait_for 2 none_left server_side
  check "nor at the client" wait_for 2 none_left client_side
}

clients_need_requests
clients_begin curl openssl wget chromium dig
ip -n sp-server address add "$silent_ip4/15" dev eth0
guard >"$lab/guard.yaml"
check "the guard is in force" sallyport push "$root/tests/lab/clients.yaml" "$lab/guard.yaml" --socket "$agent_socket"
wire_start
tls_clients
http_clients
other_clients
live_flows
in_silence
lab_end
