#!/usr/bin/env python3
"""Checks dashboards and rules; tests/monitoring/run.sh calls it.

  check.py static                          files only: style, and that dashboards and docs/metrics.md fit together
  check.py live PROMETHEUS METRICS...      every query against a Prometheus that scrapes the agents whose /metrics the
                                           files hold
  check.py annotations FILE                writes a test for promtool: when the dashboards' annotations show
  check.py queries FILE                    writes a file of rules for promtool: the queries of the book's pages
  check.py instances PROMETHEUS NAME...    waits until each of these instances is up and was scraped three times

Prints PASS, FAIL or NOTE lines. Exit status: 0 no FAIL, 1 a FAIL, 2 bad usage. Needs Python 3.7 and nothing else.
"""
import collections
import json
import pathlib
import re
import sys
import textwrap
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "monitoring/grafana"
DASHBOARDS = ["pi-monitor.json", "pi-monitor-fleet.json"]
# What is not one of the agent's own families.
OWN_TO_PROMETHEUS = {"up", "ALERTS"}
NAME = re.compile(r"\b(?:pi_\w+|process_\w+|[a-z_]+:[\w:]+|up|ALERTS)\b(?!\s*\()")
FAILED = False


def passed(text):
    print("PASS " + text)


def failed(text):
    global FAILED
    FAILED = True
    print("FAIL " + text)


def verdict(what, faults):
    """One line for a check: what holds, or each fault."""
    if not faults:
        passed(what)
    for fault in faults:
        failed("%s: %s" % (what, fault))


def listed(name, columns):
    """The rows of a tab-separated file of exceptions; each must have a reason."""
    rows = []
    for line in (GRAFANA / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            cells = line.split("\t")
            if len(cells) != columns or not all(cells):
                failed("%s: not %d columns: %r" % (name, columns, line))
            else:
                rows.append(cells)
    return rows


def families():
    """What docs/metrics.md, which is generated from the code, lists."""
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(\w+)` \|", text, re.M))


def load(name):
    return json.loads((GRAFANA / "dashboards" / name).read_text(encoding="utf-8"))


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def names(expr):
    """The metrics in a query. Strings go first: a label's value may look like a name."""
    return set(NAME.findall(re.sub(r'"[^"]*"', '""', expr)))


def expressions(dashboard):
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for note in dashboard["annotations"]["list"]:
        if "target" in note:
            yield note["name"], note["target"]["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield "$" + variable["name"], variable["query"]["query"].split("(", 1)[1]


def book():
    """The queries in the pages of docs/: each block of PromQL has one, or several with an empty line between them."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if page.parent.name == "runbooks":
            continue  # These are the alerts' own.
        for block in re.findall(r"^```promql\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
            for query in re.split(r"\n\s*\n", block.strip()):
                yield page.relative_to(ROOT).as_posix(), query


# --- files -----------------------------------------------------------------------------------------------------------

def style(name, dashboard):
    faults = []
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    for wanted in ("datasource", "job", "instance"):
        if wanted not in variables:
            faults.append("no variable %s" % wanted)
    if dashboard.get("editable", True):
        faults.append("editable: a change in the browser would be lost")
    for variable in variables.values():
        if variable["type"] == "query" and variable.get("refresh") != 2:
            faults.append("variable %s is not read again when the time range changes" % variable["name"])
    ids = collections.Counter(panel["id"] for panel in dashboard["panels"])
    faults += ["id %d is there twice" % number for number, count in ids.items() if count > 1]
    taken = {}
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        if grid["x"] + grid["w"] > 24:
            faults.append("%s is wider than the grid" % panel["title"])
        for cell in ((x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])):
            if cell in taken:
                faults.append("%s lies upon %s" % (panel["title"], taken[cell]))
                break
            taken[cell] = panel["title"]
    titles = collections.Counter(panel["title"] for panel in panels(dashboard))
    faults += ["title %r is there twice" % title for title, count in titles.items() if count > 1]
    for panel in panels(dashboard):
        title = panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        if not panel.get("description"):
            faults.append("%s has no description" % title)
        if not isinstance(defaults.get("unit"), str):
            faults.append("%s has no unit" % title)
        if panel.get("datasource", {}).get("uid") != "${datasource}":
            faults.append("%s does not use the data source variable" % title)
        if panel["type"] == "timeseries" and defaults["custom"].get("spanNulls") is not False:
            faults.append("%s draws lines across outages" % title)
        refs = [target["refId"] for target in panel["targets"]]
        if len(set(refs)) != len(refs):
            faults.append("%s has a refId twice" % title)
    # What a table shows of one moment may be a total; over time it is the rate that tells something.
    tables = {panel["title"] for panel in dashboard["panels"] if panel["type"] == "table"}
    for title, expr in expressions(dashboard):
        if title in ("$job", "$instance"):
            continue
        if 'job=~"$job"' not in expr or 'instance=~"$instance"' not in expr:
            faults.append("%s does not obey $job and $instance: %s" % (title, expr))
        for span in re.findall(r"\[([^\]]+)\]", expr):
            if span != "$__rate_interval":
                faults.append("%s: [%s] instead of [$__rate_interval]" % (title, span))
        for counter in re.findall(r"\w+_total\b", expr):
            if not title.startswith("$") and title not in tables and not re.search(r"(rate|increase)\(%s\b" % counter, expr):
                faults.append("%s shows the counter %s itself, not its rate" % (title, counter))
        for label, value in re.findall(r'\b(interface|mountpoint|device)=~?"([^"$][^"]*)"', expr):
            faults.append('%s: fixed %s="%s"' % (title, label, value))
    verdict("%s: style" % name, faults)


def rule_of(block):
    """The query in the text of an alert, on one line or on indented ones."""
    lines = block.split("\n")
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("expr:"))
    first = lines[at].strip()[len("expr:"):].strip()
    if first != "|-":
        return first
    indent = len(lines[at]) - len(lines[at].lstrip())
    rest = lines[at + 1:]
    end = next((number for number, line in enumerate(rest) if len(line) - len(line.lstrip()) <= indent), len(rest))
    return textwrap.dedent("\n".join(rest[:end])).strip()


def static():
    known = families()
    if len(known) < 50:
        failed("docs/metrics.md: only %d families found; has its form changed?" % len(known))
    recorded = set(re.findall(r"^ *- record: (\S+)$", (ROOT / "monitoring/rules/recording.yml").read_text(), re.M))
    shown, faults = set(), []
    for name in DASHBOARDS:
        dashboard = load(name)
        style(name, dashboard)
        for title, expr in expressions(dashboard):
            used = names(expr)
            if not used:
                faults.append("%s: %s: no metric in %s" % (name, title, expr))
            for metric in used - known - OWN_TO_PROMETHEUS:
                faults.append("%s: %s: the agent has no family %s" % (name, title, metric))
            shown |= used
    verdict("every metric of the dashboards exists", faults)
    hidden = {family: reason for family, reason in listed("not-shown.tsv", 2)}
    # A new collector needs no dashboard, but its author may want to know.
    for family in sorted(known - shown - set(hidden)):
        print("NOTE %s is neither on a dashboard nor in not-shown.tsv" % family)
    faults = ["not-shown.tsv lists %s, which is shown or does not exist" % family for family in sorted(hidden) if family in shown or family not in known]
    verdict("of %d families, %d are shown, and the %d that not-shown.tsv lists are not" % (len(known), len(known & shown), len(hidden)), faults)

    queries = list(book())
    faults = ["%s: the agent has no family %s" % (page, metric) for page, query in queries
              for metric in sorted(names(query) - known - recorded - OWN_TO_PROMETHEUS)]
    faults += ["%s: no metric in %s" % (page, query) for page, query in queries if not names(query)]
    if len(queries) < 40:
        faults.append("only %d queries found; has the form of the pages changed?" % len(queries))
    verdict("every metric of the book's %d queries exists" % len(queries), faults)

    alerts = {}
    faults = []
    text = (ROOT / "monitoring/rules/alerts.yml").read_text(encoding="utf-8")
    for block in re.split(r"^ *- alert: ", text, flags=re.M)[1:]:
        alerts[block.split("\n", 1)[0].strip()] = block
    for path in sorted((ROOT / "monitoring/rules").glob("*.yml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.match(r"^ *(#|- name:|- record:|- alert:|interval:|for:|summary:|description:|runbook_url:|severity:|[a-z]+:$|groups:)", line):
                continue
            for metric in names(line) - known - recorded - OWN_TO_PROMETHEUS:
                faults.append("%s: no family %s" % (path.name, metric))
    verdict("every metric of the rules exists", faults)
    faults = []
    tests = (ROOT / "monitoring/rules/tests/alerts.yml").read_text(encoding="utf-8")
    runbooks = ROOT / "docs/runbooks"
    for alert, block in alerts.items():
        for key in ("severity:", "for:", "summary:", "description:"):
            if key not in block:
                faults.append("%s has no %s" % (alert, key))
        if "runbook_url: docs/runbooks/%s.md" % alert not in block:
            faults.append("%s does not name its runbook" % alert)
        page = runbooks / (alert + ".md")
        if not page.is_file():
            faults.append("docs/runbooks/%s.md is missing" % alert)
        elif rule_of(block) not in page.read_text(encoding="utf-8"):
            faults.append("docs/runbooks/%s.md shows another rule than alerts.yml" % alert)
        for way in ("fires", "stays silent"):
            if "'%s %s: " % (alert, way) not in tests:
                faults.append("no test in which %s %s" % (alert, way))
    for page in runbooks.glob("Pi*.md"):
        if page.stem not in alerts:
            faults.append("docs/runbooks/%s has no alert" % page.name)
    verdict("each of %d alerts has severity, for, summary, runbook and both tests" % len(alerts), faults)

    # promtool orders only the groups that are listed; the others come in a random order.
    groups = [name for file in ("recording.yml", "alerts.yml")
              for name in re.findall(r"^  - name: (\S+)$", (ROOT / "monitoring/rules" / file).read_text(encoding="utf-8"), re.M)]
    faults = []
    for file in sorted((ROOT / "monitoring/rules/tests").glob("*.yml")):
        order = re.search(r"^group_eval_order:\n((?:  - \S+\n)*)", file.read_text(encoding="utf-8"), re.M)
        ordered = re.findall(r"^  - (\S+)$", order.group(1), re.M) if order else []
        if ordered != groups:
            faults.append("group_eval_order in rules/tests/%s: expected %s, found %s" % (file.name, groups, ordered))
    verdict("the tests of the rules evaluate all %d groups in the order of the files" % len(groups), faults)


# --- a running Prometheus --------------------------------------------------------------------------------------------

def api(base, path, **parameters):
    """The data of an answer; an error in the answer as text."""
    url = "%s/api/v1/%s" % (base, path)
    data = urllib.parse.urlencode(parameters, doseq=True).encode()
    request = urllib.request.Request(url + ("?" + data.decode() if path != "query_range" else ""),
                                     data=data if path == "query_range" else None)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"], None
    except urllib.error.HTTPError as error:
        try:
            return None, json.load(error).get("error", str(error))
        except ValueError:
            return None, str(error)
    except (OSError, ValueError) as error:
        return None, str(error)


def ask(base, expr, ranged):
    if ranged:
        now = int(time.time())
        data, error = api(base, "query_range", query=expr, start=now - 45, end=now, step=15)
    else:
        data, error = api(base, "query", query=expr)
    return (data or {}).get("result", []), error


def expand(expr, values):
    for name, value in values.items():
        expr = re.sub(r"\$\{%s\}|\$%s\b" % (name, name), lambda _: value, expr)
    return expr


def legend(pattern, labels):
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match.group(1), ""), pattern)


def live(base, files):
    may_be_empty = {(where, what): reason for where, what, reason in listed("may-be-empty.tsv", 3)}
    known = families()
    seen = set()
    for path in files:
        seen |= set(re.findall(r"^# TYPE (\S+) ", pathlib.Path(path).read_text(encoding="utf-8"), re.M))
    verdict("docs/metrics.md has every family of /metrics", ["%s is missing" % family for family in sorted(seen - known)])
    for family in sorted(known - seen):
        print("NOTE no agent here has %s" % family)
    targets, _ = api(base, "targets", state="active")
    instances = sorted(target["labels"]["instance"] for target in targets["activeTargets"])
    if len(instances) < 2:
        failed("only %d instances are scraped" % len(instances))
    values = {"__rate_interval": "1m", "job": "pi-monitor", "instance": "(%s)" % "|".join(re.escape(name).replace("\\", "\\\\") for name in instances),
              "interface": "(.+)", "mountpoint": "(.+)", "device": "(.+)", "root": "/"}
    unused = set(may_be_empty)

    def empty(where, what):
        unused.discard((where, what))
        return (where, what) in may_be_empty

    for name in DASHBOARDS:
        dashboard, faults, count, silent = load(name), [], 0, 0
        where = dashboard["uid"]
        for variable in dashboard["templating"]["list"]:
            if variable["type"] != "query":
                continue
            asked = variable["query"]["query"]
            if asked.startswith("query_result("):
                result, error = ask(base, expand(asked[len("query_result("):-1], values), False)
                found = [",".join('%s="%s"' % label for label in sorted(one["metric"].items())) for one in result or []]
            else:
                selector, label = re.match(r"label_values\((.*), (\w+)\)$", asked).groups()
                series, error = api(base, "series", **{"match[]": expand(selector, values)})
                found = sorted({entry[label] for entry in series or [] if label in entry})
            if variable.get("regex"):
                # Grafana's expressions are JavaScript's; what is used here means the same in Python.
                found = [value for value in found if re.search(variable["regex"].strip("/"), value)]
            count += 1
            if error or not found:
                faults.append("variable %s has no values %s" % (variable["name"], error or ""))
        for note in dashboard["annotations"]["list"]:
            if "target" not in note:
                continue
            result, error = ask(base, expand(note["target"]["expr"], values), True)
            count += 1
            if error:
                faults.append("annotation %s: %s" % (note["name"], error))
            elif not result and not empty(where, note["name"]):
                faults.append("annotation %s returns nothing" % note["name"])
            silent += not result
        for panel in panels(dashboard):
            title, legends, columns, blank, absent = panel["title"], collections.Counter(), set(), True, []
            for target in panel["targets"]:
                expr = expand(target["expr"], values)
                if "$" in expr:
                    faults.append("%s: unknown variable in %s" % (title, expr))
                result, error = ask(base, expr, target["range"])
                count += 1
                if error:
                    faults.append("%s %s: %s: %s" % (title, target["refId"], error, expr))
                elif result:
                    blank = False
                    legends.update(legend(target["legendFormat"], series["metric"]) for series in result)
                    columns |= {label for series in result for label in series["metric"]}
                else:
                    silent += 1
                    if not empty(where, title):
                        faults.append("%s %s returns nothing: %s" % (title, target["refId"], expr))
                    absent.append(target["legendFormat"])
            if panel["type"] == "table":
                for step in panel["transformations"]:
                    wanted = {key for key in step["options"].get("renameByName", {}) if not key.startswith("Value")}
                    if not blank and wanted - columns:
                        faults.append("%s has no columns %s" % (title, sorted(wanted - columns)))
            else:
                double = [text for text, times in legends.items() if times > 1 or not text]
                for rule in panel["fieldConfig"]["overrides"]:
                    if rule["matcher"]["id"] == "byRegexp":
                        pattern = rule["matcher"]["options"]
                        if not re.match(r"/.+/$", pattern):
                            faults.append("%s: the expression %s needs slashes" % (title, pattern))
                        elif not blank and not any(re.search(pattern[1:-1], text) for text in [*legends, *absent]):
                            faults.append("%s: no series for the looks of %s" % (title, pattern))
                if double:
                    faults.append("%s: legends that several series share: %s" % (title, double[:3]))
        verdict("%s: %d queries run, %d of them empty and listed" % (name, count, silent), faults)

    queries = list(book())
    faults = ["%s: %s: %s" % (page, error, query) for page, query in queries for error in [ask(base, query, False)[1]] if error]
    verdict("docs: Prometheus answers %d queries" % len(queries), faults)

    data, _ = api(base, "rules")
    faults, count, silent = [], 0, 0
    for group in data["groups"]:
        for rule in group["rules"]:
            count += 1
            # A group with a long interval may not have had its turn: its queries are asked here.
            _, error = ask(base, rule["query"], False)
            if rule["health"] not in ("ok", "unknown") or error:
                faults.append("%s: %s %s" % (rule["name"], rule["health"], error or rule.get("lastError", "")))
            questions = [rule["query"]] if rule["type"] == "recording" else sorted(
                set(re.findall(NAME.pattern + r"(?:\{[^}]*\})?", rule["query"])))
            for question in questions:
                result, error = ask(base, question, False)
                if error:
                    faults.append("%s: %s: %s" % (rule["name"], error, question))
                elif not result:
                    silent += 1
                    if not empty("rules", rule["name"]):
                        faults.append("%s: nothing for %s" % (rule["name"], question))
    verdict("rules: %d are healthy and see their data, %d selectors are empty and listed" % (count, silent), faults)
    for where, what in sorted(unused):
        print("NOTE may-be-empty.tsv lists %s, %s: it is not empty here" % (where, what))


# For each annotation: what promtool feeds it, a sample a minute, and the minutes at which a mark is wanted.
ANNOTATED = {
    "Reboots": ([('pi_uptime_seconds{job="pi-monitor",instance="a"}', "600+60x4 30+60x15"),
                 # The clock is set: no boot.
                 ('pi_boot_time_seconds{job="pi-monitor",instance="b"}', "5x4 1700000000x15"),
                 ('pi_uptime_seconds{job="pi-monitor",instance="b"}', "600+60x20")], {5, 6}),
    "Under-voltage": ([('pi_throttled{job="pi-monitor",instance="a",reason="under_voltage"}', "0x4 1x1 0x15"),
                       ('pi_throttled{job="pi-monitor",instance="b",reason="throttled"}', "1x20"),
                       # Between two readings: only the counter saw it.
                       ('pi_throttled_events_total{job="pi-monitor",instance="a",reason="under_voltage"}', "0x11 1x10")], {5, 6, 12, 13}),
    "Verdicts": ([('pi_verdict{job="pi-monitor",instance="a",rule="hot"}', "0x4 1x3 0x15"),
                  ('pi_verdict{job="pi-monitor",instance="b",rule="hot"}', "0x20")], {5, 6, 7, 8}),
    "Events": ([('pi_events_total{job="pi-monitor",instance="a",kind="oom_kill"}', "0x4 1x15"),
                # These have annotations of their own.
                ('pi_events_total{job="pi-monitor",instance="b",kind="verdict"}', "0+1x20")], {5, 6}),
}


def annotations(path):
    notes = {note["name"]: note["target"]["expr"] for name in DASHBOARDS
             for note in load(name)["annotations"]["list"] if "target" in note}
    verdict("every annotation has a test", ["%s" % name for name in sorted(set(notes) ^ set(ANNOTATED))])
    tests = []
    for name, (series, minutes) in ANNOTATED.items():
        expr = expand(notes[name], {"__rate_interval": "2m", "job": "pi-monitor", "instance": "(a|b)"})
        # Its value does not matter to Grafana, only whether there is one.
        tests.append({"interval": "1m", "input_series": [{"series": key, "values": values} for key, values in series],
                      "promql_expr_test": [{"expr": "count by (instance) (%s)" % expr, "eval_time": "%dm" % minute,
                                            "exp_samples": [{"labels": '{instance="a"}', "value": 1}] if minute in minutes else []}
                                           for minute in range(1, 18)]})
    # JSON is YAML.
    pathlib.Path(path).write_text(json.dumps({"evaluation_interval": "1m", "tests": tests}), encoding="utf-8")


def queries(path):
    rules = [{"record": "docs:query:%d" % number, "expr": query} for number, (_, query) in enumerate(book())]
    passed("%d queries found in docs" % len(rules))
    # JSON is YAML.
    pathlib.Path(path).write_text(json.dumps({"groups": [{"name": "docs", "rules": rules}]}), encoding="utf-8")


def node(base, instances):
    """Every family that the dashboard "Node Exporter Full" asks for is answered, or listed with the reason.

    The first instance is the machine that runs the tests, which may have what no board has.
    """
    folder = pathlib.Path("tests/node")
    asked = (folder / "grafana1860-metrics.txt").read_text(encoding="utf-8").split()
    lines = (folder / "without-data.tsv").read_text(encoding="utf-8").splitlines()
    reasons = dict(line.split("\t") for line in lines if not line.startswith("#"))
    end = time.monotonic() + 120
    while time.monotonic() < end:
        up, _ = ask(base, "count_over_time(up[5m]) > 2 and up == 1", False)
        if len(up) == len(instances):
            break
        time.sleep(1)
    found, error = api(base, "label/__name__/values")
    found = set(found or [])
    boards, _ = api(base, "label/__name__/values", **{"match[]": '{instance!="%s"}' % instances[0]})
    boards = set(boards or [])
    faults = [error] if error else ["%s: no data, and no reason in without-data.tsv" % name for name in asked
                                    if name not in found and name not in reasons]
    faults += ["%s: has a reason, and data" % name for name in reasons if name in boards]
    faults += ["%s: has a reason, but the dashboard does not ask for it" % name for name in reasons if name not in asked]
    verdict("%d of %d families of Node Exporter Full have data, the others a reason" % (len(asked) - len(reasons), len(asked)), faults)
    data, error = api(base, "rules")
    rules = [rule for group in (data or {}).get("groups", []) for rule in group["rules"]]
    faults = ["%s: %s %s" % (rule["name"], rule["health"], rule.get("lastError", "")) for rule in rules if rule["health"] != "ok"]
    if error or not rules:
        faults.append(error or "no rules")
    verdict("%d alerts with node_exporter's names evaluate" % len(rules), faults)


def instances(base, wanted):
    end = time.monotonic() + 300
    while True:
        data, error = api(base, "query", query='count_over_time(up{job="pi-monitor"}[5m]) and up == 1')
        counts = {series["metric"]["instance"]: int(series["value"][1]) for series in (data or {}).get("result", [])}
        missing = [name for name in wanted if counts.get(name, 0) < 3]
        if not missing:
            passed("%d agents are up and scraped: %s" % (len(wanted), " ".join(wanted)))
            return
        if time.monotonic() > end:
            targets, _ = api(base, "targets", state="active")
            errors = {target["labels"]["instance"]: target["lastError"] for target in (targets or {}).get("activeTargets", [])}
            failed("not up after 90 s: %s; %s" % (missing, error or errors))
            return
        time.sleep(1)


def main():
    arguments = sys.argv[1:]
    if arguments == ["static"]:
        static()
    elif len(arguments) > 2 and arguments[0] == "live":
        live(arguments[1].rstrip("/"), arguments[2:])
    elif len(arguments) == 2 and arguments[0] == "annotations":
        annotations(arguments[1])
    elif len(arguments) == 2 and arguments[0] == "queries":
        queries(arguments[1])
    elif len(arguments) > 2 and arguments[0] == "node":
        node(arguments[1].rstrip("/"), arguments[2:])
    elif len(arguments) > 2 and arguments[0] == "instances":
        instances(arguments[1].rstrip("/"), arguments[2:])
    else:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(1 if FAILED else 0)


if __name__ == "__main__":
    main()
