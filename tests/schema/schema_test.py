"""Compares configs/schema/policy.schema.json with the loaders.

usage: schema_test.py LOAD_VERDICT SOURCE_ROOT
"""
import copy
import json
import os
import re
import subprocess
import sys
import tempfile

import yaml
from jsonschema import Draft202012Validator

LOAD_VERDICT, ROOT = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))


class Yaml12(yaml.SafeLoader):
    """YAML 1.2 core schema, as editors read it: `off` and dates are texts."""

    yaml_implicit_resolvers = {}


for tag, pattern, first in [
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
]:
    Yaml12.add_implicit_resolver("tag:yaml.org,2002:" + tag, re.compile("^(?:%s)$" % pattern), first)


def documents(text):
    return [one for one in yaml.load_all(text, Yaml12) if one is not None]


with open(os.path.join(ROOT, "configs/schema/policy.schema.json")) as schema_file:
    SCHEMA = json.load(schema_file)
Draft202012Validator.check_schema(SCHEMA)
VALIDATOR = Draft202012Validator(SCHEMA)

failures = []


def check(holds, what):
    if not holds:
        failures.append(what)


def schema_errors(document):
    return ["%s: %s" % ("/".join(map(str, e.absolute_path)), e.message) for e in VALIDATOR.iter_errors(document)]


def loader_findings(texts):
    """For each text the list of (code, hint) of its findings."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, text in enumerate(texts):
            paths.append(os.path.join(folder, "%05d.yaml" % number))
            with open(paths[-1], "w") as out:
                out.write(text)
        run = subprocess.run([LOAD_VERDICT, *paths], capture_output=True, text=True, check=True)
        found = {path: [] for path in paths}
        for line in run.stdout.splitlines():
            fields = line.split("\t")
            if len(fields) == 3:
                found[fields[0]].append((fields[1], fields[2]))
        check(sum(line.endswith(" ok") for line in run.stdout.splitlines()) == sum(not f for f in found.values()),
              "load_verdict said nothing of some files")
        return [found[path] for path in paths]


def check_examples():
    """Every document that ships is good by the schema; that the loaders take them is tested elsewhere."""
    seen = 0
    for folder, _, names in os.walk(os.path.join(ROOT, "configs")):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not name.endswith(".yaml") or name == "gateway.yaml":
                continue
            with open(path) as file:
                text = file.read()
            for document in documents(text):
                seen += 1
                for error in schema_errors(document):
                    check(False, "%s: %s" % (path, error))
            link = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
            if link:
                target = os.path.normpath(os.path.join(folder, link.group(1)))
                check(os.path.exists(target), "%s: names the schema %s, which is not there" % (path, link.group(1)))
    check(seen >= 25, "only %d examples were found" % seen)


def check_cases():
    """The table: the same verdict by both, unless a case says what the schema cannot."""
    with open(os.path.join(HERE, "cases.yaml")) as file:
        groups = yaml.load(file, Yaml12)
    cases = []
    for group in groups:
        for verdict in ("good", "bad", "loader_only"):
            for fragment in group.get(verdict, []):
                text = group["around"].replace("@", fragment)
                cases.append((verdict, text, fragment))
    check(len(cases) > 150, "only %d cases were found" % len(cases))
    for (verdict, text, fragment), found in zip(cases, loader_findings([c[1] for c in cases])):
        errors = [error for document in documents(text) for error in schema_errors(document)]
        loader_says = "bad" if found else "good"
        check(loader_says == ("good" if verdict == "good" else "bad"), "the loader calls %s: %s %s" % (loader_says, fragment, found))
        schema_says = "bad" if errors else "good"
        check(schema_says == ("bad" if verdict == "bad" else "good"), "the schema calls %s: %s %s" % (schema_says, fragment, errors))


def resolve(node):
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def maps_of(instance, node, path=()):
    """Each map of `instance` that has keys of its own in the schema: (path, properties, schema)."""
    node = resolve(node)
    if isinstance(instance, dict) and "properties" in node:
        yield path, set(node["properties"]), node
        for key, value in instance.items():
            yield from maps_of(value, node["properties"][key], path + (key,))
    elif isinstance(instance, dict) and isinstance(node.get("additionalProperties"), dict):
        for key, value in instance.items():
            yield from maps_of(value, node["additionalProperties"], path + (key,))
    elif isinstance(instance, list):
        for index, value in enumerate(instance):
            yield from maps_of(value, node["items"], path + (index,))


def check_keys():
    """The loader names all keys it knows as a hint for one it does not: they are those of the schema."""
    unknown = "zzzzzzzzzzzzzzzzzzzzzzzz"
    with open(os.path.join(HERE, "every_key.yaml")) as file:
        full = documents(file.read())
    probes = []
    visited = []
    for document in full:
        check(not schema_errors(document), "every_key.yaml: %s" % schema_errors(document))
        for path, properties, node in maps_of(document, SCHEMA["$defs"][document["kind"]]):
            probe = copy.deepcopy(document)
            at = probe
            for step in path:
                at = at[step]
            if node.get("maxProperties") == 1:  # A protocol: its key is the choice.
                at.clear()
            at[unknown] = {}
            probes.append(("/".join(map(str, (document["kind"],) + path)), properties, json.dumps(probe)))
            visited.append(node)
    for (where, properties, _), found in zip(probes, loader_findings([p[2] for p in probes])):
        hints = [hint for code, hint in found if code == "E008" and hint.startswith("one of ")]
        known = set(hints[0][len("one of "):].split(", ")) if hints else set()
        check(known == properties, "%s: the loader knows %s, the schema %s"
              % (where, sorted(known - properties) or "no more", sorted(properties - known) or "no more"))
    for name, node in SCHEMA["$defs"].items():
        if node.get("properties") and not any(node is one for one in visited):
            check(False, "every_key.yaml has no %s" % name)


def check_page():
    """Every key has its place in docs/policy.md, and every one says what it is."""
    with open(os.path.join(ROOT, "docs/policy.md")) as file:
        page = file.read()
    words = set(re.findall(r"[A-Za-z0-9]+", " ".join(re.findall(r"`[^`]*`|```.*?```", page, re.S))))

    def visit(node, path):
        if isinstance(node, list):
            for one in node:
                visit(one, path)
        if not isinstance(node, dict):
            return
        for key, value in node.get("properties", {}).items():
            check(key in words, "docs/policy.md does not mention %s (%s)" % (key, "/".join(path)))
            check("description" in resolve(value), "%s/%s has no description" % ("/".join(path), key))
        for key, value in node.items():
            if key not in ("if", "then", "anyOf"):
                visit(value, path + [key])

    visit(SCHEMA, [])


check_examples()
check_cases()
check_keys()
check_page()
for failure in failures:
    print(failure)
print("%d faults" % len(failures))
sys.exit(1 if failures else 0)
