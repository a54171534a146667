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

# Waits for an event of a kind whose title fits. Leaves the title of the last one in EVENT, its detail in EVENT_DETAIL, and its end
# in EVENT_END ("null" while it lasts); in EVENT the last answer if there is none.
# shellcheck disable=SC2034  # for the checks after this one
wait_event() { # KIND PATTERN
    local deadline=$((SECONDS + PATIENCE)) found
    while :; do
        found=$(http /events | jq -r --arg kind "$1" --arg title "$2" \
            '[.events[] | select(.kind == $kind and (.title | test($title)))] | last | select(.) | .title, .detail // "", .end' 2>/dev/null) || found=
        { read -r EVENT; read -r EVENT_DETAIL; read -r EVENT_END; } <<<"$found" || true
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
