# What every lab test starts with; source it, then lab_begin. A test tries all it has to try, says
# ok or FAIL for each, and ends 1 if one failed. 77 means skipped: the reason is printed.

source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/common.sh"
source "$root/scripts/lib/lab.sh"
source "$root/scripts/lib/gateway.sh"

failures=0

lab_begin() {
  local reason
  reason=$(lab_missing)
  if [[ -n $reason ]]; then echo "skipped: $reason"; exit 77; fi
  lab_up
}

# check_books: every packet that any core got, or made, is accounted for.
check_books() { check "the books balance" sallyport status --books --stats "$stats"; }

# Whatever a test was about, of the packets that it sent none may be amiss.
lab_end() {
  if lab_alive dataplane; then check_books; fi
  ((failures == 0)) || die 1 "$failures failed"
}

# wire_begin, wire_agrees: since the first call, the frames of both namespaces' eth0 are, to the frame, those that
# the gateway received or missed, and sent. For a gateway that nothing is on its way through.
wire_difference() {
  local from_client to_server gateway=()
  from_client=$(client cat /sys/class/net/eth0/statistics/tx_packets)
  to_server=$(server cat /sys/class/net/eth0/statistics/rx_packets)
  read -r -a gateway < <(sallyport counters --stats "$stats" --all --format json | jq -r '
    def sum(family; labels): [.counters[] | select(.family == family and (.labels | contains(labels))) | .total] | add;
    [sum("sallyport_packets_total"; "direction=rx,port=inside") + sum("sallyport_missed_packets_total"; "port=inside"),
     sum("sallyport_packets_total"; "direction=tx,port=outside")] | @tsv')
  echo "$((from_client - gateway[0])) $((to_server - gateway[1]))"
}
wire_begin() {
  wire_before=$(wire_difference)
  until sleep 1 && [[ $(wire_difference) = "$wire_before" ]]; do wire_before=$(wire_difference); done
}
wire_agrees() { [[ $(wire_difference) = "$wire_before" ]]; }

# report WHAT FAULT: an empty fault is ok.
report() {
  if [[ -z $2 ]]; then echo "ok - $1"; return; fi
  echo "FAIL - $1: $2"
  failures=$((failures + 1))
}

# check WHAT COMMAND…: ok if the command succeeds.
check() {
  local what=$1 fault=; shift
  "$@" || fault="not so: $*"
  report "$what" "$fault"
}

# expect allow|deny RULE CURL_ARG…: one request, judged by what the client, the server and the flow
# log saw of it.
expect() {
  local expected=$1 rule=$2; shift 2
  request "$@"
  judge "$expected" "$rule"
  report "$expected $*" "$fault${fault:+ (answer: $answer; log: $action by $policy)}"
}

# Connections that either side still believes in. TIME-WAIT is an end, not a connection.
open_states=(state established state syn-sent state syn-recv state fin-wait-1 state fin-wait-2 state close-wait
  state last-ack state closing)
server_side() { server ss -Htan "${open_states[@]}"; }
client_side() { client ss -Htan "${open_states[@]}"; }
none_left() { [[ -z $("$1") ]]; }
