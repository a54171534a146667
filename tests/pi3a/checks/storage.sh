# shellcheck shell=bash
# The SD card's identity, as /sys/block/mmcblk0/device has it.

guest_storage() { guest 'cat /sys/block/mmcblk0/device/name' | grep .; }

check_storage() {
    local name
    name=$(guest_storage)
    if [ -n "$name" ] && grep '^pi_' "$METRICS" | grep 'mmcblk0' | grep -qF "\"$name\""; then
        pass "SD card's identity" "$name"
    else
        fail "SD card's identity" "nothing in /metrics has mmcblk0 with the name $name"
    fi
}
