# Chromium for the tests of real clients; source it in the place of clients.sh.

source "$(dirname "${BASH_SOURCE[0]}")/clients.sh"

# chromium_words FLAG…: sets $words to the command that prints the page of {}, without asking anybody
# anything else: no update, no sync, no resolver. What it writes goes to the lab.
chromium_words() {
  local spki
  spki=$(openssl x509 -in "$lab/server.pem" -pubkey -noout | openssl pkey -pubin -outform der |
    openssl dgst -sha256 -binary | base64)
  mkdir -p "$lab/chromium/tmp"
  words=(env "HOME=$lab/chromium" "TMPDIR=$lab/chromium/tmp" chromium --headless --no-sandbox --disable-gpu
    --no-first-run --disable-background-networking --disable-component-update --disable-sync
    --disable-dev-shm-usage "--user-data-dir=$lab/chromium/{}"
    "--host-resolver-rules=MAP $allowed $server_ip4, MAP $denied $server_ip4, MAP * ~NOTFOUND"
    "--ignore-certificate-errors-spki-list=$spki" "$@" --dump-dom "https://{}/")
}
