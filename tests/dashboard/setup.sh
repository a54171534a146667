# shellcheck shell=bash
#
# setup.sh - what run.sh, bench.sh and screenshots.sh share: finding Chromium, Node
# and the agent, and installing the npm packages of package-lock.json in a cache.
#
# Sourced, never run.
#
# Environment
#   CHROMIUM        the browser (default: chromium, chromium-browser or google-chrome)
#   XDG_CACHE_HOME  packages go to its folder pi-monitor/dashboard (default ~/.cache)

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$HERE/../.." && pwd)
NAME=$(basename "$0")

fail() { # STATUS MESSAGE...
    local status=$1
    shift
    printf '%s: error: %s\n' "$NAME" "$*" >&2
    exit "$status"
}

# The comment at the top of a script is its help text.
help() { sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$HERE/$NAME"; }

# prepare [BINARY]: sets BINARY, CHROMIUM and NODE_MODULES.
prepare() {
    BINARY=${1:-$REPO/target/release/pi-monitor}
    [ -x "$BINARY" ] || fail 2 "no agent at $BINARY; build it with: cargo build --release"
    BINARY=$(cd "$(dirname "$BINARY")" && pwd)/$(basename "$BINARY")
    local name
    if [ -z "${CHROMIUM:-}" ]; then
        for name in chromium chromium-browser google-chrome; do
            CHROMIUM=$(command -v "$name") && break
        done
    fi
    [ -x "${CHROMIUM:-}" ] || fail 2 "no Chromium; on Debian: apt-get install chromium"
    for name in node npm; do
        command -v "$name" >/dev/null || fail 2 "no $name; on Debian: apt-get install nodejs npm"
    done
    local cache lock
    lock=$(cksum <"$HERE/package-lock.json" | tr ' ' -)
    cache=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/pi-monitor/dashboard/$lock
    if [ ! -e "$cache/done" ]; then
        printf '%s: installing playwright-core and axe-core in %s\n' "$NAME" "$cache" >&2
        mkdir -p "$cache"
        cp "$HERE/package.json" "$HERE/package-lock.json" "$cache/"
        (cd "$cache" && timeout 300 npm ci --ignore-scripts --no-audit --no-fund >&2) ||
            fail 1 "npm ci failed in $cache"
        touch "$cache/done"
    fi
    NODE_MODULES=$cache/node_modules
    export BINARY CHROMIUM NODE_MODULES
}
