# shellcheck shell=bash
# The USB network: counters between two readings of the guest's /proc/net/dev.

guest_network() { guest "sed -n 's/^ *usb0: *//p' /proc/net/dev"; }

check_network() {
    local before now after
    before=$(guest_network | awk '{ print $1 }')
    scrape
    after=$(guest_network | awk '{ print $1 }')
    now=$(sample pi_network_receive_bytes_total 'interface="usb0"')
    if [ -n "$before" ] && between "$before" "$now" "$after"; then
        pass "network" "usb0 received $now bytes, /proc/net/dev $before to $after"
    else
        fail "network" "usb0 received ${now:-missing}, /proc/net/dev $before to $after"
    fi
}
