"""Writes scripts/lib/order.txt, the order of functions for the linker; build.sh --order prepares and calls it.

    order.py PLUGIN BOARDS VERSION QEMU BINARY [QEMU BINARY]...

PLUGIN is blocks.c, compiled; BOARDS a directory of unpacked boards; VERSION that of Rust. Each BINARY has its symbols, and is run with its
QEMU on this machine's files and on those of each board. First comes what both ticks and scrapes run, then what only ticks run, then
what only scrapes run, first with the agent's own names and then with node_exporter's, then what other pages run; each in the order in
which it ran first. What only the start runs is left out.
"""

import bisect
import concurrent.futures
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
# Long enough for what is looked up every 30 s.
START, TICKS = 12, 36
PAGES = ["/json", "/", "/more.js", "/events", "/events?format=text", "/processes", "/doctor", "/history?range=2m", "/history?range=1h"]
# The process that writes the journal runs these; it is another one than that which is recorded.
WRITER = ["fork_writer", "release_program", "filter_system_calls", "no_new_privs", "keep_capabilities"]
WRITER_CALLS = ["recvfrom", "sendto", "pwrite", "fdatasync", "prctl", "getauxval", "sysconf", "madvise", "syscall"]
# Modules whose functions a tick runs when something happens, which it may not while this records.
EVENTS = ["10pi_monitor5judge", "10pi_monitor6kernel5watch", "7history6events", "7history7journal", "5agent6keeper", "5agent9heartbeat"]


def functions(binary):
    """Addresses, ends and names of functions, by address."""
    found = {}
    for line in subprocess.run(["nm", "-n", "--defined-only", binary], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines():
        address, kind, name = line.split(" ", 2)
        # One name of several that were folded. Assembly has no sizes, so each function ends where the next one begins.
        if kind in "tTwW" and not name.startswith("$"):
            found.setdefault(int(address, 16), name)
    starts = sorted(found)
    return [(start, end, found[start]) for start, end in zip(starts, [*starts[1:], 1 << 63])]


def entry(binary):
    with open(binary, "rb") as file:
        return int.from_bytes(file.read(32)[24:32], "little")


class Run:
    """The agent in QEMU, recorded."""

    def __init__(self, plugin, qemu, binary, flags):
        self.place = tempfile.mkdtemp()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        os.mkdir(f"{self.place}/state")
        command = [qemu, "-plugin", plugin, binary, f"--web.listen-address=127.0.0.1:{self.port}", f"--state.directory={self.place}/state", *flags]
        self.process = subprocess.Popen(command, env={**os.environ, "BLOCKS": f"{self.place}/blocks"}, stderr=subprocess.DEVNULL)
        self.functions, self.entry = functions(binary), entry(binary)
        self.starts = [start for start, _, _ in self.functions]
        end = time.monotonic() + 120
        while not self.get("/health"):
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{binary} does not answer")
            time.sleep(0.1)

    def get(self, path, packed=False):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if packed:
            request.add_header("Accept-Encoding", "gzip")
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()
        return b""

    def ran(self):
        """Names of the functions that ran since the last time, in the order in which they ran first."""
        with open(f"{self.place}/blocks.now", "w", encoding="ascii"):
            pass
        while not os.path.exists(f"{self.place}/blocks"):
            time.sleep(0.1)
        names = {}
        with open(f"{self.place}/blocks", encoding="ascii") as lines:
            for line in lines:
                address = int(line.split()[0]) + self.entry
                at = bisect.bisect_right(self.starts, address) - 1
                if at >= 0 and address < self.functions[at][1]:
                    names[self.functions[at][2]] = None
        os.unlink(f"{self.place}/blocks")
        return names

    def end(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.place)


def record(job):
    """What a run is called, and what ran in its ticks, its scrapes, those of node_exporter's names and its pages."""
    plugin, qemu, binary, boards, board = job
    root = f"{boards}/{board}"
    flags = [] if board is None else [f"--path.procfs={root}/proc", f"--path.sysfs={root}/sys", f"--path.rootfs={root}/root"]
    run = Run(plugin, qemu, binary, flags)
    time.sleep(START)
    run.ran()
    time.sleep(TICKS)
    ticks = run.ran()
    for packed in [False, True, False, True]:
        run.get("/metrics", packed)
        time.sleep(0.5)
    scrapes = run.ran()
    # Those who ask for node_exporter's names ask for nothing else.
    for packed in [False, True]:
        run.get("/metrics?dialect=node", packed)
    named = run.ran()
    for packed in [False, True]:
        for path in PAGES:
            run.get(path, packed)
    pages = run.ran()
    run.end()
    return f"{os.path.basename(binary)}, {board or 'this machine'}", ticks, scrapes, named, pages


def main():
    plugin, boards, version, *pairs = sys.argv[1:]
    # A hostile machine runs what others never do.
    every = [None, *sorted(name for name in os.listdir(boards) if name != "hostile")]
    ticks, scrapes, named, pages, writer, events = {}, {}, {}, {}, {}, {}
    for qemu, binary in zip(pairs[::2], pairs[1::2]):
        for _, _, name in functions(binary):
            if any(f"{len(word)}{word}" in name for word in WRITER):
                writer[name] = None
            elif any(word in name for word in EVENTS):
                events[name] = None
        with concurrent.futures.ThreadPoolExecutor(len(every)) as pool:
            for what, *ran in pool.map(record, [(plugin, qemu, binary, boards, board) for board in every]):
                for all_of_them, these in zip([ticks, scrapes, named, pages], ran):
                    all_of_them.update(these)
                print(f"{what}: {', '.join(str(len(these)) for these in ran)} functions in ticks, scrapes, node_exporter's names, pages", file=sys.stderr)
    names = [*(name for name in ticks if name in scrapes), *ticks, *writer, *WRITER_CALLS, *events, *scrapes, *named, *pages]
    spelled = subprocess.run(["perl", f"{HERE}/link.pl", "--names"], input="\n".join(names) + "\n", stdout=subprocess.PIPE, check=True, text=True).stdout
    # Numbered by the compiler; link.pl adds all of them.
    lines = [name for name in dict.fromkeys(spelled.splitlines()) if not name.startswith("OUTLINED_FUNCTION_")]
    with open(f"{HERE}/order.txt", "w", encoding="ascii") as file:
        file.write(f"# Functions in the order in which the linker places them. Written by scripts/build.sh --order, with Rust {version}.\n")
        file.writelines(f"{line}\n" for line in lines)
    print(f"wrote {len(lines)} names", file=sys.stderr)


main()
