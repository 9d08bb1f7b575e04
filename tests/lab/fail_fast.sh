#!/bin/bash
# A denied client knows at once, and the server is not left with half of a connection.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

none_of_this_left() { ! "$1" | grep -q ":$port "; }

times=()
# denied REQUEST COMMAND…: refused with a clear error under a second; nothing of it stays on either side.
denied() {
  "$@"
  local fault=
  is_denial "$answer" || fault="the client saw: $answer"
  ((took_ms < 1000)) || fault=${fault:-"took $took_ms ms"}
  wait_for 2 none_of_this_left server_side || fault=${fault:-"left at the server: $(server_side | grep ":$port ")"}
  wait_for 2 none_of_this_left client_side || fault=${fault:-"left at the client: $(client_side | grep ":$port ")"}
  report "$answer after $took_ms ms: ${*: -1}" "$fault"
  times+=("$took_ms")
}

lab_begin
dataplane_start
agent_start "$root/configs/demo/before.yaml"
for round in 1 2 3; do
  denied request -4 https://denied.sp.test/
  denied request -6 https://denied.sp.test/
  denied request -4 http://denied.sp.test/
  denied request -6 http://other.test/
  denied request -4 https://allowed.sp.test:8443/
  denied request -4 "https://$server_ip4/"
  # The request lies over more than one segment, all of them held when the verdict falls.
  denied request -H "X-Filler: $(head -c 6000 /dev/zero | tr '\0' x)" http://denied.sp.test/
  denied request_without_sni "$server_ip4"
done
echo "# median $(printf '%s\n' "${times[@]}" | sort -n | sed -n "$((${#times[@]} / 2 + 1))p") ms, the start of the client's process included"

# Many at once: each client is told, none waits for another's.
many=40
all_under() { awk -v most="$1" -v many="$many" '$1 >= most { slow = 1 } END { exit slow || NR != many }' "$2"; }
for ((i = 1; i <= many; i++)); do
  client curl --silent --max-time 15 --output /dev/null --write-out '%{time_total}\n' -4 https://denied.sp.test/ || true
done >"$lab/many"
check "$many denials in a row, each under a second" all_under 1 "$lab/many"
echo "# median $(sort -g "$lab/many" | sed -n "$((many / 2 + 1))p") s by curl's own clock"
for ((i = 1; i <= many; i++)); do
  client curl --silent --max-time 15 --output /dev/null --write-out '%{time_total}\n' -4 https://denied.sp.test/ &
done >"$lab/together"
wait_for 30 bash -c "[[ \$(wc -l <'$lab/together') = $many ]]" || true
check "$many denials at once, each under three seconds" all_under 3 "$lab/together"
check "no connection is left at the server" wait_for 2 none_left server_side
check "none at the client" wait_for 2 none_left client_side
check "nothing that was denied is in the server's log" bash -c "! grep -q denied.sp.test '$lab/log/access.log'"
expect allow demo/web https://allowed.sp.test/ -4
lab_end
