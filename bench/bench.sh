# Shared by the benches; source it after common.sh. Sets $work, removed on exit with all that runs.

work=$(mktemp -d)
chmod 755 "$work"
started=()
all_ended() { ! kill -0 "${started[@]}" 2>/dev/null; }
bench_end() {
  if ((${#started[@]})); then
    kill "${started[@]}" 2>/dev/null || true
    # testpmd that waits for its next command does not hear it.
    wait_for 3 all_ended || kill -KILL "${started[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
  fi
  rm -rf "$work"
  progress_end
}
trap bench_end EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
# DPDK's files in a place of our own: no root needed, and nothing left behind.
mkdir "$work/dpdk"
export RUNTIME_DIRECTORY=$work/dpdk XDG_RUNTIME_DIR=$work/dpdk

needs() {
  local program
  for program; do [[ -x $build/$program ]] || die 2 "$build/$program is not built; run scripts/lib/build.sh"; done
}

# bench_policy NAMES: allows every name of the capture, one policy rule for each hundred names.
bench_policy() {
  local names=$1 first
  printf 'apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: bench}\nspec:\n  egress:\n'
  for ((first = 0; first < names; first += 100)); do
    printf '    - name: names-%d\n      action: Allow\n      to:\n        domainNames:\n' "$first"
    seq -f '          - host-%.0f.bench.test' "$first" "$((first + 99 < names ? first + 99 : names - 1))"
    printf '      protocols:\n        - tls: {ports: [443]}\n'
  done
}

median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
