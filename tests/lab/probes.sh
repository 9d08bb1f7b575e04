#!/bin/bash
# What other gateways were seen to get wrong, one probe after the other: a hello in pieces, names at the
# edges of a rule, requests that name two hosts, bytes that are no TLS, a reload under load.
set -euo pipefail
source "$(dirname "$0")/clients.sh"
source "$(dirname "$0")/wire.sh"

wild=mirror.sp.test   # only names below it are allowed

# probes_policy REVISION: as clients.yaml, and the wildcard. Revisions differ in a name that nobody asks for.
probes_policy() {
  cat "$root/tests/lab/clients.yaml"
  cat <<END
    - {name: wild, action: Allow, to: {domainNames: ["*.$wild", unused-$1.test]}}
END
}

# A probe is a command; @ in its words is a source port that no other has.
run_probe() {
  port=$((next_port += 1))
  run_client - "${@//@/$port}"
}
# passes WHAT ANSWER WORD…
passes() {
  local what=$1 answer=$2 fault=; shift 2
  run_probe "$@"
  [[ $said =~ $answer ]] || fault=$said
  (($(payload_frames_of "$port") > 0)) || fault=${fault:-"not in the capture, so it proves no denial either"}
  report "$what: passes" "$fault"
}
# fails WHAT ANSWER WORD…: it is told so at once, and not one byte of it came to the server's wire.
denied_ports=()
run_denied() { run_probe "$@"; denied_ports+=("$port"); }
fails() {
  local what=$1 answer=$2 fault=; shift 2
  at_once "$what" "$says_something" run_denied "$@"
  [[ $said =~ $answer ]] || fault=$said
  [[ $(payload_frames_of "$port") = 0 ]] || fault=${fault:-"bytes of it came to the server's wire"}
  report "$what: denied" "$fault"
}

curl=(curl -sS -4 --cacert "$lab/ca.pem" --local-port @)
python=(env "SSL_CERT_FILE=$lab/ca.pem" /usr/bin/python3 "$root/tests/lab/probe.py")
alert='alert access denied'
forbidden='denied by the egress policy'
# hello NAME SIZES; say TO TEXT…
hello=("${python[@]}" tls @ "$server_ip4")
say=("${python[@]}" say @ "$server_ip4")

tls_names() {
  fails "a denied name" "$alert" "${curl[@]}" "https://$denied/"
  passes "an allowed one" "hello from $allowed" "${curl[@]}" "https://$allowed/"
  fails "the bare name under a wildcard" "$alert" "${curl[@]}" "https://$wild/"
  passes "a name below it" "hello from pkg.$wild" "${curl[@]}" "https://pkg.$wild/"
  # For who reads to the NUL the first name is meant, for who compares the end the allowed one.
  fails "NUL in front of an allowed end" "$alert|reset by peer" "${hello[@]}" "$denied%.$wild" ""
  fails "NUL behind an allowed name" "$alert|reset by peer" "${hello[@]}" "$allowed%.$denied" ""
}

# Each is tried with both names: whole servers take all of them.
hello_in_pieces() {
  local sizes what
  while read -r sizes what; do
    passes "$what" "hello from $allowed" "${hello[@]}" "$allowed" "$sizes"
    fails "$what" "$alert" "${hello[@]}" "$denied" "$sizes"
  done <<END
200 a hello in two records
1 a record that ends behind the first byte of the handshake header
3 a record that ends inside the handshake header
4 a record that holds the handshake header only
1,1,1,1,1,50,50,100,100 a hello in ten records
END
}

not_tls() {
  fails "no TLS on port 443" 'reset by peer' "${say[@]}" 443 'SSH-2.0-OpenSSH_9.2\r\n'
  fails "binary on port 443" 'reset by peer' "${say[@]}" 443 '\x00\x01\x02\x03\xff\xfe\x80\x81'
}

http_hosts() {
  local http=(-H 'Connection: close')
  passes "HTTP/1.0 with an allowed Host" "hello from $allowed" "${curl[@]}" -0 "http://$allowed/"
  fails "HTTP/1.0 without Host" "$forbidden" "${curl[@]}" -0 -H 'Host:' "http://$allowed/"
  fails "HTTP/1.1 without Host" "$forbidden" "${curl[@]}" "${http[@]}" -H 'Host:' "http://$allowed/"
  fails "two Hosts, the denied one first" "$forbidden" \
    "${say[@]}" 80 "GET / HTTP/1.1\r\nHost: $denied\r\nHost: $allowed\r\n\r\n"
  fails "two Hosts, the allowed one first" "$forbidden" \
    "${say[@]}" 80 "GET / HTTP/1.1\r\nHost: $allowed\r\nHost: $denied\r\n\r\n"
  fails "the same Host twice" "$forbidden" "${say[@]}" 80 "GET / HTTP/1.1\r\nHost: $allowed\r\nHost: $allowed\r\n\r\n"
  fails "a target of a denied host, Host an allowed one" "$forbidden" \
    "${curl[@]}" --request-target "http://$denied/" "http://$allowed/"
  fails "the other way round" "$forbidden" "${curl[@]}" --request-target "http://$allowed/" "http://$denied/"
  passes "a target and Host that agree" "hello from $allowed" "${curl[@]}" --request-target "http://$allowed/" "http://$allowed/"
}

# The first request and its answer pass; of the second nobody hears.
keep_alive() {
  at_once "keep-alive, then a denied Host" 'GET /second' run_probe "${say[@]}" 80 \
    "GET / HTTP/1.1\r\nHost: $allowed\r\n\r\n" "GET /second HTTP/1.1\r\nHost: $denied\r\n\r\n"
  check "the first is answered" grep -q "hello from $allowed" "$lab/said"
  check "the second is denied" grep -q "$forbidden" "$lab/said"
  check "one request came to the server's wire" test "$(payload_frames_of "$port")" = 1
}

# each_until_stopped LOG CURL_ARG…: one curl after the other; LOG gets a line for each request: statuses and seconds.
stopped=$lab/stopped
load_pids=()
each_until_stopped() {
  # shellcheck disable=SC2016 # the inner shell's words
  client bash -c 'stopped=$1 log=$2; shift 2; until [[ -e $stopped ]]; do
      curl -sS -4 --max-time 10 --output /dev/null --write-out "%{http_code} %{exitcode} %{time_total}\n" "$@" >>"$log" 2>&1
    done' _ "$stopped" "$1" --cacert "$lab/ca.pem" "${@:2}" &
  load_pids+=("$!")
}
reload_under_load() {
  local i loads=("$lab/load-"{1,2,3,4}) bad
  probes_policy two >"$lab/two.yaml"
  lab_stop server || true   # what passes now need not be captured
  lab_stop client || true
  slow_download_start
  each_until_stopped "${loads[0]}" "https://$allowed/"
  each_until_stopped "${loads[1]}" "https://pkg.$wild/"
  each_until_stopped "${loads[2]}" "http://$allowed/?[1-50]"    # on one connection
  each_until_stopped "${loads[3]}" "https://$allowed/?[1-50]"
  for ((i = 0; i < 24; i++)); do
    sleep 0.1   # requests begin before, in and behind each push
    sallyport push "$lab/$( ((i % 2)) && echo one || echo two).yaml" --socket "$agent_socket"
  done >"$lab/pushes"
  touch "$stopped"
  wait "${load_pids[@]}" || true
  check "24 pushes are in force one after the other" test "$(grep -c 'is in force' "$lab/pushes")" = 24
  check "of two revisions" test "$(grep 'is in force' "$lab/pushes" | sort -u | wc -l)" = 2
  for i in "${loads[@]}"; do
    bad=$(grep -vc '^200 0 ' "$i" || true)
    check "$(wc -l <"$i") requests, none fails, at most $(sort -g -k 3 "$i" | tail -n 1 | cut -d ' ' -f 3) s each" test "$bad" = 0
  done
  check "a download through all of them comes whole" slow_download_wait
}

clients_begin curl
probes_policy one >"$lab/one.yaml"
check "the policy is in force" sallyport push "$lab/one.yaml" --socket "$agent_socket"
wire_start
tls_names
hello_in_pieces
not_tls
http_hosts
keep_alive
for port in "${denied_ports[@]}"; do
  [[ $(payload_frames_of "$port") = 0 ]] || report "not later either" "port $port: bytes came to the server's wire"
done
reload_under_load
lab_end
