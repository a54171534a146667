# shellcheck shell=bash
# The agent's resident memory after all that: at most 2,000 kB.

RSS_LIMIT_KB=2000

check_rss() {
    local rss peak children
    for _ in $(seq 20); do
        http /metrics -o /dev/null && http /json -o /dev/null && http / --compressed -o /dev/null
    done
    rss=$(guest "sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' /proc/\$(cat /run/agent.pid)/status")
    peak=$(guest "sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/\$(cat /run/agent.pid)/status")
    children=$(guest "grep -l \"^PPid:[^0-9]*\$(cat /run/agent.pid)\$\" /proc/[0-9]*/status 2>/dev/null | wc -l")
    if [ -n "$rss" ] && [ "$rss" -le $RSS_LIMIT_KB ] && [ "$rss" -gt 0 ]; then
        pass "resident memory" "VmRSS $rss kB, peak $peak kB, limit $RSS_LIMIT_KB kB, $children child processes"
    else
        fail "resident memory" "VmRSS ${rss:-unknown} kB, peak $peak kB, limit $RSS_LIMIT_KB kB, $children child processes"
    fi
}
