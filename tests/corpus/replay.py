#!/usr/bin/env python3
"""replay.py SALLYPORT SOURCE_ROOT: `sallyport replay` over real captures, scored against what is known of them.

The captures are in ../shared/corpus beside the checkout, or where $SALLYPORT_CORPUS says; without them the test is
skipped. A figure under its floor below fails the test. Raise a floor when the figure has risen for good."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SKIPPED = 77

# Everything is let pass but a name that nobody has: so every flow is looked into, to its end.
POLICY = """apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: corpus}
spec:
  egress:
    - {name: never, action: Deny, to: {domainNames: [never.invalid]}, protocols: [{tls: {}}, {quic: {}}, {http: {}}, {dns: {}}]}
    - {name: everything, action: Allow}
"""

# Percent. What is said must be right: precision of these fields, for each protocol. Of a path over 2,048 bytes a record
# has the beginning.
PRECISION = {"app": 100.0, "host": 100.0, "hosts(all)": 100.0, "alpn": 100.0, "ech": 100.0, "ja3": 100.0, "ja4": 100.0,
             "http_method": 100.0, "http_path": 99.7}
# What should be said: "PROTOCOL.FIELD" to a floor of recall, for each set of captures.
# docs/inspection.md says what is missing.
RECALL = {"captures": {"tls.host": 99.8, "tls.alpn": 99.8, "tls.ech": 100.0, "tls.ja3": 99.8, "tls.ja4": 99.6, "quic.host": 100.0,
                       "quic.alpn": 100.0, "quic.ech": 100.0, "quic.ja3": 100.0, "quic.ja4": 100.0, "http1.host": 98.5,
                       "http1.http_method": 98.4, "http1.http_path": 99.2, "http2.host": 100.0, "http2.http_method": 100.0,
                       "http2.http_path": 100.0, "http2.hosts(all)": 100.0, "dns.host": 99.4, "dns.hosts(all)": 98.8},
          # Twelve captures with conflicting overlap are denied unread.
          "derived": {"tls.host": 100.0, "tls.alpn": 95.4, "tls.ech": 95.4, "tls.ja3": 95.4, "tls.ja4": 95.4, "quic.host": 100.0,
                      "quic.alpn": 100.0, "quic.ech": 100.0, "quic.ja3": 100.0, "quic.ja4": 100.0,
                      "http1.host": 100.0, "http1.http_method": 95.0, "http1.http_path": 95.0}}
# The share of captures in which no application and no host is wrong or missing.
CLEAN = {"captures": 97.6, "derived": 97.0}


def replay(sallyport, captures, folder):
    """Replays a folder of captures; @return its flow records' folder."""
    results = folder / "results"
    results.mkdir(parents=True)
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    done = subprocess.run([sallyport, "replay", "--policy", policy, "--pcap", captures, "--out", results / "flows.ndjson"],
                          stderr=subprocess.PIPE, text=True, errors="replace")
    lines = done.stderr.splitlines()
    print("\n".join(line for line in lines if "checksums are ignored" not in line), flush=True)
    # 2: some could not be read, which the lines above name. Their flows then count as missed.
    if done.returncode not in (0, 2):
        sys.exit(f"sallyport replay ended with {done.returncode}")
    # Every packet in is one that was sent, dropped for a reason or held: replay looks after each capture.
    if any("the books do not balance" in line for line in lines):
        sys.exit("FAILED: the books do not balance")
    return results


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def faults(name, figures, clean):
    """The figures under their floors, a line each."""
    if clean < CLEAN[name]:
        yield f"{name}: {clean:.1f} % of the captures are without a fault, under {CLEAN[name]} %"
    for key, count in sorted(figures.items()):
        field = key.split(".")[1]
        said = count["tp"] + count["fp"] + count["wrong"]
        precision = percent(count["tp"], said)
        if precision < PRECISION.get(field, 0):
            yield f"{name}: precision of {key} is {precision:.1f} %, under {PRECISION[field]} %"
    for key, floor in RECALL[name].items():
        count = figures.get(key, {"tp": 0, "fn": 1, "wrong": 0})
        recall = percent(count["tp"], count["tp"] + count["fn"] + count["wrong"])
        if recall < floor:
            yield f"{name}: recall of {key} is {recall:.1f} %, under {floor} %"


def score(corpus, oracle, results, folder):
    out = folder / "score.json"
    done = subprocess.run([sys.executable, corpus / "score.py", oracle, results, "--native", "--min-conf", "high", "--show", "3",
                           "--json", out], check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, flush=True)
    clean = re.search(r"^captures with application flows: (\d+), of them without any wrong app or host: (\d+)", done.stdout, re.M)
    return json.loads(out.read_text())["fields"], percent(int(clean[2]), int(clean[1]))


def main():
    sallyport, source = sys.argv[1:]
    beside = pathlib.Path(source).resolve().parent / "shared" / "corpus"
    corpus = pathlib.Path(os.environ.get("SALLYPORT_CORPUS") or beside)
    if not (corpus / "score.py").is_file():
        print(f"skipped: no captures with expected results in {corpus} ($SALLYPORT_CORPUS)")
        return SKIPPED
    wrong = []
    with tempfile.TemporaryDirectory() as made:
        for name, base in (("captures", corpus), ("derived", corpus / "derived")):
            folder = pathlib.Path(made) / name
            print(f"== {base / 'captures'}", flush=True)
            results = replay(sallyport, base / "captures", folder)
            wrong += faults(name, *score(corpus, base / "oracle", results, folder))
    for line in wrong:
        print("FAILED: " + line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
