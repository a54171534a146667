"""The programs that check.py, hour.py and receivers.py start, and what is asked of them.

All have the command line that check.py describes.
"""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BINARY, BOARD, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
NAMES = sys.argv[4:]
PATIENCE = 60
# What time_state of adjtimex(2) says of a clock that nothing synchronizes.
TIME_ERROR = 5
FAILED = []
RUNNING = []
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def check(what, is_right, detail=""):
    """One line for a check."""
    if is_right:
        print("PASS " + what, flush=True)
    else:
        FAILED.append(what)
        print("FAIL %s: %s" % (what, detail), flush=True)
    return is_right


# Below the range from which connections get theirs: one of those may be taken again before the program listens there.
PORTS = iter(range(10000 + os.getpid() % 10000, 32000))


def free_port():
    for port in PORTS:
        with socket.socket() as held:
            try:
                held.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    sys.exit("no free port")


def get(url, data=None):
    with OPENER.open(urllib.request.Request(url, data=data), timeout=10) as answer:
        return answer.read().decode("utf-8")


def until(found, seconds=PATIENCE):
    """Waits for what `found` returns to be true; returns it, or what it returned last."""
    end = time.monotonic() + seconds
    while True:
        try:
            value = found()
        except (OSError, ValueError, KeyError, IndexError, urllib.error.URLError):
            value = None
        if value or time.monotonic() > end:
            return value
        time.sleep(0.2)


class Program:
    """A program in the background, with its output in a file."""

    def __init__(self, name, *arguments):
        self.log = FOLDER / (name + ".log")
        self.arguments = list(arguments)
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        RUNNING.append(self.process)

    def said(self):
        return self.log.read_text(errors="replace")

    def stop(self, how=signal.SIGTERM):
        """Ends it; returns how long that took."""
        begin = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
        return time.monotonic() - begin


def is_synchronized():
    state = ctypes.create_string_buffer(512)
    return ctypes.CDLL(None).adjtimex(state) != TIME_ERROR


class Agent(Program):
    """An agent that listens; `clock` has it believe that the clock is right."""

    def __init__(self, name, *flags, clock=True, binary=BINARY):
        self.port, self.binary = free_port(), binary
        strace = []
        if clock and not is_synchronized():
            # Its own filter kills an agent whose calls are stopped one by one; --seccomp-bpf stops only this one.
            strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(FOLDER / (name + ".strace")),
                      "-e", "trace=adjtimex", "-e", "inject=adjtimex:retval=0"]
        super().__init__(name, *strace, binary, "--web.listen-address=127.0.0.1:%d" % self.port, *flags)
        if not until(lambda: self.metrics()):
            sys.exit("%s does not answer: %s" % (name, self.said()))

    def metrics(self):
        return get("http://127.0.0.1:%d/metrics" % self.port)

    def value(self, series):
        for line in self.metrics().splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return None


class Store:
    """A server that is written to."""

    def __init__(self, name, interval, *arguments):
        self.name = name
        self.interval = interval
        self.port = free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.receiver = "remote-write http://127.0.0.1:%d" % self.port
        self.program = Program(name, *[argument.replace("PORT", str(self.port)) for argument in arguments])
        self.agent = None

    def is_ready(self):
        return until(lambda: get(self.url + "/-/ready" if "prometheus" in self.name else self.url + "/health"))

    def ask(self, query):
        return json.loads(get("%s/api/v1/query?%s" % (self.url, urllib.parse.urlencode({"query": query}))))["data"]["result"]

    def start_agent(self, *flags, binary=BINARY):
        self.agent = Agent("agent-" + self.name, "--push.remote-write=%s/api/v1/write" % self.url,
                           "--push.remote-write.interval=%ds" % self.interval, *flags, binary=binary)

    def count(self, outcome):
        return self.agent.value('pi_pushes_total{receiver="%s",outcome="%s"}' % (self.receiver, outcome))

    def rows(self, selector):
        """The times and values of all samples of each series that fits, with its labels."""
        if "prometheus" in self.name:
            return [(row["metric"], row["values"]) for row in self.ask(selector + "[3h]")]
        # VictoriaMetrics answers with what it wrote to disk.
        get(self.url + "/internal/force_flush")
        text = get("%s/api/v1/export?%s" % (self.url, urllib.parse.urlencode({"match[]": selector})))
        rows = [json.loads(line) for line in text.splitlines()]
        return [(row["metric"], [(at / 1000, value) for at, value in zip(row["timestamps"], row["values"])]) for row in rows]

    def raw(self, name):
        """The times and values of all samples of a series."""
        return [(float(at), float(value)) for _, values in self.rows(name + '{job="pi-monitor"}') for at, value in values]

    def judge(self, down, up):
        """No moment is missing or twice, and each has its own time: a clock that ran is as late as the time of its sample."""
        until(lambda: self.agent.value('pi_pushes_waiting{receiver="%s"}' % self.receiver) in (0, None)
              and self.raw("pi_uptime_seconds")[-1][0] > time.time() - 2 * self.interval, 90)
        sent, refused = self.count("sent"), self.count("dropped")
        samples = sorted(self.raw("pi_uptime_seconds"))
        gaps = [after[0] - before[0] for before, after in zip(samples, samples[1:])]
        away = [at for at, _ in samples if down < at < up]
        drift = {round(at - value) for at, value in samples}
        check("%s: nothing is missing after %.0f s without it: %d moments, %d of them from then" %
              (self.name, up - down, len(samples), len(away)),
              max(gaps) < 2 * self.interval and len(away) >= (up - down) / self.interval - 2, gaps)
        check("%s: no sample was stored twice" % self.name, min(gaps) > 1 and abs(sent - len(samples)) <= 1,
              "%s sent, gaps %s" % (sent, gaps))
        check("%s: each moment has its own time" % self.name, max(drift) - min(drift) <= 1, drift)
        check("%s refused nothing" % self.name, refused == 0, "%s: %s" % (refused, self.agent.said()))


def prometheus(name, interval, window):
    folder = FOLDER / name
    folder.mkdir()
    text = "global: {}\n" + ("storage: {tsdb: {out_of_order_time_window: 2h}}\n" if window else "")
    (folder / "prometheus.yml").write_text(text)
    return Store(name, interval, "prometheus", "--config.file=%s/prometheus.yml" % folder, "--storage.tsdb.path=%s/data" % folder,
                 "--web.enable-remote-write-receiver", "--web.listen-address=127.0.0.1:PORT")


def victoria_metrics(interval):
    return Store("victoria-metrics", interval, "victoria-metrics", "-storageDataPath=%s/victoria" % FOLDER,
                 "-httpListenAddr=127.0.0.1:PORT")


def alertmanager():
    """Starts an Alertmanager that tells nobody, waits for it, and returns its port."""
    # Debian's looks for its templates in /usr/share, even where it was only unpacked.
    share = pathlib.Path(shutil.which("prometheus-alertmanager")).parent.parent / "share"
    command = ["prometheus-alertmanager"]
    if share != pathlib.Path("/usr/share"):
        command = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c",
                   'mount --bind "$0" /usr/share && exec "$@"', str(share), *command]
    port = free_port()
    (FOLDER / "alertmanager.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    Program("alertmanager", *command, "--config.file=%s/alertmanager.yml" % FOLDER,
            "--storage.path=%s/alertmanager" % FOLDER, "--web.listen-address=127.0.0.1:%d" % port, "--cluster.listen-address=")
    if not until(lambda: get("http://127.0.0.1:%d/-/ready" % port)):
        sys.exit("Alertmanager does not start")
    return port


class Broker:
    """A mosquitto that wants a password, and somebody who listens to all of it."""

    def __init__(self, name="mosquitto"):
        self.port = free_port()
        passwords, settings = FOLDER / (name + ".passwords"), FOLDER / (name + ".conf")
        passwords.write_text("pi:right\nlistener:right\n")
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        settings.write_text(
            "listener %d 127.0.0.1\nallow_anonymous false\npassword_file %s\npersistence false\n" % (self.port, passwords))
        os.chmod(passwords, 0o644)
        self.program = Program(name, "mosquitto", "-c", str(settings))
        until(self.is_ready)

    def is_ready(self):
        socket.create_connection(("127.0.0.1", self.port), 1).close()
        return True

    def retained(self, topics):
        """What the broker retains below these topics."""
        run = subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "-u", "listener", "-P", "right", "-t",
                              topics, "-F", "%r %t %x", "-W", "1", "-q", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        lines = [line.split(" ") for line in run.stdout.decode("ascii").splitlines()]
        return {topic: bytes.fromhex(text).decode("utf-8") for flag, topic, text in lines if flag == "1"}

    def status(self):
        return self.retained("pi-monitor/test/status").get("pi-monitor/test/status")


def pid_and_children(pid):
    """A process with all that it forked."""
    found = [pid]
    for thread in os.listdir("/proc/%d/task" % pid):
        text = pathlib.Path("/proc/%d/task/%s/children" % (pid, thread)).read_text()
        for child in text.split():
            found += pid_and_children(int(child))
    return found


def kill(pids):
    for pid in reversed(pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def stop_all():
    """Ends whatever still runs."""
    for process in RUNNING:
        if process.poll() is None:
            process.kill()
            process.wait()
