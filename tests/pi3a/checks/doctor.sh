# shellcheck shell=bash
# The doctor finds each planted fault and nothing else: as a command, and as far as the running agent may see. Then the faults end.

check_doctor() {
    local here names unseen
    # What the firmware says, what the card has, how the machine is set up.
    here='under_voltage throttled throttled_since_boot filesystem_errors swap_on_card memory_accounting second_agent'
    expect_findings "doctor, all faults" "$here wifi_country wifi_power_save reboot_pending"
    # The running agent has seen errors come and a link go, and asks no radio and no disk.
    http /doctor >"$RUN/doctor.json" || true
    names=$(jq -r '[.findings[].name] | sort | join(" ")' "$RUN/doctor.json")
    unseen=$(jq -r '[.not_seen[].name] | sort | join(" ")' "$RUN/doctor.json")
    if [ "$names" = "$(sorted "$here disk_read_only link_down")" ] && [ "$unseen" = 'filesystem_full_soon logs reboot_pending wifi_country wifi_power_save' ]; then
        pass "/doctor, all faults" "$names; not seen: $unseen"
    else
        fail "/doctor, all faults" "$names; not seen: $unseen"
    fi

    # shellcheck disable=SC2016  # expanded in the guest
    guest "echo 50000 >$FIRMWARE; swapoff /data/swap; rm /data/swap /run/reboot-required; umount /proc/cmdline; kill \$(cat /run/node_exporter.pid); ip link set wlan1 down; /data/tools/bin/iw dev wlan1 set power_save off" >/dev/null
}
