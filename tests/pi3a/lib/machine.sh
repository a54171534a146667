# shellcheck shell=bash
# machine.sh - QEMU's raspi3ap: start, console, stop. Sourced.
#
#   machine_start NAME ROLE INITRAMFS CARD   boots; waits until the console answers
#   guest COMMAND...        runs COMMAND in the guest through the serial console;
#                           its output, its status (124: no answer in GUEST_LIMIT s)
#   monitor COMMAND...      gives QEMU a command, such as to attach a device
#   machine_wait_reboot     after a reboot was asked for: waits for the new system
#   machine_stop            powers the guest off, or ends QEMU
#   LOG HTTP_PORT SSH_PORT  serial log; ports of 127.0.0.1 for the guest's 9100 and 22
#   MONITOR_PORT            port of 127.0.0.1 for QEMU's commands
#
# The board: 4 Cortex-A53, 512 MB of which 64 belong to the VideoCore. Its only
# network is USB: a usb-net device behind the dwc2 controller, seen as usb0.

QEMU_PID='' LOG='' HTTP_PORT='' SSH_PORT='' MONITOR_PORT='' CONSOLE_TAG=0
BOOT_LIMIT=${BOOT_LIMIT:-180} # seconds; a busy machine needs 15, an idle one 6
GUEST_LIMIT=${GUEST_LIMIT:-150}
PATIENCE=${PATIENCE:-120} # seconds until what is waited for has to be there; an idle machine needs 10
MACHINE_LIMIT=${MACHINE_LIMIT:-1200} # QEMU ends after this, whatever happens

free_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + RANDOM % 12000))
        # Somebody who listens there answers; else the port is free now.
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    note "no free port found"
    return 1
}

machine_alive() { [ -n "$QEMU_PID" ] && kill -0 "$QEMU_PID" 2>/dev/null; }

machine_healthy() { # says why not
    if ! machine_alive; then
        note "QEMU ended: $(tail -n 3 "$LOG.qemu" 2>/dev/null)"
        return 1
    fi
    if grep -qaE 'Kernel panic|Internal error:' "$LOG"; then
        note "the guest's kernel crashed"
        return 1
    fi
}

machine_ready_count() { grep -ca 'PI3A: ready' "$LOG" || true; }

# Waits until the guest has said "ready" for the Nth time.
machine_wait_ready() { # N
    local deadline=$((SECONDS + BOOT_LIMIT))
    while [ "$(machine_ready_count)" -lt "$1" ]; do
        machine_healthy || return 1
        if [ $SECONDS -ge $deadline ]; then
            note "the guest did not come up within $BOOT_LIMIT s"
            return 1
        fi
        sleep 0.1
    done
}

machine_start() { # NAME ROLE INITRAMFS CARD
    LOG=$RUN/$1.log
    : >"$LOG"
    HTTP_PORT=$(free_port) && SSH_PORT=$(free_port) && MONITOR_PORT=$(free_port) || return 1
    [ -f "$RUN/pi.dtb" ] || make_device_tree "$RUN/pi.dtb"
    rm -f "$RUN/console"
    mkfifo "$RUN/console"
    exec 9<>"$RUN/console"
    # ttyS1 is the mini-UART; the PL011 belongs to the Bluetooth chip in this
    # device tree. That initcall would panic: QEMU lacks the registers that the
    # driver reads, and Linux does not need it here.
    timeout -k 5 "$MACHINE_LIMIT" qemu-system-aarch64 -M raspi3ap -kernel "$KERNEL" -dtb "$RUN/pi.dtb" \
        -initrd "$3" -append "console=ttyS1,115200 quiet loglevel=3 panic=1 pi3a.role=$2 initcall_blacklist=bcm2835_power_driver_init" \
        -device usb-net,netdev=n0 \
        -netdev "user,id=n0,hostfwd=tcp:127.0.0.1:$HTTP_PORT-:9100,hostfwd=tcp:127.0.0.1:$SSH_PORT-:22" \
        -drive "if=sd,format=raw,file=$4" \
        -serial null -chardev stdio,id=con,signal=off -serial chardev:con \
        -display none -monitor "tcp:127.0.0.1:$MONITOR_PORT,server=on,wait=off" <&9 >"$LOG" 2>"$LOG.qemu" &
    QEMU_PID=$!
    machine_wait_ready 1
}

monitor() { # COMMAND...
    # It is done when QEMU shows its prompt again.
    exec 8<>"/dev/tcp/127.0.0.1/$MONITOR_PORT" || return 1
    printf '%s\ninfo name\nquit-monitor\n' "$*" >&8
    timeout 10 sed '/unknown command: .quit-monitor/q' <&8 >>"$LOG.monitor" || true
    exec 8>&-
}

guest() { # COMMAND...
    local tag deadline=$((SECONDS + GUEST_LIMIT)) status
    CONSOLE_TAG=$((CONSOLE_TAG + 1))
    # Also told apart by the process: $(guest ...) counts in a subshell.
    tag=t$CONSOLE_TAG.$BASHPID.$RANDOM
    printf '%s %s\n' "$tag" "$*" >&9
    while ! grep -qa "^@$tag> " "$LOG"; do
        machine_healthy || return 125
        if [ $SECONDS -ge $deadline ]; then
            note "no answer within $GUEST_LIMIT s from the guest to: $*"
            return 124
        fi
        sleep 0.05
    done
    tr -d '\r\000' <"$LOG" | awk -v tag="@$tag" '
        $0 == tag "<" { on = 1; next }
        index($0, tag "> ") == 1 { exit }
        on { line[++n] = $0 }
        END { if (n && line[n] == "") n--; for (i = 1; i <= n; i++) print line[i] }'
    status=$(tr -d '\r\000' <"$LOG" | sed -n "s/^@$tag> //p")
    return "$status"
}

machine_wait_reboot() { # READY_COUNT_BEFORE
    machine_wait_ready $(($1 + 1))
}

machine_stop() {
    if machine_alive; then
        # On a Pi, poweroff is a reset by the watchdog that the boot loader
        # does not leave; QEMU ends.
        printf 'off sync; poweroff -f\n' >&9
        for _ in $(seq 100); do
            machine_alive || break
            sleep 0.1
        done
        machine_alive && kill "$QEMU_PID" 2>/dev/null
    fi
    [ -z "$QEMU_PID" ] || wait "$QEMU_PID" 2>/dev/null || true
    QEMU_PID=''
    exec 9>&- 2>/dev/null || true
}
