"""Measures the agent's memory after a first start and with every ring full; memory.sh prepares and calls it."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

# kB, as docs/performance.md promises.
FIRST_MAX, FULL_MAX, DIALECT_MAX = 1700, 2200, 100
PROCESSES, GROUPS = 150, 60
PAGES = ["/metrics", "/json", "/", "/more.js", "/events", "/events?format=text", "/processes",
         *(f"/history?range={span}" for span in ["2m", "10m", "1h", "24h", "7d"])]
# Control groups that ran out of memory, seen by the agent alone.
GROUPS_SCRIPT = """mount -t tmpfs none /sys/fs/cgroup
echo memory >/sys/fs/cgroup/cgroup.controllers
for number in $(seq %d); do
    group=/sys/fs/cgroup/system.slice/service-of-usual-length-$number.service
    mkdir -p $group
    printf 'low 0\\nhigh 0\\nmax 9\\noom 3\\noom_kill 3\\noom_group_kill 0\\n' >$group/memory.events.local
    echo 67108864 >$group/memory.max
done
exec "$0" "$@" """ % GROUPS


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Agent:
    def __init__(self, binary, state, prefix=(), flags=()):
        self.port = free_port()
        flags = [f"--web.listen-address=127.0.0.1:{self.port}", f"--state.directory={state}", *flags]
        self.process = subprocess.Popen([*prefix, binary, *flags], stderr=subprocess.PIPE)
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                self.get("/health")
                return
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"the agent does not answer: {self.process.communicate()[1].decode()}")
            time.sleep(0.05)

    def get(self, path, packed=False):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if packed:
            request.add_header("Accept-Encoding", "gzip")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def pss(self):
        """kB: of the agent, and of the processes that it started."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as text:
            children = text.read().split()
        return [pss(self.process.pid), sum(map(pss, children))]

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=30)


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as text:
        return int(re.search(r"\nPss:\s+(\d+)", text.read())[1])


def main():
    binary, place = os.path.abspath(sys.argv[1]), sys.argv[2]
    agent = Agent(binary, f"{place}/first")
    time.sleep(12)
    first = agent.pss()
    agent.stop()

    # What node_exporter's names cost who asks for them: the least of three, since pages come and go.
    dialects = {}
    for number in range(3):
        for dialect in ("pi", "node"):
            agent = Agent(binary, f"{place}/{dialect}{number}", (), [f"--metrics.dialect={dialect}"])
            for _ in range(10):
                agent.get("/metrics")
                time.sleep(0.15)
            time.sleep(12)
            dialects[dialect] = min(dialects.get(dialect, 1 << 30), agent.pss()[0])
            agent.stop()
    more = dialects["node"] - dialects["pi"]

    present = sum(name.isdigit() for name in os.listdir("/proc"))
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(max(0, PROCESSES - present))]
    try:
        prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", GROUPS_SCRIPT] if os.getuid() == 0 else []
        agent = Agent(binary, f"{place}/week", prefix)
        time.sleep(12)
        restored = agent.pss()
        # The rings are as full as a week makes them, or the figure says nothing.
        points = agent.get("/history?range=7d").count(b",")
        events = agent.get("/events?limit=9999").count(b'"id"')
        groups = agent.get("/metrics").count(b"\npi_cgroup_oom_kills_total{")
        for packed in (False, True, False, True):
            for page in PAGES:
                agent.get(page, packed)
            time.sleep(1)
        # Connections that were just closed have given everything back by then.
        time.sleep(12)
        full = agent.pss()
        agent.stop()
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    print(f"a week: {points:,} points in an answer of seven days, {events} events, {groups} control groups, {PROCESSES} processes")
    print("| memory (PSS), everything on, with a state directory | limit | agent and writer |")
    print("|---|---:|---:|")
    wrong = points < 5000 or events < 100 or os.getuid() == 0 and groups < GROUPS
    for what, sizes, limit in [("12 s after a first start", first, FIRST_MAX), ("12 s after a start with a week on disk", restored, FULL_MAX),
                               ("the same when every page was asked for, plain and compressed", full, None)]:
        wrong |= limit is not None and sum(sizes) > limit
        print(f"| {what} | {f'≤ {limit:,} kB' if limit else '–'} | {sum(sizes):,} kB ({sizes[0]:,} + {sizes[1]:,}) |")
    wrong |= more > DIALECT_MAX
    print(f"| more in node_exporter's names, 12 s after ten scrapes | ≤ {DIALECT_MAX:,} kB | {more:,} kB ({dialects['node']:,} − {dialects['pi']:,}) |")
    if wrong:
        raise SystemExit("over the limit, or the rings are not full")


main()
