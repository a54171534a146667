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
# Ends within ten minutes. Everything listens on 127.0.0.1 on free ports.
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
DEADLINE=$((SECONDS + 1800))
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
# left SECONDS: as many, but no more than there is time for. Limits are long: a busy machine is
# no failure, and only what hangs waits for one.
left() { local rest=$((DEADLINE - SECONDS)); [ "$rest" -ge 1 ] || rest=1; if [ "$1" -lt "$rest" ]; then echo "$1"; else echo "$rest"; fi; }
# check WHAT COMMAND...: passes if the command does; shows the end of what it said if not.
check() {
    local what=$1 status=0
    shift
    bounded "$(left "${LIMIT:-300}")" "$@" >"$TMP/output" 2>&1 </dev/null || status=$?
    if [ $status = 0 ]; then pass "$what"; else
        fail "$what (status $status)"
        tail -n 30 "$TMP/output" | sed 's/^/      /'
    fi
}
# tell COMMAND...: for programs that print PASS, FAIL and NOTE lines themselves.
tell() {
    local line status=0 seen=0
    bounded "$(left 600)" "$@" >"$TMP/lines" 2>"$TMP/errors" </dev/null || status=$?
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
    DEADLINE=$((SECONDS + 1800))
fi
"$BINARY" --version >"$TMP/version" 2>&1 || die 1 "$BINARY does not run: $(head -n 1 "$TMP/version")"
say "$(head -n 1 "$TMP/version") ($BINARY)"

PROMETHEUS=yes VICTORIA=yes
if ! unpacked_package prometheus prometheus || ! unpacked_package promtool promtool prometheus; then PROMETHEUS=no; say "no prometheus: $INSTALL_ERROR"; fi
if ! unpacked_package victoria-metrics victoria-metrics; then VICTORIA=no; say "no victoria-metrics: $INSTALL_ERROR"; fi
export PATH

mapfile -t PORTS < <(python3 -c '
# Below those that the kernel gives to connections, which would hold them when a program wants to listen.
import os, socket
ports = []
for port in range(10000 + os.getpid() % 10000, 32000):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
            ports.append(port)
        except OSError:
            continue
    if len(ports) == 14:
        break
print(*ports, sep="\n")')

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
    wait_until 120 "the agent for ${BOARDS[i]} answers" get "http://${INSTANCES[i]}/health" || { cat "$TMP/agent-${BOARDS[i]}.log"; exit 1; }
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

# The same agents in node_exporter's names, for a Prometheus of its own, with boards that have what those do not.
NODE_URL=http://127.0.0.1:${PORTS[11]}
NODE_INSTANCES=("${INSTANCES[0]}" "${INSTANCES[2]}")
if [ $PROMETHEUS = yes ]; then
    unpack_boards "$TMP/boards" nas pi-3a-plus || die 1 "cannot unpack the boards"
    place=12
    for board in nas pi-3a-plus; do
        NODE_INSTANCES+=("127.0.0.1:${PORTS[place]}")
        run "agent-$board" "$BINARY" "--web.listen-address=127.0.0.1:${PORTS[place]}" "--path.procfs=$TMP/boards/$board/proc" "--path.sysfs=$TMP/boards/$board/sys" "--path.rootfs=$TMP/boards/$board/root"
        place=$((place + 1))
    done
    cp tests/node/alerts.yml "$TMP/node-alerts.yml"
    cat >"$TMP/node.yml" <<END
global: {scrape_interval: 1s, evaluation_interval: 2s}
rule_files: [$TMP/node-alerts.yml]
scrape_configs:
  - job_name: node
    params: {dialect: [node], 'collect[]': [$(sed -n 's/^| on | \(.*\) |$/\1/p' docs/do/node-exporter.md), interrupts, processes, tcpstat, agent]}
    static_configs: [{targets: [$(printf "'%s', " "${NODE_INSTANCES[@]}")]}]
END
    run prometheus-node prometheus "--config.file=$TMP/node.yml" "--storage.tsdb.path=$TMP/node-tsdb" "--web.listen-address=127.0.0.1:${PORTS[11]}" --log.level=warn
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
    LIMIT=900 check "promtool test rules: every alert fires, and stays silent" promtool test rules monitoring/rules/tests/alerts.yml monitoring/rules/tests/days.yml
    # The test of the tests: a rule with another limit must not pass.
    cp -r monitoring/rules "$TMP/rules"
    sed -i 's/pi_temperature_critical_celsius >= 40) >= 80/pi_temperature_critical_celsius >= 40) >= 90/' "$TMP/rules/alerts.yml"
    if promtool test rules "$TMP/rules/tests/alerts.yml" >/dev/null 2>&1; then fail "promtool test rules does not notice a changed limit"
    else pass "promtool test rules notices a changed limit"; fi
    # shellcheck disable=SC2016  # it is the inner shell that expands
    check "promtool check metrics: node_exporter's names, but for those that promtool finds wrong there, too" sh -c 'curl -fsS "$1" | promtool check metrics 2>&1 | grep -v "^node_" | { ! grep .; }' sh "http://${INSTANCES[0]}/metrics?dialect=node"
    check "promtool test rules: the alerts with node_exporter's names" promtool test rules tests/node/alerts-test.yml
    tell python3 $HERE/check.py node "$NODE_URL" "${NODE_INSTANCES[@]}"
    tell python3 $HERE/check.py annotations "$TMP/annotations.yml"
    check "promtool test rules: the annotations show what they are named after, and nothing else" promtool test rules "$TMP/annotations.yml"
    tell python3 $HERE/check.py queries "$TMP/queries.yml"
    check "promtool check rules: the queries of the docs" promtool check rules "$TMP/queries.yml"
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
    bounded "$(left 600)" "$@" >"$TMP/output" 2>&1 </dev/null || status=$?
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
step "setup: a Pi that does not answer is named, and nothing is changed" 1 "no agent answers at http://127.0.0.1:1/metrics" "${SETUP[@]}" "${OWN[@]}" --no-grafana 127.0.0.1:1
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
    # What people change in their files; with a scrape each second the rest of this goes faster.
    sed -i '/^# alerting:/,$s/^# //; s/^  scrape_interval: .*/  scrape_interval: 1s/; s/^  scrape_timeout: .*/  scrape_timeout: 1s/' "$TMP/setup/prometheus.yml"
    sed -i 's/for: 2m/for: 7m/' "$TMP/setup/rules/alerts.yml"
    sed -i 's/^    - /  - /' "$TMP/setup/targets/pis.yml"
    printf '  labels: {site: home}\n- targets: [gone.invalid]\n  labels: {instance: garage}\n' >>"$TMP/setup/targets/pis.yml"
    sum_of_edits() { cksum "$TMP/setup/prometheus.yml" "$TMP/setup/rules/alerts.yml"; }
    before=$(sum_of_edits)
    # Without the ports: an earlier run was given them.
    AGAIN=("${SETUP[@]}" --dir "$TMP/setup" --no-service --platform apt)
    step "setup: one more Pi, in a file that a person has changed; options are remembered" 0 "up: ${INSTANCES[1]}" "${AGAIN[@]}" "${INSTANCES[1]}"
    check "setup: the file of Pis is right" promtool check config "$TMP/setup/prometheus.yml"
    if [ "$before" = "$(sum_of_edits)" ] && grep -q '^alerting:' "$TMP/setup/prometheus.yml" && [ ! -e "$TMP/setup/rules/alerts.yml.new" ]; then
        pass "setup: an Alertmanager and a changed rule survive the next run"
    else fail "setup: an Alertmanager or a changed rule is lost"; fi
    both() { get -G --data-urlencode 'query=count(up{site="home"} == 1)' "http://127.0.0.1:${PORTS[6]}/api/v1/query" | grep -q ',"2"\]'; }
    if wait_until 120 "setup: both Pis are up, with the label that a person has added" both; then pass "setup: both Pis are up, with the label that a person has added"; fi

    # Pis that want something.
    (umask 077; printf '# for tests\nbasic pi:it'\''s a "long" \\pass word\nbearer 0123456789abcdef0123\n' >"$TMP/auth")
    run agent-auth "$BINARY" "--web.listen-address=127.0.0.1:${PORTS[8]}" "--web.auth-file=$TMP/auth"
    run node python3 $HERE/fake.py "${PORTS[9]}" node
    GUARDED=127.0.0.1:${PORTS[8]}
    wait_until 120 "the agent with a password answers" get "http://$GUARDED/health" || true
    wait_until 120 "the other exporter answers" get "http://127.0.0.1:${PORTS[9]}/" || true
    before=$(find "$TMP/setup" \( -name data -o -name log \) -prune -o -type f -print0 | sort -z | xargs -0 cksum)
    step "setup: a Pi that wants a password is named as that" 1 "wants a password or a token (HTTP 401): give --password-file or --token-file" "${AGAIN[@]}" "$GUARDED"
    echo pi:wrong >"$TMP/wrong"
    step "setup: a wrong password is named as that" 1 "refuses the password of user pi (HTTP 401)" "${AGAIN[@]}" --password-file "$TMP/wrong" "$GUARDED"
    step "setup: a wrong token is named as that" 1 "refuses the token (HTTP 401)" "${AGAIN[@]}" --token-file "$TMP/wrong" "$GUARDED"
    step "setup: another service is named" 1 "node_exporter answers at http://127.0.0.1:${PORTS[9]}/metrics" "${AGAIN[@]}" "127.0.0.1:${PORTS[9]}"
    step "setup: HTTPS where there is none is named" 1 "no TLS at https://${INSTANCES[1]}/metrics" "${AGAIN[@]}" --tls "${INSTANCES[1]}"
    echo nothing >"$TMP/nothing"
    step "setup: a password without a name is bad usage" 2 "expected one line NAME:PASSWORD" "${AGAIN[@]}" --password-file "$TMP/nothing" "$GUARDED"
    step "setup: a file without a certificate is bad usage" 2 "expected a certificate in PEM form" "${AGAIN[@]}" --ca "$TMP/nothing" "$GUARDED"
    step "setup: a password without a Pi is bad usage" 2 "are for Pis that are given with them" "${AGAIN[@]}" --password-file "$TMP/auth"
    if [ "$before" = "$(find "$TMP/setup" \( -name data -o -name log \) -prune -o -type f -print0 | sort -z | xargs -0 cksum)" ]; then pass "setup: none of these changed a file"; else fail "setup: a Pi that cannot be scraped changed files"; fi
    step "setup: a Pi with a password" 0 "up: $GUARDED" "${AGAIN[@]}" --password-file "$TMP/auth" "$GUARDED"
    if grep -q '^alerting:' "$TMP/setup/prometheus.yml" && grep -q 'scrape_interval: 1s' "$TMP/setup/prometheus.yml" && grep -qx "it's a \"long\" \\\\pass word" "$TMP/setup/access/1/password" &&
        [ "$(stat -c %a "$TMP/setup/access/1/password")" = 600 ]; then pass "setup: its job is added to a file that a person has changed"; else fail "setup: its job is not added to a file that a person has changed"; fi
    step "setup: the same Pi with a token instead" 0 "up: $GUARDED" "${AGAIN[@]}" --token-file "$TMP/auth" "$GUARDED"
    if have openssl; then
        openssl req -x509 -newkey rsa:2048 -nodes -keyout "$TMP/key.pem" -out "$TMP/ca.pem" -days 2 -subj /CN=pi -addext subjectAltName=IP:127.0.0.1 2>/dev/null
        run tls python3 $HERE/fake.py "${PORTS[10]}" tls "$TMP/ca.pem" "$TMP/key.pem" "${METRICS[1]}"
        wait_until 120 "a Pi with TLS answers" get -k "https://127.0.0.1:${PORTS[10]}/" || true
        step "setup: a certificate that nobody trusts is named" 1 "does not trust the certificate at https://127.0.0.1:${PORTS[10]}/metrics" "${AGAIN[@]}" --tls "127.0.0.1:${PORTS[10]}"
        step "setup: a Pi with TLS" 0 "up: 127.0.0.1:${PORTS[10]}" "${AGAIN[@]}" --ca "$TMP/ca.pem" "127.0.0.1:${PORTS[10]}"
    else skip "setup with TLS: needs openssl"; fi
    step "setup: nothing new: every Pi is asked for, also those with a password" 1 "up: $GUARDED" "${AGAIN[@]}"
    if grep -q "^up: ${INSTANCES[0]}$" "$TMP/output" && grep -q "^DOWN: gone.invalid: .*no such host\|^DOWN: gone.invalid: .*lookup" "$TMP/output"; then
        pass "setup: a Pi that is down is named with Prometheus' reason"; else fail "setup: a Pi that is down is not named with Prometheus' reason"; tail -n 15 "$TMP/output"; fi
    one_job() { get -G --data-urlencode 'query=count by (job) (up == 1)' "http://127.0.0.1:${PORTS[6]}/api/v1/query" | grep -o '"job":"[^"]*"' | sort | uniq -c | tr -s ' ' | grep -qx ' 1 "job":"pi-monitor"'; }
    if wait_until 120 "setup: all Pis have one job name" one_job; then pass "setup: all Pis have one job name"; fi

    # A newer version of this repository, with other rules.
    mkdir "$TMP/newer"
    cp -r scripts monitoring "$TMP/newer/"
    for file in alerts recording; do echo "# newer" >>"$TMP/newer/monitoring/rules/$file.yml"; done
    echo "# newer" >>"$TMP/newer/monitoring/prometheus.yml"
    # The Pi that is down would end each of these with status 1.
    sed -i '/gone.invalid/,$d' "$TMP/setup/targets/pis.yml"
    NEWER=("$TMP/newer/scripts/monitoring-setup.sh" "${AGAIN[@]:1}")
    step "setup: a newer version says which files it left alone" 0 "$TMP/setup/rules/alerts.yml, which you have changed" "${NEWER[@]}"
    if grep -q 'for: 7m' "$TMP/setup/rules/alerts.yml" && tail -n 1 "$TMP/setup/rules/alerts.yml.new" | grep -qx '# newer' &&
        tail -n 1 "$TMP/setup/rules/recording.yml" | grep -qx '# newer' && [ ! -e "$TMP/setup/rules/recording.yml.new" ] &&
        grep -q '^alerting:' "$TMP/setup/prometheus.yml" && tail -n 1 "$TMP/setup/prometheus.yml.new" | grep -qx '# newer'; then
        pass "setup: a newer version updates what nobody has changed, and puts the rest beside it"
    else fail "setup: a newer version does not keep apart what was changed and what was not"; fi
    rm "$TMP/setup/rules/recording.yml" "$TMP/setup/rules/alerts.yml.new"
    step "setup: a file of rules that was removed stays away" 0 "recording.yml was removed and stays away" "${NEWER[@]}"
    if [ -e "$TMP/setup/rules/recording.yml" ] || [ -e "$TMP/setup/rules/alerts.yml.new" ]; then fail "setup: a removed file came back"; else pass "setup: what was removed is not written again"; fi
    step "setup: --reset writes everything anew" 0 "wrote $TMP/setup/rules/alerts.yml" "${NEWER[@]}" --reset
    if cmp -s "$TMP/newer/monitoring/rules/alerts.yml" "$TMP/setup/rules/alerts.yml" && [ -e "$TMP/setup/rules/recording.yml" ] &&
        grep -q 'for: 7m' "$TMP"/setup/backups/*-rules_alerts.yml && grep -q '^alerting:' "$TMP"/setup/backups/*-prometheus.yml && grep -q pi-monitor-access-2 "$TMP/setup/prometheus.yml"; then
        pass "setup: --reset keeps what it replaces"; else fail "setup: --reset lost something"; fi
    sed -i 's/^  - job_name: pi-monitor$/  - job_nam: x/' "$TMP/setup/prometheus.yml"
    step "setup: a mistake in prometheus.yml is named, and nothing is started with it" 1 "field job_nam not found" "${NEWER[@]}"
    step "setup: --reset repairs it" 0 "up: ${INSTANCES[0]}" "${NEWER[@]}" --reset
    step "setup: a taken port is named" 1 "port ${PORTS[3]} of this machine is taken" "${SETUP[@]}" --dir "$TMP/other" --no-service --prometheus-port "${PORTS[3]}" --platform apt --no-grafana "${INSTANCES[0]}"
    step "setup: Grafana's files are written; without Grafana it says so" 1 "no Grafana: grafana is missing" env PI_INSTALL=no "${SETUP[@]}" "${OWN[@]}" --platform apt --grafana "${INSTANCES[0]}"
    if cmp -s monitoring/grafana/dashboards/pi-monitor.json "$TMP/setup/grafana/dashboards/pi-monitor.json" &&
        [ "$(stat -c %a "$TMP/setup/grafana/admin-password")" = 600 ] && [ "$(wc -c <"$TMP/setup/grafana/admin-password")" -ge 20 ] &&
        grep -q "^provisioning = $TMP/setup/grafana/provisioning$" "$TMP/setup/grafana/grafana.ini"; then pass "setup: Grafana's configuration is in place"; else fail "setup: Grafana's configuration is not in place"; fi
    echo 'path = /grafana' >>"$TMP/setup/grafana/grafana.ini"
    echo >>"$TMP/setup/grafana/dashboards/pi-monitor.json"
    rm "$TMP/setup/grafana/dashboards/pi-monitor-fleet.json"
    before=$(cksum "$TMP"/setup/grafana/grafana.ini "$TMP"/setup/grafana/dashboards/*)
    step "setup: Grafana once more" 1 "no Grafana: grafana is missing" env PI_INSTALL=no "${AGAIN[@]}"
    if [ "$before" = "$(cksum "$TMP"/setup/grafana/grafana.ini "$TMP"/setup/grafana/dashboards/*)" ]; then pass "setup: what was changed in Grafana's files stays"; else fail "setup: what was changed in Grafana's files is lost"; fi
    # A pid file whose number belongs to another process by now.
    sleep 100 &
    stranger=$!
    PIDS+=("$stranger")
    mkdir -p "$TMP/setup/run"
    printf '%s\n%s\n' "$stranger" "Thu Jan  1 00:00:00 1970" >"$TMP/setup/run/grafana.pid"
    step "setup: --uninstall" 0 "stopping prometheus (process " "${SETUP[@]}" "${OWN[@]}" --platform apt --uninstall --purge
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
        if wait_until 120 "remote_write: every agent arrives in VictoriaMetrics" arrived; then pass "remote_write: ${#BOARDS[@]} agents arrive in VictoriaMetrics"; fi
        # The same number of series on both ways; up and what belongs to the scrape as well.
        same() { for url in "$URL" "$VICTORIA_URL"; do get -G --data-urlencode 'query=count by (instance) ({__name__=~"pi_.+|process_.+|up",job="pi-monitor"})' "$url/api/v1/query" | python3 -c '
import json, sys
print(sorted((s["metric"]["instance"], s["value"][1]) for s in json.load(sys.stdin)["data"]["result"]))'; done | uniq | wc -l | grep -qx 1; }
        if wait_until 120 "remote_write: as many series in VictoriaMetrics as in Prometheus" same; then pass "remote_write: as many series in VictoriaMetrics as in Prometheus"; fi
    else
        skip "remote_write: no victoria-metrics"
    fi
else
    skip "queries: no Prometheus"
fi
