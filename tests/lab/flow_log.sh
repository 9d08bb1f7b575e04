#!/bin/bash
# The flow log on a disk that fills up, and at a collector that comes and goes: real clients notice neither, and
# what the log lacks is counted by the core and said in the log.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

small=$lab/small   # a disk of half a megabyte; lab_clear unmounts it
flow_log=$small/flows.ndjson
collector=$lab_run/collector.sock
collected=$lab/collected
more_config="flow_log: {socket: $collector, rotate_mb: 1, keep: 2}"

policy() {
  cat <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: names}
spec: {egress: [{name: hub, action: Allow, to: {domainNames: [allowed.sp.test]}}]}
END
}

# Appends what comes to a file, from one data plane at a time.
collector_program='
import os, socket, sys
if os.path.exists(sys.argv[1]): os.unlink(sys.argv[1])
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
with open(sys.argv[2], "ab", buffering=0) as out:
    while True:
        connection, _ = listening.accept()
        while data := connection.recv(65536): out.write(data)'
collector_start() { lab_spawn collector /usr/bin/python3 -c "$collector_program" "$collector" "$collected"; }

# lost CAUSE: by the stats segment, over all cores.
lost() {
  sallyport counters --all --stats "$stats" --format json |
    jq --arg cause "cause=$1" '[.. | objects | select(.labels? == $cause or .labels?.cause? == ($cause | ltrimstr("cause=")))
      | .. | numbers] | max // 0'
}
has_lost() { (($(lost "$1") > 0)); }
# missing FILE CAUSE: by its own gap records.
missing() { jq -s --arg cause "$2" 'map(select(.event_type == "gap" and .gap.cause == $cause).gap.events) | add // 0' "$1"; }
is_said() { (($(missing "$flow_log" write_failed) == $(lost write_failed))); }
events_of() { jq -c --argjson port "$2" 'select(.src_port == $port).event_type' "$1" 2>/dev/null; }
has() { [[ -n $(events_of "$1" "$2") ]]; }
lacks() { [[ $(events_of "$1" "$2") != *"$3"* ]]; }
all_json() { jq -e . "$1" >/dev/null; }
answered() { request "https://allowed.sp.test/" -4; [[ $answer = "hello from "* ]]; }
some_answered() { for _ in 1 2 3 4 5; do answered || return 1; done; }

full_disk() {
  cat /dev/zero >"$small/filler" 2>/dev/null || true
  # The file's last page may still have room.
  check "with a full disk clients are answered" some_answered
  check "and go on to be" some_answered
  check "the events are counted" wait_for 5 has_lost write_failed
  check "more of them" answered
  local lost_port=$port
  check "the data plane says why, once" test "$(grep -c 'No space left on device' "$lab/log/dataplane.err")" = 1
  check "the log so far is whole lines" all_json "$flow_log"
  rm "$small/filler"
  check "with room again the gap is said, as it was counted" wait_for 5 is_said
  check "a lost verdict is not there" lacks "$flow_log" "$lost_port" verdict
  check "but the collector has it" wait_for 5 has "$collected" "$lost_port"
  expect allow names/hub https://allowed.sp.test/ -4
}

rotated_away() {
  mv "$flow_log" "$flow_log.1"
  kill -HUP "$(lab_pid dataplane)"
  check "SIGHUP makes a new file" wait_for 2 test -e "$flow_log"
  expect allow names/hub https://allowed.sp.test/ -4
  check "what was before is in the old one" has "$flow_log.1" "$((port - 1))"
}

gone_collector() {
  lab_stop collector || true
  check "without a collector clients are answered" some_answered
  local gone_port=$port
  collector_start
  check "when it is back it has what was kept for it" wait_for 5 has "$collected" "$gone_port"
  check "in whole lines" all_json "$collected"
  check "and has lost nothing" test "$(lost sink_gone)" = 0
}

# Some megabytes of denials: more than is kept for a collector.
flood_program='
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
    for port in range(1, 30001):
        out.sendto(b"x", (sys.argv[1], port))
        if port % 50 == 0: time.sleep(0.005)'
collector_is_told() { (($(missing "$collected" sink_slow) == $(lost sink_slow))); }

slow_collector() {
  kill -STOP "$(lab_pid collector)"
  client /usr/bin/python3 -c "$flood_program" "$server_ip4"
  check "with a collector that does not read clients are answered" some_answered
  check "what it lacks is counted" wait_for 5 has_lost sink_slow
  kill -CONT "$(lab_pid collector)"
  check "when it reads again it is told, as it was counted" wait_for 10 collector_is_told
  check "in whole lines" all_json "$collected"
  check "later clients are answered" answered
  check "and stand in it" wait_for 5 has "$collected" "$port"
}

lab_begin
mkdir "$small"
mount -t tmpfs -o size=512k tmpfs "$small"
collector_start
dataplane_start
policy >"$lab/names.yaml"
agent_start "$lab/names.yaml"
expect allow names/hub https://allowed.sp.test/ -4
expect deny default_deny https://denied.sp.test/ -4
full_disk
rotated_away
gone_collector
slow_collector
check "the data plane ends in order" lab_stop dataplane
check "the log ends with a whole line" all_json "$flow_log"
lab_end
