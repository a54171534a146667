# shellcheck shell=bash
# Every collector in the binary works on this board.

check_collectors() {
    local down
    down=$(awk '/^pi_collector_up\{/ && $NF != 1 { match($0, /collector="[^"]*"/); print substr($0, RSTART + 11, RLENGTH - 12) }' "$METRICS" | tr '\n' ' ')
    if [ -z "$down" ] && grep -q '^pi_collector_up{' "$METRICS"; then
        pass "collectors" "$(grep -c '^pi_collector_up{' "$METRICS") up"
    else
        fail "collectors" "down: ${down:-no pi_collector_up in /metrics}"
    fi
}
