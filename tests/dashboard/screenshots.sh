#!/usr/bin/env bash
#
# screenshots.sh - makes the pictures of the README and the documentation: the page that
# the agent serves, in a real Chromium, with the synthetic data of the mock agent, and the
# page of an agent that sees a real incident (as root only).
#
#   tests/dashboard/screenshots.sh [options] [BINARY [FOLDER]]
#
#   BINARY     the agent (default target/release/pi-monitor)
#   FOLDER     where the pictures go (default docs/images)
#
# Options
#   -h, --help this text
#
# Needs Chromium, Node 20 and npm. Ends within 5 minutes, whatever hangs.
#
# Environment: see setup.sh.
#
# Exit status: 0 done, 1 failed, 2 bad usage or something is missing.
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
exec timeout -k 10 300 node "$HERE/screenshots.mjs" "${2:-$REPO/docs/images}"
