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
    deploy_on_init OpenRC 'rc-service pi-monitor restart'
    package_on_init OpenRC "$RUN/openrc"
}

wait_runlevel() { # what it has started when it is up
    for _ in $(seq 100); do
        case $1 in
            openrc) [ "$(inside rc-status -r 2>/dev/null)" != default ] || return 0 ;;
            *) [ "$(inside runlevel 2>/dev/null)" != 'N 2' ] || return 0 ;;
        esac
        sleep 0.2
    done
    note "$1 did not reach its runlevel"
}
