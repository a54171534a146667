# shellcheck shell=bash
# deploy.sh under BusyBox init and scripts, where the emulated Pi does not try
# it: without an inittab, as Buildroot has it, with rc.local, and where nothing
# runs at boot.

group_busybox() {
    local status
    container_possible "BusyBox" || return 0

    # BusyBox init without an inittab runs /etc/init.d/rcS.
    tree_busybox "$RUN/bb-plain" || { fail "BusyBox" "no BusyBox"; return 0; }
    ln -sf ../bin/busybox "$RUN/bb-plain/sbin/init"
    printf '#!/bin/sh\nhostname bb\nexit 0\n' >"$RUN/bb-plain/etc/init.d/rcS"
    chmod 755 "$RUN/bb-plain/etc/init.d/rcS"
    busybox_cases "BusyBox init without inittab" bb-plain 'starts at boot by lines in /etc/init.d/rcS'

    # A file system that is read-only, one that is full.
    container_boot "$RUN/bb-plain" || { fail "BusyBox: boot" "the container did not come up"; return 0; }
    listing >"$RUN/before.txt"
    inside mount -o remount,bind,ro /
    refused_check "a read-only root" 'cannot make /usr/local/bin/.pi-monitor-deploy: is the file system read-only?'
    inside mount -o remount,bind,rw /
    inside dd if=/dev/zero of=/root/ballast bs=1024k 2>/dev/null
    refused_check "a full file system" 'only [0-9]* kB free'
    inside rm /root/ballast

    # shellcheck source=packaging/test/other-init.sh
    . "$HERE/test/other-init.sh"
    deploy_on_init "BusyBox" '/usr/local/lib/pi-monitor/pi-monitor-service restart'

    # An agent that lets nobody in, and one that does not start for want of the file.
    printf 'bearer 0123456789abcdef\n' >"$RUN/bb-plain/root/auth"
    status=0
    PI_FLAGS='--web.auth-file=/root/auth' deploy_inside --binary "$NATIVE" || status=$?
    if [ $status = 0 ] && [ -z "$(answering)" ]; then pass "an agent with access: install" "$(grep ^Done "$RUN/deploy.txt")"; else fail "an agent with access: install" "status $status, '$(answering)' answers: $(deploy_words)"; fi
    status=0
    PI_FLAGS='--web.auth-file=/root/none' deploy_inside --binary "$RUN/second" || status=$?
    if [ $status = 1 ] && grep -q 'the old version' "$RUN/deploy.txt"; then pass "an agent with access: broken" "$(grep -m 1 'the old version' "$RUN/deploy.txt")"; else fail "an agent with access: broken" "status $status: $(deploy_words)"; fi
    PI_FLAGS='' deploy_inside --uninstall || true
    rm -f "$RUN/bb-plain/root/auth"

    # Another way of starting at boot than at the last installation.
    deploy_inside --binary "$NATIVE" || true
    container_stop
    printf '::sysinit:/etc/init.d/rcS\n' >"$RUN/bb-plain/etc/inittab"
    container_boot "$RUN/bb-plain" && wait_answering "$FIRST_VERSION" 20
    status=0
    PI_FLAGS='--no-such-flag' deploy_inside --binary "$RUN/second" || status=$?
    if [ $status = 1 ] && [ "$(answering)" = "$FIRST_VERSION" ] && grep -q 'pi-monitor-service start' "$RUN/bb-plain/etc/init.d/rcS" && ! grep -q pi-monitor "$RUN/bb-plain/etc/inittab"; then
        pass "BusyBox init gets an inittab: broken" "started from rcS as before"
    else
        fail "BusyBox init gets an inittab: broken" "status $status, '$(answering)' answers: $(deploy_words)"
    fi
    if deploy_inside --binary "$RUN/second" && [ "$(answering)" = "$SECOND_VERSION" ] && ! grep -q pi-monitor "$RUN/bb-plain/etc/init.d/rcS" &&
        grep -q '^::respawn:.*pi-monitor-service run$' "$RUN/bb-plain/etc/inittab"; then
        pass "BusyBox init gets an inittab" "the lines moved there from rcS"
    else
        fail "BusyBox init gets an inittab" "'$(answering)' answers: $(deploy_words)"
    fi
    deploy_inside --uninstall || true
    rm -f "$RUN/bb-plain/etc/inittab"
    listing >"$RUN/after.txt"
    if cmp -s "$RUN/before.txt" "$RUN/after.txt"; then
        pass "BusyBox init gets an inittab: uninstall" "all as before"
    else
        fail "BusyBox init gets an inittab: uninstall" "$(diff "$RUN/before.txt" "$RUN/after.txt" | head -n 5 | tr '\n' '|')"
    fi
    container_stop

    # Buildroot: rcS runs the scripts S??*.
    tree_busybox "$RUN/bb-sdir"
    ln -sf ../bin/busybox "$RUN/bb-sdir/sbin/init"
    # shellcheck disable=SC2016  # that script's own $i
    printf '#!/bin/sh\nfor i in /etc/init.d/S??*; do\n    [ -x "$i" ] && "$i" start\ndone\n' >"$RUN/bb-sdir/etc/init.d/rcS"
    chmod 755 "$RUN/bb-sdir/etc/init.d/rcS"
    busybox_cases "scripts S??* (Buildroot)" bb-sdir 'starts at boot by /etc/init.d/S90pi-monitor'

    # A hand-made init that runs rc.local and never ends.
    tree_busybox "$RUN/bb-local"
    rm -f "$RUN/bb-local/sbin/init"
    printf '#!/bin/sh\nexport PATH=/sbin:/bin\n[ -x /etc/rc.local ] && /etc/rc.local\nwhile :; do sleep 1000 & wait $!; done\n' >"$RUN/bb-local/sbin/init"
    printf '#!/bin/sh\necho hello\nexit 0' >"$RUN/bb-local/etc/rc.local"
    chmod 755 "$RUN/bb-local/sbin/init" "$RUN/bb-local/etc/rc.local"
    busybox_cases "a hand-made init with rc.local" bb-local 'starts at boot by lines in /etc/rc.local'

    # A hand-made init that runs nothing else: the lines go into it.
    tree_busybox "$RUN/bb-init"
    rm -f "$RUN/bb-init/sbin/init"
    printf '#!/bin/sh\nexport PATH=/sbin:/bin\nhostname bare\nwhile :; do sleep 1000 & wait $!; done\n' >"$RUN/bb-init/sbin/init"
    chmod 755 "$RUN/bb-init/sbin/init"
    busybox_cases "a hand-made init with nothing else" bb-init 'starts at boot by lines in /sbin/init'

    # A program as init that runs no script at all: the login profile is left.
    tree_busybox "$RUN/bb-none"
    rm -f "$RUN/bb-none/sbin/init"
    cp "$RUN/bb-none/bin/busybox" "$RUN/bb-none/sbin/init"
    rm -rf "$RUN/bb-none/etc/init.d"
    container_boot "$RUN/bb-none" || { fail "login profile: boot" "the container did not come up"; return 0; }
    if deploy_inside --binary "$NATIVE" && [ "$(answering)" = "$FIRST_VERSION" ] && grep -q 'warning: found nothing that runs at boot' "$RUN/deploy.txt"; then
        pass "login profile: fresh install" "answers, with a warning"
    else
        fail "login profile: fresh install" "'$(answering)' answers: $(deploy_words)"
    fi
    container_stop
    container_boot "$RUN/bb-none" && inside sh -l -c true
    if wait_answering "$FIRST_VERSION" 20; then pass "login profile: a login after the boot starts it"; else fail "login profile: a login after the boot starts it" "nothing answers"; fi
    if deploy_inside --uninstall && [ -z "$(agent_pids)" ] && ! inside test -e /etc/profile; then
        pass "login profile: uninstall" "the profile that was made for it is gone, too"
    else
        fail "login profile: uninstall" "$(deploy_words)"
    fi
    container_stop
}

refused_check() { # NAME PATTERN
    local status=0
    deploy_inside --binary "$NATIVE" || status=$?
    if [ $status = 1 ] && grep -q "$2" "$RUN/deploy.txt" && ! inside test -e /usr/local; then
        pass "BusyBox: $1" "$(grep -o "$2" "$RUN/deploy.txt"); nothing is changed"
    else
        fail "BusyBox: $1" "status $status: $(deploy_words)"
    fi
}

busybox_cases() { # LABEL TREE ENTRY
    container_boot "$RUN/$2" || { fail "$1: boot" "the container did not come up"; return 0; }
    sleep 1
    deploy_cases "$1" "$RUN/$2" "$3"
    container_stop
}
