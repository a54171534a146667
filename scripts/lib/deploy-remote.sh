#!/bin/sh
#
# deploy-remote.sh - the part of deploy.sh that runs on the Pi. Plain POSIX sh
# for BusyBox's ash or anything better. deploy.sh sends it through SSH; it can
# as well be copied to a machine and run there as root:
#
#   sh deploy-remote.sh COMMAND [NAME=VALUE...]
#
#   probe       what this machine is; needs no rights. Prints NAME=VALUE lines
#   stage       makes the staging directory and looks how this machine starts
#               programs at boot; need=BYTES checks the free space
#   verify      checks the binary in the staging directory: size=BYTES,
#               sum=CHECKSUM, tool=sha256sum|cksum, and that it runs
#   install     swaps the staged files in, starts the agent, proves by HTTP that
#               the new one answers; else puts everything back as it was.
#               start=no: in place, but started at the next boot only
#               flags=TEXT: the agent's flags; without it they stay as they are
#               limit=SECONDS for the new agent's answers (default 30)
#   commit      forgets the old binary (after a proof from outside)
#   rollback    puts everything back as it was before the last install
#   uninstall   ends the agent and removes all that install has made, but not what
#               the agent has recorded; purge=yes: that too
#   handover    the same for the Debian package, which takes over: the flags and
#               the files in /etc/pi-monitor stay
#
# Messages go to stderr, NAME=VALUE lines for deploy.sh to stdout.
#
# Exit status
#   0   done
#   1   not done, nothing is changed (or all is back as it was)
#   2   wrong usage
#   3   not done, and the machine could not be put back as it was
#   4   installed and started, but there is no program here to ask it by HTTP
#
# What install makes, and uninstall removes:
#   /usr/local/bin/pi-monitor            the agent
#   /usr/local/lib/pi-monitor/           what starts it, and notes about what was made
#   /etc/default/pi-monitor              its flags
#   /etc/pi-monitor/                     for its passwords and keys; kept if it has files
#   one boot entry                       see boot_entry
# What the agent records is in /var/lib/pi-monitor, which only a purge removes.
# Where the Debian package is installed, install takes its place: the package is
# purged once the new agent has proved itself, and runs again if it has not.
# All is wrapped in functions: the shell has read it all before anything runs.

BIN=/usr/local/bin/pi-monitor
LIB=/usr/local/lib/pi-monitor
SERVICE=$LIB/pi-monitor-service
CONF=/etc/default/pi-monitor
SECRETS=/etc/pi-monitor
STATE=/var/lib/pi-monitor
STAGE=/usr/local/bin/.pi-monitor-deploy
UNIT=/etc/systemd/system/pi-monitor.service
MARK_BEGIN='# BEGIN pi-monitor'
MARK_END='# END pi-monitor'

say() { echo "  $*" >&2; }
die() {
    status=$1
    shift
    echo "error on the Pi: $*" >&2
    exit "$status"
}

nap() { usleep 100000 2>/dev/null || sleep 0.1 2>/dev/null || sleep 1; }

uptime_seconds() { cut -d. -f1 /proc/uptime; }

# --- files, with a way back ---------------------------------------------------

# Makes a directory; what had to be made is noted, so that uninstall can take it away.
make_dir() { # DIRECTORY
    if [ -d "$1" ]; then return 0; fi
    make_dir "$(dirname "$1")" || return 1
    mkdir "$1" || return 1
    MADE="$1
$MADE"
}

# Notes how FILE is now, once, before it is changed.
keep() { # FILE
    if grep -qxF "$1" "$STAGE/kept.list" 2>/dev/null; then return 0; fi
    number=$(grep -c . "$STAGE/kept.list" 2>/dev/null)
    number=${number:-0}
    if [ -e "$1" ]; then cp -p "$1" "$STAGE/kept.$number" || return 1; fi
    echo "$1" >>"$STAGE/kept.list"
}

# Puts every kept file back; what was not there is removed.
restore_kept() {
    if [ ! -f "$STAGE/kept.list" ]; then return 0; fi
    number=0 bad=0
    while read -r file; do
        if [ -e "$STAGE/kept.$number" ]; then
            put_in_place "$STAGE/kept.$number" "$file" || bad=1
        else
            rm -f "$file" || bad=1
        fi
        number=$((number + 1))
    done <"$STAGE/kept.list"
    return $bad
}

# Copies SOURCE beside FILE and renames it: never half a file, and SOURCE's mode.
put_in_place() { # SOURCE FILE
    cp -p "$1" "$2.pi-monitor-new" && mv -f "$2.pi-monitor-new" "$2"
}

# Replaces FILE's text by stdin; mode and owner stay.
rewrite() { # FILE
    cp -p "$1" "$1.pi-monitor-new" && cat >"$1.pi-monitor-new" && mv -f "$1.pi-monitor-new" "$1"
}

# Writes to the card, but never longer than a moment: a dead network mount can
# keep sync(1) for ever.
write_out() {
    sync &
    sync_pid=$!
    tries=0
    while [ -d "/proc/$sync_pid" ] && [ $tries -lt 100 ]; do
        case $(cut -d' ' -f3 "/proc/$sync_pid/stat" 2>/dev/null) in Z | '') break ;; esac
        nap
        tries=$((tries + 1))
    done
}

# --- marked lines in somebody else's file ----------------------------------------

# Puts LINES between marks into FILE: before the first command that does not come
# back (exec, exit, an endless loop at the left margin), else at the end.
insert_lines() { # FILE LINES
    joined=''
    # A file without a newline at its end gets one; the mark remembers that.
    if [ -s "$1" ] && [ -n "$(tail -c 1 "$1")" ]; then joined=' (joined)'; fi
    text=$(awk -v begin="$MARK_BEGIN$joined" -v end="$MARK_END" -v lines="$2" '
        function put() { if (!done) print begin "\n" lines "\n" end; done = 1 }
        # "exec >file" only moves the output; it comes back.
        /^exec[ \t]+[^<>0-9& \t]/ || /^exit([ \t;]|$)/ || /^wait[ \t]*$/ ||
        /^while[ \t]+(:|true|sleep|\[ 1)/ || /^until[ \t]+false/ { put() }
        { print }
        END { put() }' "$1") || return 1
    printf '%s\n' "$text" | rewrite "$1"
}

has_lines() { grep -q "^$MARK_BEGIN" "$1" 2>/dev/null; }

remove_lines() { # FILE
    if ! has_lines "$1"; then return 0; fi
    awk -v begin="$MARK_BEGIN" -v end="$MARK_END" '
        index($0, begin) == 1 { inside = 1; if ($0 ~ /\(joined\)$/) joined = 1; next }
        $0 == end { inside = 0; next }
        !inside { line[++n] = $0 }
        END { for (i = 1; i <= n; i++) printf "%s%s", line[i], (i == n && joined) ? "" : "\n" }' "$1" |
        rewrite "$1"
}

# --- how this machine starts programs at boot ---------------------------------------

# The script that process 1 runs, if it is a shell with a script.
init_script() {
    tr '\000' '\n' </proc/1/cmdline 2>/dev/null | tail -n +2 | while read -r word; do
        case $word in
            /*) if [ -f "$word" ] && [ "$(head -c 2 "$word")" = '#!' ]; then
                echo "$word"
                break
            fi ;;
        esac
    done
}

# Prints "KIND FILE":
#   systemd    the unit                      openrc     the init script
#   inittab    BusyBox init's /etc/inittab   sysvinit   sysvinit's /etc/inittab
#   sdir       a script /etc/init.d/S90...   script     marked lines in a boot script
#   profile    marked lines in /etc/profile: nothing else was found that runs at boot
boot_entry() {
    if [ -d /run/systemd/system ]; then
        echo "systemd $UNIT"
        return
    fi
    if { [ -d /run/openrc ] || [ -d /lib/rc/init.d/started ]; } && command -v rc-update >/dev/null; then
        echo "openrc /etc/init.d/pi-monitor"
        return
    fi
    script=$(init_script)
    argv0=$(tr '\000' '\n' </proc/1/cmdline 2>/dev/null | head -n 1)
    if [ -z "$script" ] && [ -f /etc/inittab ]; then
        case ${argv0%% *} in
            *init | *linuxrc)
                if grep -q BusyBox /proc/1/exe 2>/dev/null; then
                    echo "inittab /etc/inittab"
                    return
                elif grep -q '^[^#:]*:[^:]*:initdefault:' /etc/inittab; then
                    echo "sysvinit /etc/inittab"
                    return
                fi
                ;;
        esac
    fi
    # Whatever scripts process 1 runs, by what it mentions (BusyBox init without
    # an inittab mentions /etc/init.d/rcS), and what those mention in turn.
    known=${script:-/proc/1/exe}
    for _ in 1 2; do
        for file in /etc/init.d/rcS /etc/rc.d/rcS /etc/rcS /etc/init.d/rc /etc/rc.d/rc /etc/rc.sysinit /etc/rc /etc/rc.local /etc/rc.d/rc.local; do
            case " $known " in *" $file "*) continue ;; esac
            if [ ! -f $file ]; then continue; fi
            # shellcheck disable=SC2086  # a list of files
            if grep -qF "$file" $known 2>/dev/null; then known="$known $file"; fi
        done
    done
    # shellcheck disable=SC2086
    if [ -d /etc/init.d ] && grep -qE '/etc/init\.d/S(\?\?|\*|\[)' $known 2>/dev/null; then
        echo "sdir /etc/init.d/S90pi-monitor"
        return
    fi
    for file in /etc/rc.local /etc/rc.d/rc.local /etc/init.d/rcS /etc/rc.d/rcS /etc/rcS /etc/init.d/rc /etc/rc.d/rc /etc/rc.sysinit /etc/rc $script; do
        case " $known " in
            *" $file "*)
                echo "script $file"
                return
                ;;
        esac
    done
    echo "profile /etc/profile"
}

# The root file system's type: "rootfs" and "tmpfs" are RAM.
root_type() { awk '$2 == "/" { type = $3 } END { print type }' /proc/mounts; }

# --- the agent's processes ---------------------------------------------------------

# Processes whose program is the installed file, by /proc/PID/exe: never by name,
# and not those of a container with a file of the same path.
own_pids() {
    # shellcheck disable=SC2012  # one ls for all processes: forks are slow on a Pi
    ls -l /proc/[0-9]*/exe 2>/dev/null |
        sed -n "s|.*/proc/\([0-9]*\)/exe -> $BIN\( (deleted)\)\{0,1\}\$|\1|p" |
        while read -r pid; do
            # Nor of the system around a chroot.
            if [ "$(readlink "/proc/$pid/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ] &&
                [ "$(inode "/proc/$pid/root/.")" = "$(inode /.)" ]; then echo "$pid"; fi
        done
}

# shellcheck disable=SC2012  # no stat in every BusyBox
inode() { ls -di "$1" 2>/dev/null | awk '{ print $1 }'; }

is_ours() { # PID: it runs our file, the present one or one that was replaced
    case $(readlink "/proc/$1/exe" 2>/dev/null) in
        "$BIN" | "$BIN (deleted)") return 0 ;;
    esac
    return 1
}

# Ends the processes that are there now; init may start the next one meanwhile.
end_own_pids() {
    pids=$(own_pids)
    for pid in $pids; do
        if is_ours "$pid"; then kill -TERM "$pid" 2>/dev/null; fi
    done
    for pid in $pids; do
        tries=0
        while is_ours "$pid" && [ $tries -lt 50 ]; do
            tries=$((tries + 1))
            nap
        done
        if is_ours "$pid"; then
            say "process $pid does not end on SIGTERM; killing it"
            kill -KILL "$pid" 2>/dev/null
        fi
    done
}

# The pid of the running agent, as whoever started it knows it.
main_pid() {
    case $KIND in
        systemd)
            pid=$(systemctl show -p MainPID pi-monitor.service 2>/dev/null | sed -n 's/^MainPID=//p')
            if [ "${pid:-0}" -gt 0 ]; then echo "$pid"; fi
            ;;
        openrc)
            for pid in $(own_pids); do
                # Not the process of an agent that writes its journal.
                if is_ours "$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$pid/status" 2>/dev/null)"; then continue; fi
                echo "$pid"
                break
            done
            ;;
        *) "$SERVICE" status 2>/dev/null | sed -n 's/^running //p' ;;
    esac
}

is_running() { [ -n "$(main_pid)" ] || [ -n "$(own_pids)" ]; }

# Puts a boot entry that is a file of its own into $FILE. A version that somebody
# has changed since is not lost.
put_entry() { # SOURCE
    if [ -f "$LIB/entry" ] && [ -f "$FILE" ] && ! cmp -s "$LIB/entry" "$FILE" && ! cmp -s "$1" "$FILE"; then
        changed=$LIB/$(basename "$FILE").changed
        keep "$changed" && cp -p "$FILE" "$changed" || return 1
        say "warning: $FILE was changed by hand and is replaced; the changed version is kept as $changed"
        if [ "$KIND" = systemd ]; then say "         changes in drop-ins (systemctl edit pi-monitor) stay"; fi
    fi
    keep "$LIB/entry" && cp -p "$1" "$LIB/entry" && put_in_place "$1" "$FILE"
}

# Makes the boot entry in $FILE.
add_entry() {
    keep "$FILE" || return 1
    case $KIND in
        systemd)
            sed "s|/usr/lib/pi-monitor/pi-monitor-service|$SERVICE|" "$STAGE/pi-monitor.service" >"$STAGE/unit" || return 1
            # A group that is not there would keep the unit from starting.
            if ! grep -q '^video:' /etc/group; then sed -i '/^Group=video$/d' "$STAGE/unit"; fi
            chmod 644 "$STAGE/unit" && put_entry "$STAGE/unit" || return 1
            systemctl daemon-reload && systemctl -q enable pi-monitor.service
            ;;
        openrc)
            sed "s|/usr/lib/pi-monitor/pi-monitor-service|$SERVICE|" "$STAGE/pi-monitor.openrc" >"$STAGE/openrc" || return 1
            if ! grep -q '^video:' /etc/group; then sed -i 's/^\( *command_user="[^":]*\):video"/\1"/' "$STAGE/openrc"; fi
            chmod 755 "$STAGE/openrc" && put_entry "$STAGE/openrc" || return 1
            rc-update -q add pi-monitor default
            ;;
        inittab) if ! has_lines "$FILE"; then insert_lines "$FILE" "::respawn:$SERVICE run"; fi ;;
        sysvinit) if ! has_lines "$FILE"; then insert_lines "$FILE" "pimo:2345:respawn:$SERVICE run"; fi ;;
        sdir)
            printf '#!/bin/sh\n# Starts Pi-Monitor at boot and ends it at shutdown.\nexec %s "$@"\n' "$SERVICE" >"$STAGE/sdir" &&
                chmod 755 "$STAGE/sdir" && put_entry "$STAGE/sdir"
            ;;
        script | profile)
            if [ ! -e "$FILE" ]; then : >"$FILE" || return 1; fi
            if ! has_lines "$FILE"; then insert_lines "$FILE" "if [ -x $SERVICE ]; then $SERVICE start; fi"; fi
            ;;
    esac
}

# Removes the boot entry; the agent itself goes on.
remove_entry() {
    case $KIND in
        systemd)
            if [ -e "$FILE" ]; then systemctl -q disable pi-monitor.service 2>/dev/null; fi
            rm -f "$FILE"
            systemctl daemon-reload
            systemctl reset-failed pi-monitor.service 2>/dev/null
            ;;
        openrc)
            rc-update -q del pi-monitor default 2>/dev/null
            rm -f "$FILE"
            ;;
        inittab | sysvinit) remove_lines "$FILE" && kill -HUP 1 ;;
        sdir) rm -f "$FILE" ;;
        script | profile)
            remove_lines "$FILE"
            # A profile that was made for this only.
            if [ ! -s "$FILE" ]; then rm -f "$FILE"; fi
            ;;
    esac
    return 0
}

# Ends the agent for good: nothing is left that would start it again.
end_with_entry() {
    case $KIND in
        inittab | sysvinit)
            remove_entry
            # init forgets the line in its own time, and may have started one more.
            for _ in 1 2 3; do
                sleep 1
                end_own_pids
                if [ -z "$(own_pids)" ]; then break; fi
            done
            ;;
        *)
            stop_agent
            remove_entry
            ;;
    esac
}

start_agent() { # ends one that runs, too
    case $KIND in
        systemd)
            systemctl daemon-reload
            systemctl reset-failed pi-monitor.service 2>/dev/null
            systemctl stop pi-monitor.service 2>/dev/null
            end_own_pids
            systemctl start pi-monitor.service
            ;;
        openrc)
            rc-service -q pi-monitor stop >/dev/null 2>&1
            end_own_pids
            rc-service -q pi-monitor start
            ;;
        inittab | sysvinit)
            # init starts it again when it is ended here, or at the new line.
            end_own_pids
            kill -HUP 1
            ;;
        *)
            "$SERVICE" stop
            end_own_pids
            "$SERVICE" start
            ;;
    esac
}

# Ends the agent. With an inittab its line must be gone, or init starts it again.
stop_agent() {
    case $KIND in
        systemd) systemctl stop pi-monitor.service 2>/dev/null ;;
        openrc) rc-service -q pi-monitor stop >/dev/null 2>&1 ;;
        inittab | sysvinit) ;;
        *) if [ -x "$SERVICE" ]; then "$SERVICE" stop; fi ;;
    esac
    end_own_pids
    return 0
}

last_words() { # what the agent said, for a failure's message
    case $KIND in
        systemd)
            words=$(journalctl -q -t pi-monitor -n 4 -o cat --no-pager 2>/dev/null)
            if [ -z "$words" ]; then words=$(journalctl -q -u pi-monitor.service -n 4 -o cat --no-pager 2>/dev/null); fi
            printf '%s\n' "$words"
            ;;
        # supervise-daemon has it in a file, or hands it to syslog, where one runs.
        openrc) cat /var/log/messages /var/log/syslog /run/pi-monitor.log 2>/dev/null | grep -E 'pi-monitor|^(error|warn|info): ' | tail -n 4 ;;
        # The kernel's log, where pi-monitor-service sends what the agent says.
        *) dmesg 2>/dev/null | tail -n 4 ;;
    esac | sed 's/^/    | /' >&2
}

# --- HTTP ------------------------------------------------------------------------------

# Runs a command for at most 6 s. (Not wget -T: it crashes in some static
# BusyBoxes. Not timeout: older BusyBoxes want another syntax.)
bounded() {
    "$@" &
    wait_bounded $!
}

wait_bounded() { # PID
    (
        sleep 6
        kill "$1"
    ) </dev/null >/dev/null 2>&1 &
    watch_pid=$!
    wait "$1"
    bounded_status=$?
    kill "$watch_pid" 2>/dev/null
    return $bounded_status
}

by_nc() { # HOST PORT PATH
    # Some servers take the end of nc's input for the end of the client: so
    # keep it open for a while.
    {
        printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$3"
        sleep 2
    } | nc "$1" "$2" &
    wait_bounded $!
}

by_bash() { # HOST PORT PATH
    # shellcheck disable=SC2016  # expanded by that bash
    bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$3" >&3 &&
        while IFS= read -r -t 5 line <&3; do printf "%s\n" "$line"; done' bash "$@"
}

http_clients() {
    for client in curl wget nc bash; do
        if command -v $client >/dev/null 2>&1; then echo $client; fi
    done
}

fetch() { # PATH, from $ADDRESS and $PORT; the first client that gets an answer
    case $ADDRESS in *:*) host="[$ADDRESS]" ;; *) host=$ADDRESS ;; esac
    for client in $(http_clients); do
        case $client in
            # To itself it need not show a certificate that is known.
            curl)
                for scheme in http https; do
                    bounded curl -fsSk -g --noproxy '*' "$scheme://$host:$PORT$1" 2>/dev/null && return 0
                done ;;
            wget)
                bounded wget -q -O - "http://$host:$PORT$1" 2>/dev/null && return 0
                bounded wget -q -O - --no-check-certificate "https://$host:$PORT$1" 2>/dev/null && return 0 ;;
            nc) by_nc "$ADDRESS" "$PORT" "$1" 2>/dev/null && return 0 ;;
            bash) bounded by_bash "$ADDRESS" "$PORT" "$1" 2>/dev/null && return 0 ;;
        esac
    done
    return 1
}

# Where the agent listens, from its flags: sets ADDRESS and PORT, and FLAGS.
find_address() {
    ADDRESS=127.0.0.1 PORT=9100
    if where=$(service address 2>/dev/null); then ADDRESS=${where% *} PORT=${where#* }; fi
    FLAGS=$(service flags 2>/dev/null)
}

# pi-monitor-service of the version that is being installed, else of the installed one.
service() { # COMMAND
    if [ -f "$STAGE/service" ]; then sh "$STAGE/service" "$@"; else sh "$SERVICE" "$@"; fi
}

# Whether the agent answers as it does to strangers: by its flags it may let nobody in
# but with a password, or speak HTTPS only. It has not told its version then.
refuses_as_told() {
    case $FLAGS in
        *--web.auth-file* | *--web.config.file*) ;;
        *) return 1 ;;
    esac
    case $(fetch /health | tail -n 1) in
        ok | *HTTPS*) return 0 ;;
        *) return 1 ;;
    esac
}

# Waits until the agent answers with VERSION from the installed file, and still
# does a moment later.
prove() { # VERSION
    find_address
    deadline=$(($(uptime_seconds) + limit))
    first='' told=$(uptime_seconds)
    while :; do
        if [ "$(uptime_seconds)" -ge $((told + 8)) ]; then
            told=$(uptime_seconds)
            say "waiting for version $1 to answer on $ADDRESS port $PORT, $((deadline - told)) s more"
        fi
        pid=$(main_pid)
        if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe")" = "$BIN" ]; then
            answered=$(fetch /metrics | sed -n 's/^pi_monitor_build_info{.*version="\([^"]*\)".*/\1/p')
            if [ "$answered" = "$1" ] || { [ -z "$answered" ] && refuses_as_told; }; then
                # Twice by the same process, with a pause: not one that is started over and over.
                if [ "$first" = "$pid" ]; then return 0; fi
                first=$pid
                sleep 2
                continue
            fi
        fi
        if [ "$(uptime_seconds)" -ge "$deadline" ]; then return 1; fi
        nap
    done
}

# Once begun, to the end, even if the connection breaks off. (Not "trap ''":
# what is ignored here, the agent's supervisor could not catch.)
go_through() { trap : HUP PIPE INT TERM; }

# --- commands ----------------------------------------------------------------------------

cmd_probe() {
    echo "machine=$(uname -m)"
    echo "uid=$(id -u)"
    if [ "$(id -u)" = 0 ]; then
        echo "rights=root"
    elif command -v sudo >/dev/null 2>&1; then
        # -k: not by a password that was typed a moment ago, which counts for one session only
        if sudo -k -n true 2>/dev/null; then echo "rights=sudo"; else echo "rights=sudo-password"; fi
    elif command -v doas >/dev/null 2>&1 && doas -n true 2>/dev/null; then
        echo "rights=doas"
    else
        echo "rights=none"
    fi
    for tool in sha256sum cksum; do
        if command -v $tool >/dev/null 2>&1; then
            echo "tool=$tool"
            break
        fi
    done
    echo "installed=$("$BIN" --version 2>/dev/null | sed -n 's/^pi-monitor \([^ ]*\).*/\1/p')"
}

cmd_stage() {
    case $(root_type) in
        rootfs | tmpfs | ramfs) say "warning: the root file system is in RAM: what is installed now is gone after a reboot" ;;
    esac
    MADE=''
    rm -rf "$STAGE"
    if ! make_dir "$(dirname "$STAGE")" || ! mkdir -m 700 "$STAGE"; then
        die 1 "cannot make $STAGE: is the file system read-only?"
    fi
    printf '%s' "$MADE" >"$STAGE/made"
    free=$(df -k "$STAGE" | awk 'NR > 1 && NF >= 4 { free = $(NF - 2) } END { print free }')
    if [ -n "$free" ] && [ "$free" -lt $((need / 1024 + 256)) ]; then
        abandon
        die 1 "only $free kB free on the file system of $(dirname "$BIN"), $((need / 1024 + 256)) kB wanted"
    fi
    entry=$(boot_entry)
    echo "kind=${entry%% *}"
    echo "file=${entry#* }"
}

# Takes away what stage has made.
abandon() {
    # On a full file system the note may be empty.
    made="$MADE $(cat "$STAGE/made" 2>/dev/null)"
    rm -rf "$STAGE"
    for directory in $made; do rmdir "$directory" 2>/dev/null; done
    return 0
}

cmd_verify() {
    new=$STAGE/pi-monitor
    if [ ! -f "$new" ]; then die 1 "there is no $new"; fi
    have=$(wc -c <"$new" | tr -d ' ')
    if [ "$have" != "$size" ]; then
        abandon
        die 1 "the upload is cut off: $have of $size bytes arrived"
    fi
    case $tool in
        sha256sum) have=$(sha256sum "$new" | cut -d' ' -f1) ;;
        cksum) have=$(cksum "$new" | cut -d' ' -f1) ;;
        *) have=$sum ;; # no tool here: the size has to do
    esac
    if [ "$have" != "$sum" ]; then
        abandon
        die 1 "the upload is damaged: its $tool is $have, not $sum"
    fi
    chmod 755 "$new"
    version=$(bounded "$new" --version 2>"$STAGE/version.err" | sed -n '1s/^pi-monitor \([^ ]*\).*/\1/p')
    if [ -z "$version" ]; then
        words=$(head -n 1 "$STAGE/version.err")
        abandon
        die 1 "the new binary does not run on this machine ($(uname -m)): ${words:-no answer to --version}"
    fi
    echo "version=$version"
}

# Reads KIND and FILE of the boot entry: the installed one, else this machine's.
load_entry() {
    if [ -f "$LIB/boot" ]; then
        read -r KIND FILE <"$LIB/boot"
    else
        entry=$(boot_entry)
        KIND=${entry%% *} FILE=${entry#* }
    fi
}

# Makes $STAGE/conf: the present file with these flags, all else in it unchanged.
make_conf() { # FLAGS
    base=$CONF
    if [ ! -e "$base" ]; then base=$STAGE/default; fi
    lines=$(PI_MONITOR_CONF=$base service where) || return 1
    # In single quotes as they are; else in double quotes, as a shell has them.
    case $1 in
        *\'*) value=\"$(printf '%s' "$1" | sed 's/[\\"$`]/\\&/g')\" ;;
        *) value="'$1'" ;;
    esac
    printf '%s\n' "PI_MONITOR_FLAGS=$value" >"$STAGE/setting" || return 1
    awk -v lines="$lines" -v setting="$STAGE/setting" '
        BEGIN {
            split(lines, at, " ")
            while ((getline text <setting) > 0) new = new (new == "" ? "" : "\n") text
        }
        at[1] != "" && NR >= at[1] && NR <= at[2] { if (NR == at[1]) print new; next }
        { print }
        END { if (at[1] == "") print new }' "$base" >"$STAGE/conf" && chmod 644 "$STAGE/conf"
}

write_conf() { # FLAGS
    make_dir "$(dirname "$CONF")" && keep "$CONF" && make_conf "$1" && put_in_place "$STAGE/conf" "$CONF"
}

# --- the Debian package ------------------------------------------------------------------

PACKAGE_BIN=/usr/bin/pi-monitor
PACKAGE_SERVICE=/usr/lib/pi-monitor/pi-monitor-service

# What dpkg knows of the package: STATE VERSION, or nothing.
package_state() {
    # shellcheck disable=SC2016  # notation of dpkg-query
    dpkg-query -W -f '${db:Status-Status} ${Version}\n' pi-monitor 2>/dev/null | grep -v '^not-installed'
}

# The version of the package, if it is installed, or half.
package_version() { package_state | sed -n '/^config-files /d;s/^[a-z-]* //p'; }

# Runs a function with the package's paths in place of ours.
as_package() { # COMMAND...
    own_bin=$BIN own_service=$SERVICE
    BIN=$PACKAGE_BIN SERVICE=$PACKAGE_SERVICE
    "$@"
    as_status=$?
    BIN=$own_bin SERVICE=$own_service
    return $as_status
}

stop_package() {
    case $KIND in
        systemd) systemctl stop pi-monitor.service 2>/dev/null ;;
        *)
            if [ -x /etc/init.d/pi-monitor ]; then /etc/init.d/pi-monitor stop >/dev/null 2>&1; fi
            if [ -x $PACKAGE_SERVICE ]; then $PACKAGE_SERVICE stop; fi
            ;;
    esac
    as_package end_own_pids
}

# Starts the package's agent, now and at boot, after our own is gone.
start_package() {
    case $KIND in
        systemd)
            systemctl daemon-reload
            systemctl -q enable pi-monitor.service 2>/dev/null
            systemctl start pi-monitor.service
            ;;
        *)
            if command -v update-rc.d >/dev/null 2>&1; then update-rc.d pi-monitor defaults >/dev/null 2>&1; fi
            if [ -x /etc/init.d/pi-monitor ]; then /etc/init.d/pi-monitor start >/dev/null 2>&1; fi
            ;;
    esac
    if [ ! -x $PACKAGE_BIN ]; then return 1; fi
    as_package package_answers
}

package_answers() {
    if [ -n "$(http_clients)" ]; then
        prove "$("$BIN" --version | sed -n '1s/^pi-monitor \([^ ]*\).*/\1/p')"
    else
        nap
        [ -n "$(own_pids)" ]
    fi
}

# Removes what dpkg has of the package, if anything; our own agent, which is in place,
# keeps the flags and secrets. (What a removed package has left behind, too: a later
# purge would take it from us.)
retire_package() {
    if [ -z "$(package_state)" ]; then return 0; fi
    package=$(package_version)
    say "removing what dpkg has of the Debian package pi-monitor"
    mkdir -p "$STAGE/retired"
    for file in "$CONF" "$FILE"; do
        if [ -f "$file" ]; then cp -p "$file" "$STAGE/retired/$(basename "$file").$(dirname "$file" | tr / .)"; fi
    done
    if DEBIAN_FRONTEND=noninteractive dpkg --purge pi-monitor </dev/null >"$STAGE/dpkg.log" 2>&1; then
        if [ -n "$package" ]; then say "the Debian package pi-monitor $package is removed: this installation takes its place, with its flags"; fi
    else
        say "warning: the Debian package pi-monitor could not be removed: $(tail -n 1 "$STAGE/dpkg.log")"
        say "         remove it with: dpkg --purge pi-monitor"
    fi
    for file in "$CONF" "$FILE"; do
        saved=$STAGE/retired/$(basename "$file").$(dirname "$file" | tr / .)
        if [ -f "$saved" ] && ! cmp -s "$saved" "$file"; then put_in_place "$saved" "$file"; fi
    done
    if [ ! -d "$SECRETS" ]; then make_dir "$(dirname "$SECRETS")" && mkdir -m 700 "$SECRETS"; fi
    add_entry
    if [ "$start" = yes ] && [ -z "$(own_pids)" ]; then start_agent; fi
}

# Everything as it was before install; the old agent runs again if it did.
put_back() {
    was_running=$(cat "$STAGE/was-running" 2>/dev/null)
    old_version=$(cat "$STAGE/old-version" 2>/dev/null)
    bad=0
    if [ ! -e "$BIN.old" ]; then
        # There was none before, or only the package's.
        package=$(cat "$STAGE/package" 2>/dev/null)
        had_state=$(cat "$STAGE/had-state" 2>/dev/null)
        back=''
        for directory in /run /tmp /etc; do
            if mkdir -m 700 "$directory/.pi-monitor-back" 2>/dev/null; then
                back=$directory/.pi-monitor-back
                break
            fi
        done
        if [ -n "$back" ]; then cp -p "$STAGE"/kept.* "$back/" 2>/dev/null; fi
        remove_all || return 1
        if [ "$had_state" = no ]; then remove_state; fi
        STAGE_BEFORE=$STAGE STAGE=$back
        if [ -n "$back" ]; then restore_kept || bad=1; fi
        STAGE=$STAGE_BEFORE
        rm -rf "$back"
        if [ -z "$package" ]; then
            say "all is removed again: there was no version before"
        elif [ "$was_running" != yes ]; then
            say "the Debian package's version $package is in place again, not running as before"
        elif start_package; then
            say "the Debian package's version $package answers again"
        else
            say "the Debian package's version $package is in place, but does not answer"
            bad=1
        fi
        return $bad
    fi
    if [ -e "$STAGE/other-kind" ]; then end_with_entry; fi
    mv -f "$BIN.old" "$BIN" || bad=1
    restore_kept || bad=1
    load_entry
    if [ "$was_running" = yes ]; then
        start_agent
        if [ $bad = 0 ] && prove "$old_version"; then
            say "the old version $old_version answers again"
        elif [ $bad = 0 ] && [ -z "$(http_clients)" ] && [ -n "$(main_pid)" ]; then
            say "the old version $old_version runs again"
        else
            say "the old version $old_version is in place, but does not answer"
            last_words
            bad=1
        fi
    else
        stop_agent
        if [ "$KIND" = systemd ]; then systemctl daemon-reload; fi
        say "the old version $old_version is in place again, not running as before"
    fi
    rm -rf "$STAGE"
    return $bad
}

cmd_install() {
    if [ ! -x "$STAGE/pi-monitor" ]; then die 1 "nothing is staged in $STAGE"; fi
    if ! sed "s|^BIN=/usr/bin/|BIN=/usr/local/bin/|" "$STAGE/pi-monitor-service" >"$STAGE/service" || ! chmod 755 "$STAGE/service"; then
        refuse "cannot write to $STAGE: is the file system full?"
    fi
    refuse_bad_flags
    if [ "$start" = yes ]; then refuse_taken_port; fi
    go_through
    version=$("$STAGE/pi-monitor" --version | sed -n '1s/^pi-monitor \([^ ]*\).*/\1/p')
    load_entry
    before=$KIND
    MADE=$(cat "$STAGE/made" 2>/dev/null)
    if is_running || [ -n "$(as_package own_pids)" ]; then echo yes; else echo no; fi >"$STAGE/was-running"
    "$BIN" --version 2>/dev/null | sed -n '1s/^pi-monitor \([^ ]*\).*/\1/p' >"$STAGE/old-version"
    if [ -e "$STATE" ]; then echo yes; else echo no; fi >"$STAGE/had-state"

    # A boot entry of another kind, from an earlier install under another init.
    entry=$(boot_entry)
    if [ "${entry%% *}" != "$before" ]; then
        keep "$FILE"
        end_with_entry
        : >"$STAGE/other-kind"
        KIND=${entry%% *} FILE=${entry#* }
    fi

    package=$(package_version)
    if [ -n "$package" ]; then
        echo "$package" >"$STAGE/package"
        keep "$CONF"
        keep "$FILE"
        stop_package
    fi
    if ! put_files; then
        say "cannot put the files in place; going back"
        put_back || exit 3
        exit 1
    fi
    write_out
    echo "kind=$KIND"
    case $KIND in
        systemd) say "starts at boot by systemd: $FILE" ;;
        openrc) say "starts at boot by OpenRC: $FILE, runlevel default" ;;
        inittab) say "starts at boot by BusyBox init: $FILE" ;;
        sysvinit) say "starts at boot by sysvinit: $FILE" ;;
        sdir) say "starts at boot by $FILE" ;;
        script) say "starts at boot by lines in $FILE" ;;
        profile) say "warning: found nothing that runs at boot; started by lines in $FILE, which means: when somebody logs in" ;;
    esac

    if [ "$start" = no ]; then
        stop_at_present
        retire_package
        rm -rf "$STAGE"
        echo "result=in-place"
        return 0
    fi
    start_agent
    if [ -z "$(http_clients)" ]; then
        echo "result=unproven"
        exit 4
    fi
    if prove "$version"; then
        echo "port=$PORT"
        cmd_commit
        echo "result=proven"
        return 0
    fi
    say "the new version $version does not answer on $ADDRESS port $PORT"
    last_words
    if put_back; then
        echo "result=rolled-back"
        exit 1
    fi
    echo "result=broken"
    exit 3
}

refuse() { # MESSAGE
    abandon
    echo "result=refused"
    die 1 "$1"
}

# Before anything is changed: flags that cannot be read.
refuse_bad_flags() {
    if [ "$have_flags" = yes ]; then
        if ! make_conf "$flags"; then
            refuse "the flags cannot be written to $CONF"
        fi
    fi
    if [ -f "$STAGE/conf" ]; then conf=$STAGE/conf; else conf=$CONF; fi
    if ! PI_MONITOR_CONF=$conf service flags >/dev/null; then
        refuse "the flags cannot be read: see the message above"
    fi
}

# And a port that another program has; our own agent, or the package's, will give it up.
refuse_taken_port() {
    if owner=$(PI_MONITOR_CONF=$conf service port); then
        refuse "$owner; stop that program, or choose another port: PI_FLAGS='--web.listen-address=:9101'"
    fi
}

# All files of the new version; 1 if one cannot be written.
put_files() {
    make_dir "$LIB" || return 1
    keep "$SERVICE" && put_in_place "$STAGE/service" "$SERVICE" || return 1
    if [ -f "$STAGE/see-more.conf" ]; then
        keep "$LIB/see-more.conf" && chmod 644 "$STAGE/see-more.conf" && put_in_place "$STAGE/see-more.conf" "$LIB/see-more.conf" || return 1
    fi
    # Taken away with all else, if it is empty then.
    make_dir "$(dirname "$SECRETS")" || return 1
    if [ ! -d "$SECRETS" ]; then mkdir -m 700 "$SECRETS" || return 1; fi
    MADE="$SECRETS
$MADE"
    if [ "$have_flags" = yes ]; then
        write_conf "$flags" || return 1
    elif [ ! -e "$CONF" ]; then
        write_conf '' || return 1
    fi
    make_dir "$(dirname "$FILE")" || return 1
    if [ -e "$BIN" ]; then
        # A second name for the old file, or where there are none (vfat), a copy.
        ln -f "$BIN" "$BIN.old" 2>/dev/null || cp -p "$BIN" "$BIN.old" || return 1
    fi
    write_out
    mv -f "$STAGE/pi-monitor" "$BIN" || return 1
    add_entry || return 1
    keep "$LIB/boot" && echo "$KIND $FILE" >"$LIB/boot" || return 1
    keep "$LIB/made" && printf '%s\n' "$MADE" | cat - "$LIB/made" 2>/dev/null | awk 'NF && !seen[$0]++' >"$LIB/made.new" &&
        mv -f "$LIB/made.new" "$LIB/made"
}

# For --no-start: ends the agent that runs; the entry works from the next boot on.
stop_at_present() {
    case $KIND in
        inittab | sysvinit)
            # init must forget the line that it knows, and find it at the next boot.
            cp -p "$FILE" "$STAGE/inittab"
            remove_lines "$FILE"
            kill -HUP 1
            sleep 1
            end_own_pids
            put_in_place "$STAGE/inittab" "$FILE"
            ;;
        *) stop_agent ;;
    esac
}

cmd_commit() {
    if [ -z "$KIND" ]; then load_entry; fi
    retire_package
    rm -f "$BIN.old"
    rm -rf "$STAGE"
    write_out
}

cmd_rollback() {
    go_through
    if [ ! -f "$STAGE/was-running" ]; then die 1 "there is no install to go back from"; fi
    load_entry
    put_back || exit 3
}

# Ends the agent and removes every file and directory that install has made.
remove_all() {
    end_with_entry
    made="$(cat "$LIB/made" "$STAGE/made" 2>/dev/null)
$MADE"
    conf=$CONF
    if [ "$keep_conf" = yes ] || [ -n "$(package_version)" ]; then conf=''; fi
    rm -f "$BIN" "$BIN.old" ${conf:+"$conf"} /run/pi-monitor.pid /var/run/pi-monitor.pid /tmp/pi-monitor.pid
    rm -rf "$LIB" "$STAGE"
    # Deepest first; what others have filled since stays.
    printf '%s\n' "$made" | awk 'NF && !seen[$0]++ { print length($0), $0 }' | sort -rn | cut -d' ' -f2- |
        while read -r directory; do rmdir "$directory" 2>/dev/null; done
    write_out
    for file in "$BIN" "$BIN.old" "$LIB" $conf "$STAGE"; do
        if [ -e "$file" ]; then
            say "could not remove $file"
            return 1
        fi
    done
    if [ -n "$(own_pids)" ]; then
        say "the agent's process $(own_pids | tr '\n' ' ')does not end: it hangs in the kernel"
        return 1
    fi
}

# What the agent has recorded; under systemd the second is where the first one points to.
remove_state() { rm -rf "$STATE" "/var/lib/private/${STATE##*/}"; }

cmd_uninstall() {
    package=$(package_version)
    if [ ! -e "$BIN" ] && [ ! -e "$LIB" ]; then
        rm -rf "$STAGE"
        if [ "$purge" = yes ] && [ -z "$package" ]; then remove_state; fi
        if [ -n "$package" ]; then
            die 1 "Pi-Monitor is installed here as a Debian package, not by deploy.sh; remove it with: apt-get purge pi-monitor"
        fi
        say "nothing is installed"
        return 0
    fi
    go_through
    MADE=''
    load_entry
    if [ -n "$package" ]; then
        say "removing $BIN, $LIB and the boot entry ($KIND: $FILE); the Debian package stays, with $CONF"
    else
        say "removing $BIN, $LIB, $CONF and the boot entry ($KIND: $FILE)"
    fi
    remove_all || exit 3
    if [ "$purge" = yes ] && [ -z "$package" ]; then
        remove_state
    elif [ -d "$STATE" ]; then
        say "kept: $STATE, the recorded past"
    fi
    if [ -d "$SECRETS" ]; then say "kept: $SECRETS, which has files"; fi
    if [ -n "$package" ]; then
        if ! start_package; then die 3 "the Debian package's agent does not answer"; fi
        say "the Debian package's version $package runs now"
    fi
}

# The Debian package takes over: it starts its own agent afterwards.
cmd_handover() {
    if [ ! -e "$LIB/boot" ]; then return 0; fi
    go_through
    MADE='' keep_conf=yes
    load_entry
    remove_all || exit 3
}

main() {
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH}
    LC_ALL=C
    export PATH LC_ALL
    unset http_proxy HTTP_PROXY
    umask 022
    command=${1:-}
    if [ $# -gt 0 ]; then shift; fi
    start=yes flags='' have_flags=no limit=30 need=0 size='' sum='' tool='' MADE='' KIND='' FILE='' keep_conf=no purge=no
    for argument in "$@"; do
        case $argument in
            start=yes | start=no) start=${argument#*=} ;;
            flags=*)
                flags=${argument#*=}
                have_flags=yes
                ;;
            purge=yes | purge=no) purge=${argument#*=} ;;
            need=*) need=${argument#*=} ;;
            size=*) size=${argument#*=} ;;
            sum=*) sum=${argument#*=} ;;
            limit=*) limit=${argument#*=} ;;
            tool=*) tool=${argument#*=} ;;
            *) die 2 "unknown argument '$argument'" ;;
        esac
    done
    case $command in
        probe) cmd_probe ;;
        stage | verify | install | commit | rollback | uninstall | handover)
            if [ "$(id -u)" != 0 ]; then die 1 "root rights are needed"; fi
            "cmd_$command"
            ;;
        -h | --help) echo "deploy-remote.sh: see the comment at its head" ;;
        *) die 2 "unknown command '$command'; expected probe, stage, verify, install, commit, rollback, uninstall or handover" ;;
    esac
}

# Sourced by a test of its parts, nothing runs.
if [ -z "${DEPLOY_REMOTE_SOURCED:-}" ]; then main "$@"; fi
