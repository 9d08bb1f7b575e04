#!/bin/bash
# `sallyport top` in a real terminal while real clients go through the gateway: its figures are those
# of the counters, keys and resizes work, a data plane that dies and returns is told, and the terminal is
# left as it was found.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

if [[ -z $(command -v tmux) ]]; then
  echo "skipped: no tmux (Debian package tmux)"
  exit 77
fi

# A server of our own, without anybody's configuration.
terminal() { tmux -S "$lab/tmux" -f /dev/null "$@"; }
screen_text() { terminal capture-pane -p -t top; }
shows() { screen_text | grep -qE -- "$1"; }
shows_not() { ! shows "$1"; }
key() { terminal send-keys -t top "$@"; }
# appears WHAT PATTERN: within ten seconds.
appears() {
  local fault=
  wait_for 10 shows "$2" || fault="no line like '$2'; the screen was: $(screen_text)"
  report "$1" "$fault"
}
terminal_end() { terminal kill-server 2>/dev/null || true; }

# top_start: in a shell, so that the end leaves something to look at.
top_start() {
  terminal send-keys -t top "clear; '$build/sallyport' top --stats '$stats'; echo ended with \$?" Enter
}

# total FAMILY LABEL: of all cores and all labels that hold this one.
total() {
  sallyport counters --stats "$stats" --all --format json | jq --arg family "$1" --arg labels "$2" \
    '[.counters[] | select(.family == $family and (.labels | contains($labels))) | .total] | add'
}
# The TOTAL column of a pane's row: "denied                 7.50         15".
shown_total() { screen_text | sed -nE "s/.*\b$1 +[0-9.]+ [ kMG] +([0-9]+)\b.*/\1/p" | head -n 1; }
denied_agree() { [[ $(shown_total denied) = "$(total sallyport_drops_total reason=denied)" ]]; }
# Columns of `tls  0.00   123  0.00  45`: allowed and denied.
shown_verdicts() { screen_text | sed -nE 's/.*\btls +[0-9.]+ [ kMG] +([0-9]+) +[0-9.]+ [ kMG] +([0-9]+)\b.*/\1 \2/p' | head -n 1; }
verdicts_agree() {
  [[ $(shown_verdicts) = "$(total sallyport_verdicts_total 'action=allow,mode=enforce,protocol=tls') $(
    total sallyport_verdicts_total 'action=deny,mode=enforce,protocol=tls')" ]]
}

# Hits of a rule: on the screen, as JSON, and what the flow log says of them under the policy in force.
revision() { sallyport status --stats "$stats" --socket "$agent_socket" --format json | jq -r '.cores[0].revision'; }
shown_hits() { screen_text | sed -nE "s#.*\bdemo/$1 +[0-9.]+ [ kMG] +([0-9]+)\b.*#\1#p" | head -n 1; }
json_hits() {
  sallyport top --stats "$stats" --once --interval 0.1 --format json |
    jq --arg name "demo/$1" --arg revision "$(revision)" \
      '.total.rules[] | select(.name == $name and .revision == $revision) | .hits.total'
}
logged_hits() {
  jq -s --arg rule "$1" --arg revision "$(revision)" \
    '[.[] | select(.event_type == "verdict" and .policy.rule == $rule and .policy.revision == $revision)] | length' "$flow_log"
}
hits_agree() {
  local logged
  logged=$(logged_hits "$1")
  [[ $logged -ge $2 && $(shown_hits "$1") = "$logged" && $(json_hits "$1") = "$logged" ]]
}

says() { jq -e "$@" >"$lab/null"; }
# One interval as JSON, while a download of known pace runs through it.
json_agrees() {
  local before after json
  before=$(total sallyport_packets_total direction=rx)
  json=$(sallyport top --stats "$stats" --once --interval 2 --format json)
  after=$(total sallyport_packets_total direction=rx)
  echo "$json" >"$lab/log/top.json"
  check "the interval is as long as asked for" says '.interval_seconds >= 2 and .interval_seconds < 3' <<<"$json"
  # shellcheck disable=SC2016 # variables of jq
  check "packets are what the counters gained" says --argjson before "$before" --argjson after "$after" \
    '.total.packets | .total >= $before and .total <= $after and .per_second > 100
     and .per_second * 2 <= $after - $before + 1' <<<"$json"
  check "the download's pace is its bytes" says '.total.bytes.per_second | . > 1e6 and . < 6e6' <<<"$json"
  check "latencies were measured" says '.total.histograms.sallyport_packet_latency_seconds
    | .count > 100 and .p50 > 0 and .p50 <= .p99 and .p99 <= .p999 and .p999 < 1' <<<"$json"
  check "polls were, too" says '.cores[0].busy_ratio > 0 and .cores[0].busy_ratio <= 1' <<<"$json"
}

lab_begin
trap 'terminal_end; lab_down' EXIT
terminal new-session -d -s top -x 80 -y 24 "env LANG=C.UTF-8 bash --norc --noprofile"
top_start
appears "without a data plane it says so, and waits" 'does not exist: no data plane'
dataplane_start
appears "then there is one, without a policy" '! no policy is in force: everything is denied'
agent_start "$root/configs/demo/before.yaml"
appears "and now with one" "^policy $(revision), generation [0-9]+"

for round in 1 2 3; do
  expect allow demo/web https://allowed.sp.test/ -4
  expect deny demo/never https://denied.sp.test/ -6
done
slow_download_start
json_agrees
appears "packets pass while they do" '^>   1 [0-9. ]+ k'
screen_text >"$lab/log/top-80x24.txt"
terminal capture-pane -p -e -t top >"$lab/log/top-80x24.ansi"
check "the download arrives" slow_download_wait
check "verdicts are those of the counters" wait_for 10 verdicts_agree
check "drops are those of the counters" wait_for 10 denied_agree

check "hits of a rule are its verdicts in the log" wait_for 10 hits_agree web 3
check "those that deny, too" wait_for 10 hits_agree never 3
key u
appears "u lists rules by hits" '^RULES BY HITS of all cores, by HITS/s, most first'
appears "those that decided nothing, too" "^demo/mirrors +0 +0  $(revision)$"
check "with the same figures" wait_for 10 hits_agree web 3
terminal capture-pane -p -t top >"$lab/log/top-rules.txt"
check "a push of another policy" sallyport push "$root/configs/demo/after.yaml" --socket "$agent_socket"
appears "its rules begin at 0" "^demo/web +0 +0  $(revision)$"
expect allow demo/web https://allowed.sp.test/ -4
check "and are counted" wait_for 10 hits_agree web 1
key u
appears "u leads back" '^ CORE  PKT/s'

terminal resize-window -t top -x 120 -y 40
appears "more room, more columns" 'TIME TO VERDICT'
appears "and panes" 'OTHER COUNTS'
terminal capture-pane -p -e -t top >"$lab/log/top-120x40.ansi"
key Enter
appears "Enter zooms into the core" '^CORE 1  running, heartbeat'
appears "with all reasons, those that did not occur too" 'fragment_overlap +0 +0'
terminal capture-pane -p -e -t top >"$lab/log/top-core.ansi"
key Escape
appears "Esc leads back" '^ CORE  PKT/s'
key '>'
appears "> sorts by the next column" 'by PKT/s, most first'
key '?'
appears "? is help" '^KEYS'
key '?'
key Space
appears "Space pauses" 'PAUSED'
key Space
check "and goes on" wait_for 10 shows_not PAUSED
terminal resize-window -t top -x 60 -y 10
appears "a small terminal is told what it lacks" 'needs 80 columns and 24 lines; this'
terminal resize-window -t top -x 80 -y 24
appears "and is served when it has grown" '^ CORE  PKT/s'

lab_stop dataplane KILL || true
appears "a data plane that died is told" '! the data plane is gone or stuck: no core turned for'
dataplane_start
appears "its successor is met" 'the data plane was restarted: now pid'
appears "and is the one that runs" "running, pid $(lab_pid dataplane)"
check "it stops in order" lab_stop dataplane
appears "which is told as well" '! the data plane has stopped; these are its last counts'

key q
appears "q ends it" '^ended with 0$'
check "the screen behind it is back" wait_for 5 shows_not 'DROPS BY REASON'
key 'stty -a | grep -o "[-]*echo " | head -n 1; echo looked' Enter
appears "the terminal echoes again" '^echo *$'
key "clear; TERM=nonsense '$build/sallyport' top" Enter
appears "a terminal that nobody knows is named" "the terminal 'nonsense' is not known here"
top_start
appears "it starts again" 'DROPS BY REASON'
pkill_top() { kill "-$1" "$(pgrep -P "$(terminal list-panes -t top -F '#{pane_pid}')" -x sallyport)"; }
check "it takes SIGTERM" pkill_top TERM
appears "and ends by it" '^ended with 143$'
check "with the screen as before" wait_for 5 shows_not 'DROPS BY REASON'
top_start
appears "it starts again" 'DROPS BY REASON'
check "it crashes" pkill_top SEGV
appears "and ends by that" '^ended with 139$'
check "with the screen as before" wait_for 5 shows_not 'DROPS BY REASON'
key 'clear; stty -a | grep -o "[-]*echo " | head -n 1; echo looked' Enter
appears "and a terminal that echoes" '^echo *$'
lab_end
