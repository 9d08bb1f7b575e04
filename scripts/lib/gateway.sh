# The gateway in the lab: data plane, agent, or dpdk-testpmd in their place. Source after lab.sh.

dataplane_socket=$lab/run/dataplane.sock
agent_socket=$lab/run/agent.sock
stats=$lab/run/stats
flow_log=$lab/log/flows.ndjson
as_nobody=(setpriv --reuid nobody --regid nogroup --clear-groups)

sallyport() { "$build/sallyport" "$@"; }

gateway_config() {
  cat <<END
ports:
  inside: "net_af_xdp0,iface=sp-in"
  outside: "net_af_xdp1,iface=sp-out"
cores:
  main: 0
  workers: [1]
memory:
  hugepages: never
  total_mb: 256
  packets: 16384
paths:
  control_socket: $dataplane_socket
  control_user: nobody
  stats: $stats
  flow_log: $flow_log
  policy_image: $lab/state/last-good.spimg
END
}

dataplane_ready() { grep -q '^ready' "$lab/log/dataplane.err" || lab_dead dataplane; }
dataplane_start() {
  chown nobody:nogroup "$lab/state" "$lab/run"
  gateway_config >"$lab/gateway.yaml"
  RUNTIME_DIRECTORY=$lab/dpdk lab_spawn dataplane "$build/sallyport-dataplane" --config "$lab/gateway.yaml"
  wait_for 20 dataplane_ready || die 1 "the data plane did not become ready in 20 s"
  lab_alive dataplane || die 1 "the data plane ended: $(tail -n 3 "$lab/log/dataplane.err")"
}

# agent_start POLICY…: copies the files to where the agent reads them and starts it unprivileged.
agent_start() {
  mkdir -p "$lab/policy"
  (($# == 0)) || cp "$@" "$lab/policy/"
  chmod -R a+rX "$lab" "$lab/policy"
  lab_spawn agent "${as_nobody[@]}" "$build/sallyport-control" --policy "$lab/policy" \
    --dataplane-socket "$dataplane_socket" --socket "$agent_socket" --state-dir "$lab/state"
  wait_for 20 agent_ready || die 1 "the agent did not push its policy in 20 s"
  lab_alive agent || die 1 "the agent ended: $(tail -n 3 "$lab/log/agent.err")"
}
# Ready once its policy is in force on every core, which is what status answers 0 to.
agent_ready() { sallyport status --stats "$stats" --socket "$agent_socket" >"$lab/log/status" 2>&1 || lab_dead agent; }

# The floor: forwards every frame from one port to the other, decides nothing.
testpmd_ready() { grep -q 'Press enter\|io packet forwarding' "$lab/log/testpmd.out" || lab_dead testpmd; }
testpmd_start() {
  # With a period for statistics it does not end at the end of its input.
  RUNTIME_DIRECTORY=$lab/dpdk lab_spawn testpmd dpdk-testpmd -l 0,1 --no-huge -m 256 --no-pci \
    --file-prefix sallyport-lab --vdev net_af_xdp0,iface=sp-in --vdev net_af_xdp1,iface=sp-out \
    -- --forward-mode=io --total-num-mbufs=16384 --no-mlockall --stats-period=3600
  wait_for 20 testpmd_ready && lab_alive testpmd ||
    die 1 "testpmd did not start: $(tail -n 3 "$lab/log/testpmd.err")"
}

# --- requests and what came of them

next_port=40000
# request NAME_FOR_LOG CURL_ARG…: one request with a source port of its own, so that its flow can be
# found again. Sets $port, $answer (one of: the body's first line, reset, refused, …) and $took_ms.
request() {
  local status=0 seconds
  port=$((next_port += 1))
  seconds=$(client curl --silent --show-error --cacert "$lab/ca.pem" --max-time 15 --local-port "$port" \
    --output "$lab/body" --write-out '%{time_total} %{http_code}' "$@" 2>"$lab/log/curl.err") || status=$?
  took_ms=$(awk -v s="${seconds%% *}" 'BEGIN { printf "%d", s * 1000 }')
  answer=$(describe_answer "$status" "${seconds##* }")
}

# curl's exit status in words: 7 could not connect, 35 TLS handshake, 52 empty reply, 56 receive, 28 time-out.
describe_answer() {
  case $1 in
    0) if [[ $2 = 200 ]]; then head -c 60 "$lab/body" | head -n 1 | tr -cd '[:print:]'; else echo "status $2"; fi ;;
    7) echo refused ;;
    28) echo time-out ;;
    35 | 56) if grep -qi 'reset' "$lab/log/curl.err"; then echo reset; else echo "broken (curl $1)"; fi ;;
    *) echo "curl $1" ;;
  esac
}

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

# Nothing of the flow from this source port reached the server's application.
server_saw() { grep -q "^$1 " "$lab/log/access.log"; }

file_sum() { sha256sum "$1" | cut -d ' ' -f 1; }
