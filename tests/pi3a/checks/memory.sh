# shellcheck shell=bash
# A 512 MB board of which the VideoCore has 64 MB: the total is the guest's own.

guest_memory() { guest "grep -E '^(MemTotal|MemAvailable):' /proc/meminfo"; }

check_memory() {
    local meminfo total_kb available_kb total available used
    meminfo=$(guest_memory)
    total_kb=$(printf '%s\n' "$meminfo" | awk '/MemTotal/ { print $2 }')
    available_kb=$(printf '%s\n' "$meminfo" | awk '/MemAvailable/ { print $2 }')
    scrape
    total=$(sample pi_memory_total_bytes)
    available=$(sample pi_memory_available_bytes)
    used=$(sample pi_memory_used_bytes)
    # 448 MB less what the kernel keeps for itself before it counts.
    if ! between $((384 * 1024)) "$total_kb" $((448 * 1024)); then
        fail "memory of a 512 MB board" "the guest has $total_kb kB"
    elif near "$total" $((total_kb * 1024)) 0; then
        pass "memory of a 512 MB board" "$total bytes, MemTotal $total_kb kB"
    else
        fail "memory of a 512 MB board" "${total:-missing} bytes, MemTotal $total_kb kB"
    fi
    if near "$available" $((available_kb * 1024)) 4194304; then
        pass "available memory" "$available bytes, MemAvailable $available_kb kB"
    else
        fail "available memory" "${available:-missing} bytes, MemAvailable $available_kb kB"
    fi
    if near "$used" "$(awk -v t="${total:-0}" -v a="${available:-0}" 'BEGIN { printf "%.0f", t - a }')" 0; then
        pass "used memory" "$used bytes, total less available"
    else
        fail "used memory" "${used:-missing}, not $total - $available"
    fi
}
