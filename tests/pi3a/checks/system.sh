# shellcheck shell=bash
# Uptime, load and forks agree with the guest's own.

guest_system() { guest 'cut -d" " -f1 /proc/uptime; cut -d" " -f1 /proc/loadavg; sed -n "s/^processes //p" /proc/stat'; }

check_system() {
    local before after uptime load forks
    before=$(guest_system | tr '\n' ' ')
    scrape
    after=$(guest_system | tr '\n' ' ')
    # shellcheck disable=SC2086  # three words each
    set -- $before $after
    uptime=$(sample pi_uptime_seconds)
    if between "$1" "$uptime" "$4"; then pass "uptime" "$uptime s, /proc/uptime $1 to $4"; else fail "uptime" "${uptime:-missing}, /proc/uptime $1 to $4"; fi
    load=$(sample pi_load_average 'period="1m"')
    if near "$load" "$2" 0.5; then pass "load" "$load, /proc/loadavg $2"; else fail "load" "${load:-missing}, /proc/loadavg $2"; fi
    forks=$(sample pi_forks_total)
    if between "$3" "$forks" "$6"; then pass "forks" "$forks, /proc/stat $3 to $6"; else fail "forks" "${forks:-missing}, /proc/stat $3 to $6"; fi
}
