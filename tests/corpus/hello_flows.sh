#!/bin/sh
# hello_flows.sh PROGRAM: scores the TLS and QUIC parsers against ../shared/corpus.
set -eu
corpus=$(realpath -m "${SALLYPORT_CORPUS:-$SALLYPORT_SOURCE/../shared/corpus}")
if [ ! -f "$corpus/score.py" ]; then
  echo "skipped: no captures with expected results in $corpus (\$SALLYPORT_CORPUS)"
  exit 77
fi
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
mkdir "$results/real" "$results/derived"
"$1" "$corpus/captures" > "$results/real/flows.ndjson"
"$1" --verify-checksums "$corpus/derived/captures" > "$results/derived/flows.ndjson"
score() {
  python3 "$corpus/score.py" "$@" --native --apps tls,quic --min-conf high
}
score "$corpus/oracle" "$results/real"
score "$corpus/derived/oracle" "$results/derived"
