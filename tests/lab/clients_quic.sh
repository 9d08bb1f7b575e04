#!/bin/bash
# Chromium over QUIC to Caddy.
set -euo pipefail
source "$(dirname "$0")/chromium.sh"
source "$(dirname "$0")/wire.sh"

caddyfile() {
  cat <<END
{
  admin off
  auto_https off
}
https://$allowed:443, https://$denied:443 {
  tls $lab/server.pem $lab/server.key
  log {
    output file $server_log
  }
  respond "hello from {host} over {http.request.proto}"
}
END
}

caddy_ready() { server ss -Hlun sport = :443 | grep -q . || lab_dead caddy; }
caddy_start() {
  lab_stop nginx || true   # Caddy answers TCP on the port, too
  server_log=$lab/log/caddy-access.log
  touch "$server_log"
  caddyfile >"$lab/Caddyfile"
  lab_spawn caddy ip netns exec sp-server env "HOME=$lab/caddy" "XDG_DATA_HOME=$lab/caddy" \
    "XDG_CONFIG_HOME=$lab/caddy" caddy run --config "$lab/Caddyfile" --adapter caddyfile
  wait_for 10 caddy_ready || die 1 "caddy did not start"
  lab_alive caddy || die 1 "caddy ended: $(tail -n 3 "$lab/log/caddy.err")"
}

over_quic=(--enable-quic "--origin-to-force-quic-on={}:443")

clients_begin chromium caddy
caddy_start
chromium_words "${over_quic[@]}"
gets "chromium over QUIC" quic clients/over-quic "hello from $allowed over HTTP/3" "${words[@]}"
check "it came over QUIC" test "$(captured 'udp dst port 443')" -gt 0
# Without an answer it says the same, some four seconds later: the wire tells.
wire_start
at_once "chromium over QUIC" "$is_datagram" is_refused "chromium over QUIC" quic 'ERR_QUIC_PROTOCOL_ERROR' "${words[@]}"
clients_end
