# shellcheck shell=bash
# Two radios that hear each other (mac80211_hwsim), which the kernel gets while the agent runs: wlan0 is an open access point,
# and wlan1 connects to it. At the end, the access point has sent wlan1 away.

guest_wifi() {
    guest 'printf "interface=wlan0\ndriver=nl80211\nctrl_interface=/run/hostapd\nssid=pi3a\nhw_mode=g\nchannel=1\n" >/run/hostapd.conf' && wifi_up
}

wifi_up() {
    # It saves power and knows no country: two faults for the doctor.
    # shellcheck disable=SC2016  # expanded in the guest
    guest 'cd /data/tools/modules; for module in $(cat order); do [ -d /sys/module/${module%.ko} ] || insmod $module; done' >/dev/null
    # shellcheck disable=SC2016
    guest 'PATH=/data/tools/bin:$PATH; hostapd -B /run/hostapd.conf && ip link set wlan1 up && iw dev wlan1 set power_save on && for try in 1 2 3 4 5; do iw dev wlan1 connect -w pi3a 2412 && break; iw dev wlan1 disconnect; sleep 2; done' >/dev/null &&
        guest '/data/tools/bin/iw dev wlan1 link' | grep '^Connected'
}

check_wifi() {
    local signal retries failures lost
    if wait_event wifi '^wlan1 connected to Wi-Fi$'; then pass "Wi-Fi connects" "an event: $EVENT"; else fail "Wi-Fi connects" "$EVENT"; fi
    # Until the agent has looked for radios again, it reads /proc/net/wireless, which has the signal alone.
    if ! wait_sample pi_wifi_frequency_hertz 'interface="wlan1"'; then
        fail "Wi-Fi" "no frequency of wlan1: $(grep '^pi_wifi' "$METRICS" | tr '\n' ' ')"
        return
    fi
    # The radio always says the same; the rates change with each frame.
    signal=$(guest '/data/tools/bin/iw dev wlan1 station dump' | sed -n 's/^\tsignal: *\t*\(-[0-9]*\) dBm.*/\1/p')
    retries=$(sample pi_wifi_retries_total 'interface="wlan1"') failures=$(sample pi_wifi_failures_total 'interface="wlan1"')
    lost=$(sample pi_wifi_beacon_losses_total 'interface="wlan1"')
    expect_wifi "signal" pi_wifi_signal_dbm "$signal" "$signal"
    expect_wifi "bit rate" pi_wifi_transmit_bits_per_second 1000000 54000000
    expect_wifi "frequency" pi_wifi_frequency_hertz 2412000000 2412000000
    expect_wifi "power save" pi_wifi_power_save 1 1
    if [ -n "$retries" ] && [ -n "$failures" ] && [ -n "$lost" ]; then
        pass "Wi-Fi: counters" "$retries retries, $failures failures, $lost beacon losses"
    else
        fail "Wi-Fi: counters" "${retries:-missing} retries, ${failures:-missing} failures, ${lost:-missing} beacon losses"
    fi

    guest '/data/tools/bin/hostapd_cli -p /run/hostapd -i wlan0 deauthenticate 02:00:00:00:01:00' >/dev/null
    if wait_event wifi '^wlan1 disconnected from Wi-Fi$' && [[ $EVENT_DETAIL == 'by the access point, reason '* ]]; then
        pass "Wi-Fi disconnects" "an event: $EVENT, $EVENT_DETAIL"
    else
        fail "Wi-Fi disconnects" "$EVENT, $EVENT_DETAIL"
    fi
}

expect_wifi() { # WHAT FAMILY LOW HIGH
    local value
    value=$(sample "$2" 'interface="wlan1"')
    if [ -n "$value" ] && between "${3:-x}" "$value" "${4:-x}"; then pass "Wi-Fi: $1" "$value"; else fail "Wi-Fi: $1" "${value:-missing}, not $3 to $4"; fi
}

# Scrapes until there is such a sample. The radio is asked at most every 5 s.
wait_sample() { # NAME LABEL
    local deadline=$((SECONDS + PATIENCE))
    while :; do
        scrape && sample "$@" >/dev/null && return 0
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.3
    done
}
