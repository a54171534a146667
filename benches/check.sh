#!/usr/bin/env bash
#
# check.sh - fails if a scrape or a tick has become dearer than it was recorded to be: in
# instructions, in allocations, in system calls or in bytes read. These can be counted
# again with the same result, which times cannot.
#
#   benches/check.sh [options]
#
# Options
#   --record    writes what is counted now to benches/recorded.tsv
#   -h, --help  this text
#
# Instructions and allocations are those of a scrape of a board of tests/boards, as callgrind
# counts them; system calls are those of a scrape of this machine, as strace counts them,
# without statfs, of which there is one for each mount. A tick's calls and bytes are those
# of this machine while nobody asks. A figure may be a tenth above
# what was recorded. Another version of Rust can make more of a difference than that:
# record.
#
# Exit status: 0 nothing became dearer, 1 something did or could not be counted, 2 bad
#   usage, 77 there are no figures for this kind of processor.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/../scripts/lib/toolchain.sh"
cd "$REPO"

RECORDED=benches/recorded.tsv
RECORD=no
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --record) RECORD=yes ;;
    *) die 2 "unknown option $1 (see --help)" ;;
    esac
    shift
done
MACHINE=$(uname -m)
if [ $RECORD = no ] && ! grep -q "^$MACHINE	" $RECORDED; then
    say "no figures were recorded for $MACHINE"
    exit 77
fi
for need in strace:strace valgrind:valgrind; do need_commands "counting" "$need" || die 1 "$INSTALL_ERROR"; done
find_rust
need_cc
"$CARGO" build --release --locked
AGENT=${CARGO_TARGET_DIR:-target}/release/pi-monitor

TMP=$(mktemp -d)
SERVER=
finish() {
    trap - EXIT
    if [ -n "$SERVER" ]; then kill "$SERVER" 2>/dev/null || true; fi
    rm -rf "$TMP"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for tool in load unconfined; do cc -O2 -o "$TMP/$tool" benches/$tool.c; done

unpack_boards "$TMP/boards" pi-3a-plus || die 1 "cannot unpack tests/boards/pi-3a-plus.board"
BOARD=$TMP/boards/pi-3a-plus
ON_BOARD=("--path.procfs=$BOARD/proc" "--path.sysfs=$BOARD/sys" "--path.rootfs=$BOARD/root")
CORE=(--collector.disable-defaults --collector.cpu --collector.memory --collector.network --collector.system --collector.disk)
FEW=5 MANY=25
GAP=115000  # microseconds: longer than requests share a collection

# start COMMAND...: runs a server on a port of its own choice, with a tick every INTERVAL. Sets SERVER and PORT.
INTERVAL=1h
start() {
    : >"$TMP/log"
    "$@" --web.listen-address=127.0.0.1:0 --sample.interval=$INTERVAL 2>"$TMP/log" >/dev/null &
    SERVER=$!
    local tries
    for tries in $(seq 300); do
        PORT=$(sed -n 's|.*listening on http://127\.0\.0\.1:\([0-9]*\)/.*|\1|p' "$TMP/log")
        if [ -n "$PORT" ]; then return; fi
        if [ "$tries" = 300 ] || ! kill -0 "$SERVER" 2>/dev/null; then break; fi
        sleep 0.1
    done
    cat "$TMP/log" >&2
    die 1 "the agent did not start: $*"
}

stop() {
    kill "$SERVER"
    wait "$SERVER" || true
    SERVER=
}

# counted SCRAPES FLAG...: prints instructions and allocations of the agent's whole life.
counted() {
    local scrapes=$1
    shift
    start "$TMP/unconfined" valgrind --tool=callgrind --callgrind-out-file="$TMP/calls" "$AGENT" "$@"
    "$TMP/load" scrape "$PORT" /metrics 1 "$scrapes" $GAP >/dev/null
    stop
    # A function's name is there once, at its number's first use.
    awk '/^c?fn=/ { match($0, /\([0-9]+\)/); id = substr($0, RSTART, RLENGTH)
                    rest = substr($0, RSTART + RLENGTH + 1); if (rest != "") name[id] = rest
                    if (/^cfn=/) callee = name[id] }
         /^calls=/ { split(substr($0, 7), part, " ")
                     if (callee ~ /^(malloc|calloc|realloc|posix_memalign|aligned_alloc)('"'"'.*)?$/) allocations += part[1] }
         /^(summary|totals): / { instructions = $2 }
         END { if (!instructions) exit 1; print instructions, allocations + 0 }' "$TMP/calls"
}

# each WHAT FLAG...: prints lines of what, and how many of it a scrape takes.
each() {
    local what=$1 few many
    shift
    few=$(counted $FEW "$@")
    many=$(counted $MANY "$@")
    echo "$few $many" | awk -v what="$what" -v scrapes=$((MANY - FEW)) '{
        printf "instructions, %s\t%d\nallocations, %s\t%.1f\n", what, ($3 - $1) / scrapes, what, ($4 - $2) / scrapes }'
}

# calls WHAT FLAG...: the same of system calls.
calls() {
    local what=$1 tracer
    shift
    start "$AGENT" "$@"
    "$TMP/load" scrape "$PORT" /metrics 1 2 $GAP >/dev/null
    strace -fcq -o "$TMP/strace" -p "$SERVER" 2>/dev/null &
    tracer=$!
    sleep 0.7
    # Beside the scrapes a connection is accepted and closed; with so many of them it does not count.
    "$TMP/load" scrape "$PORT" /metrics 1 60 $GAP >/dev/null
    kill -INT $tracer
    wait $tracer || true
    stop
    # The column of errors may be empty. Left apart: what depends on the machine's mounts, and on whether its processes have
    # to be listed (in a process namespace).
    awk -v what="$what" '$NF == "total" { all = $4 } $NF ~ /^(f?statfs(64)?|getdents64|lseek)$/ { apart += $4 }
        END { if (!all) exit 1; printf "system calls, %s\t%.1f\n", what, (all - apart) / 60 }' "$TMP/strace"
}

# ticks: prints the system calls of a tick, and the bytes that it reads, while nobody asks. Nor does the agent look at processes,
# which a busy machine makes it do; how often other things wake it is left apart, too.
ticks() {
    local tracer
    INTERVAL=100ms
    start "$AGENT" --no-collector.processes
    INTERVAL=1h
    sleep 1
    strace -q -o "$TMP/strace" -p "$SERVER" 2>/dev/null &
    tracer=$!
    sleep 6
    kill -INT $tracer
    wait $tracer || true
    stop
    # A tick begins with what its timer says, a number of eight bytes.
    awk '/^read\([0-9]+, "\\[0-9]+\\0\\0\\0\\0\\0\\0\\0", 8\) += 8/ { ticks++ }
        !/^epoll_pwait/ { calls++ } /^p?read(64)?\(/ { bytes += $NF }
        END { if (ticks < 20) exit 1; printf "system calls, a tick\t%.1f\nbytes read, a tick\t%d\n", calls / ticks + 1, bytes / ticks }' "$TMP/strace"
}

{
    each "five collectors" "${ON_BOARD[@]}" "${CORE[@]}"
    each "everything" "${ON_BOARD[@]}"
    each "dialect node" "${ON_BOARD[@]}" --metrics.dialect=node
    calls "five collectors" "${CORE[@]}"
    calls "dialect node" --metrics.dialect=node --no-collector.processes
    ticks
} >"$TMP/now"
VERSION=$("$RUSTC" --version | cut -d' ' -f2)

if [ $RECORD = yes ]; then
    {
        printf '# What a scrape or a tick may take, with Rust %s. Written by benches/check.sh --record.\n' "$VERSION"
        { grep -v -e '^#' -e "^$MACHINE	" $RECORDED 2>/dev/null || true; sed "s/^/$MACHINE	/" "$TMP/now"; }
    } >"$TMP/recorded"
    cp "$TMP/recorded" $RECORDED
    cat $RECORDED
    exit
fi
DEARER=0
while IFS=$'\t' read -r what now; do
    then=$(awk -F'\t' -v machine="$MACHINE" -v what="$what" '$1 == machine && $2 == what { print $3 }' $RECORDED)
    [ -n "$then" ] || die 1 "nothing was recorded for: $what (see --record)"
    case $(awk -v now="$now" -v then="$then" 'BEGIN { print (now > then * 1.1) ? "dearer" : (now < then * 0.9) ? "cheaper" : "same" }') in
    dearer) verdict="DEARER by more than a tenth" DEARER=$((DEARER + 1)) ;;
    cheaper) verdict="cheaper by more than a tenth: benches/check.sh --record keeps it so" ;;
    *) verdict="good" ;;
    esac
    printf '%-34s %10s, recorded %10s  %s\n' "$what" "$now" "$then" "$verdict"
done <"$TMP/now"
[ $DEARER = 0 ] || die 1 "$DEARER of these became dearer (Rust $VERSION; $(sed -n '1s/.*with \(Rust [0-9.]*[0-9]\).*/recorded with \1/p' $RECORDED))"
