# shellcheck shell=bash disable=SC2016  # expanded in the guest
# The board is reset while an agent writes its past to the card: after each start, everything is there that an earlier start
# had shown, and how the run before ended is known. The last check: the agent of the other checks is not started again.

# A second agent, in the guest only.
PAST='/opt/pi-monitor --web.listen-address=127.0.0.1:9101 --state.directory=/data/past --sample.interval=500ms'

check_cuts() {
    local run known='' now lost before
    guest 'kill -TERM $(cat /run/agent.pid); mkdir -p /data/past' >/dev/null
    # Asked to end before the first reset; then reset so many seconds after a start, or when that is written. The writes of
    # a day have room for a few more starts than these; what comes then waits for the hourly write.
    for run in clean 0 1 written; do
        before=$(past_starts)
        if ! past_start; then
            fail "reset while the past is written: $run" "$(guest 'tail -n 5 /run/past.log')"
            return
        fi
        now=$(past_events)
        lost=$(comm -23 <(sort <<<"$known") <(sort <<<"$now"))
        if [ -n "$lost" ]; then
            fail "reset while the past is written: $run" "lost: $(tr '\n' '|' <<<"$lost")"
            return
        fi
        if guest 'grep journal /run/past.log' >/dev/null; then
            fail "reset while the past is written: $run" "$(guest 'grep journal /run/past.log')"
            return
        fi
        pass "reset while the past is written: $run" "$(tail -n 1 <<<"$now"); $(wc -l <<<"$now") events of all starts"
        # What this start found on the card stays there. Its own event may be under way when the board is reset.
        known=$now
        case $run in
            clean) guest 'kill -TERM $(cat /run/past.pid); while [ -d /proc/$(cat /run/past.pid) ]; do usleep 50000; done' ;;
            written)
                if ! past_written $((before + 1)); then
                    fail "reset while the past is written: $run" "the start is not on the card"
                    return
                fi
                ;;
            *)
                sleep "$run"
                known=$(sed '$d' <<<"$now")
                ;;
        esac
        if ! past_reset; then
            fail "reset while the past is written: $run" "the guest did not come back"
            return
        fi
    done
    past_start || true
    now=$(past_events | tail -n 1)
    if [ "${now#* }" = 'The machine restarted after a power cut or a crash' ]; then
        pass "a start after a reset" "$now"
    else
        fail "a start after a reset" "${now:-no event}"
    fi
}

past_start() {
    guest "$PAST >/run/past.log 2>&1 & echo \$! >/run/past.pid; for i in \$(seq 100); do wget -q -O /dev/null http://127.0.0.1:9101/health 2>/dev/null && exit 0; usleep 100000; done; exit 1"
}

# How many starts are on the card: each has the kernel's version in its record.
past_starts() { guest 'cat /data/past/journal.* 2>/dev/null | grep -ao "$(uname -r)" | wc -l'; }

# Waits until so many starts are on the card, and the process that writes waits for more (recvfrom, 207 on arm64).
past_written() { # COUNT
    guest "pid=\$(cat /run/past.pid); for i in \$(seq 1200); do writer=\$(grep -l \"^PPid:[^0-9]*\$pid\$\" /proc/[0-9]*/status | head -n 1); [ \$(cat /data/past/journal.* | grep -ao \"\$(uname -r)\" | wc -l) -ge $1 ] && case \$(cat \${writer%status}syscall) in 207\ *) exit 0 ;; esac; usleep 100000; done; exit 1"
}

# Ids and titles of all starts, the newest last.
past_events() {
    guest 'wget -q -O - http://127.0.0.1:9101/events' | jq -r '.events[] | select(.kind == "agent" or .kind == "reboot") | "\(.id) \(.title)"'
}

# Resets the board at once: nothing is written any more.
past_reset() {
    local count
    count=$(machine_ready_count)
    printf 'reset reboot -n -f\n' >&9
    machine_wait_reboot "$count" || return 1
    # The agent of the other checks is started at each boot.
    guest 'kill -TERM $(cat /run/agent.pid)' >/dev/null || true
}
