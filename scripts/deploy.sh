#!/bin/bash
#
# deploy.sh - puts Pi-Monitor on a Pi: uploads it through SSH, starts it, lets it
# start at boot, and proves by HTTP that the new version answers. If it does
# not, the old version runs again.
#
#   PI_HOST=10.0.0.111 scripts/deploy.sh [options]
#
#   -b, --binary FILE   this binary instead of dist/pi-monitor-TARGET, which is
#                       built (scripts/build.sh) if it is missing or older than
#                       the sources; TARGET is the Pi's CPU
#   -s, --no-start      put all in place, but start it at the next boot only
#   -u, --uninstall     end the agent and remove all that this script has made; the
#                       past that the agent has recorded in /var/lib/pi-monitor stays
#       --purge         the same, and remove the recorded past, too
#   -h, --help          this text
#
# Environment
#   PI_HOST       the Pi: name, address, USER@NAME, or a Host of your ~/.ssh/config; required
#   PI_USER       user for SSH, default: what ~/.ssh/config says for PI_HOST, else root.
#                 Raspberry Pi OS has no root login: use the name you chose there.
#                 Other users than root need sudo or doas.
#   PI_PORT       port of SSH, default: ~/.ssh/config's, else 22
#   PI_KEY        identity file for SSH, default: what ssh finds by itself
#   PI_PASSWORD   password for SSH (and sudo), instead of a key; without either,
#                 ssh asks for it on the terminal
#   PI_FLAGS      flags for the agent, kept on the Pi in /etc/default/pi-monitor;
#                 unset: what is there stays
#   PI_URL        where this computer reaches the agent, default http://ADDRESS:PORT
#   PI_TIMEOUT    seconds that the new version has for its first answers, default 30
#   PI_SSH_OPTIONS  more options for ssh, split at blanks
#
# The Pi needs an SSH server and a POSIX shell: BusyBox and Dropbear are enough,
# sftp is not used. scripts/lib/deploy-remote.sh is what runs there, and says
# what is put where; docs/deploying.md says how each init system starts it.
#
# Exit status
#   0   done: the new version answers (with -s: is in place; with -u: all is removed)
#   1   not done; on the Pi nothing is changed, or all is back as it was
#   2   wrong usage
#   3   not done, and the Pi could not be put back as it was: see the message
#   4   the Pi could not be reached, does not let us in, or the connection was lost
set -euo pipefail
export LC_ALL=C

HERE=$(cd "$(dirname "$0")" && pwd)
REPOSITORY=$(dirname "$HERE")
PACKAGING=$REPOSITORY/packaging
REMOTE_SCRIPT=$HERE/lib/deploy-remote.sh
# shellcheck source=scripts/lib/elf.sh
. "$HERE/lib/elf.sh"
STAGE=/usr/local/bin/.pi-monitor-deploy # as in deploy-remote.sh

usage() { sed -n '3,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "$0"; }
say() { printf '%s\n' "$*"; }
die() {
    local status=$1
    shift
    printf 'deploy.sh: error: %s\n' "$*" >&2
    exit "$status"
}

ACTION=install START=yes PURGE=no BINARY=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        -b | --binary)
            [ -n "${2:-}" ] || die 2 "$1 needs a file"
            BINARY=$2
            shift
            ;;
        --binary=*) BINARY=${1#*=} ;;
        -s | --no-start) START=no ;;
        -u | --uninstall) ACTION=uninstall ;;
        --purge) ACTION=uninstall PURGE=yes ;;
        -*) die 2 "unknown option '$1'; see --help" ;;
        *)
            [ -z "${PI_HOST:-}" ] || die 2 "unexpected argument '$1': PI_HOST names the Pi already; see --help"
            die 2 "the Pi is named by a variable; type: PI_HOST=$1 scripts/deploy.sh"
            ;;
    esac
    shift
done
[ -n "${PI_HOST:-}" ] || die 2 "PI_HOST is not set: PI_HOST=10.0.0.111 scripts/deploy.sh"
case $PI_HOST in
    *@*) PI_USER=${PI_HOST%%@*} PI_HOST=${PI_HOST#*@} ;;
esac
case $PI_HOST${PI_USER:-} in *[[:space:]]* | -*) die 2 "not a host or user name: '${PI_USER:-}@$PI_HOST'" ;; esac
case ${PI_PORT:-22} in *[!0-9]*) die 2 "PI_PORT is not a number: '$PI_PORT'" ;; esac
[ -z "${PI_KEY:-}" ] || [ -f "$PI_KEY" ] || die 2 "PI_KEY: no such file: $PI_KEY"
case ${PI_TIMEOUT:-30} in '' | *[!0-9]*) die 2 "PI_TIMEOUT is not a number: '$PI_TIMEOUT'" ;; esac
[ -z "$BINARY" ] || [ -f "$BINARY" ] || die 2 "--binary: no such file: $BINARY"
# One line in the file on the Pi.
if [ -n "${PI_FLAGS+set}" ]; then PI_FLAGS=${PI_FLAGS//$'\n'/ }; fi
for f in "$REMOTE_SCRIPT" "$PACKAGING/systemd/pi-monitor.service" "$PACKAGING/openrc/pi-monitor" \
    "$PACKAGING/systemd/see-more.conf" "$PACKAGING/service/pi-monitor-service" "$PACKAGING/default/pi-monitor"; do
    [ -f "$f" ] || die 2 "the repository lacks $f"
done
command -v ssh >/dev/null || die 4 "there is no ssh on this computer (Debian package openssh-client)"

# A short path: the name of a control socket may have about 100 bytes.
TEMP=$(mktemp -d /tmp/pi-monitor.XXXXXX)
MASTER=''
# shellcheck disable=SC2317  # called by trap
cleanup() {
    local status=$?
    trap - EXIT
    [ -z "$MASTER" ] || ssh "${SSH[@]}" -O exit "$TARGET" 2>/dev/null || true
    rm -rf "$TEMP"
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- one connection -----------------------------------------------------------

# shellcheck disable=SC2206  # split at blanks, as --help says
SSH=(${PI_SSH_OPTIONS:-} ${PI_PORT:+-p "$PI_PORT"} ${PI_KEY:+-i "$PI_KEY"})
# What ssh makes of the name, from its configuration. It says the local user
# where nothing is configured: then it is root.
ADDRESS=$PI_HOST
case $(ssh -V 2>&1 </dev/null) in OpenSSH*) CLIENT=openssh ;; *) CLIENT=other ;; esac
if [ $CLIENT = openssh ] && config=$(ssh -G ${SSH[@]+"${SSH[@]}"} "$PI_HOST" 2>/dev/null); then
    name=$(printf '%s\n' "$config" | sed -n 's/^user //p')
    if [ -z "${PI_USER:-}" ] && [ "$name" != "$(id -un)" ]; then PI_USER=$name; fi
    name=$(printf '%s\n' "$config" | sed -n 's/^hostname //p')
    ADDRESS=${name:-$PI_HOST}
fi
PI_USER=${PI_USER:-root}
TARGET=$PI_USER@$PI_HOST
case $ADDRESS in *:*) ADDRESS="[$ADDRESS]" ;; esac

# Runs a command, and says every 8 s that it is still at it.
patiently() { # WHAT COMMAND...
    local what=$1 ticker status=0
    shift
    (
        seconds=8
        while sleep 8; do
            say "  still $what ($seconds s)"
            seconds=$((seconds + 8))
        done
    ) </dev/null >&2 &
    ticker=$!
    "$@" || status=$?
    kill $ticker 2>/dev/null || true
    wait $ticker 2>/dev/null || true
    return $status
}

# Why ssh did not connect, by what it said, and what helps.
connect_hint() {
    case $(cat "$TEMP/ssh.err") in
        *'Permission denied'* | *'Too many authentication failures'* | *'uthentication failed'* | *'auth'*'failed'*)
            if [ "$PI_USER" = root ]; then
                echo "; Raspberry Pi OS lets nobody in as root: set PI_USER to the name that you chose there"
            elif [ -n "${PI_PASSWORD:-}" ]; then
                echo "; are PI_USER and PI_PASSWORD right?"
            else
                echo "; set PI_PASSWORD, or PI_KEY to a key that the Pi knows (ssh-copy-id $TARGET)"
            fi
            ;;
        *'Connection refused'*) echo "; there is no SSH server on that port: switch SSH on (raspi-config), or set PI_PORT" ;;
        *'timed out'* | *'No route to host'* | *'unreachable'*) echo "; is $PI_HOST switched on, and in this network?" ;;
        *'not resolve'* | *'not known'*) echo "; the name is not known here: use the address" ;;
        *'IDENTIFICATION HAS CHANGED'* | *'Host key'*) echo "; its host key is another one than before: if the Pi was set up anew, type ssh-keygen -R $PI_HOST" ;;
    esac
}

connect() {
    local status=0
    case $CLIENT in
        openssh)
            # A first contact is trusted, a changed host key is not. A Pi that
            # falls silent is given up after 20 s.
            SSH+=(-o StrictHostKeyChecking=accept-new -o ConnectTimeout=10
                -o ServerAliveInterval=5 -o ServerAliveCountMax=4 -o "ControlPath=$TEMP/ssh")
            if [ -n "${PI_PASSWORD:-}" ]; then
                SSH+=(-o NumberOfPasswordPrompts=1)
                if ssh_asks_by_program; then
                    patiently connecting ssh "${SSH[@]}" -M -f -N "$TARGET" 2>"$TEMP/ssh.err" || status=$?
                elif command -v sshpass >/dev/null; then
                    by_sshpass 2>"$TEMP/ssh.err" || status=$?
                else
                    die 4 "PI_PASSWORD needs OpenSSH 8.4 or later, or the program sshpass: install that, or use a key (ssh-copy-id $TARGET)"
                fi
            else
                [ -t 0 ] || SSH+=(-o BatchMode=yes)
                # (ssh asks for a password on the terminal itself.)
                ssh "${SSH[@]}" -M -f -N "$TARGET" 2>"$TEMP/ssh.err" || status=$?
            fi
            cat "$TEMP/ssh.err" >&2
            if [ $status = 0 ]; then
                MASTER=yes
                return
            fi
            ;;
        *)
            # Dropbear's client: one connection for each step.
            SSH+=(-y -K 5)
            if [ -n "${PI_PASSWORD:-}" ]; then export DROPBEAR_PASSWORD=$PI_PASSWORD; fi
            ssh "${SSH[@]}" "$TARGET" true </dev/null 2>"$TEMP/ssh.err" || status=$?
            cat "$TEMP/ssh.err" >&2
            [ $status != 0 ] || return 0
            ;;
    esac
    die 4 "cannot log in by SSH as $TARGET${PI_PORT:+, port $PI_PORT}$(connect_hint)"
}

# OpenSSH from 8.4 asks a program for the password instead of the terminal.
ssh_asks_by_program() {
    local version
    version=$(ssh -V 2>&1 | sed -n 's/^OpenSSH_\([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    # shellcheck disable=SC2086  # two numbers
    set -- $version
    [ "${1:-0}" -gt 8 ] || { [ "${1:-0}" = 8 ] && [ "${2:-0}" -ge 4 ]; } || return 1
    # shellcheck disable=SC2016  # expanded by that script
    printf '#!/bin/sh\nprintf "%%s\\n" "$PI_PASSWORD"\n' >"$TEMP/askpass"
    chmod 700 "$TEMP/askpass"
    export SSH_ASKPASS=$TEMP/askpass SSH_ASKPASS_REQUIRE=force PI_PASSWORD
}

# sshpass gives ssh a terminal, and takes it away when it ends itself: so it
# stays, as long as the connection does.
by_sshpass() {
    local pid
    SSHPASS=$PI_PASSWORD sshpass -e ssh "${SSH[@]}" -M -N "$TARGET" </dev/null &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        if ssh "${SSH[@]}" -O check "$TARGET" 2>/dev/null; then return 0; fi
        sleep 0.2
    done
    wait $pid
}

quoted() { # one word for a remote shell
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

# Runs a shell command line on the Pi with root rights; stdin goes to it.
AS_ROOT='' PASSWORD_FIRST=no
# shellcheck disable=SC2029  # it is meant to be expanded here
as_root() { # COMMAND LINE
    if [ $PASSWORD_FIRST = yes ]; then
        { printf '%s\n' "$PI_PASSWORD" && cat; } | ssh "${SSH[@]}" "$TARGET" "$AS_ROOT sh -c $(quoted "$1")"
    else
        ssh "${SSH[@]}" "$TARGET" "$AS_ROOT sh -c $(quoted "$1")"
    fi
}

# Runs deploy-remote.sh on the Pi; the script goes through stdin.
remote() { # COMMAND [NAME=VALUE...]
    local line='sh -s --' word
    for word in "$@"; do line="$line $(quoted "$word")"; done
    as_root "$line" <"$REMOTE_SCRIPT"
}

# One upload. "cat" is all that the Pi must have: no scp, no sftp.
upload() { # FILE NAME
    as_root "cat >$STAGE/$2" <"$1" ||
        die 1 "the upload of $1 broke off; on the Pi nothing is changed (but $STAGE may be left: the next run removes it)"
}

value() { # NAME TEXT: what NAME=... says in TEXT
    printf '%s\n' "$2" | sed -n "s/^$1=//p" | head -n 1
}

# --- what to send ---------------------------------------------------------------

target_of() { # what uname -m says
    case $1 in
        aarch64 | arm64) echo aarch64 ;;
        armv7* | armv8*) echo armv7 ;;
        armv6*) echo armv6 ;;
        riscv64) echo riscv64 ;;
        x86_64 | amd64) echo x86_64 ;;
        *) return 1 ;;
    esac
}

choose_binary() { # MACHINE
    local target kind
    target=$(target_of "$1") || die 1 "the Pi's CPU is '$1': there is no build for it"
    if [ -z "$BINARY" ]; then
        BINARY=$REPOSITORY/dist/pi-monitor-$target
        if [ ! -f "$BINARY" ] || [ -n "$(find "$REPOSITORY/src" "$REPOSITORY/Cargo.toml" "$REPOSITORY/Cargo.lock" -newer "$BINARY" -type f 2>/dev/null | head -n 1)" ]; then
            say "Building $target"
            "$HERE/build.sh" "$target" || die 1 "scripts/build.sh $target failed; --binary FILE takes one that is built already"
        fi
    fi
    [ -f "$BINARY" ] || die 1 "no such file: $BINARY"
    kind=$(elf_cpu "$BINARY") || kind='no program for Linux'
    case $kind:$target in
        "$target:$target" | arm:armv7 | arm:armv6 | arm:aarch64) ;;
        *) die 1 "$BINARY is for another CPU: it is $kind, the Pi ($1) needs $target" ;;
    esac
}

# --- the proof from here ----------------------------------------------------------

fetch_here() { # URL
    if command -v curl >/dev/null; then
        curl -fsS --noproxy '*' --max-time 5 "$1" 2>/dev/null
    elif command -v wget >/dev/null; then
        wget -q -T 5 -t 1 --no-proxy -O - "$1" 2>/dev/null
    else
        return 1
    fi
}

version_here() { # URL
    fetch_here "$1/metrics" | sed -n 's/^pi_monitor_build_info{.*version="\([^"]*\)".*/\1/p' || true
}

# --- the work -----------------------------------------------------------------------

say "Connecting to $TARGET"
connect
facts=$(ssh "${SSH[@]}" "$TARGET" 'sh -s -- probe' <"$REMOTE_SCRIPT") || die 4 "the Pi does not run a shell script for $TARGET"
machine=$(value machine "$facts")
case $(value rights "$facts") in
    root) ;;
    sudo) AS_ROOT='sudo -n' ;;
    doas) AS_ROOT='doas -n' ;;
    sudo-password)
        [ -n "${PI_PASSWORD:-}" ] || die 4 "sudo on the Pi wants a password of $PI_USER: give it as PI_PASSWORD"
        # -k: always read it, so that it is never taken for the data behind it.
        AS_ROOT="sudo -k -S -p ''" PASSWORD_FIRST=yes
        ;;
    *) die 4 "$PI_USER is not root on the Pi and has neither sudo nor doas" ;;
esac

if [ $ACTION = uninstall ]; then
    say "Uninstalling on $PI_HOST"
    status=0
    remote uninstall purge=$PURGE || status=$?
    [ $status != 1 ] || die 1 "nothing is removed"
    [ $status = 0 ] || die $status "not all could be removed"
    if [ $PURGE = yes ]; then
        say "Done: nothing of Pi-Monitor is left on $PI_HOST"
    else
        say "Done: Pi-Monitor is removed from $PI_HOST"
    fi
    exit 0
fi

choose_binary "$machine"
size=$(wc -c <"$BINARY" | tr -d ' ')
tool=$(value tool "$facts")
case $tool in
    sha256sum)
        if command -v sha256sum >/dev/null; then sum=$(sha256sum "$BINARY" | cut -d' ' -f1); else sum=$(shasum -a 256 "$BINARY" | cut -d' ' -f1); fi
        ;;
    cksum) sum=$(cksum "$BINARY" | cut -d' ' -f1) ;;
    *) sum=none ;;
esac
old=$(value installed "$facts")
say "Uploading $BINARY ($size bytes) to $PI_HOST ($machine${old:+, has version $old})"

staged=$(remote stage "need=$size") || die 1 "nothing is changed on the Pi"
kind=$(value kind "$staged")
patiently uploading upload "$BINARY" pi-monitor
upload "$PACKAGING/default/pi-monitor" default
upload "$PACKAGING/service/pi-monitor-service" pi-monitor-service
case $kind in
    systemd)
        upload "$PACKAGING/systemd/pi-monitor.service" pi-monitor.service
        upload "$PACKAGING/systemd/see-more.conf" see-more.conf
        ;;
    openrc) upload "$PACKAGING/openrc/pi-monitor" pi-monitor.openrc ;;
esac
verified=$(remote verify "size=$size" "tool=${tool:-none}" "sum=$sum") ||
    die 1 "the new binary is not used; on the Pi nothing is changed"
version=$(value version "$verified")

say "Installing version $version"
arguments=("start=$START" "limit=${PI_TIMEOUT:-30}")
if [ -n "${PI_FLAGS+set}" ]; then arguments+=("flags=$PI_FLAGS"); fi
status=0
installed=$(remote install "${arguments[@]}") || status=$?
case $status:$(value result "$installed") in
    0:in-place)
        say "Done: version $version is in place on $PI_HOST and starts at the next boot"
        exit 0
        ;;
    0:proven) ;;
    4:unproven) ;;
    1:refused) die 1 "nothing is changed on the Pi" ;;
    *:)
        # No result: it is the connection that ended, not the installation.
        die 4 "the connection broke off during the installation; the Pi goes through with it, or back, by itself. Run this again to see"
        ;;
    1:*) die 1 "version $version did not work; on the Pi all is as it was" ;;
    *) die 3 "version $version did not work, and the Pi could not be put back as it was (status $status)" ;;
esac

port=$(value port "$installed")
url=${PI_URL:-http://$ADDRESS:${port:-9100}}
here=''
for _ in 1 2 3 4 5; do
    here=$(version_here "$url")
    [ "$here" != "$version" ] || break
    [ $status = 4 ] || break # proven on the Pi: once is enough
    sleep 2
done
if [ $status = 4 ]; then
    # The Pi has no program that speaks HTTP: what is seen from here decides.
    if [ "$here" != "$version" ]; then
        say "$url answers with ${here:-nothing}, not with version $version; going back"
        remote rollback || die 3 "the Pi could not be put back as it was"
        die 1 "version $version did not work; on the Pi all is as it was"
    fi
    remote commit
fi
if [ "$here" = "$version" ]; then
    say "Done: version $version answers at $url"
elif [ -z "$here" ]; then
    say "Done: version $version answers on the Pi; from here $url does not tell its version (a firewall, another address, or it wants a password)"
else
    say "Done: version $version answers on the Pi; but $url says version $here: is it another machine?"
fi
