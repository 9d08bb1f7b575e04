#!/bin/bash
# A data plane that cannot start says why in one line, ends with 2 and leaves nothing behind.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

# refuses WHAT PATTERN COMMAND…: ends with 2 within ten seconds and one line that matches.
refuses() {
  local what=$1 pattern=$2 status=0 fault=
  shift 2
  rm -f "$dataplane_socket" "$stats"   # one failure must not look like the next one's
  timeout --kill-after 1 10 "$@" >"$lab/log/refused.out" 2>"$lab/log/refused.err" </dev/null || status=$?
  [[ $status = 2 ]] || fault="status $status, not 2"
  [[ $(grep -cvE "^lib(bpf|xdp): " "$lab/log/refused.err") = 1 ]] || fault=${fault:-"not one line: $(head -n 3 "$lab/log/refused.err")"}
  grep -qiE "$pattern" "$lab/log/refused.err" || fault=${fault:-"does not say '$pattern': $(<"$lab/log/refused.err")"}
  [[ ! -e $dataplane_socket && ! -e $stats ]] || fault=${fault:-"left its socket or stats behind"}
  ! ip -d link show sp-in | grep -q 'prog/xdp' || fault=${fault:-"left an XDP program on sp-in"}
  report "$what" "$fault"
}

# variant SED_SCRIPT: a configuration that differs from a good one in this.
variant() { gateway_config | sed -e "$1" >"$lab/variant.yaml"; }

lab_begin
dataplane=$build/sallyport-dataplane
[[ -x $dataplane ]] || die 1 "$dataplane is not built"
export RUNTIME_DIRECTORY=$lab/dpdk

variant 's/iface=sp-out/iface=sp-none/'
refuses "a device that does not exist" sp-none "$dataplane" --config "$lab/variant.yaml"
variant 's/net_af_xdp1,iface=sp-out/net_nonsense0/'
refuses "a driver that does not exist" net_nonsense0 "$dataplane" --config "$lab/variant.yaml"
variant 's/iface=sp-in/&,queue_count=2/'
refuses "a device that its driver refuses" 'queue count' "$dataplane" --config "$lab/variant.yaml"
variant '/outside:/d'
refuses "a port left out" 'outside' "$dataplane" --config "$lab/variant.yaml"
variant 's/^cores:/corse:/'
refuses "an unknown key" 'corse' "$dataplane" --config "$lab/variant.yaml"
variant 's/workers: \[1\]/workers: [99]/'
refuses "a core that does not exist" '99' "$dataplane" --config "$lab/variant.yaml"
variant "s|stats: .*|stats: $lab/nginx.conf/stats|"
refuses "a stats path that cannot be" 'nginx.conf' "$dataplane" --config "$lab/variant.yaml"
echo 'ports: [' >"$lab/variant.yaml"
refuses "a file that is not YAML" 'variant.yaml' "$dataplane" --config "$lab/variant.yaml"
refuses "a file that does not exist" 'absent.yaml' "$dataplane" --config "$lab/absent.yaml"

# As an unprivileged user: first the file, then the ports are out of reach.
cp "$dataplane" "$lab/bin/"
chmod 755 "$lab/dpdk" && chown nobody "$lab/dpdk"
gateway_config >"$lab/gateway.yaml"
chmod 600 "$lab/gateway.yaml"
refuses "a file it may not read" 'gateway.yaml' "${as_nobody[@]}" "$lab/bin/sallyport-dataplane" --config "$lab/gateway.yaml"
chmod 644 "$lab/gateway.yaml"
refuses "no permission for AF_XDP" 'permi|privilege|root|capab' "${as_nobody[@]}" "$lab/bin/sallyport-dataplane" --config "$lab/gateway.yaml"

# After all that a good configuration still works.
dataplane_start
check "it starts once the configuration is right" lab_alive dataplane
check "and ends in order" lab_stop dataplane
check "without leaving its socket" test ! -e "$dataplane_socket"
lab_end
