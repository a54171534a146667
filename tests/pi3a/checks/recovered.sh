# shellcheck shell=bash
# What began has ended: under-voltage in families, events and verdicts, and the doctor's findings but for what is remembered.

check_recovered() {
    local deadline=$((SECONDS + PATIENCE)) now before worst
    if wait_event power '^Under-voltage$' && [ "$EVENT_END" != null ]; then
        worst=$(http /events | jq '[.events[] | select(.kind == "power" and .title == "Under-voltage")] | last | .worst')
        if between 1 "${worst:-x}" 1000; then pass "under-voltage ends" "the event lasted $worst s"; else fail "under-voltage ends" "the event's worst is $worst"; fi
    else
        fail "under-voltage ends" "$EVENT, end $EVENT_END"
    fi
    while scrape && [ "$(sample pi_verdict 'rule="under_voltage"')" != 0 ] && [ $SECONDS -lt $deadline ]; do sleep 0.3; done
    now=$(sample pi_throttled 'reason="under_voltage"') before=$(sample pi_throttled_since_boot 'reason="under_voltage"')
    if [ "$(sample pi_verdict 'rule="under_voltage"'):$now:$before" = 0:0:1 ] && ! grep -q '^pi_verdict_info{rule="under_voltage"' "$METRICS"; then
        pass "verdict under_voltage is over" "pi_throttled is 0, since boot $before"
    else
        fail "verdict under_voltage is over" "pi_throttled ${now:-missing}, since boot ${before:-missing}; $(grep '^pi_verdict.*under_voltage' "$METRICS" | tr '\n' ' ')"
    fi
    expect_findings "doctor, faults over" 'throttled_since_boot filesystem_errors'
}
