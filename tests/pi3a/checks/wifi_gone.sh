# shellcheck shell=bash
# Wi-Fi is unloaded and loaded again, as people do when it hangs: the agent sees it again. Then a radio vanishes from a connection,
# and the agent answers as before.

check_wifi_gone() {
    local before after
    # shellcheck disable=SC2016  # expanded in the guest
    guest 'killall hostapd; while [ -d /proc/$(pidof hostapd || echo none) ]; do usleep 50000; done; for module in mac80211_hwsim mac80211 libarc4 cfg80211; do rmmod $module || exit 1; done' >/dev/null ||
        fail "Wi-Fi is unloaded" "$(guest lsmod | tr '\n' '|')"
    if ! wait_no_sample pi_wifi_ || [ "$(collector wifi)" != up ]; then
        fail "Wi-Fi is unloaded" "collector $(collector wifi); $(grep '^pi_wifi' "$METRICS" | tr '\n' ' ')"
    fi
    if wifi_up >/dev/null && wait_sample pi_wifi_signal_dbm 'interface="wlan1"'; then
        pass "Wi-Fi is loaded again" "$(sample pi_wifi_signal_dbm 'interface="wlan1"') dBm"
    else
        fail "Wi-Fi is loaded again" "collector $(collector wifi); no signal of wlan1"
    fi

    before=$(slowest)
    guest '(usleep 100000; rmmod mac80211_hwsim) >/dev/null 2>&1 &'
    after=$(slowest)
    if wait_no_sample pi_wifi_ && [ "$(collector wifi)" = up ] && between 0 "$after" "$(awk -v b="$before" 'BEGIN { print (b > 0.5 ? 10 * b : 5) }')"; then
        pass "a radio vanishes" "answers took $before s at most, and $after s meanwhile"
    else
        fail "a radio vanishes" "answers took $before s at most, and ${after:-no answer} s meanwhile; collector $(collector wifi); $(grep '^pi_wifi' "$METRICS" | tr '\n' ' ')"
    fi
    if wait_event link '^wlan1 disappeared$'; then pass "a radio vanishes: event" "$EVENT"; else fail "a radio vanishes: event" "$EVENT"; fi
}

# The longest of some answers, in seconds; nothing if there was none.
slowest() {
    local longest=0 time
    for _ in 1 2 3 4 5; do
        time=$(http /metrics -o /dev/null -w '%{time_total}') || return 0
        longest=$(printf '%s\n' "$longest" "$time" | sort -n | tail -n 1)
    done
    echo "$longest"
}

wait_no_sample() { # BEGINNING
    local deadline=$((SECONDS + PATIENCE))
    while :; do
        scrape && ! grep -q "^$1" "$METRICS" && return 0
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.3
    done
}
