#!/bin/bash
#
# test.sh - tests what packages Pi-Monitor: the systemd unit, the Debian package,
# the Containerfile, and scripts/deploy.sh on each init system, in containers.
#
#   packaging/test.sh [options] [BINARY...]
#
#   BINARY           static pi-monitor; default: all of dist/pi-monitor-*. Each is
#                    packaged. One for this host's own CPU is also run, under a real
#                    systemd, OpenRC, sysvinit and BusyBox init; if none is named,
#                    dist's is taken.
#   -o, --only NAME  only this group of checks; may be repeated:
#                    unit lines flags deb systemd handover deploy openrc sysvinit busybox image
#   -k, --keep DIR   keep the logs in DIR
#   -h, --help       this text
#
# The containers are systemd-nspawn's, with a network of their own; nothing of
# the host is changed. They need root, and Debian trees that debootstrap makes
# once, in ${XDG_CACHE_HOME:-~/.cache}/pi-monitor/packaging (about 600 MB). What
# this host cannot do is reported as skipped, with the reason.
#
# One line per check, then "N passed, N failed, N skipped".
#
# Exit status: 0 nothing failed, 1 a check failed, 2 wrong usage.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

HERE=$(cd "$(dirname "$0")" && pwd)
REPOSITORY=$(dirname "$HERE")
export PROGRAM=packaging
# shellcheck source=scripts/lib/elf.sh
. "$REPOSITORY/scripts/lib/elf.sh"
# shellcheck source=tests/pi3a/lib/report.sh
. "$REPOSITORY/tests/pi3a/lib/report.sh"
# shellcheck source=tests/pi3a/deploy/binaries.sh
. "$REPOSITORY/tests/pi3a/deploy/binaries.sh"
# shellcheck source=packaging/test/containers.sh
. "$HERE/test/containers.sh"

# Mounts of its own: what is mounted below is gone when this ends, however it ends.
if [ "$(id -u)" = 0 ] && [ -z "${PACKAGING_TEST_MOUNTS:-}" ] && command -v unshare >/dev/null; then
    PACKAGING_TEST_MOUNTS=own exec unshare --mount --propagation private "$0" "$@"
fi

GROUPS_ALL='unit lines flags deb systemd handover deploy openrc sysvinit busybox image'

usage() { sed -n '3,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "$0"; }
die() {
    note "error: $2"
    exit "$1"
}

ONLY='' KEEP='' BINARIES=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        -o | --only)
            case " $GROUPS_ALL " in *" ${2:-} "*) ;; *) die 2 "no such group: '${2:-}' ($GROUPS_ALL)" ;; esac
            ONLY="$ONLY $2"
            shift
            ;;
        -k | --keep) [ -n "${2:-}" ] || die 2 "$1 needs a directory"; KEEP=$2; shift ;;
        -*) die 2 "unknown option '$1'; see --help" ;;
        *) [ -f "$1" ] || die 2 "no such file: $1"; BINARIES+=("$1") ;;
    esac
    shift
done
if [ ${#BINARIES[@]} = 0 ]; then
    for f in "$REPOSITORY"/dist/pi-monitor-{aarch64,armv6,armv7,riscv64,x86_64}; do
        [ ! -f "$f" ] || BINARIES+=("$f")
    done
fi
[ ${#BINARIES[@]} -gt 0 ] || die 2 "no binary is named, and dist has none (scripts/build.sh makes them)"

# The one that this host can run.
NATIVE=''
for f in "${BINARIES[@]}" "$REPOSITORY/dist/pi-monitor-$(uname -m)"; do
    if [ -z "$NATIVE" ] && [ -f "$f" ] && [ "$(elf_cpu "$f")" = "$(uname -m)" ]; then NATIVE=$(realpath "$f"); fi
done

RUN=$(mktemp -d "${TMPDIR:-/tmp}/pi-monitor-packaging.XXXXXX")
# shellcheck disable=SC2317  # called by trap
cleanup() {
    local status=$?
    trap - EXIT
    container_stop || true
    roots_away
    if [ -n "$KEEP" ] && mkdir -p "$KEEP"; then cp "$RUN"/*.log "$RUN"/*.txt "$KEEP/" 2>/dev/null || true; fi
    rm -rf "$RUN"
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

FIRST_VERSION='' SECOND_VERSION=''
if [ -n "$NATIVE" ]; then
    FIRST_VERSION=$("$NATIVE" --version | sed -n '1s/^pi-monitor \([^ ]*\).*/\1/p')
    SECOND_VERSION=$(other_version "$FIRST_VERSION")
    make_version "$NATIVE" "$FIRST_VERSION" "$SECOND_VERSION" "$RUN/second" || die 1 "the text $FIRST_VERSION is not in $NATIVE"
fi

for group in ${ONLY:-$GROUPS_ALL}; do
    # shellcheck disable=SC1090
    . "$HERE/test/$group.sh"
    before=$((PASSED + FAILED + SKIPPED))
    "group_$group" || true # so that a failing command in it does not end this script
    [ $((PASSED + FAILED + SKIPPED)) -gt $before ] || fail "$group" "ended without a result"
    container_stop || true
    roots_away
done
report_end
