# shellcheck shell=bash
# The Debian package under a real systemd: installs, starts, sees what an agent
# outside the sandbox sees, is restarted, upgraded, removed and purged.

group_systemd() {
    local deb second before words pid
    container_possible "deb under systemd" || return 0
    tree_debian systemd "$RUN/systemd" || { fail "deb under systemd" "no Debian root"; return 0; }
    deb=$("$HERE/deb/build-deb.sh" -o "$RUN/deb" "$NATIVE")
    second=$(DEB_VERSION=$SECOND_VERSION "$HERE/deb/build-deb.sh" -o "$RUN/deb" "$RUN/second")
    mkdir "$RUN/systemd/packages"
    cp "$deb" "$second" "$RUN/systemd/packages/"
    # shellcheck disable=SC2034  # for agent_pids
    AGENT=/usr/bin/pi-monitor
    container_boot "$RUN/systemd" --tmpfs=/home || { fail "deb: boot" "the container did not come up"; return 0; }
    wait_systemd
    # shellcheck source=packaging/test/flags.sh
    . "$HERE/test/flags.sh"
    # shellcheck source=packaging/test/secrets.sh
    . "$HERE/test/secrets.sh"
    # A partition of its own for /home, one that is read-only.
    inside_sh 'mkdir -p /mnt/fixed /mnt/later; mount -t tmpfs -o ro,size=1m fixed /mnt/fixed'
    before=$(listing)

    words=$(inside dpkg -i "/packages/$(basename "$deb")" 2>&1) || { fail "deb: install" "$words"; return 0; }
    if wait_answering "$FIRST_VERSION" 10 && [ "$(inside systemctl is-active pi-monitor)" = active ] && [ "$(inside systemctl is-enabled pi-monitor)" = enabled ]; then
        pass "deb: install" "active, enabled, $FIRST_VERSION answers"
    else
        fail "deb: install" "$(inside systemctl status pi-monitor 2>&1 | tail -n 5 | tr '\n' '|')"
        return 0
    fi
    sandbox_checks
    mailbox_check
    see_more_check
    hanging_mount_check

    pid=$(agent_pids)
    inside_sh "kill -9 $pid"
    sleep 1
    if wait_answering "$FIRST_VERSION" 15 && [ "$(agent_pids)" != "$pid" ]; then
        pass "deb: kill -9" "process $pid gone, $(agent_pids) answers"
    else
        fail "deb: kill -9" "'$(answering)' answers"
    fi

    flags_under_init "deb under systemd" 'systemctl restart pi-monitor'
    secrets_checks "deb" 'systemctl restart pi-monitor'

    inside_sh "sed -i \"s/^PI_MONITOR_FLAGS=.*/PI_MONITOR_FLAGS='--web.listen-address=:9100'/\" /etc/default/pi-monitor"
    words=$(inside dpkg -i "/packages/$(basename "$second")" 2>&1) || true
    if wait_answering "$SECOND_VERSION" 10 && inside grep -q 'listen-address=:9100' /etc/default/pi-monitor; then
        pass "deb: upgrade" "$FIRST_VERSION to $SECOND_VERSION, /etc/default/pi-monitor is kept"
    else
        fail "deb: upgrade" "'$(answering)' answers: $(printf '%s' "$words" | tail -n 3 | tr '\n' '|')"
    fi

    container_stop
    container_boot "$RUN/systemd" --tmpfs=/home && wait_systemd
    if wait_answering "$SECOND_VERSION" 20; then pass "deb: boot" "$SECOND_VERSION answers by itself"; else fail "deb: boot" "'$(answering)' answers"; fi

    words=$(inside dpkg -r pi-monitor 2>&1) || true
    sleep 1
    if [ -z "$(agent_pids)" ] && [ -z "$(answering)" ] && ! inside test -e /usr/bin/pi-monitor && inside test -f /etc/default/pi-monitor; then
        pass "deb: remove" "stopped, flags kept"
        # shellcheck disable=SC2016
        words=$(inside_sh 'stat -L -c "%a" /var/lib/pi-monitor; stat -c "%a %n" /var/lib/pi-monitor/journal.*; head -c 18 /var/lib/pi-monitor/journal.0' | tr '\n' ' ')
        if [ "$words" = '700 600 /var/lib/pi-monitor/journal.0 600 /var/lib/pi-monitor/journal.1 pi-monitor journal' ]; then pass "deb: the past stays" "$words"; else fail "deb: the past stays" "$words"; fi
    else
        fail "deb: remove" "process '$(agent_pids)': $(printf '%s' "$words" | tail -n 3 | tr '\n' '|')"
    fi
    # A removed package must not be started by what was left enabled.
    words=$(inside dpkg -i "/packages/$(basename "$deb")" 2>&1) || true
    if wait_answering "$FIRST_VERSION" 10; then pass "deb: install again" "$FIRST_VERSION answers"; else fail "deb: install again" "'$(answering)' answers"; fi
    words=$(inside dpkg -P pi-monitor 2>&1) || true
    inside_sh 'mkdir -p /mnt/fixed /mnt/later'
    if [ -z "$(agent_pids)" ] && [ "$(listing)" = "$before" ] && ! inside test -e /var/lib/pi-monitor && ! inside test -e /var/lib/private/pi-monitor; then
        pass "deb: purge" "all files and checksums are as before"
    else
        fail "deb: purge" "$(diff <(printf '%s\n' "$before") <(listing) | head -n 6 | tr '\n' '|') $(printf '%s' "$words" | tail -n 2 | tr '\n' '|')"
    fi
    # shellcheck disable=SC2034
    AGENT=/usr/local/bin/pi-monitor
}

wait_systemd() {
    for _ in $(seq 300); do
        case $(inside systemctl is-system-running 2>/dev/null) in running | degraded) return 0 ;; esac
        sleep 0.2
    done
    note "systemd is not up: $(inside systemctl is-system-running 2>&1)"
}

# What the disk collector tells, one line per filesystem: mount point, type, size, read-only.
disk_rows() {
    awk '/^pi_disk_(total_bytes|read_only|device_error)\{/ {
        match($0, /mountpoint="[^"]*"/); point = substr($0, RSTART + 12, RLENGTH - 13)
        match($0, /^[a-z_]*/); what = substr($0, 1, RLENGTH)
        print point, what, $NF }' | sort
}

metrics_inside() { nsenter -t "$LEADER" -n curl -fsS --noproxy '*' --max-time 10 http://127.0.0.1:9100/metrics; }

sandbox_checks() {
    local pid status words seen
    pid=$(inside systemctl show -p MainPID --value pi-monitor)
    status=$(inside cat "/proc/$pid/status")
    words=$(printf '%s\n' "$status" | awk '/^Uid:|^CapEff:|^NoNewPrivs:|^Seccomp:/ { print $1 $2 }' | tr '\n' ' ')
    case $words in
        'Uid:0 '*) fail "deb: sandbox" "$words" ;;
        'Uid:'*'CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2 ') pass "deb: sandbox" "$words" ;;
        *) fail "deb: sandbox" "$words" ;;
    esac

    # The same program outside the unit's sandbox, as root, is what it is compared with.
    inside /usr/bin/pi-monitor print --format prometheus >"$RUN/outside.txt" 2>/dev/null || true
    metrics_inside >"$RUN/inside.txt" || true
    disk_rows <"$RUN/outside.txt" >"$RUN/outside-disks.txt"
    disk_rows <"$RUN/inside.txt" >"$RUN/inside-disks.txt"
    # The agent's own confinement holds within the unit's; Landlock where this kernel has it.
    words=$(awk -F '[{}="]+' '/^pi_sandbox/ { print $3 $4 }' "$RUN/inside.txt" | tr -d '\n')
    case $words in
        'no_new_privs 1capabilities 1landlock '[01]'seccomp 1') pass "deb: layers of the agent's own confinement" "$words" ;;
        *) fail "deb: layers of the agent's own confinement" "$words" ;;
    esac
    if [ -s "$RUN/outside-disks.txt" ] && cmp -s "$RUN/outside-disks.txt" "$RUN/inside-disks.txt"; then
        pass "deb: filesystems seen from the sandbox" "$(grep -c total_bytes "$RUN/inside-disks.txt") as outside, $(awk '$2 == "pi_disk_read_only" && $3 == 1' "$RUN/inside-disks.txt" | wc -l) of them read-only"
    else
        fail "deb: filesystems seen from the sandbox" "< outside, > inside: $(diff "$RUN/outside-disks.txt" "$RUN/inside-disks.txt" | grep '^[<>]' | head -n 8 | tr '\n' '|')"
    fi

    # The families that it tells at all. (It may tell more: some need a past.)
    # What fires differs from one agent to the other.
    words=$(diff <(sed -n 's/^# TYPE \(pi_[a-z_]*\) .*/\1/p' "$RUN/outside.txt" | grep -v '^pi_verdict_info$' | sort) <(sed -n 's/^# TYPE \(pi_[a-z_]*\) .*/\1/p' "$RUN/inside.txt" | sort) | sed -n 's/^< //p' | tr '\n' ' ')
    if [ -z "$words" ]; then
        pass "deb: families seen from the sandbox" "$(grep -c '^# TYPE pi_' "$RUN/inside.txt"), as outside"
    else
        fail "deb: families seen from the sandbox" "missing: $words"
    fi
    words=$(awk '/^pi_collector_up\{/ && $NF != 1' "$RUN/inside.txt" | tr '\n' ' ')
    if [ -z "$words" ]; then pass "deb: collectors in the sandbox" "$(grep -c '^pi_collector_up{' "$RUN/inside.txt") up"; else fail "deb: collectors in the sandbox" "$words"; fi
    words=$(paste -d' ' <(sed -n 's/^pi_processes //p' "$RUN/outside.txt") <(sed -n 's/^pi_processes //p' "$RUN/inside.txt"))
    # shellcheck disable=SC2086  # two numbers
    set -- $words
    if [ -n "${2:-}" ] && [ $((${1:-0} - $2)) -le 3 ] && [ $(($2 - $1)) -le 3 ]; then
        pass "deb: processes seen from the sandbox" "$2, outside $1"
    else
        fail "deb: processes seen from the sandbox" "${2:-none}, outside ${1:-none}"
    fi

    # What is mounted later comes to the sandbox, and can be unmounted again.
    inside mount -t tmpfs -o size=2m later /mnt/later
    seen=''
    for _ in $(seq 60); do
        sleep 0.5
        seen=$(metrics_inside | grep '^pi_disk_total_bytes{.*mountpoint="/mnt/later"' || true)
        [ -z "$seen" ] || break
    done
    if [ -z "$seen" ]; then
        fail "deb: a later mount" "not in /metrics"
    elif ! words=$(inside umount /mnt/later 2>&1); then
        fail "deb: a later mount" "umount says: $words"
    else
        sleep 0.5
        seen=$(metrics_inside | grep 'mountpoint="/mnt/later"' || true)
        if [ -z "$seen" ]; then pass "deb: a later mount" "seen, unmounted, gone"; else fail "deb: a later mount" "still there after umount: $seen"; fi
    fi
}

# The VideoCore's mailbox, played by a device that any kernel has: the unit shows
# it, and lets group video open it.
mailbox_check() {
    local words
    inside_sh 'mknod /dev/vcio c 1 5 && chgrp video /dev/vcio && chmod 660 /dev/vcio && mknod /dev/other c 1 5 && mkdir -p /run/systemd/system/pi-monitor.service.d &&
        printf "[Service]\nExecStartPre=/usr/bin/dd if=/dev/vcio of=/dev/null bs=1 count=1\nExecStartPre=/usr/bin/test ! -e /dev/other\n" >/run/systemd/system/pi-monitor.service.d/mailbox.conf &&
        systemctl daemon-reload'
    if words=$(inside systemctl restart pi-monitor 2>&1) && wait_answering "$FIRST_VERSION" 10; then
        pass "deb: the mailbox in the sandbox" "can be opened; other devices are not there"
    else
        fail "deb: the mailbox in the sandbox" "$words $(inside journalctl -u pi-monitor -n 4 -o cat | tr '\n' '|')"
    fi
    inside_sh 'rm -r /run/systemd/system/pi-monitor.service.d; rm /dev/vcio /dev/other; systemctl daemon-reload; systemctl restart pi-monitor'
    wait_answering "$FIRST_VERSION" 10
}

# What the unit does not see, and the drop-in that changes that.
see_more_check() {
    local without with
    inside_sh 'mkdir -p /media/pi/stick && chmod 750 /media/pi && mount -t tmpfs -o size=3m stick /media/pi/stick'
    sleep 0.5
    without=$(stick_state)
    inside mkdir -p /etc/systemd/system/pi-monitor.service.d
    inside cp /usr/lib/pi-monitor/see-more.conf /etc/systemd/system/pi-monitor.service.d/
    inside_sh 'systemctl daemon-reload; systemctl restart pi-monitor'
    wait_answering "$FIRST_VERSION" 10
    with=$(stick_state)
    if [ "$without" = 'error=1 ' ] && [ "$with" = 'error=0 total=3145728' ]; then
        pass "deb: drop-in see-more.conf" "a stick in a closed directory: without it '$without', with it '$with'"
    else
        fail "deb: drop-in see-more.conf" "a stick in a closed directory: without it '$without', with it '$with'"
    fi
    inside_sh 'rm -r /etc/systemd/system/pi-monitor.service.d; umount /media/pi/stick; rmdir /media/pi/stick /media/pi; systemctl daemon-reload; systemctl restart pi-monitor'
    wait_answering "$FIRST_VERSION" 10
}

stick_state() {
    metrics_inside | awk '/mountpoint="\/media\/pi\/stick"/ {
        if (/^pi_disk_device_error/) error = $NF
        if (/^pi_disk_total_bytes/) total = $NF }
        END { printf "error=%s %s", error, total ? "total=" total : "" }'
}

# A FUSE mount whose program never answers: the agent's helper process hangs in
# it, within the sandbox; everything else answers, and the service can be stopped.
hanging_mount_check() {
    local started words took=0 helper
    if [ ! -c /dev/fuse ]; then
        skip "deb: a mount that hangs" "this host has no /dev/fuse"
        return
    fi
    exec 5<>/dev/fuse
    inside mkdir -p /mnt/hang
    if ! words=$(nsenter -t "$LEADER" -m -- mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0,allow_other hang /mnt/hang 2>&1); then
        exec 5<&-
        inside rmdir /mnt/hang
        skip "deb: a mount that hangs" "cannot be made here: $words"
        return
    fi
    for _ in $(seq 60); do
        words=$(metrics_inside | grep '^pi_disk_device_error{.*mountpoint="/mnt/hang"' || true)
        case $words in *' 1') break ;; esac
        sleep 0.5
    done
    helper=$(inside journalctl -q -t pi-monitor -o cat | grep -c '/mnt/hang: does not answer' || true)
    started=$(date +%s%N)
    inside systemctl stop pi-monitor || true
    took=$((($(date +%s%N) - started) / 1000000))
    # Without its program the mount is dead; whoever hangs in it is let go.
    exec 5<&-
    inside_sh 'umount -l /mnt/hang; rmdir /mnt/hang'
    inside systemctl start pi-monitor || true
    case $words in
        *' 1')
            if [ "$helper" -ge 1 ] && [ $took -le 30000 ] && wait_answering "$FIRST_VERSION" 10; then
                pass "deb: a mount that hangs" "told as an error after its helper did not answer; stopped in $took ms, started again"
            else
                fail "deb: a mount that hangs" "the journal speaks of it $helper times, stopping took $took ms, '$(answering)' answers"
            fi
            ;;
        *) fail "deb: a mount that hangs" "not told as an error: '$words', stopping took $took ms" ;;
    esac
}
