#!/usr/bin/env bash
#
# memory.sh - measures the agent's memory: shortly after a first start, and with every
# ring full, as after a week, and what node_exporter's names add to it. Fails if a limit of docs/performance.md is exceeded.
#
#   benches/memory.sh [options]
#
# Options
#   --agent FILE  measures this binary instead of dist/pi-monitor-MACHINE, which is
#                 built first
#   -h, --help    this text
#
# The week is played on a clock of its own with the files of a board (examples/week.rs),
# and written to a state directory by the agent's own code; the binary reads it back, which
# fills the rings of points and of events. Then there are 150 processes, and 60 control
# groups that ran out of memory (as root, in files that the agent alone sees), and every
# page is asked for, plain and compressed. Memory is PSS of the agent and of the process
# that writes its journal. Takes three minutes.
#
# Environment: PI_RUST, PI_INSTALL, XDG_CACHE_HOME (see scripts/lib/toolchain.sh).
#
# Exit status: 0 within the limits, 1 not, or something could not be measured, 2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/../scripts/lib/toolchain.sh"
# shellcheck source=benches/agent.sh
. "$(dirname "$0")/agent.sh"
cd "$REPO"

take_options '' "$@"

need_commands "benchmarks" python3:python3 || die 1 "$INSTALL_ERROR"
need_cc
find_rust
export PATH
find_agent
PLACE=$(mktemp -d)
trap 'rm -rf "$PLACE"' EXIT
mkdir "$PLACE/week" "$PLACE/first"
cargo run --quiet --locked --example week -- tests/boards/pi-zero-2.board "$PLACE/board" "$PLACE/week"
python3 benches/memory.py "$AGENT" "$PLACE"
