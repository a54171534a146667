# shellcheck shell=bash disable=SC2034
# Fresh install on a machine without /usr/local, /etc/default or an agent.

case_fresh() {
    local pid parent entry
    wait_ssh
    # Dropbear makes its host key at the first connection: before the listing.
    ssh -F none -p "$SSH_PORT" -i "$RUN/key" -o UserKnownHostsFile="$RUN/known_hosts" -o StrictHostKeyChecking=accept-new \
        -o BatchMode=yes -o IdentityAgent=none root@127.0.0.1 true 2>/dev/null || note "the first SSH connection failed"
    card_listing >"$RUN/$INIT.before.txt"
    if ! deploy --binary "$BINARY"; then
        fail "${LABEL}fresh install" "deploy.sh failed: $(deploy_words)"
        return
    fi
    pid=$(agent_pid)
    if [ "$(answering)" = "$FIRST_VERSION" ] && grep -q "^Done: version $FIRST_VERSION answers at " "$RUN/deploy.log" && [ -n "$pid" ]; then
        pass "${LABEL}fresh install" "version $FIRST_VERSION answers, process $pid"
        INSTALLED=$FIRST_VERSION
    else
        fail "${LABEL}fresh install" "version '$(answering)' answers, process '$pid': $(deploy_words)"
        return
    fi
    # Who starts it again, and at boot?
    parent=$(guest "ppid=\$(sed -n 's/^PPid:[^0-9]*//p' /proc/$pid/status); echo \$ppid \$(tr '\\000' ' ' </proc/\$ppid/cmdline)")
    case $INIT in
        busybox)
            entry=$(guest 'grep -A1 "^# BEGIN pi-monitor" /etc/inittab | tail -n 1')
            case "$parent:$entry" in
                '1 '*init*:'::respawn:/usr/local/lib/pi-monitor/pi-monitor-service run') pass "${LABEL}start at boot" "$entry, by process $parent" ;;
                *) fail "${LABEL}start at boot" "inittab has '$entry', the agent's parent is '$parent'" ;;
            esac
            ;;
        script)
            entry=$(guest 'grep -A1 "^# BEGIN pi-monitor" /etc/init.d/rcS | tail -n 1')
            case "$parent:$entry" in
                *'pi-monitor-service supervise'*:*'pi-monitor-service start'*) pass "${LABEL}start at boot" "$entry in /etc/init.d/rcS" ;;
                *) fail "${LABEL}start at boot" "rcS has '$entry', the agent's parent is '$parent'" ;;
            esac
            ;;
    esac
}
