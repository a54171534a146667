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
# Options
#   --platform P   apt (Debian, Raspberry Pi OS), brew (macOS), docker or podman;
#                  default: the first of these that is here
#   --dir DIR      configuration and data; default /var/lib/pi-monitoring for
#                  root, ~/.local/share/pi-monitoring for others
#   --service      make systemd services; default where systemd runs
#   --no-service   start plain processes, known by their pid files
#   --no-grafana   Prometheus only
#   --allow-down   go on although a Pi does not answer
#   --prometheus-port N, --grafana-port N    default 9090 and 3000
#   --retention T  how long Prometheus keeps data, default 1y
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
PLATFORM='' DIR='' SERVICE=auto GRAFANA=yes ALLOW_DOWN=no DRY=no ACTION=start PURGE=no
PROMETHEUS_PORT=9090 GRAFANA_PORT=3000 RETENTION=1y
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
    --no-grafana) GRAFANA=no ;;
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
for port in "$PROMETHEUS_PORT" "$GRAFANA_PORT"; do
    case $port in '' | *[!0-9]*) die 2 "$port is no port" ;; esac
    { [ ${#port} -le 5 ] && [ "$port" -ge 1 ] && [ "$port" -le 65535 ]; } || die 2 "$port is no port"
done
[[ $RETENTION =~ ^[0-9]+[hdwy]$ ]] || die 2 "--retention $RETENTION: a number and h, d, w or y, such as 90d"
[ $PURGE = no ] || [ $ACTION = uninstall ] || die 2 "--purge needs --uninstall"
# What is written into a YAML file must be an address and nothing else.
for pi in ${PIS[@]+"${PIS[@]}"}; do
    [[ $pi =~ ^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$ ]] ||
        die 2 "$pi is no address: NAME, ADDRESS or ADDRESS:PORT is meant (no http://, IPv6 in [ ])"
done

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
    exec sudo -- env PI_INSTALL="$PI_INSTALL" "$0" "${ARGUMENTS[@]}"
fi
if [ -z "$DIR" ]; then
    if [ $SERVICE = yes ] || [ "$(id -u)" = 0 ]; then DIR=/var/lib/pi-monitoring; else DIR=${XDG_DATA_HOME:-${HOME:-~}/.local/share}/pi-monitoring; fi
fi
case $DIR in /*) ;; *) DIR=$PWD/$DIR ;; esac
case $DIR in *[!A-Za-z0-9/._+@-]*) die 2 "--dir $DIR: letters, digits and / . _ + @ - only, since it goes into configuration files" ;; esac
# A folder with anything else in it is not this script's to write to, let alone to remove.
MARK=$DIR/.pi-monitoring
if [ -d "$DIR" ] && [ ! -f "$MARK" ] && [ -n "$(ls -A "$DIR")" ]; then die 1 "$DIR was not made by this script and is not empty; choose another folder with --dir"; fi
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
# put FILE [MODE]: makes FILE of standard input; says nothing if it is so already.
CHANGED=no
put() {
    local text old=
    text=$(cat; printf x) && text=${text%x}
    if [ -f "$1" ]; then old=$(cat "$1"; printf x) && old=${old%x}; fi
    if [ "$old" = "$text" ] && [ -f "$1" ]; then return 0; fi
    CHANGED=yes
    if [ $DRY = yes ]; then
        echo "would write: $1"
        return 0
    fi
    mkdir -p "$(dirname "$1")"
    ([ "${2:-644}" = 644 ] || umask 077; printf '%s' "$text" >"$1.new")
    chmod "${2:-644}" "$1.new"
    mv "$1.new" "$1"
    say "wrote $1"
}
copy() { put "$2" <"$1"; }

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
                if [ -f "$UNITS/pi-monitoring-$name.service" ]; then do_it rm -f "$UNITS/pi-monitoring-$name.service"; fi
            done
            do_it systemctl daemon-reload
        fi
        # Only what is known to be this script's own; DIR may be a folder that has more in it.
        do_it rm -rf "$DIR/prometheus.yml" "$DIR/rules" "$DIR/targets" "$DIR/grafana" "$DIR/compose.yaml" "$DIR/run" "$DIR/log"
        if [ $PURGE = yes ]; then do_it rm -rf "$DIR/data"; fi
        if [ ! -d "$DIR/data" ]; then do_it rm -f "$MARK"; fi
        if [ $DRY = no ]; then rmdir "$DIR" 2>/dev/null || { [ ! -d "$DIR" ] || say "$DIR keeps what is left in it (data: --purge removes it)"; }; fi
        say "the packages stay; remove them with the package manager if nothing else needs them"
    fi
    exit 0
fi

# --- the Pis ----------------------------------------------------------------

TARGETS=$DIR/targets/pis.yml
KNOWN=()
if [ -f "$TARGETS" ]; then
    while IFS= read -r pi; do KNOWN+=("$pi"); done < <(sed -n '/targets:/d; s/^ *- *\([^ #]*\).*/\1/p' "$TARGETS" | tr -d "\"'")
fi
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

have curl || { [ $DRY = yes ] || { [ "$PLATFORM" = apt ] && apt_install "asking the Pis" curl; } || die 1 "needs curl: ${INSTALL_ERROR:-install it}"; }
DOWN=()
for pi in ${PIS[@]+"${PIS[@]}"}; do
    url=http://$pi
    if [[ $pi =~ (\]|^[^:]*)$ ]]; then url=http://$pi:9100; fi
    if ! answer=$(fetch "$url/health"); then
        say "error: no agent answers at $url/health: ${answer##*$'\n'}"
        DOWN+=("$pi")
    elif [ "$answer" != ok ]; then
        say "error: what answers at $url/health is no Pi-Monitor: it says \"$(printf '%s' "$answer" | head -c 60 | tr '\n' ' ')\" instead of \"ok\""
        DOWN+=("$pi")
    else
        say "$pi answers"
    fi
done
if [ ${#DOWN[@]} -gt 0 ] && [ $ALLOW_DOWN = no ] && [ $DRY = no ]; then
    die 1 "nothing was changed. Is the Pi on, the address right, the agent running (curl http://ADDRESS:9100/health), the port open? --allow-down goes on without: ${DOWN[*]}"
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
    if [ $GRAFANA = yes ]; then grafana_from_apt || GRAFANA_ERROR=$INSTALL_ERROR; fi
    GRAFANA_HOME=/usr/share/grafana
    ;;
brew)
    missing=()
    have prometheus || missing+=(prometheus)
    if [ $GRAFANA = yes ] && ! have grafana; then missing+=(grafana); fi
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

echo "Made by monitoring-setup.sh of Pi-Monitor; --uninstall removes it." | put "$MARK"
copy "$SOURCE/prometheus.yml" "$DIR/prometheus.yml"
for file in "$SOURCE"/rules/*.yml; do copy "$file" "$DIR/rules/$(basename "$file")"; done
# New Pis are added at the end; what a person has written stays.
ADD=()
for pi in ${PIS[@]+"${PIS[@]}"}; do
    pi=$(with_port "$pi") pi=${pi%:9100}
    known=no
    for old in ${KNOWN[@]+"${KNOWN[@]}"} ${ADD[@]+"${ADD[@]}"}; do
        if [ "$(instance_of "$old")" = "$(instance_of "$pi")" ]; then known=yes; fi
    done
    if [ $known = no ]; then ADD+=("$pi"); fi
done
if [ ! -f "$TARGETS" ]; then
    {
        sed '/^ *- local/d' "$SOURCE/targets/pis.yml"
        for pi in ${ADD[@]+"${ADD[@]}"}; do echo "    - '$pi'"; done
    } | put "$TARGETS"
elif [ ${#ADD[@]} -gt 0 ]; then
    grep -q '^ *- targets: *\(#.*\)\{0,1\}$' "$TARGETS" || die 1 "$TARGETS has no line \"- targets:\" with one Pi on each of the next lines; add these yourself: ${ADD[*]}"
    # After the first "targets:", indented like the line that follows it.
    lines=$(printf '%s\n' "${ADD[@]}")
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
        }' "$TARGETS" | put "$TARGETS"
fi
if [ $DRY = yes ]; then for pi in ${ADD[@]+"${ADD[@]}"}; do echo "would add the Pi: $pi"; done; fi
CONFIG_CHANGED=$CHANGED
if [ $GRAFANA = yes ]; then
    for file in "$SOURCE"/grafana/dashboards/*.json; do copy "$file" "$DIR/grafana/dashboards/$(basename "$file")"; done
    copy "$SOURCE/grafana/provisioning/datasources/pi-monitor.yml" "$DIR/grafana/provisioning/datasources/pi-monitor.yml"
    copy "$SOURCE/grafana/provisioning/dashboards/pi-monitor.yml" "$DIR/grafana/provisioning/dashboards/pi-monitor.yml"
    if [ ! -s "$DIR/grafana/admin-password" ]; then
        # 18 random bytes, as text
        head -c 18 /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_' | put "$DIR/grafana/admin-password" 600
    fi
fi
if [ $CONTAINERS = yes ]; then
    # Containers read through the folder's owner and group alone on some systems.
    copy "$SOURCE/compose.yaml" "$DIR/compose.yaml"
elif [ $GRAFANA = yes ]; then
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
    if [ $GRAFANA = yes ]; then compose up -d; else compose up -d prometheus; fi
    # A changed file is not seen by a running Prometheus; for the Pis it is.
    if [ "$CONFIG_CHANGED" = yes ]; then compose kill -s HUP prometheus || true; fi
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
    if [ $GRAFANA = yes ] && [ -z "$GRAFANA_ERROR" ]; then
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

wait_for() { # SECONDS URL WHAT
    local end=$((SECONDS + $1)) answer=
    until answer=$(fetch "$2" 5); do
        if [ $SECONDS -ge $end ]; then die 1 "$3 does not answer at $2 after $1 s: ${answer##*$'\n'}; see $DIR/log or journalctl"; fi
        sleep 0.5
    done
}
wait_for 60 "$prometheus_url/-/ready" Prometheus

# up_of INSTANCE: prints 1, 0, or nothing while it was not scraped yet
up_of() {
    curl -fsS --noproxy '*' --max-time 8 -G --data-urlencode "query=up{job=\"pi-monitor\",instance=\"$1\"}" "$prometheus_url/api/v1/query" 2>/dev/null |
        sed -n 's/.*"value":\[[^,]*,"\([^"]*\)"\].*/\1/p'
}
# Two scrapes at most, and some time for the file to be seen.
END=$((SECONDS + 60)) FAILED=0
ASKED=(${PIS[@]+"${PIS[@]}"})
if [ ${#ASKED[@]} = 0 ]; then ASKED=(${KNOWN[@]+"${KNOWN[@]}"}); fi
for pi in "${ASKED[@]}"; do
    name=$(instance_of "$pi")
    state=
    until state=$(up_of "$name") && [ "$state" = 1 ]; do
        if [ $SECONDS -ge $END ]; then break; fi
        sleep 1
    done
    if [ "$state" = 1 ]; then
        echo "up: $name"
    else
        FAILED=$((FAILED + 1))
        if [ "$state" = 0 ]; then echo "DOWN: $name: Prometheus cannot scrape it (the reason is at $prometheus_url/targets)"
        else echo "UNKNOWN: $name: Prometheus has not scraped it; is its line in $TARGETS right?"; fi
    fi
done
echo "Prometheus: $prometheus_url"
if [ $GRAFANA = yes ] && [ -z "$GRAFANA_ERROR" ]; then
    wait_for 120 "$grafana_url/api/health" Grafana
    for uid in pi-monitor pi-monitor-fleet; do wait_for 60 "$grafana_url/api/dashboards/uid/$uid" "Grafana's dashboard $uid"; done
    echo "Grafana:    http://$(uname -n):$GRAFANA_PORT/ (user admin, password in $DIR/grafana/admin-password)"
fi
echo "A new Pi:   one more line in $TARGETS"
if [ -n "$GRAFANA_ERROR" ]; then die 1 "no Grafana: $GRAFANA_ERROR. Prometheus runs; --no-grafana asks for nothing more"; fi
[ $FAILED = 0 ] || die 1 "$FAILED of ${#ASKED[@]} Pis are not up"
