# shellcheck shell=bash
# Under-voltage and throttling, of which the firmware's stand-in speaks since the check before.

guest_power() { guest "cat $FIRMWARE" | grep -x 50005; }

check_power() {
    local reason expected now before events seconds
    if wait_event power '^Under-voltage$' && [ "$EVENT_END" = null ]; then
        pass "under-voltage begins" "an event: $EVENT"
    else
        fail "under-voltage begins" "no event without an end: $EVENT, end $EVENT_END"
    fi
    sleep 2.1 # a sample later, so that it has lasted
    scrape
    for reason in under_voltage:1 frequency_capped:0 throttled:1 soft_temperature_limit:0; do
        expected=${reason#*:} reason=${reason%:*}
        now=$(sample pi_throttled "reason=\"$reason\"")
        before=$(sample pi_throttled_since_boot "reason=\"$reason\"")
        events=$(sample pi_throttled_events_total "reason=\"$reason\"")
        seconds=$(sample pi_throttled_seconds_total "reason=\"$reason\"")
        if [ "$now:$before:$events" = "$expected:$expected:$expected" ] && between "$expected" "${seconds:-x}" $((expected * 1000)); then
            pass "power: $reason" "$now now, $before since boot, $events times, for $seconds s"
        else
            fail "power: $reason" "${now:-missing} now, ${before:-missing} since boot, ${events:-missing} times, for ${seconds:-missing} s, not $expected"
        fi
    done
}
