#!/usr/bin/env bash
#
# run.sh - builds the fuzz targets and runs them, one after another.
#
#   fuzz/run.sh [options] [TARGET...]
#
#   TARGET     default: all, which --list shows: each collector, and what is in fuzz/src/main.rs
#
# Options
#   --seconds N  how long each target runs (default 2)
#   --runs N     how many inputs each target gets, or --seconds if that is over first
#   --seed N     with which number inputs are made (default: another one each time)
#   --list       shows the targets, as the sources have them; builds nothing
#   -h, --help   this text
#
# With libFuzzer, which is LLVM's, on any Rust, no nightly one. The corpus is made of
# tests/boards and grows in the cache, in fuzz/corpus; an input that ends a target is kept
# in fuzz/findings there. Runs one target at a time, with one thread.
#
# Environment: XDG_CACHE_HOME; CARGO_TARGET_DIR; PI_RUST, PI_INSTALL (scripts/lib/toolchain.sh).
#
# Exit status: 0 nothing found, 1 a target was ended by an input, 2 bad usage, 3 the
# targets cannot be built here.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/../scripts/lib/toolchain.sh"

SECONDS_EACH=2 RUNS=-1 SEED=0 LIST=no TARGETS=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --list) LIST=yes ;;
    --seconds | --runs | --seed)
        [[ ${2:-} =~ ^[0-9]+$ ]] || die 2 "$1 needs a number"
        case $1 in
        --seconds) SECONDS_EACH=$2 ;;
        --runs) RUNS=$2 ;;
        *) SEED=$2 ;;
        esac
        shift ;;
    -*) die 2 "unknown option $1 (see --help)" ;;
    *) TARGETS+=("$1") ;;
    esac
    shift
done

# Prints the names of all targets: the list of collectors, and the list of what is fuzzed beside them.
targets() {
    awk '/^collectors! \{/ { on = 1; next } on && /^\}/ { exit } on { print $1 }' "$REPO/src/collect/mod.rs"
    sed -n '/^const OTHERS/,/^\];/s/^ *("\([a-z]*\)",.*/\1/p' "$REPO/fuzz/src/main.rs"
}
KNOWN=$(targets)
if [ $LIST = yes ]; then echo "$KNOWN"; exit 0; fi

find_rust
need_cc
HOST=$("$RUSTC" -vV | sed -n 's/^host: //p')
cd "$REPO/fuzz"
# What "cargo fuzz" sets, without its sanitizers, which need a nightly Rust: each branch and comparison of the agent and of what
# it is made of is counted. With --target the flags do not reach build scripts, which libFuzzer is not linked to.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# Without --locked: what the agent needs may have changed since this lock file was written, which is nothing to fail for.
"$CARGO" build --release --target "$HOST" || die 3 "the fuzz targets cannot be built here"
PROGRAM=${CARGO_TARGET_DIR:-target}/$HOST/release/pi-monitor-fuzz
BUILT=$(PI_FUZZ_LIST=1 "$PROGRAM" 2>/dev/null)
[ "$BUILT" = "$KNOWN" ] || die 1 "the program has other targets than --list shows: ${BUILT//$'\n'/ }"
[ ${#TARGETS[@]} -gt 0 ] || mapfile -t TARGETS <<<"$KNOWN"
for target in "${TARGETS[@]}"; do
    grep -qx -- "$target" <<<"$KNOWN" || die 2 "unknown target $target; known: ${KNOWN//$'\n'/ }"
done

CACHE=$PI_CACHE/fuzz
mkdir -p "$CACHE/findings"
# What the boards hold is written by the program, which knows what each target reads.
for target in "${TARGETS[@]}"; do
    mkdir -p "$CACHE/corpus/$target"
    PI_FUZZ_SEEDS=$CACHE/corpus/$target PI_FUZZ_TARGET=$target "$PROGRAM" >/dev/null 2>&1 || die 1 "no first inputs for $target"
done
mkdir -p "$CACHE"/corpus/{pattern,flags,config,routes}
printf '# HELP a_total All \\\\ of it.\n# TYPE a_total counter\na_total{x="1",y="\\"\\n"} 1.5e3\n a_total { y="" , } +Inf\n' >"$CACHE/corpus/textfile/first"
printf '# TYPE a histogram\na_bucket{le="0.5"} 1\na_bucket{le="+Inf"} 2\na_sum 1\na_count 2\n# TYPE b summary\nb{quantile="0.5"} NaN\nb_sum -.5\nb_count 007\n' >"$CACHE/corpus/textfile/second"
printf '%s\n' '^(dev|proc|run/user)($|/)' /dev/pts /proc 'run/user/1000' >"$CACHE/corpus/pattern/first"
printf '%s\n' print --format=json --path.procfs /proc --sample.interval=2s --no-collector.cpu --web.listen-address=:9100 >"$CACHE/corpus/flags/first"
printf '%s\n' --collector.disable-defaults --collector.disk '--collector.disk.fs-types-exclude=^tmpfs$' --log.level debug >"$CACHE/corpus/flags/second"
# shellcheck disable=SC2016  # a hash, not variables
printf 'tls_server_config:\n  cert_file: a.crt\n  key_file: a.key\n  client_auth_type: NoClientCert\n  min_version: TLS13\nbasic_auth_users:\n  a: "$2y$04$uPlH4W9aPHlVhRdKVk6vo.xEVS2wUSFMkKFZbTn9Wg6Yr0XM3n2pa" # x\n' >"$CACHE/corpus/config/first"
printf '# comment\nbearer 0123456789abcdef\nbasic name:password\n' >"$CACHE/corpus/config/second"
i=0
for path in / /metrics /json /health '/history?range=1h&since=4711.5' /events '/events?since=1764131123.5&limit=2&format=text' /processes /runbooks '/metrics?collect[]=cpu&collect%5b%5d=agent' /nowhere; do
    printf 'GET %s HTTP/1.1\r\nHost: localhost:9100\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5\r\nAccept-Encoding: gzip;q=1, identity\r\n' "$path" >"$CACHE/corpus/routes/$i"
    i=$((i + 1))
done
printf 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc' >"$CACHE/corpus/routes/post"
printf 'GET / HTTP/1.0\r\nIf-None-Match: "x"\r\nAuthorization: Basic eDp5\r\n' >"$CACHE/corpus/routes/old"

STATUS=0
for target in "${TARGETS[@]}"; do
    # More of a kernel file than a page is more of the same. An input may take 25 s before it counts as stuck.
    case $target in names | pattern | flags | config) longest=512 ;; *) longest=4096 ;; esac
    if PI_FUZZ_TARGET=$target "$PROGRAM" -runs="$RUNS" -seed="$SEED" -max_total_time="$SECONDS_EACH" -max_len=$longest -timeout=25 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$CACHE/findings/$target-" "$CACHE/corpus/$target" >"$CACHE/$target.log" 2>&1; then
        printf '%-10s %s inputs, %s a second, %s branches, %s MB\n' "$target" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$CACHE/$target.log")" \
            "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$CACHE/$target.log")" \
            "$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$CACHE/$target.log" | tail -n 1)" \
            "$(sed -n 's/^stat::peak_rss_mb: *//p' "$CACHE/$target.log")"
    else
        printf '%-10s FOUND: %s\n' "$target" "$(grep -m1 -A1 -E 'panicked at|ERROR: libFuzzer' "$CACHE/$target.log" | tr '\n' ' ')"
        sed -n 's/.*Test unit written to /           /p' "$CACHE/$target.log"
        STATUS=1
    fi
    rm -rf "/dev/shm/pi-monitor-fuzz-"*
done
exit $STATUS
