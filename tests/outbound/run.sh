#!/usr/bin/env bash
#
# run.sh - proves what the agent sends with the programs that receive it: Prometheus and
# VictoriaMetrics by remote write, mosquitto by MQTT, and Alertmanager, each of them also
# while it is away, refuses or hangs.
#
#   tests/outbound/run.sh [--hour] [--keep DIR] [BINARY]
#
#   BINARY   the agent; default: one that is built now
#
# Options
#   --hour      takes the servers away for an hour instead, while the supply is weak every few
#               minutes: no sample and no message of that hour may be missing, and an agent
#               that sends takes at most 900 kB more than one that does not. Up to 80 minutes,
#               with a release binary for the figures
#   --keep DIR  where the logs and data of all programs stay
#   -h, --help  this text
#
# Needs python3, mosquitto's clients, and strace where no program keeps the clock
# synchronized. The servers are taken from PATH or unpacked from Debian packages without
# installing them. What is missing is skipped and said.
#
# Ends within ten minutes, without --hour. Everything listens on 127.0.0.1 on free ports.
# The last line is "N passed, N failed, N skipped".
#
# Exit status: 0 nothing failed, 1 something did, 2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/../../scripts/lib/toolchain.sh"
cd "$REPO"
# shellcheck source=tests/outbound/programs.sh
. tests/outbound/programs.sh
KEEP='' BINARY='' CHECKS=check.py LIMIT=570
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --hour) CHECKS=hour.py LIMIT=5400 ;;
    --keep) [ $# -gt 1 ] || die 2 "--keep needs a folder"; KEEP=$2; shift ;;
    -*) die 2 "unknown option $1 (see --help)" ;;
    *) [ -z "$BINARY" ] || die 2 "one binary at most (see --help)"; BINARY=$1 ;;
    esac
    shift
done

TMP=$(mktemp -d)
# mosquitto gives root's rights up, and still has to read its files.
chmod 755 "$TMP"
PID=''
# shellcheck disable=SC2317  # called by the trap
finish() {
    local status=$?
    trap - EXIT INT TERM
    if [ -n "$PID" ]; then
        kill "$PID" 2>/dev/null || true
        wait "$PID" 2>/dev/null || true
    fi
    rm -rf "$TMP"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

have python3 || die 1 "needs python3"
find_rust
if [ -z "$BINARY" ]; then
    "$CARGO" build --locked >&2
    BINARY=target/debug/pi-monitor
fi
say "$("$BINARY" --version 2>&1 | head -n 1) ($BINARY)"

NAMES=() SKIPPED=0
for name in prometheus victoria-metrics mosquitto prometheus-alertmanager; do
    program_here "$name" && NAMES+=("$name") && continue
    SKIPPED=$((SKIPPED + 1))
    echo "skip: $name: $INSTALL_ERROR"
done
export PATH
unpack_boards "$TMP/boards" pi-5 || die 1 "cannot unpack the boards"
FOLDER=$TMP/files
if [ -n "$KEEP" ]; then FOLDER=$KEEP; fi
mkdir -p "$FOLDER"

STATUS=0
bounded "$LIMIT" python3 -B "tests/outbound/$CHECKS" "$BINARY" "$TMP/boards/pi-5" "$FOLDER" ${NAMES[@]+"${NAMES[@]}"} >"$TMP/lines" 2>&1 </dev/null &
PID=$!
wait $PID || STATUS=$?
PID=''
sed 's/^PASS /pass: /; s/^FAIL /FAIL: /; s/^NOTE /      /' "$TMP/lines"
PASSED=$(grep -c '^PASS ' "$TMP/lines" || true)
FAILED=$(grep -c '^FAIL ' "$TMP/lines" || true)
if [ $STATUS != 0 ] && [ "$FAILED" = 0 ]; then
    echo "FAIL: $CHECKS ended with status $STATUS"
    FAILED=1
fi
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
[ "$FAILED" = 0 ] && [ "$PASSED" -gt 0 ]
