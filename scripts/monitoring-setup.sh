#!/usr/bin/env bash
#
# monitoring-setup.sh - sets up Prometheus and Grafana for one Pi or for many, and
# says that a Pi is up only when Prometheus has proved it.
#
#   scripts/monitoring-setup.sh [options] PI_ADDRESS...
#
#   PI_ADDRESS   where the agent of a Pi answers, as NAME, ADDRESS or ADDRESS:PORT
#                (default port 9100; IPv6 as [ADDRESS]). Pis given earlier stay.
#
# For Pis that want a password, a token or TLS (docs/security.md); holds for the Pis
# of this run, the others keep what they have
#   --password-file FILE   one line NAME:PASSWORD, or the agent's --web.auth-file itself
#   --user NAME            then FILE holds the password alone
#   --token-file FILE      one line with the token, or the agent's --web.auth-file itself
#   --ca FILE              HTTPS; FILE has the certificate of the authority, PEM
#   --tls                  HTTPS, with the authorities that this machine trusts
#
# Options
#   --platform P   apt (Debian, Raspberry Pi OS), brew (macOS), docker or podman;
#                  default: the first of these that is here
#   --dir DIR      configuration and data; default /var/lib/pi-monitoring for
#                  root, ~/.local/share/pi-monitoring for others
#   --service      make systemd services; default where systemd runs
#   --no-service   start plain processes, known by their pid files
#   --no-grafana   Prometheus only; --grafana: both, after an earlier --no-grafana
#   --allow-down   go on although a Pi does not answer
#   --prometheus-port N, --grafana-port N    default 9090 and 3000
#   --retention T  how long Prometheus keeps data, default 1y
#   --reset        write every file as this version has it, also those that you have
#                  changed; yours are kept in DIR/backups
#   --dry-run      say what would be done, and do nothing
#   --stop         end what this script has started; configuration and data stay
#   --uninstall    --stop, and remove the configuration; --purge: the data as well
#   -h, --help     this text
#
# Installs what is missing after saying so: Prometheus from the distribution,
# Grafana from Grafana's own package source (Debian has no Grafana). Prometheus
# listens on this machine only, Grafana on all addresses: everybody may look, the
# user "admin" may change; the password is in DIR/grafana/admin-password.
#
# With systemd it makes the services pi-monitoring-prometheus and
# pi-monitoring-grafana, which start at boot. Without (macOS, containers) run this
# script again after a reboot. It never touches another Prometheus or Grafana: run
# it again as often as you like, and it stops only what it has started itself.
#
# A new Pi: run it again with the Pi's address, or add a line to DIR/targets/pis.yml.
# Ports, --retention and --no-grafana are remembered.
#
# What you change stays: a file that is not as this script wrote it last is left alone.
# If there is a newer version of it, that is put beside it as FILE.new. A file of rules
# or a dashboard that you remove stays away.
#
# Environment: PI_INSTALL=no names what is missing instead of installing it.
#
# Exit status: 0 every Pi is up, 1 something is not, 2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/lib/toolchain.sh"

# Prometheus and Grafana run as users of their own and must be able to read what is written here.
umask 022
SOURCE=$REPO/monitoring
PLATFORM='' DIR='' SERVICE=auto GRAFANA='' ALLOW_DOWN=no DRY=no ACTION=start PURGE=no RESET=no
PROMETHEUS_PORT='' GRAFANA_PORT='' RETENTION=''
PASSWORD_FILE='' ACCESS_USER='' TOKEN_FILE='' CA_FILE='' TLS=no
PIS=()
ARGUMENTS=("$@")

value() { if [ $# -lt 2 ] || [ -z "$2" ]; then die 2 "$1 needs a value"; fi; }
while [ $# -gt 0 ]; do
    case $1 in
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
    --platform) value "$@"; PLATFORM=$2; shift ;;
    --dir) value "$@"; DIR=$2; shift ;;
    --service) SERVICE=yes ;;
    --no-service) SERVICE=no ;;
    --grafana) GRAFANA=yes ;;
    --no-grafana) GRAFANA=no ;;
    --password-file) value "$@"; PASSWORD_FILE=$2; shift ;;
    --user) value "$@"; ACCESS_USER=$2; shift ;;
    --token-file) value "$@"; TOKEN_FILE=$2; shift ;;
    --ca) value "$@"; CA_FILE=$2 TLS=yes; shift ;;
    --tls) TLS=yes ;;
    --reset) RESET=yes ;;
    --allow-down) ALLOW_DOWN=yes ;;
    --prometheus-port) value "$@"; PROMETHEUS_PORT=$2; shift ;;
    --grafana-port) value "$@"; GRAFANA_PORT=$2; shift ;;
    --retention) value "$@"; RETENTION=$2; shift ;;
    --dry-run) DRY=yes ;;
    --stop) ACTION=stop ;;
    --uninstall) ACTION=uninstall ;;
    --purge) PURGE=yes ;;
    -h | --help) usage "$0"; exit 0 ;;
    -*) die 2 "unknown option $1 (see --help)" ;;
    *) PIS+=("$1") ;;
    esac
    shift
done
check_numbers() { # of the command line, or remembered
    local port
    for port in "$PROMETHEUS_PORT" "$GRAFANA_PORT"; do
        [ -n "$port" ] || continue
        case $port in *[!0-9]*) die 2 "$port is not a port" ;; esac
        { [ ${#port} -le 5 ] && [ "$port" -ge 1 ] && [ "$port" -le 65535 ]; } || die 2 "$port is not a port"
    done
    [ -z "$RETENTION" ] || [[ $RETENTION =~ ^[0-9]+[hdwy]$ ]] || die 2 "--retention $RETENTION: expected a number and h, d, w or y, such as 90d"
}
check_numbers
[ $PURGE = no ] || [ $ACTION = uninstall ] || die 2 "--purge needs --uninstall"
# What is written into a YAML file must be an address and nothing else.
for pi in ${PIS[@]+"${PIS[@]}"}; do
    [[ $pi =~ ^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$ ]] ||
        die 2 "$pi is no address: NAME, ADDRESS or ADDRESS:PORT is meant (no http://, IPv6 in [ ])"
done
[ -z "$PASSWORD_FILE" ] || [ -z "$TOKEN_FILE" ] || die 2 "--password-file and --token-file: a Pi takes one of them"
[ -z "$ACCESS_USER" ] || [ -n "$PASSWORD_FILE" ] || die 2 "--user needs --password-file"
case $ACCESS_USER in *[:[:cntrl:]]*) die 2 "--user $ACCESS_USER: a name has no colon and no control character" ;; esac
if [ -n "$PASSWORD_FILE$TOKEN_FILE" ] || [ $TLS = yes ]; then
    if [ $ACTION != start ] || [ ${#PIS[@]} = 0 ]; then die 2 "--password-file, --token-file, --ca and --tls are for Pis that are given with them"; fi
    for file in "$PASSWORD_FILE" "$TOKEN_FILE" "$CA_FILE"; do
        [ -z "$file" ] || { [ -f "$file" ] && [ -r "$file" ]; } || die 2 "$file cannot be read, or is not a file"
    done
    [ -z "$CA_FILE" ] || grep -q -e '-----BEGIN CERTIFICATE-----' "$CA_FILE" || die 2 "--ca $CA_FILE: expected a certificate in PEM form, found no line \"-----BEGIN CERTIFICATE-----\""
fi

# --- where this runs --------------------------------------------------------

compose_of() { # PROGRAM: prints how its compose is called, status 1 if it has none
    if "$1" compose version >/dev/null 2>&1; then echo "$1 compose"
    elif have "$1-compose"; then echo "$1-compose"
    else return 1; fi
}
if [ -z "$PLATFORM" ]; then
    if [ "$(uname -s)" = Darwin ] && have brew; then PLATFORM=brew
    elif have_apt; then PLATFORM=apt
    elif have docker; then PLATFORM=docker
    elif have podman; then PLATFORM=podman
    else die 1 "found neither apt-get, Homebrew, Docker nor Podman; install one of them, or Prometheus and Grafana by hand (monitoring/README.md)"; fi
fi
case $PLATFORM in
apt | brew) ;;
docker | podman) ;;
*) die 2 "--platform $PLATFORM: apt, brew, docker or podman is meant" ;;
esac
if [ $SERVICE = yes ] && [ "$PLATFORM" != apt ]; then die 2 "--service is for --platform apt: containers restart by themselves, and elsewhere run this script again after a reboot"; fi
if [ $SERVICE = auto ]; then
    if [ "$PLATFORM" = apt ] && [ -d /run/systemd/system ] && have systemctl; then SERVICE=yes; else SERVICE=no; fi
fi
if [ $SERVICE = yes ] && [ "$(id -u)" != 0 ] && [ $DRY = no ]; then
    have sudo || die 1 "services need root: run this as root, or with --no-service"
    say "needs root for packages and services: going on with sudo"
    exec sudo -- env PI_INSTALL="$PI_INSTALL" "$0" ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}
fi
if [ -z "$DIR" ]; then
    if [ $SERVICE = yes ] || [ "$(id -u)" = 0 ]; then DIR=/var/lib/pi-monitoring; else DIR=${XDG_DATA_HOME:-${HOME:-~}/.local/share}/pi-monitoring; fi
fi
case $DIR in /*) ;; *) DIR=$PWD/$DIR ;; esac
case $DIR in *[!A-Za-z0-9/._+@-]*) die 2 "--dir $DIR: letters, digits and / . _ + @ - only, since it goes into configuration files" ;; esac
# A folder with anything else in it is not this script's to write to, let alone to remove.
MARK=$DIR/.pi-monitoring
if [ -d "$DIR" ] && [ ! -f "$MARK" ] && [ -n "$(ls -A "$DIR")" ]; then die 1 "$DIR was not made by this script and is not empty; choose another folder with --dir"; fi
# What an earlier run was given holds until another value is.
SETTINGS=$DIR/settings
if [ -f "$SETTINGS" ]; then
    while IFS='=' read -r key setting; do
        case $key in
        prometheus-port) PROMETHEUS_PORT=${PROMETHEUS_PORT:-$setting} ;;
        grafana-port) GRAFANA_PORT=${GRAFANA_PORT:-$setting} ;;
        retention) RETENTION=${RETENTION:-$setting} ;;
        grafana) GRAFANA=${GRAFANA:-$setting} ;;
        esac
    done <"$SETTINGS"
    check_numbers
fi
PROMETHEUS_PORT=${PROMETHEUS_PORT:-9090} GRAFANA_PORT=${GRAFANA_PORT:-3000} RETENTION=${RETENTION:-1y} GRAFANA=${GRAFANA:-yes}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
CONTAINERS=no COMPOSE=
case $PLATFORM in docker | podman) CONTAINERS=yes ;; esac

# --- doing, or saying -------------------------------------------------------

# do_it COMMAND...: runs it, or with --dry-run prints it.
do_it() {
    if [ $DRY = yes ]; then
        if [ "$1" = bounded ]; then shift 2; fi
        printf 'would run:'
        printf ' %q' "$@"
        printf '\n'
    else "$@"; fi
}
# write FILE [MODE]: makes FILE of standard input, whatever it was; says nothing if it is so already.
CHANGED=no
write() {
    cat >"$WORK/write"
    if [ -f "$1" ] && cmp -s "$WORK/write" "$1"; then return 0; fi
    CHANGED=yes
    if [ $DRY = yes ]; then
        echo "would write: $1"
        return 0
    fi
    mkdir -p "$(dirname "$1")"
    (umask 077; cat "$WORK/write" >"$1.tmp")
    chmod "${2:-644}" "$1.tmp"
    mv "$1.tmp" "$1"
    say "wrote $1"
}

# The checksums of what was written, or offered as FILE.new, last: "SUM FILE" on each line. A file
# with another sum was changed by somebody.
WRITTEN=$DIR/.written
sum_of() { if have sha256sum; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d' ' -f1; }
recorded() { [ ! -f "$WRITTEN" ] || awk -v file="$1" '$2 == file { print $1 }' "$WRITTEN"; }
record() { # FILE SUM
    if [ $DRY = yes ] || [ "$(recorded "$1")" = "$2" ]; then return 0; fi
    mkdir -p "$DIR"
    { [ ! -f "$WRITTEN" ] || awk -v file="$1" '$2 != file' "$WRITTEN"; echo "$2 $1"; } >"$WORK/written"
    cat "$WORK/written" >"$WRITTEN"
}
# Whether a file without a record is one of this repository's own, now or earlier.
one_of_ours() {
    local blob
    have git && blob=$(git hash-object --no-filters "$1" 2>/dev/null) && git -C "$REPO" cat-file -e "$blob^{blob}" 2>/dev/null
}
changed_by_hand() { # FILE
    local last
    last=$(recorded "$1")
    if [ -n "$last" ]; then [ "$(sum_of "$1")" != "$last" ]
    elif one_of_ours "$1"; then return 1; fi
}
backup() { # FILE: keeps it as it is
    local to
    to=$DIR/backups/$(date +%Y%m%d-%H%M%S)-$(echo "${1#"$DIR"/}" | tr / _)
    if [ $DRY = yes ]; then echo "would keep $1 as $to"; return 0; fi
    mkdir -p "$DIR/backups"
    chmod 700 "$DIR/backups"
    while [ -e "$to" ]; do to=$to+; done
    cp -p "$1" "$to"
    say "kept $1 as $to"
}
# put FILE [MODE [removable]]: as write, but never over what somebody has changed, and not
# again what is removable and was removed.
KEPT=()
put() {
    local file=$1 last new
    cat >"$WORK/put"
    last=$(recorded "$file")
    new=$(sum_of "$WORK/put")
    if [ ! -e "$file" ]; then
        if [ "${3:-}" = removable ] && [ -n "$last" ] && [ $RESET = no ]; then
            say "$file was removed and stays away (--reset brings it back)"
            return 0
        fi
    elif ! cmp -s "$WORK/put" "$file" && changed_by_hand "$file"; then
        if [ $RESET = no ]; then
            if [ "$new" != "$last" ]; then
                if [ $DRY = yes ]; then echo "would keep: $file (changed by hand), and write $file.new"
                else
                    (umask 077; cat "$WORK/put" >"$file.new")
                    chmod "${2:-644}" "$file.new"
                    record "$file" "$new"
                fi
            fi
            [ ! -e "$file.new" ] || KEPT+=("$file")
            return 0
        fi
        backup "$file"
    fi
    [ $DRY = yes ] || rm -f "$file.new"
    write "$file" "${2:-644}" <"$WORK/put"
    record "$file" "$new"
}
copy() { put "$2" 644 "${3:-}" <"$1"; }

fetch() { curl -fsS --noproxy '*' --connect-timeout 4 --max-time "${2:-8}" "$1" 2>&1; }
prometheus_url=http://127.0.0.1:$PROMETHEUS_PORT
grafana_url=http://127.0.0.1:$GRAFANA_PORT

# --- what it has started ----------------------------------------------------

# A pid file holds the number of the process and when it started: a number alone may
# belong to another process by now. On Linux the start is in ticks since boot, macOS has ps.
started_at() {
    if [ -r "/proc/$1/stat" ]; then
        printf '%s %s\n' "$(cat /proc/sys/kernel/random/boot_id)" "$(sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20)"
    elif [ ! -d /proc/self ]; then
        LC_ALL=C TZ=UTC ps -o lstart= -p "$1" 2>/dev/null | sed 's/^ *//; s/ *$//'
    fi
}
own_pid() { # NAME: prints the number of the running process that this script has started
    local file=$DIR/run/$1.pid pid start
    [ -f "$file" ] || return 1
    { read -r pid; read -r start; } <"$file" || return 1
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    [ -n "$start" ] && [ "$(started_at "$pid")" = "$start" ] || return 1
    echo "$pid"
}
stop_process() { # NAME
    local pid i
    if ! pid=$(own_pid "$1"); then
        [ $DRY = yes ] || rm -f "$DIR/run/$1.pid"
        return 0
    fi
    if [ $DRY = yes ]; then echo "would run: kill $pid ($1)"; return 0; fi
    say "stopping $1 (process $pid)"
    kill "$pid" 2>/dev/null || true
    for ((i = 0; i < 150; i++)); do
        own_pid "$1" >/dev/null || break
        sleep 0.2
    done
    if own_pid "$1" >/dev/null; then
        say "$1 did not end within 30 s: killing it"
        kill -9 "$pid" 2>/dev/null || true
    fi
    rm -f "$DIR/run/$1.pid"
}
start_process() { # NAME USER COMMAND...: in the background, with its log in DIR/log
    local name=$1 user=$2 pid runner=()
    shift 2
    if [ $DRY = yes ]; then do_it "$@"; return 0; fi
    if [ "$(id -u)" = 0 ] && [ -n "$user" ] && id "$user" >/dev/null 2>&1 && have setpriv; then
        runner=(setpriv "--reuid=$user" "--regid=$user" --clear-groups)
        if "${runner[@]}" test -r "$DIR/prometheus.yml"; then chown -R "$user:" "$DIR/data/$name"
        else
            say "user $user cannot read $DIR: $name runs as $(id -un)"
            runner=()
        fi
    fi
    mkdir -p "$DIR/run" "$DIR/log"
    # nohup, and a process group of its own: it stays when the terminal goes.
    set -m
    nohup ${runner[@]+"${runner[@]}"} "$@" >>"$DIR/log/$name.log" 2>&1 </dev/null &
    pid=$!
    set +m
    printf '%s\n%s\n' "$pid" "$(started_at "$pid")" >"$DIR/run/$name.pid"
    say "started $name (process $pid, log $DIR/log/$name.log)"
}

UNITS=/etc/systemd/system
unit() { # NAME USER ENVIRONMENT COMMAND
    put "$UNITS/pi-monitoring-$1.service" <<UNIT
# Made by monitoring-setup.sh of Pi-Monitor.
[Unit]
Description=Pi-Monitor: $1
After=network-online.target
Wants=network-online.target

[Service]
User=$2
${3}ExecStart=$4
ExecReload=/bin/kill -HUP \$MAINPID
Restart=on-failure
RestartSec=5
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ReadWritePaths=$DIR/data/$1

[Install]
WantedBy=multi-user.target
UNIT
}

compose() { # ARGUMENT...: with what compose.yaml expects
    # shellcheck disable=SC2086  # COMPOSE is one word or two
    PI_MONITORING_DIR=$DIR PI_PROMETHEUS_PORT=$PROMETHEUS_PORT PI_GRAFANA_PORT=$GRAFANA_PORT PI_RETENTION=$RETENTION \
        PI_GRAFANA_PASSWORD=$(cat "$DIR/grafana/admin-password" 2>/dev/null || echo none) \
        do_it bounded 900 $COMPOSE -f "$DIR/compose.yaml" "$@"
}

stop_all() {
    local name
    if [ $CONTAINERS = yes ]; then
        if [ -f "$DIR/compose.yaml" ] || [ $DRY = yes ]; then
            COMPOSE=$(compose_of "$PLATFORM") || { [ $DRY = yes ] && COMPOSE="$PLATFORM compose"; } || die 1 "$PLATFORM has no compose"
            if [ $PURGE = yes ]; then compose down --volumes; else compose down; fi
        fi
        return
    fi
    for name in grafana prometheus; do
        stop_process $name
        if [ -f "$UNITS/pi-monitoring-$name.service" ] && [ $SERVICE = yes ]; then
            do_it systemctl disable --now "pi-monitoring-$name.service"
        fi
    done
}

if [ $ACTION != start ]; then
    [ ${#PIS[@]} = 0 ] || die 2 "--$ACTION is for all; to leave out one Pi, delete its line in $DIR/targets/pis.yml"
    if [ ! -f "$MARK" ]; then
        say "nothing to do: there is nothing of this script in $DIR"
        exit 0
    fi
    stop_all
    if [ $ACTION = uninstall ]; then
        if [ $SERVICE = yes ]; then
            for name in grafana prometheus; do
                if [ -f "$UNITS/pi-monitoring-$name.service" ]; then
                    if [ $PURGE = no ] && changed_by_hand "$UNITS/pi-monitoring-$name.service"; then backup "$UNITS/pi-monitoring-$name.service"; fi
                    do_it rm -f "$UNITS/pi-monitoring-$name.service" "$UNITS/pi-monitoring-$name.service.new"
                fi
            done
            do_it systemctl daemon-reload
        fi
        # Only what is known to be this script's own; DIR may be a folder that has more in it.
        if [ $PURGE = no ]; then
            for file in "$DIR"/*.y*ml "$DIR"/rules/*.yml "$DIR"/targets/*.yml "$DIR"/access/*/pis.yml "$DIR"/grafana/grafana.ini "$DIR"/grafana/*/*.json "$DIR"/grafana/*/*/*.yml; do
                if [ -f "$file" ] && changed_by_hand "$file"; then backup "$file"; fi
            done
        fi
        do_it rm -rf "$DIR/prometheus.yml" "$DIR/prometheus.yml.new" "$DIR/compose.yaml" "$DIR/compose.yaml.new" "$DIR/rules" "$DIR/targets" \
            "$DIR/access" "$DIR/grafana" "$DIR/run" "$DIR/log" "$SETTINGS" "$WRITTEN"
        if [ $PURGE = yes ]; then do_it rm -rf "$DIR/data" "$DIR/backups"; fi
        if [ ! -d "$DIR/data" ] && [ ! -d "$DIR/backups" ]; then do_it rm -f "$MARK"; fi
        if [ $DRY = no ]; then rmdir "$DIR" 2>/dev/null || { [ ! -d "$DIR" ] || say "$DIR keeps what is left in it (data, and backups of what you had changed: --purge removes them)"; }; fi
        say "the packages stay; remove them with the package manager if nothing else needs them"
    fi
    exit 0
fi

# --- the Pis ----------------------------------------------------------------

# Pis without access control are in targets/, those with the same password, token and authority
# in a folder access/N, which is a job of its own in prometheus.yml.
TARGETS=$DIR/targets/pis.yml
# Prints "FILE PI" for each Pi that is known.
known_pis() {
    local file
    for file in "$DIR"/targets/*.yml "$DIR"/access/*/pis.yml; do
        [ -f "$file" ] || continue
        # Both ways to write a list: one on each line, or [a, b].
        awk -v file="$file" '
            /^[ \t]*#/ { next }
            { gsub(/["\047]/, ""); sub(/[ \t]#.*/, "") }
            /targets:[ \t]*\[/ { sub(/.*targets:[ \t]*\[/, ""); sub(/\].*/, ""); n = split($0, pis, /[ \t]*,[ \t]*/); for (i = 1; i <= n; i++) print file, pis[i]; next }
            /targets:/ { next }
            /^[ \t]*-[ \t]*[^ \t]/ { sub(/^[ \t]*-[ \t]*/, ""); sub(/[ \t].*/, ""); print file, $0 }' "$file"
    done
}
KNOWN=() KNOWN_IN=()
while read -r file pi; do KNOWN+=("$pi") KNOWN_IN+=("$file"); done < <(known_pis)
[ ${#PIS[@]} -gt 0 ] || [ ${#KNOWN[@]} -gt 0 ] || die 2 "which Pis? Give their addresses (see --help)"

# The address that Prometheus uses, always with the port.
with_port() {
    local address=$1
    if [ $CONTAINERS = yes ]; then
        case $address in
        localhost | localhost:* | 127.0.0.1 | 127.0.0.1:*) address=host.docker.internal${address#localhost} address=${address/internal127.0.0.1/internal} ;;
        esac
    fi
    if [[ $address =~ (\]|^[^:]*)$ ]]; then echo "$address:9100"; else echo "$address"; fi
}
# The name that prometheus.yml gives it.
instance_of() { local address; address=$(with_port "$1"); echo "${address%:9100}"; }
# The file that a Pi is in already, or nothing.
file_of() {
    local i name
    name=$(instance_of "$1")
    for i in ${KNOWN[@]+"${!KNOWN[@]}"}; do
        if [ "$(instance_of "${KNOWN[i]}")" = "$name" ]; then echo "${KNOWN_IN[i]}"; return; fi
    done
}

# secret_line FILE WORD: the first line that is no comment; of the agent's --web.auth-file, the
# first that begins with WORD, without it.
secret_line() {
    LC_ALL=C tr -d '\r' <"$1" | LC_ALL=C sed $'1s/^\xef\xbb\xbf//' | awk -v word="$2" '
        /^[ \t]*(#|$)/ { next }
        first == "" { first = $0 }
        /^(basic|bearer)[ \t]/ && $1 == word && found == "" { found = $0; sub(/^[a-z]+[ \t]+/, "", found) }
        END { print (found != "" ? found : first) }'
}
# What the options say, as a folder like those in DIR/access.
ACCESS=
if [ -n "$PASSWORD_FILE$TOKEN_FILE" ] || [ $TLS = yes ]; then
    ACCESS=$WORK/access
    (umask 077; mkdir "$ACCESS")
    if [ -n "$PASSWORD_FILE" ]; then
        secret=$(secret_line "$PASSWORD_FILE" basic)
        case $secret in "bearer "*) die 2 "$PASSWORD_FILE holds a token: use --token-file" ;; esac
        if [ -z "$ACCESS_USER" ]; then
            case $secret in
            ?*:?*) ACCESS_USER=${secret%%:*} secret=${secret#*:} ;;
            *) die 2 "$PASSWORD_FILE: expected one line NAME:PASSWORD (or give the name with --user)" ;;
            esac
        fi
        [ -n "$secret" ] || die 2 "$PASSWORD_FILE is empty"
        printf '%s\n' "$ACCESS_USER" >"$ACCESS/user"
        printf '%s\n' "$secret" >"$ACCESS/password"
    fi
    if [ -n "$TOKEN_FILE" ]; then
        secret=$(secret_line "$TOKEN_FILE" bearer)
        case $secret in "basic "*) die 2 "$TOKEN_FILE holds a name and a password: use --password-file" ;; esac
        [[ $secret =~ ^[!-~]+$ ]] || die 2 "$TOKEN_FILE: expected one line with a token, without spaces"
        printf '%s\n' "$secret" >"$ACCESS/token"
    fi
    [ $TLS = no ] || : >"$ACCESS/https"
    [ -z "$CA_FILE" ] || cat "$CA_FILE" >"$ACCESS/ca.pem"
fi
same_access() { # FOLDER FOLDER
    local file
    for file in user password token https ca.pem; do
        if [ -e "$1/$file" ] || [ -e "$2/$file" ]; then cmp -s "$1/$file" "$2/$file" || return 1; fi
    done
}
# Where Pis with these options go.
PLACE=$TARGETS NEW_ACCESS=no
if [ -n "$ACCESS" ]; then
    number=1
    while [ -d "$DIR/access/$number" ] && ! same_access "$ACCESS" "$DIR/access/$number"; do number=$((number + 1)); done
    PLACE=$DIR/access/$number/pis.yml
    [ -d "$DIR/access/$number" ] || NEW_ACCESS=yes
fi

have curl || { [ $DRY = yes ] || { [ "$PLATFORM" = apt ] && apt_install "asking the Pis" curl; } || die 1 "needs curl: ${INSTALL_ERROR:-install it}"; }
quoted() { printf '"%s"\n' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }
# scrapes PI FOLDER: asks a Pi for /metrics as Prometheus will. Sets REASON, and status 1, when that does not work.
scrapes() {
    local folder=$2 scheme=http url status=0 code first
    : >"$WORK/curlrc"
    if [ -n "$folder" ]; then
        # In a file, since everybody on the machine can read a command line.
        if [ -f "$folder/password" ]; then echo "user = $(quoted "$(cat "$folder/user"):$(cat "$folder/password")")" >>"$WORK/curlrc"; fi
        if [ -f "$folder/token" ]; then echo "header = $(quoted "Authorization: Bearer $(cat "$folder/token")")" >>"$WORK/curlrc"; fi
        if [ -f "$folder/ca.pem" ]; then echo "cacert = $(quoted "$folder/ca.pem")" >>"$WORK/curlrc"; fi
        if [ -f "$folder/https" ]; then scheme=https; fi
    fi
    url=$scheme://$1
    if [[ $1 =~ (\]|^[^:]*)$ ]]; then url=$url:9100; fi
    url=$url/metrics
    : >"$WORK/body"
    code=$(curl -q -K "$WORK/curlrc" -sS -g --noproxy '*' --connect-timeout 4 --max-time 15 -o "$WORK/body" -w '%{http_code}' "$url" 2>"$WORK/error") || status=$?
    first=$(head -c 200 "$WORK/body" | LC_ALL=C tr -c '[:print:]' ' ' | sed 's/  */ /g; s/ $//' | cut -c1-60)
    REASON=
    case $status:$code in
    0:200)
        grep -aq '^pi_' "$WORK/body" && return 0
        if grep -aq '^node_exporter_build_info' "$WORK/body"; then REASON="node_exporter answers at $url; Pi-Monitor is not there, or on another port"
        else REASON="what answers at $url is no Pi-Monitor: it says \"$first\""; fi ;;
    0:401)
        if [ -n "$folder" ] && [ -f "$folder/token" ]; then REASON="$url refuses the token (HTTP 401)"
        elif [ -n "$folder" ] && [ -f "$folder/password" ]; then REASON="$url refuses the password of user $(cat "$folder/user") (HTTP 401)"
        else REASON="$url wants a password or a token (HTTP 401): give --password-file or --token-file"; fi ;;
    0:403) REASON="$url refuses this name (HTTP 403): add it to the agent's --web.allowed-hosts, or use the address" ;;
    0:400)
        if [ $scheme = http ] && grep -aqiE 'https|tls' "$WORK/body"; then REASON="$url speaks HTTPS only: give --ca, or --tls for a certificate of a public authority"
        else REASON="$url answers HTTP 400: \"$first\""; fi ;;
    0:*) REASON="what answers at $url is no Pi-Monitor: HTTP $code \"$first\"" ;;
    6:*) REASON="no machine is called ${1%:*}: $(tail -n 1 "$WORK/error")" ;;
    51:* | 60:*)
        if grep -qiE 'subject name|does not match' "$WORK/error"; then REASON="the certificate at $url is for another name: $(grep -m 1 '^curl:' "$WORK/error")"
        elif [ -f "$folder/ca.pem" ]; then REASON="the certificate at $url is not signed by the authority of --ca, or has expired: $(grep -m 1 '^curl:' "$WORK/error")"
        else REASON="this machine does not trust the certificate at $url: give its authority with --ca ($(grep -m 1 '^curl:' "$WORK/error"))"; fi ;;
    35:*) REASON="no TLS at $url ($(grep -m 1 '^curl:' "$WORK/error")): does the agent speak plain HTTP? Then leave out --ca and --tls" ;;
    77:*) REASON="curl cannot use the certificate of --ca: $(tail -n 1 "$WORK/error")" ;;
    28:*) REASON="no agent answers at $url: no answer in time" ;;
    *) REASON="no agent answers at $url: $(tail -n 1 "$WORK/error")" ;;
    esac
    return 1
}
DOWN=()
for pi in ${PIS[@]+"${PIS[@]}"}; do
    folder=$ACCESS
    if [ -z "$folder" ]; then
        folder=$(dirname "$(file_of "$pi")")
        case $folder in "$DIR"/access/*) ;; *) folder= ;; esac
    fi
    if scrapes "$pi" "$folder"; then say "$pi answers"
    else
        say "error: $REASON"
        DOWN+=("$pi")
    fi
done
if [ ${#DOWN[@]} -gt 0 ] && [ $ALLOW_DOWN = no ] && [ $DRY = no ]; then
    die 1 "nothing was changed. Correct what is named above, or go on without with --allow-down: ${DOWN[*]}"
fi

# --- programs ---------------------------------------------------------------

grafana_from_apt() {
    package_installed grafana && return 0
    if [ $DRY = yes ]; then
        echo "would add: /etc/apt/sources.list.d/grafana.list (Grafana's package source) and its key /etc/apt/keyrings/grafana.asc"
        echo "would run: apt-get update && apt-get install grafana"
        return 0
    fi
    if [ "$PI_INSTALL" != yes ]; then INSTALL_ERROR="grafana is missing (PI_INSTALL=no)"; return 1; fi
    if [ -z "$(apt_candidate grafana)" ]; then
        local key
        can_be_root || { INSTALL_ERROR="needs root or sudo to add Grafana's package source"; return 1; }
        say "Debian has no Grafana: adding Grafana's own package source (apt.grafana.com)"
        key=$(mktemp)
        if ! curl -fsSL --connect-timeout 10 --max-time 60 -o "$key" https://apt.grafana.com/gpg.key || ! grep -q 'BEGIN PGP PUBLIC KEY' "$key"; then
            rm -f "$key"
            INSTALL_ERROR="Grafana's package source (apt.grafana.com) cannot be reached"
            return 1
        fi
        $SUDO install -D -m 644 "$key" /etc/apt/keyrings/grafana.asc
        rm -f "$key"
        echo "deb [signed-by=/etc/apt/keyrings/grafana.asc] https://apt.grafana.com stable main" |
            $SUDO tee /etc/apt/sources.list.d/grafana.list >/dev/null
        APT_UPDATED=no
        apt_update || true
    fi
    apt_install "the dashboards" grafana
}

GRAFANA_ERROR=
case $PLATFORM in
apt)
    if [ $DRY = yes ]; then
        have prometheus || echo "would run: apt-get install prometheus"
    else
        # Its own service would take port 9090 at the next boot; it goes only if the package came from here.
        new=no
        have prometheus || new=yes
        need_commands "storing metrics" prometheus:prometheus || die 1 "cannot install Prometheus: $INSTALL_ERROR"
        if [ $new = yes ] && [ $SERVICE = yes ]; then systemctl disable --now prometheus.service >/dev/null 2>&1 || true; fi
    fi
    if [ "$GRAFANA" = yes ]; then grafana_from_apt || GRAFANA_ERROR=$INSTALL_ERROR; fi
    GRAFANA_HOME=/usr/share/grafana
    ;;
brew)
    missing=()
    have prometheus || missing+=(prometheus)
    if [ "$GRAFANA" = yes ] && ! have grafana; then missing+=(grafana); fi
    if [ ${#missing[@]} -gt 0 ]; then
        [ "$PI_INSTALL" = yes ] || die 1 "missing (PI_INSTALL=no): ${missing[*]}"
        [ $DRY = yes ] || have brew || die 1 "needs Homebrew"
        [ $DRY = yes ] || say "installing with Homebrew: ${missing[*]}"
        do_it bounded 1800 brew install "${missing[@]}"
    fi
    GRAFANA_HOME=$(bounded 20 brew --prefix grafana 2>/dev/null || echo /opt/homebrew/opt/grafana)/share/grafana
    ;;
docker | podman)
    if ! COMPOSE=$(compose_of "$PLATFORM"); then
        [ $DRY = yes ] || die 1 "$PLATFORM compose is missing: install $PLATFORM and its compose plugin"
        COMPOSE="$PLATFORM compose"
    fi
    ;;
esac
if [ -n "$GRAFANA_ERROR" ]; then say "error: no Grafana: $GRAFANA_ERROR. Going on with Prometheus alone"; fi

# --- files ------------------------------------------------------------------

# prometheus.yml is the file that people change: a new job goes into it, the rest stays.
CONFIG=$DIR/prometheus.yml
# job_of N: the job for access/N: as the one for Pis without, with another list and the access.
job_of() {
    local folder=$DIR/access/$1
    if [ ! -d "$folder" ]; then folder=$ACCESS; fi
    sed -n '/# --- pi-monitor: begin/,/# --- pi-monitor: end/p' "$SOURCE/prometheus.yml" | grep -v '^ *#' | sed "s|targets/\*\.yml|access/$1/pis.yml|" | {
        echo "  # --- pi-monitor-access-$1: begin. monitoring-setup.sh made this job"
        while IFS= read -r line; do
            case $line in
            *"- job_name: "*)
                echo "  - job_name: pi-monitor-access-$1"
                if [ -f "$folder/https" ]; then echo "    scheme: https"; fi
                if [ -f "$folder/ca.pem" ]; then printf '    tls_config:\n      ca_file: access/%s/ca.pem\n' "$1"; fi
                if [ -f "$folder/token" ]; then printf '    authorization:\n      credentials_file: access/%s/token\n' "$1"; fi
                if [ -f "$folder/password" ]; then
                    printf "    basic_auth:\n      username: '%s'\n      password_file: access/%s/password\n" "$(sed "s/'/''/g" "$folder/user")" "$1"
                fi ;;
            *) printf '%s\n' "$line" ;;
            esac
        done
        printf '      # One name for all Pis, so that graphs show them together.\n      - target_label: job\n        replacement: pi-monitor\n'
        echo "  # --- pi-monitor-access-$1: end"
    }
}
# insert_job N: copies standard input with the job in it, right below "scrape_configs:" and indented like
# the jobs that are there. Status 1 if there is no such line.
insert_job() {
    job_of "$1" >"$WORK/job"
    awk -v job="$WORK/job" '
        waiting && !/^ *(#.*)?$/ { add(); waiting = 0 }
        { line[++count] = $0; if (!waiting) flush() }
        !done && /^scrape_configs:[ \t]*(#.*)?$/ { waiting = done = 1; flush() }
        END { if (waiting) add(); flush(); exit !done }
        function flush(  i) { for (i = 1; i <= count; i++) print line[i]; count = 0 }
        function add(  indent, text) {
            indent = match($0, /^ *- /) ? RLENGTH - 2 : 2
            while ((getline text < job) > 0) print (text == "" ? "" : sprintf("%" indent "s", "") substr(text, 3))
        }'
}
wanted_jobs() { # the numbers of all folders in access
    local folder
    for folder in "$DIR"/access/*/; do if [ -d "$folder" ]; then basename "$folder"; fi; done
    if [ $NEW_ACCESS = yes ]; then echo "$number"; fi
}
cat "$SOURCE/prometheus.yml" >"$WORK/shipped"
for job in $(wanted_jobs | sort -rn); do
    insert_job "$job" <"$WORK/shipped" >"$WORK/next"
    mv "$WORK/next" "$WORK/shipped"
done
cp "$WORK/shipped" "$WORK/config"
CONFIG_BY_HAND=no
if [ -f "$CONFIG" ] && ! cmp -s "$WORK/shipped" "$CONFIG" && changed_by_hand "$CONFIG" && [ $RESET = no ]; then
    CONFIG_BY_HAND=yes
    cat "$CONFIG" >"$WORK/config"
    for job in $(wanted_jobs | sort -rn); do
        if grep -qE "pi-monitor-access-$job([^0-9]|\$)" "$CONFIG" || grep -q "access/$job/pis\.yml" "$CONFIG"; then continue; fi
        insert_job "$job" <"$WORK/config" >"$WORK/next" || {
            job_of "$job" >&2
            die 1 "$CONFIG has no line \"scrape_configs:\" with jobs below it: nothing was changed. Add the job above yourself, with the files of $DIR/access/$job, or use --reset"
        }
        mv "$WORK/next" "$WORK/config"
    done
fi
echo "Made by monitoring-setup.sh of Pi-Monitor; --uninstall removes it." | write "$MARK"
printf 'prometheus-port=%s\ngrafana-port=%s\nretention=%s\ngrafana=%s\n' "$PROMETHEUS_PORT" "$GRAFANA_PORT" "$RETENTION" "$GRAFANA" | write "$SETTINGS"
# Who runs Prometheus has to read the secrets; nobody else does.
secret() { # FILE: made of standard input
    local mode=600 owner=
    if [ "$(id -u)" = 0 ]; then
        if [ $CONTAINERS = yes ]; then owner=65534:65534    # the images' user
        elif id prometheus >/dev/null 2>&1; then owner=prometheus:; fi
    elif [ $CONTAINERS = yes ]; then
        mode=644
        say "note: every user of this machine can read $1, since the container's user has to"
    fi
    write "$1" $mode
    if [ -n "$owner" ] && [ $DRY = no ]; then chown "$owner" "$1"; fi
}
[ $DRY = yes ] || mkdir -p "$DIR/access"
if [ $NEW_ACCESS = yes ]; then
    for file in user password token https ca.pem; do
        [ -f "$ACCESS/$file" ] || continue
        case $file in
        password | token) secret "$DIR/access/$number/$file" <"$ACCESS/$file" ;;
        *) write "$DIR/access/$number/$file" <"$ACCESS/$file" ;;
        esac
    done
fi
if [ $DRY = no ] && [ $CONTAINERS = no ] && have promtool && [ -f "$CONFIG" ]; then
    # Beside the file itself, since its paths are relative to it.
    cat "$WORK/config" >"$DIR/.check.yml"
    problems=$(promtool check config "$DIR/.check.yml" 2>&1) || {
        rm -f "$DIR/.check.yml"
        [ $NEW_ACCESS = no ] || rm -rf "$DIR/access/$number"
        die 1 "promtool rejects $CONFIG, and it was not changed: ${problems//.check.yml/prometheus.yml}"
    }
    rm -f "$DIR/.check.yml"
fi
if [ $CONFIG_BY_HAND = no ]; then put "$CONFIG" <"$WORK/config"
else
    if ! cmp -s "$WORK/config" "$CONFIG"; then
        backup "$CONFIG"
        write "$CONFIG" <"$WORK/config"
    fi
    # Only news of the file itself is worth a FILE.new, not a job that was added to both.
    if [ "$(recorded "$CONFIG.source")" != "$(sum_of "$SOURCE/prometheus.yml")" ] && [ $DRY = no ]; then cat "$WORK/shipped" >"$CONFIG.new"; fi
    [ ! -e "$CONFIG.new" ] || KEPT+=("$CONFIG")
fi
record "$CONFIG.source" "$(sum_of "$SOURCE/prometheus.yml")"
for file in "$SOURCE"/rules/*.yml; do copy "$file" "$DIR/rules/$(basename "$file")" removable; done

# add_pis FILE PI...: at the end of the first list; what a person has written stays.
add_pis() {
    local file=$1 lines
    shift
    [ $# -gt 0 ] || [ ! -f "$file" ] || return 0
    if [ ! -f "$file" ]; then
        {
            sed '/^ *- local/d' "$SOURCE/targets/pis.yml"
            for pi in "$@"; do echo "    - '$pi'"; done
        } | write "$file"
        record "$file" "$(sum_of "$WORK/write")"
    else
        grep -q '^ *- targets: *\(#.*\)\{0,1\}$' "$file" || die 1 "$file has no line \"- targets:\" with one Pi on each of the next lines; add these yourself: $*"
        lines=$(printf '%s\n' "$@")
        # After the first "targets:", indented like the line that follows it.
        PI_LINES=$lines awk '
            waiting {
                indent = "    "
                if (match($0, /^ *- /) && $0 !~ /targets:/) indent = substr($0, 1, RLENGTH - 2)
                add(); waiting = 0
            }
            { print }
            !done && /^ *- targets: *(#.*)?$/ { waiting = done = 1 }
            END { if (waiting) { indent = "    "; add() } }
            function add(   n, i, pis) {
                n = split(ENVIRON["PI_LINES"], pis, "\n")
                for (i = 1; i <= n; i++) printf "%s- \047%s\047\n", indent, pis[i]
            }' "$file" | write "$file"
    fi
    if [ $DRY = yes ]; then for pi in "$@"; do echo "would add the Pi: $pi"; done; fi
}
# remove_pi FILE PI: for a Pi that moves to another list
remove_pi() {
    backup "$1"
    awk -v pi="$2" '{ name = $0; sub(/#.*/, "", name); sub(/^ *- */, "", name); gsub(/["\047 ]/, "", name) } name != pi' "$1" | write "$1"
}
ADD=() ADDED=' '
for pi in ${PIS[@]+"${PIS[@]}"}; do
    name=$(instance_of "$pi")
    old=$(file_of "$pi")
    case $ADDED in *" $name "*) continue ;; esac
    ADDED="$ADDED$name "
    if [ -z "$old" ]; then ADD+=("$name")
    elif [ -n "$ACCESS" ] && [ "$old" != "$PLACE" ]; then
        for i in "${!KNOWN[@]}"; do
            if [ "$(instance_of "${KNOWN[i]}")" = "$name" ]; then remove_pi "${KNOWN_IN[i]}" "${KNOWN[i]}"; fi
        done
        ADD+=("$name")
    fi
done
[ -f "$TARGETS" ] || [ "$PLACE" = "$TARGETS" ] || add_pis "$TARGETS"
add_pis "$PLACE" ${ADD[@]+"${ADD[@]}"}
CONFIG_CHANGED=$CHANGED
if [ "$GRAFANA" = yes ]; then
    for file in "$SOURCE"/grafana/dashboards/*.json; do copy "$file" "$DIR/grafana/dashboards/$(basename "$file")" removable; done
    copy "$SOURCE/grafana/provisioning/datasources/pi-monitor.yml" "$DIR/grafana/provisioning/datasources/pi-monitor.yml"
    copy "$SOURCE/grafana/provisioning/dashboards/pi-monitor.yml" "$DIR/grafana/provisioning/dashboards/pi-monitor.yml"
    if [ ! -s "$DIR/grafana/admin-password" ]; then
        # 18 random bytes, as text
        head -c 18 /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_' | write "$DIR/grafana/admin-password" 600
    fi
fi
if [ $CONTAINERS = yes ]; then
    # Containers read through the folder's owner and group alone on some systems.
    copy "$SOURCE/compose.yaml" "$DIR/compose.yaml"
elif [ "$GRAFANA" = yes ]; then
    # The password of the file counts at Grafana's first start only.
    put "$DIR/grafana/grafana.ini" <<INI
# Made by monitoring-setup.sh of Pi-Monitor.
[paths]
data = $DIR/data/grafana
logs = $DIR/data/grafana/log
plugins = $DIR/data/grafana/plugins
provisioning = $DIR/grafana/provisioning
[server]
http_port = $GRAFANA_PORT
[security]
admin_password = \$__file{$DIR/grafana/admin-password}
[auth.anonymous]
enabled = true
org_role = Viewer
[dashboards]
default_home_dashboard_path = $DIR/grafana/dashboards/pi-monitor-fleet.json
[analytics]
reporting_enabled = false
check_for_updates = false
[users]
default_theme = dark
INI
fi
if [ $DRY = no ] && [ $CONTAINERS = no ] && have promtool; then
    problems=$(promtool check config "$DIR/prometheus.yml" 2>&1) || die 1 "promtool rejects $DIR/prometheus.yml: $problems"
fi

# --- start ------------------------------------------------------------------

busy() { fetch "http://127.0.0.1:$1/" 3 >/dev/null 2>&1 || (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
PROMETHEUS_ARGUMENTS=("--config.file=$DIR/prometheus.yml" "--storage.tsdb.path=$DIR/data/prometheus" "--storage.tsdb.retention.time=$RETENTION" "--web.listen-address=127.0.0.1:$PROMETHEUS_PORT")
GRAFANA_PROGRAM=(grafana server)
if ! have grafana && have grafana-server; then GRAFANA_PROGRAM=(grafana-server); fi
GRAFANA_ARGUMENTS=("--homepath=${GRAFANA_HOME:-}" "--config=$DIR/grafana/grafana.ini")

need_free() { # PORT OPTION WHAT
    [ $DRY = yes ] || ! busy "$1" || die 1 "port $1 of this machine is taken by another program: choose another one with $2 for $3, or stop it"
}
# NAME: whether what runs was started with these arguments.
same_arguments() { [ -f "$DIR/run/$1.arguments" ] && [ "$(cat "$DIR/run/$1.arguments")" = "$2" ]; }

if [ $CONTAINERS = yes ]; then
    if [ "$GRAFANA" = yes ]; then compose up -d; else compose up -d prometheus; fi
    # A single file that was replaced is seen only after a new start of its container; folders are seen at once.
    if [ "$CONFIG_CHANGED" = yes ]; then compose restart prometheus || true; fi
else
    if [ $DRY = no ]; then mkdir -p "$DIR/data/prometheus"; fi
    program=$(command -v prometheus || echo prometheus)
    if [ $SERVICE = yes ]; then
        if [ $DRY = no ]; then chown prometheus: "$DIR/data/prometheus"; fi
        CHANGED=no
        unit prometheus prometheus "" "$program ${PROMETHEUS_ARGUMENTS[*]}"
        if [ $DRY = yes ] || ! systemctl is-active --quiet pi-monitoring-prometheus.service; then need_free "$PROMETHEUS_PORT" --prometheus-port Prometheus; fi
        if [ $CHANGED = yes ]; then do_it systemctl daemon-reload; fi
        do_it systemctl enable pi-monitoring-prometheus.service
        if [ $CHANGED = yes ]; then do_it systemctl restart pi-monitoring-prometheus.service
        else do_it systemctl reload-or-restart pi-monitoring-prometheus.service; fi
    else
        if own_pid prometheus >/dev/null && ! same_arguments prometheus "$program ${PROMETHEUS_ARGUMENTS[*]}"; then stop_process prometheus; fi
        if pid=$(own_pid prometheus); then
            say "Prometheus runs already (process $pid)"
            do_it kill -HUP "$pid"
        else
            need_free "$PROMETHEUS_PORT" --prometheus-port Prometheus
            start_process prometheus prometheus "$program" "${PROMETHEUS_ARGUMENTS[@]}"
            if [ $DRY = no ]; then echo "$program ${PROMETHEUS_ARGUMENTS[*]}" >"$DIR/run/prometheus.arguments"; fi
        fi
    fi
    if [ "$GRAFANA" = yes ] && [ -z "$GRAFANA_ERROR" ]; then
        if [ $DRY = no ]; then mkdir -p "$DIR/data/grafana"; fi
        program=$(command -v "${GRAFANA_PROGRAM[0]}" || echo "${GRAFANA_PROGRAM[0]}")
        command=("$program" ${GRAFANA_PROGRAM[1]+"${GRAFANA_PROGRAM[1]}"} "${GRAFANA_ARGUMENTS[@]}")
        variables=("PI_PROMETHEUS_URL=$prometheus_url" "PI_DASHBOARDS=$DIR/grafana/dashboards")
        if [ $DRY = no ] && [ "$(id -u)" = 0 ] && id grafana >/dev/null 2>&1; then chown grafana: "$DIR/grafana/admin-password" "$DIR/data/grafana"; fi
        if [ $SERVICE = yes ]; then
            CHANGED=no
            unit grafana grafana "Environment=${variables[0]} ${variables[1]}"$'\n'"WorkingDirectory=$GRAFANA_HOME"$'\n' "${command[*]}"
            if [ $DRY = yes ] || ! systemctl is-active --quiet pi-monitoring-grafana.service; then need_free "$GRAFANA_PORT" --grafana-port Grafana; fi
            if [ $CHANGED = yes ]; then do_it systemctl daemon-reload; fi
            do_it systemctl enable pi-monitoring-grafana.service
            if [ $CHANGED = yes ]; then do_it systemctl restart pi-monitoring-grafana.service
            else do_it systemctl start pi-monitoring-grafana.service; fi
        elif pid=$(own_pid grafana) && same_arguments grafana "${command[*]}"; then
            say "Grafana runs already (process $pid); it reads changed dashboards by itself"
        else
            stop_process grafana
            need_free "$GRAFANA_PORT" --grafana-port Grafana
            start_process grafana grafana env "${variables[@]}" "${command[@]}"
            if [ $DRY = no ]; then echo "${command[*]}" >"$DIR/run/grafana.arguments"; fi
        fi
    fi
fi
if [ $DRY = yes ]; then
    echo "would wait until Prometheus says that each Pi is up, and until Grafana has both dashboards"
    exit 0
fi

# --- proof ------------------------------------------------------------------

progress() { # STARTED WHAT: a line every 10 s, so that nobody thinks it hangs
    local waited=$((SECONDS - $1))
    if [ $waited -ge 10 ] && [ $((waited / 10)) != "${TOLD:-0}" ]; then
        TOLD=$((waited / 10))
        say "waiting for $2 ($waited s)"
    fi
}
wait_for() { # SECONDS URL WHAT
    local start=$SECONDS answer=
    TOLD=0
    until answer=$(fetch "$2" 5); do
        if [ $((SECONDS - start)) -ge "$1" ]; then die 1 "$3 does not answer at $2 after $1 s: ${answer##*$'\n'}; see $DIR/log or journalctl"; fi
        progress $start "$3"
        sleep 0.5
    done
}
wait_for 60 "$prometheus_url/-/ready" Prometheus

# state_of PI: prints "up", "down REASON", or nothing while it was not scraped yet; found by the address
# in the list, since labels are the person's own.
state_of() {
    curl -fsS --noproxy '*' --max-time 8 "$prometheus_url/api/v1/targets?state=active" 2>/dev/null | awk '{ gsub(/[{]"discoveredLabels"/, "\n&"); print }' |
        grep -F -e "\"__address__\":\"$1\"" -e "\"__address__\":\"${1%:9100}\"" -e "\"__address__\":\"$1:9100\"" |
        sed -nE 's/.*"lastError":"(([^"\\]|\\.)*)".*"health":"(up|down)".*/\3 \1/p' | sed 's/\\"/"/g; s/ $//' | sort -r | head -n 1
}
# Two scrapes at most, and some time for the file to be seen.
START=$SECONDS FAILED=0 TOLD=0
ASKED=()
if [ ${#PIS[@]} = 0 ]; then ASKED=("${KNOWN[@]}")
else for pi in "${PIS[@]}"; do ASKED+=("$(instance_of "$pi")"); done; fi
for name in "${ASKED[@]}"; do
    state=
    until state=$(state_of "$name") && [ "$state" = up ]; do
        # What Prometheus could not scrape twice, it cannot scrape.
        case $state in down*) patience=35 ;; *) patience=60 ;; esac
        if [ $((SECONDS - START)) -ge $patience ]; then break; fi
        progress $START "Prometheus to scrape $name${state:+, now: $state}"
        sleep 1
    done
    case $state in
    up) echo "up: $name" ;;
    down*)
        FAILED=$((FAILED + 1))
        echo "DOWN: $name: Prometheus cannot scrape it: ${state#down }" ;;
    *)
        FAILED=$((FAILED + 1))
        echo "UNKNOWN: $name: Prometheus has not scraped it; is its line in $TARGETS right, and the job in $CONFIG?" ;;
    esac
done
echo "Prometheus: $prometheus_url"
if [ "$GRAFANA" = yes ] && [ -z "$GRAFANA_ERROR" ]; then
    wait_for 120 "$grafana_url/api/health" Grafana
    for uid in pi-monitor pi-monitor-fleet; do wait_for 60 "$grafana_url/api/dashboards/uid/$uid" "Grafana's dashboard $uid"; done
    echo "Grafana:    http://$(uname -n):$GRAFANA_PORT/ (user admin, password in $DIR/grafana/admin-password)"
fi
echo "A new Pi:   one more line in $TARGETS"
for file in ${KEPT[@]+"${KEPT[@]}"}; do
    echo "Kept:       $file, which you have changed. This version's is $file.new: take from it what you want, then remove it"
done
if [ -n "$GRAFANA_ERROR" ]; then die 1 "no Grafana: $GRAFANA_ERROR. Prometheus runs; --no-grafana asks for nothing more"; fi
[ $FAILED = 0 ] || die 1 "$FAILED of ${#ASKED[@]} Pis are not up"
