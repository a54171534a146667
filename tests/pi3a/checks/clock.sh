# shellcheck shell=bash
# The clock, which no time service has set until now: the doctor says so, and finds nothing else on this machine.
# Then the clock is set as a time service would set it.

guest_clock() { guest '/data/tools/bin/adjtimex -p' | awk '$1 == "esterror:" { print $2 / 1000000; found = 1 } END { exit !found }'; }

check_clock() {
    local there synchronized here
    expect_findings "doctor, clock not set" clock
    guest '/data/tools/bin/adjtimex --status 1 --maxerror 2000 --esterror 500' >/dev/null
    expect_findings "doctor, no faults" ''

    scrape
    there=$(guest_clock)
    synchronized=$(sample pi_clock_synchronized)
    here=$(sample pi_clock_estimated_error_seconds)
    if [ "$synchronized" = 1 ] && near "$here" "$there" 0.000001 && near "$(sample pi_clock_offset_seconds)" 0 0.000001; then
        pass "clock" "synchronized, estimated error $here s"
    else
        fail "clock" "synchronized ${synchronized:-missing}, estimated error ${here:-missing} s, the kernel's $there s"
    fi
}

# Runs the doctor in the guest, and compares the names of all that it finds, in any order. Only what takes days may stay unseen.
expect_findings() { # CHECK NAMES
    local report names unseen status=0 wanted=0
    report=$(guest '/opt/pi-monitor doctor --format json') || status=$?
    [ -z "$2" ] || wanted=1
    names=$(jq -r '[.findings[].name] | sort | join(" ")' <<<"$report" 2>/dev/null) || names='no JSON'
    unseen=$(jq -r '[.not_seen[].name] | join(" ")' <<<"$report" 2>/dev/null) || unseen=
    if [ "$names" = "$(sorted "$2")" ] && [ "$unseen" = filesystem_full_soon ] && [ $status = $wanted ]; then
        pass "$1" "it finds ${names:-nothing}, of $(jq '.looked_at | length' <<<"$report") checks"
    else
        fail "$1" "it finds '$names', not '$(sorted "$2")'; unseen: '$unseen'; status $status"
    fi
}

sorted() { # WORDS
    # shellcheck disable=SC2086  # one word per line
    printf '%s\n' $1 | sort | tr '\n' ' ' | sed 's/ $//'
}
