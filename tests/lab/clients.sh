# What the tests of real clients start with; source it, then clients_begin. Each client is judged by
# what it got, what its server's log and the wire in front of the server saw, and the flow log.

source "$(dirname "${BASH_SOURCE[0]}")/lab_test.sh"

allowed=allowed.sp.test
denied=denied.sp.test
capture=$lab/server.pcap
server_log=$lab/log/access.log   # of the server that answers now; a test may set another

# clients_need COMMAND…: the programs of this test; it is skipped where one is not installed.
clients_need() {
  local program
  for program; do
    if ! command -v "$program" >/dev/null; then
      echo "skipped: no $program, see scripts/packages.txt"
      exit 77
    fi
  done
}

# Debian's python3, and not the first on the path: that may be one without Debian's modules.
requests_program='import requests, sys; print(requests.get(sys.argv[1], timeout=10).text)'
clients_need_requests() {
  if ! /usr/bin/python3 -c 'import requests' 2>/dev/null; then
    echo "skipped: no python3-requests, see scripts/packages.txt"
    exit 77
  fi
}

# capture_start NAME NAMESPACE FILTER: what passes eth0 of the namespace goes to $lab/NAME.pcap.
capture_ready() { grep -q 'listening on' "$lab/log/$1.err" || lab_dead "$1"; }
capture_start() {
  lab_spawn "$1" ip netns exec "$2" tcpdump -i eth0 -U --immediate-mode -Z root -w "$lab/$1.pcap" "$3"
  wait_for 5 capture_ready "$1" || die 1 "tcpdump did not start"
  lab_alive "$1" || die 1 "tcpdump ended: $(<"$lab/log/$1.err")"
}

clients_begin() {
  clients_need tcpdump "$@"
  lab_begin
  # It shows also what no server logs: a hello whose connection is reset behind it. Only what the client
  # sent: the server's certificate holds all names.
  capture_start server sp-server "src host $client_ip4 or src host $client_ip6"
  dataplane_start
  agent_start "$root/tests/lab/clients.yaml"
}

# captured FILTER: how many frames from the client have come to the server's wire, of those that match.
captured() { tcpdump -nr "$capture" "$1" 2>/dev/null | wc -l; }
# Not by name: HPACK and QUIC hide it. A handshake may pass before the verdict, a byte of what is said may not.
is_payload='udp or (ip and tcp and ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2) != 0) or
    (ip6 and tcp and ip6[4:2] - ((ip6[52] & 0xf0) >> 2) != 0)'
payload_frames() { captured "$is_payload"; }
payload_frames_of() { captured "src port $1 and ($is_payload)"; }

lines_of() { grep -cF "$1" "$server_log" 2>/dev/null || true; }
log_grew() { (($(lines_of "$1") > $2)); }

# run_client NAME WORD…: runs the command of these words to its end; {} in them is the name. Sets $said,
# $status, $took_ms, and $since, the first line of the flow log that can be about it.
client_input=/dev/null
run_client() {
  local name=$1 started command
  shift
  command=("${@//'{}'/$name}")
  since=$(($(wc -l <"$flow_log") + 1))
  started=$(now_ms)
  status=0
  client timeout 15 "${command[@]}" >"$lab/said" 2>&1 <"${client_input//'{}'/$name}" || status=$?
  took_ms=$(($(now_ms) - started))
  said=$(tr -d '\0' <"$lab/said")
}

verdicts() { tail -n "+$since" "$flow_log" | jq -c 'select(.event_type == "verdict")'; }
# logged APP NAME ACTION RULE: whether the flow log has this verdict for the last client. HTTP's host stands
# there as the client wrote it, perhaps with a port.
logged() {
  verdicts | jq -se --arg app "$1" --arg name "$2" --arg action "$3" --arg rule "$4" 'any(.[];
    .app_proto == $app and .verdict.action == $action and "\(.policy.name)/\(.policy.rule)" == $rule and
    (.tls.sni // .quic.sni // .http.hostname // .dns.rrname | sub(":[0-9]+$"; "")) == $name)' >/dev/null
}
no_verdict() { echo "the flow log says: $(verdicts | jq -c 'del(.timestamp, .flow_id, .policy.revision)')"; }

# gets WHAT APP RULE ANSWER WORD…: with the allowed name the client is answered what matches ANSWER.
gets() {
  local what=$1 app=$2 rule=$3 answer=$4 before frames fault=
  shift 4
  before=$(lines_of "$allowed")
  frames=$(payload_frames)
  run_client "$allowed" "$@"
  [[ $status = 0 && $said =~ $answer ]] || fault="status $status: $(tail -n 3 <<<"$said")"
  wait_for 2 log_grew "$allowed" "$before" || fault=${fault:-"not in the server's log"}
  wait_for 2 logged "$app" "$allowed" allow "$rule" || fault=${fault:-$(no_verdict)}
  (($(payload_frames) > frames)) || fault=${fault:-"the capture has none of it, so it proves no denial either"}
  report "$what: allowed after $took_ms ms" "$fault"
}

# is_refused WHAT APP ANSWER WORD…: with the denied name it says what matches ANSWER, within $patience_ms;
# the name does not reach the server's log, and no byte its wire.
patience_ms=5000
is_refused() {
  local what=$1 app=$2 answer=$3 before fault=
  shift 3
  before=$(payload_frames)
  run_client "$denied" "$@"
  [[ $said =~ $answer ]] || fault="does not say '$answer': status $status: $(tail -n 3 <<<"$said")"
  ((took_ms < patience_ms)) || fault=${fault:-"took $took_ms ms"}
  wait_for 2 logged "$app" "$denied" deny clients/never || fault=${fault:-$(no_verdict)}
  [[ $(lines_of "$denied") = 0 ]] || fault=${fault:-"it is in the server's log"}
  [[ $(payload_frames) = "$before" ]] || fault=${fault:-"bytes of it came to the server's wire"}
  report "$what: denied after $took_ms ms" "$fault"
}

# both WHAT APP RULE REFUSAL WORD…: with the allowed name the client gets the web server's answer, with the
# denied one it is refused and says so.
both() {
  local what=$1 app=$2 rule=$3 refusal=$4
  shift 4
  gets "$what" "$app" "$rule" "hello from $allowed" "$@"
  is_refused "$what" "$app" "$refusal" "$@"
}

# Ends the test. A browser that asked for more than it was told to would show here.
only_these_names() {
  jq -se --arg allowed "$allowed" --arg denied "$denied" 'map(.tls.sni // .quic.sni // .http.hostname // .dns.rrname
    | sub(":[0-9]+$"; "")) | unique == [$allowed, $denied]' "$flow_log" >/dev/null
}
clients_end() {
  check "no client asked for anything else" only_these_names
  lab_end
}
