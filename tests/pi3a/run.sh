#!/bin/bash
#
# run.sh - all checks of a binary on an emulated Raspberry Pi 3A+.
#
#   tests/pi3a/run.sh [options] [BINARY]
#
#   BINARY            static aarch64 pi-monitor, default dist/pi-monitor-aarch64
#   -p, --part PART   agent or deploy; default: both, at the same time
#                       agent    the binary in a RAM system; checks/LIST
#                       deploy   scripts/deploy.sh over SSH; deploy/LIST
#   -k, --keep DIR    keep the serial logs and /metrics in DIR
#   -r, --refresh     look for newer Debian packages even if the cache is complete
#   -h, --help        this text
#
# The machine is QEMU's raspi3ap: 4 Cortex-A53, 512 MB, SD card, USB network,
# with Debian's arm64 kernel, BusyBox and, for "deploy", Dropbear. They are
# fetched once (about 80 MB) into ${XDG_CACHE_HOME:-~/.cache}/pi-monitor/pi3a.
# README.md in this folder says how it works.
#
# One line per check, then "N passed, N failed, N skipped".
#
# Exit status
#   0   nothing failed
#   1   a check failed, or the machine did not come up
#   2   wrong usage
#   3   this host lacks a program, or the downloads could not be had
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

HERE=$(cd "$(dirname "$0")" && pwd)
REPOSITORY=$(cd "$HERE/../.." && pwd)
export PROGRAM=pi3a
for part in report cache image machine http; do
    # shellcheck disable=SC1090
    . "$HERE/lib/$part.sh"
done

usage() { sed -n '3,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; }
die() { note "error: $2"; exit "$1"; }

PARTS='' BINARY='' KEEP='' REFRESH=0
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        -p | --part)
            case ${2:-} in agent | deploy) PARTS="${PARTS/ $2/} $2" ;; *) die 2 "no such part: '${2:-}' (agent, deploy)" ;; esac
            shift ;;
        -k | --keep) [ -n "${2:-}" ] || die 2 "$1 needs a directory"; KEEP=$2; shift ;;
        -r | --refresh) export REFRESH=1 ;;
        -*) die 2 "unknown option '$1'; see --help" ;;
        *) [ -z "$BINARY" ] || die 2 "more than one binary: '$BINARY' and '$1'"; BINARY=$1 ;;
    esac
    shift
done
: "${PARTS:=agent deploy}" "${BINARY:=$REPOSITORY/dist/pi-monitor-aarch64}"
[ -f "$BINARY" ] || die 2 "no such file: $BINARY (scripts/build.sh aarch64 makes it)"
# ELF header: 64-bit at byte 4, machine 183 (aarch64) at byte 18.
case $(od -An -tx1 -N20 "$BINARY" | tr -d ' \n') in
    7f454c4602*b700) ;;
    *) die 2 "$BINARY is no aarch64 program" ;;
esac
BINARY=$(cd "$(dirname "$BINARY")" && pwd)/$(basename "$BINARY")

missing=''
while read -r program package; do
    command -v "$program" >/dev/null || missing="$missing $package"
done <<'NEEDS'
qemu-system-aarch64 qemu-system-arm
curl curl
jq jq
cpio cpio
depmod kmod
dtc device-tree-compiler
sfdisk fdisk
mke2fs e2fsprogs
flock util-linux
dpkg-deb dpkg
apt-get apt
ssh openssh-client
ssh-keygen openssh-client
openssl openssl
NEEDS
[ -f "$KEYRING" ] || missing="$missing debian-archive-keyring"
# shellcheck disable=SC2086  # one word per package
[ -z "$missing" ] || die 3 "missing programs; on Debian: apt-get install --no-install-recommends$(printf ' %s\n' $missing | sort -u | tr -d '\n')"

RUN=$(mktemp -d "${TMPDIR:-/tmp}/pi3a.XXXXXX")
# shellcheck disable=SC2317  # called by trap
cleanup() {
    local status=$?
    trap - EXIT
    # shellcheck disable=SC2046  # one word per process
    kill $(jobs -p) 2>/dev/null || true
    wait || true
    if [ -n "$KEEP" ] && mkdir -p "$KEEP"; then cp "$RUN"/*/*.log "$RUN"/*/*.txt "$KEEP/" 2>/dev/null || true; fi
    rm -rf "$RUN"
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cache_fill || exit 3

# --- the agent in a RAM system -----------------------------------------------

# A check reports for itself; one that reports nothing has failed.
one_check_of() { # check|case NAME
    local before=$((PASSED + FAILED + SKIPPED))
    "$1_$2" || true # so that a failing command in it does not end this script
    [ $((PASSED + FAILED + SKIPPED)) -gt $before ] || fail "${LABEL:-}$2" "ended without a result"
}

part_agent() {
    local name needs absent started=$SECONDS
    make_initramfs "$RUN/agent.gz" "$BINARY"
    make_tools "$RUN/agent.root"
    make_card "$RUN/agent.img" "$RUN/agent.root"
    if ! machine_start agent agent "$RUN/agent.gz" "$RUN/agent.img"; then
        fail "boot" "the emulated Pi did not come up; the end of its log: $(tail -n 5 "$LOG" | tr -d '\r' | tr '\n' '|')"
        return
    fi
    pass "boot" "raspi3ap, Linux $KVER, $((SECONDS - started)) s"
    scrape || { fail "GET /metrics" "no answer on the forwarded port; the agent's status: $(guest 'cat /run/agent.status; tail -n 5 /run/agent.log' || true)"; return; }
    while read -r name needs absent; do
        case $name in '' | \#*) continue ;; esac
        # shellcheck disable=SC1090
        . "$HERE/checks/$name.sh"
        machine_healthy || { fail "$name" "the machine is gone"; break; }
        if [ "$needs" = - ]; then
            one_check_of check "$name"
            continue
        fi
        if ! "guest_$name" >/dev/null; then
            fail "$name" "the emulated Pi's kernel does not offer what collector $needs reads"
            continue
        fi
        case $(collector "$needs"):$absent in
            up:*) one_check_of check "$name" ;;
            down:*) fail "$name" "collector $needs is down" ;;
            absent:skip) skip "$name" "collector $needs not in this binary" ;;
            absent:*) fail "$name" "collector $needs not in this binary" ;;
        esac
    done 3<&- <"$HERE/checks/LIST"
    machine_stop
}

# --- scripts/deploy.sh over SSH ------------------------------------------------

part_deploy() {
    # shellcheck source=tests/pi3a/deploy/part.sh
    . "$HERE/deploy/part.sh"
    deploy_part
}

# Both parts wait more than they compute: they run at the same time, each with a folder, a machine and counters of its own.
run_part() { # PART
    trap part_end EXIT
    trap 'exit 143' TERM
    RUN=$RUN/$1
    mkdir "$RUN"
    "part_$1"
    echo "$PASSED $FAILED $SKIPPED" >"$RUN/counts"
}
# shellcheck disable=SC2317  # called by trap
part_end() {
    if machine_alive; then kill "$QEMU_PID" 2>/dev/null || true; wait "$QEMU_PID" 2>/dev/null || true; fi
}
for part in $PARTS; do
    run_part "$part" &
done
wait
for part in $PARTS; do
    if ! read -r passed failed skipped <"$RUN/$part/counts"; then
        fail "$part" "ended before its last check"
        continue
    fi
    PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
done
report_end
