# shellcheck shell=bash
# An under-voltage reaches an Alertmanager, a webhook and an MQTT broker, which are real programs on this host: with its culprit,
# and then its end.

# A second agent, in the guest only.
CALLER='/opt/pi-monitor --web.listen-address=127.0.0.1:9101 --state.directory=none --push.mqtt.credentials-file=/run/broker'
# On a real board it is less than 15 s; an emulated one on a busy machine may take longer, and nothing may depend on that.
ARRIVAL_LIMIT=60

check_outbound() {
    local programs receivers webhook alertmanager broker
    ARRIVALS=$RUN/outbound.txt
    : >"$ARRIVALS"
    mkdir -p "$RUN/outbound"
    # mosquitto gives root's rights up, and still has to read its files.
    chmod 755 "${RUN%/*}" "$RUN" "$RUN/outbound"
    if ! programs=$(receiving_programs 2>"$RUN/outbound.log"); then
        skip "messages about an under-voltage" "$(tail -n 1 "$RUN/outbound.log")"
        return
    fi
    # They end when this end of their pipe is closed, also by the end of this shell.
    exec 7> >(PATH=$programs exec python3 -B "$REPOSITORY/tests/outbound/receivers.py" - - "$RUN/outbound" >"$ARRIVALS" 2>"$RUN/outbound.log")
    receivers=$!
    if await '^ready '; then
        read -r _ webhook alertmanager broker < <(grep '^ready ' "$ARRIVALS")
        guest "echo 'basic pi:right' >/run/broker; $CALLER --notify.webhook=http://10.0.2.2:$webhook/ --notify.alertmanager=http://10.0.2.2:$alertmanager --push.mqtt=mqtt://10.0.2.2:$broker >/run/caller.log 2>&1 & echo \$! >/run/caller.pid"
        if await ' mqtt online '; then
            expect_arrivals 50005 firing
            expect_arrivals 50000 resolved
        else
            fail "messages about an under-voltage" "the agent does not reach the broker: $(guest 'tail -n 5 /run/caller.log' | tr '\n' '|')"
        fi
        guest "kill -TERM \$(cat /run/caller.pid)" >/dev/null || true
    else
        fail "messages about an under-voltage" "the receivers do not start: $(tail -n 3 "$RUN/outbound.log" | tr '\n' '|')"
    fi
    exec 7>&-
    for _ in $(seq 100); do
        kill -0 "$receivers" 2>/dev/null || break
        sleep 0.1
    done
}

# Prints a PATH that has the programs.
receiving_programs() {
    # shellcheck disable=SC2016  # expanded there
    bash -euc 'cd "$1"
        . scripts/lib/toolchain.sh
        . tests/outbound/programs.sh
        have python3 || { echo "python3 is missing" >&2; exit 1; }
        for name in mosquitto prometheus-alertmanager; do
            program_here "$name" || { echo "$name: $INSTALL_ERROR" >&2; exit 1; }
        done
        echo "$PATH"' "$REPOSITORY/tests/pi3a/run.sh" "$REPOSITORY"
}

# Waits for a line of what arrived.
await() { # PATTERN
    local deadline=$((SECONDS + ARRIVAL_LIMIT))
    while ! grep -q -- "$1" "$ARRIVALS"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

# Has the firmware say this, and waits for what it means at each of the three. All times are those of this host's clock.
expect_arrivals() { # WORD STATE
    local start=$EPOCHREALTIME receiver time culprit seconds
    guest "echo $1 >$FIRMWARE" >/dev/null
    for receiver in webhook alertmanager mqtt; do
        if ! await " $receiver $2 "; then
            fail "under-voltage is $2, $receiver" "nothing came within $ARRIVAL_LIMIT s: $(tr '\n' '|' <"$ARRIVALS"); $(guest 'tail -n 3 /run/caller.log' | tr '\n' '|')"
            continue
        fi
        read -r time _ _ culprit < <(grep " $receiver $2 " "$ARRIVALS")
        seconds=$(awk -v a="$start" -v b="$time" 'BEGIN { printf "%.1f", b - a }')
        if [ "$2" = resolved ] || [ "$culprit" = 'power supply' ]; then
            pass "under-voltage is $2, $receiver" "after $seconds s${culprit:+, culprit $culprit}"
        else
            fail "under-voltage is $2, $receiver" "its culprit is ${culprit:-missing}"
        fi
    done
}

guest_outbound() { guest "cat $FIRMWARE"; }
