# shellcheck shell=bash
# The guest really reboots (its watchdog resets the board), and the agent comes
# back by itself.

case_reboot() {
    local count boot_before boot_after started=$SECONDS
    boot_before=$(guest 'cat /proc/sys/kernel/random/boot_id')
    count=$(machine_ready_count)
    reboot_guest
    if ! machine_wait_reboot "$count"; then
        fail "${LABEL}reboot" "the guest did not come back"
        return
    fi
    if ! wait_answering "$INSTALLED"; then
        fail "${LABEL}reboot" "after the reboot '$(answering)' answers, not $INSTALLED"
        return
    fi
    boot_after=$(guest 'cat /proc/sys/kernel/random/boot_id')
    if [ -n "$boot_after" ] && [ "$boot_after" != "$boot_before" ]; then
        pass "${LABEL}reboot" "another boot id; $INSTALLED answers by itself, $((SECONDS - started)) s after the reboot was asked for"
    else
        fail "${LABEL}reboot" "the boot id is the same: no reboot happened"
    fi
}

reboot_guest() { # nothing waits for its answer
    case $INIT in
        busybox) printf 'reboot reboot\n' >&9 ;;
        script) printf 'reboot sync; reboot -f\n' >&9 ;;
    esac
}
