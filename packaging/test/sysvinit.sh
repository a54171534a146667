# shellcheck shell=bash
# deploy.sh under sysvinit.

group_sysvinit() {
    container_possible "sysvinit" || return 0
    tree_debian sysvinit "$RUN/sysvinit" || { fail "sysvinit" "no Debian root"; return 0; }
    container_boot "$RUN/sysvinit" || { fail "sysvinit: boot" "the container did not come up"; return 0; }
    sleep 3
    deploy_cases sysvinit "$RUN/sysvinit" 'starts at boot by sysvinit'
}
