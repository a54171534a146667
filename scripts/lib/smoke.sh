#!/usr/bin/env bash
#
# smoke.sh - runs a static binary of another CPU through QEMU's user mode (or
# directly, where it is this machine's own) and checks what it says.
#
#   scripts/lib/smoke.sh TARGET BINARY
#
#   TARGET   aarch64, armv7, armv6, riscv64 or x86_64: decides which CPU is emulated,
#            so that instructions which, say, a Pi Zero does not have end the program
#
# Checks: --version; print in every format; /health, /metrics, /json and / over HTTP;
# memory that only the start writes is read-only (RELRO); the end on SIGTERM with
# status 0. With promtool in PATH, what it says of /metrics.
#
# Exit status: 0 all is well, 1 something is not, 2 bad usage.
set -euo pipefail

[ $# = 2 ] || { echo "usage: smoke.sh TARGET BINARY" >&2; exit 2; }
TARGET=$1 BINARY=$2
die() { echo "smoke.sh: $TARGET: $*" >&2; exit 1; }

case $TARGET in
aarch64) RUN=(qemu-aarch64-static -cpu cortex-a53) ;;
armv7) RUN=(qemu-arm-static -cpu cortex-a7) ;;
armv6) RUN=(qemu-arm-static -cpu arm1176) ;;
riscv64) RUN=(qemu-riscv64-static) ;;
x86_64) RUN=(qemu-x86_64-static) ;;
*) echo "smoke.sh: unknown target $TARGET" >&2; exit 2 ;;
esac
if [ "$(uname -m)" = "$TARGET" ]; then RUN=(); fi
[ ${#RUN[@]} = 0 ] || command -v "${RUN[0]}" >/dev/null || die "needs ${RUN[0]} (package qemu-user-static)"
[ -x "$BINARY" ] || die "no program $BINARY"

DIR=$(mktemp -d)
PID=
trap 'status=$?; [ -z "$PID" ] || kill -9 "$PID" 2>/dev/null || true; rm -rf "$DIR"; exit $status' EXIT
agent() { timeout -k 5 60 ${RUN[@]+"${RUN[@]}"} "$BINARY" "$@"; }

agent --version >"$DIR/version" || die "--version ended with status $?"
grep -q '^pi-monitor [0-9]' "$DIR/version" || die "--version says: $(head -n 1 "$DIR/version")"
for format in prometheus json table; do
    agent print --format "$format" >"$DIR/$format" || die "print --format $format ended with status $?"
    [ -s "$DIR/$format" ] || die "print --format $format printed nothing"
done

# Port 0 lets the kernel choose; the agent says which.
${RUN[@]+"${RUN[@]}"} "$BINARY" --web.listen-address=127.0.0.1:0 2>"$DIR/log" &
PID=$!
url=''
for _ in $(seq 200); do
    url=$(sed -n 's|.*\(http://127.0.0.1:[0-9]*\)/.*|\1|p' "$DIR/log" | head -n 1)
    [ -z "$url" ] || break
    kill -0 $PID 2>/dev/null || { PID=; die "ended at once: $(tail -n 3 "$DIR/log")"; }
    sleep 0.1
done
[ -n "$url" ] || die "did not say within 20 s where it listens: $(tail -n 3 "$DIR/log")"
get() { curl -fsS --noproxy '*' --max-time 20 "$url$1"; }
[ "$(get /health)" = ok ] || die "/health does not answer ok"
get /metrics >"$DIR/metrics" || die "/metrics does not answer"
grep -q '^pi_monitor_build_info{' "$DIR/metrics" || die "/metrics has no pi_monitor_build_info"
grep -q '^pi_collector_up{collector="cpu"} 1' "$DIR/metrics" || die "collector cpu is not up"
get /json >"$DIR/json" || die "/json does not answer"
grep -q '"memory"' "$DIR/json" || die "/json has no memory"
get / >"$DIR/page" || die "/ does not answer"
grep -qi '<!doctype' "$DIR/page" || die "/ is no page"
# Of its file, only the last part can be written: what the start filled in is read-only afterwards (RELRO).
parts=$(grep -c " rw-p .* $(realpath "$BINARY")\$" "/proc/$PID/maps" || true)
[ "$parts" = 1 ] || die "$parts mappings of the program can be written, must be 1"
if command -v promtool >/dev/null; then
    said=$(promtool check metrics <"$DIR/metrics" 2>&1) || die "promtool: $said"
    [ -z "$said" ] || die "promtool: $said"
fi
kill -TERM "$PID"
status=0
wait "$PID" || status=$?
PID=
[ $status = 0 ] || die "SIGTERM: ended with status $status"
echo "$TARGET: $(cat "$DIR/version"), $(grep -vc '^#' "$DIR/metrics") samples"
