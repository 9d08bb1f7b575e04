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

lab_end() { ((failures == 0)) || die 1 "$failures failed"; }

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
