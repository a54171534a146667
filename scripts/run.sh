#!/usr/bin/env bash
#
# run.sh - builds pi-monitor for this machine and runs it in the foreground.
#
#   scripts/run.sh [AGENT FLAGS]
#
# Installs what is missing after saying so: Rust and a C linker. Then look at
# http://localhost:9100/ ; Ctrl-C ends it. Everything on the command line goes to
# pi-monitor: "scripts/run.sh print" writes one collection. --help and -h answer at
# once: this text and pi-monitor's flags.
#
# Environment: PI_RUST, PI_INSTALL, XDG_CACHE_HOME (see scripts/lib/toolchain.sh).
#
# Exit status: pi-monitor's; 1 if it could not be built.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/lib/toolchain.sh"

# The commands, and the flags of all of them, are generated from the code.
reference=$REPO/docs/flags.md
# shellcheck disable=SC2016  # the backquotes are Markdown's
names=" $(sed -n '/^## Commands/,$s/^| `\([a-z]*\).*/\1/p' "$reference" | tr '\n' ' ')"
# The command, whether to listen, and the addresses.
command=serve help=no wait=no addresses=() expect=no
for argument in "$@"; do
    if [ $expect = yes ]; then
        addresses+=("$argument")
        expect=no
        continue
    fi
    case $argument in
    -h | --help) help=yes ;;
    --version) command=version ;;
    --web.listen-address) expect=yes ;;
    --web.listen-address=*) addresses+=("${argument#*=}") ;;
    --web.wait-for-address) wait=yes ;;
    *) case $names in *" $argument "*) command=$argument ;; esac ;;
    esac
done
[ ${#addresses[@]} -gt 0 ] || addresses=(:9100)

if [ $help = yes ]; then
    usage
    printf '\npi-monitor [COMMAND] [FLAGS]; the commands, serve being the default:\n\n'
    # shellcheck disable=SC2016  # the backquotes are Markdown's
    sed -n '/^## Commands/,$s/^| `\(.*\)` *| *\(.*[^ ]\) *|$/  \1\n        \2/p' "$reference"
    printf '\nIts flags:\n\n'
    # The rows of the first table, as text.
    # shellcheck disable=SC2016  # the backquotes are Markdown's
    sed -n '/^## /q;s/\\|/\a/g;s/^| `\(-.*\)` *| *\([^|]*[^| ]\)\{0,1\} *| *\(.*[^ ]\) *|$/  \1\n        \3 (default \2)/p' "$reference" |
        sed 's/ (default )$//;s/`//g;s/\a/|/g'
    exit 0
fi
[ "$(uname -s)" = Linux ] || die 1 "pi-monitor reads Linux's /proc and /sys; on $(uname -s) use scripts/build.sh and scripts/deploy.sh"

# Whether somebody accepts connections on ADDRESS:PORT of this machine.
taken() {
    local host=${1%:*}
    host=${host#[} host=${host%]}
    case $host in '' | 0.0.0.0 | ::) host=127.0.0.1 ;; esac
    case ${1##*:} in '' | 0 | *[!0-9]*) return 1 ;; esac
    (exec 3<>"/dev/tcp/$host/${1##*:}") 2>/dev/null
}
# Better now than after a long build.
if [ "$command" = serve ] && [ $wait = no ]; then
    for address in "${addresses[@]}"; do
        taken "$address" || continue
        owner=$(ss -Hltnp "sport = :${address##*:}" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)".*/\1/p' | head -n 1) || owner=
        free=${address##*:}
        while taken "${address%:*}:$free"; do free=$((free + 1)); done
        die 1 "port ${address##*:} is taken${owner:+ by $owner}; use: scripts/run.sh --web.listen-address=${address%:*}:$free"
    done
fi

find_rust
need_cc
say "building pi-monitor with Rust $RUST_VERSION"
# Cargo itself says where the program is: its folder depends on the user's settings.
messages=$(cd "$REPO" && ticking "building" "$CARGO" build --release --locked --bin pi-monitor --message-format=json-render-diagnostics) ||
    die 1 "the build failed"
program=$(printf '%s\n' "$messages" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$program" ] || die 1 "cargo did not say where it put pi-monitor"

if [ "$command" = serve ]; then
    # Where to look: the last address given, and by name if it is any or this machine's own.
    address=${addresses[${#addresses[@]} - 1]}
    case $address in
    :* | 0.0.0.0:* | \[::\]:* | 127.0.0.1:*) address=localhost:${address##*:} ;;
    esac
    say "look at http://$address/ (Ctrl-C ends it)"
fi
exec "$program" "$@"
