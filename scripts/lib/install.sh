#!/bin/bash
# Installs what scripts/packages.txt lists and this machine lacks. Does nothing, and needs neither
# root nor the network, when all of it is there. Runs on a minimal Debian 12: bash, dpkg and apt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

is_installed() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) = installed ]]
}

missing_packages() {
  local name rest
  while read -r name rest; do
    [[ -z $name || $name = \#* ]] || is_installed "$name" || printf '%s\n' "$name"
  done <"$root/scripts/packages.txt"
}

# An answer of 101 keeps maintainer scripts from starting nginx as a system service.
policy_file=/usr/sbin/policy-rc.d
policy_mark='# put here by sallyport while it installs packages'
forbid_services() {
  [[ ! -e $policy_file ]] || mv "$policy_file" "$policy_file.sallyport-saved"
  printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy_file"
  chmod 755 "$policy_file"
  trap restore_services EXIT
}
# Also what a run that was killed has left: only a file with our mark is ours to remove.
restore_services() {
  grep -qsF "$policy_mark" "$policy_file" || return 0
  rm -f "$policy_file"
  [[ ! -e $policy_file.sallyport-saved ]] || mv "$policy_file.sallyport-saved" "$policy_file"
}

apt() { apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null; }
# Old package lists name versions that the mirror may have dropped: one retry with fresh lists.
install_all() {
  apt install -y --no-install-recommends "$@" >"$log" 2>&1 && return
  progress "install: refreshing package lists"
  apt update >"$log" 2>&1 && apt install -y --no-install-recommends "$@" >"$log" 2>&1
}

main() {
  command -v dpkg-query >/dev/null || die 2 "needs Debian 12 or a relative: no dpkg here"
  if is_root; then restore_services; fi
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || return 0
  is_root || die 2 "not root and these packages are missing: ${missing[*]}"
  progress "install: ${#missing[@]} packages (${missing[*]})"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  forbid_services
  if ! install_all "${missing[@]}"; then
    progress_end
    tail -n 15 "$log" >&2
    rm -f "$log"
    die 2 "apt-get could not install: ${missing[*]}"
  fi
  rm -f "$log"
  progress_end
}
main
