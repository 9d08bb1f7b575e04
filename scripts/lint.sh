#!/bin/bash
# Everything that can be checked without running the code. Prints what is wrong as file:line: what,
# and what to do; ends 1 if anything is.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

usage() {
  cat <<'END'
usage: scripts/lint.sh [--changed] [--tests] [--no-tidy]
  --changed   clang-tidy only for files that differ from the branch main (all other checks are quick)
  --tests     clang-tidy over tests and benches, too: twice the time
  --no-tidy   no clang-tidy and no compiling: needs no build directory
END
}

changed=
tests=
tidy=yes
for argument; do
  case $argument in
    --changed) changed=yes ;;
    --tests) tests=yes ;;
    --no-tidy) tidy= ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done

faults=$(mktemp)
trap 'rm -f "$faults"' EXIT
# Checks write their findings here, one a line.
fault() { printf '%s\n' "$*" >>"$faults"; }

# Not by git: the tree may be an export, or belong to another user than the one who lints.
mapfile -t sources < <(find policy dataplane control tests bench -name '*.cpp' | sort)
mapfile -t headers < <(find policy dataplane control tests bench -name '*.h' | sort)
mapfile -t scripts < <(find scripts tests bench .ci -type f \( -name '*.sh' -o -name run \) | sort)
code=("${sources[@]}" "${headers[@]}")

# forbid WHAT_TO_DO PATTERN DIRECTORY…: no #include in there may match.
forbid() {
  local advice=$1 pattern=$2 hit; shift 2
  while IFS= read -r hit; do
    fault "${hit%%:*}:$(cut -d : -f 2 <<<"$hit"): $(cut -d : -f 3- <<<"$hit"): $advice"
  done < <(grep -rnE --include='*.h' --include='*.cpp' "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$pattern" "$@" || true)
}

check_includes() {
  forbid "inspect is tested without DPDK; move the DPDK part to dataplane/io" 'rte_' dataplane/inspect
  forbid "inspect may include policy/runtime only" '(dataplane/io|control|policy/(compile|yaml))/' dataplane/inspect
  forbid "the daemons share policy/ only" 'dataplane/' control
  forbid "policy/ stands alone" '(dataplane|control)/' policy
  forbid "the data plane knows the compiled table only; use policy/runtime" '(control|policy/compile)/' dataplane
  forbid "the runtime must not pull in the compiler" 'policy/(compile|yaml)/' policy/runtime
  forbid "include from the root of the tree: \"policy/runtime/table.h\"" '(.*/)?\.\.?/' policy dataplane control tests bench
}

check_text() {
  local file lines hit
  for file in "${code[@]}" "${scripts[@]}"; do
    lines=$(wc -l <"$file")
    if ((lines > 500)); then fault "$file:$lines: more than 500 lines; split it by what happens there"
    elif ((lines > 400)); then echo "note: $file has $lines lines, aim at 400" >&2; fi
  done
  for file in "${headers[@]}"; do
    grep -q '^#pragma once' "$file" || fault "$file:1: no #pragma once; add it"
  done
  # In two parts, or this line would find itself.
  while IFS= read -r hit; do fault "$hit: a path of one machine; make it relative or an option"; done < <(
    grep -rnIE '(^|[^[:alnum:]_.}$-])/(ho''me|wo''rk|ro''ot|Us''ers)/[a-z]' --exclude-dir='build*' --exclude-dir=.git --exclude=.git \
      --exclude-dir=.cache . | sed 's/^\.\///' || true)
}

check_scripts() {
  local file
  for file in "${scripts[@]}"; do
    bash -n "$file" 2>>"$faults" || true
    # Without a first line that names a shell it is there to be sourced.
    [[ -x $file || $(head -c 2 "$file") != '#!' ]] || fault "$file:1: not executable; chmod +x"
  done
  shellcheck --format=gcc "${scripts[@]}" >>"$faults" || true
  if [[ -n $(command -v python3) ]]; then
    find scripts tests bench -name '*.py' -exec python3 -c \
      'import ast, sys; [ast.parse(open(f).read(), f) for f in sys.argv[1:]]' {} + 2>>"$faults" || true
  fi
}

check_format() {
  ((${#code[@]})) || return 0
  clang-format-19 --dry-run --Werror "${code[@]}" 2>&1 | grep 'error:' |
    sed 's/$/; run clang-format-19 -i on it/' | sort -u -t : -k 1,1 >>"$faults" || true
}

# --- checks that need compile_commands.json

# Prints NUL-ended pairs: a header, and the compile command of a source near it without its output.
# A header that a source includes first has been compiled on its own already.
headers_to_compile() {
  local header source
  for header in "${headers[@]}"; do
    source=${header%.h}.cpp
    if [[ -e $source ]] && grep -m1 '^#include' "$source" | grep -qF "\"$header\""; then continue; fi
    jq -jr --arg header "$header" --arg root "$root/" --arg build "$build" '
      def near: ($header | split("/")) as $h | (.file | ltrimstr("../") | ltrimstr($root) | split("/")) as $f
        | [range(0; $h | length) | select($h[:. + 1] == $f[:. + 1])] | length;
      max_by([near, (.command | length)]) | $header, "\u0000",
      (.command | gsub(" -(o|MF|MQ) [^ ]+"; "") | gsub(" -(MD|c)( [^ ]+$)?"; "") | gsub("^ccache "; "")), "\u0000"
    ' "$build/compile_commands.json"
  done
}

compile_header() {
  local header=$1 output
  local -a command
  # The source that lent its flags must not be compiled along. Words are the shell's: some are quoted.
  eval "command=(${2% *.cpp})"
  output=$(cd "$build" && "${command[@]}" -I"$root" -fdiagnostics-color=never -fsyntax-only -x c++ -include "$root/$header" /dev/null 2>&1) ||
    printf '%s:1: does not compile on its own; include what it uses: %s\n' "$header" "$(grep -m1 error: <<<"$output")"
}

# The result of a clean file is kept by the hash of all that went into it: preprocessed text, checks.
# The path-sensitive analyzer takes most of the time. It looks at what runs as a daemon; of the rest it
# finds little, takes half a minute for the macros of a test, and calls the `_` of every benchmark loop
# a dead store.
tidy_file() {
  local file=$1 hash checks=() output
  [[ $file != @(tests|bench|policy/compile|control/cli)/* ]] || checks=(--checks=-clang-analyzer-*)
  # shellcheck disable=SC2091 # the command that jq prints is to be run
  hash=$(cd "$build" && { clang-tidy-19 --version; cat "$root/.clang-tidy"; echo "$file ${checks[*]}"
    $(jq -r --arg file "$file" 'first(.[] | select(.file | endswith($file))) | .command
      | gsub(" -(o|MF|MQ) [^ ]+"; "") | gsub(" -MD"; "") | gsub("^ccache "; "") | sub(" -c "; " -E ")' \
      compile_commands.json); } 2>/dev/null | sha256sum | cut -c 1-32)
  [[ ! -e $kept/$hash ]] || return 0
  if output=$(timeout 300 clang-tidy-19 --quiet -p "$build" "${checks[@]}" "$file" 2>&1); then
    mkdir -p "$kept"
    touch "$kept/$hash" || true
  else
    grep -E '(error|warning):' <<<"$output" | sed "s|^$root/||; s|^\.\./||" || echo "$file:1: clang-tidy failed or took over 300 s"
  fi
}
# As with ccache, what one checkout has found serves the others.
kept=${XDG_CACHE_HOME:-${HOME:-$build}/.cache}/sallyport-lint
export -f compile_header tidy_file
export build root kept

check_compiled() {
  [[ -f $build/compile_commands.json ]] || "$root/scripts/lib/build.sh"
  progress "lint: headers on their own"
  headers_to_compile | xargs -0 -r -n 2 -P "$(nproc)" bash -c 'compile_header "$@"' _ >>"$faults"
  local files=("${sources[@]}")
  if [[ -n $changed ]]; then
    mapfile -t files < <(git -c safe.directory="$root" diff --name-only --diff-filter=d main -- '*.cpp')
  fi
  # A source that no target builds has no flags to check it with, and is dead besides.
  mapfile -t built < <(jq -r '.[].file' "$build/compile_commands.json" | sed "s|^\.\./||; s|^$root/||" | sort -u)
  mapfile -t dead < <(comm -23 <(printf '%s\n' "${files[@]}" | sort) <(printf '%s\n' "${built[@]}"))
  for file in "${dead[@]}"; do [[ -z $file ]] || fault "$file:1: no target builds it; add it to meson.build"; done
  mapfile -t files < <(comm -12 <(printf '%s\n' "${files[@]}" | sort) <(printf '%s\n' "${built[@]}"))
  if [[ -z $tests && -z $changed ]]; then
    mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -vE '^(tests|bench)/')
  fi
  progress "lint: clang-tidy over ${#files[@]} files"
  printf '%s\0' "${files[@]}" | xargs -0 -r -n 1 -P "$(nproc)" bash -c 'tidy_file "$@"' _ >>"$faults"
}

progress "lint: includes, layout, scripts"
check_includes
check_text
check_scripts
check_format
[[ -z $tidy ]] || check_compiled
progress_end
sort -u "$faults"
[[ ! -s $faults ]] || die 1 "$(sort -u "$faults" | wc -l) faults"
echo "lint: clean (${#code[@]} C++ files, ${#scripts[@]} scripts)"
