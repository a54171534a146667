#!/usr/bin/env python3
"""soak.py - scrapes one agent very often and looks whether it grows.

  tests/hostile/soak.py [SCRAPES] [BINARY]

  SCRAPES   default 100000
  BINARY    default target/release/pi-monitor

Requests within 100 ms share a collection, so each asks for another set of collectors than the one before, which makes most of
them collections of their own. /metrics and /json, plain and compressed, over new connections and kept ones; every hundredth
time also /history, /processes, the page, a wrong path and a request that breaks off. Memory and descriptors after the first tenth
are compared with those at the end. 100,000 scrapes take some minutes.

Exit status: 0 no growth, 1 growth or a failed request, 2 bad usage.
"""
import http.client
import os
import re
import socket
import subprocess
import sys
import time

# What the kernel's accounting of resident pages may differ by, in kB.
LEEWAY = 128


def status(pid):
    """Resident and peak memory in kB, threads, and open descriptors."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        text = file.read()
    numbers = [int(re.search(rf"^{field}:\s*(\d+)", text, re.M).group(1)) for field in ("VmRSS", "VmHWM", "Threads")]
    return (*numbers, len(os.listdir(f"/proc/{pid}/fd")))


def main():
    if "-h" in sys.argv or "--help" in sys.argv:
        print(__doc__)
        return 0
    try:
        scrapes = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    except ValueError:
        print(__doc__, file=sys.stderr)
        return 2
    binary = sys.argv[2] if len(sys.argv) > 2 else "target/release/pi-monitor"
    agent = subprocess.Popen([binary, "--web.listen-address=127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    try:
        for line in agent.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            if found:
                break
        else:
            print("the agent does not listen", file=sys.stderr)
            return 1
        return soak(agent, int(found.group(1)), scrapes)
    finally:
        agent.kill()
        agent.wait()


def soak(agent, port, scrapes):
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(path, headers, connection, expected=200):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != expected or (expected == 200 and not body):
            raise SystemExit(f"{path}: {answer.status}, {len(body)} bytes")

    sets = [
        "?collect[]=cpu&collect[]=pressure",
        "?collect[]=memory&collect[]=disk&collect[]=vm",
        "?collect[]=network&collect[]=agent&collect[]=system",
    ]
    begin, early = time.monotonic(), None
    for count in range(scrapes):
        path = ("/metrics", "/json")[count // 4 % 2] + sets[count % 3]
        headers = {"Accept-Encoding": "gzip"} if count // 8 % 2 else {}
        if count % 5:
            get(path, headers, kept)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            get(path, headers, connection)
            connection.close()
        if count % 100 == 0:
            for other in ("/metrics", "/json", "/history", "/events", "/processes", "/"):
                get(other, headers, kept)
            get("/nowhere", headers, kept, 404)
            with socket.create_connection(("127.0.0.1", port)) as broken:
                broken.sendall(b"GET /metrics HT")
        if count == scrapes // 10:
            early = status(agent.pid)
    time.sleep(1)
    late = status(agent.pid)
    kept.close()
    took = time.monotonic() - begin
    names = ("resident kB", "peak kB", "threads", "descriptors")
    for name, before, after in zip(names, early, late):
        print(f"{name:12} {before:6} after {scrapes // 10}, {after:6} after {scrapes}")
    print(f"{scrapes} scrapes in {took:.0f} s")
    grew = late[0] > early[0] + LEEWAY or late[2] > early[2] or late[3] > early[3] + 1
    print("GROWS" if grew else "no growth")
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main())
