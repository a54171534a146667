#!/usr/bin/env bash
#
# run.sh - measures what the agent costs beside the least that the kernel allows
# (floor.c) and beside other exporters, and writes the table in docs/performance.md.
#
#   benches/run.sh [options]
#
# Options
#   --quick       fewer rounds: for a look, not for the table, which stays as it is
#   --agent FILE  measures this binary instead of dist/pi-monitor-MACHINE, which is
#                 built first
#   -h, --help    this text
#
# All take part at the same time, asked in turn, so that a noisy machine is noisy for
# each of them. Needs cc, python3, strace, valgrind and iproute2 (installs what is
# missing after saying so), and root for the scenes with 300 interfaces and mounts,
# which are made in namespaces of their own. Debian's prometheus-node-exporter is
# unpacked in the cache, not installed. About eight minutes.
#
# Environment: PI_RUST, PI_INSTALL, XDG_CACHE_HOME (see scripts/lib/toolchain.sh).
#
# Exit status: 0 measured (whether or not the targets are reached), 1 something could
#   not be measured, 2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/../scripts/lib/toolchain.sh"
# shellcheck source=benches/agent.sh
. "$(dirname "$0")/agent.sh"
cd "$REPO"

take_options '--quick' "$@"

for need in python3:python3 strace:strace valgrind:valgrind ip:iproute2; do
    need_commands "benchmarks" "$need" || die 1 "$INSTALL_ERROR"
done
need_cc
unpacked_package prometheus-node-exporter prometheus-node-exporter || die 1 "$INSTALL_ERROR"
export PATH
find_agent
TOOLS=$(mktemp -d)
trap 'rm -rf "$TOOLS"' EXIT
for tool in floor load unconfined; do cc -O2 -o "$TOOLS/$tool" benches/$tool.c; done
python3 benches/measure.py --tools "$TOOLS" --agent "$AGENT" "${ARGUMENTS[@]}"
