# shellcheck shell=bash
# deploy.sh and the Debian package under sysvinit.

group_sysvinit() {
    container_possible "sysvinit" || return 0
    tree_debian sysvinit "$RUN/sysvinit" || { fail "sysvinit" "no Debian root"; return 0; }
    container_boot "$RUN/sysvinit" || { fail "sysvinit: boot" "the container did not come up"; return 0; }
    sleep 3
    # shellcheck source=packaging/test/other-init.sh
    . "$HERE/test/other-init.sh"
    deploy_cases sysvinit "$RUN/sysvinit" 'starts at boot by sysvinit'
    # shellcheck disable=SC2016  # expanded in the container
    deploy_on_init sysvinit 'kill $(/usr/local/lib/pi-monitor/pi-monitor-service status | cut -d" " -f2)' "@(commands|backslashes|Windows*|blanks in a flag)"
    package_on_init sysvinit "$RUN/sysvinit"
}
