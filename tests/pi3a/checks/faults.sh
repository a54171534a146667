# shellcheck shell=bash
# Faults are planted all at once, since verdicts take their time; the checks after this one look for them.

FIRMWARE=/sys/devices/platform/soc/soc:firmware/get_throttled

check_faults() {
    local command answer
    # In one command, which is one line: the shell stops at what fails.
    # - The firmware reports under-voltage and throttling, now and before.
    # - The kernel finds two errors in the filesystem on /boot, at different times.
    # - Swap is on the card; a second agent runs; a reboot is pending; memory accounting is off.
    command="set -e; echo 50005 >$FIRMWARE; echo 1 >/sys/fs/ext4/mmcblk0p1/trigger_fs_error;"
    command="$command dd if=/dev/zero of=/data/swap bs=1M count=1 2>/dev/null; mkswap /data/swap >/dev/null; swapon /data/swap;"
    command="$command printf '#!/bin/sh\nsleep 1000\n' >/tmp/node_exporter; chmod 755 /tmp/node_exporter;"
    command="$command /tmp/node_exporter >/dev/null 2>&1 & echo \$! >/run/node_exporter.pid;"
    command="$command touch /run/reboot-required;"
    command="$command echo \$(cat /proc/cmdline) cgroup_disable=memory >/run/cmdline; mount -o bind /run/cmdline /proc/cmdline;"
    command="$command usleep 1100000; echo 1 >/sys/fs/ext4/mmcblk0p1/trigger_fs_error"
    answer=$(guest "$command" | tr '\n' ' ') || answer="$answer, and it failed"
    if [ -z "$answer" ]; then pass "faults are planted"; else fail "faults are planted" "$answer"; fi
}
