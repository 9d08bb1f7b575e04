#!/bin/bash
# What the gateway adds to a new TLS connection, and what it takes from a bulk download, against dpdk-testpmd on
# the same AF_XDP ports between two network namespaces. Prints one JSON object. Needs root, for the lab.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"
source "$root/scripts/lib/lab.sh"
source "$root/scripts/lib/gateway.sh"

usage() { echo "usage: bench/latency.sh [--rounds N] [--connections N] [--megabytes N]"; }
rounds=5 connections=400 megabytes=200
while (($#)); do
  case $1 in
    --rounds | --connections | --megabytes)
      (($# > 1)) || { usage >&2; exit 2; }
      printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done
missing=$(lab_missing)
[[ -z $missing ]] || die 2 "the lab cannot run here: $missing"

policy() {
  cat <<'END'
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: bench}
spec:
  egress:
    - {name: hub, action: Allow, to: {domainNames: [allowed.sp.test]}, protocols: [{tls: {ports: [443]}}]}
END
}

# The forwarder polls core 1; client and server have core 0.
quantile() { sort -g "$1" | awk -v q="$2" '{ v[NR] = $1 } END { print v[int((NR - 1) * q) + 1] }'; }
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# measure WHO: a round's figures behind those of the rounds before.
measure() {
  local who=$1 speed
  client taskset --cpu-list 0 "$root/bench/tls_connect.py" "$server_ip4" allowed.sp.test "$lab/ca.pem" 50 >/dev/null
  client taskset --cpu-list 0 "$root/bench/tls_connect.py" "$server_ip4" allowed.sp.test "$lab/ca.pem" "$connections" >"$lab/times"
  quantile "$lab/times" 0.5 >>"$lab/$who.p50"
  quantile "$lab/times" 0.99 >>"$lab/$who.p99"
  speed=$(client taskset --cpu-list 0 curl -4 --silent --cacert "$lab/ca.pem" --output /dev/null --max-time 120 \
    --write-out '%{speed_download}' https://allowed.sp.test/bulk.bin)
  echo "$speed" >>"$lab/$who.bulk"
}

lab_up
nginx=$(lab_pid nginx)
for pid in "$nginx" $(pgrep -P "$nginx"); do taskset --all-tasks --cpu-list --pid 0 "$pid" >/dev/null; done
truncate --size "${megabytes}M" "$lab/www/bulk.bin"
policy >"$lab/bench.yaml"
# In turn, so that a slow minute of the machine meets both.
for ((round = 1; round <= rounds; round++)); do
  progress "bench: round $round of $rounds"
  testpmd_start
  measure testpmd
  lab_stop testpmd
  dataplane_start
  agent_start "$lab/bench.yaml"
  measure gateway
  lab_stop agent
  lab_stop dataplane
done
progress_end

# figures WHO: medians over the rounds, and all of them.
figures() {
  jq -n --argjson p50 "$(median <"$lab/$1.p50")" --argjson p99 "$(median <"$lab/$1.p99")" \
    --argjson bulk "$(median <"$lab/$1.bulk")" --slurpfile p50s "$lab/$1.p50" --slurpfile p99s "$lab/$1.p99" \
    --slurpfile bulks "$lab/$1.bulk" \
    '{p50_us: $p50, p99_us: $p99, bulk_mb_s: ($bulk / 1e6 | round),
      rounds: {p50_us: $p50s, p99_us: $p99s, bulk_mb_s: ($bulks | map(. / 1e6 | round))}}'
}
jq -n --argjson testpmd "$(figures testpmd)" --argjson gateway "$(figures gateway)" --argjson connections "$connections" \
  '{connections: $connections, testpmd: $testpmd, gateway: $gateway,
    added_p50_us: ($gateway.p50_us - $testpmd.p50_us | round),
    added_p99_us: ($gateway.p99_us - $testpmd.p99_us | round),
    bulk_ratio: ($gateway.bulk_mb_s / $testpmd.bulk_mb_s * 100 | round / 100)}'
