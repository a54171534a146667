"""Measures the agent, the floor and other exporters side by side; run.sh prepares and calls it.

CPU time is what the scheduler counted for all threads of a process (schedstat, in nanoseconds), divided by the number of
scrapes. A ratio to the floor is always one within a round: both were asked in turn within the same tenth of a second.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from random import Random

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENT = os.path.join(REPO, "docs/performance.md")
CORE = ["cpu", "memory", "network", "system", "disk"]
CORE_OF_NODE_EXPORTER = ["cpu", "meminfo", "netdev", "loadavg", "stat", "filesystem"]
# A page is shared for 100 ms; with this between two scrapes each of them is a collection.
GAP = 0.11
# What the floor sends.
LENGTH = 6000
# Keeps the sampler out of what a scrape costs; what it costs itself is measured on its own.
NO_TICKS = "--sample.interval=1h"


def agent_flags():
    return ["--collector.disable-defaults", *(f"--collector.{name}" for name in CORE)]


class Subject:
    """A server under measurement, and one kept-alive connection to it."""

    def __init__(self, name, command, port, path="/metrics"):
        self.name, self.port, self.path = name, port, path
        self.command = [part.replace("PORT", str(port)) for part in command]
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.connection = None
        end = time.monotonic() + 15
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                self.answer = self.scrape()
                return
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{name} does not answer: {' '.join(self.command)}")
            time.sleep(0.02)

    def connect(self, client=0):
        """Each client has an address of its own, as there is a limit to the connections from one."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(f"127.0.1.{client + 1}", 0))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def scrape(self, on=None):
        if on is None:
            # A server may close a connection on which nothing came for a while.
            if self.connection is not None:
                with contextlib.suppress(OSError):
                    return self.scrape(self.connection)
                self.connection.close()
            self.connection = on = self.connect()
        on.sendall(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        text = b""
        while b"\r\n\r\n" not in text:
            text += self.more(on)
        head, _, body = text.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{self.name}: {head[:80]}")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if length:
            while len(body) < int(length[1]):
                body += self.more(on)
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body += self.more(on)
        return body

    def more(self, connection):
        got = connection.recv(1 << 20)
        if not got:
            raise ConnectionResetError(f"{self.name} closed the connection")
        return got

    def series(self):
        """Lines that are samples; in an answer in chunks, lines that hold a chunk's length have no blank."""
        return sum(1 for line in self.answer.splitlines() if b" " in line and not line.startswith(b"#"))

    def families(self):
        return len(re.findall(rb"(?m)^# TYPE ", self.answer))

    def cpu(self):
        """Nanoseconds on a CPU."""
        return sum(int(text.split()[0]) for text in self.per_thread("schedstat"))

    def wakeups(self):
        return sum(int(count) for text in self.per_thread("status") for count in re.findall(r"\nvoluntary_ctxt_switches:\s+(\d+)", text))

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def per_thread(self, file):
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/{file}", encoding="ascii") as text:
                yield text.read()

    def pss(self):
        """kB, of this process and those that it started."""
        total = 0
        for pid in [self.pid] + children(self.pid):
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as text:
                total += int(re.search(r"\nPss:\s+(\d+)", text.read())[1])
        return total

    def written(self):
        """Bytes that the process caused to be written to disks."""
        with open(f"/proc/{self.pid}/io", encoding="ascii") as text:
            return int(re.search(r"\nwrite_bytes: (\d+)", text.read())[1])

    def stop(self):
        if self.connection is not None:
            self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as text:
        return [int(child) for child in text.read().split()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bench:
    def __init__(self, arguments):
        self.tools, self.agent, self.quick = arguments.tools, os.path.abspath(arguments.agent), arguments.quick
        self.rounds, self.scrapes = (2, 12) if self.quick else (5, 50)
        node = ["prometheus-node-exporter", "--web.listen-address=127.0.0.1:PORT", "--log.level=error"]
        core = [f"--collector.{name}" for name in CORE_OF_NODE_EXPORTER]
        mine = [self.agent, "--web.listen-address=127.0.0.1:PORT"]
        self.commands = {
            "agent5": mine + agent_flags(),
            "agent": mine,
            "node5": node + ["--collector.disable-defaults"] + core,
            "node": node,
        }
        self.paths = {}

    def add_dialect(self):
        """Adds both programs with the collectors that are on by default in both, and with the same names."""
        mine, node = self.commands["agent"], self.commands["node"]
        lists = []
        for command, path in ((mine, "/metrics?dialect=node"), (node, "/metrics")):
            subject = Subject("names", command, free_port())
            with urllib.request.urlopen(f"http://127.0.0.1:{subject.port}{path}", timeout=30) as answer:
                lists.append(re.findall(r'node_scrape_collector_success{collector="(\w+)"}', answer.read().decode()))
            subject.stop()
        same = [name for name in lists[0] if name in lists[1]]
        self.paths["agent as node"] = "/metrics?dialect=node" + "".join(f"&collect[]={name}" for name in same)
        self.commands["agent as node"] = mine
        self.commands["node like agent"] = node + ["--collector.disable-defaults"] + [f"--collector.{name}" for name in same]

    def start(self, name, *flags):
        if name in ("floor", "long floor"):
            return Subject(name, self.floor(name), free_port())
        return Subject(name, self.commands[name] + list(flags), free_port(), self.paths.get(name, "/metrics"))

    def floor(self, name="floor"):
        """Its command: it sends 6,000 bytes, or as many as the agent does."""
        length = LENGTH
        if name == "long floor":
            agent = self.start("agent5")
            length = len(agent.answer)
            agent.stop()
        return [f"{self.tools}/floor", "PORT", str(length), *self.mount_points()]

    def mount_points(self):
        """Those that the agent tells of: the floor asks about the same ones."""
        text = subprocess.run(
            self.commands["agent5"][:1] + ["print", "--format=json", "--collector.disable-defaults", "--collector.disk"],
            capture_output=True, check=True).stdout
        return [filesystem["mountpoint"] for filesystem in json.loads(text)["disk"]["filesystems"]]

    def paced(self, names):
        """CPU per scrape in ns of each, a list of one figure a round; all are asked in turn."""
        subjects = [self.start(name, *([NO_TICKS] if name.startswith("agent") else [])) for name in names]
        figures = {name: [] for name in names}
        order, random = list(subjects), Random(1)
        try:
            for round_number in range(self.rounds + 1):
                before = [subject.cpu() for subject in subjects]
                count = self.scrapes if round_number else 5     # the first is for warming up
                for _ in range(count):
                    # Whoever comes after another finds the kernel's code in the caches, so the order changes all the time, and the
                    # time between two is always the same.
                    random.shuffle(order)
                    time.sleep(GAP)
                    for subject in order:
                        subject.scrape()
                        time.sleep(GAP / len(order))
                if round_number:
                    for subject, start in zip(subjects, before):
                        figures[subject.name].append((subject.cpu() - start) / count)
            return figures, {subject.name: (subject.series(), subject.families(), len(subject.answer)) for subject in subjects}
        finally:
            for subject in subjects:
                subject.stop()

    def loaded(self, names, clients):
        """CPU per scrape in ns of each with `clients` that ask again at once."""
        figures = {name: [] for name in names}
        subjects = [self.start(name) for name in names]
        try:
            for _ in range(self.rounds):
                for subject in subjects:
                    requests = 200 if subject.name.startswith("node") else 4000
                    before = subject.cpu()
                    self.load(subject, clients, requests, 0)
                    figures[subject.name].append((subject.cpu() - before) / requests)
            return figures
        finally:
            for subject in subjects:
                subject.stop()

    def load(self, subject, clients, requests, gap_us):
        subprocess.run(
            [f"{self.tools}/load", "scrape", str(subject.port), "/metrics", str(clients), str(requests), str(gap_us)],
            check=True, stdout=subprocess.DEVNULL)

    def memory(self, name):
        """PSS in kB: idle, for each idle connection, after a load of 16 clients; and threads."""
        subject = self.start(name)
        try:
            time.sleep(3)
            idle = subject.pss()
            connections = [subject.connect(client) for client in range(1, 97)]
            for connection in connections:
                subject.scrape(connection)
            # A second answer on each, since the first may share memory that was there already.
            for connection in connections:
                subject.scrape(connection)
            fresh = (subject.pss() - idle) / len(connections)
            time.sleep(7)
            each = (subject.pss() - idle) / len(connections)
            for connection in connections:
                connection.close()
            self.load(subject, 16, 400 if name.startswith("node") else 8000, 0)
            time.sleep(1)
            return {"idle": idle, "connection": each, "fresh": fresh, "loaded": subject.pss(), "threads": subject.threads()}
        finally:
            subject.stop()

    def idle(self):
        """What it costs while nobody asks: ns of CPU a second, a figure for each stretch of time; wake-ups a second, and bytes written.

        What others do on the machine makes the agent look at processes now and then, of which the median is free, and wakes it to
        note that processes had to wait, which is counted and subtracted.
        """
        subject = self.start("agent")
        stretches, seconds = (3 if self.quick else 9), 8
        cpu = []

        def stalls():
            return int(re.search(rb'\npi_events_total\{kind="stall"\} (\d+)', subject.scrape())[1])

        try:
            noted = stalls()
            subject.connection.close()
            subject.connection = None
            time.sleep(3)
            written, woken = subject.written(), subject.wakeups()
            for _ in range(stretches):
                before = subject.cpu()
                time.sleep(seconds)
                cpu.append((subject.cpu() - before) / seconds)
            woken, written = subject.wakeups() - woken, subject.written() - written
            return {"cpu": cpu, "wakeups": (woken - (stalls() - noted)) / (stretches * seconds), "written": written}
        finally:
            subject.stop()

    def system_calls(self, name):
        """A scrape's, on average."""
        subject = self.start(name, *([NO_TICKS] if name.startswith("agent") else []))
        count = 40
        with tempfile.NamedTemporaryFile(mode="r") as table:
            try:
                time.sleep(0.3)
                subject.scrape()
                tracer = subprocess.Popen(["strace", "-fcq", "-o", table.name, "-p", str(subject.pid)], stderr=subprocess.DEVNULL)
                time.sleep(0.7)
                for _ in range(count):
                    subject.scrape()
                    time.sleep(GAP)
                tracer.send_signal(signal.SIGINT)
                tracer.wait(10)
            finally:
                subject.stop()
            total = [line for line in table.read().splitlines() if line.endswith("total")]
            return int(total[0].split()[3]) / count

    def instructions(self, name):
        """A scrape's, in the process itself: the difference between 5 and 25 scrapes under callgrind."""
        counts = {}
        for scrapes in (5, 25):
            with tempfile.TemporaryDirectory() as folder:
                command = [f"{self.tools}/unconfined", "valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "-q"]
                if name == "floor":
                    command += self.floor()
                else:
                    command += self.commands[name] + [NO_TICKS]
                subject = Subject(name, command, free_port())
                for _ in range(scrapes - 1):
                    time.sleep(GAP)
                    subject.scrape()
                subject.stop()
                with open(f"{folder}/out", encoding="ascii", errors="replace") as text:
                    counts[scrapes] = int(re.search(r"\n(?:summary|totals): (\d+)", text.read())[1])
        return (counts[25] - counts[5]) / 20

    def first_answer(self, name):
        """Milliseconds from exec to the whole of the first answer."""
        times = []
        for _ in range(3 if self.quick else 15):
            port = free_port()
            command = [part.replace("PORT", str(port)) for part in self.commands[name]]
            told = subprocess.run([f"{self.tools}/load", "first", str(port), "/metrics", *command], check=True, capture_output=True)
            times.append(int(told.stdout) / 1000)
        return times

    def scene(self, kind, count):
        """CPU per scrape with `count` interfaces or mounts, in namespaces of their own."""
        script = {
            # A pair of virtual interfaces is two; the loopback interface is there from the start.
            "interfaces": 'ip link set lo up; n=$1; shift; i=1; while [ $i -lt $n ]; do ip link add v${i}a type veth peer name v${i}b; i=$((i + 2)); done; exec "$@"',
            "mounts": 'n=$1; shift; d=$(mktemp -d); mount -t tmpfs none $d; i=0; while [ $i -lt $n ]; do mkdir $d/$i; mount -t tmpfs -o size=64k none $d/$i; i=$((i + 1)); done; exec "$@"',
        }[kind]
        # node_exporter asks process 1 for the mounts, so there has to be one that sees these.
        spaces = ["--net"] if kind == "interfaces" else ["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc"]
        command = [sys.executable, os.path.abspath(__file__), "--tools", self.tools, "--agent", self.agent, "--inside"]
        told = subprocess.run(
            ["unshare", *spaces, "sh", "-ec", script, "sh", str(count), *command, *(["--quick"] if self.quick else [])],
            check=True, stdout=subprocess.PIPE)
        return json.loads(told.stdout)


def spread(figures):
    """Median and range."""
    return statistics.median(figures), min(figures), max(figures)


def ratios(figures, base):
    return spread([figure / other for figure, other in zip(figures, base)])


def micro(nanoseconds):
    return f"{nanoseconds / 1000:,.0f} µs"


def times(ratio, digits=2):
    middle, low, high = ratio
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def report(bench):
    everyone = ["floor", "agent5", "agent", "node5", "node"]
    say("CPU per scrape")
    paced, shape = bench.paced([*everyone, "long floor"])
    say("as fast as clients can ask")
    bench.add_dialect()
    dialect, _ = bench.paced(["agent as node", "node like agent"])
    alone, crowd = bench.loaded(everyone, 1), bench.loaded(everyone, 16)
    say("memory")
    memory = {name: bench.memory(name) for name in everyone}
    say("while nobody asks")
    idle = bench.idle()
    say("system calls")
    calls = {name: bench.system_calls(name) for name in everyone}
    say("instructions")
    instructions = {name: bench.instructions(name) for name in ["floor", "agent5", "agent"]}
    say("first answer")
    first = {name: spread(bench.first_answer(name)) for name in ["agent5", "agent", "node5", "node"]}
    scenes = {}
    for kind in ["interfaces", "mounts"]:
        for count in [30, 100, 300]:
            say(f"{count} {kind}")
            scenes[kind, count] = bench.scene(kind, count)

    to_floor = {name: ratios(paced[name], paced["floor"]) for name in everyone}
    as_node = ratios(dialect["node like agent"], dialect["agent as node"])
    to_node = ratios(paced["node"], paced["agent"])
    as_long = ratios(paced["agent5"], paced["long floor"])
    crowd_to_floor = {name: ratios(crowd[name], crowd["floor"]) for name in everyone}
    idle_cpu = spread(idle["cpu"])
    rows = [
        ("one client, five collectors: CPU ÷ floor", to_floor["agent5"][0], 1.1, times(to_floor["agent5"])),
        ("the same ÷ a floor that sends as much", as_long[0], 1.1, times(as_long)),
        ("16 clients, five collectors: CPU ÷ floor", crowd_to_floor["agent5"][0], 0.5, times(crowd_to_floor["agent5"])),
        ("user instructions, five collectors", instructions["agent5"], 80_000, f"{instructions['agent5']:,.0f}"),
        ("system calls, five collectors", calls["agent5"], 20, f"{calls['agent5']:.1f}"),
    ]
    for kind in ["interfaces", "mounts"]:
        ratio = ratios(scenes[kind, 300]["agent5"], scenes[kind, 300]["floor"])
        rows.append((f"300 {kind}, five collectors: CPU ÷ floor", ratio[0], 1.2, times(ratio)))
        growth = [statistics.median(scenes[kind, count]["agent5"]) / 1000 for count in (30, 100, 300)]
        each = [(growth[1] - growth[0]) / 70, (growth[2] - growth[1]) / 200]
        rows.append((f"growth per {kind[:-1]} from 100 to 300 ÷ that from 30 to 100", each[1] / each[0], 1.25,
                     f"{each[1] / each[0]:.2f} ({each[0]:.2f} µs, {each[1]:.2f} µs)"))
    rows += [
        ("everything on, CPU ÷ node_exporter's defaults", 1 / to_node[0], 1 / 15, f"1/{to_node[0]:.0f}"),
        ("node_exporter's names, CPU ÷ node_exporter with the same collectors", 1 / as_node[0], 1 / 12, f"1/{as_node[0]:.0f}"),
        ("idle with history: CPU per second", idle_cpu[0] / 1000, 250, f"{idle_cpu[0] / 1000:,.0f} µs ({idle_cpu[1] / 1000:,.0f}–{idle_cpu[2] / 1000:,.0f})"),
        ("idle with history: bytes written to disk", idle["written"], 0, f"{idle['written']}"),
        ("idle with history: wake-ups per second (the sampler's: 0.5)", idle["wakeups"], 0.6, f"{idle['wakeups']:.2f}"),
        ("PSS idle, everything on", memory["agent"]["idle"], 1500, f"{memory['agent']['idle']:,} kB"),
        ("PSS after load, everything on", memory["agent"]["loaded"], 2500, f"{memory['agent']['loaded']:,} kB"),
        ("PSS per idle connection, 7 s after its last answer", memory["agent"]["connection"], 8,
         f"{memory['agent']['connection']:.1f} kB ({memory['agent']['fresh']:.1f} at first)"),
        ("threads where nothing blocks", memory["agent"]["threads"], 1, f"{memory['agent']['threads']}"),
        ("exec to first answer, everything on", first["agent"][0], 5, f"{first['agent'][0]:.1f} ms ({first['agent'][1]:.1f}–{first['agent'][2]:.1f})"),
    ]
    lines = ["| what | target | measured | |", "|---|---:|---:|---|"]
    targets = {1 / 15: "1/15", 1 / 12: "1/12"}
    for what, figure, target, text in rows:
        lines.append(f"| {what} | ≤ {targets.get(target) or f'{target:,}'} | {text} | {'reached' if figure <= target else '**not reached**'} |")

    names = {"floor": "floor", "agent5": "Pi-Monitor, five collectors", "agent": "Pi-Monitor, everything on",
             "node5": "node_exporter, the same files", "node": "node_exporter, its defaults"}
    lines += ["", "| | CPU per scrape | ÷ floor | one client, at once | 16 clients, at once | system calls | instructions | PSS idle | after load | threads | first answer |",
              "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for name in everyone:
        made = f"{first[name][0]:.1f} ms" if name in first else "–"
        counted = f"{instructions[name]:,.0f}" if name in instructions else "–"
        lines.append(
            f"| {names[name]} | {micro(statistics.median(paced[name]))} | {times(to_floor[name])} | {micro(statistics.median(alone[name]))} "
            f"| {micro(statistics.median(crowd[name]))} | {calls[name]:.1f} | {counted} | {memory[name]['idle']:,} kB | {memory[name]['loaded']:,} kB "
            f"| {memory[name]['threads']} | {made} |")
    lines += ["", "| | series | families | bytes | CPU per series |", "|---|---:|---:|---:|---:|"]
    for name in everyone[1:]:
        series, families, length = shape[name]
        lines.append(f"| {names[name]} | {series} | {families} | {length:,} | {statistics.median(paced[name]) / 1000 / series:.2f} µs |")
    lines += ["", "| CPU per scrape with | floor | Pi-Monitor, five collectors | ÷ floor | ÷ floor that sends as much | node_exporter, the same files | ÷ floor |", "|---|---:|---:|---:|---:|---:|---:|"]
    for (kind, count), figures in scenes.items():
        base = figures["floor"]
        lines.append(f"| {count} {kind} | {micro(statistics.median(base))} | {micro(statistics.median(figures['agent5']))} | {times(ratios(figures['agent5'], base))} "
                     f"| {times(ratios(figures['agent5'], figures['long floor']))} | {micro(statistics.median(figures['node5']))} | {times(ratios(figures['node5'], base), 1)} |")
    return "\n".join(lines) + "\n"


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as text:
        model = re.search(r"model name\s*: (.*)", text.read())
    uname = os.uname()
    version = subprocess.run(["prometheus-node-exporter", "--version"], capture_output=True, text=True, check=True)
    version = re.search(r"version ([0-9.]+)", version.stdout + version.stderr)[1]
    return (f"Linux {'.'.join(uname.release.split('.')[:2])}, {uname.machine}, {os.cpu_count()} CPUs ({model[1] if model else 'unknown model'}), "
            f"a virtual machine that others use too; node_exporter {version}.\n\n")


def say(what):
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", required=True)
    parser.add_argument("--agent", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--inside", action="store_true", help="measure a scene and print it as JSON")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    if arguments.inside:
        bench.rounds, bench.scrapes = (2, 8) if bench.quick else (3, 25)
        json.dump(bench.paced(["floor", "long floor", "agent5", "node5"])[0], sys.stdout)
        return
    text = machine() + report(bench)
    print(text)
    if not bench.quick:
        with open(DOCUMENT, encoding="utf-8") as document:
            before, rest = document.read().split("<!-- table:begin -->\n")
        after = rest.split("<!-- table:end -->")[1]
        with open(DOCUMENT, "w", encoding="utf-8") as document:
            document.write(f"{before}<!-- table:begin -->\n{text}<!-- table:end -->{after}")


main()
