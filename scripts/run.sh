#!/usr/bin/env bash
#
# run.sh - builds pi-monitor for this machine and runs it in the foreground.
#
#   scripts/run.sh [AGENT FLAGS]
#
# Installs what is missing after saying so: Rust and a C linker. Then look at
# http://localhost:9100/ ; Ctrl-C ends it. All flags go to pi-monitor, so
# "scripts/run.sh --help" shows pi-monitor's; -h alone shows this text.
#
# Environment: PI_RUST, PI_INSTALL, XDG_CACHE_HOME (see scripts/lib/toolchain.sh).
#
# Exit status: pi-monitor's; 1 if it could not be built.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/lib/toolchain.sh"

if [ "$*" = -h ]; then
    usage
    exit 0
fi
[ "$(uname -s)" = Linux ] || die 1 "pi-monitor reads Linux's /proc and /sys; on $(uname -s) use scripts/build.sh and scripts/deploy.sh"

find_rust
need_cc
say "building pi-monitor with Rust $RUST_VERSION"
# Cargo itself says where the program is: its folder depends on the user's settings.
messages=$(cd "$REPO" && "$CARGO" build --release --locked --bin pi-monitor --message-format=json-render-diagnostics) ||
    die 1 "the build failed"
program=$(printf '%s\n' "$messages" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$program" ] || die 1 "cargo did not say where it put pi-monitor"

# Where to look: the last address given, and by name if it is any or this machine's own.
address=:9100 expect=no
for argument in "$@"; do
    if [ $expect = yes ]; then address=$argument expect=no; fi
    case $argument in
    --web.listen-address) expect=yes ;;
    --web.listen-address=*) address=${argument#*=} ;;
    esac
done
case $address in
:* | 0.0.0.0:* | \[::\]:* | 127.0.0.1:*) address=localhost:${address##*:} ;;
esac
case " $* " in
*" print "* | *" --help "* | *" --version "*) ;;
*) say "look at http://$address/ (Ctrl-C ends it)" ;;
esac
exec "$program" "$@"
