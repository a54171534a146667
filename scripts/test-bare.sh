#!/usr/bin/env bash
#
# test-bare.sh - the README's two commands in a Debian that has nothing else: a root
# directory made by debootstrap, with only what its smallest variant brings.
#
#   scripts/test-bare.sh [options] [-- OPTIONS AND STEPS FOR scripts/test.sh]
#
# Options
#   --suite NAME   Debian release for the root (default: this machine's)
#   --rust WAY     PI_RUST in the root: auto (default), rustup or debian
#   --oldest       the root's Rust must be exactly the rust-version of Cargo.toml, and
#                  must also compile the benchmarks and the fuzz targets
#   --run-only     scripts/run.sh only, not scripts/test.sh
#   --keep         keep the root and say where it is
#   -h, --help     this text
#
# Clones the last commit of this repository into a fresh root, starts scripts/run.sh
# there and asks the agent from outside; then runs scripts/test.sh in the same root.
# Needs root, and a Debian host: package sources, apt's network settings, certificates
# and the settings of pip and cargo are taken from the host. All mounts are in a mount
# namespace of their own, all processes in a process namespace that ends with it.
# The fresh root is kept packed in the cache (about 100 MB); delete it there to have a
# new one made.
#
# Exit status: 0 both commands did what they must, 1 one did not, 2 bad usage, 77 this
# host cannot do it.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/lib/toolchain.sh"

# shellcheck source=/dev/null
SUITE=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
RUST=auto RUN_ONLY=no OLDEST=no KEEP=no TEST_ARGS=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --suite | --rust)
        [ $# -gt 1 ] || die 2 "$1 needs a value"
        if [ "$1" = --suite ]; then SUITE=$2; else RUST=$2; fi
        shift ;;
    --run-only) RUN_ONLY=yes ;;
    --oldest) OLDEST=yes ;;
    --keep) KEEP=yes ;;
    --) shift; TEST_ARGS=("$@"); break ;;
    *) die 2 "unknown argument $1 (see --help)" ;;
    esac
    shift
done
RUN_LIMIT=1800      # seconds from the start of run.sh to the first answer
TEST_LIMIT=5400     # for test.sh

[ "$(id -u)" = 0 ] || { say "needs root"; exit 77; }
have_apt || { say "needs a Debian host"; exit 77; }
need_commands "a bare Debian root" debootstrap:debootstrap curl:curl git:git unshare:util-linux || { say "$INSTALL_ERROR"; exit 77; }

# Debian's own package sources of this host: "URI RELEASE COMPONENT", main release first.
# The lists must have been fetched once for apt to know them.
# shellcheck disable=SC2016  # apt-get expands
SOURCES=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' "Architecture: $(dpkg --print-architecture)" |
    sed -n 's/^Debian //p' | sort -u)
HOST_SUITE=$(printf '%s\n' "$SOURCES" | awk '$2 !~ /-/ && $3 == "main" { print $2; exit }')
MIRROR=$(printf '%s\n' "$SOURCES" | awk '$2 !~ /-/ && $3 == "main" { print $1; exit }')
[ -n "$MIRROR" ] || { say "this host's apt knows no Debian sources (apt-get update?)"; exit 77; }
SUITE=${SUITE:-$HOST_SUITE}

BASE=$PI_CACHE/bare
mkdir -p "$BASE"
ROOT=$(mktemp -d "$BASE/root.XXXXXX")
chmod 755 "$ROOT"   # apt downloads as a user of its own
PID=
# shellcheck disable=SC2317  # called by the trap
finish() {
    local status=$?
    trap - EXIT
    if [ -n "$PID" ]; then kill -9 "$PID" 2>/dev/null || true; wait "$PID" 2>/dev/null || true; fi
    if [ $KEEP = yes ]; then say "the root is $ROOT"; else rm -rf --one-file-system "$ROOT"; fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ ! -f "$BASE/$SUITE.tar" ]; then
    say "making a bare $SUITE root (debootstrap)"
    bounded 1800 debootstrap --variant=minbase "$SUITE" "$ROOT" "$MIRROR" >"$BASE/debootstrap.log" 2>&1 ||
        { tail -n 5 "$BASE/debootstrap.log" >&2; die 1 "debootstrap failed; all it said is in $BASE/debootstrap.log"; }
    rm -f "$ROOT"/var/cache/apt/archives/*.deb
    tar -C "$ROOT" -cf "$BASE/$SUITE.tar.new" .
    mv "$BASE/$SUITE.tar.new" "$BASE/$SUITE.tar"
else
    tar -C "$ROOT" -xpf "$BASE/$SUITE.tar"
fi
chmod 755 "$ROOT"   # users other than root are in it too, whatever the archive says

# What a user of this network would have set up: names, package sources, certificates.
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf" \
    "${CARGO_HOME:-$HOME/.cargo}/config.toml"; do
    [ -f "$file" ] || continue
    case $file in
    /etc/*) to=$ROOT$file ;;
    */config.toml) to=$ROOT/root/.cargo/config.toml ;;
    *) to=$ROOT/root${file#"$HOME"} ;;
    esac
    mkdir -p "$(dirname "$to")"
    cp -L "$file" "$to"
done
mkdir -p "$ROOT/usr/local/share"
[ ! -d /usr/local/share/ca-certificates ] || cp -rL /usr/local/share/ca-certificates "$ROOT/usr/local/share/"
apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries|Max-)' >"$ROOT/etc/apt/apt.conf.d/99host" || true
printf '%s\n' "$SOURCES" | while read -r uri release component; do
    case $release in "$HOST_SUITE"*) echo "deb $uri $SUITE${release#"$HOST_SUITE"} $component" ;; esac
done | sort -u >"$ROOT/etc/apt/sources.list"
ENVIRONMENT=(HOME=/root LANG=C.UTF-8 "PI_RUST=$RUST" PI_TEST_BARE=yes PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
while IFS= read -r -d '' setting; do
    case $setting in
    http_proxy=* | https_proxy=* | no_proxy=* | HTTP_PROXY=* | HTTPS_PROXY=* | NO_PROXY=* | CURL_CA_BUNDLE=* | REQUESTS_CA_BUNDLE=* | \
        SSL_CERT_FILE=* | SSL_CERT_DIR=* | GIT_SSL_CAINFO=* | PIP_*=* | CARGO_HTTP_*=* | CARGO_NET_*=* | \
        RUSTUP_DIST_SERVER=* | RUSTUP_UPDATE_ROOT=*) ENVIRONMENT+=("$setting") ;;
    esac
done < <(env -0)

git clone -q --no-hardlinks "file://$REPO" "$ROOT/root/pi-monitor"
say "cloned $(git -C "$REPO" log -1 --format='%h %s')"
[ -z "$(git -C "$REPO" status --porcelain --untracked-files=no)" ] || say "what is not committed is not in it"

# inside SECONDS COMMAND...: runs it in the root. --kill-child: when the time is over or this
# script ends, the kernel ends every process of the namespace.
inside() {
    local limit=$1
    shift
    # shellcheck disable=SC2016  # the inner shell expands
    exec timeout -k 10 "$limit" unshare --mount --pid --fork --kill-child --propagation private sh -c '
        root=$1; shift
        # A mount point of its own, as the root of a real system is: mount namespaces want that.
        mount --bind "$root" "$root" || exit 1
        mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --rbind /dev "$root/dev" || exit 1
        exec chroot "$root" env -i "$@"' sh "$ROOT" "${ENVIRONMENT[@]}" "$@"
}

# 1. The first command, asked from outside.
port=0
for _ in $(seq 20); do
    port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
done
say "scripts/run.sh in the bare root"
started=$SECONDS
(inside $RUN_LIMIT /root/pi-monitor/scripts/run.sh --web.listen-address="127.0.0.1:$port") </dev/null &
PID=$!
until answer=$(curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:$port/health" 2>/dev/null); do
    kill -0 $PID 2>/dev/null || { PID=; die 1 "scripts/run.sh ended before the agent answered"; }
    [ $((SECONDS - started)) -lt $RUN_LIMIT ] || die 1 "no answer within $RUN_LIMIT s"
    sleep 1
done
[ "$answer" = ok ] || die 1 "/health answered: $answer"
curl -fsS --noproxy '*' --max-time 10 "http://127.0.0.1:$port/metrics" >"$BASE/metrics"
grep -q '^pi_collector_up{collector="cpu"} 1' "$BASE/metrics" || die 1 "/metrics: collector cpu is not up"
# The machine's memory in the answer is the one that its kernel tells.
awk '/^MemTotal/ { want = $2 * 1024 } /^pi_memory_total_bytes / { got = $2 } END { exit got != want || !got }' \
    /proc/meminfo "$BASE/metrics" || die 1 "/metrics: pi_memory_total_bytes is not what /proc/meminfo says"
say "the agent answered $((SECONDS - started)) s after the command"
kill $PID
wait $PID 2>/dev/null || true
PID=

if [ $OLDEST = yes ]; then
    # The promise of Cargo.toml, kept by the very compiler that it names.
    version=$( (inside 60 rustc --version) </dev/null)
    case $version in
    "rustc $(rust_wanted)."*) say "built with $version" ;;
    *) die 1 "Cargo.toml promises Rust $(rust_wanted), but the root has $version" ;;
    esac
    for folder in benches/parsers fuzz; do
        say "cargo check in $folder"
        # shellcheck disable=SC2016  # the inner shell expands
        (inside 900 env RUSTFLAGS="--cfg fuzzing" sh -c '
            command -v c++ >/dev/null || apt-get -q -y --no-install-recommends install g++ >/dev/null || exit 1
            cd "/root/pi-monitor/$1" && cargo check --all-targets' sh "$folder") </dev/null ||
            die 1 "$folder does not compile with $version"
    done
fi
[ $RUN_ONLY = no ] || exit 0

# 2. The second command.
say "scripts/test.sh${TEST_ARGS[*]:+ ${TEST_ARGS[*]}} in the bare root"
started=$SECONDS
(inside $TEST_LIMIT /root/pi-monitor/scripts/test.sh ${TEST_ARGS[@]+"${TEST_ARGS[@]}"}) </dev/null &
PID=$!
status=0
wait $PID || status=$?
PID=
[ $status = 0 ] || die 1 "scripts/test.sh ended with status $status after $((SECONDS - started)) s"
say "scripts/test.sh passed after $((SECONDS - started)) s"
