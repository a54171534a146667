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
        printf '%s: installing playwright-core, axe-core and typescript in %s\n' "$NAME" "$cache" >&2
        mkdir -p "$cache"
        cp "$HERE/package.json" "$HERE/package-lock.json" "$cache/"
        (cd "$cache" && timeout 300 npm ci --ignore-scripts --no-audit --no-fund >&2) ||
            fail 1 "npm ci failed in $cache"
        touch "$cache/done"
    fi
    NODE_MODULES=$cache/node_modules
    export BINARY CHROMIUM NODE_MODULES
}

# old_browser: sets OLD_CHROMIUM to a Chromium 83, from an npm package that brings one,
# or to why there is none.
old_browser() {
    local package=chrome-aws-lambda-3.1.1 dir=$NODE_MODULES/../old-browser
    if [ ! -x "$dir/chromium" ] && [ "$(uname -m)" = x86_64 ]; then
        printf '%s: fetching Chromium 83 in %s\n' "$NAME" "$dir" >&2
        mkdir -p "$dir"
        (
            cd "$dir"
            timeout 200 npm pack --silent "${package/%-3.1.1/@3.1.1}" >/dev/null
            echo "f33e7655eb479c0a916adbc3d35333350f6e852dbff90b65274b471b9548b3c1  $package.tgz" | sha256sum --check --status
            tar -xzf "$package.tgz" package/bin/chromium.br
            node -e 'const fs = require("fs"); fs.writeFileSync("chromium.new", require("zlib").brotliDecompressSync(fs.readFileSync("package/bin/chromium.br")), { mode: 0o755 })'
            rm -rf package "$package.tgz"
            mv chromium.new chromium
        ) || true
    fi
    OLD_CHROMIUM=$dir/chromium
    [ -x "$OLD_CHROMIUM" ] || OLD_CHROMIUM="no Chromium 83: the npm package chrome-aws-lambda@3.1.1 could not be fetched, or this is no x86-64 machine"
    export OLD_CHROMIUM
}
