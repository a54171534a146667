# shellcheck shell=bash
# Four CPUs, with ticks that agree with the guest's /proc/stat.

guest_cpu() { guest "grep -c '^cpu[0-9]' /proc/stat"; }

check_cpu() {
    local cpus theirs before now after
    cpus=$(guest_cpu)
    theirs=$(sed -n 's/^pi_cpu_usage_percent{.*cpu="\(cpu[0-9]*\)".*/\1/p' "$METRICS" | sort -u | wc -l)
    if [ "$cpus" = 4 ] && [ "$theirs" = 4 ]; then
        pass "CPUs" "4 in /metrics, 4 in /proc/stat"
    else
        fail "CPUs" "$theirs in /metrics, $cpus in /proc/stat"
    fi
    complaint=$(cpu_sums)
    if [ -z "$complaint" ]; then pass "CPU modes sum to 100"; else fail "CPU modes sum to 100" "$complaint"; fi

    # The idle ticks (1/100 s) of cpu3, read before and after a scrape.
    before=$(guest "sed -n 's/^cpu3 //p' /proc/stat" | awk '{ print $4 / 100 }')
    scrape
    after=$(guest "sed -n 's/^cpu3 //p' /proc/stat" | awk '{ print $4 / 100 }')
    now=$(sample pi_cpu_seconds_total 'cpu="cpu3"' 'mode="idle"')
    # A moment's iowait can make the idle count go back by a tick.
    if between "$(awk -v b="$before" 'BEGIN { print b - 0.05 }')" "$now" "$(awk -v a="$after" 'BEGIN { print a + 0.05 }')"; then
        pass "CPU seconds" "cpu3 idle $now s, /proc/stat $before to $after"
    else
        fail "CPU seconds" "cpu3 idle ${now:-missing}, /proc/stat $before to $after"
    fi
}
