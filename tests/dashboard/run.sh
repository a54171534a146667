#!/usr/bin/env bash
#
# run.sh - tests the dashboard in a real Chromium: against the agent itself, and, for
# states that an agent cannot easily be brought into, against a mock agent that serves
# the agent's own page.
#
#   tests/dashboard/run.sh [options] [BINARY] [PATTERN]
#
#   BINARY     the agent (default target/release/pi-monitor)
#   PATTERN    only the tests whose names match this regular expression
#
# Options
#   -h, --help this text
#
# Needs Chromium, Node 20 and npm. Ends within 20 minutes, whatever hangs. The last
# line is always: N passed, N failed, N skipped
#
# Environment: see setup.sh; PAGE=sources: the page as it is in src/dashboard, for tests
# with the mock agent.
#
# Exit status: 0 no test failed, 1 a test failed, 2 bad usage or something is missing.
set -euo pipefail
# shellcheck source=tests/dashboard/setup.sh
. "$(dirname "$0")/setup.sh"

case ${1:-} in
    -h | --help)
        help
        exit 0
        ;;
    -*) fail 2 "unknown option $1; see --help" ;;
esac
prepare "${1:-}"
old_browser
status=0
timeout -k 10 2300 node "$HERE/test.mjs" "${2:-}" || status=$?
case $status in
    0 | 1) exit $status ;;
    *)
        echo "0 passed, 1 failed, 0 skipped"
        exit 1
        ;;
esac
