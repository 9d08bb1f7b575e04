# Shared by every script here; source it. Sets $root (the source tree) and $build (where to build).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${SALLYPORT_BUILD_DIR:-$root/build}
[[ $build = /* ]] || build=$PWD/$build
export PATH=$PATH:/usr/sbin:/sbin   # nginx, ip, ethtool: not on every user's path

# One line that tells what is going on: rewritten in place on a terminal, a line each elsewhere.
progress() {
  if [[ -t 2 ]]; then printf '\r\033[K%.*s' "$(($(tput cols 2>/dev/null || echo 80) - 1))" "$*" >&2
  else printf '%s\n' "$*" >&2; fi
}

# Ends the rewritten line, so that what follows starts on a clean one.
progress_end() { [[ ! -t 2 ]] || printf '\r\033[K' >&2; }

# die STATUS MESSAGE: 1 the answer is no, 2 something is missing or misused.
die() {
  local status=$1; shift
  progress_end
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit "$status"
}

is_root() { [[ $(id -u) -eq 0 ]]; }

# wait_for SECONDS COMMAND…: polls until the command succeeds; fails once the time is up.
wait_for() {
  local end=$((SECONDS + $1)); shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
}
