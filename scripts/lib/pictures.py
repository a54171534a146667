#!/usr/bin/env python3
"""Draws pictures of the book that consist of boxes and arrows.

  scripts/lib/pictures.py            writes them
  scripts/lib/pictures.py --check    fails if one of them is not what it would write
"""
import html
import pathlib
import sys

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
BLUE, YELLOW, GREEN, RED, WHITE = "#e8f0f2", "#f5e3b8", "#bfe3dd", "#f2b2a8", "#fff"
INK, LINE = "#123", "#456"


class Picture:
    def __init__(self, name, width, height, label):
        self.name, self.width, self.height = name, width, height
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" '
            f'role="img" aria-label="{html.escape(label)}">',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>',
        ]

    def text(self, x, y, words, anchor="start", bold=False):
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{INK}"{weight}>{html.escape(words, False)}</text>')

    def box(self, x, y, width, height, fill, *lines, bold=True):
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="{fill}" stroke="{LINE}"/>')
        for number, line in enumerate(lines):
            below = y + height / 2 + 4.5 + (number - (len(lines) - 1) / 2) * 17
            self.text(x + width / 2, f"{below:g}", line, "middle", bold and number == 0 and len(lines) > 1)

    def frame(self, x, y, width, height, title):
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="none" stroke="{LINE}" stroke-dasharray="5 4"/>')
        self.text(x + 12, y + 20, title, bold=True)

    def arrow(self, path, words="", x=0, y=0, anchor="middle", dashed=False):
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<path d="{path}" fill="none" stroke="{INK}"{dash} marker-end="url(#a)"/>')
        if words:
            self.text(x, y, words, anchor)

    def line(self, path, dashed=False):
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<path d="{path}" fill="none" stroke="{LINE}"{dash}/>')

    def finish(self):
        return "\n".join(self.parts + ["</svg>"]) + "\n"


PICTURES = []


def picture(name, width, height, label):
    def add(draw):
        made = Picture(name, width, height, label)
        draw(made)
        PICTURES.append(made)
    return add


@picture("start/which-file.svg", 790, 250, "From uname -m to the file: aarch64, armv7l, armv6l, x86_64, riscv64")
def _(p):
    p.box(20, 90, 130, 60, YELLOW, "uname -m", "on the Pi")
    rows = [("aarch64", "pi-monitor-aarch64", "_arm64.deb"), ("armv7l", "pi-monitor-armv7", "_armhf.deb"),
            ("armv6l", "pi-monitor-armv6", "_armhf.deb"), ("x86_64", "pi-monitor-x86_64", "_amd64.deb"),
            ("riscv64", "pi-monitor-riscv64", "_riscv64.deb")]
    p.text(405, 22, "the program alone", "middle", True)
    p.text(625, 22, "the Debian package", "middle", True)
    for number, (machine, binary, package) in enumerate(rows):
        y = 36 + number * 38
        p.arrow(f"M150 120L206 {y + 15}")
        p.text(212, y + 20, machine)
        p.arrow(f"M272 {y + 15}H306")
        p.box(310, y, 190, 30, BLUE, binary)
        p.box(530, y, 190, 30, GREEN, package)
    p.text(20, 240, "For the package, dpkg --print-architecture decides: a 64-bit kernel may have a 32-bit system, which is armhf.")


@picture("start/deploy.svg", 790, 170, "The sources are built on your computer, and deploy.sh sends the binary to the Pi over SSH")
def _(p):
    p.frame(14, 14, 360, 110, "your computer")
    p.box(34, 50, 110, 50, BLUE, "the clone", "sources")
    p.arrow("M144 75H226", "build.sh", 185, 68)
    p.box(230, 50, 124, 50, GREEN, "one file", "static, 0.7 MB")
    p.arrow("M354 75H486", "deploy.sh", 422, 68)
    p.frame(470, 14, 306, 110, "the Pi")
    p.box(490, 50, 124, 50, GREEN, "pi-monitor", "port 9100")
    p.box(640, 50, 120, 50, YELLOW, "one entry", "starts it at boot")
    p.arrow("M640 75H618")
    p.text(20, 152, "deploy.sh asks the new agent by HTTP. If it does not answer, the old binary and its boot entry are put back.")


@picture("start/places.svg", 790, 210, "Where the parts of an installed agent are on the Pi")
def _(p):
    p.box(320, 70, 150, 56, GREEN, "pi-monitor", "port 9100")
    p.box(20, 20, 230, 44, YELLOW, "/etc/default/pi-monitor", "flags")
    p.box(20, 80, 230, 44, YELLOW, "/etc/pi-monitor", "passwords, tokens, keys")
    p.box(20, 140, 230, 44, BLUE, "/proc, /sys, /dev/vcio", "the machine")
    p.box(540, 20, 230, 44, BLUE, "/var/lib/pi-monitor", "the past: two files of 1 MB")
    p.box(540, 80, 230, 44, BLUE, "journalctl -u pi-monitor", "the log")
    p.box(540, 140, 230, 44, BLUE, "http://pi.local:9100/", "page, metrics, JSON")
    for y in (42, 102, 162):
        p.arrow(f"M250 {y}L316 {98 + (y - 102) // 4}")
        p.arrow(f"M470 {98 + (y - 102) // 4}L536 {y}")
    p.text(395, 204, "It reads what is on the left, and writes to nothing but the state directory and the log.", "middle")


@picture("start/container.svg", 790, 200, "What the options of podman run let the agent see of the machine")
def _(p):
    p.frame(14, 14, 470, 150, "the machine")
    for number, (what, how) in enumerate([("network interfaces", "--net host"), ("processes", "--pid host"), ("files, /proc, /sys", "-v /:/host:ro,rslave")]):
        y = 42 + number * 38
        p.box(30, y, 170, 30, BLUE, what)
        p.arrow(f"M200 {y + 15}H546", how, 350, y + 10)
    p.frame(530, 14, 246, 150, "the container")
    p.box(550, 42, 206, 106, GREEN, "pi-monitor", "--path.rootfs=/host", "--path.procfs=/host/proc", "--path.sysfs=/host/sys")
    p.text(20, 188, "Without an option, the agent sees the container's own, which says nothing about the machine.")


@picture("do/addresses.svg", 790, 160, "Which clients reach the agent with each value of --web.listen-address")
def _(p):
    p.text(20, 24, "--web.listen-address=", bold=True)
    for column, name in enumerate(["http://localhost", "http://192.168.77.5", "another address of the Pi"]):
        p.text(270 + column * 190, 24, name, "middle", True)
    for number, (value, reached) in enumerate([(":9200", "yyy"), ("127.0.0.1:9100", "ynn"), ("192.168.77.5:9100", "nyn")]):
        y = 36 + number * 40
        p.text(20, y + 20, value)
        for column, yes in enumerate(reached):
            p.box(180 + column * 190, y, 180, 30, GREEN if yes == "y" else WHITE, "answers" if yes == "y" else "connection refused")


@picture("do/password.svg", 790, 190, "Browser and Prometheus send a credential, the agent compares it with its file")
def _(p):
    p.box(20, 20, 150, 44, BLUE, "browser", "name and password")
    p.box(20, 76, 150, 44, BLUE, "Prometheus", "token or password")
    p.box(20, 132, 150, 44, BLUE, "load balancer", "nothing")
    p.box(350, 50, 150, 80, GREEN, "pi-monitor", "--web.auth-file=", "…/tokens")
    p.arrow("M170 42L346 76", "Authorization: Basic", 280, 46)
    p.arrow("M170 98H346", "Authorization: Bearer", 258, 92)
    p.arrow("M170 154L346 116", "/health only", 262, 158)
    p.box(580, 24, 194, 44, YELLOW, "/etc/default/pi-monitor", "names the file")
    p.box(580, 112, 194, 44, YELLOW, "/etc/pi-monitor/tokens", "one line for each")
    p.arrow("M580 46L504 74")
    p.arrow("M580 134L504 106")
    p.text(350, 180, "Without a line that fits: 401 for everything but /health.")


@picture("do/message.svg", 790, 246, "A verdict begins, the courier sends, and the message reaches the phone in one of three ways")
def _(p):
    p.frame(14, 14, 330, 150, "the Pi")
    p.box(30, 60, 130, 56, GREEN, "the agent", "a verdict begins")
    p.box(210, 60, 118, 56, GREEN, "its courier", "sends, waits")
    p.arrow("M160 88H206")
    ways = [("ntfy", "your server, or ntfy.sh", 20), ("a program", "curl, Telegram, mail", 84), ("Home Assistant", "a webhook", 148)]
    for name, what, y in ways:
        p.box(430, y, 180, 48, BLUE, name, what)
        p.arrow(f"M328 88L426 {y + 24}")
        p.arrow(f"M610 {y + 24}L686 108")
    p.box(690, 80, 84, 56, YELLOW, "phone", "title, text")
    p.text(20, 220, "The courier is a process of its own: the agent itself connects to nobody.")
    p.text(20, 238, "What cannot be delivered waits, and goes out later with its own time.")


@picture("do/push.svg", 790, 180, "The agent behind NAT pushes to the server and keeps an hour while it is away")
def _(p):
    p.frame(14, 14, 330, 110, "behind NAT")
    p.box(30, 50, 110, 50, GREEN, "pi-monitor", "every 60 s")
    p.box(190, 50, 134, 50, YELLOW, "what waits", "up to 1 h, in RAM")
    p.arrow("M140 75H186")
    p.arrow("M324 75H466", "POST, 60 s", 406, 68)
    p.arrow("M566 112H350", "no way in", 460, 130, dashed=True)
    p.box(470, 50, 160, 50, BLUE, "Prometheus", "or VictoriaMetrics")
    p.arrow("M630 75H676")
    p.box(680, 50, 96, 50, BLUE, "Grafana", "graphs")
    p.text(20, 160, "When the server is back, what waited arrives with its own times, the oldest first.")


@picture("do/home-assistant.svg", 790, 180, "The agent publishes at the broker, Home Assistant subscribes and makes one device")
def _(p):
    p.box(20, 60, 120, 56, GREEN, "pi-monitor", "--push.mqtt")
    p.box(330, 20, 200, 136, YELLOW, "MQTT broker", "…/HOST/state", "…/HOST/status", "homeassistant/…/config")
    p.arrow("M140 76L326 60", "every 30 s, verdicts at once", 228, 46)
    p.arrow("M140 100L326 116", "once: one for each sensor", 232, 132)
    p.arrow("M530 88H626", "subscribes", 578, 80)
    p.box(630, 40, 144, 96, BLUE, "Home Assistant", "one device", "its sensors", "its problems")
    p.text(20, 172, "The broker keeps all of them, and says \"offline\" when the agent goes without a word.")


@picture("do/many-pis.svg", 790, 210, "Each Pi has an agent; Prometheus scrapes all, Grafana shows them, Alertmanager sends")
def _(p):
    for number, name in enumerate(["192.168.1.20", "kitchen.local", "192.168.1.31"]):
        y = 20 + number * 52
        p.box(20, y, 150, 42, GREEN, name, ":9100/metrics")
        p.arrow(f"M326 {96}L174 {y + 21}")
    p.text(252, 190, "scrapes every 15 s", "middle")
    p.box(330, 62, 150, 68, BLUE, "Prometheus", "years of numbers", "alerts")
    p.arrow("M556 52L484 80")
    p.arrow("M480 112L556 140")
    p.box(560, 26, 180, 48, BLUE, "Grafana", "Fleet, Pi-Monitor")
    p.box(560, 118, 180, 48, YELLOW, "Alertmanager", "mail, messages")
    p.text(500, 190, "The agents know nothing of each other.")


@picture("do/node-exporter.svg", 790, 190, "Beside node_exporter on another port, or in its place with its names")
def _(p):
    p.text(20, 24, "Beside it", bold=True)
    p.box(20, 36, 150, 44, YELLOW, "node_exporter", ":9100  node_…")
    p.box(20, 92, 150, 44, GREEN, "pi-monitor", ":9200  pi_…")
    p.box(270, 62, 110, 48, BLUE, "Prometheus", "two jobs")
    p.arrow("M266 76L174 58")
    p.arrow("M266 98L174 114")
    p.line("M400 16V146", dashed=True)
    p.text(430, 24, "Instead of it", bold=True)
    p.box(430, 62, 180, 48, GREEN, "pi-monitor", ":9100  node_… and pi_…")
    p.arrow("M674 86H614")
    p.box(674, 62, 102, 48, BLUE, "Prometheus", "one job")
    p.text(430, 136, "--metrics.dialect=both")
    p.text(20, 176, "Dashboards and alerts written for node_exporter find the same names in both.")


@picture("do/writes.svg", 790, 170, "What the agent writes: the past under /var/lib, everything else in RAM")
def _(p):
    p.box(20, 54, 140, 56, GREEN, "pi-monitor", "and its service")
    p.arrow("M160 70L316 46", "at most 1 MB a day", 230, 40)
    p.arrow("M160 94L316 118", "pid files, copies of secrets", 232, 136)
    p.box(320, 24, 200, 44, YELLOW, "--state.directory", "two files of 1 MB")
    p.box(320, 96, 200, 44, BLUE, "/run", "RAM")
    p.box(580, 24, 190, 44, WHITE, "none: no past on disk", "or a small partition", bold=False)
    p.arrow("M520 46H576")
    p.text(20, 164, "On a read-only root the first arrow has to go: to nothing, or to a filesystem of its own.")


@picture("do/upgrade.svg", 790, 170, "The new version has to answer twice; otherwise the old one is put back")
def _(p):
    p.box(20, 40, 130, 50, BLUE, "old version", "runs")
    p.arrow("M150 65H206")
    p.box(210, 40, 150, 50, YELLOW, "new version", "is put in its place")
    p.arrow("M360 65H416")
    p.box(420, 40, 150, 50, YELLOW, "asked twice", "GET /health")
    p.arrow("M570 65H636", "ok", 603, 58)
    p.box(640, 40, 130, 50, GREEN, "new version", "stays, status 0")
    p.arrow("M495 90V128H89V94", "no answer within 30 s: binary, flags and boot entry as before, status 1", 290, 146)


@picture("do/metric.svg", 790, 200, "Three sources of a number, and the way that each takes to Prometheus")
def _(p):
    rows = [("numbers that the agent has", "a recording rule", "in Prometheus", BLUE),
            ("/proc, /sys, a system call", "a collector", "one file, one line", GREEN),
            ("a script, a cron job", "a text file", "*.prom in a directory", YELLOW)]
    for number, (source, how, what, fill) in enumerate(rows):
        y = 16 + number * 60
        p.box(20, y, 220, 44, WHITE, source)
        p.arrow(f"M240 {y + 22}H296")
        p.box(300, y, 200, 44, fill, how, what)
    p.arrow("M500 38H636")
    p.box(640, 16, 130, 44, BLUE, "Prometheus")
    p.box(540, 96, 130, 44, GREEN, "/metrics", "of the agent")
    p.arrow("M500 98L536 112")
    p.arrow("M500 158L536 128")
    p.arrow("M670 118H705V64")


@picture("fix/verdict.svg", 790, 210, "A condition holds, the rule waits, fires, holds and is over")
def _(p):
    p.text(20, 56, "the condition", bold=True)
    p.text(20, 116, "the verdict", bold=True)
    p.line("M150 60H220V30H470V60H770")
    p.text(345, 24, "temperature above the limit", "middle")
    p.line("M150 120H320V90H600V120H770")
    p.text(460, 84, "\"cpu-thermal is hot\"", "middle")
    p.line("M220 60V150", dashed=True)
    p.line("M320 120V150", dashed=True)
    p.line("M470 60V150", dashed=True)
    p.line("M600 120V150", dashed=True)
    p.text(270, 146, "first delay", "middle")
    p.text(535, 146, "second delay", "middle")
    p.text(690, 110, "gray: until when", "middle")
    p.text(20, 184, "pi-monitor print looks once and shows the condition. The page, messages and events show the verdict.")
    p.text(20, 202, "An event, such as a kill, fires at once. The delays of each rule are in Rules.")


@picture("fix/machine.svg", 790, 190, "Which command looks at now, at last night, and at weeks ago, and where each leads")
def _(p):
    rows = [("it is wrong now", "sudo pi-monitor doctor", "and the page"), ("it was wrong last night", "pi-monitor events", "and a moment on the page"),
            ("it was wrong weeks ago", "Prometheus", "and Grafana, if you have them")]
    for number, (when, how, also) in enumerate(rows):
        y = 16 + number * 58
        p.box(20, y, 180, 44, YELLOW, when)
        p.arrow(f"M200 {y + 22}H256")
        p.box(260, y, 230, 44, BLUE, how, also)
        p.arrow(f"M490 {y + 22}L556 {96 + (number - 1) * 10}")
    p.box(560, 70, 210, 52, GREEN, "a verdict or a finding", "its runbook says what to do")


@picture("understand/kernel-events.svg", 790, 230, "Descriptors of seven sources become readable, the heartbeat wakes, rules of three lanes get events")
def _(p):
    names = ["/dev/kmsg", "rtnetlink", "nl80211", "uevents", "mountinfo", "wall clock", "pressure"]
    for number, name in enumerate(names):
        y = 12 + number * 28
        p.box(20, y, 120, 24, BLUE, name)
        p.arrow(f"M140 {y + 12}L246 108")
    p.box(250, 82, 130, 52, YELLOW, "epoll", "the agent sleeps")
    p.arrow("M380 108H446", "wakes", 412, 100)
    p.box(450, 82, 130, 52, GREEN, "kernel/watch", "makes an event")
    for number, name in enumerate(["trouble", "power and heat", "changes"]):
        y = 52 + number * 42
        p.box(640, y, 130, 30, BLUE, name)
        p.arrow(f"M580 108L636 {y + 15}")
    p.text(20, 222, "At most 30 different events a minute that are not critical; more of one kind are counted, not listed.")


@picture("understand/accept-queue.svg", 790, 190, "SYN, handshake, accept queue: where ListenOverflows counts")
def _(p):
    p.box(20, 60, 100, 50, BLUE, "client", "SYN")
    p.arrow("M120 85H186")
    p.box(190, 60, 140, 50, WHITE, "handshake", "SYN, ACK")
    p.arrow("M330 85H396")
    p.box(400, 60, 160, 50, YELLOW, "accept queue", "backlog, somaxconn")
    p.arrow("M560 85H646", "accept()", 602, 78)
    p.box(650, 60, 120, 50, GREEN, "the program", "too slow?")
    p.arrow("M480 110V146", "full: ListenOverflows + 1, ListenDrops + 1, the client waits and tries again", 480, 164)
    p.text(400, 46, "pi_tcp_listen_overflows_total counts here")


@picture("understand/scans.svg", 790, 210, "Two scans of /proc/PID/stat, and the CPU share between them")
def _(p):
    p.arrow("M20 110H770", "time", 756, 128)
    for x, name, ticks in [(160, "first scan", "1234 + 2345 = 3579 ticks"), (560, "second scan", "1284 + 2395 = 3679 ticks")]:
        p.line(f"M{x} 60V116")
        p.box(x - 110, 20, 220, 44, BLUE, name, ticks)
    p.text(360, 100, "2 s", "middle")
    p.box(190, 134, 340, 44, GREEN, "100 ticks of 10 ms in 2 s", "1.00 s ÷ 2 s = 50% of one CPU")
    p.arrow("M360 110V130")
    p.text(20, 202, "Number and start time have to be the same in both scans; otherwise it is another process.")


@picture("understand/profile.svg", 790, 250, "The size of the aarch64 binary after each step of the recipe")
def _(p):
    steps = [("rustup's standard library", 929760), ("built with the profile", 879096), ("without backtraces", 669912),
             ("no unwinding tables", 603480), ("no file and line in panics", 571328), ("no Debug output", 561000),
             ("no panic messages", 526000), ("small std, then the outliner", 462000)]
    for number, (what, size) in enumerate(steps):
        y = 14 + number * 26
        p.text(20, y + 15, what)
        width = round(size / 929760 * 480)
        p.parts.append(f'<rect x="220" y="{y}" width="{width}" height="20" fill="{GREEN if number == len(steps) - 1 else BLUE}" stroke="{LINE}"/>')
        p.text(228 + width, y + 15, f"{round(size / 1000)} kB")
    p.text(20, 240, "At the time when the recipe was made; features have come since. Building has the table.")


@picture("query/alert.svg", 790, 190, "An alert is inactive, then pending while its for: lasts, then firing")
def _(p):
    p.line("M20 110H150L190 70L240 84L300 40L420 46L520 52L580 90L640 112H770")
    p.line("M20 74H770", dashed=True)
    p.text(24, 68, "threshold")
    p.line("M186 74V150", dashed=True)
    p.line("M262 74V150", dashed=True)
    p.line("M420 46V150", dashed=True)
    p.line("M556 74V150", dashed=True)
    for x, width, fill, name in [(20, 242, WHITE, "inactive, and a short pending"), (262, 158, YELLOW, "pending: for: 5m"),
                                 (420, 136, RED, "firing"), (556, 214, WHITE, "inactive again: resolved")]:
        p.box(x, 136, width, 28, fill, name)
    p.text(20, 184, "Each evaluation, every 15 s, asks again; one without a result begins anew.")


def main():
    stale = []
    for made in PICTURES:
        path, text = DOCS / made.name, made.finish()
        if sys.argv[1:] != ["--check"]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(made.name)
    if stale:
        sys.exit(f"not as scripts/lib/pictures.py draws them: {', '.join(stale)}")


main()
