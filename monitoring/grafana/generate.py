#!/usr/bin/env python3
"""Writes the two Grafana dashboards, dashboards/pi-monitor.json and dashboards/pi-monitor-fleet.json.

  monitoring/grafana/generate.py           writes both files into dashboards/
  monitoring/grafana/generate.py --check   writes nothing; status 1 if a file is not what it would write

Needs nothing but Python 3.7. The dashboards are code because a panel is one line of query and thirty of JSON, and
the thirty are the same everywhere. tests/monitoring/ checks the result: Grafana's schema, style, and every query.
"""
import json
import pathlib
import sys

AQUA, BLUE, AMBER, VIOLET = "#40e0d0", "#4aa3ff", "#ffb000", "#c08cff"
WARN, CRITICAL, CACHE, DIM = "#ffc24b", "#ff7a7a", "#3b93a0", "#86bcbc"

# What every query selects; $job and $instance are variables of the dashboard.
PIS = 'job=~"$job",instance=~"$instance"'
OUTSIDE = PIS + ',interface!="lo"'
INTERFACES = PIS + ',interface=~"$interface"'
MOUNTS = PIS + ',mountpoint=~"$mountpoint"'
DEVICES = PIS + ',device=~"$device"'

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def rate(family, labels=PIS):
    return "rate(%s{%s}[$__rate_interval])" % (family, labels)


def counted(expr):
    """Without the interfaces whose bytes another one carries; agents that do not tell count all."""
    return "%s unless (pi_network_counted == 0)" % expr


# --- queries ---------------------------------------------------------------------------------------------------------

def query(expr, legend="{{instance}}", table=False, instant=False):
    """One query of a panel. A table asks for one moment, with all labels as columns."""
    target = {"datasource": SOURCE, "editorMode": "code", "expr": expr, "legendFormat": legend,
              "range": not (table or instant), "instant": table or instant}
    if table:
        target["format"] = "table"
    return target


def letters():
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        yield letter


# --- looks -----------------------------------------------------------------------------------------------------------

def steps(*pairs):
    """Thresholds: a base colour, then (value, colour)."""
    rows = [{"value": None, "color": AQUA}] + [{"value": value, "color": color} for value, color in pairs]
    return {"mode": "absolute", "steps": rows}


USAGE = steps((80, WARN), (95, CRITICAL))
HEAT = steps((70, WARN), (80, CRITICAL))
NONE = steps()
ANY = steps((1, CRITICAL))
SOME = steps((1, WARN))


def override(matcher, value, *properties):
    return {"matcher": {"id": matcher, "options": value},
            "properties": [{"id": name, "value": setting} for name, setting in properties]}


def hue(regex, color, *more):
    """Series whose name fits get shades of one colour: the kind shows as the hue, the Pi as the shade."""
    # Without the slashes Grafana would want the whole name to fit.
    return override("byRegexp", "/%s/" % regex, ("color", {"mode": "shades", "fixedColor": color}), *more)


def dashed(regex, color):
    return hue(regex, color, ("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}), ("custom.fillOpacity", 0),
               ("custom.stacking", {"mode": "none", "group": "A"}))


def negative(regex, color):
    """Drawn downwards: what goes out, below what comes in."""
    return hue(regex, color, ("custom.transform", "negative-Y"))


def switch(off, on, color=CRITICAL):
    """Words for a family that is 0 or more."""
    return [{"type": "value", "options": {"0": {"text": off, "color": AQUA, "index": 0}}},
            {"type": "range", "options": {"from": 0.5, "to": None, "result": {"text": on, "color": color, "index": 1}}}]


# --- panels ----------------------------------------------------------------------------------------------------------

def panel(kind, title, description, targets, unit, width, height, defaults=None, overrides=(), options=None, **more):
    for letter, target in zip(letters(), targets):
        target["refId"] = letter
    fields = {"unit": unit, "thresholds": NONE, "mappings": []}
    fields.update(defaults or {})
    result = {"type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": targets,
              "fieldConfig": {"defaults": fields, "overrides": list(overrides)}, "options": options or {},
              "gridPos": {"w": width, "h": height}}
    result.update(more)
    return result


def chart(title, description, targets, unit="short", overrides=(), width=12, height=8, stacked=False, maximum=None,
          repeat=False, minimum=0, color=AQUA):
    """Lines over time. A missing sample is a gap: spanNulls stays off, so nothing is drawn across an outage."""
    custom = {"drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 55 if stacked else 8,
              "gradientMode": "none", "showPoints": "never", "spanNulls": False, "axisPlacement": "auto",
              "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
              "thresholdsStyle": {"mode": "off"}}
    defaults = {"custom": custom, "color": {"mode": "shades", "fixedColor": color}}
    if minimum is not None:
        defaults["min"] = minimum
    if maximum is not None:
        defaults["max"] = maximum
    options = {"legend": {"showLegend": True, "displayMode": "table", "placement": "bottom",
                          "calcs": ["lastNotNull", "mean", "max"]},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    more = {"repeat": "instance", "repeatDirection": "h", "maxPerRow": 2} if repeat else {}
    return panel("timeseries", title, description, targets, unit, width, height, defaults, overrides, options, **more)


def stat(title, description, expr, unit="short", thresholds=NONE, width=3, mappings=(), decimals=None, height=4,
         legend="{{instance}}", empty="not on this board"):
    defaults = {"thresholds": thresholds, "color": {"mode": "thresholds"}, "mappings": list(mappings), "noValue": empty}
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "orientation": "auto",
               "textMode": "auto", "colorMode": "value", "graphMode": "area", "justifyMode": "auto",
               "wideLayout": True, "showPercentChange": False, "percentChangeColorMode": "standard"}
    return panel("stat", title, description, [query(expr, legend)], unit, width, height, defaults, (), options)


def states(title, description, targets, mappings, width=12, height=8, empty="nothing to show"):
    """Bars over time, one for each series, coloured by what it says."""
    defaults = {"custom": {"lineWidth": 0, "fillOpacity": 75}, "mappings": mappings,
                "color": {"mode": "thresholds"}, "noValue": empty}
    options = {"mergeValues": True, "showValue": "never", "alignValue": "left", "rowHeight": 0.85,
               "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
               "tooltip": {"mode": "single", "sort": "none"}}
    return panel("state-timeline", title, description, targets, "short", width, height, defaults, (), options)


def table(title, description, columns, order, unit="short", width=24, height=8, hidden=(), sort=None, overrides=(),
          empty="nothing to show"):
    """A table of one moment: `columns` are (name, query, settings), `order` names label columns and those in turn."""
    names = {label: shown for label, shown in order if shown}
    targets, rules = [], []
    single = len(columns) == 1
    for letter, (name, expr, settings) in zip(letters(), columns):
        targets.append(query(expr, "", table=True))
        names["Value" if single else "Value #" + letter] = name
        if settings:
            rules.append(override("byName", name, *settings))
    index = {}
    for label, shown in order:
        index[label if shown else next(key for key, value in names.items() if value == label)] = len(index)
    exclude = {"Time": True, "__name__": True, "job": True}
    exclude.update({label: True for label in hidden})
    transformations = [] if single else [{"id": "merge", "options": {}}]
    transformations.append({"id": "organize", "options": {
        "excludeByName": exclude, "indexByName": index, "renameByName": names}})
    options = {"showHeader": True, "cellHeight": "sm", "frameIndex": 0}
    if sort:
        options["sortBy"] = [{"displayName": name, "desc": True} for name in sort]
    defaults = {"custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False},
                "color": {"mode": "thresholds"}, "noValue": empty}
    return panel("table", title, description, targets, unit, width, height, defaults, rules + list(overrides), options,
                 transformations=transformations)


def bar(unit, thresholds, maximum=100):
    """Settings of a table column that draws its number as a bar."""
    return [("unit", unit), ("min", 0), ("max", maximum), ("decimals", 0), ("thresholds", thresholds),
            ("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"})]


def colored(unit, thresholds, *more):
    return [("unit", unit), ("thresholds", thresholds), ("custom.cellOptions", {"type": "color-text"})] + list(more)


def row(title, *panels, collapsed=False):
    return {"title": "◆ " + title, "panels": list(panels), "collapsed": collapsed}


# --- variables -------------------------------------------------------------------------------------------------------

def variable(name, label, values, description, multi=True, everything=True, regex="", current=None, all_value=None):
    result = {"type": "query", "name": name, "label": label, "description": description, "datasource": SOURCE,
              "query": {"query": values, "refId": "Variable-" + name, "qryType": 1},
              "refresh": 2, "sort": 7, "regex": regex, "multi": multi, "includeAll": everything, "hide": 0,
              "skipUrlSync": False, "options": []}
    if all_value:
        result["allValue"] = all_value
    if everything:
        result["current"] = {"selected": True, "text": ["All"] if multi else "All",
                             "value": ["$__all"] if multi else "$__all"}
    elif current:
        result["current"] = current
    return result


DATASOURCE = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1,
              "regex": "", "multi": False, "includeAll": False, "hide": 0, "skipUrlSync": False, "options": [],
              "description": "The Prometheus that scrapes the Pis, or what stores its data."}


def job(family):
    return variable("job", "Job", "label_values(%s, job)" % family, "The scrape job.", multi=False, everything=False,
                    current={"selected": True, "text": "pi-monitor", "value": "pi-monitor"})


# --- annotations -----------------------------------------------------------------------------------------------------

def annotation(name, color, expr, title):
    # The formats are keys of Grafana's Prometheus data source, not of its dashboard schema.
    return {"name": name, "enable": True, "hide": False, "iconColor": color, "datasource": SOURCE,
            "target": {"refId": "Anno", "expr": expr, "interval": "60s"},
            "titleFormat": title, "textFormat": "{{instance}}", "tagKeys": "instance"}


ANNOTATIONS = [
    {"name": "Annotations & Alerts", "builtIn": 1, "enable": True, "hide": True, "iconColor": BLUE, "type": "dashboard",
     "datasource": {"type": "grafana", "uid": "-- Grafana --"}},
    # Uptime falls at a boot and at no other time; the time of the boot would also jump when the clock is set.
    annotation("Reboots", VIOLET, "resets(pi_uptime_seconds{%s}[$__rate_interval]) > 0" % PIS, "Reboot"),
    annotation("Under-voltage", CRITICAL,
               'max by (job, instance) (pi_throttled{%s,reason="under_voltage"}) > 0'
               ' or sum by (job, instance) (increase(pi_throttled_events_total{%s,reason="under_voltage"}[$__rate_interval])) > 0' % (PIS, PIS),
               "Under-voltage"),
    annotation("Verdicts", AMBER, "max by (job, instance, rule) (pi_verdict{%s}) > 0" % PIS, "{{rule}}"),
    # The other annotations show the kinds that are left out.
    annotation("Events", BLUE,
               'sum by (job, instance, kind) (increase(pi_events_total{%s,kind!~"verdict|power|reboot|agent"}[$__rate_interval])) > 0' % PIS,
               "{{kind}}"),
]


# --- the dashboard of one Pi, or of a few side by side ---------------------------------------------------------------

def busy(by, labels=PIS):
    return '100 * (1 - avg by (%s) (sum without (mode) (%s)))' % (by, rate("pi_cpu_seconds_total", labels + ',mode=~"idle|iowait"'))


def memory(name):
    return "pi_memory_%s_bytes{%s}" % (name, PIS)


def used_percent(labels):
    # Like df: root's reserve counts as neither used nor available.
    return ("100 * pi_disk_used_bytes{%s} / (pi_disk_used_bytes{%s} + pi_disk_available_bytes{%s} > 0)" % (labels, labels, labels))


CPU_COLORS = [hue(" user$", AQUA), hue(" nice$", CACHE), hue(" system$", BLUE), hue(" iowait$", AMBER),
              hue(" irq$", VIOLET), hue(" softirq$", VIOLET), hue(" steal$", CRITICAL)]
FS = "instance, mountpoint, device, fstype"


def overview():
    return row(
        "Overview",
        stat("CPU", "Share of the last sample interval that all CPUs together were busy. Idle and waiting for disks are not busy.",
             'sum by (instance) (pi_cpu_usage_percent{%s,cpu="total",mode!~"idle|iowait"})' % PIS, "percent", USAGE, decimals=1),
        stat("Memory", "Memory that programs cannot have: total less available, as `free` counts it.",
             "100 * %s / %s" % (memory("used"), memory("total")), "percent", USAGE, decimals=1),
        stat("Disk $root", "How full the filesystem chosen as Main filesystem is, as `df` counts it.",
             "max by (instance) (%s)" % used_percent(PIS + ',mountpoint="$root"'), "percent", USAGE, decimals=1),
        stat("Uptime", "Time since boot.", "pi_uptime_seconds{%s}" % PIS, "s", decimals=1),
        stat("Load", "Threads that run, want to run or wait for disks, averaged over a minute. More than the number of CPUs: something waits.",
             'pi_load_average{%s,period="1m"}' % PIS, "short", decimals=2),
        stat("Processes", "Number of processes.", "pi_processes{%s}" % PIS, "short", decimals=0),
        stat("Temperature", "The processor's own sensor. A Pi lowers its clock from 80 °C on.",
             "max by (instance) (pi_cpu_temperature_celsius{%s})" % PIS, "celsius", HEAT, decimals=1),
        stat("Power", "Whether the firmware limits the Pi at this moment: under-voltage, capped frequency, throttling or the soft temperature limit.",
             "sum by (instance) (pi_throttled{%s})" % PIS, "short", ANY, mappings=switch("OK", "LIMITED")),
        states("Verdicts", "What the agent itself found wrong. Nothing here is good news.",
               [query("max_over_time(pi_verdict{%s}[$__rate_interval]) > 0" % PIS, "{{instance}} {{rule}}")],
               switch("fine", "trouble", WARN), width=24, height=5, empty="all clear"),
    )


def cpu():
    return row(
        "CPU",
        chart("CPU by mode: $instance", "Share of all CPUs' time in each mode; what is missing to 100 % is idle.",
              [query("100 * avg by (instance, mode) (%s)" % rate("pi_cpu_seconds_total", PIS + ',mode!="idle"'), "{{instance}} {{mode}}")],
              "percent", CPU_COLORS, stacked=True, maximum=100, repeat=True),
        chart("Busy per core", "Share of time that each core was busy; neither idle nor waiting for disks.",
              [query(busy("instance, cpu"), "{{instance}} {{cpu}}")], "percent", maximum=100),
        chart("Load over time", "Threads that run, want to run or wait for disks. The dashed line is the number of CPUs.",
              [query("pi_load_average{%s}" % PIS, "{{instance}} {{period}}"),
               query('count by (instance) (pi_cpu_usage_percent{%s,cpu!="total",mode="idle"})' % PIS, "{{instance}} CPUs")],
              "short", [hue(" 1m$", AQUA), hue(" 5m$", BLUE), hue(" 15m$", VIOLET), dashed(" CPUs$", DIM)]),
        chart("Processes and threads", "All processes, all threads, those that run or want to, those that wait for disks.",
              [query("pi_processes{%s}" % PIS, "{{instance}} processes"), query("pi_threads{%s}" % PIS, "{{instance}} threads"),
               query("pi_processes_running{%s}" % PIS, "{{instance}} running"),
               query("pi_processes_blocked{%s}" % PIS, "{{instance}} blocked")],
              "short", [hue(" threads$", CACHE), hue(" running$", BLUE), hue(" blocked$", AMBER)]),
        chart("Kernel activity", "Context switches, interrupts, softirqs and new processes in each second.",
              [query(rate("pi_context_switches_total"), "{{instance}} context switches"),
               query(rate("pi_interrupts_total"), "{{instance}} interrupts"),
               query(rate("pi_softirqs_total"), "{{instance}} softirqs"),
               query(rate("pi_forks_total"), "{{instance}} forks")],
              "ops", [hue(" interrupts$", BLUE), hue(" softirqs$", VIOLET), hue(" forks$", AMBER)]),
    )


def memory_row():
    def lines(*names):
        return [query(memory(name), "{{instance}} " + name.replace("_", " ")) for name in names]
    return row(
        "Memory",
        chart("Memory: $instance", "Used is what programs cannot have; reclaimable are caches that the kernel gives back when asked.",
              [query(memory("used"), "{{instance}} used"),
               query("%s - %s" % (memory("available"), memory("free")), "{{instance}} reclaimable"),
               query(memory("free"), "{{instance}} free"), query(memory("total"), "{{instance}} total")],
              "bytes", [hue(" used$", AQUA), hue(" reclaimable$", CACHE), hue(" free$", "#0f3a44"), dashed(" total$", DIM)],
              stacked=True, repeat=True),
        chart("What uses memory", "Programs' own memory, mapped files, shared memory, the kernel's own structures.",
              lines("anonymous", "mapped", "shared", "slab", "slab_reclaimable", "kernel_stack", "page_tables"), "bytes",
              [hue(" mapped$", BLUE), hue(" shared$", VIOLET), hue(" slab", AMBER), hue(" kernel stack$", WARN), hue(" page tables$", DIM)]),
        chart("Caches", "Caches of files and of block devices, and how lately they were used.",
              lines("cached", "buffers", "active", "inactive"), "bytes",
              [hue(" cached$", CACHE), hue(" buffers$", VIOLET), hue(" active$", AQUA), hue(" inactive$", BLUE)]),
        chart("Waiting to be written", "File contents that wait to be written, or are being written, to disk.",
              lines("dirty", "writeback"), "bytes", [hue(" dirty$", AMBER), hue(" writeback$", BLUE)]),
        chart("Promised memory", "Memory promised to programs, whether they use it or not; the limit counts under strict accounting only.",
              lines("committed", "commit_limit"), "bytes", [dashed(" commit limit$", DIM)]),
        chart("Swap space", "Swap in use, free, in total, and what is in memory as well.",
              lines("swap_used", "swap_free", "swap_cached", "swap_total"), "bytes",
              [hue(" swap used$", AMBER), hue(" swap free$", CACHE), hue(" swap cached$", VIOLET), dashed(" swap total$", DIM)]),
        chart("Swapping", "Bytes read back from swap (above) and written to it (below). Both at once, for long: memory is too small.",
              [query(rate("pi_swap_in_bytes_total"), "{{instance}} in"), query(rate("pi_swap_out_bytes_total"), "{{instance}} out")],
              "Bps", [hue(" in$", AQUA), negative(" out$", AMBER)], minimum=None),
        chart("Page faults", "Accesses to memory that the kernel had to map first. Major ones waited for a disk.",
              [query(rate("pi_page_faults_total"), "{{instance}} {{kind}}")], "ops", [hue(" major$", AMBER)]),
        chart("Killed for lack of memory", "Processes that the kernel killed because memory ran out.",
              [query("increase(pi_oom_kills_total{%s}[$__rate_interval])" % PIS)], "short", color=CRITICAL),
        chart("Contiguous memory (CMA)", "The reserve for camera, display and video.",
              lines("cma_total", "cma_free"), "bytes", [dashed(" cma total$", DIM)], width=24, height=6),
    )


def pressure():
    def panel_of(resource, name, width=8):
        labels = PIS + ',resource="%s"' % resource
        return chart("Pressure: " + name,
                     "Share of time in which threads waited for this. Waiting: at least one; stalled: all that had work. "
                     "Empty if the kernel was started without psi=1 (Raspberry Pi OS).",
                     [query("100 * " + rate("pi_pressure_waiting_seconds_total", labels), "{{instance}} waiting"),
                      query("100 * " + rate("pi_pressure_stalled_seconds_total", labels), "{{instance}} stalled")],
                     "percent", [hue(" stalled$", CRITICAL)], width=width)
    return row("Pressure", panel_of("cpu", "CPU"), panel_of("memory", "memory"), panel_of("io", "disks"))


def diskio():
    def per_operation(kind, done):
        return "%s / (%s > 0)" % (rate("pi_disk_%s_time_seconds_total" % kind, DEVICES), rate("pi_disk_%s_completed_total" % done, DEVICES))
    two = [hue(" read$", AQUA), negative(" write$", BLUE)]
    return row(
        "Disk I/O",
        chart("Throughput", "Bytes read (above) and written (below).",
              [query(rate("pi_disk_read_bytes_total", DEVICES), "{{instance}} {{device}} read"),
               query(rate("pi_disk_written_bytes_total", DEVICES), "{{instance}} {{device}} write")], "Bps", two, minimum=None),
        chart("Operations", "Reads (above) and writes (below) that the disk answered.",
              [query(rate("pi_disk_reads_completed_total", DEVICES), "{{instance}} {{device}} read"),
               query(rate("pi_disk_writes_completed_total", DEVICES), "{{instance}} {{device}} write")], "iops", two, minimum=None),
        chart("Time per operation", "From the request to the answer. A gap: there was no operation.",
              [query(per_operation("read", "reads"), "{{instance}} {{device}} read"),
               query(per_operation("write", "writes"), "{{instance}} {{device}} write")], "s",
              [hue(" read$", AQUA), hue(" write$", BLUE)]),
        chart("Busy", "Share of time in which the disk had something to do.",
              [query("100 * " + rate("pi_disk_io_time_seconds_total", DEVICES), "{{instance}} {{device}}")], "percent",
              width=6, color=AMBER),
        chart("Requests in progress", "Requests that the disk has not answered yet.",
              [query("pi_disk_io_in_progress{%s}" % DEVICES, "{{instance}} {{device}}")], "short", width=6),
    )


def filesystems():
    def column(family):
        return "max by (%s) (%s{%s})" % (FS, family, MOUNTS)
    return row(
        "Filesystems",
        table("Filesystems now", "What `df` prints, fullest first.", [
            ("Size", column("pi_disk_total_bytes"), [("unit", "bytes")]),
            ("Used", column("pi_disk_used_bytes"), [("unit", "bytes")]),
            ("Available", column("pi_disk_available_bytes"), [("unit", "bytes")]),
            ("Free with reserve", column("pi_disk_free_bytes"), [("unit", "bytes")]),
            ("Used %", "max by (%s) (%s)" % (FS, used_percent(MOUNTS)), bar("percent", USAGE)),
            ("Files", column("pi_disk_inodes"), [("unit", "short")]),
            ("Read-only", column("pi_disk_read_only"), [("mappings", switch("no", "yes", WARN)), ("custom.cellOptions", {"type": "color-text"})]),
            ("Error", column("pi_disk_device_error"), [("mappings", switch("no", "yes")), ("custom.cellOptions", {"type": "color-text"})]),
        ], [("instance", "Pi"), ("mountpoint", "Mounted on"), ("device", "Device"), ("fstype", "Type"), ("Size", ""), ("Used", ""),
            ("Available", ""), ("Free with reserve", ""), ("Used %", ""), ("Files", ""), ("Read-only", ""), ("Error", "")],
            sort=["Used %"]),
        chart("Space used", "As `df` counts it: used of what users can have.",
              [query(used_percent(MOUNTS), "{{instance}} {{mountpoint}} {{device}}")], "percent", maximum=100),
        chart("Files used", "Share of inodes in use. Filesystems without a fixed number of files are not here.",
              [query("100 * (1 - pi_disk_inodes_free{%s} / (pi_disk_inodes{%s} > 0))" % (MOUNTS, MOUNTS),
                     "{{instance}} {{mountpoint}} {{device}}")], "percent", maximum=100, color=BLUE),
        chart("Space available", "What users other than root can still fill.",
              [query("pi_disk_available_bytes{%s}" % MOUNTS, "{{instance}} {{mountpoint}} {{device}}")], "bytes", width=8),
        chart("Days until full", "At the pace of the last days, by the agent. Filesystems that do not fill steadily are not here.",
              [query("pi_disk_full_in_seconds{%s} / 86400" % MOUNTS, "{{instance}} {{mountpoint}} {{device}}")], "short", width=8),
        states("Read-only or not answering", "When a filesystem was read-only, and when its size could not be had.",
               [query("pi_disk_read_only{%s}" % MOUNTS, "{{instance}} {{mountpoint}} {{device}} read-only"),
                query("pi_disk_device_error{%s}" % MOUNTS, "{{instance}} {{mountpoint}} {{device}} error")],
               switch("no", "yes", WARN), width=8),
    )


def storage():
    return row(
        "Cards and disks",
        table("Cards", "SD cards and eMMC. An SD card cannot tell how worn it is; an eMMC tells it in tenths of its life.", [
            ("Made", "max by (instance, device, type, name, manufacturer_id) (1000 * pi_storage_manufactured_seconds{%s})" % PIS, [("unit", "dateTimeAsIso")]),
            ("Age", "max by (instance, device, type, name, manufacturer_id) (pi_storage_age_seconds{%s})" % PIS, [("unit", "s"), ("decimals", 1)]),
            ("Life used", "100 * max by (instance, device, type, name, manufacturer_id) (pi_storage_life_used_ratio{%s})" % PIS, bar("percent", USAGE)),
            ("Spare blocks", "max by (instance, device, type, name, manufacturer_id) (pi_storage_pre_eol_state{%s})" % PIS,
             [("mappings", [{"type": "value", "options": {"1": {"text": "enough", "color": AQUA, "index": 0},
                                                          "2": {"text": "80 % used", "color": WARN, "index": 1},
                                                          "3": {"text": "90 % used", "color": CRITICAL, "index": 2}}}]),
              ("custom.cellOptions", {"type": "color-text"})]),
            ("Known", "max by (instance, device, type, name, manufacturer_id) (pi_storage_info{%s})" % PIS, []),
        ], [("instance", "Pi"), ("device", "Device"), ("type", "Type"), ("name", "Name"), ("manufacturer_id", "Maker"), ("Made", ""),
            ("Age", ""), ("Life used", ""), ("Spare blocks", "")], hidden=["Value #E"], height=6, empty="no card or eMMC"),
        chart("Written per day", "Bytes written to each ext4 filesystem's device within the last 24 hours, by the agent, once it has watched for a day.",
              [query("pi_storage_written_per_day_bytes{%s}" % PIS, "{{instance}} {{device}}")], "bytes", color=AMBER),
        chart("Slowest sample", "The highest average time of an operation within any two seconds of the last minute or two. An SD card that stops for a second shows here.",
              [query("pi_disk_worst_average_seconds{%s}" % DEVICES, "{{instance}} {{device}}")], "s", color=AMBER),
        table("ext4 filesystems", "Errors since the last repair, also before this boot, with the times of the first and the last; bytes written to the device.", [
            ("Errors", "max by (instance, device) (pi_storage_errors_total{%s})" % PIS, colored("short", ANY)),
            ("First", "max by (instance, device) (1000 * pi_storage_first_error_seconds{%s})" % PIS, [("unit", "dateTimeAsIso")]),
            ("Last", "max by (instance, device) (1000 * pi_storage_last_error_seconds{%s})" % PIS, [("unit", "dateTimeAsIso")]),
            ("Written since it was made", "max by (instance, device) (pi_storage_lifetime_written_bytes_total{%s})" % PIS, [("unit", "bytes")]),
            ("Written since it was mounted", "max by (instance, device) (pi_storage_session_written_bytes_total{%s})" % PIS, [("unit", "bytes")]),
        ], [("instance", "Pi"), ("device", "Device"), ("Errors", ""), ("First", ""), ("Last", ""), ("Written since it was made", ""),
            ("Written since it was mounted", "")], height=6, sort=["Errors"],
            empty="no ext4 filesystem"),
    )


def wifi():
    return row(
        "Wi-Fi",
        chart("Signal", "-50 dBm is strong, -70 weak, -80 hardly usable. Noise where the driver tells it.",
              [query("pi_wifi_signal_dbm{%s}" % PIS, "{{instance}} {{interface}} signal"),
               query("pi_wifi_noise_dbm{%s}" % PIS, "{{instance}} {{interface}} noise")],
              "dBm", [dashed(" noise$", DIM)], minimum=None, width=8),
        chart("Bit rate", "Of the last frame received (above) and sent (below); not throughput.",
              [query("pi_wifi_receive_bits_per_second{%s}" % PIS, "{{instance}} {{interface}} receive"),
               query("pi_wifi_transmit_bits_per_second{%s}" % PIS, "{{instance}} {{interface}} transmit")],
              "bps", [hue(" receive$", AQUA), negative(" transmit$", BLUE)], minimum=None, width=8),
        chart("Trouble on the air", "Frames sent again, frames given up, and beacons of the access point that were not heard, in each second.",
              [query(rate("pi_wifi_retries_total"), "{{instance}} {{interface}} sent again"),
               query(rate("pi_wifi_failures_total"), "{{instance}} {{interface}} given up"),
               query(rate("pi_wifi_beacon_losses_total"), "{{instance}} {{interface}} beacons lost")],
              "ops", [hue(" sent again$", AMBER), hue(" given up$", CRITICAL), hue(" beacons lost$", VIOLET)], width=8),
        chart("Channel", "Frequency of the channel in use: a step is another access point, or another band.",
              [query("pi_wifi_frequency_hertz{%s}" % PIS, "{{instance}} {{interface}}")], "hertz", minimum=None, height=6),
        states("Power save", "While the radio may sleep between frames, the Pi answers late.",
               [query("pi_wifi_power_save{%s}" % PIS, "{{instance}} {{interface}}")], switch("off", "on", WARN), height=6, empty="no Wi-Fi"),
    )


def network():
    def pair(what):
        return [query(rate("pi_network_receive_%s_total" % what, INTERFACES), "{{instance}} {{interface}} receive"),
                query(rate("pi_network_transmit_%s_total" % what, INTERFACES), "{{instance}} {{interface}} transmit")]
    two = [hue(" receive$", AQUA), negative(" transmit$", BLUE)]
    trouble = [hue(" receive$", AMBER), negative(" transmit$", CRITICAL)]
    return row(
        "Network",
        chart("Network throughput", "Bytes received (above) and sent (below).", pair("bytes"), "Bps", two, minimum=None),
        chart("Packets", "Packets received (above) and sent (below).", pair("packets"), "pps", two, minimum=None),
        chart("Network errors", "Packets that arrived broken (above) or could not be sent (below).", pair("errors"), "pps", trouble, minimum=None),
        chart("Dropped packets", "Packets dropped after they arrived (above) or before they were sent (below).", pair("dropped"), "pps", trouble, minimum=None),
    )


def kernel():
    return row(
        "Clock, RAID and connections",
        chart("Clock offset", "How far the clock is being corrected at the moment; dashed: how wrong it may be, as the program that corrects it estimates.",
              [query("pi_clock_offset_seconds{%s}" % PIS, "{{instance}} offset"),
               query("pi_clock_estimated_error_seconds{%s}" % PIS, "{{instance}} estimated error")],
              "s", [dashed(" estimated error$", DIM)], minimum=None, width=8),
        states("Clock synchronized", "Whether a time service keeps the clock right, according to the kernel.",
               [query("pi_clock_synchronized{%s}" % PIS)],
               [{"type": "value", "options": {"0": {"text": "no", "color": WARN, "index": 0}, "1": {"text": "yes", "color": AQUA, "index": 1}}}], width=8),
        chart("RAID: disks missing", "Disks that arrays lack, and how much of a check or a rebuild is done.",
              [query('pi_mdraid_disks{%s,state="missing"}' % PIS, "{{instance}} {{array}} missing"),
               query("pi_mdraid_progress_percent{%s}" % PIS, "{{instance}} {{array}} done (%)")],
              "short", [hue(" missing$", CRITICAL)], width=8),
        chart("Retransmitted", "Share of TCP segments that were sent again because no answer came.",
              [query("100 * %s / ignoring (direction) (%s > 0)" % (rate("pi_tcp_retransmits_total"), rate("pi_tcp_segments_total", PIS + ',direction="transmit"')))],
              "percent", width=8, color=AMBER),
        chart("Connections dropped", "New TCP connections that were dropped; overflows: because a program did not accept them in time.",
              [query(rate("pi_tcp_listen_drops_total"), "{{instance}} dropped"),
               query(rate("pi_tcp_listen_overflows_total"), "{{instance}} overflows")],
              "ops", [hue(" overflows$", CRITICAL), hue(" dropped$", AMBER)], width=8),
        chart("Limits", "Share of what the kernel allows: connections that the firewall tracks, and open files.",
              [query("100 * pi_conntrack_entries{%s} / pi_conntrack_entries_max{%s}" % (PIS, PIS), "{{instance}} tracked connections"),
               query("100 * pi_files_open{%s} / pi_files_max{%s}" % (PIS, PIS), "{{instance}} open files")],
              "percent", [hue(" tracked connections$", BLUE)], width=8),
    )


def services():
    return row(
        "Services and containers",
        chart("CPU by service", "What the ten busiest services and containers use, in percent of one core.",
              [query("topk(10, 100 * %s)" % rate("pi_service_cpu_seconds_total"), "{{instance}} {{service}}")], "percent", width=8),
        chart("Memory by service", "What the ten largest services and containers have in memory, with the files that the kernel caches for them.",
              [query("topk(10, pi_service_memory_bytes{%s})" % PIS, "{{instance}} {{service}}")], "bytes", width=8),
        chart("Share of memory limit", "For services and containers that have a limit of their own. Near it, the kernel first takes back what it caches of their files.",
              [query("100 * pi_service_memory_bytes{%s} / pi_service_memory_limit_bytes{%s}" % (PIS, PIS), "{{instance}} {{service}}")], "percent", width=8, color=AMBER),
        chart("Disk I/O by service", "What the ten services and containers with the most transfer read and wrote, where the kernel counts it.",
              [query("topk(10, %s + %s)" % (rate("pi_service_read_bytes_total"), rate("pi_service_written_bytes_total")), "{{instance}} {{service}}")], "Bps", width=8, color=BLUE),
        chart("Restarts", "Restarts of services and containers per hour, as far as the agent noticed them.",
              [query("3600 * %s > 0" % rate("pi_service_restarts_total"), "{{instance}} {{service}}")], "short", width=8, color=CRITICAL),
        chart("At their memory limit", "Times that services and containers found no memory below their limit, and processes that they lost.",
              [query('rate(pi_service_memory_events_total{%s,event=~"oom|oom_kill"}[$__rate_interval]) > 0' % PIS, "{{instance}} {{service}} {{event}}")], "short", width=8, color=CRITICAL),
    )


def power():
    return row(
        "Temperature, clock and power",
        chart("Temperature by sensor", "Every sensor; dashed: its critical temperature.",
              [query("pi_temperature_celsius{%s}" % PIS, "{{instance}} {{sensor}}"),
               query("pi_temperature_critical_celsius{%s}" % PIS, "{{instance}} {{sensor}} critical")],
              "celsius", [dashed(" critical$", CRITICAL)], minimum=None, color=AMBER),
        chart("CPU clock", "The frequency that each CPU was set to; dashed: the lowest and the highest it can run at.",
              [query("pi_cpu_frequency_hertz{%s}" % PIS, "{{instance}} {{cpu}}"),
               query("max by (instance) (pi_cpu_frequency_max_hertz{%s})" % PIS, "{{instance}} highest"),
               query("min by (instance) (pi_cpu_frequency_min_hertz{%s})" % PIS, "{{instance}} lowest")],
              "hertz", [dashed(" (highest|lowest)$", DIM)]),
        states("Limits now", "What the firmware does at the moment: under-voltage, capped frequency, throttling, soft temperature limit.",
               [query("pi_throttled{%s}" % PIS, "{{instance}} {{reason}}")], switch("no", "yes"), empty="not on this board"),
        chart("Time spent limited", "Share of time in which each limit held, as the agent saw it.",
              [query("100 * " + rate("pi_throttled_seconds_total"), "{{instance}} {{reason}}")], "percent",
              [hue(" under_voltage$", CRITICAL), hue(" frequency_capped$", VIOLET), hue(" throttled$", AMBER), hue(" soft_temperature_limit$", WARN)]),
        chart("Limits that began", "How often each limit began.",
              [query("increase(pi_throttled_events_total{%s}[$__rate_interval])" % PIS, "{{instance}} {{reason}}")], "short",
              [hue(" under_voltage$", CRITICAL), hue(" frequency_capped$", VIOLET), hue(" throttled$", AMBER), hue(" soft_temperature_limit$", WARN)], width=8),
        table("Limits since boot", "What the firmware has seen at least once since boot.",
              [("Since boot", "max by (instance, reason) (pi_throttled_since_boot{%s})" % PIS,
                [("mappings", switch("never", "yes", WARN)), ("custom.cellOptions", {"type": "color-text"})])],
              [("instance", "Pi"), ("reason", "Limit"), ("Since boot", "")], width=8, empty="not on this board"),
        table("CPU governors", "By which rule the kernel sets each CPU's frequency.",
              [("Known", "max by (instance, cpu, governor) (pi_cpu_governor_info{%s})" % PIS, [])],
              [("instance", "Pi"), ("cpu", "CPU"), ("governor", "Governor")], hidden=["Value"], width=8, empty="not on this board"),
        chart("Cooling", "How much each cooling device works, of what it can: a fan, or a lower clock.",
              [query("pi_cooling_state{%s}" % PIS, "{{instance}} {{device}}"),
               query("pi_cooling_state_max{%s}" % PIS, "{{instance}} {{device}} at most")],
              "short", [dashed(" at most$", DIM)], width=12, height=6),
        chart("Fan", "Revolutions per minute of the fan on the board's own connector.",
              [query("pi_fan_rpm{%s}" % PIS)], "rotrpm", height=6),
        chart("Voltage", "What the firmware and the power chip measure. EXT5V is what arrives at a Pi 5: below 4.63 V it is under-voltage.",
              [query("pi_voltage_volts{%s}" % PIS, "{{instance}} {{rail}}")], "volt", minimum=None, width=8),
        chart("Current", "What each rail of a Pi 5 takes; dashed: what its supply offers. Below 5 A, USB devices share 0.6 A.",
              [query("pi_current_amperes{%s}" % PIS, "{{instance}} {{rail}}"),
               query("pi_power_supply_limit_amperes{%s}" % PIS, "{{instance}} supply")], "amp", [dashed(" supply$", DIM)], width=8, color=BLUE),
        chart("Firmware's clocks", "The frequencies that the firmware measures: also of what is not a CPU, and below what the kernel asked for when it throttles.",
              [query("pi_clock_hertz{%s}" % PIS, "{{instance}} {{clock}}")], "hertz", width=8),
    )


def machine():
    return row(
        "Board and agent",
        table("Boards", "What each Pi is and runs.", [
            ("Board", "max by (instance, model, revision, soc, manufacturer) (pi_board_info{%s})" % PIS, []),
            ("System", "max by (instance, pretty_name) (pi_os_info{%s})" % PIS, []),
            ("Name", "max by (instance, nodename, release, machine) (pi_uname_info{%s})" % PIS, []),
            ("Agent", "max by (instance, version) (pi_monitor_build_info{%s})" % PIS, []),
            ("Booted", "max by (instance) (1000 * pi_boot_time_seconds{%s})" % PIS, [("unit", "dateTimeAsIso")]),
            ("Agent started", "max by (instance) (1000 * process_start_time_seconds{%s})" % PIS, [("unit", "dateTimeAsIso")]),
        ], [("instance", "Pi"), ("nodename", "Host name"), ("model", "Model"), ("revision", "Revision"), ("soc", "Chip"),
            ("manufacturer", "Made by"), ("pretty_name", "Operating system"), ("release", "Kernel"), ("machine", "Machine"),
            ("version", "Agent version"), ("Booted", ""), ("Agent started", "")],
            hidden=["Value #A", "Value #B", "Value #C", "Value #D"], height=6),
        states("Collectors", "Whether each collector's data could be read.",
               [query("pi_collector_up{%s}" % PIS, "{{instance}} {{collector}}")],
               [{"type": "value", "options": {"0": {"text": "failed", "color": CRITICAL, "index": 0}, "1": {"text": "read", "color": AQUA, "index": 1}}}]),
        chart("Time per collector", "How long each collector took.",
              [query("pi_collector_duration_seconds{%s}" % PIS, "{{instance}} {{collector}}")], "s"),
        chart("Agent: CPU", "Share of one CPU that the agent uses.",
              [query("100 * " + rate("process_cpu_seconds_total"))], "percent", width=8),
        chart("Agent: memory", "Memory that the agent occupies; dashed: addresses that it uses.",
              [query("process_resident_memory_bytes{%s}" % PIS, "{{instance}} resident"),
               query("process_virtual_memory_bytes{%s}" % PIS, "{{instance}} virtual")], "bytes", [dashed(" virtual$", DIM)], width=8),
        chart("Agent: files and threads", "File descriptors open and allowed, threads.",
              [query("process_open_fds{%s}" % PIS, "{{instance}} open files"), query("process_max_fds{%s}" % PIS, "{{instance}} allowed"),
               query("process_threads{%s}" % PIS, "{{instance}} threads")], "short",
              [dashed(" allowed$", DIM), hue(" threads$", BLUE)], width=8),
        chart("Agent: clients", "Connections to the agent, and what it dropped or refused per minute, with the reason.",
              [query("pi_monitor_connections{%s}" % PIS, "{{instance}} connections"),
               query("60 * " + rate("pi_monitor_refused_total"), "{{instance}} refused: {{reason}}")], "short", [hue(" connections$", BLUE)]),
        chart("Agent: what it sends", "Messages and pushes per minute, by what came of them; dashed: what waits for a receiver that is out of reach.",
              [query("60 * " + rate("pi_notifications_total"), "{{instance}} {{receiver}} {{outcome}}"),
               query("60 * " + rate("pi_pushes_total"), "{{instance}} {{receiver}} {{outcome}}"),
               query("pi_notifications_waiting{%s}" % PIS, "{{instance}} {{receiver}} waiting"),
               query("pi_pushes_waiting{%s}" % PIS, "{{instance}} {{receiver}} waiting")],
              "short", [hue(" failed$", AMBER), hue(" dropped$", CRITICAL), dashed(" waiting$", DIM)], width=12),
    )


def one_pi():
    return dashboard(
        "pi-monitor", "Pi-Monitor", "One Raspberry Pi, or several side by side.",
        [DATASOURCE, job("pi_monitor_build_info"),
         variable("instance", "Pi", 'label_values(pi_monitor_build_info{job=~"$job"}, instance)', "One Pi or several.", everything=False),
         variable("interface", "Interface", "query_result(%s)" % counted("pi_network_receive_bytes_total{%s}" % OUTSIDE),
                  "Network interfaces; those whose bytes another one carries are left out.", regex='/interface="([^"]+)"/'),
         variable("mountpoint", "Filesystem", "label_values(pi_disk_read_only{%s}, mountpoint)" % PIS, "Mount points."),
         variable("device", "Disk", "label_values(pi_disk_read_bytes_total{%s}, device)" % PIS, "Disks."),
         variable("root", "Main filesystem", "label_values(pi_disk_total_bytes{%s}, mountpoint)" % PIS,
                  "The filesystem in the overview.", multi=False, everything=False,
                  current={"selected": True, "text": "/", "value": "/"})],
        [overview(), cpu(), memory_row(), pressure(), diskio(), filesystems(), storage(), network(), wifi(), kernel(), services(), power(), machine()],
        ANNOTATIONS)


# --- the dashboard of all Pis ----------------------------------------------------------------------------------------

def one(expr, by="instance"):
    return "max by (%s) (%s)" % (by, expr)


def all_pis():
    busy_now = one('sum by (job, instance) (pi_cpu_usage_percent{%s,cpu="total",mode!~"idle|iowait"})' % PIS)
    memory_now = one("100 * %s / %s" % (memory("used"), memory("total")))
    real = PIS + ',fstype!~"squashfs|iso9660|erofs"'
    full_now = one(used_percent(real))
    hot_now = one("pi_cpu_temperature_celsius{%s}" % PIS)
    limited = one("pi_throttled{%s}" % PIS)
    up = "up{%s}" % PIS

    def worst(name, expr):
        return 'label_replace(%s, "what", "%s", "", "")' % (expr, name)
    trouble = "topk by (instance) (1, %s)" % " or ".join([
        worst("does not answer", "200 * (1 - max by (instance) (%s)) > 0" % up),
        worst("power", "150 * %s > 0" % limited),
        worst("CPU", busy_now), worst("memory", memory_now), worst("disk", full_now),
        worst("temperature", "100 / 85 * " + hot_now)])
    link = [{"title": "Open this Pi", "targetBlank": False,
             "url": "/d/pi-monitor?var-datasource=${datasource}&var-job=$job&var-instance=${__data.fields.Pi}&${__url_time_range}"}]
    count = dict(width=3, empty="0", legend="Pis", decimals=0)
    return dashboard(
        "pi-monitor-fleet", "Pi-Monitor Fleet", "All Raspberry Pis, worst first.",
        [DATASOURCE, job("pi_monitor_build_info"),
         variable("instance", "Pi", 'label_values(up{job=~"$job"}, instance)', "All Pis, or some.", all_value=".+")],
        [row("Fleet",
             stat("Pis", "Pis that Prometheus knows.", "count(%s)" % up, **count),
             stat("Answering", "Pis whose last scrape worked.", "sum(%s)" % up, **count),
             stat("Not answering", "Pis whose last scrape failed.", "count(%s == 0) or vector(0)" % up, thresholds=ANY, **count),
             stat("Limited by power", "Pis that the firmware limits at this moment.",
                  'count(%s > 0) or vector(0)' % limited, thresholds=ANY, **count),
             stat("Hot", "Pis with a sensor near its own critical temperature, or at 80 °C or more if it has none.",
                  'count(max by (instance) (pi_verdict{%s,rule="hot"}) > 0) or vector(0)' % PIS, thresholds=ANY, **count),
             stat("Disk 90 % full", "Pis with a filesystem that is 90 % full or more.", "count(%s >= 90) or vector(0)" % full_now, thresholds=SOME, **count),
             stat("Agents in trouble", "Pis with a collector that cannot read its data.",
                  "count(max by (instance) (pi_collector_up{%s} == 0)) or vector(0)" % PIS, thresholds=SOME, **count),
             stat("Started lately", "Pis that booted within the last 15 minutes.",
                  "count(max by (instance) (pi_uptime_seconds{%s} < 900)) or vector(0)" % PIS, thresholds=SOME, **count),
             table("All Pis", "Worst first. \"Worst\" is the highest of: CPU busy %, memory used %, fullest filesystem %, temperature as a share of 85 °C; "
                   "150 if the firmware limits the Pi, 200 if it does not answer. A click on a name opens its dashboard.", [
                 ("Answers", one(up), [("mappings", [{"type": "value", "options": {"0": {"text": "no", "color": CRITICAL, "index": 0}, "1": {"text": "yes", "color": AQUA, "index": 1}}}]),
                                       ("custom.cellOptions", {"type": "color-text"})]),
                 ("Worst", trouble, colored("short", steps((80, WARN), (95, CRITICAL)), ("decimals", 0))),
                 ("Verdicts", one("sum by (job, instance) (pi_verdict{%s})" % PIS), colored("short", SOME, ("decimals", 0))),
                 ("CPU", busy_now, bar("percent", USAGE)),
                 ("Memory", memory_now, bar("percent", USAGE)),
                 ("Fullest disk", full_now, bar("percent", USAGE)),
                 ("Temperature", hot_now, colored("celsius", HEAT, ("decimals", 1))),
                 ("Power", limited, [("mappings", switch("OK", "limited")), ("custom.cellOptions", {"type": "color-text"})]),
                 ("Load", one('pi_load_average{%s,period="5m"}' % PIS), [("unit", "short"), ("decimals", 2)]),
                 ("Uptime", one("pi_uptime_seconds{%s}" % PIS), [("unit", "s"), ("decimals", 1)]),
                 ("Board", one("pi_board_info{%s}" % PIS, "instance, model"), []),
                 ("Build", one("pi_monitor_build_info{%s}" % PIS, "instance, version"), []),
             ], [("instance", "Pi"), ("model", "Model"), ("Answers", ""), ("Worst", ""), ("what", "Because of"), ("Verdicts", ""), ("CPU", ""), ("Memory", ""),
                 ("Fullest disk", ""), ("Temperature", ""), ("Power", ""), ("Load", ""), ("Uptime", ""), ("version", "Agent")],
                 hidden=["Value #K", "Value #L"], sort=["Worst"], height=14,
                 overrides=[override("byName", "Pi", ("links", link), ("custom.cellOptions", {"type": "color-text"}))]),
             table("Alerts that fire", "Alerts of monitoring/rules that fire now. Empty: none does.",
                   [("Alert", 'max by (instance, alertname, severity) (ALERTS{%s,alertstate="firing"})' % PIS, [])],
                   [("instance", "Pi"), ("alertname", "Alert"), ("severity", "Severity")], hidden=["Value"], width=12, empty="no alert fires"),
             chart("Pis that answer", "How many Pis Prometheus could scrape, and how many it knows.",
                   [query("sum(%s)" % up, "answering"), query("count(%s)" % up, "known")], "short", [dashed("^known$", DIM)])),
         row("Over time",
             *[chart(title, "The Pis' median, the worst twentieth and the worst. %s" % what,
                     [query("quantile(0.5, %s)" % expr, "median"), query("quantile(0.95, %s)" % expr, "95 %"), query("max(%s)" % expr, "worst")],
                     unit, [hue("^95 %$", AMBER), hue("^worst$", CRITICAL)], minimum=minimum)
               for title, what, expr, unit, minimum in [
                   ("CPU of all Pis", "Busy: neither idle nor waiting for disks.", busy("job, instance"), "percent", 0),
                   ("Memory of all Pis", "Used: total less available.", "100 * %s / %s" % (memory("used"), memory("total")), "percent", 0),
                   ("Temperature of all Pis", "Each Pi's processor.", hot_now, "celsius", None),
                   ("Disks of all Pis", "Each Pi's fullest filesystem.", full_now, "percent", 0)]]),
         row("The first ten",
             *[chart(title, "The ten Pis that lead at each moment. %s" % what, [query("topk(10, %s)" % expr, legend)], unit, color=color, minimum=None)
               for title, what, expr, legend, unit, color in [
                   ("Busiest", "CPU, neither idle nor waiting for disks.", busy("instance"), "{{instance}}", "percent", AQUA),
                   ("Hottest", "Each Pi's processor.", hot_now, "{{instance}}", "celsius", AMBER),
                   ("Fullest", "Each Pi's fullest filesystem.", full_now, "{{instance}}", "percent", BLUE),
                   ("Most traffic", "Received and sent, each byte once.",
                    "sum by (instance) (%s) + sum by (instance) (%s)" % (counted(rate("pi_network_receive_bytes_total", OUTSIDE)),
                                                                       counted(rate("pi_network_transmit_bytes_total", OUTSIDE))),
                    "{{instance}}", "Bps", VIOLET)]]),
         row("What they are",
             table("Models", "How many Pis there are of each model.", [("Pis", "count by (model) (pi_board_info{%s})" % PIS, [("decimals", 0)])],
                   [("model", "Model"), ("Pis", "")], width=8, sort=["Pis"]),
             table("Systems", "How many Pis run each operating system.", [("Pis", "count by (pretty_name) (pi_os_info{%s})" % PIS, [("decimals", 0)])],
                   [("pretty_name", "Operating system"), ("Pis", "")], width=8, sort=["Pis"]),
             table("Agents", "How many Pis run each version of the agent.",
                   [("Pis", "count by (version, target) (pi_monitor_build_info{%s})" % PIS, [("decimals", 0)])],
                   [("version", "Version"), ("target", "Built for"), ("Pis", "")], width=8, sort=["Pis"]))],
        ANNOTATIONS[:1])


# --- the whole -------------------------------------------------------------------------------------------------------

def place(rows):
    """Numbers the panels and puts them into the grid of 24 columns, left to right, top to bottom."""
    panels, y, number = [], 0, 0
    for entry in rows:
        number += 1
        panels.append({"type": "row", "id": number, "title": entry["title"], "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        y += 1
        x = height = 0
        for item in entry["panels"]:
            number += 1
            size = item["gridPos"]
            # A repeated panel takes the whole width: its copies go beside and below it.
            width = 24 if item.get("repeat") else size["w"]
            if x + width > 24:
                x, y, height = 0, y + height, 0
            item["id"] = number
            item["gridPos"] = {"x": x, "y": y, "w": width, "h": size["h"]}
            x, height = x + width, max(height, size["h"])
            panels.append(item)
        y += height
    return panels


def dashboard(uid, title, description, variables, rows, annotations):
    return {
        "uid": uid, "title": title, "description": description, "tags": ["pi-monitor"], "schemaVersion": 39, "version": 1,
        "editable": False, "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
        "fiscalYearStartMonth": 0, "liveNow": False, "weekStart": "",
        "timepicker": {"refresh_intervals": ["10s", "30s", "1m", "5m", "15m", "1h"]},
        "links": [{"type": "dashboards", "tags": ["pi-monitor"], "title": "Pi-Monitor", "icon": "dashboard", "asDropdown": False,
                   "includeVars": False, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}],
        "annotations": {"list": annotations}, "templating": {"list": variables}, "panels": place(rows),
    }


def main():
    here = pathlib.Path(__file__).resolve().parent / "dashboards"
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    status = 0
    for made in (one_pi(), all_pis()):
        path = here / (made["uid"] + ".json")
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print("%s is not what generate.py writes" % path.name)
            status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
