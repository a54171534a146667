# shellcheck shell=bash
# What both installers do under an init that is not systemd. Sourced.

# shellcheck source=packaging/test/flags.sh
. "$HERE/test/flags.sh"
# shellcheck source=packaging/test/secrets.sh
. "$HERE/test/secrets.sh"

deploy_on_init() { # LABEL RESTART-COMMAND-LINE [NAMES]
    deploy_inside --binary "$NATIVE" || { fail "$1: deploy.sh" "$(deploy_words)"; return 0; }
    flags_under_init "$1" "$2" "${3:-}"
    wait_answering "$FIRST_VERSION" 15 || true
    flags_refused_under_init "$1" "$2"
    secrets_checks "$1" "$2"
    deploy_inside --uninstall || fail "$1: uninstall" "$(deploy_words)"
}

package_installs() { # OPTION: -i or -P; as unattended: without a terminal
    local what=pi-monitor
    [ "$1" != -i ] || what=/packages/pi-monitor.deb
    inside dpkg "$1" "$what" >"$RUN/apt.txt" 2>&1 </dev/null || note "dpkg $1: $(tail -n 3 "$RUN/apt.txt" | tr '\n' '|')"
}

# shellcheck disable=SC2016  # notation of dpkg-query
init_state() { # what is installed, which version answers, which files run
    printf '%s %s %s' "$(inside dpkg-query -W -f '${db:Status-Status}' pi-monitor 2>/dev/null || true)" "$(answering)" \
        "$(agent_programs)"
}

expect_state() { # LABEL VERSION STATE
    wait_answering "$2" 20 || true
    if [ "$(init_state)" = "$3" ]; then pass "$1" "$3"; else fail "$1" "expected $3, found $(init_state): $(deploy_words) $(tail -n 3 "$RUN/apt.txt" | tr '\n' '|')"; fi
}

# insserv makes its files and the links of all services anew whenever one comes or goes.
listing_without_depend() { listing | awk '!/\/etc\/init\.d\/\.depend\./ && (!/\/etc\/rc.\.d\// || /pi-monitor/)'; }

# shellcheck disable=SC2034  # AGENT is for agent_pids
package_on_init() { # LABEL TREE
    local deb before after pid
    deb=$("$HERE/deb/build-deb.sh" -o "$RUN/deb" "$NATIVE") || { fail "$1: package" "build-deb.sh failed"; return 0; }
    mkdir -p "$2/packages"
    cp "$deb" "$2/packages/pi-monitor.deb"
    before=$(listing_without_depend)
    AGENT=/usr/bin/pi-monitor
    package_installs -i
    expect_state "$1: package: install" "$FIRST_VERSION" "installed $FIRST_VERSION /usr/bin/pi-monitor "

    pid=$(agent_pids)
    inside_sh "kill -9 $pid"
    sleep 0.5
    if wait_answering "$FIRST_VERSION" 20 && [ "$(agent_pids)" != "$pid" ]; then pass "$1: package: kill -9" "process $pid gone, $(agent_pids) answers"; else fail "$1: package: kill -9" "'$(answering)' answers"; fi
    flags_under_init "$1: package" '/etc/init.d/pi-monitor restart'

    container_stop
    container_boot "$2" || { fail "$1: package: boot" "the container did not come up"; return 0; }
    expect_state "$1: package: boot" "$FIRST_VERSION" "installed $FIRST_VERSION /usr/bin/pi-monitor "

    deploy_inside --binary "$RUN/second" || true
    expect_state "$1: the package, then deploy.sh" "$SECOND_VERSION" " $SECOND_VERSION /usr/local/bin/pi-monitor "
    package_installs -P
    expect_state "$1: then dpkg -P" "$SECOND_VERSION" " $SECOND_VERSION /usr/local/bin/pi-monitor "
    container_stop
    container_boot "$2" || { fail "$1: deploy.sh over the package: boot" "the container did not come up"; return 0; }
    expect_state "$1: then a boot" "$SECOND_VERSION" " $SECOND_VERSION /usr/local/bin/pi-monitor "
    package_installs -i
    expect_state "$1: deploy.sh, then the package" "$FIRST_VERSION" "installed $FIRST_VERSION /usr/bin/pi-monitor "
    PI_FLAGS=--no-such-flag deploy_inside --binary "$RUN/second" || true
    expect_state "$1: deploy.sh fails over the package" "$FIRST_VERSION" "installed $FIRST_VERSION /usr/bin/pi-monitor "
    container_stop
    container_boot "$2" || { fail "$1: package again: boot" "the container did not come up"; return 0; }
    expect_state "$1: then a boot of the package" "$FIRST_VERSION" "installed $FIRST_VERSION /usr/bin/pi-monitor "

    package_installs -P
    sleep 1
    after=$(listing_without_depend)
    if [ "$after" = "$before" ] && [ -z "$(agent_pids)" ]; then pass "$1: package: purge" "all files are as before"; else fail "$1: package: purge" "process '$(agent_pids)' $(diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") | head -n 6 | tr '\n' '|')"; fi
    AGENT=/usr/local/bin/pi-monitor
    container_stop

    # In a chroot, as images are made: nothing starts, and it is said.
    if chroot "$2" dpkg -i /packages/pi-monitor.deb >"$RUN/apt.txt" 2>&1 </dev/null && grep -q 'pi-monitor: not started in a chroot' "$RUN/apt.txt"; then
        pass "$1: package in a chroot" "$(grep 'not started' "$RUN/apt.txt")"
    else
        fail "$1: package in a chroot" "$(tail -n 3 "$RUN/apt.txt" | tr '\n' '|')"
    fi
    container_boot "$2" || { fail "$1: package from a chroot: boot" "the container did not come up"; return 0; }
    expect_state "$1: package from a chroot: boot" "$FIRST_VERSION" "installed $FIRST_VERSION /usr/bin/pi-monitor "
}
