# The gateway in the lab: data plane, agent, or dpdk-testpmd in their place. Source after lab.sh.

dataplane_socket=$lab_run/dataplane.sock
agent_socket=$lab_run/agent.sock
stats=$lab_run/stats
budget_state=$lab/state/budgets.state
flow_log=$lab/log/flows.ndjson
as_nobody=(setpriv --reuid nobody --regid nogroup --clear-groups)

sallyport() { "$build/sallyport" "$@"; }

# What a test may set before dataplane_start; the rest of the configuration is always the same.
inside_device=net_af_xdp0,iface=sp-in
outside_device=net_af_xdp1,iface=sp-out
worker_cores=1
hugepages=never
more_config=   # further sections

gateway_config() {
  cat <<END
ports:
  inside: "$inside_device"
  outside: "$outside_device"
cores:
  main: 0
  workers: [$worker_cores]
memory:
  hugepages: $hugepages
  total_mb: 256
  packets: 16384
flows:
  tcp_closing_seconds: 2   # a test waits for the record of a flow's end
inspection:
  held_packets_per_worker: 2048
paths:
  control_socket: $dataplane_socket
  control_user: nobody
  stats: $stats
  flow_log: $flow_log
  policy_image: $lab/state/last-good.spimg
  identity_feed: $lab/state/last-good.spids
  budget_state: $budget_state
$more_config
END
}

dataplane_ready() { grep -q '\bready: ' "$lab/log/dataplane.err" || lab_dead dataplane; }
dataplane_start() {
  [[ -x $build/sallyport-dataplane ]] || die 1 "$build/sallyport-dataplane is not built"
  chown nobody:nogroup "$lab/state" "$lab_run"
  gateway_config >"$lab/gateway.yaml"
  RUNTIME_DIRECTORY=$lab/dpdk lab_spawn dataplane "$build/sallyport-dataplane" --config "$lab/gateway.yaml"
  wait_for 20 dataplane_ready || die 1 "the data plane did not become ready in 20 s"
  lab_alive dataplane || die 1 "the data plane ended: $(tail -n 3 "$lab/log/dataplane.err")"
}

# agent_start [POLICY]: puts the file where the agent reads it and starts the agent unprivileged.
agent_options=()   # a test may set more of them
agent_start() {
  [[ -x $build/sallyport-control ]] || die 1 "$build/sallyport-control is not built"
  (($# == 0)) || cp "$1" "$lab/policy/demo.yaml"
  cp "$build/sallyport-control" "$lab/bin/"
  lab_spawn agent "${as_nobody[@]}" "$lab/bin/sallyport-control" --policy "$lab/policy" \
    --dataplane-socket "$dataplane_socket" --socket "$agent_socket" --state-dir "$lab/state" "${agent_options[@]}"
  wait_for 20 agent_ready || die 1 "the agent did not push its policy in 20 s"
  lab_alive agent || die 1 "the agent ended: $(tail -n 3 "$lab/log/agent.err")"
}
# Ready once every core runs the agent's own revision.
agent_ready() {
  lab_dead agent || sallyport status --stats "$stats" --socket "$agent_socket" --format json 2>/dev/null |
    jq -e '.agent.revision as $own | $own != null and (.cores | length > 0 and all(.revision == $own))' >/dev/null
}

# The floor: forwards every frame from one port to the other, decides nothing.
testpmd_ready() { grep -q 'Press enter\|io packet forwarding' "$lab/log/testpmd.out" || lab_dead testpmd; }
testpmd_start() {
  # With a period for statistics it does not end at the end of its input.
  RUNTIME_DIRECTORY=$lab/dpdk lab_spawn testpmd dpdk-testpmd -l 0,1 --no-huge -m 256 --no-pci \
    --file-prefix sallyport-lab --vdev net_af_xdp0,iface=sp-in --vdev net_af_xdp1,iface=sp-out \
    -- --forward-mode=io --total-num-mbufs=16384 --no-mlockall --stats-period=3600
  wait_for 20 testpmd_ready || die 1 "testpmd did not start in 20 s"
  lab_alive testpmd || die 1 "testpmd ended: $(tail -n 3 "$lab/log/testpmd.err")"
}

# --- requests and what came of them

next_port=40000
now_ms() { date +%s%3N; }

# request CURL_ARG…: one request from a source port of its own, so that its flow can be found again.
# Sets $port, $answer (the body's first line, or: reset, refused, …) and $took_ms.
request() {
  local status=0 code started
  port=$((next_port += 1))
  started=$(now_ms)
  code=$(client curl --silent --show-error --cacert "$lab/ca.pem" --max-time 15 --local-port "$port" \
    --output "$lab/body" --write-out '%{http_code}' "$@" 2>"$lab/log/client.err") || status=$?
  took_ms=$(($(now_ms) - started))
  answer=$(describe_answer "$status" "$code")
}

# The same without a server name in the TLS hello; curl always sends one for a name.
request_without_sni() {
  local status=0 started
  port=$((next_port += 1))
  started=$(now_ms)
  client timeout 15 openssl s_client -connect "$1:443" -bind "$client_ip4:$port" -noservername -brief \
    </dev/null >"$lab/log/client.err" 2>&1 || status=$?
  took_ms=$(($(now_ms) - started))
  case $status in
    0) answer="hello from $1" ;;
    124) answer=time-out ;;
    *) answer=$(describe_answer 35 000) ;;
  esac
}

# curl's exit status in words: 7 could not connect, 35 TLS handshake, 52 empty reply, 56 receive, 28 time-out.
describe_answer() {
  case $1 in
    0) if [[ $2 = 200 ]]; then head -c 60 "$lab/body" | head -n 1 | tr -cd '[:print:]'; else echo "status $2"; fi ;;
    7) echo refused ;;
    28) echo time-out ;;
    35 | 56)
      if grep -qi 'alert access denied' "$lab/log/client.err"; then echo "access denied alert"
      elif grep -qiE 'reset|errno=104' "$lab/log/client.err"; then echo reset
      else echo "broken off (curl $1)"; fi ;;
    *) echo "curl exit $1" ;;
  esac
}

# What a client may see of a denial: at once and without doubt. A time-out is never one of them.
is_denial() { [[ $1 = reset || $1 = refused || $1 = "access denied alert" || $1 = "status 403" ]]; }

# record EVENT PORT: the flow log's line for the flow from that source port, as one JSON object.
record() {
  jq -c --arg event "$1" --argjson port "$2" \
    'select(.event_type == $event and .src_port == $port)' "$flow_log" 2>/dev/null | tail -n 1
}
has_record() { [[ -n $(record "$1" "$2") ]]; }

# verdict PORT: sets $action and $policy ("policy/rule", or the reason where no rule decided).
verdict() {
  local line
  wait_for 2 has_record verdict "$1" || true
  line=$(record verdict "$1")
  action=$(jq -r '.verdict.action // "-"' <<<"${line:-{\}}")
  policy=$(jq -r '.policy | if (.rule // "") != "" then "\(.name)/\(.rule)" else .reason // "-" end' <<<"${line:-{\}}")
}

# Whether a request from this source port reached the server. It is logged a moment after its answer.
server_saw() { grep -q "^$1 " "$lab/log/access.log"; }

# judge allow|deny RULE: compares the last request and the flow log with what was expected of them.
# Sets $action, $policy and $fault, which is empty when all is well.
judge() {
  local expected=$1 rule=$2
  verdict "$port"
  fault=
  if [[ $expected = allow ]]; then
    [[ $answer = "hello from "* ]] || fault="the client got no answer"
    wait_for 2 server_saw "$port" || fault="the server never saw it"
  else
    ((took_ms < 1000)) || fault="took $took_ms ms, not under 1000"
    is_denial "$answer" || fault="the client saw no clear denial"
    ! server_saw "$port" || fault="it reached the server"
  fi
  [[ $policy = "$rule" ]] || fault=${fault:-"decided by $policy"}
  [[ $action = "$expected" ]] || fault=${fault:-"the flow log says $action"}
}

# slow_download_start: a download of some seconds from an allowed name, in the background; returns once
# bytes flow. slow_download_wait: waits for its end; true if every byte arrived as it was sent.
slow_bytes_arrived() { [[ $(stat -c %s "$lab/slow.bin" 2>/dev/null || echo 0) -gt 500000 ]]; }
download_options=()   # of curl; a test may set some
slow_download_start() {
  slow_port=$((next_port += 1))
  rm -f "$lab/slow.bin"
  lab_spawn download ip netns exec sp-client curl --silent --show-error --cacert "$lab/ca.pem" --max-time 30 \
    --local-port "$slow_port" --output "$lab/slow.bin" "${download_options[@]}" \
    https://allowed.sp.test/slow/10mb.bin
  wait_for 5 slow_bytes_arrived || die 1 "the slow download did not start: $(<"$lab/log/download.err")"
}
slow_download_wait() {
  wait_for 30 lab_dead download || return 1
  [[ $(file_sum "$lab/slow.bin") = $(file_sum "$lab/www/10mb.bin") ]]
}

file_sum() { sha256sum "$1" | cut -d ' ' -f 1; }

# keep_alive_start NAME: a connection over TLS from $kept_port that has asked for a page and got it.
# keep_alive_again: asks it for another; true if that came. What came of both is in $lab/log/kept.{out,err}.
keep_alive_start() {
  kept_name=$1
  kept_port=$((next_port += 1))
  kept_pages=0
  rm -f "$lab/kept.in"
  mkfifo "$lab/kept.in"
  # shellcheck disable=SC2016 # the inner shell's words
  lab_spawn kept ip netns exec sp-client bash -c 'exec openssl s_client -quiet -CAfile "$1" -bind "$2" -connect "$3" \
    -servername "$4" <"$5"' _ "$lab/ca.pem" "$client_ip4:$kept_port" "$server_ip4:443" "$1" "$lab/kept.in"
  exec {kept_in}<>"$lab/kept.in"
  keep_alive_again || die 1 "the connection to keep did not start: $(tail -n 1 "$lab/log/kept.err")"
}
kept_has_pages() { [[ $(grep -c "hello from $kept_name" "$lab/log/kept.out") -ge $kept_pages ]]; }
kept_is_settled() { kept_has_pages || lab_dead kept; }
keep_alive_again() {
  kept_pages=$((kept_pages + 1))
  printf 'GET / HTTP/1.1\r\nHost: %s\r\n\r\n' "$kept_name" >&"$kept_in"
  wait_for 10 kept_is_settled && kept_has_pages
}
kept_was_reset() { lab_dead kept && grep -q 'errno=104' "$lab/log/kept.err"; }
