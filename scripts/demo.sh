#!/bin/bash
# Shows the gateway at work on this machine alone: real curl, real nginx, two network namespaces, the
# gateway on AF_XDP between them. Ends non-zero if any line of its table is not as it should be.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$root/scripts/lib/lab.sh"
source "$root/scripts/lib/gateway.sh"

usage() {
  cat <<'END'
usage: sudo scripts/demo.sh [--keep | --down]
  --keep   leave the lab up afterwards, to try things in
  --down   remove a lab that was kept
END
}

rows=()
failed=0
broken=
# row ASKED: adds the last request, as judged, to the table.
row() {
  rows+=("$1|$answer|$took_ms ms|$action|$policy|$fault")
  [[ -z $fault ]] || failed=$((failed + 1))
}

# ask ASKED allow|deny RULE CURL_ARG…
ask() {
  local asked=$1 expected=$2 rule=$3; shift 3
  progress "demo: $asked"
  request "$@"
  judge "$expected" "$rule"
  [[ -n $fault || $answer != "hello from "* ]] || answer=answer
  row "$asked"
}

first_requests() {
  ask "https allowed.sp.test" allow demo/web https://allowed.sp.test/ -4
  ask "https allowed.sp.test, IPv6" allow demo/web https://allowed.sp.test/ -6
  ask "https pkg.mirror.sp.test" allow demo/mirrors https://pkg.mirror.sp.test/ -4
  ask "https mirror.sp.test" deny default_deny https://mirror.sp.test/ -4
  ask "https denied.sp.test" deny demo/never https://denied.sp.test/ -4
  ask "https denied.sp.test, IPv6" deny demo/never https://denied.sp.test/ -6
  ask "https other.test (no rule)" deny default_deny https://other.test/ -4
  ask "http allowed.sp.test" allow demo/web http://allowed.sp.test/ -4
  ask "http denied.sp.test" deny demo/never http://denied.sp.test/ -4
  ask "https to an address, no name" deny default_deny "https://$server_ip4/"
  progress "demo: openssl without a server name"
  request_without_sni "$server_ip4"
  judge deny default_deny
  row "openssl, no server name"
  ask "https allowed.sp.test:8443" deny default_deny https://allowed.sp.test:8443/ -4
}

big_download() {
  progress "demo: a download of 10 MB"
  request https://allowed.sp.test/10mb.bin -4
  answer="whole file"
  verdict "$port"
  fault=
  [[ $(file_sum "$lab/body") = $(file_sum "$lab/www/10mb.bin") ]] || fault="the checksums differ: $(stat -c %s "$lab/body") bytes came"
  [[ $policy = demo/web ]] || fault=${fault:-"decided by $policy"}
  row "https allowed.sp.test, 10 MB"
}

# A push is felt by new flows at once and by running ones not at all, as long as they stay allowed.
push_while_downloading() {
  ask "https old.sp.test before push" allow demo/rotating https://old.sp.test/ -4
  ask "https new.sp.test before push" deny default_deny https://new.sp.test/ -4
  progress "demo: pushing a policy while a download runs"
  local started running=yes
  slow_download_start
  started=$(now_ms)
  sallyport push "$root/configs/demo/after.yaml" --socket "$agent_socket" >"$lab/log/push.out" 2>&1 ||
    die 1 "the push was refused: $(<"$lab/log/push.out")"
  pushed_ms=$(($(now_ms) - started))
  ask "https old.sp.test after push" deny default_deny https://old.sp.test/ -4
  ask "https new.sp.test after push" allow demo/rotating https://new.sp.test/ -4
  lab_alive download || running=
  progress "demo: waiting for the download"
  fault=
  slow_download_wait || fault="the checksums differ"
  [[ -n $running ]] || fault=${fault:-"it ended before the push, which proves nothing"}
  answer="whole file" took_ms=$(($(now_ms) - started))
  verdict "$slow_port"
  row "10 MB while a push happens"
}

print_table() {
  local line ok=ok bad=FAIL
  if [[ -t 1 && -z ${NO_COLOR:-} ]]; then ok=$'\e[32mok\e[0m' bad=$'\e[31mFAIL\e[0m'; fi
  cat <<'END'
 curl ── sp-in ┤ sallyport-dataplane, one polling core ├ sp-out ── nginx

END
  printf '     %-29s %-13s %7s  %-7s %s\n' "THE CLIENT ASKS FOR" "AND GETS" AFTER VERDICT BY
  for line in "${rows[@]}"; do
    IFS='|' read -r asked saw after action by fault <<<"$line"
    if [[ -z $fault ]]; then printf '%s   ' "$ok"; else printf '%s ' "$bad"; fi
    printf '%-29s %-13s %7s  %-7s %s\n' "$asked" "$saw" "$after" "$action" "$by"
    [[ -z $fault ]] || printf '       %s\n' "$fault"
  done
  printf '\nThe push took %s ms. Nothing that was denied is in the access log of nginx.\n' "$pushed_ms"
}

# The common prefix of all names is left out, so that a line fits a narrow terminal.
print_counters() {
  printf '\nsallyport status\n'
  sallyport status --stats "$stats" --socket "$agent_socket" || broken=yes
  printf '\nsallyport counters (names without sallyport_)\n'
  sallyport counters --stats "$stats" | sed '/^sallyport_drops_total/d; s/^sallyport_//; s/^COUNTER \{10\}/COUNTER/' || broken=yes
  printf '\nsallyport drops\n'
  sallyport drops --stats "$stats" --format text || broken=yes
}

print_hints() {
  cat <<END

The lab stays up. Try, as root:
  ip netns exec sp-client curl --cacert $lab/ca.pem https://allowed.sp.test/
  ip netns exec sp-client curl --cacert $lab/ca.pem https://denied.sp.test/
  tail -f $flow_log
  $build/sallyport push $root/configs/demo/before.yaml --socket $agent_socket
  $build/sallyport status --stats $stats --socket $agent_socket
  tcpdump -ni sp-out          # AF_XDP takes frames before tcpdump sees them: only what is sent shows
  scripts/demo.sh --down      # removes it
END
}

main() {
  case ${1:-} in
    --keep | '') ;;
    --down) lab_take_lock; lab_clear; return ;;
    -h | --help) usage; return ;;
    *) usage >&2; exit 2 ;;
  esac
  is_root || die 2 "needs root, for namespaces and AF_XDP: sudo scripts/demo.sh"
  "$root/scripts/lib/install.sh"
  local reason
  reason=$(lab_missing)
  [[ -z $reason ]] || die 2 "cannot run here: $reason"
  "$root/scripts/lib/build.sh"
  progress "demo: setting up the lab"
  lab_up
  [[ ${1:-} != --keep ]] || lab_keep=yes
  progress "demo: starting the data plane and the agent"
  dataplane_start
  agent_start "$root/configs/demo/before.yaml"
  first_requests
  big_download
  push_while_downloading
  progress_end
  print_table
  print_counters
  [[ -z ${lab_keep:-} ]] || print_hints
  printf '\n%d of %d lines as expected\n' $((${#rows[@]} - failed)) ${#rows[@]}
  [[ $failed = 0 && -z $broken ]]
}
main "$@"
