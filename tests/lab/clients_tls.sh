#!/bin/bash
# TLS clients whose hellos are unlike: OpenSSL, GnuTLS, Python, Chromium.
set -euo pipefail
source "$(dirname "$0")/chromium.sh"

over_tls() { both "$1" tls clients/over-tls "${@:2}"; }

# A hello of more than one segment shows as a full one; nothing else here sends that much.
full_segments() { captured 'dst port 443 and tcp and greater 1500'; }
# spanning WHAT COMMAND…: the clients that the command runs do send such hellos.
spanning() {
  local what=$1 before; shift
  before=$(full_segments)
  "$@"
  check "the hello of $what lay over two segments" test "$(full_segments)" -gt "$before"
}

curls() {
  local curl=(curl -sS -4 --cacert "$lab/ca.pem")
  over_tls "curl, TLS 1.2" 'alert access denied' "${curl[@]}" --tlsv1.2 --tls-max 1.2 "https://{}/"
  over_tls "curl, TLS 1.3" 'alert access denied' "${curl[@]}" --tlsv1.3 "https://{}/"
}

# s_client WHAT FLAG…: OpenSSL's own client; it sends a request, since nginx logs no connection without one.
s_client() {
  local name client_input=$lab/request-{}
  for name in "$allowed" "$denied"; do
    printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$name" >"$lab/request-$name"
  done
  over_tls "openssl, $1" 'alert access denied' openssl s_client -connect "$server_ip4:443" -servername "{}" \
    -CAfile "$lab/ca.pem" -quiet "${@:2}"
}

# One key share of a KiB, and names of protocols that nobody speaks: 1.0 KiB + 0.6 KiB.
large_shares() {
  local i alpn=http/1.1
  for i in 1 2 3 4 5 6 7 8; do alpn+=,$(printf "$i%.0s" {1..70}); done
  s_client "large key shares" -tls1_3 -groups ffdhe8192:X25519 -alpn "$alpn"
}

clients_need_requests
clients_begin curl openssl wget chromium
curls
s_client "TLS 1.2" -tls1_2
s_client "TLS 1.3" -tls1_3
spanning "openssl with large key shares" large_shares
over_tls "wget" 'Unable to establish SSL' wget -nv -O - --tries 1 --ca-certificate "$lab/ca.pem" "https://{}/"
over_tls "python requests" 'ACCESS_DENIED' env "REQUESTS_CA_BUNDLE=$lab/ca.pem" /usr/bin/python3 -c "$requests_program" "https://{}/"
chromium_words --disable-quic
spanning chromium over_tls "chromium" 'ERR_SSL_PROTOCOL_ERROR' "${words[@]}"
clients_end
