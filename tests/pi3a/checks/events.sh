# shellcheck shell=bash
# What happens on the machine, as events: the clock is set, a USB device comes and goes.

check_events() {
    local before now
    # The guest has no battery clock: it is 1970 until somebody sets it.
    before=$(guest 'date +%s')
    now=$(date +%s)
    guest "date -s @$now" >/dev/null
    if wait_event clock_step 'The clock was set forward by '; then
        pass "clock step" "from $before to $now: $EVENT"
        expect_corrected "$now"
    else
        fail "clock step" "set from $before to $now, and no such event: $EVENT"
    fi

    monitor 'device_add usb-kbd,id=keyboard'
    if wait_event device 'USB .* was attached'; then pass "device attached" "$EVENT"; else fail "device attached" "$EVENT"; fi
    monitor 'device_del keyboard'
    if wait_event device 'USB .* was detached'; then pass "device detached" "$EVENT"; else fail "device detached" "$EVENT"; fi
}

# Waits for an event of a kind whose title fits; leaves it in EVENT, or else the last answer.
wait_event() { # KIND PATTERN
    local deadline=$((SECONDS + 30))
    while :; do
        EVENT=$(http /events | jq -r --arg kind "$1" --arg title "$2" \
            '[.events[] | select(.kind == $kind and (.title | test($title)))] | last | .title // empty' 2>/dev/null) || EVENT=
        [ -z "$EVENT" ] || return 0
        if [ $SECONDS -ge $deadline ]; then
            EVENT=$(http /events | head -c 2000) || EVENT='no answer'
            return 1
        fi
        sleep 0.3
    done
}

# What was recorded before the clock was right has its true time now.
expect_corrected() { # SECONDS
    local begin
    begin=$(http /events | jq '.events[0].begin') || begin=
    if near "$begin" "$1" 3600; then
        pass "events from before the clock was set" "the start was at $begin"
    else
        fail "events from before the clock was set" "the start was at ${begin:-?}, and the clock was set to $1"
    fi
}
