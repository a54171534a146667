#!/usr/bin/env python3
"""Sends to real servers; tests/outbound/run.sh calls it.

  check.py BINARY BOARD FOLDER NAME...     NAME: prometheus, victoria-metrics, mosquitto, prometheus-alertmanager

BOARD holds the files of a Pi with firmware, as scripts unpack tests/boards. The named programs are in PATH; FOLDER gets
their files. Where no program keeps this machine's clock synchronized, strace tells the agent that one does: nothing else
about the agent's system calls changes.

Prints PASS, FAIL or NOTE lines. Exit status: 0 no FAIL, 1 a FAIL. Needs Python 3.7, and strace where the clock is not
synchronized.
"""
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
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
FAILED = False
RUNNING = []
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def check(what, is_right, detail=""):
    """One line for a check."""
    global FAILED
    if is_right:
        print("PASS " + what, flush=True)
    else:
        FAILED = True
        print("FAIL %s: %s" % (what, detail), flush=True)
    return is_right


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


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

    def __init__(self, name, *flags, clock=True):
        self.port = free_port()
        strace = []
        if clock and not is_synchronized():
            # Its own filter kills an agent whose calls are stopped one by one; --seccomp-bpf stops only this one.
            strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(FOLDER / (name + ".strace")),
                      "-e", "trace=adjtimex", "-e", "inject=adjtimex:retval=0"]
        super().__init__(name, *strace, BINARY, "--web.listen-address=127.0.0.1:%d" % self.port, *flags)
        if not until(lambda: self.metrics()):
            sys.exit("%s does not answer: %s" % (name, self.said()))

    def metrics(self):
        return get("http://127.0.0.1:%d/metrics" % self.port)

    def value(self, series):
        for line in self.metrics().splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return None


# --- remote write -----------------------------------------------------------

INTERVAL = 5
LABELS = {"job": "pi-monitor", "site": "home"}


class Store:
    """A server that is written to."""

    def __init__(self, name, path, arguments):
        self.name = name
        self.port = free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.receiver = "remote-write http://127.0.0.1:%d" % self.port
        self.program = Program(name, *[argument.replace("PORT", str(self.port)) for argument in arguments])
        self.agent = None
        self.path = path

    def is_ready(self):
        return until(lambda: get(self.url + "/-/ready" if "prometheus" in self.name else self.url + "/health"))

    def ask(self, query):
        return json.loads(get("%s/api/v1/query?%s" % (self.url, urllib.parse.urlencode({"query": query}))))["data"]["result"]

    def start_agent(self):
        self.agent = Agent("agent-" + self.name, "--push.remote-write=%s%s" % (self.url, self.path),
                           "--push.remote-write.interval=%ds" % INTERVAL, "--push.remote-write.labels=site=home")

    def count(self, outcome):
        return self.agent.value('pi_pushes_total{receiver="%s",outcome="%s"}' % (self.receiver, outcome))

    def instance(self):
        return socket.gethostname()

    def compare(self):
        """What the server has is what /metrics has."""
        selector = '{__name__=~"pi_.+",job="pi-monitor"}'
        until(lambda: self.ask("pi_monitor_build_info"))
        page = self.agent.metrics()
        names = {re.split("[{ ]", line)[0] for line in page.splitlines() if line.startswith("pi_")}
        # What began since the last push is there after the next one.
        stored = until(lambda: names <= {row["metric"]["__name__"] for row in self.ask(selector)} and self.ask(selector)) or \
            self.ask(selector)
        missing = names - {row["metric"]["__name__"] for row in stored}
        check("%s has every one of %d families" % (self.name, len(names)), not missing, sorted(missing))
        wrong = [row["metric"] for row in stored
                 if any(row["metric"].get(key) != value for key, value in dict(LABELS, instance=self.instance()).items())]
        check("%s: all %d series have job, instance and the label of the flag" % (self.name, len(stored)),
              stored and not wrong, wrong[:3])
        differ = []
        for name in ("pi_memory_total_bytes", "pi_monitor_build_info", "pi_boot_time_seconds", "pi_cpu_count"):
            lines = [line for line in page.splitlines() if re.match(name + "[{ ]", line)]
            rows = [row for row in stored if row["metric"]["__name__"] == name]
            own = [line.rsplit(" ", 1)[1] for line in lines]
            if sorted(map(float, own)) != sorted(float(row["value"][1]) for row in rows):
                differ.append((lines, rows))
        check("%s: constant values are those of /metrics" % self.name, not differ, differ)

    def raw(self, name):
        """The times and values of all samples of a series."""
        if "prometheus" in self.name:
            rows = self.ask('%s{job="pi-monitor"}[1h]' % name)
        else:
            text = get("%s/api/v1/export?%s" % (self.url, urllib.parse.urlencode({"match[]": name})))
            rows = [json.loads(line) for line in text.splitlines()]
            rows = [{"values": [(at / 1000, value) for at, value in zip(row["timestamps"], row["values"])]} for row in rows]
        return [(float(at), float(value)) for row in rows for at, value in row["values"]]

    def check_old(self, window):
        """A sample from the future makes the present older than what a server takes without a window."""
        write_sample(self.url + self.path, "from_the_future", time.time() + 5400)
        outcome = "sent" if window else "dropped"
        before = self.count(outcome)
        many = until(lambda: self.count(outcome) >= before + 3)
        said = self.agent.said().count("refused, and not sent again")
        check("%s: what is too old is %s" % (self.name, "taken with a window" if window else "dropped, counted and logged once"),
              many and said == (0 if window else 1), self.agent.said())

    def judge(self, down, up):
        """No moment is missing or twice, and each has its own time: a clock that ran is as late as the time of its sample."""
        until(lambda: self.agent.value('pi_pushes_waiting{receiver="%s"}' % self.receiver) in (0, None)
              and self.raw("pi_uptime_seconds")[-1][0] > time.time() - 2 * INTERVAL, 90)
        # VictoriaMetrics answers with what it wrote to disk.
        if "prometheus" not in self.name:
            get(self.url + "/internal/force_flush")
        sent, refused = self.count("sent"), self.count("dropped")
        samples = sorted(self.raw("pi_uptime_seconds"))
        gaps = [after[0] - before[0] for before, after in zip(samples, samples[1:])]
        away = [at for at, _ in samples if down < at < up]
        drift = {round(at - value) for at, value in samples}
        check("%s: nothing is missing after %.0f s without it: %d moments, %d of them from then" %
              (self.name, up - down, len(samples), len(away)),
              max(gaps) < 2 * INTERVAL and len(away) >= (up - down) / INTERVAL - 2, gaps)
        check("%s: nothing is there twice" % self.name, min(gaps) > 1 and abs(sent - len(samples)) <= 1,
              "%s sent, gaps %s" % (sent, gaps))
        check("%s: each moment has its own time" % self.name, max(drift) - min(drift) <= 1, drift)
        check("%s refused nothing" % self.name, refused == 0, "%s: %s" % (refused, self.agent.said()))


def write_sample(url, name, at):
    """Writes one sample as remote write has it; a block of Snappy may be a single literal."""
    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    def varint(number):
        return bytes([number & 0x7f | 0x80]) + varint(number >> 7) if number > 0x7f else bytes([number])

    label = field(1, b"__name__") + field(2, name.encode())
    sample = b"\x09" + struct.pack("<d", 1) + b"\x10" + varint(int(at * 1000))
    message = field(1, field(1, label) + field(2, sample))
    body = varint(len(message)) + bytes([60 << 2, len(message) - 1]) + message
    request = urllib.request.Request(url, data=body, headers={
        "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"})
    OPENER.open(request, timeout=10).close()


def prometheus(name, window):
    folder = FOLDER / name
    folder.mkdir()
    text = "global: {}\n" + ("storage: {tsdb: {out_of_order_time_window: 2h}}\n" if window else "")
    (folder / "prometheus.yml").write_text(text)
    return Store(name, "/api/v1/write", [
        "prometheus", "--config.file=%s/prometheus.yml" % folder, "--storage.tsdb.path=%s/data" % folder,
        "--web.enable-remote-write-receiver", "--web.listen-address=127.0.0.1:PORT"])


def stores():
    found = []
    if "prometheus" in NAMES:
        found += [prometheus("prometheus", False), prometheus("prometheus-with-window", True)]
    if "victoria-metrics" in NAMES:
        found.append(Store("victoria-metrics", "/api/v1/write", [
            "victoria-metrics", "-storageDataPath=%s/victoria" % FOLDER, "-httpListenAddr=127.0.0.1:PORT"]))
    return found


# --- Alertmanager and MQTT --------------------------------------------------

class Broker:
    """A mosquitto that wants a password, and somebody who listens to all of it."""

    def __init__(self):
        self.port = free_port()
        (FOLDER / "passwords").write_text("pi:right\nlistener:right\n")
        subprocess.run(["mosquitto_passwd", "-U", str(FOLDER / "passwords")], check=True)
        (FOLDER / "mosquitto.conf").write_text(
            "listener %d 127.0.0.1\nallow_anonymous false\npassword_file %s/passwords\npersistence false\n" % (self.port, FOLDER))
        os.chmod(FOLDER / "passwords", 0o644)
        self.program = Program("mosquitto", "mosquitto", "-c", str(FOLDER / "mosquitto.conf"))
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


def check_messages():
    """An under-voltage, from its begin to its end, and what becomes of the connection to a broker."""
    firmware = BOARD / "sys/devices/platform/soc/soc:firmware/get_throttled"
    firmware.parent.mkdir(parents=True, exist_ok=True)
    firmware.write_text("0\n")
    flags = ["--path.procfs=%s/proc" % BOARD, "--path.sysfs=%s/sys" % BOARD, "--path.rootfs=%s/root" % BOARD,
             "--sample.interval=1s", "--push.mqtt.topic=pi-monitor/test", "--push.mqtt.interval=5s"]
    broker = Broker() if "mosquitto" in NAMES else None
    alerts = None
    if broker:
        (FOLDER / "wrong").write_text("basic pi:wrong\n")
        (FOLDER / "right").write_text("basic pi:right\n")
        url = "--push.mqtt=mqtt://127.0.0.1:%d" % broker.port
        agent = Agent("agent-wrong", *flags, url, "--push.mqtt.credentials-file=%s/wrong" % FOLDER)
        until(lambda: "cannot send" in agent.said())
        check("a wrong password is named", "does not let this client in" in agent.said()
              or "refuses the user name or password" in agent.said(), agent.said())
        check("SIGTERM ends an agent within 3 s whose broker refuses it", agent.stop() < 3)
        flags += [url, "--push.mqtt.credentials-file=%s/right" % FOLDER]
    if "prometheus-alertmanager" in NAMES:
        port = free_port()
        (FOLDER / "alertmanager.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
        Program("alertmanager", *alertmanager(), "--config.file=%s/alertmanager.yml" % FOLDER,
                "--storage.path=%s/alertmanager" % FOLDER, "--web.listen-address=127.0.0.1:%d" % port, "--cluster.listen-address=")
        alerts = "http://127.0.0.1:%d" % port
        if not until(lambda: get(alerts + "/-/ready")):
            sys.exit("Alertmanager does not start")
        flags += ["--notify.alertmanager=" + alerts, "--web.external-url=http://pi.local:9100"]
    agent = Agent("agent-messages", *flags)
    if broker:
        check_discovery(broker, agent)
    firmware.write_text("50005\n")
    begin = time.monotonic()
    if alerts:
        check_alert(alerts, begin, firmware, broker)
    if broker:
        check_connection(broker, agent, flags)
    else:
        agent.stop()


def alertmanager():
    """The command for it. Debian's looks for its templates in /usr/share, also where it was only unpacked."""
    share = pathlib.Path(shutil.which("prometheus-alertmanager")).parent.parent / "share"
    if share == pathlib.Path("/usr/share"):
        return ["prometheus-alertmanager"]
    return ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c",
            'mount --bind "$0" /usr/share && exec "$@"', str(share), "prometheus-alertmanager"]


def state(broker):
    return json.loads(broker.retained("pi-monitor/test/state")["pi-monitor/test/state"])


def firing(broker):
    return {item["rule"] for item in state(broker)["verdicts"]["items"] if item["state"] == "firing"}


def check_discovery(broker, agent):
    # The state comes last.
    check("the state is retained, and is the document of /json", until(lambda: "memory" in state(broker)), agent.said())
    found = broker.retained("homeassistant/#")
    check("the broker retains %d messages of discovery" % len(found), len(found) > 10, agent.said())
    wrong = [topic for topic in found if not re.fullmatch("homeassistant/(binary_)?sensor/pi-monitor-[0-9a-f]{16}/[a-zA-Z0-9_-]+/config", topic)]
    check("their topics are as Home Assistant wants them", not wrong, wrong)
    messages = [json.loads(text) for text in found.values()]
    check("they are of one device, each with a name of its own",
          len({message["device"]["identifiers"][0] for message in messages}) == 1
          and len({message["unique_id"] for message in messages}) == len(messages), messages)
    check("the status is online", broker.retained("pi-monitor/test/status") == {"pi-monitor/test/status": "online"})
    (FOLDER / "discovery.json").write_text(json.dumps(found))
    (FOLDER / "state.json").write_text(json.dumps(state(broker)))


def check_alert(alerts, begin, firmware, broker):
    def active():
        # It lists only what lasts.
        return [alert for alert in json.loads(get(alerts + "/api/v2/alerts")) if alert["labels"]["alertname"] == "under_voltage"]

    found = until(active, 20) or [{"labels": {}, "annotations": {}}]
    labels, annotations = found[0]["labels"], found[0]["annotations"]
    took = time.monotonic() - begin
    check("an under-voltage is in Alertmanager after %.0f s" % took, took < 30, found)
    check("it has labels, annotations and a link to the moment",
          labels.get("job") == "pi-monitor" and labels.get("severity") in ("warning", "critical") and labels.get("instance")
          and "voltage" in annotations.get("summary", "").lower() and annotations.get("description")
          and "http://pi.local:9100/#t=" in found[0].get("generatorURL", ""), found)
    if broker:
        check("it is at the broker, too", until(lambda: "under_voltage" in firing(broker)), state(broker)["verdicts"])
    firmware.write_text("50000\n")
    begin = time.monotonic()
    gone = until(lambda: not active(), 30)
    check("Alertmanager learns of its end, after %.0f s" % (time.monotonic() - begin), gone, found)
    if broker:
        check("so does the broker", until(lambda: "under_voltage" not in firing(broker)), state(broker)["verdicts"])


def status(broker):
    return broker.retained("pi-monitor/test/status").get("pi-monitor/test/status")


def check_connection(broker, agent, flags):
    # It keeps nothing: whatever it has after this was announced again.
    broker.program.stop()
    broker.program.start()
    until(broker.is_ready)
    again = until(lambda: status(broker) == "online" and len(broker.retained("homeassistant/#")) > 10)
    check("a broker that was restarted gets everything again", again, agent.said())
    others = pid_and_children(agent.process.pid)[1:]
    before = broker.program.said()
    # The broker is slow, and the agent waits for its acknowledgement.
    broker.program.process.send_signal(signal.SIGSTOP)
    agent.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    broker.program.process.send_signal(signal.SIGCONT)
    check("SIGTERM ends the agent within 3 s", agent.stop() < 3)
    # As systemd does with what a service leaves behind; the last will would say offline, too.
    kill(others)
    check("its last word is offline", status(broker) == "offline", status(broker))
    farewell = broker.program.said()[len(before):]
    check("it has said it before it left", re.search("Client pi-monitor-[0-9a-f]+ disconnected", farewell), farewell)
    agent = Agent("agent-killed", *flags)
    until(lambda: status(broker) == "online")
    rules = re.findall(r'pi_verdict\{rule="(\w+)"', agent.metrics())
    kill(pid_and_children(agent.process.pid))
    agent.process.wait(PATIENCE)
    check("a killed one is offline by its last will", until(lambda: status(broker) == "offline"), status(broker))
    broker.program.stop()
    # A verdict would publish at once.
    agent = Agent("agent-early", *flags, "--push.mqtt.interval=1h", *["--no-rule." + rule for rule in rules])
    until(lambda: "cannot send" in agent.said())
    # Longer than its first pause.
    time.sleep(5)
    broker.program.start()
    check("one that started before the broker does not wait for its next interval",
          until(lambda: status(broker) == "online", 30), agent.said())
    agent.stop()
    agent = Agent("agent-stuck", *flags)
    until(lambda: status(broker) == "online")
    broker.program.process.send_signal(signal.SIGSTOP)
    check("SIGTERM ends the agent within 3 s while the broker is stuck", agent.stop() < 3)
    broker.program.process.send_signal(signal.SIGCONT)


def main():
    for name in NAMES:
        assert shutil.which(name), name
    if is_synchronized():
        print("NOTE the clock is synchronized")
    else:
        print("NOTE the clock is not synchronized: strace tells the agent that it is", flush=True)
        waiting = Agent("agent-waiting", "--push.remote-write=http://127.0.0.1:1/", "--sample.interval=1s",
                        "--push.remote-write.interval=5s", clock=False)
        check("a clock that is not synchronized is waited for, and that is logged",
              until(lambda: "nothing is sent before the clock is synchronized" in waiting.said()), waiting.said())
        waiting.stop()
    writers = stores()
    for store in writers:
        if not store.is_ready():
            sys.exit("%s does not start: %s" % (store.name, store.program.said()))
        store.start_agent()
    for store in writers:
        store.compare()
    down = time.time()
    for store in writers:
        store.program.stop()
    check_messages()
    while time.time() < down + 40:
        time.sleep(1)
    up = time.time()
    for store in writers:
        store.program.start()
    for store in writers:
        store.is_ready()
    for store in writers:
        store.judge(down, up)
    for store in writers:
        if "prometheus" in store.name:
            store.check_old("window" in store.name)
        store.agent.stop()
    return 1 if FAILED else 0


try:
    STATUS = main()
finally:
    for process in RUNNING:
        if process.poll() is None:
            process.kill()
            process.wait()
sys.exit(STATUS)
