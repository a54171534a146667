#!/usr/bin/env python3
"""Draws panels of the dashboards as SVG, from a real Prometheus, where no Grafana is at hand.

  pictures.py PROMETHEUS MINUTES INSTANCE...   writes docs/images/panels.svg

The queries, legends, colors, units and stacking are those of monitoring/grafana/dashboards/pi-monitor.json; frame, axes and
fonts are this script's. Needs Python 3.7 and nothing else.
"""
import html
import math
import pathlib
import re
import sys
import time

import check

TITLES = ["CPU by mode: $instance", "Memory: $instance", "Load over time", "Pressure: disks", "Throughput", "Time per operation"]
WIDTH, HEIGHT, GAP, COLUMNS = 460, 230, 12, 2
LEFT, TOP, RIGHT, BOTTOM = 80, 34, 12, 48
COLORS = ["#40e0d0", "#4aa3ff", "#ffb000", "#c58cff", "#ff7a7a", "#7ad97a", "#3b93a0"]
TEXT = 'font-family="ui-monospace,monospace" font-size="11"'


def number(value, unit):
    """A number with its unit, as Grafana would write it."""
    if unit in ("bytes", "Bps"):
        steps = ["B", "KiB", "MiB", "GiB", "TiB"]
        place = min(int(math.log(abs(value), 1024)), 4) if abs(value) >= 1 else 0
        return "%.3g %s%s" % (abs(value) / 1024 ** place, steps[place], "/s" if unit == "Bps" else "")
    if unit == "s":
        return "%.3g ms" % (abs(value) * 1000)
    return "%.3g%s" % (abs(value), " %" if unit == "percent" else "")


def properties(panel, name):
    """What the overrides of the panel say about a series."""
    found = {}
    for rule in panel["fieldConfig"]["overrides"]:
        if rule["matcher"]["id"] == "byRegexp" and re.search(rule["matcher"]["options"].strip("/"), name):
            found.update({entry["id"]: entry["value"] for entry in rule["properties"]})
    return found


def lines(base, panel, values, begin, end, step):
    """Name, color, dash and points of each series."""
    all_lines = []
    for target in panel["targets"]:
        data, error = check.api(base, "query_range", query=check.expand(target["expr"], values), start=begin, end=end, step=step)
        if error:
            sys.exit("%s: %s" % (panel["title"], error))
        for series in data["result"]:
            name = check.legend(target["legendFormat"], series["metric"])
            style = properties(panel, name)
            sign = -1 if style.get("custom.transform") == "negative-Y" else 1
            color = style.get("color", {}).get("fixedColor") or COLORS[len(all_lines) % len(COLORS)]
            points = {float(at): sign * float(value) for at, value in series["values"] if value not in ("NaN", "+Inf")}
            stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
            stacked = stacked and style.get("custom.stacking", {}).get("mode") != "none" and "custom.lineStyle" not in style
            all_lines.append((name, color, "custom.lineStyle" in style, stacked, points))
    return all_lines


def draw(panel, all_lines, begin, end, step):
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    title = panel["title"].replace(": $instance", "")
    out = ['<rect width="%d" height="%d" fill="#08151c" stroke="#1c4a52"/>' % (WIDTH, HEIGHT),
           '<text x="10" y="20" fill="#9fe8df" %s font-weight="bold">%s</text>' % (TEXT, html.escape(title))]
    base = {}
    drawn = []
    for name, color, dashed, stacked, points in all_lines:
        low = {at: base.get(at, 0.0) if stacked else 0.0 for at in points}
        high = {at: low[at] + value for at, value in points.items()}
        if stacked:
            base.update(high)
        drawn.append((name, color, dashed, stacked, low, high))
    tops = [value for *_, high in drawn for value in high.values()] or [1.0]
    top, bottom = max(max(tops), 0.0), min(min(tops), 0.0)
    if top == bottom:
        top = bottom + 1.0

    def x(at):
        return LEFT + (at - begin) / (end - begin) * (WIDTH - LEFT - RIGHT)

    def y(value):
        return TOP + (top - value) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    for part in range(5):
        value = bottom + (top - bottom) * part / 4
        out.append('<path d="M%d %.1fH%d" stroke="#123038"/><text x="%d" y="%.1f" fill="#6aa3a8" %s text-anchor="end">%s</text>'
                   % (LEFT, y(value), WIDTH - RIGHT, LEFT - 6, y(value) + 4, TEXT, number(value, unit)))
    for part in range(4):
        at = begin + (end - begin) * part / 3
        out.append('<text x="%.1f" y="%d" fill="#6aa3a8" %s text-anchor="%s">%s</text>' % (
            x(at), HEIGHT - BOTTOM + 16, TEXT, ("start", "middle", "middle", "end")[part], time.strftime("%H:%M", time.gmtime(at))))
    for name, color, dashed, stacked, low, high in reversed(drawn):
        runs, last = [], None
        for at in sorted(high):
            # A gap is a gap.
            if last is None or at - last > step * 1.5:
                runs.append([])
            runs[-1].append(at)
            last = at
        for run in runs:
            path = "L".join("%.1f %.1f" % (x(at), y(high[at])) for at in run)
            if stacked:
                back = "L".join("%.1f %.1f" % (x(at), y(low[at])) for at in reversed(run))
                out.append('<path d="M%sL%sZ" fill="%s" fill-opacity=".55"/>' % (path, back, color))
            out.append('<path d="M%s" fill="none" stroke="%s"%s/>' % (path, color, ' stroke-dasharray="5 4"' if dashed else ""))
    place = LEFT
    for name, color, *_ in drawn:
        short = name.split(" ", 1)[-1]
        width = 18 + 7 * len(short)
        if place + width > WIDTH:
            break
        out.append('<rect x="%d" y="%d" width="9" height="9" fill="%s"/><text x="%d" y="%d" fill="#cfeeea" %s>%s</text>'
                   % (place, HEIGHT - 21, color, place + 13, HEIGHT - 13, TEXT, html.escape(short)))
        place += width
    return "".join(out)


def main():
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    base, minutes, instances = sys.argv[1].rstrip("/"), int(sys.argv[2]), sys.argv[3:]
    end = int(time.time())
    begin, step = end - 60 * minutes, max(5, minutes * 60 // 200)
    values = {"__rate_interval": "1m", "job": "pi-monitor", "instance": "(%s)" % "|".join(instances),
              "interface": "(.+)", "mountpoint": "(.+)", "device": "(.+)", "root": "/"}
    panels = {panel["title"]: panel for panel in check.panels(check.load("pi-monitor.json"))}
    rows = (len(TITLES) + COLUMNS - 1) // COLUMNS
    full = (COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d">' % full, '<rect width="%d" height="%d" fill="#02060a"/>' % full]
    for place, title in enumerate(TITLES):
        at = GAP + place % COLUMNS * (WIDTH + GAP), GAP + place // COLUMNS * (HEIGHT + GAP)
        panel = panels[title]
        out.append('<g transform="translate(%d %d)">%s</g>' % (*at, draw(panel, lines(base, panel, values, begin, end, step), begin, end, step)))
    path = check.ROOT / "docs/images/panels.svg"
    path.write_text("\n".join(out) + "\n</svg>\n", encoding="utf-8")
    print("wrote %s" % path.relative_to(check.ROOT))


if __name__ == "__main__":
    main()
