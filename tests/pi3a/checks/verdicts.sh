# shellcheck shell=bash
# The verdicts on what was planted, with whom they blame, in /json and in /metrics.

check_verdicts() {
    expect_verdict under_voltage 'power supply' 'Supply voltage is below 4.63 V right now'
    expect_verdict throttled throttled 'The firmware throttles the CPU right now'
    expect_verdict disk_read_only /boot 'ext4 has counted new errors since Pi-Monitor started'
    expect_verdict link_down wlan1 'It had a link before, and nobody switched it off'
}

expect_verdict() { # RULE CULPRIT DETAIL
    local deadline=$((SECONDS + PATIENCE)) found
    while :; do
        found=$(http /json | jq -r --arg rule "$1" '.verdicts.items[] | select(.rule == $rule and .state == "firing") | "\(.culprit): \(.detail)"') || found=
        [ -z "$found" ] || break
        if [ $SECONDS -ge $deadline ]; then
            fail "verdict $1" "not firing: $(http /json | jq -c '[.verdicts.items[] | [.rule, .state]]')"
            return
        fi
        sleep 0.3
    done
    scrape
    if [ "$found" = "$2: $3" ] && grep "^pi_verdict_info{rule=\"$1\",.*culprit=\"$2\"} 1" "$METRICS" >/dev/null && [ "$(sample pi_verdict "rule=\"$1\"")" = 1 ]; then
        pass "verdict $1" "$found"
    else
        fail "verdict $1" "'$found', not '$2: $3'; $(grep "^pi_verdict.*rule=\"$1\"" "$METRICS" | tr '\n' ' ')"
    fi
}
