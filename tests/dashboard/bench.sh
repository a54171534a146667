#!/usr/bin/env bash
#
# bench.sh - measures the dashboard in a real Chromium and prints each budget beside
# its measured value.
#
#   tests/dashboard/bench.sh [options] [BINARY]
#
#   BINARY     the agent (default target/release/pi-monitor)
#
# Options
#   --quick    measures for one minute instead of five where something grows with time
#   -h, --help this text
#
# Needs Chromium, Node 20 and npm. Ends within 15 minutes, whatever hangs.
#
# Environment: see setup.sh.
#
# Exit status: 0 every budget holds, 1 one does not, 2 bad usage or something is missing.
set -euo pipefail
# shellcheck source=tests/dashboard/setup.sh
. "$(dirname "$0")/setup.sh"

minutes=5
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            help
            exit 0
            ;;
        --quick) minutes=1 ;;
        -*) fail 2 "unknown option $1; see --help" ;;
        *) break ;;
    esac
    shift
done
prepare "${1:-}"
exec timeout -k 10 900 node "$HERE/bench.mjs" "$minutes"
