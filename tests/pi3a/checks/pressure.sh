# shellcheck shell=bash
# Pressure stall information, in seconds where the kernel counts microseconds.

guest_pressure() { guest "sed -n 's/^some .*total=//p' /proc/pressure/cpu" | grep '^[0-9]'; }

check_pressure() {
    local before now after
    before=$(guest_pressure)
    scrape
    after=$(guest_pressure)
    now=$(sample pi_pressure_waiting_seconds_total 'resource="cpu"')
    if between "$(awk -v u="$before" 'BEGIN { print u / 1000000 - 0.001 }')" "$now" "$(awk -v u="$after" 'BEGIN { print u / 1000000 + 0.001 }')"; then
        pass "pressure" "$now s waiting for a CPU"
    else
        fail "pressure" "${now:-missing} s waiting for a CPU, the kernel says $before to $after us"
    fi
}
