#!/usr/bin/env bash
#
# first-collector.sh - does what CONTRIBUTING.md's "Your first collector" says, in a
# copy of the repository, and looks for the new collector in every output.
#
#   tests/first-collector.sh
#
# Exit status: 0 it is everywhere it should be; 1 otherwise; 2 bad usage.
set -euo pipefail
case ${1:-} in
'') ;;
-h | --help) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
*) echo "first-collector.sh: it takes no arguments" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
pid=
trap 'kill $pid 2>/dev/null || true; rm -rf "$copy"' EXIT
# Files as they are in the working tree.
git ls-files -z | xargs -0 cp -a --parents -t "$copy" 2>/dev/null || { echo "first-collector.sh: cannot copy the repository to $copy" >&2; exit 1; }
target=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR=$target/first-collector
# What was compiled of dependencies is compiled no second time.
if [ -d "$target/debug/.fingerprint" ] && [ ! -d "$CARGO_TARGET_DIR" ]; then
    mkdir -p "$CARGO_TARGET_DIR/debug/deps"
    cp -a "$target/debug/.fingerprint" "$target/debug/build" "$CARGO_TARGET_DIR/debug/"
    find "$target/debug/deps" -type f ! -name '*pi_monitor*' \( -name '*.r*' -o -name '*.so' -o -name '*.d' \) -exec cp -a -t "$CARGO_TARGET_DIR/debug/deps" {} +
fi
cd "$copy"
git init -q . && git add -A .

fail() { echo "first-collector.sh: $*" >&2; exit 1; }

# The file: the first Rust block of the section, without its indentation.
awk '/^## Your first collector/ { on = 1 } on && /```rust/ { code = 1; next } code && /```/ { exit } code' CONTRIBUTING.md |
    sed 's/^   //' >src/collect/pty.rs
grep -q 'pub static COLLECTOR' src/collect/pty.rs || fail "CONTRIBUTING.md has no collector in it"
# The line: at the end of the list.
awk '/^collectors! \{/ { list = 1 } list && /^\}/ { print "    pty"; list = 0 } { print }' src/collect/mod.rs >list && mv list src/collect/mod.rs
# What a board's kernel prints.
printf '%s\n' '-- proc/sys/kernel/pty/nr --' 3 >>tests/boards/vm.board

changed=$(git diff --name-only)
[ "$changed" = "src/collect/mod.rs
tests/boards/vm.board" ] || fail "more than one file had to be changed: $changed"

# Tests run side by side: one may read what another is just writing. What counts is how it is afterwards.
BLESS=1 cargo test --quiet --locked --test laws >laws.log 2>&1 || true
cargo test --quiet --locked --test laws >laws.log 2>&1 || { cat laws.log >&2; fail "the laws do not hold"; }
cargo test --quiet --locked --lib collect::pty >unit.log 2>&1 || { cat unit.log >&2; fail "its own tests fail"; }
agent=$CARGO_TARGET_DIR/debug/pi-monitor
cargo build --quiet --locked
# The served pages, of an agent in its sandbox: what needs names is all that it may open.
: >agent.log
"$agent" --web.listen-address 127.0.0.1:0 2>>agent.log &
pid=$!
for _ in {1..100}; do
    port=$(sed -n 's|.*listening on http://127\.0\.0\.1:\([0-9]*\)/.*|\1|p' agent.log)
    [ -z "$port" ] || break
    sleep 0.1
done
[ -n "$port" ] || { cat agent.log >&2; fail "the agent does not listen"; }
get() { # PATH: the body of an answer
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3
    sed '1,/^\r$/d' <&3
    exec 3<&-
}
open=$(cat /proc/sys/kernel/pty/nr)
get /metrics >metrics.out
get /json >json.out
"$agent" print --collector.disable-defaults --collector.pty --sample.interval 100ms >table.out
grep -q "^pi_pty_open $open\$" metrics.out || fail "it is not in /metrics"
grep -q '^pi_collector_up{collector="pty"} 1$' metrics.out || fail "its health is not in /metrics"
grep -q "\"pty\":{\"open\":$open}" json.out || fail "it is not in /json"
grep -q "^PTY" table.out || fail "it is not in the table"
# shellcheck disable=SC2016  # the backquotes are Markdown's
grep -q '| `pi_pty_open` |' docs/metrics.md || fail "it is not in docs/metrics.md"
# shellcheck disable=SC2016
grep -q '| `pty` |' docs/flags.md || fail "it is not in docs/flags.md"
grep -q '^pi_pty_open 3$' tests/goldens/vm.txt || fail "it is not in the golden output of the board"
fuzz/run.sh --list >targets.out
# shellcheck disable=SC2016
grep -q 'kernel/pty/nr`, read by the collector `pty`' docs/understand/kernel-machine.md || fail "its source is not in the book"
grep -qx pty targets.out || fail "it is not among the fuzz targets"
echo "the first collector of CONTRIBUTING.md works: one file, one line"
