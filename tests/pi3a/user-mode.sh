#!/bin/bash
#
# user-mode.sh - smoke tests of binaries for CPUs that no emulated board here has,
# in QEMU's user mode: --version, print, /health, /metrics, /json, /, SIGTERM.
#
#   tests/pi3a/user-mode.sh [BINARY ARCH]...
#
#   BINARY ARCH   a static pi-monitor and its CPU: armv7, armv6, riscv64, aarch64 or
#                 x86_64; default: dist's for armv7, armv6 and riscv64. ARCH decides
#                 which CPU is emulated: armv6 is a Pi Zero's ARM1176, so an
#                 instruction that it does not have ends the program.
#   -h, --help    this text
#
# One line per binary, then "N passed, N failed, N skipped". The checks
# themselves are scripts/lib/smoke.sh's.
#
# Exit status: 0 nothing failed and something passed, 1 otherwise, 2 wrong usage.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
REPOSITORY=$(cd "$HERE/../.." && pwd)
export PROGRAM=user-mode
# shellcheck source=tests/pi3a/lib/report.sh
. "$HERE/lib/report.sh"

case ${1:-} in
    -h | --help)
        sed -n '3,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "$0"
        exit 0
        ;;
esac
if [ $(($# % 2)) != 0 ]; then
    note "error: arguments come in pairs, BINARY ARCH; see --help"
    exit 2
fi
if [ $# = 0 ]; then
    for arch in armv7 armv6 riscv64; do set -- "$@" "$REPOSITORY/dist/pi-monitor-$arch" "$arch"; done
fi
while [ $# -gt 0 ]; do
    binary=$1 arch=$2
    shift 2
    case $arch in
        armv6 | armv7) qemu=qemu-arm-static machine=2800 ;;
        riscv64) qemu=qemu-riscv64-static machine=f300 ;;
        aarch64) qemu=qemu-aarch64-static machine=b700 ;;
        x86_64) qemu=qemu-x86_64-static machine=3e00 ;;
        *)
            note "error: unknown CPU '$arch'"
            exit 2
            ;;
    esac
    if [ ! -f "$binary" ]; then
        skip "$arch in user mode" "there is no $binary; scripts/build.sh $arch makes it"
    elif [ "$(od -An -tx1 -j18 -N2 "$binary" | tr -d ' \n')" != $machine ]; then
        fail "$arch in user mode" "$binary is for another CPU"
    elif [ "$(uname -m)" != "$arch" ] && ! command -v $qemu >/dev/null; then
        skip "$arch in user mode" "there is no $qemu (Debian package qemu-user-static)"
    elif words=$(timeout -k 5 180 "$REPOSITORY/scripts/lib/smoke.sh" "$arch" "$binary" 2>&1); then
        pass "$arch in user mode" "$words"
    else
        fail "$arch in user mode" "$words"
    fi
done
report_end
