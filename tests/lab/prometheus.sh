#!/bin/bash
# A real Prometheus scrapes the agent while real clients are allowed and denied: what its queries, its
# alerts and every panel of the dashboard say is what the traffic was.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

metrics=127.0.0.1:19464
prometheus=http://127.0.0.1:19090

page() { curl -s --max-time 5 "http://$metrics/$1"; }
page_status() { curl -s -o "$lab/null" --max-time 5 -w '%{http_code}' "http://$metrics/$1"; }
says() { [[ $(page_status "$1") = "$2" ]]; }

# The shipped rules, with pauses that a test can wait for.
prometheus_start() {
  mkdir -p "$lab/prometheus"
  cp "$root"/configs/prometheus/recording.yml "$lab/prometheus"
  sed -E 's/^( +for:) .*/\1 2s/' "$root/configs/prometheus/alerts.yml" >"$lab/prometheus/alerts.yml"
  sed -E "s/127.0.0.1:9464/$metrics/; s/_interval: .*/_interval: 1s/" "$root/configs/prometheus/prometheus.yml" \
    >"$lab/prometheus/prometheus.yml"
  chown -R nobody:nogroup "$lab/prometheus"
  lab_spawn prometheus "${as_nobody[@]}" prometheus --config.file="$lab/prometheus/prometheus.yml" \
    --storage.tsdb.path="$lab/prometheus/data" --web.listen-address="${prometheus#http://}"
  wait_for 20 curl -sf -o "$lab/null" "$prometheus/-/ready" ||
    die 1 "prometheus did not start: $(tail -n 3 "$lab/log/prometheus.err")"
}

# ask QUERY: the samples, a JSON list; fails, saying why, when it is an error.
ask() {
  local answer
  answer=$(curl -s --max-time 10 --data-urlencode "query=$1" "$prometheus/api/v1/query")
  if ! jq -ce 'select(.status == "success") | .data.result' <<<"$answer"; then
    echo "$1: $(jq -r '.error // .' <<<"$answer")" >&2
    return 1
  fi
}
# value QUERY: its one sample's value, "none" without one, as a whole number.
value() { ask "$1" | jq -r 'if length == 0 then "none" else .[0].value[1] | tonumber | round end'; }
value_is() { [[ $(value "$1") = "$2" ]]; }
# becomes WHAT QUERY VALUE: within the scrapes of ten seconds.
becomes() {
  local fault=
  wait_for 10 value_is "$2" "$3" || fault="$2 is $(value "$2"), not $3"
  report "$1" "$fault"
}
fires() { [[ $(ask "ALERTS{alertname=\"$1\",alertstate=\"firing\"}" | jq length) -ge 1 ]]; }
fires_no_more() { ! fires "$1"; }

traffic() {
  local round
  for round in 1 2 3 4 5; do
    expect allow demo/web https://allowed.sp.test/ -4
    expect deny demo/never https://denied.sp.test/ -6
  done
  expect allow demo/web http://allowed.sp.test/ -4
  expect deny demo/never http://denied.sp.test/ -4
  check "a hello takes a while" client env "SSL_CERT_FILE=$lab/ca.pem" /usr/bin/python3 "$root/tests/lab/probe.py" \
    tls $((next_port += 1)) "$server_ip4" allowed.sp.test 40 0.2
}

# What the data plane itself says of a counter, to compare with.
packets_are_counted() {
  value_is 'sum(sallyport_packets_total{direction="rx",port="outside"})' \
    "$(counted sallyport_packets_total direction=rx,port=outside)"
}
counted() {
  sallyport counters --stats "$stats" --all --format json | jq --arg family "$1" --arg labels "$2" \
    '[.counters[] | select(.family == $family and .labels == $labels) | .total] | add'
}

queries_say_what_was() {
  local verdicts=sallyport_verdicts_total
  becomes "eight hellos were allowed" "sum($verdicts{action=\"allow\",protocol=\"tls\"})" 8
  becomes "five were denied" "sum($verdicts{action=\"deny\",protocol=\"tls\"})" 5
  becomes "one request was allowed" "sum($verdicts{action=\"allow\",protocol=\"http\"})" 1
  becomes "one was denied" "sum($verdicts{action=\"deny\",protocol=\"http\"})" 1
  becomes "and answered 403" 'sum(sallyport_http_forbidden_sent_total)' 1
  becomes "each had its alert" 'sum(sallyport_tls_alerts_sent_total)' 5
  check "packets are those of the segment" wait_for 10 packets_are_counted
  becomes "each verdict took its time" 'sum(sallyport_time_to_verdict_seconds_count)' \
    "$(value "sum($verdicts)")"
  becomes "what was held was timed" 'sum(sallyport_hold_seconds_count)' 1
  becomes "by more than a tenth of a second" 'sum(sallyport_hold_seconds_bucket{le="0.1"})' 0
  becomes "no packet took a second" 'sum(sallyport_packet_latency_seconds_count) - sum(sallyport_packet_latency_seconds_bucket{le="1"})' 0
  becomes "the core runs the agent's revision" 'count(sallyport_policy_revision > 0)' 1
  check "which is the one of the label" grep -q "revision=\"$(sallyport status --stats "$stats" --socket "$agent_socket" \
    --format json | jq -r '.cores[0].revision')\"" <(page metrics)
  becomes "what fails open is known" 'count(sallyport_exception_fails_open == 1)' 1
  becomes "and which it is" 'count(sallyport_exception_fails_open{condition="log_ring_full"} == 1)' 1
}

# What is there only when something went wrong: a client whose hello has no end it could have.
something_goes_wrong() {
  # shellcheck disable=SC2016 # the inner shell's words
  client timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/443"; printf "\x16\x03\x01\x00\x04\x01\x00\x00\x00" >&3; cat <&3' \
    _ "$server_ip4" >"$lab/null" 2>&1 || true
  becomes "a hello that is none is a fault" 'sum(sallyport_inspection_faults_total)' 1
  becomes "and an exception" 'sum(sallyport_exceptions_total)' 1
}

# A restart is seen when there was one.
panels() {
  jq -r '(.panels[] | .title as $title | (.targets // [])[] | [$title, .expr]),
    (.annotations.list[] | [.name, .expr]) | @tsv' "$root/configs/grafana/sallyport.json"
}
# panels_answer [TITLE]: every query of the dashboard, or that one's, has something to show.
panels_answer() {
  local only=${1:-} title query answer count=0
  while IFS=$'\t' read -r title query; do
    # @tsv doubles backslashes, of which there are none, and leaves the rest.
    if [[ $title = Restarts && -z $only || -n $only && $title != "$only" ]]; then continue; fi
    query=${query//\$__rate_interval/5m}
    query=${query//\$instance/.*}
    count=$((count + 1))
    if ! answer=$(ask "$query" 2>"$lab/ask.err"); then
      report "panel $title" "$(<"$lab/ask.err")"
    elif [[ $answer = '[]' ]]; then
      report "panel $title" "no data: $query"
    elif grep -q NaN <<<"$answer"; then
      report "panel $title" "not a number: $query"
    fi
  done < <(panels)
  check "$count queries of the dashboard were asked" test "$count" -ge "$([[ -n $only ]] && echo 1 || echo 40)"
}

# What the dashboard is to be chosen by: label_values(METRIC, LABEL), which only Grafana understands.
variables_answer() {
  local query metric label
  while read -r query; do
    [[ $query =~ ^label_values\(([a-z_]+),\ ([a-z_]+)\)$ ]] || { report "variable $query" "not known here"; continue; }
    metric=${BASH_REMATCH[1]} label=${BASH_REMATCH[2]}
    check "variable $query has values" jq -e '.status == "success" and (.data | length > 0)' \
      <(curl -s --max-time 10 -G --data-urlencode "match[]=$metric" "$prometheus/api/v1/label/$label/values")
  done < <(jq -r '.templating.list[] | select(.type == "query") | .query.query' "$root/configs/grafana/sallyport.json")
}

dataplane_is_missed() {
  lab_stop dataplane KILL || true
  check "readiness fails" wait_for 5 says readyz 503
  check "and says why" grep -q 'none of its cores turns' <(page readyz)
  check "the agent itself is well" says healthz 200
  becomes "the data plane is down" 'sallyport_up' 0
  becomes "the scrape is not" 'up{job="sallyport"}' 1
  becomes "its flows are not shown" 'count(sallyport_flows)' none
  check "the alert fires" wait_for 10 fires SallyportDataplaneGone
  dataplane_start
  becomes "it is back" 'sallyport_up' 1
  check "and ready, under the stored policy" wait_for 10 says readyz 200
  becomes "with counters from 0" 'sum(sallyport_verdicts_total)' 0
  expect allow demo/web https://allowed.sp.test/ -4
  becomes "and counts" 'sum(sallyport_verdicts_total)' 1
  check "the alert is over" wait_for 10 fires_no_more SallyportDataplaneGone
}

if [[ -z $(command -v prometheus) ]]; then
  echo "skipped: no prometheus (Debian package prometheus)"
  exit 77
fi
lab_begin
dataplane_start
agent_options=(--metrics "$metrics" --stats "$stats" --budgets "$budget_state")
cat >"$lab/policy/metered.yaml" <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: metered}
spec:
  egress:
    - name: uploads
      action: Allow
      to: {domainNames: [new.sp.test]}
      budget: {bytesOut: 1GiB, window: 366d, scope: source}
END
agent_start "$root/configs/demo/before.yaml"
prometheus_start
check "the gateway is ready" wait_for 5 says readyz 200
becomes "it is scraped" 'sallyport_up' 1
traffic
expect allow metered/uploads https://new.sp.test/ -4
request https://allowed.sp.test/10mb.bin -4
check "10 MB arrive as sent" test "$(file_sum "$lab/body")" = "$(file_sum "$lab/www/10mb.bin")"
check "promtool finds nothing to complain of" promtool check metrics <<<"$(page metrics)"
becomes "the budget's share is there" 'sum(sallyport_budget_counts{policy="metered",rule="uploads"})' 1
queries_say_what_was
something_goes_wrong
panels_answer
variables_answer
dataplane_is_missed
panels_answer Restarts
lab_stop agent || true
becomes "an agent that is gone is no scrape" 'up{job="sallyport"}' 0
check "its alert fires" wait_for 10 fires SallyportAgentGone
lab_end
