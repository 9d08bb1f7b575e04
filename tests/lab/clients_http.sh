#!/bin/bash
# HTTP clients without TLS: HTTP/1, and HTTP/2 with prior knowledge.
set -euo pipefail
source "$(dirname "$0")/clients.sh"

over_http() { both "$1" http clients/over-http "${@:2}"; }
over_http2() { both "$1" http2 clients/over-http "${@:2}"; }

clients_need_requests
clients_begin curl wget nghttp
over_http "curl" 'denied by the egress policy' curl -sS -4 "http://{}/"
over_http "curl, IPv6" 'denied by the egress policy' curl -sS -6 "http://{}/"
over_http "wget" '403: Forbidden' wget -nv -O - --tries 1 "http://{}/"
over_http "python requests" 'denied by the egress policy' /usr/bin/python3 -c "$requests_program" "http://{}/"
over_http2 "curl, HTTP/2" 'reset' curl -sS -4 --http2-prior-knowledge "http://{}:8080/"
over_http2 "nghttp" 'not processed' nghttp -v "http://{}:8080/"
clients_end
