#!/usr/bin/env python3
"""Takes the servers away for an hour; tests/outbound/run.sh --hour calls it, with the command line of check.py.

Two agents send to all kinds of receivers: measurements by remote write, one to VictoriaMetrics and one to a Prometheus that
takes old samples, the document to mosquitto, and messages to webhooks. A third one sends nothing, for what they take more.
The servers end, the supply is weak every few minutes, and at the end they come back.

PI_AWAY is for how many seconds they are away, 3540 if it is not set.
"""
import http.server
import json
import os
import shutil
import sys
import threading
import time

from programs import (BINARY, BOARD, FAILED, FOLDER, NAMES, Agent, Broker, check, free_port, get, pid_and_children, prometheus,
                      stop_all, until, victoria_metrics)

AWAY = int(os.environ.get("PI_AWAY", "3540"))
INTERVAL = 60
TROUBLES = 20
# What may be taken more than without receivers, in kB.
COST_MAX = 900
# A message that failed is tried again after ten minutes at most.
RETRY_MAX = 600
SENT = ("critical", "warning")


class Webhook:
    """A receiver of messages that can be taken away."""

    def __init__(self):
        self.port = free_port()
        self.messages = []
        self.server = None

    def start(self):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                hook.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def states(self):
        """For each event that it heard of, how often each of its states was reported."""
        found = {}
        for message in self.messages:
            for event in message["events"]:
                counts = found.setdefault(event["id"], {})
                counts[event["state"]] = counts.get(event["state"], 0) + 1
        return found


def pss(agent):
    """What an agent and its processes take in memory, in kB. strace is a process of its own."""
    total = 0
    for pid in pid_and_children(agent.process.pid):
        if os.readlink("/proc/%d/exe" % pid) == agent.binary:
            with open("/proc/%d/smaps_rollup" % pid) as lines:
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def own_binary(name):
    """A copy of the binary, so that no other agent shares its pages."""
    path = str((FOLDER / ("pi-monitor-" + name)).resolve())
    shutil.copy(BINARY, path)
    return path


def check_memory(base, stores, when):
    before = pss(base)
    for store in stores:
        now = pss(store.agent)
        check("%s: %d kB more than the %d kB of an agent that sends nothing, %s" % (store.name, now - before, before, when),
              now - before <= COST_MAX)


def check_series(store):
    """No series has two samples of a moment or one of no moment, and what is always there has one of each."""
    rows = [(labels, [round(float(at) * 1000) for at, _ in values]) for labels, values in store.rows('{job="pi-monitor"}')]
    moments = next(sorted(times) for labels, times in rows if labels["__name__"] == "pi_uptime_seconds")
    odd = [labels for labels, times in rows if len(set(times)) != len(times) or not set(times) <= set(moments)]
    always = [(labels, times) for labels, times in rows if labels["__name__"].startswith(("pi_memory_", "pi_cpu_"))]
    short = [(labels, len(times)) for labels, times in always if len(times) != len(moments)]
    check("%s: %d samples of %d series and %d moments, and none twice; %d series have all" %
          (store.name, sum(len(times) for _, times in rows), len(rows), len(moments), len(always)),
          always and not odd and not short, "odd %s, short %s" % (odd[:3], short[:3]))


def last_state(event):
    """What a message says of an event in the end."""
    if not event.get("end"):
        return "firing"
    return "event" if event["end"] == event["begin"] else "resolved"


def check_events(store, hook, begin):
    """Whatever the agent has to say about that hour arrived, with its end."""
    def missing():
        events = json.loads(get("http://127.0.0.1:%d/events" % store.agent.port))["events"]
        known = hook.states()
        return [event for event in events if event["severity"] in SENT and event["begin"] > begin
                and last_state(event) not in known.get(event["id"], {})], events

    until(lambda: not missing()[0], RETRY_MAX + 60)
    left, events = missing()
    sent = [event for event in events if event["severity"] in SENT]
    powers = [event for event in sent if event["kind"] == "power"]
    twice = {number: counts for number, counts in hook.states().items() if max(counts.values()) > 1}
    check("%s: all %d events of the agent arrived, %d of them about power, in %d messages" %
          (store.name, len(sent), len(powers), len(hook.messages)),
          not left and len(powers) >= TROUBLES, "%s; %d about power" % (left, len(powers)))
    check("%s: no event was reported twice" % store.name, not twice, twice)


def keep(store, hook):
    """Leaves what was found in a file."""
    found = {"samples": store.raw("pi_uptime_seconds"), "messages": hook.messages, "metrics": store.agent.metrics(),
             "events": json.loads(get("http://127.0.0.1:%d/events" % store.agent.port))}
    (FOLDER / ("%s.json" % store.name)).write_text(json.dumps(found))


def main():
    base_flags = ["--path.sysfs=%s/sys" % BOARD, "--state.directory=none"]
    firmware = BOARD / "sys/devices/platform/soc/soc:firmware/get_throttled"
    firmware.parent.mkdir(parents=True, exist_ok=True)
    firmware.write_text("0\n")
    (FOLDER / "right").write_text("basic pi:right\n")
    # An agent's name at a broker is the machine's: a broker throws out the older one of two.
    brokers = [Broker("mosquitto-%d" % number) for number in (1, 2)]
    stores = [victoria_metrics(INTERVAL), prometheus("prometheus-with-window", INTERVAL, True)]
    hooks = [Webhook() for _ in stores]
    for store, hook, broker in zip(stores, hooks, brokers):
        if not store.is_ready():
            sys.exit("%s does not start: %s" % (store.name, store.program.said()))
        hook.start()
        store.start_agent(*base_flags, "--notify.webhook=http://127.0.0.1:%d/" % hook.port,
                          "--push.mqtt=mqtt://127.0.0.1:%d" % broker.port, "--push.mqtt.credentials-file=%s/right" % FOLDER,
                          "--push.mqtt.topic=pi-monitor/test", binary=own_binary(store.name))
    base = Agent("agent-alone", *base_flags, clock=False, binary=own_binary("alone"))
    for store in stores:
        until(lambda store=store: store.count("sent") >= 2, 3 * INTERVAL)
    for broker in brokers:
        check("the state is at the broker", until(lambda broker=broker: broker.status() == "online"))
    check_memory(base, stores, "with the servers there")
    down = time.time()
    for server in [store.program for store in stores] + [broker.program for broker in brokers] + hooks:
        server.stop()
    print("NOTE the servers ended at %s" % time.ctime(down), flush=True)
    for number in range(TROUBLES):
        for word, part in (("50005\n", 0.3), ("50000\n", 0.8)):
            time.sleep(max(0, down + AWAY * (number + part) / (TROUBLES + 1) - time.time()))
            firmware.write_text(word)
    time.sleep(max(0, down + AWAY - time.time()))
    check_memory(base, stores, "after %d s without servers" % AWAY)
    for store in stores:
        waiting = store.agent.value('pi_pushes_waiting{receiver="%s"}' % store.receiver)
        check("%s: %s moments wait" % (store.name, waiting), waiting and abs(waiting - AWAY / INTERVAL) <= 3)
    up = time.time()
    for store, hook, broker in zip(stores, hooks, brokers):
        broker.program.start()
        store.program.start()
        hook.start()
        store.is_ready()
    for store in stores:
        store.judge(down, up)
        check_series(store)
    for store, hook in zip(stores, hooks):
        check_events(store, hook, down)
        keep(store, hook)
    for broker in brokers:
        check("the state is at the broker again", until(lambda broker=broker: broker.status() == "online"))
    check_memory(base, stores, "after everything arrived")
    return 1 if FAILED else 0


try:
    assert {"victoria-metrics", "prometheus", "mosquitto"} <= set(NAMES), "needs VictoriaMetrics, Prometheus and mosquitto"
    STATUS = main()
finally:
    stop_all()
sys.exit(STATUS)
