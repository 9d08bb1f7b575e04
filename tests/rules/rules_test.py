"""Holds configs/prometheus and configs/grafana to what is served and documented.

usage: rules_test.py SOURCE_ROOT; ends 77 without promtool, saying so.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

root = pathlib.Path(sys.argv[1])
rules_folder = root / "configs/prometheus"
faults = []


def check(good, what):
    if not good:
        faults.append(what)


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"promtool {arguments[0]} {arguments[1]}: {done.stdout}{done.stderr}")


def rules_of(name):
    groups = yaml.safe_load((rules_folder / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def documented_families():
    """Every family with a row of its own in the tables of the documents."""
    found = {"up"}  # Prometheus' own.
    for name in ("observability.md", "dataplane.md"):
        found.update(re.findall(r"^\| `(sallyport_\w+)` \|", (root / "docs" / name).read_text(), re.M))
    return found


def names_in(expression):
    """Metrics that an expression asks for: what a selector or a range stands behind, or nothing."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"[\w:]*sallyport_[\w:]+", bare))


def check_names(where, expression, known):
    for name in names_in(expression):
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        check(name in known or plain in known, f"{where}: {name} is in no table of the documents, nor recorded")


def check_alerts(alerts):
    manual = (root / "docs/observability.md").read_text()
    tests = yaml.safe_load((rules_folder / "tests.yml").read_text())["tests"]
    fired, quiet = set(), set()
    for one in (one for test in tests for one in test.get("alert_rule_test", [])):
        (fired if one["exp_alerts"] else quiet).add(one["alertname"])
    for alert in alerts:
        name = alert["alert"]
        notes = alert.get("annotations", {})
        for key in ("summary", "description", "runbook_url"):
            check(notes.get(key), f"{name} has no {key}")
        check(notes.get("runbook_url") == f"docs/observability.md#{name.lower()}", f"{name}: runbook_url")
        check(alert["labels"].get("severity") in ("critical", "warning"), f"{name}: severity")
        check(f"\n### {name}\n" in manual, f"docs/observability.md has no section {name}")
        check(f"\n### {name}\n*{alert['labels']['severity'].capitalize()}.*" in manual, f"{name}: another severity there")
        check(name in fired and name in quiet, f"tests.yml does not see {name} both fire and keep quiet")
    sections = set(re.findall(r"^### (Sallyport\w+)$", manual, re.M))
    check(sections == {alert["alert"] for alert in alerts}, f"sections without an alert: {sections}")


def dashboard_queries(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def check_dashboard(known):
    dashboard = json.loads((root / "configs/grafana/sallyport.json").read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    check(len(ids) == len(set(ids)), "the dashboard has a panel id twice")
    spots = [tuple(panel["gridPos"].items()) for panel in dashboard["panels"]]
    check(len(spots) == len(set(spots)), "two panels lie on one another")
    rules = []
    for title, expression in dashboard_queries(dashboard):
        check_names(f"panel {title}", expression, known)
        plain = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
        check("$" not in plain, f"panel {title}: an unknown variable in {expression}")
        rules.append({"record": f"panel{len(rules)}", "expr": plain})
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            check_names(f"variable {variable['name']}", variable["query"]["query"], known)
    for panel in dashboard["panels"]:
        check(panel["type"] == "row" or panel.get("description"), f"panel {panel['title']} has no description")
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "panels", "rules": rules}]}, file)
        file.flush()
        promtool("check", "rules", file.name)


if not shutil.which("promtool"):
    print("skipped: no promtool (Debian package prometheus)")
    sys.exit(77)
recorded, alerting = rules_of("recording.yml"), rules_of("alerts.yml")
names = documented_families() | {rule["record"] for rule in recorded}
promtool("check", "config", rules_folder / "prometheus.yml")
promtool("test", "rules", rules_folder / "tests.yml")
for rule in recorded + alerting:
    check_names(rule.get("record") or rule["alert"], rule["expr"], names)
check_alerts(alerting)
check_dashboard(names)
print("\n".join(faults) or f"ok: {len(alerting)} alerts, {len(recorded)} recorded series")
sys.exit(1 if faults else 0)
