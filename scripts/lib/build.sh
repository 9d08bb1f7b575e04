#!/bin/bash
# Configures and builds. usage: build.sh [MESON OPTION…]   (only used when configuring anew)
# SALLYPORT_BUILD_DIR chooses the directory (default: build). Silent but for progress and errors.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# meson puts ccache before the default compiler by itself, not before one that CXX names.
if [[ -n ${CXX:-} && $CXX != ccache* ]] && command -v ccache >/dev/null; then
  export CXX="ccache $CXX"
fi

# Sources are named relative to the build folder, so objects of one checkout serve every other; only the
# folder's name in the debug information would differ.
export CCACHE_NOHASHDIR=1

# configure [MESON OPTION…]: objects that are still good stay, whatever state meson's own files are in.
configure() {
  progress "build: configuring ${build##*/}"
  rm -rf "$build/meson-private" "$build/meson-info" "$build/build.ninja"
  if ! meson setup "$build" "$root" "$@" >"$build/setup.log" 2>&1; then
    progress_end
    tail -n 20 "$build/setup.log" >&2
    die 1 "meson setup failed"
  fi
}

# What the directory was configured with, as options again.
recorded_options() { sed -n '/^\[options\]/,/^\[properties\]/s/^\([a-z][a-z0-9_.:]*\) = \(.*\)/-D\1=\2/p' "$build/meson-private/cmd_line.txt"; }

# Two builds in one directory break each other's configuration off: the second waits for the first.
mkdir -p "$build"
exec {build_lock}>"$build/.lock"
if ! flock --nonblock "$build_lock"; then
  progress "build: waiting for another build in ${build##*/}"
  flock "$build_lock"
fi

# A directory whose configuration was cut short, or does not fit the sources any more, is configured anew.
if [[ ! -f $build/build.ninja || ! -f $build/meson-private/cmd_line.txt ]]; then
  configure "$@"
elif ! ninja -C "$build" build.ninja >"$build/setup.log" 2>&1; then
  mapfile -t options < <(recorded_options)
  (($#)) || set -- "${options[@]}"
  configure "$@"
fi

progress "build: compiling ${build##*/}"
if [[ -t 2 ]]; then
  ninja -C "$build" >&2 || die 1 "the build failed"
else
  # Without a terminal ninja prints a line a step: keep them for the case of a failure.
  if ! ninja -C "$build" >"$build/build.log" 2>&1; then
    progress_end
    grep -E -A20 -m5 'FAILED|error:' "$build/build.log" >&2 || tail -n 40 "$build/build.log" >&2
    die 1 "the build failed"
  fi
fi
# Under sudo the results still belong to whoever owns the sources.
if is_root && [[ $(stat -c %u "$root") -ne 0 ]]; then chown -R --reference="$root" "$build"; fi
progress_end
