#!/usr/bin/env bash
#
# run.sh - proves monitoring/ and scripts/monitoring-setup.sh with the real programs:
# Prometheus scrapes agents with the shipped configuration, every query of every
# dashboard and rule is asked there, a Prometheus agent sends to VictoriaMetrics,
# promtool and Grafana's own types judge the files, and the setup script runs.
#
#   tests/monitoring/run.sh [BINARY]
#
#   BINARY   the agent; default: the newest of target/release/pi-monitor,
#            target/debug/pi-monitor and dist/pi-monitor-CPU, or else a new build
#
# Needs python3 and curl. Prometheus and VictoriaMetrics are taken from PATH or
# unpacked from Debian packages without installing them; the schema check needs
# node and npm. What is missing is skipped and said.
#
# One agent monitors this machine, the others two of the boards in tests/boards. A Grafana
# server is not part of this: Debian has none. How the dashboards look is not tested.
#
# Ends within four minutes. Everything listens on 127.0.0.1 on free ports.
# The last line is "N passed, N failed, N skipped".
#
# Exit status: 0 nothing failed, 1 something did, 2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/../../scripts/lib/toolchain.sh"
cd "$REPO"
case ${1:-} in -h | --help) usage "$0"; exit 0 ;; -*) die 2 "unknown option $1" ;; esac
[ $# -le 1 ] || die 2 "one binary at most (see --help)"

HERE=tests/monitoring
DEADLINE=$((SECONDS + 235))
PASSED=0 FAILED=0 SKIPPED=0
TMP=$(mktemp -d)
chmod 755 "$TMP"    # a daemon's user may have to read below it
PIDS=()
# shellcheck disable=SC2317  # called by the trap
finish() {
    local status=$? pid
    trap - EXIT INT TERM
    for pid in ${PIDS[@]+"${PIDS[@]}"}; do kill "$pid" 2>/dev/null || true; done
    # The setup script's own, should it still run: the script ends only what it has started.
    if [ -e "$TMP/setup/.pi-monitoring" ]; then bounded 40 scripts/monitoring-setup.sh --dir "$TMP/setup" --no-service --stop >/dev/null 2>&1 || true; fi
    for pid in ${PIDS[@]+"${PIDS[@]}"}; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$TMP"
    echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
    if [ $FAILED -gt 0 ] || [ "$PASSED" = 0 ]; then exit 1; fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

pass() { PASSED=$((PASSED + 1)); echo "pass: $*"; }
fail() { FAILED=$((FAILED + 1)); echo "FAIL: $*"; }
skip() { SKIPPED=$((SKIPPED + 1)); echo "skip: $*"; }
# left SECONDS: as many, but no more than there is time for.
left() { local rest=$((DEADLINE - SECONDS)); [ "$rest" -ge 1 ] || rest=1; if [ "$1" -lt "$rest" ]; then echo "$1"; else echo "$rest"; fi; }
# check WHAT COMMAND...: passes if the command does; shows the end of what it said if not.
check() {
    local what=$1 status=0
    shift
    bounded "$(left 60)" "$@" >"$TMP/output" 2>&1 </dev/null || status=$?
    if [ $status = 0 ]; then pass "$what"; else
        fail "$what (status $status)"
        tail -n 30 "$TMP/output" | sed 's/^/      /'
    fi
}
# tell COMMAND...: for programs that print PASS, FAIL and NOTE lines themselves.
tell() {
    local line status=0 seen=0
    bounded "$(left 110)" "$@" >"$TMP/lines" 2>"$TMP/errors" </dev/null || status=$?
    while IFS= read -r line; do
        case $line in
        PASS\ *) pass "${line#PASS }"; seen=1 ;;
        FAIL\ *) fail "${line#FAIL }"; seen=2 ;;
        *) echo "      $line" ;;
        esac
    done <"$TMP/lines"
    if [ $status != 0 ] && [ $seen != 2 ] || [ $seen = 0 ]; then
        fail "$* (status $status)"
        tail -n 15 "$TMP/errors" | sed 's/^/      /'
    fi
}
# run NAME COMMAND...: in the background, ended with this script; its number is in RUN.
run() {
    local name=$1
    shift
    "$@" >"$TMP/$name.log" 2>&1 </dev/null &
    RUN=$!
    PIDS+=("$RUN")
}
get() { curl -fsS --noproxy '*' --max-time 10 "$@"; }
# wait_until SECONDS WHAT COMMAND...
wait_until() {
    local end=$((SECONDS + $(left "$1"))) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then fail "$what"; return 1; fi
        sleep 0.3
    done
}

# --- programs ---------------------------------------------------------------

have python3 || die 1 "needs python3"
have curl || die 1 "needs curl"
BINARY=${1:-}
if [ -z "$BINARY" ]; then
    for file in target/release/pi-monitor target/debug/pi-monitor "dist/pi-monitor-$(uname -m)"; do
        if [ -x "$file" ] && { [ -z "$BINARY" ] || [ "$file" -nt "$BINARY" ]; }; then BINARY=$file; fi
    done
fi
if [ -z "$BINARY" ]; then
    find_rust
    say "building the agent"
    "$CARGO" build --locked >&2
    BINARY=target/debug/pi-monitor
    DEADLINE=$((SECONDS + 235))
fi
"$BINARY" --version >"$TMP/version" 2>&1 || die 1 "$BINARY does not run: $(head -n 1 "$TMP/version")"
say "$(head -n 1 "$TMP/version") ($BINARY)"

PROMETHEUS=yes VICTORIA=yes
if ! unpacked_package prometheus prometheus || ! have promtool; then PROMETHEUS=no; say "no prometheus: $INSTALL_ERROR"; fi
if ! unpacked_package victoria-metrics victoria-metrics; then VICTORIA=no; say "no victoria-metrics: $INSTALL_ERROR"; fi
export PATH

mapfile -t PORTS < <(python3 -c '
import socket
held = [socket.socket() for _ in range(8)]
for s in held:
    s.bind(("127.0.0.1", 0))
for s in held:
    print(s.getsockname()[1])')

# --- everything starts first: scrapes take time ------------------------------

BOARDS=(this-machine pi-zero-2 pi-5)
find_rust
unpack_boards "$TMP/boards" "${BOARDS[@]:1}" || die 1 "cannot unpack the boards"
INSTANCES=()
for i in "${!BOARDS[@]}"; do
    board=${BOARDS[i]} port=${PORTS[i]}
    ROOTS=()
    if [ "$board" != this-machine ]; then
        ROOTS=("--path.procfs=$TMP/boards/$board/proc" "--path.sysfs=$TMP/boards/$board/sys" "--path.rootfs=$TMP/boards/$board/root")
    fi
    run "agent-$board" "$BINARY" "--web.listen-address=127.0.0.1:$port" ${ROOTS[@]+"${ROOTS[@]}"}
    INSTANCES+=("127.0.0.1:$port")
done
METRICS=()
for i in "${!BOARDS[@]}"; do
    wait_until 15 "the agent for ${BOARDS[i]} answers" get "http://${INSTANCES[i]}/health" || { cat "$TMP/agent-${BOARDS[i]}.log"; exit 1; }
    get "http://${INSTANCES[i]}/metrics" >"$TMP/${BOARDS[i]}.txt"
    METRICS+=("$TMP/${BOARDS[i]}.txt")
done

# The shipped configuration as it is, only with other Pis.
mkdir "$TMP/shipped"
cp -r monitoring/prometheus.yml monitoring/rules monitoring/scaling "$TMP/shipped/"
mkdir "$TMP/shipped/targets"
{ echo "- targets:"; printf '    - %s\n' "${INSTANCES[@]}"; } >"$TMP/shipped/targets/pis.yml"
URL=http://127.0.0.1:${PORTS[3]}
VICTORIA_URL=http://127.0.0.1:${PORTS[5]}
if [ $PROMETHEUS = yes ]; then
    run prometheus prometheus "--config.file=$TMP/shipped/prometheus.yml" "--storage.tsdb.path=$TMP/tsdb" "--web.listen-address=127.0.0.1:${PORTS[3]}" --log.level=warn
    if [ $VICTORIA = yes ]; then
        run victoria victoria-metrics "-storageDataPath=$TMP/victoria" "-httpListenAddr=127.0.0.1:${PORTS[5]}" -retentionPeriod=1
        sed -i "s#https://metrics.example.org/api/v1/write#$VICTORIA_URL/api/v1/write#" "$TMP/shipped/scaling/agent.yml"
        grep -q "url: $VICTORIA_URL" "$TMP/shipped/scaling/agent.yml" || fail "scaling/agent.yml has no example address to replace"
        run prometheus-agent prometheus --enable-feature=agent "--config.file=$TMP/shipped/scaling/agent.yml" "--storage.agent.path=$TMP/agent-data" "--web.listen-address=127.0.0.1:${PORTS[4]}" --log.level=warn
    fi
fi

# --- files -------------------------------------------------------------------

check "the dashboards are what generate.py writes" python3 monitoring/grafana/generate.py --check
tell python3 $HERE/check.py static
if [ $PROMETHEUS = yes ]; then
    check "promtool check config: shipped" promtool check config monitoring/prometheus.yml
    for name in victoriametrics mimir thanos; do check "promtool check config: scaling/$name" promtool check config "monitoring/scaling/$name.yml"; done
    check "promtool check config: scaling/agent" promtool check config --agent monitoring/scaling/agent.yml
    check "promtool check rules" promtool check rules monitoring/rules/recording.yml monitoring/rules/alerts.yml
    if [ $VICTORIA = yes ] && have vmalert; then check "vmalert (VictoriaMetrics) accepts the rules" vmalert -dryRun -rule=monitoring/rules/recording.yml -rule=monitoring/rules/alerts.yml; fi
    check "promtool test rules: every alert fires, and stays silent" promtool test rules monitoring/rules/tests/alerts.yml
    # The test of the tests: a rule with another limit must not pass.
    cp -r monitoring/rules "$TMP/rules"
    sed -i 's/instance:pi_temperature_celsius:max >= 80/instance:pi_temperature_celsius:max >= 90/' "$TMP/rules/alerts.yml"
    if promtool test rules "$TMP/rules/tests/alerts.yml" >/dev/null 2>&1; then fail "promtool test rules does not notice a changed limit"
    else pass "promtool test rules notices a changed limit"; fi
    tell python3 $HERE/check.py annotations "$TMP/annotations.yml"
    check "promtool test rules: the annotations show reboots and under-voltage, and nothing else" promtool test rules "$TMP/annotations.yml"
    # shellcheck disable=SC2016  # it is the inner shell that expands
    for i in "${!BOARDS[@]}"; do check "promtool check metrics: ${BOARDS[i]}" sh -c 'promtool check metrics <"$1"' sh "${METRICS[i]}"; done
else
    skip "promtool: $INSTALL_ERROR"
fi
schema() {
    local dir
    dir=$PI_CACHE/grafana-schema-$(cksum <$HERE/schema/package-lock.json | cut -d' ' -f1)
    if [ ! -d "$dir/node_modules" ]; then
        mkdir -p "$PI_CACHE"
        rm -rf "$dir.new"
        mkdir "$dir.new"
        cp $HERE/schema/package.json $HERE/schema/package-lock.json $HERE/schema/.npmrc "$dir.new/"
        if ! (cd "$dir.new" && bounded "$(left 100)" npm ci --no-fund --no-audit) >"$TMP/npm.log" 2>&1 </dev/null; then
            skip "Grafana's schema: npm cannot fetch it: $(grep -v '^npm warn' "$TMP/npm.log" | head -n 1)"
            return
        fi
        rm -rf "$dir"
        mv "$dir.new" "$dir"
    fi
    NODE_PATH=$dir/node_modules tell node $HERE/schema/validate.cjs --self-test monitoring/grafana/dashboards/*.json
}
if ! have node || ! have npm; then skip "Grafana's schema: needs node and npm"
elif [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 18 ]; then skip "Grafana's schema: needs node 18 or newer"
else schema; fi

# --- the setup script ---------------------------------------------------------

SETUP=(scripts/monitoring-setup.sh)
OWN=(--dir "$TMP/setup" --no-service --prometheus-port "${PORTS[6]}" --grafana-port "${PORTS[7]}")
# expect STATUS TEXT COMMAND...: ends with the status and says the text
expect() {
    local wanted=$1 text=$2 status=0
    shift 2
    bounded "$(left 60)" "$@" >"$TMP/output" 2>&1 </dev/null || status=$?
    if [ $status = "$wanted" ] && grep -qF -- "$text" "$TMP/output"; then return 0; fi
    echo "      wanted status $wanted and \"$text\", got status $status:"
    tail -n 15 "$TMP/output" | sed 's/^/      /'
    return 1
}
step() { # WHAT, then expect's arguments
    local what=$1
    shift
    if expect "$@"; then pass "$what"; else fail "$what"; fi
}
step "setup: no Pi is bad usage" 2 "which Pis?" "${SETUP[@]}" "${OWN[@]}"
step "setup: an address with a path is bad usage" 2 "is no address" "${SETUP[@]}" "${OWN[@]}" http://pi/metrics
step "setup: a Pi that does not answer is named, and nothing is changed" 1 "no agent answers at http://127.0.0.1:1/health" "${SETUP[@]}" "${OWN[@]}" --no-grafana 127.0.0.1:1
if [ -e "$TMP/setup" ]; then fail "setup: a Pi that does not answer left files"; fi
for platform in apt brew docker podman; do
    step "setup: --dry-run for $platform" 0 "would wait until" "${SETUP[@]}" --platform $platform --dry-run --dir "$TMP/none" "${INSTANCES[1]}"
done
step "setup: --dry-run with services" 0 "systemctl enable pi-monitoring-grafana.service" "${SETUP[@]}" --platform apt --service --dry-run --dir "$TMP/none" "${INSTANCES[1]}"
step "setup: a Pi on this machine is another host for containers" 0 "would add the Pi: host.docker.internal:${PORTS[1]}" "${SETUP[@]}" --platform docker --dry-run --dir "$TMP/none" "${INSTANCES[1]}"
if [ -e "$TMP/none" ]; then fail "setup: --dry-run wrote files"; else pass "setup: --dry-run writes nothing"; fi
mkdir "$TMP/foreign" && touch "$TMP/foreign/file"
step "setup: leaves a folder alone that is not its own" 1 "was not made by this script" "${SETUP[@]}" --platform docker --dry-run --dir "$TMP/foreign" "${INSTANCES[1]}"
if [ $PROMETHEUS = yes ] && have_apt; then
    step "setup: starts Prometheus and proves that the Pi is up" 0 "up: ${INSTANCES[0]}" "${SETUP[@]}" "${OWN[@]}" --platform apt --no-grafana "${INSTANCES[0]}"
    first=$(head -n 1 "$TMP/setup/run/prometheus.pid" 2>/dev/null || echo none)
    before=$(find "$TMP/setup" \( -name data -o -name log \) -prune -o -type f -print0 | sort -z | xargs -0 cksum)
    step "setup: the same once more" 0 "Prometheus runs already (process $first)" "${SETUP[@]}" "${OWN[@]}" --platform apt --no-grafana "${INSTANCES[0]}"
    if [ "$before" = "$(find "$TMP/setup" \( -name data -o -name log \) -prune -o -type f -print0 | sort -z | xargs -0 cksum)" ]; then pass "setup: the second time changes no file"; else fail "setup: the second time changed files"; fi
    sed -i 's/^    - /  - /' "$TMP/setup/targets/pis.yml"
    echo "  labels: {site: home}" >>"$TMP/setup/targets/pis.yml"
    step "setup: one more Pi, in a file that a person has changed" 0 "up: ${INSTANCES[1]}" "${SETUP[@]}" "${OWN[@]}" --platform apt --no-grafana "${INSTANCES[1]}"
    check "setup: the file of Pis is right" promtool check config "$TMP/setup/prometheus.yml"
    both() { get -G --data-urlencode 'query=count(up{site="home"} == 1)' "http://127.0.0.1:${PORTS[6]}/api/v1/query" | grep -q ',"2"\]'; }
    if wait_until 30 "setup: both Pis are up, with the label that a person has added" both; then pass "setup: both Pis are up, with the label that a person has added"; fi
    step "setup: a taken port is named" 1 "port ${PORTS[3]} of this machine is taken" "${SETUP[@]}" --dir "$TMP/other" --no-service --prometheus-port "${PORTS[3]}" --platform apt --no-grafana "${INSTANCES[0]}"
    step "setup: Grafana's files are written; without Grafana it says so" 1 "no Grafana: grafana is missing" env PI_INSTALL=no "${SETUP[@]}" "${OWN[@]}" --platform apt "${INSTANCES[0]}"
    if cmp -s monitoring/grafana/dashboards/pi-monitor.json "$TMP/setup/grafana/dashboards/pi-monitor.json" &&
        [ "$(stat -c %a "$TMP/setup/grafana/admin-password")" = 600 ] && [ "$(wc -c <"$TMP/setup/grafana/admin-password")" -ge 20 ] &&
        grep -q "^provisioning = $TMP/setup/grafana/provisioning$" "$TMP/setup/grafana/grafana.ini"; then pass "setup: Grafana's configuration is in place"; else fail "setup: Grafana's configuration is not in place"; fi
    # A pid file whose number belongs to another process by now.
    sleep 100 &
    stranger=$!
    PIDS+=("$stranger")
    mkdir -p "$TMP/setup/run"
    printf '%s\n%s\n' "$stranger" "Thu Jan  1 00:00:00 1970" >"$TMP/setup/run/grafana.pid"
    step "setup: --uninstall" 0 "stopping prometheus (process $first)" "${SETUP[@]}" "${OWN[@]}" --platform apt --uninstall --purge
    if kill -0 "$stranger" 2>/dev/null; then pass "setup: stops only what it has started"; else fail "setup: ended a process that is not its own"; fi
    if [ -e "$TMP/setup" ] || kill -0 "$first" 2>/dev/null; then fail "setup: --uninstall left something"; else pass "setup: --uninstall leaves nothing"; fi
else
    skip "setup for real: needs Debian's apt and Prometheus"
fi

# --- queries ------------------------------------------------------------------

if [ $PROMETHEUS = yes ]; then
    tell python3 $HERE/check.py instances "$URL" "${INSTANCES[@]}"
    tell python3 $HERE/check.py live "$URL" "${METRICS[@]}"
    if [ -s "$TMP/prometheus.log" ] && grep -q 'level=\(error\|warn\)' "$TMP/prometheus.log"; then fail "Prometheus complains: $(grep -m 1 'level=\(error\|warn\)' "$TMP/prometheus.log")"; else pass "Prometheus logs no warning"; fi
    if [ $VICTORIA = yes ]; then
        arrived() { [ "$(get -G --data-urlencode 'query=count(pi_boot_time_seconds{job="pi-monitor",site="home"})' "$VICTORIA_URL/api/v1/query" | sed -n 's/.*"value":\[[^,]*,"\([^"]*\)".*/\1/p')" = "${#BOARDS[@]}" ]; }
        if wait_until 60 "remote_write: every agent arrives in VictoriaMetrics" arrived; then pass "remote_write: ${#BOARDS[@]} agents arrive in VictoriaMetrics"; fi
        # The same number of series on both ways; up and what belongs to the scrape as well.
        same() { for url in "$URL" "$VICTORIA_URL"; do get -G --data-urlencode 'query=count by (instance) ({__name__=~"pi_.+|process_.+|up",job="pi-monitor"})' "$url/api/v1/query" | python3 -c '
import json, sys
print(sorted((s["metric"]["instance"], s["value"][1]) for s in json.load(sys.stdin)["data"]["result"]))'; done | uniq | wc -l | grep -qx 1; }
        if wait_until 40 "remote_write: as many series in VictoriaMetrics as in Prometheus" same; then pass "remote_write: as many series in VictoriaMetrics as in Prometheus"; fi
    else
        skip "remote_write: no victoria-metrics"
    fi
else
    skip "queries: no Prometheus"
fi
