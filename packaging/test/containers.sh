# shellcheck shell=bash
# containers.sh - machines with each init system, as systemd-nspawn containers. Sourced.
#
#   container_possible NAME   says with "skip NAME ..." why there can be none
#   tree_debian KIND DIR      a Debian root: KIND is systemd, openrc or sysvinit
#   tree_busybox DIR          a root with nothing but BusyBox
#   container_boot DIR        boots DIR's /sbin/init; waits until it has a process 1
#   inside COMMAND...         runs COMMAND there;  inside_sh 'LINE'  a shell line
#   container_stop            ends it
#   deploy_inside [OPTIONS]   scripts/deploy.sh against it (no SSH: see fake_ssh)
#   answering  wait_answering VERSION SECONDS  agent_pids  listing

TREES=${XDG_CACHE_HOME:-$HOME/.cache}/pi-monitor/packaging
DEBIAN_SUITE=${DEBIAN_SUITE:-bookworm}
NSPAWN_PID='' LEADER='' CONTAINER_LOG=''
AGENT=/usr/local/bin/pi-monitor
ROOTS=''

container_possible() { # NAME
    local program
    if [ -z "$NATIVE" ]; then
        skip "$1" "no binary for this host's CPU ($(uname -m)); scripts/build.sh $(uname -m) makes one"
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        skip "$1" "containers need root"
        return 1
    fi
    for program in systemd-nspawn:systemd-container debootstrap:debootstrap nsenter:util-linux curl:curl; do
        if ! command -v "${program%:*}" >/dev/null; then
            skip "$1" "there is no ${program%:*} (Debian package ${program#*:})"
            return 1
        fi
    done
}

# The first mirror of Debian that this host's own apt knows.
debian_mirror() {
    # shellcheck disable=SC2016  # $(LABEL) is apt's notation
    echo "${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(LABEL) $(SITE)' 2>/dev/null | sed -n 's/^Debian //p' | head -n 1)}"
}

# Every root is a file system of its own: boot scripts remount "/", and that
# must not be the one of this host.
root_of_its_own() { # DIR SIZE
    mkdir -p "$1"
    mount -t tmpfs -o "size=$2,mode=755" "pi-monitor-${1##*/}" "$1" || return 1
    ROOTS="$1 $ROOTS"
}

roots_away() {
    local dir
    for dir in $ROOTS; do umount -l "$dir" 2>/dev/null || true; done
    ROOTS=''
}

tree_debian() { # KIND DIR
    local base=$TREES/$DEBIAN_SUITE-$1 include
    case $1 in
        systemd) include=systemd,systemd-sysv,dbus,openssh-server,sudo,wget ;;
        openrc | sysvinit) include=sysvinit-core ;;
    esac
    if [ ! -e "$base.ready" ]; then
        note "making a Debian root with $1, once"
        mkdir -p "$TREES"
        rm -rf "$base"
        if ! timeout 900 debootstrap --variant=minbase --include=$include "$DEBIAN_SUITE" "$base" "$(debian_mirror)" >"$RUN/debootstrap-$1.log" 2>&1; then
            note "debootstrap failed: $(tail -n 2 "$RUN/debootstrap-$1.log" | tr '\n' '|')"
            return 1
        fi
        # OpenRC takes the place of sysv-rc, which debootstrap cannot leave out.
        if [ "$1" = openrc ] && ! timeout 600 systemd-nspawn -q -D "$base" --register=no --keep-unit --pipe --resolv-conf=replace-host \
            apt-get -q -y --no-install-recommends install openrc curl </dev/null >>"$RUN/debootstrap-$1.log" 2>&1; then
            note "apt-get failed: $(tail -n 2 "$RUN/debootstrap-$1.log" | tr '\n' '|')"
            return 1
        fi
        rm -rf "$base"/var/cache/apt/archives/*.deb "$base"/var/lib/apt/lists/*
        : >"$base.ready"
    fi
    root_of_its_own "$2" 1500m
    cp -a "$base/." "$2/"
    echo pi-test >"$2/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 pi-test\n' >"$2/etc/hosts"
}

tree_busybox() { # DIR
    local busybox=$TREES/busybox
    if [ ! -x "$busybox" ]; then
        mkdir -p "$TREES"
        rm -rf "$RUN/bb"
        mkdir "$RUN/bb"
        (cd "$RUN/bb" && timeout 120 apt-get -q download busybox-static && dpkg-deb -x busybox-static_*.deb .) >"$RUN/busybox.log" 2>&1 || {
            note "cannot fetch busybox-static: $(tail -n 1 "$RUN/busybox.log")"
            return 1
        }
        cp "$RUN/bb/bin/busybox" "$busybox"
    fi
    root_of_its_own "$1" 32m
    mkdir -p "$1"/{bin,sbin,dev,etc/init.d,proc,sys,run,tmp,root,usr/bin,usr/sbin}
    cp "$busybox" "$1/bin/busybox"
    chroot "$1" /bin/busybox --install -s
    printf 'NAME=busybox\nID=busybox\n' >"$1/etc/os-release"
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\n' >"$1/etc/group"
}

# shellcheck disable=SC2046,SC2086  # lists of pids are split
container_boot() { # DIR [NSPAWN OPTIONS]
    local dir=$1
    shift
    CONTAINER_LOG=$RUN/$(basename "$dir").log
    # Beside its own list, nspawn lets through what a machine would: confinement, and reading the state of the clock.
    timeout -k 5 900 systemd-nspawn -q -D "$dir" --register=no --keep-unit --private-network --hostname=pi-test \
        --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self adjtimex" --console=pipe "$@" -b </dev/null >>"$CONTAINER_LOG" 2>&1 &
    NSPAWN_PID=$!
    disown # ended by container_stop, without the shell's word about it
    LEADER=''
    for _ in $(seq 100); do
        # timeout's child is systemd-nspawn, one of whose children becomes process 1.
        LEADER=$(process_1 $(children $(children $NSPAWN_PID)))
        if [ -n "$LEADER" ] && inside true 2>/dev/null; then break; fi
        if ! kill -0 $NSPAWN_PID 2>/dev/null; then
            note "the container ended: $(tail -n 3 "$CONTAINER_LOG" | tr '\n' '|')"
            return 1
        fi
        sleep 0.1
    done
    inside ip link set lo up 2>/dev/null || inside ifconfig lo up 2>/dev/null || nsenter -t "$LEADER" -n ip link set lo up
}

children() { # [PID]
    [ $# = 0 ] || cat "/proc/$1/task/$1/children" 2>/dev/null || true
}

process_1() { # PID...: the one that is process 1 of its own namespace
    local pid
    for pid in "$@"; do
        if grep -q '^NSpid:.*[^0-9]1$' "/proc/$pid/status" 2>/dev/null && ! grep -q nspawn "/proc/$pid/comm" 2>/dev/null; then
            echo "$pid"
            return
        fi
    done
}

inside() {
    nsenter -t "$LEADER" -m -u -i -n -p -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
}
inside_sh() { inside /bin/sh -c "$1"; }

container_stop() {
    local tries=0 patience=5
    [ -n "$NSPAWN_PID" ] || return 0
    # nspawn asks process 1 to power off, as systemd understands it; at a second
    # signal it does not wait for that.
    if [ -n "$LEADER" ] && [ -d "/proc/$LEADER/root/run/systemd/system" ]; then patience=100; fi
    kill -TERM "$NSPAWN_PID" 2>/dev/null || true
    while kill -0 "$NSPAWN_PID" 2>/dev/null; do
        tries=$((tries + 1))
        if [ $tries = $patience ]; then kill -TERM "$NSPAWN_PID" 2>/dev/null || true; fi
        if [ $tries = $((patience + 50)) ] && [ -n "$LEADER" ]; then kill -KILL "$LEADER" 2>/dev/null || true; fi
        [ $tries -lt 200 ] || break
        sleep 0.1
    done
    # A killed nspawn leaves its process 1 behind, and with that all others.
    if [ -n "$(process_1 "$LEADER")" ]; then kill -KILL "$LEADER" 2>/dev/null || true; fi
    NSPAWN_PID='' LEADER=''
}

# An ssh that goes into the container by nsenter instead: all of deploy.sh runs,
# only the connection is not real. (With SSH it is tried by group deploy and on
# the emulated Pi.)
fake_ssh() {
    mkdir -p "$RUN/fake"
    cat >"$RUN/fake/ssh" <<'SSH'
#!/bin/bash
for word in "$@"; do
    case $word in
        -V) echo 'OpenSSH_9.2p1 (a stand-in)' >&2; exit 0 ;;
        -M | -O) exit 0 ;;
    esac
done
exec nsenter -t "$CONTAINER_LEADER" -m -u -i -n -p -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root /bin/sh -c "${@: -1}"
SSH
    chmod 755 "$RUN/fake/ssh"
}

deploy_inside() {
    local status=0
    [ -x "$RUN/fake/ssh" ] || fake_ssh
    PATH="$RUN/fake:$PATH" CONTAINER_LEADER=$LEADER PI_HOST=container PI_URL=http://127.0.0.1:9 PI_TIMEOUT=${PI_TIMEOUT-12} \
        timeout -k 5 200 "$REPOSITORY/scripts/deploy.sh" "$@" >"$RUN/deploy.txt" 2>&1 </dev/null || status=$?
    { echo "deploy.sh $*"; cat "$RUN/deploy.txt"; } >>"$RUN/deploy-all.log"
    return $status
}
deploy_words() { tail -n 4 "$RUN/deploy.txt" | tr '\n' '|'; }

answering() {
    nsenter -t "$LEADER" -n curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:9100/metrics" 2>/dev/null |
        sed -n 's/^pi_monitor_build_info{.*version="\([^"]*\)".*/\1/p' || true
}

wait_answering() { # VERSION SECONDS: a minute at least, since this machine may be busy
    local deadline=$((SECONDS + ($2 > 60 ? $2 : 60)))
    while [ "$(answering)" != "$1" ]; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.2
    done
}

# The programs of the agents that run in the container, wherever they are, each followed
# by a blank; without the processes that write their journals.
agent_programs() {
    # shellcheck disable=SC2016  # expanded in the container
    inside_sh 'for exe in /proc/[0-9]*/exe; do
        program=$(readlink "$exe") || continue
        case $program in */pi-monitor) ;; *) continue ;; esac
        parent=$(sed -n "s/^PPid:[^0-9]*//p" "${exe%exe}status")
        if [ "$(readlink "/proc/$parent/exe")" != "$program" ]; then echo "$program"; fi
    done 2>/dev/null' | tr '\n' ' '
}

agent_pids() { # in the container's numbers, whose program is $AGENT there; not the process of an agent that writes its journal
    inside_sh "for pid in \$(ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n 's|.*/proc/\\([0-9]*\\)/exe -> $AGENT\$|\\1|p'); do
        parent=\$(sed -n 's/^PPid:[^0-9]*//p' /proc/\$pid/status 2>/dev/null)
        if [ \"\$(readlink /proc/\$parent/exe 2>/dev/null)\" != '$AGENT' ]; then echo \$pid; fi
    done" | tr '\n' ' ' | sed 's/ $//'
}

# All files of the tree, with checksums of those that an installation may touch; without
# the recorded past, which has checks of its own, and the directory that holds it.
listing() {
    # shellcheck disable=SC2016  # expanded in the container
    inside_sh 'find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /var/lib/systemd -o -path /var/lib/private -o -path /var/lib/pi-monitor -o -path /root/.ssh -o -path /home/pi/.ssh -o -path "/var/tmp/systemd-private-*" -o -path "/etc/*-" -o -path /etc/.pwd.lock -o -path /usr/lib/tmpfiles.d \) -prune -o -print | grep -vx /var/lib | sort
        find /etc $(ls -d /usr/local 2>/dev/null) -xdev -type f ! -path "/etc/*-" ! -path /etc/resolv.conf ! -path /etc/mtab -exec md5sum {} + | sort -k 2; ls /run | grep -i pi-monitor'
    return 0
}

# The cases that every init system has to pass, by deploy_inside. The machine
# is booted; what starts the agent at boot is tried by booting it again.
deploy_cases() { # LABEL DIR ENTRY
    local label=$1 dir=$2 entry=$3 before after status words
    listing >"$RUN/before.txt"
    if deploy_inside --binary "$NATIVE" && [ "$(answering)" = "$FIRST_VERSION" ] && grep -q "$entry" "$RUN/deploy.txt"; then
        pass "$label: fresh install" "$FIRST_VERSION answers; $(grep -o "$entry.*" "$RUN/deploy.txt" | head -n 1)"
    else
        fail "$label: fresh install" "'$(answering)' answers: $(deploy_words)"
        return
    fi

    before=$(agent_pids)
    inside_sh "kill -9 $before"
    sleep 0.5
    if wait_answering "$FIRST_VERSION" 20 && after=$(agent_pids) && [ "$before" != "$after" ]; then
        pass "$label: kill -9" "process $before gone, $after answers"
    else
        fail "$label: kill -9" "process $before then, '$(agent_pids)' now, '$(answering)' answers"
    fi

    if PI_FLAGS='--web.listen-address=:9100' deploy_inside --binary "$RUN/second" && [ "$(answering)" = "$SECOND_VERSION" ]; then
        pass "$label: upgrade" "$FIRST_VERSION to $SECOND_VERSION"
    else
        fail "$label: upgrade" "'$(answering)' answers: $(deploy_words)"
    fi

    status=0
    PI_FLAGS='--no-such-flag' deploy_inside --binary "$NATIVE" || status=$?
    if [ $status = 1 ] && wait_answering "$SECOND_VERSION" 5 && grep -q "the old version $SECOND_VERSION answers again" "$RUN/deploy.txt" &&
        inside_sh "grep -qxF \"PI_MONITOR_FLAGS='--web.listen-address=:9100'\" /etc/default/pi-monitor"; then
        pass "$label: broken" "$SECOND_VERSION with its flags answers again"
    else
        fail "$label: broken" "status $status, '$(answering)' answers: $(deploy_words)"
    fi

    container_stop
    if container_boot "$dir" && wait_answering "$SECOND_VERSION" 30; then
        pass "$label: boot" "$SECOND_VERSION answers by itself"
    else
        fail "$label: boot" "'$(answering)' answers: $(tail -n 3 "$CONTAINER_LOG" | tr '\n' '|')"
    fi

    status=0
    deploy_inside --no-start --binary "$NATIVE" || status=$?
    sleep 2.5
    if [ $status = 0 ] && [ -z "$(agent_pids)" ] && [ -z "$(answering)" ]; then
        pass "$label: --no-start" "in place, nothing runs"
    else
        fail "$label: --no-start" "status $status, process '$(agent_pids)', '$(answering)' answers: $(deploy_words)"
    fi

    # From there, with nothing that runs: uninstall.
    status=0
    deploy_inside --uninstall || status=$?
    sleep 2
    listing >"$RUN/after.txt"
    if [ $status = 0 ] && [ -z "$(agent_pids)" ] && cmp -s "$RUN/before.txt" "$RUN/after.txt"; then
        pass "$label: uninstall" "$(wc -l <"$RUN/after.txt") lines of files and checksums are as before"
    else
        fail "$label: uninstall" "status $status, process '$(agent_pids)': $(deploy_words) $(diff "$RUN/before.txt" "$RUN/after.txt" | head -n 6 | tr '\n' '|')"
    fi

    # The past outlives that, for the agent alone.
    # shellcheck disable=SC2016
    words=$(inside_sh 'ls -l /var/lib/pi-monitor/ | sed -n "s/^\(-[rwx-]*\).* \([^ ]*\)$/\1 \2/p"; head -c 18 /var/lib/pi-monitor/journal.0' | tr '\n' ' ')
    if [ "$words" = '-rw------- journal.0 -rw------- journal.1 pi-monitor journal' ]; then
        pass "$label: the past stays" "$words"
    else
        fail "$label: the past stays" "$words"
    fi

    # And with an agent that runs.
    status=0
    if deploy_inside --binary "$NATIVE" && deploy_inside --purge && sleep 2 && [ -z "$(agent_pids)" ] && [ -z "$(answering)" ]; then
        if inside test -e /var/lib/pi-monitor; then fail "$label: purge" "/var/lib/pi-monitor is left"; else pass "$label: purge" "the past is removed"; fi
        pass "$label: uninstall while it runs" "nothing answers"
    else
        fail "$label: uninstall while it runs" "process '$(agent_pids)', '$(answering)' answers: $(deploy_words)"
    fi
}
