#!/bin/bash
# The data plane is restarted under a live connection: by default a real program is reset at once and connects anew;
# with pass-flow it notices nothing.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

names_policy() {
  cat <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: names}
spec:
  egress: [{name: hub, action: Allow, to: {domainNames: [allowed.sp.test]}}]
END
}

# Asks for a page, waits until $lab/go is there, and asks again by the same connection; as programs do, it connects
# anew when that breaks. Prints: tries, milliseconds, page.
program='
import http.client, os, ssl, sys, time
name, ca, go = sys.argv[1:]
connection = http.client.HTTPSConnection(name, timeout=15, context=ssl.create_default_context(cafile=ca))
def page():
    connection.request("GET", "/")
    return connection.getresponse().read().decode().strip()
print(page(), flush=True)
while not os.path.exists(go):
    time.sleep(0.02)
began = time.monotonic()
for tries in range(1, 6):
    try:
        text = page()
        print(tries, round(1000 * (time.monotonic() - began)), text, flush=True)
        break
    except (ConnectionError, http.client.HTTPException) as error:
        print(error, file=sys.stderr, flush=True)
        connection.close()
'
has_page() { grep -q '^hello from' "$lab/log/program.out" || lab_dead program; }
program_start() {
  rm -f "$lab/go"
  lab_spawn program ip netns exec sp-client python3 -c "$program" allowed.sp.test "$lab/ca.pem" "$lab/go"
  wait_for 10 has_page
  check "a program has its first page" lab_alive program
}
# program_goes_on TRIES: its second page comes with so many tries, and soon.
program_goes_on() {
  local tries=0 took_ms=0 text=
  touch "$lab/go"
  wait_for 20 lab_dead program || true
  read -r tries took_ms text < <(tail -n 1 "$lab/log/program.out") || true
  check "its second page comes, after $took_ms ms" test "$text" = "hello from allowed.sp.test"
  check "by connection $1" test "$tries" = "$1"
  check "within a second" test "$took_ms" -lt 1000
}
dataplane_again() { lab_stop dataplane || true; dataplane_start; }
says_midstream() { [[ $(record verdict "$kept_port" | jq -r .policy.reason) = midstream ]]; }

lab_begin
names_policy >"$lab/names.yaml"
dataplane_start
agent_start "$lab/names.yaml"

echo "# reject"
program_start
keep_alive_start allowed.sp.test
dataplane_again
program_goes_on 2
check "a kept connection gets no other page" eval '! keep_alive_again'
check "but a reset" kept_was_reset
check "nothing is left at the server" wait_for 2 none_left server_side
expect allow names/hub https://allowed.sp.test/ -4

echo "# pass-flow"
more_config=$'exceptions:\n  midstream: pass-flow'
dataplane_again
program_start
keep_alive_start allowed.sp.test
dataplane_again
program_goes_on 1
check "a kept connection is answered" keep_alive_again
check "the log says why it passes" wait_for 2 says_midstream
expect allow names/hub https://allowed.sp.test/ -4
expect deny default_deny https://denied.sp.test/ -4
check_books
lab_end
