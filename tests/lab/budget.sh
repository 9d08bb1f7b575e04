#!/bin/bash
# A budget of 20 MB against a real upload: what is over it does not leave, whatever is restarted or pushed.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

budget=20000000

# budget_policy BYTES [NAME]: NAME is allowed beside, so that two policies differ.
budget_policy() {
  cat <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: budget}
spec:
  egress:
    - name: free
      action: Allow
      to: {domainNames: [old.sp.test, ${2:-mirror.sp.test}]}
    - name: uploads
      action: Allow
      to: {domainNames: [allowed.sp.test]}
      budget: {bytesOut: $1, window: 366d, scope: source}   # no window ends while the test runs
END
}

# Takes what is posted, and writes down how much came.
sink_program='
import http.server, sys, time
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        came, length = 0, int(self.headers["Content-Length"])
        with open(sys.argv[1], "w") as out:
            while came < length:
                try: data = self.rfile.read1(65536)
                except OSError: break
                if not data: break
                came += len(data)
                out.seek(0); out.write(str(came)); out.flush()
        if came == length:
            self.send_response(200); self.end_headers(); self.wfile.write(b"hello from the sink\n")
    def do_GET(self):
        self.send_response(200); self.end_headers()
        try:
            for _ in range(300 if self.path == "/slow" else 0):
                self.wfile.write(bytes(100000)); time.sleep(0.2)
        except OSError: pass
    def log_message(self, *arguments): pass
http.server.ThreadingHTTPServer(("", 8088), Sink).serve_forever()'
sink_ready() { server curl -s -o "$lab/null" --max-time 1 "http://$server_ip4:8088/"; }

# upload FILE: sets $answer, and $came, the bytes that the server got.
upload() {
  rm -f "$lab/came"
  request -4 --max-time 60 -H 'Expect:' --data-binary "@$1" http://allowed.sp.test:8088/
  came=$(cat "$lab/came" 2>/dev/null || echo 0)
}
# A minute long, if nothing cuts it off.
download_start() {
  rm -f "$lab/slow.bin"
  lab_spawn download ip netns exec sp-client curl --silent --show-error --max-time 90 \
    --output "$lab/slow.bin" http://allowed.sp.test:8088/slow
  wait_for 5 test -s "$lab/slow.bin"
}

# The control thread writes about once a second.
status_of_budget() {
  sallyport status --stats "$stats" --socket "$agent_socket" --budgets "$budget_state" --format json |
    jq "(.budgets // [])[] | select(.rule == \"uploads\" and .key == \"$client_ip4\") | $1"
}
used_is_near_limit() {
  local used
  used=$(status_of_budget .used_bytes)
  [[ -n $used ]] && ((used <= budget && used > budget - 3000))
}
is_spent() {
  echo "# $1"
  upload "$lab/1mb"
  verdict "$port"
  check "an upload is denied at once" test "$answer $action $came" = "status 403 deny 0"
  check "the log names the budget" grep -q '"reason":"budget_exceeded"' <(record verdict "$port")
  check "other rules are not affected" allows old.sp.test
}
allows() { request "https://$1/" -4; [[ $answer = "hello from $1" ]]; }

upload_is_cut() {
  upload "$lab/5mb"
  check "5 MB of 20 arrive" test "$answer $came" = "hello from the sink 5000000"
  check "a download begins" download_start
  upload "$lab/30mb"
  check "30 MB more are cut off" test "$answer" = reset
  check "what arrived is less than 15 MB" test "$came" -lt 15000000
  check "and more than 13" test "$came" -gt 13000000
  check "a download that ran is cut off, too" wait_for 10 lab_dead download
  check "before its end" test "$(stat -c %s "$lab/slow.bin")" -lt 30000000
  check "the status shows it" wait_for 5 used_is_near_limit
  check "and its limit" test "$(status_of_budget .limit_bytes)" = "$budget"
}

lab_begin
budget_policy "$budget" >"$lab/budget.yaml"
for megabytes in 1 5 30; do head -c "${megabytes}000000" /dev/zero >"$lab/${megabytes}mb"; done
lab_spawn sink ip netns exec sp-server /usr/bin/python3 -c "$sink_program" "$lab/came"
wait_for 10 sink_ready || die 1 "the sink did not start: $(<"$lab/log/sink.err")"
dataplane_start
agent_start "$lab/budget.yaml"

upload_is_cut
is_spent "once it is spent"
budget_policy "$budget" new.sp.test >"$lab/other.yaml"
check "another policy is accepted" sallyport push "$lab/other.yaml" --socket "$agent_socket"
is_spent "after a push"
check "what the push allows passes" allows new.sp.test
lab_stop agent KILL || true
agent_start
is_spent "after a restart of the agent"
lab_stop dataplane || true
dataplane_start
is_spent "after a restart of the data plane"
lab_stop dataplane KILL || true
dataplane_start
is_spent "after the data plane was killed"
check "the status still shows it" wait_for 5 used_is_near_limit
wait_for 10 agent_ready
budget_policy 40000000 >"$lab/policy/demo.yaml"
check "a larger budget is accepted" wait_for 10 sallyport push "$lab/policy/demo.yaml" --socket "$agent_socket"
upload "$lab/5mb"
check "and what it has more can be used" test "$answer $came" = "hello from the sink 5000000"
lab_end
