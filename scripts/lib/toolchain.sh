# shellcheck shell=bash
#
# toolchain.sh - what the scripts beside it share: messages, time limits,
# installing what is missing after saying so, finding a Rust toolchain.
#
# Sourced, never run.  Works with bash 3.2 (macOS) and later.
#
# Environment
#   PI_RUST        auto (default), installed, rustup or debian: where Rust may come
#                  from ("installed": what is here, nothing is fetched; "rustup" and
#                  "debian": only from there, also if another is installed)
#   PI_INSTALL     yes (default) or no: no means "name what is missing and fail"
#   XDG_CACHE_HOME downloads go to its folder pi-monitor (default ~/.cache/pi-monitor)
#
# After find_rust: CARGO and RUSTC name the programs to call, RUST_BIN their folder, which
# is then in PATH before other toolchains, RUST_VERSION their version, RUST_KIND is rustup
# or plain.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# A bare root may have no HOME; "~" without it is the user database's entry.
PI_CACHE=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/pi-monitor
PI_INSTALL=${PI_INSTALL:-yes}
PI_RUST=${PI_RUST:-auto}
SCRIPT_NAME=$(basename "$0")
SCRIPT_PATH=$(cd "$(dirname "$0")" && pwd)/$SCRIPT_NAME
# Debian keeps some programs out of the PATH of ordinary users.
PATH=$PATH:/usr/sbin:/sbin
# A version query must answer, not start a download.
export RUSTUP_AUTO_INSTALL=0

say() { printf '%s: %s\n' "$SCRIPT_NAME" "$*" >&2; }
die() { # STATUS MESSAGE...
    local status=$1
    shift
    say "error: $*"
    exit "$status"
}
have() { command -v "$1" >/dev/null 2>&1; }

# The comment at the top of a script is its help text.
usage() { sed -n '2{/^#$/d;};2,/^[^#]/s/^# \{0,1\}//p' "$SCRIPT_PATH"; }

# bounded SECONDS COMMAND...: ends COMMAND when the time is over (status 124).
# With a terminal the command stays in the foreground, so that it may ask for a
# password and Ctrl-C reaches it.
bounded() {
    local limit=$1 timeout=timeout pid watch status=0
    shift
    have timeout || timeout=gtimeout
    if have $timeout; then
        if [ -t 0 ]; then $timeout --foreground -k 10 "$limit" "$@"; else $timeout -k 10 "$limit" "$@"; fi
        return
    fi
    # Neither GNU nor BusyBox timeout: macOS.
    "$@" &
    pid=$!
    (sleep "$limit" && kill "$pid") >/dev/null 2>&1 & # must not hold the caller's pipe open
    watch=$!
    wait "$pid" || status=$?
    if kill "$watch" 2>/dev/null; then return "$status"; fi
    return 124
}

# ticking WHAT COMMAND...: runs COMMAND, and says every 10 s that WHAT is still going on.
ticking() {
    local what=$1 begin=$SECONDS watch status=0
    shift
    (while sleep 10; do say "still $what ($((SECONDS - begin)) s)"; done) >/dev/null & # must not hold the caller's pipe open
    watch=$!
    "$@" || status=$?
    kill "$watch" 2>/dev/null || true
    wait "$watch" 2>/dev/null || true
    return "$status"
}

# version_at_least HAVE WANT: compares dotted numbers, field by field.
version_at_least() {
    local IFS=. i
    # shellcheck disable=SC2206  # split at the dots is what is wanted
    local a=(${1%%[!0-9.]*}) b=(${2%%[!0-9.]*})
    for ((i = 0; i < ${#b[@]}; i++)); do
        if ((10#${a[i]:-0} > 10#${b[i]})); then return 0; fi
        if ((10#${a[i]:-0} < 10#${b[i]})); then return 1; fi
    done
}

# unpack_boards DIR [BOARD...]: writes the files of these boards (default: all) to DIR/BOARD. After find_rust and need_cc.
unpack_boards() {
    local dir=$1 name file
    shift
    if [ $# = 0 ]; then for file in "$REPO"/tests/boards/*.board; do set -- "$@" "$(basename "$file" .board)"; done; fi
    mkdir -p "$dir"
    # rustc alone: it takes a second, and cargo would build what the agent depends on first.
    "$RUSTC" --edition 2024 -o "$dir/.board" "$REPO/examples/board.rs" || return 1
    for name in "$@"; do "$dir/.board" unpack "$REPO/tests/boards/$name.board" "$dir/$name" || return 1; done
    rm "$dir/.board"
}

# ---------------------------------------------------------------------------
# Packages of the distribution
# ---------------------------------------------------------------------------

# Put before a command that needs root.
if [ "$(id -u)" = 0 ]; then SUDO=''; else SUDO=sudo; fi
can_be_root() { [ -z "$SUDO" ] || have sudo; }
have_apt() { have apt-get && have dpkg-query; }
package_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# The version that apt would install now, empty if none.
apt_candidate() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p' | sed '/(none)/d'
}

# What as_root runs to install packages.  A policy-rc.d that answers 101 keeps
# packages from starting services (see invoke-rc.d(8)): a test machine must not
# get a daemon because a test needs one of its package's programs.  A lock makes
# two runs of these scripts wait for each other, so that neither removes the
# other's file; a file that is not ours stays as it is.
# shellcheck disable=SC2016  # it is the inner shell that expands
APT_SCRIPT='
set -e
policy=/usr/sbin/policy-rc.d
mark="# Temporary: no service starts while packages for Pi-Monitor are installed."
mkdir -p /run/lock
exec 9>/run/lock/pi-monitor-packages
flock -w 900 9
[ -f $policy ] && grep -qxF "$mark" $policy && rm -f $policy
if [ ! -e $policy ]; then
    trap "rm -f $policy" EXIT
    trap "exit 143" TERM INT HUP
    printf "%s\n" "#!/bin/sh" "$mark" "exit 101" >$policy
    chmod 755 $policy
fi
DEBIAN_FRONTEND=noninteractive apt-get -q -y \
    -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Acquire::http::Timeout=60 \
    -o Acquire::https::Timeout=60 --no-install-recommends install "$@" 9>&-'

APT_UPDATED=no
apt_update() {
    [ $APT_UPDATED = no ] || return 0
    say "updating the package lists (apt-get update)"
    bounded 900 $SUDO apt-get -q -o DPkg::Lock::Timeout=600 \
        -o Acquire::Retries=3 -o Acquire::http::Timeout=60 update >&2 || return 1
    APT_UPDATED=yes
}

# Whether the package lists are younger than a day and than the list of sources.
lists_are_current() {
    local newest
    newest=$(find /var/lib/apt/lists -maxdepth 1 -name '*Release' -mmin -1440 2>/dev/null | head -n 1)
    [ -n "$newest" ] && [ -z "$(find /etc/apt/sources.list /etc/apt/sources.list.d -newer "$newest" 2>/dev/null)" ]
}

# apt_install WHY PACKAGE...: says what it installs and for what, then does.
# Status 1 when it cannot; the reason is in INSTALL_ERROR.
INSTALL_ERROR=
apt_install() {
    local why=$1 p removed missing=()
    shift
    INSTALL_ERROR=
    have_apt || { INSTALL_ERROR="this system has no apt-get; install yourself: $*"; return 1; }
    for p in "$@"; do package_installed "$p" || missing+=("$p"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$PI_INSTALL" = yes ] || { INSTALL_ERROR="missing packages (PI_INSTALL=no): ${missing[*]}"; return 1; }
    can_be_root || { INSTALL_ERROR="needs root or sudo: apt-get install ${missing[*]}"; return 1; }
    lists_are_current || apt_update || say "apt-get update failed; going on with the lists that are here"
    # Packages that would have to go: Debian's older Rust may, it is replaced by
    # what provides the same.  Anything else is not ours to remove.
    if ! removed=$(LC_ALL=C apt-get -s --no-install-recommends install "${missing[@]}" 2>&1); then
        INSTALL_ERROR="apt cannot install ${missing[*]}: $(printf '%s\n' "$removed" | grep -v '^Reading\|^Building' | tail -n 3 | tr '\n' ' ')"
        return 1
    fi
    removed=$(printf '%s\n' "$removed" | sed -n 's/^Remv \([^ ]*\).*/\1/p')
    for p in $removed; do
        case $p in
        rustc* | cargo* | rustfmt* | rust-* | libstd-rust-*) ;;
        *) INSTALL_ERROR="installing ${missing[*]} would remove $p; please decide yourself"; return 1 ;;
        esac
    done
    say "installing Debian packages (for $why): ${missing[*]}${removed:+; this replaces $(echo "$removed" | tr '\n' ' ')}"
    hash -r
    if bounded 3600 $SUDO sh -c "$APT_SCRIPT" sh "${missing[@]}" >&2; then return 0; fi
    # Lists that are too old name files that are gone.
    if [ $APT_UPDATED = no ] && apt_update && bounded 3600 $SUDO sh -c "$APT_SCRIPT" sh "${missing[@]}" >&2; then return 0; fi
    INSTALL_ERROR="apt-get could not install ${missing[*]} (its messages are above)"
    return 1
}

# need_commands WHY COMMAND:PACKAGE...: installs the packages of missing commands.
need_commands() {
    local why=$1 pair packages=()
    shift
    for pair in "$@"; do
        have "${pair%%:*}" || packages+=("${pair#*:}")
    done
    [ ${#packages[@]} -eq 0 ] || apt_install "$why" "${packages[@]}" || return 1
    for pair in "$@"; do
        have "${pair%%:*}" || { INSTALL_ERROR="package ${pair#*:} is installed, but there is no ${pair%%:*} in PATH"; return 1; }
    done
}

# first_known PACKAGE...: prints the first package that apt knows.
first_known() {
    local package
    for package in "$@"; do
        if [ -n "$(apt_candidate "$package")" ]; then echo "$package"; return 0; fi
    done
    return 1
}

# unpacked_package COMMAND PACKAGE...: for a program whose package would also bring a
# service that runs from the next start on.  Downloads the first package that this
# release of Debian has, unpacks it in the cache and appends its folder to PATH;
# nothing on the system changes.
unpacked_package() {
    local command=$1 package dir=''
    shift
    if have "$command"; then return 0; fi
    INSTALL_ERROR=
    for package in "$@"; do
        if [ -x "$PI_CACHE/debs/$package/usr/bin/$command" ] || [ -x "$PI_CACHE/debs/$package/usr/sbin/$command" ]; then dir=$PI_CACHE/debs/$package; break; fi
    done
    if [ -z "$dir" ]; then unpack_deb "$command" "$@" || return 1; dir=$UNPACKED; fi
    PATH=$PATH:$dir/usr/bin:$dir/usr/sbin
    have "$command" || { INSTALL_ERROR="package ${dir##*/} has no $command"; return 1; }
}

# unpacked_file FILE PACKAGE: the same for a file; UNPACKED is its path.
unpacked_file() {
    UNPACKED=$PI_CACHE/debs/$2/$1
    if [ -f "$UNPACKED" ]; then return 0; fi
    unpack_deb "$1" "$2" || return 1
    UNPACKED=$UNPACKED/$1
    [ -f "$UNPACKED" ] || { INSTALL_ERROR="package $2 has no $1"; return 1; }
}

# unpack_deb WHAT PACKAGE...: unpacks the first package that apt knows in the cache;
# UNPACKED is the folder.
unpack_deb() {
    local what=$1 package tmp
    shift
    have_apt || { INSTALL_ERROR="this system has no apt-get; install $what yourself"; return 1; }
    [ "$PI_INSTALL" = yes ] || { INSTALL_ERROR="$what is missing (PI_INSTALL=no)"; return 1; }
    if ! package=$(first_known "$@") &&
        ! { can_be_root && apt_update && package=$(first_known "$@"); }; then
        INSTALL_ERROR="apt knows no package $*"
        return 1
    fi
    UNPACKED=$PI_CACHE/debs/$package
    say "unpacking Debian package $package in $UNPACKED (for $what; it is not installed)"
    mkdir -p "$PI_CACHE/debs" && tmp=$(mktemp -d "$PI_CACHE/debs/.new.XXXXXX") || return 1
    if ! { (cd "$tmp" && bounded 600 apt-get -q -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 download "$package") &&
        dpkg-deb -x "$tmp"/*.deb "$tmp/root"; } >&2; then
        rm -rf "$tmp"
        INSTALL_ERROR="could not download package $package"
        return 1
    fi
    rm -rf "$UNPACKED"
    mv "$tmp/root" "$UNPACKED"
    rm -rf "$tmp"
}

# ---------------------------------------------------------------------------
# Compilers
# ---------------------------------------------------------------------------

# rustc links host programs (the agent for this machine, build scripts of crates)
# through the C compiler driver, and that needs the C library's start files.
need_cc() {
    local dir status=0
    dir=$(mktemp -d)
    printf 'int main(void) { return 0; }\n' >"$dir/t.c"
    cc -o "$dir/t" "$dir/t.c" >/dev/null 2>&1 || status=1
    rm -rf "$dir"
    [ $status = 0 ] || apt_install "linking programs for this machine" gcc libc6-dev ||
        die 1 "no working C compiler driver (cc): $INSTALL_ERROR"
}

rust_wanted() { sed -n 's/^rust-version *= *"\([^"]*\)".*/\1/p' "$REPO/Cargo.toml"; }

# try_rust FOLDER [TOOLCHAIN]: sets the RUST variables if the pair there is new enough.
RUST_SEEN=
try_rust() {
    local bin=$1 toolchain=${2:-} version kind=plain
    [ -x "$bin/rustc" ] && [ -x "$bin/cargo" ] || return 1
    version=$(cd "$REPO" && RUSTUP_TOOLCHAIN=${toolchain:-${RUSTUP_TOOLCHAIN:-}} bounded 30 "$bin/rustc" --version 2>/dev/null </dev/null | sed -n 's/^rustc \([0-9][0-9.]*\).*/\1/p')
    [ -n "$version" ] || return 1
    RUST_SEEN="$RUST_SEEN $bin/rustc${toolchain:+ (toolchain $toolchain)} is $version;"
    version_at_least "$version" "$(rust_wanted)" || return 1
    # Debian has rustup as a package, too: the folder does not tell the kind.
    if [ -n "$(RUSTUP_FORCE_ARG0=rustup bounded 30 "$bin/rustup" --version 2>/dev/null </dev/null)" ]; then kind=rustup; fi
    case $PI_RUST-$kind in rustup-plain | debian-rustup) return 1 ;; esac
    [ -z "$toolchain" ] || export RUSTUP_TOOLCHAIN=$toolchain
    RUST_BIN=$bin
    # shellcheck disable=SC2034  # for the scripts that source this
    RUST_VERSION=$version
    RUST_KIND=$kind
    # shellcheck disable=SC2034
    CARGO=$bin/cargo
    RUSTC=$bin/rustc
    # cargo takes the rustc of PATH, and so do the programs that tests start.
    if [ "$(command -v rustc) $(command -v cargo)" != "$RUSTC $CARGO" ]; then
        PATH=$bin:$PATH
        hash -r
    fi
}

# The folders where a toolchain may be, the user's own choice first.
installed_rust() {
    local rustc
    [ "$PI_RUST" = debian ] || {
        rustc=$(command -v "${RUSTC:-rustc}") && try_rust "$(dirname "$rustc")" && return 0
        try_rust "${CARGO_HOME:-${HOME:-~}/.cargo}/bin" && return 0
        try_rust "${CARGO_HOME:-${HOME:-~}/.cargo}/bin" stable && return 0
        [ "$PI_RUST" != rustup ] || return 1
    }
    try_rust /usr/bin
}

# Debian's cargo and curl do not bring the certificates that their downloads need.
need_certificates() {
    if have_apt && ! [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        apt_install "secure downloads" ca-certificates || say "no certificates: $INSTALL_ERROR"
    fi
}

# rustup: reachable, then installed or asked for its stable toolchain.
RUSTUP_ERROR=
rust_from_rustup() {
    local server=${RUSTUP_DIST_SERVER:-https://static.rust-lang.org} bin=${CARGO_HOME:-${HOME:-~}/.cargo}/bin dir
    RUSTUP_ERROR=
    need_commands "asking whether rustup can be reached" curl:curl || { RUSTUP_ERROR=$INSTALL_ERROR; return 1; }
    need_certificates
    # A small file first: an answer within seconds, or none.
    if ! curl -fsSL --connect-timeout 10 --max-time 30 -o /dev/null "$server/dist/channel-rust-stable.toml.sha256"; then
        RUSTUP_ERROR="rustup's server cannot be reached"
        return 1
    fi
    if [ -x "$bin/rustup" ]; then
        say "installing Rust's stable toolchain with the rustup that is here"
        bounded 900 "$bin/rustup" toolchain install stable --profile minimal --no-self-update >&2 </dev/null ||
            { RUSTUP_ERROR="rustup toolchain install stable failed"; return 1; }
    else
        say "installing rustup and Rust's stable toolchain in ${RUSTUP_HOME:-~/.rustup} and $bin"
        dir=$(mktemp -d)
        if ! { curl -fsSL --connect-timeout 10 --max-time 120 -o "$dir/rustup-init.sh" \
            "${RUSTUP_UPDATE_ROOT:-$server/rustup}/rustup-init.sh" &&
            bounded 900 sh "$dir/rustup-init.sh" -y --profile minimal --default-toolchain stable \
                --no-modify-path >&2 </dev/null; }; then
            rm -rf "$dir"
            RUSTUP_ERROR="installing rustup failed or took longer than 15 minutes"
            return 1
        fi
        rm -rf "$dir"
    fi
    try_rust "$bin" || try_rust "$bin" stable
}

# Debian: the first pair of packages whose version is enough.  rustc-web and
# cargo-web are what Debian 11 and 12 build browsers with: a current Rust; from
# Debian 13 on the plain packages are new enough.
DEBIAN_ERROR=
rust_from_debian() {
    local pair rustc cargo version
    DEBIAN_ERROR=
    have_apt || { DEBIAN_ERROR="this system has no apt-get"; return 1; }
    if can_be_root && ! lists_are_current; then apt_update || true; fi
    for pair in rustc:cargo rustc-web:cargo-web; do
        rustc=${pair%%:*} cargo=${pair#*:}
        version=$(apt_candidate "$rustc")
        if [ -n "$version" ] && version_at_least "$version" "$(rust_wanted)"; then
            apt_install "building" "$rustc" "$cargo" || { DEBIAN_ERROR=$INSTALL_ERROR; return 1; }
            try_rust /usr/bin
            return
        fi
    done
    DEBIAN_ERROR="no package is Rust $(rust_wanted) or newer"
    return 1
}

# find_rust: see the top of this file.  Ends the script when there is no Rust to be had.
find_rust() {
    case $PI_RUST in
    auto | installed | rustup | debian) ;;
    *) die 2 "PI_RUST=$PI_RUST: must be auto, installed, rustup or debian" ;;
    esac
    RUST_SEEN='' RUSTUP_ERROR='' DEBIAN_ERROR=''
    need_certificates
    if installed_rust; then return 0; fi
    case $PI_RUST in
    rustup | debian) say "no installed Rust is from $PI_RUST and $(rust_wanted) or newer${RUST_SEEN:+:$RUST_SEEN}" ;;
    *) say "no installed Rust is $(rust_wanted) or newer${RUST_SEEN:+:$RUST_SEEN}" ;;
    esac
    if [ "$PI_INSTALL" = yes ]; then
        case $PI_RUST in auto | rustup) if rust_from_rustup; then return 0; fi; say "not from rustup: $RUSTUP_ERROR" ;; esac
        case $PI_RUST in auto | debian) if rust_from_debian; then return 0; fi; say "not from Debian: $DEBIAN_ERROR" ;; esac
    fi
    die 1 "needs Rust $(rust_wanted) or newer; install it (for example with rustup) and run this again"
}

# The toolchain's Debian packages are "-web" ones or plain ones: rust_package rust-src
# names the one that belongs to the installed compiler.
rust_package() {
    case $1 in
    rust-src) if package_installed rustc-web; then echo rust-web-src; else echo rust-src; fi ;;
    rustfmt) if package_installed rustc-web; then echo rustfmt-web; else echo rustfmt; fi ;;
    clippy) if package_installed rustc-web; then echo rust-web-clippy; else echo rust-clippy; fi ;;
    esac
}

# rustup_add component|target NAME: status 1 and INSTALL_ERROR when rustup cannot.
# One download that hangs is enough: after it, no other is tried.
RUSTUP_HANGS=no
rustup_add() {
    local output status=0
    INSTALL_ERROR="rustup could not add $1 $2: an earlier download did not end"
    [ $RUSTUP_HANGS = no ] || return 1
    output=$(RUST_BACKTRACE=0 bounded 300 "$RUST_BIN/rustup" "$1" add "$2" 2>&1 </dev/null) || status=$?
    [ $status != 0 ] || return 0
    if [ $status = 124 ]; then
        RUSTUP_HANGS=yes
        INSTALL_ERROR="rustup could not add $1 $2 within 300 s"
        return 1
    fi
    INSTALL_ERROR="rustup could not add $1 $2: $(printf '%s\n' "$output" | grep '^error' | head -n 1)"
    return 1
}

# need_component rust-src|rustfmt|clippy: has the toolchain bring it.  Status 1 and
# INSTALL_ERROR when it cannot be had.
need_component() {
    local name=$1
    INSTALL_ERROR=
    case $name in
    rust-src) if [ -f "$("$RUSTC" --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; then return 0; fi ;;
    rustfmt) if "$RUST_BIN/rustfmt" --version >/dev/null 2>&1; then return 0; fi ;;
    clippy) if "$RUST_BIN/cargo-clippy" --version >/dev/null 2>&1; then return 0; fi ;;
    esac
    if [ "$RUST_KIND" = rustup ]; then
        [ "$PI_INSTALL" = yes ] || { INSTALL_ERROR="$name is missing (PI_INSTALL=no)"; return 1; }
        say "adding Rust component $name (rustup component add)"
        rustup_add component "$name"
    elif [ "$RUST_BIN" = /usr/bin ] && have_apt; then
        apt_install "the toolchain's $name" "$(rust_package "$name")"
    else
        INSTALL_ERROR="$RUST_BIN has no $name"
        return 1
    fi
}
