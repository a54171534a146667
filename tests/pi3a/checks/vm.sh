# shellcheck shell=bash
# Page faults, between two readings of the guest's /proc/vmstat.

guest_vm() { guest "sed -n 's/^pgmajfault //p' /proc/vmstat" | grep '^[0-9]'; }

check_vm() {
    local before now after
    before=$(guest_vm)
    scrape
    after=$(guest_vm)
    now=$(sample pi_page_faults_total 'kind="major"')
    if between "$before" "$now" "$after"; then
        pass "page faults" "$now major ones"
    else
        fail "page faults" "${now:-missing} major ones, /proc/vmstat $before to $after"
    fi
}
