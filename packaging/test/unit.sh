# shellcheck shell=bash
# The systemd unit: exposure, syntax, and what must not be in it.

EXPOSURE_LIMIT=1.8

group_unit() {
    local unit=$HERE/systemd/pi-monitor.service score words
    words=$(grep -nE '^(ProcSubset=pid|PrivateNetwork=|IPAddressAllow=|IPAddressDeny=)' "$unit" || true)
    if [ -z "$words" ]; then
        pass "unit: what must stay open" "no ProcSubset=pid, PrivateNetwork, IPAddressAllow"
    else
        fail "unit: what must stay open" "$words"
    fi
    # What the agent reads to see what happens must stay open, and no more than that.
    words=$(grep -E '^(RestrictAddressFamilies|ProtectClock|ProtectKernelLogs|DeviceAllow)=' "$unit" | tr '\n' ';')
    if [ "$words" = "DeviceAllow=/dev/vcio r;ProtectKernelLogs=yes;RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK;" ]; then
        pass "unit: what events need" "$words"
    else
        fail "unit: what events need" "$words"
    fi
    if ! command -v systemd-analyze >/dev/null; then
        skip "unit: exposure" "there is no systemd-analyze (Debian package systemd)"
        return
    fi
    score=$(systemd-analyze security --offline=true --no-pager "$unit" 2>"$RUN/analyze.txt" | sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p')
    if [ -n "$score" ] && awk -v s="$score" -v l=$EXPOSURE_LIMIT 'BEGIN { exit !(s <= l) }'; then
        pass "unit: exposure" "$score, limit $EXPOSURE_LIMIT ($(systemd-analyze --version | head -n 1))"
    else
        fail "unit: exposure" "${score:-none}, limit $EXPOSURE_LIMIT: $(head -n 2 "$RUN/analyze.txt" | tr '\n' '|')"
    fi
    # verify looks for the program: give it one.
    mkdir -p "$RUN/unit"
    sed 's|^\(ExecStart[^=]*\)=\(+*\)/usr/lib/pi-monitor/pi-monitor-service|\1=\2/bin/true|' "$unit" >"$RUN/unit/pi-monitor.service"
    if systemd-analyze verify --man=no "$RUN/unit/pi-monitor.service" >"$RUN/verify.txt" 2>&1 && ! grep -q 'pi-monitor.service' "$RUN/verify.txt"; then
        pass "unit: syntax" "systemd-analyze verify has nothing to say"
    else
        fail "unit: syntax" "$(head -n 3 "$RUN/verify.txt" | tr '\n' '|')"
    fi
}
