# shellcheck shell=bash
# deploy.sh and the Debian package under OpenRC.

group_openrc() {
    container_possible "OpenRC" || return 0
    tree_debian openrc "$RUN/openrc" || { fail "OpenRC" "no Debian root"; return 0; }
    container_boot "$RUN/openrc" || { fail "OpenRC: boot" "the container did not come up"; return 0; }
    wait_runlevel openrc
    # shellcheck source=packaging/test/other-init.sh
    . "$HERE/test/other-init.sh"
    deploy_cases OpenRC "$RUN/openrc" 'starts at boot by OpenRC'
    openrc_words
    deploy_on_init OpenRC 'rc-service pi-monitor restart'
    package_on_init OpenRC "$RUN/openrc"
}

# What the agent says is kept, and a port that is taken does not fill it. (Debian 12's
# OpenRC has no output_logger.)
openrc_words() {
    local words
    # shellcheck source=packaging/test/handover.sh
    . "$HERE/test/handover.sh"
    deploy_inside --binary "$NATIVE" || { fail "OpenRC: port taken" "$(deploy_words)"; return 0; }
    inside rc-service -q pi-monitor stop
    squat
    inside rc-service -q pi-monitor start
    # Tries are 10 s apart: a line for each would show in this time.
    sleep 25
    words=$(inside cat /run/pi-monitor.log)
    squat_end
    if [ "$(printf '%s\n' "$words" | wc -l)" -le 3 ] && printf '%s\n' "$words" | grep -q 'in use' && wait_answering "$FIRST_VERSION" 20; then
        pass "OpenRC: port taken" "$words"
    else
        fail "OpenRC: port taken" "'$(answering)' answers; $(printf '%s\n' "$words" | tail -n 4 | tr '\n' '|')"
    fi
    deploy_inside --uninstall || fail "OpenRC: uninstall" "$(deploy_words)"
}

wait_runlevel() { # what it has started when it is up
    for _ in $(seq 300); do
        case $1 in
            openrc) [ "$(inside rc-status -r 2>/dev/null)" != default ] || return 0 ;;
            *) [ "$(inside runlevel 2>/dev/null)" != 'N 2' ] || return 0 ;;
        esac
        sleep 0.2
    done
    note "$1 did not reach its runlevel"
}
