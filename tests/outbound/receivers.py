#!/usr/bin/env python3
"""Receives what an agent elsewhere says of an under-voltage, for tests/pi3a/checks/outbound.sh.

The command line is that of check.py, without a binary and a board: receivers.py - - FOLDER

Starts an Alertmanager, a mosquitto and a webhook on 127.0.0.1, and prints their ports in a line: ready WEBHOOK ALERTMANAGER
MQTT. Then a line whenever one of them learns that an under-voltage began or ended: TIME RECEIVER STATE CULPRIT. The time is Unix
time with milliseconds, the state firing or resolved, or online when the broker has the first document. Ends when its standard
input does.
"""
import http.server
import json
import subprocess
import sys
import threading
import time

from programs import RUNNING, Broker, alertmanager, get, stop_all

TITLE = "Under-voltage"
LOCK = threading.Lock()
STATES = {}


def report(receiver, is_on, culprit):
    """A line for what is new."""
    state = "firing" if is_on else "resolved"
    with LOCK:
        if STATES.get(receiver, "resolved") != state:
            STATES[receiver] = state
            print("%.3f %s %s %s" % (time.time(), receiver, state, culprit or ""), flush=True)


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for event in message["events"]:
            if event["kind"] == "power" and event["title"] == TITLE:
                report("webhook", event["state"] == "firing", event.get("culprit"))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def watch_alerts(url):
    while True:
        # It lists only what lasts.
        found = [alert for alert in json.loads(get(url)) if alert["labels"]["alertname"] == "power" and alert["labels"].get("title") == TITLE]
        report("alertmanager", found, found and found[0]["annotations"].get("culprit"))
        time.sleep(0.1)


def watch_documents(port):
    listener = subprocess.Popen(
        ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-u", "listener", "-P", "right", "-t", "pi-monitor/+/state"],
        stdout=subprocess.PIPE)
    RUNNING.append(listener)
    is_first = True
    for line in listener.stdout:
        # A document ends with a newline, and each message with another.
        if not line.strip():
            continue
        if is_first:
            print("%.3f mqtt online " % time.time(), flush=True)
        is_first = False
        document = json.loads(line)
        found = [item for item in document["verdicts"]["items"] if item["rule"] == "under_voltage" and item["state"] == "firing"]
        report("mqtt", found, found and found[0].get("culprit"))


def main():
    broker, port = Broker(), alertmanager()
    url = "http://127.0.0.1:%d" % port
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    for work, arguments in [(hook.serve_forever, ()), (watch_alerts, (url + "/api/v2/alerts",)), (watch_documents, (broker.port,))]:
        threading.Thread(target=work, args=arguments, daemon=True).start()
    print("ready %d %d %d" % (hook.server_address[1], port, broker.port), flush=True)
    sys.stdin.read()


try:
    main()
finally:
    stop_all()
