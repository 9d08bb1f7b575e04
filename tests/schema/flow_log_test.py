"""Compares configs/schema/flow-log.schema.json with what the data plane writes.

usage: flow_log_test.py FLOW_LOG_LINES SALLYPORT SOURCE_ROOT
"""
import copy
import json
import os
import re
import subprocess
import sys
import tempfile

from jsonschema import Draft202012Validator, FormatChecker

LINES, SALLYPORT, ROOT = sys.argv[1:4]

with open(os.path.join(ROOT, "configs/schema/flow-log.schema.json")) as schema_file:
    SCHEMA = json.load(schema_file)
Draft202012Validator.check_schema(SCHEMA)
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
EVENTS = set(SCHEMA["properties"]["event_type"]["enum"])

failures = []


def check(holds, what):
    if not holds:
        failures.append(what)


def output_of(*command):
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def replayed():
    """Records of a capture, by the program that users run."""
    with tempfile.TemporaryDirectory() as folder:
        capture, policy = os.path.join(folder, "a.pcap"), os.path.join(folder, "p.yaml")
        output_of(sys.executable, os.path.join(ROOT, "bench/make_capture.py"), capture, "--flows", "20", "--names", "5")
        with open(policy, "w") as out:
            out.write("apiVersion: sallyport/v1\nkind: EgressPolicy\nmetadata: {name: p}\nspec: {egress: ["
                      "{name: some, action: Allow, to: {domainNames: [host-1.bench.test]}, log: all}]}\n")
        return output_of(SALLYPORT, "replay", "--policy", policy, "--pcap", capture)


def records(text, where):
    out = []
    for line in text.splitlines():
        check(line.isascii() and line.isprintable(), "%s: not printable: %r" % (where, line))
        out.append(json.loads(line))
    return out


def check_records(found, where):
    for record in found:
        for error in VALIDATOR.iter_errors(record):
            inner = "; ".join("%s: %s" % ("/".join(map(str, c.absolute_path)), c.message) for c in error.context)
            check(False, "%s: %s: %s %s: %s" % (where, "/".join(map(str, error.absolute_path)), error.message, inner, record))


def resolve(node):
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def properties_of(node):
    """Its own and those of what it is put together of: name to schema."""
    out = dict(node.get("properties", {}))
    for one in node.get("allOf", []):
        if "$ref" in one:
            out.update(properties_of(resolve(one)))
    return out


def check_all_is_seen(found):
    """The schema has no field and no word that the data plane never writes."""
    for name in sorted(EVENTS):
        node = SCHEMA["$defs"][name + "Event"]
        of_name = [r for r in found if r["event_type"] == name]
        check(of_name, "no record is a %s" % name)
        for key, schema in properties_of(node).items():
            values = [r[key] for r in of_name if key in r]
            if name != "flow" and key in ("tunnel", "spiffe_id", "quic", "tls"):
                continue
            check(values or key == "spiffe_id", "no %s has %s" % (name, key))
            inside = resolve(schema)
            if name != "flow" and name != "gap":
                continue
            for inner, inner_schema in inside.get("properties", {}).items():
                said = {json.dumps(v[inner]) for v in values if inner in v}
                check(said, "no %s has %s.%s" % (name, key, inner))
                for word in resolve(inner_schema).get("enum", []):
                    # Of policy by rule there is nothing here but what real flows have.
                    rare = (key, inner) in (("policy", "tier"), ("policy", "mode"), ("flow", "state"))
                    check(rare or json.dumps(word) in said, "no %s has %s.%s %s" % (name, key, inner, word))
            for word in inside.get("enum", []):
                check(word in values, "no %s has %s %s" % (name, key, word))


def check_refusals(found):
    """A record that lacks what is required, or has more than is known, is refused at every level."""
    samples = {}
    for record in found:
        samples.setdefault(record["event_type"], record)
    for name, sample in samples.items():
        def refused(change, what):
            record = copy.deepcopy(sample)
            change(record)
            check(not VALIDATOR.is_valid(record), "%s is taken with %s" % (name, what))
        for key in list(sample):
            if key == "event_type":
                continue
            refused(lambda r: r.__setitem__(key, None), "%s null" % key)
            if isinstance(sample[key], dict):
                refused(lambda r: r[key].__setitem__("zzz", 1), "%s.zzz" % key)
        refused(lambda r: r.__setitem__("zzz", 1), "zzz")
        for key in ("timestamp", "core", "schema", "event_type"):
            refused(lambda r: r.__delitem__(key), "no %s" % key)
        refused(lambda r: r.__setitem__("schema", 2), "another schema")


def check_page():
    """Every field has a word about it, in the schema and in docs/observability.md."""
    with open(os.path.join(ROOT, "docs/observability.md")) as file:
        page = file.read()
    words = set(re.findall(r"[A-Za-z0-9_]+", " ".join(re.findall(r"`[^`]*`|```.*?```", page, re.S))))

    def visit(node):
        if isinstance(node, list):
            for one in node:
                visit(one)
        if not isinstance(node, dict):
            return
        for key, value in node.get("properties", {}).items():
            check(key in words, "docs/observability.md does not mention %s" % key)
            check("description" in resolve(value), "%s has no description" % key)
        for key, value in node.items():
            if key not in ("if", "then"):
                visit(value)

    visit(SCHEMA)
    for cause in SCHEMA["$defs"]["gap"]["properties"]["cause"]["enum"]:
        check(cause in words, "docs/observability.md does not mention %s" % cause)


real = records(output_of(LINES, "real"), "pipeline")
every = records(output_of(LINES, "every"), "every value")
capture = records(replayed(), "replay")
check(len(capture) == 20, "replay wrote %d records" % len(capture))
check(all("pcap" in r for r in capture), "replay's records have no pcap")
check({r["event_type"] for r in real} == EVENTS - {"gap"}, "the pipeline's records are not of all types")
check_records(real, "pipeline")
check_records(every, "every value")
check_records(capture, "replay")
check_all_is_seen(real + every + capture)
check_refusals(real + every)
check_page()
for failure in failures[:40]:
    print(failure)
print("%d faults in %d records" % (len(failures), len(real + every + capture)))
sys.exit(1 if failures else 0)
