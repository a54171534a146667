#!/usr/bin/env python3
"""Sends to real servers; tests/outbound/run.sh calls it.

  check.py BINARY BOARD FOLDER NAME...     NAME: prometheus, victoria-metrics, mosquitto, prometheus-alertmanager

BOARD holds the files of a Pi with firmware, as scripts unpack tests/boards. The named programs are in PATH; FOLDER gets
their files. Where no program keeps this machine's clock synchronized, strace tells the agent that one does: nothing else
about the agent's system calls changes.

Prints PASS, FAIL or NOTE lines. Exit status: 0 no FAIL, 1 a FAIL. Needs Python 3.7, and strace where the clock is not
synchronized.
"""
import json
import os
import re
import shutil
import signal
import socket
import struct
import sys
import time
import urllib.request

from programs import (BOARD, FAILED, FOLDER, NAMES, OPENER, PATIENCE, Agent, Broker, alertmanager, check, get,
                      is_synchronized, kill, pid_and_children, prometheus, stop_all, until, victoria_metrics)

# --- remote write -----------------------------------------------------------

INTERVAL = 5
LABELS = {"job": "pi-monitor", "site": "home"}


def compare(store):
    """What the server has is what /metrics has."""
    selector = '{__name__=~"pi_.+",job="pi-monitor"}'
    until(lambda: store.ask("pi_monitor_build_info"))
    page = store.agent.metrics()
    names = {re.split("[{ ]", line)[0] for line in page.splitlines() if line.startswith("pi_")}
    # What began since the last push is there after the next one.
    stored = until(lambda: names <= {row["metric"]["__name__"] for row in store.ask(selector)} and store.ask(selector)) or \
        store.ask(selector)
    missing = names - {row["metric"]["__name__"] for row in stored}
    check("%s has every one of %d families" % (store.name, len(names)), not missing, sorted(missing))
    wrong = [row["metric"] for row in stored
             if any(row["metric"].get(key) != value for key, value in dict(LABELS, instance=socket.gethostname()).items())]
    check("%s: all %d series have job, instance and the label of the flag" % (store.name, len(stored)),
          stored and not wrong, wrong[:3])
    differ = []
    for name in ("pi_memory_total_bytes", "pi_monitor_build_info", "pi_boot_time_seconds", "pi_cpu_count"):
        lines = [line for line in page.splitlines() if re.match(name + "[{ ]", line)]
        rows = [row for row in stored if row["metric"]["__name__"] == name]
        own = [line.rsplit(" ", 1)[1] for line in lines]
        if sorted(map(float, own)) != sorted(float(row["value"][1]) for row in rows):
            differ.append((lines, rows))
    check("%s: constant values are those of /metrics" % store.name, not differ, differ)


def check_old(store, window):
    """A sample from the future makes the present older than what a server takes without a window."""
    write_sample(store.url + "/api/v1/write", "from_the_future", time.time() + 5400)
    outcome = "sent" if window else "dropped"
    before = store.count(outcome)
    many = until(lambda: store.count(outcome) >= before + 3)
    said = store.agent.said().count("refused, and not sent again")
    check("%s: what is too old is %s" % (store.name, "taken with a window" if window else "dropped, counted and logged once"),
          many and said == (0 if window else 1), store.agent.said())


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

def stores():
    found = []
    if "prometheus" in NAMES:
        found += [prometheus("prometheus", INTERVAL, False), prometheus("prometheus-with-window", INTERVAL, True)]
    if "victoria-metrics" in NAMES:
        found.append(victoria_metrics(INTERVAL))
    return found


# --- Alertmanager and MQTT --------------------------------------------------

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
        alerts = "http://127.0.0.1:%d" % alertmanager()
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


def check_connection(broker, agent, flags):
    # It keeps nothing: whatever it has after this was announced again.
    broker.program.stop()
    broker.program.start()
    until(broker.is_ready)
    again = until(lambda: broker.status() == "online" and len(broker.retained("homeassistant/#")) > 10)
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
    check("its last word is offline", broker.status() == "offline", broker.status())
    farewell = broker.program.said()[len(before):]
    check("it has said it before it left", re.search("Client pi-monitor-[0-9a-f]+ disconnected", farewell), farewell)
    agent = Agent("agent-killed", *flags)
    until(lambda: broker.status() == "online")
    rules = re.findall(r'pi_verdict\{rule="(\w+)"', agent.metrics())
    kill(pid_and_children(agent.process.pid))
    agent.process.wait(PATIENCE)
    check("a killed one is offline by its last will", until(lambda: broker.status() == "offline"), broker.status())
    broker.program.stop()
    # A verdict would publish at once.
    agent = Agent("agent-early", *flags, "--push.mqtt.interval=1h", *["--no-rule." + rule for rule in rules])
    until(lambda: "cannot send" in agent.said())
    # Longer than its first pause.
    time.sleep(5)
    broker.program.start()
    check("one that started before the broker does not wait for its next interval",
          until(lambda: broker.status() == "online", 30), agent.said())
    agent.stop()
    agent = Agent("agent-stuck", *flags)
    until(lambda: broker.status() == "online")
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
        store.start_agent("--push.remote-write.labels=site=home")
    for store in writers:
        compare(store)
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
            check_old(store, "window" in store.name)
        store.agent.stop()
    return 1 if FAILED else 0


try:
    STATUS = main()
finally:
    stop_all()
sys.exit(STATUS)
