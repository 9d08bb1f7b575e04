#!/bin/bash
# Installs, builds, lints and runs every test; the last line is always "N passed, N failed, N skipped".
# Without root it runs all but the lab, whose tests then count as skipped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

usage() {
  cat <<'END'
usage: [sudo] scripts/test.sh [--sanitize] [--tsan] [SUITE…]
  SUITE        lint, unit, pipeline, fuzz, corpus, lab (default: all, in this order)
  --sanitize   then unit, pipeline and fuzz again in build-asan, under ASan and UBSan
  --tsan       then unit and pipeline again in build-tsan, under ThreadSanitizer
Each skipped test says why. Exit status: 0 all passed, 1 something failed, 2 cannot run at all.
END
}

# Under sudo the results still belong to whoever owns the sources, who must be able to replace them.
give_back() {
  local directory
  is_root && [[ $(stat -c %u "$root") -ne 0 ]] || return 0
  for directory in "$build" "$root"/build-*san; do
    [[ ! -d $directory ]] || chown -R --reference="$root" "$directory"
  done
}

passed=0
failed=0
skipped=0
finish() {
  local status=$?
  trap - EXIT
  progress_end
  give_back
  # Whatever cut the run short must not look like a success.
  if ((status != 0 && failed == 0)); then failed=1; fi
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  ((status != 0 || failed == 0)) || status=1
  exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM

# count LOG: adds up meson's own record, a JSON object a test, and shows what did not pass.
count() {
  local log=$1
  [[ -s $log ]] || return 0
  passed=$((passed + $(jq -s 'map(select(.result == "OK" or .result == "EXPECTEDFAIL")) | length' "$log")))
  skipped=$((skipped + $(jq -s 'map(select(.result == "SKIP")) | length' "$log")))
  failed=$((failed + $(jq -s 'map(select(.result | IN("OK", "EXPECTEDFAIL", "SKIP") | not)) | length' "$log")))
  jq -r 'select(.result == "SKIP") | "skipped: \(.name): " +
    ((.stdout // "") | rtrimstr("\n") | split("\n") | last // "no reason given" | ltrimstr("skipped: "))' "$log"
  jq -r 'select(.result | IN("OK", "EXPECTEDFAIL", "SKIP") | not) | "FAILED: \(.name) (\(.result))\n" +
    (((.stdout // "") + (.stderr // "")) | rtrimstr("\n") | split("\n") | .[-40:] | map("    " + .) | join("\n"))' "$log"
}

# run_suite SUITE: in $build. A run that fails without naming a test counts as one failure.
run_suite() {
  local suite=$1 log=$build/meson-logs/testlog-$1.json status=0 failed_before=$failed
  has_tests "$suite" || return 0
  rm -f "$log"
  progress "test: $suite in ${build##*/}"
  # Built already; a rebuild in here would hide its errors among the tests.
  meson test -C "$build" --no-rebuild --suite "$suite" --logbase "testlog-$suite" --timeout-multiplier "$patience" \
    >"$build/meson-logs/console-$suite.txt" 2>&1 || status=$?
  progress_end
  count "$log"
  if ((status != 0 && failed == failed_before)); then
    failed=$((failed + 1))
    echo "FAILED: suite $suite: meson test ended with $status"
    tail -n 10 "$build/meson-logs/console-$suite.txt"
  fi
}

has_tests() {
  meson introspect --tests "$build" | jq -e --arg suite "$1" 'any(.[]; .suite | any(endswith(":" + $suite) or . == $suite))' >/dev/null
}

run_lint() {
  if "$root/scripts/lint.sh"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: lint"; fi
}

# build_or_fail [MESON OPTION…]: a build that fails counts, and what needs it is not run.
build_or_fail() {
  "$root/scripts/lib/build.sh" "$@" && return
  failed=$((failed + 1))
  echo "FAILED: build in ${build##*/}; its tests did not run"
  return 1
}

# A time limit is there to end what hangs: machines differ, and a sanitizer takes ten times as long.
patience=2

# again DIRECTORY SANITIZERS SUITE…: a second build of its own, without the lab and the lint.
again() {
  local directory=$1 sanitizers=$2 suite; shift 2
  build=$root/$directory
  patience=6
  # Clang without optimisation compiles this in two thirds of GCC's time, and a second compiler sees other faults.
  # Without warnings: the release build has shown them all.
  CXX=clang++-19 SALLYPORT_BUILD_DIR=$build build_or_fail -Db_sanitize="$sanitizers" -Db_lundef=false \
    -Doptimization=0 -Ddebug=false "-Dcpp_args=-g1 -w" || return 0
  for suite; do
    if wanted "$suite"; then run_suite "$suite"; fi
  done
}

suites=()
sanitize=
tsan=
wanted() { [[ " ${suites[*]} " = *" $1 "* ]]; }

for argument; do
  case $argument in
    --sanitize) sanitize=yes ;;
    --tsan) tsan=yes ;;
    lint | unit | pipeline | fuzz | corpus | lab) suites+=("$argument") ;;
    -h | --help) trap - EXIT; usage; exit ;;
    *) trap - EXIT; usage >&2; exit 2 ;;
  esac
done
((${#suites[@]})) || suites=(lint unit pipeline fuzz corpus lab)

"$root/scripts/lib/install.sh"
if build_or_fail; then
  if wanted lint; then run_lint; fi
  for suite in unit pipeline fuzz corpus lab; do
    if wanted "$suite"; then run_suite "$suite"; fi
  done
fi
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=1:detect_leaks=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
[[ -z $sanitize ]] || again build-asan address,undefined unit pipeline fuzz
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1}
[[ -z $tsan ]] || again build-tsan thread unit pipeline
((failed == 0))
