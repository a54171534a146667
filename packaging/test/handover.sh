# shellcheck shell=bash
# deploy.sh and the Debian package on one machine: whichever comes last takes over,
# and one agent is left that works. Under systemd, with apt-get as unattended
# upgrades run it: without a terminal.

# shellcheck disable=SC2034  # AGENT is for agent_pids
group_handover() {
    local deb status before after
    container_possible "handover" || return 0
    tree_debian systemd "$RUN/handover" || { fail "handover" "no Debian root"; return 0; }
    deb=$("$HERE/deb/build-deb.sh" -o "$RUN/deb" "$NATIVE") || { fail "handover" "no package"; return 0; }
    mkdir "$RUN/handover/packages"
    cp "$deb" "$RUN/handover/packages/pi-monitor.deb"
    cp "$(DEB_VERSION=$SECOND_VERSION "$HERE/deb/build-deb.sh" -o "$RUN/deb" "$RUN/second")" "$RUN/handover/packages/second.deb"
    # shellcheck source=packaging/test/systemd.sh
    . "$HERE/test/systemd.sh"
    # shellcheck source=packaging/test/flags.sh
    . "$HERE/test/flags.sh"
    container_boot "$RUN/handover" || { fail "handover: boot" "the container did not come up"; return 0; }
    wait_systemd
    before=$(listing | grep -v '/var/lib/apt/')

    PI_FLAGS='--web.allowed-hosts=x.lan' deploy_inside --binary "$RUN/second" || { fail "handover: deploy.sh" "$(deploy_words)"; return 0; }
    inside_sh 'echo "# a note" >>/etc/default/pi-monitor'
    package_install
    package_runs "handover: deploy.sh, then the package"

    status=0
    deploy_inside --uninstall || status=$?
    if [ $status = 1 ] && grep -q 'apt-get purge pi-monitor' "$RUN/deploy.txt" && [ "$(answering)" = "$FIRST_VERSION" ]; then
        pass "handover: deploy.sh --uninstall beside the package" "$(grep -m 1 'error' "$RUN/deploy.txt")"
    else
        fail "handover: deploy.sh --uninstall beside the package" "status $status, '$(answering)' answers: $(deploy_words)"
    fi

    # Flags that fail: the package's agent comes back, with its flags.
    status=0
    PI_FLAGS='--no-such-flag' deploy_inside --binary "$RUN/second" || status=$?
    if [ $status = 1 ] && grep -q "Debian package's version .* answers again" "$RUN/deploy.txt"; then
        package_runs "handover: deploy.sh fails over the package"
    else
        fail "handover: deploy.sh fails over the package" "status $status, '$(answering)' answers: $(deploy_words)"
    fi

    status=0
    deploy_inside --binary "$RUN/second" || status=$?
    if [ $status = 0 ] && grep -q 'Debian package pi-monitor .* is removed' "$RUN/deploy.txt"; then
        deployed_runs "handover: the package, then deploy.sh"
    else
        fail "handover: the package, then deploy.sh" "status $status: $(deploy_words)"
    fi
    inside dpkg -P pi-monitor >/dev/null 2>&1 || true
    deployed_runs "handover: then dpkg -P"
    container_stop
    container_boot "$RUN/handover" && wait_systemd
    wait_answering "$SECOND_VERSION" 20 || true
    deployed_runs "handover: then a boot"

    # A package that was removed, not purged, before deploy.sh came.
    package_install
    inside apt-get -q -y remove pi-monitor >/dev/null 2>&1 </dev/null || true
    if [ -n "$(answering)" ] || [ -n "$(package_state)" ] && [ "$(package_state)" != config-files ]; then fail "handover: remove" "'$(answering)' answers, $(package_state)"; fi
    deploy_inside --binary "$RUN/second" || true
    inside dpkg -P pi-monitor >/dev/null 2>&1 || true
    deployed_runs "handover: remove, deploy.sh, purge"

    # Both at once, as installers that did not know each other have left machines.
    inside_sh 'mv /usr/local/lib/pi-monitor/boot /root/boot'
    package_install
    inside_sh 'mv /root/boot /usr/local/lib/pi-monitor/boot; systemctl daemon-reload; systemctl restart pi-monitor'
    inside dpkg -P pi-monitor >/dev/null 2>&1 || true
    deployed_runs "handover: both at once, dpkg -P"
    inside_sh 'mv /usr/local/lib/pi-monitor/boot /root/boot'
    package_install
    inside_sh 'mv /root/boot /usr/local/lib/pi-monitor/boot; systemctl daemon-reload; systemctl restart pi-monitor'
    status=0
    deploy_inside --uninstall || status=$?
    [ $status = 0 ] || note "uninstall: status $status: $(deploy_words)"
    package_runs "handover: both at once, deploy.sh --uninstall"

    # Files that a person has changed.
    deploy_inside --binary "$RUN/second" || true
    inside_sh 'sed -i "s/^RestartSec=.*/RestartSec=7/" /etc/systemd/system/pi-monitor.service'
    PI_FLAGS="--log.level=info --web.allowed-hosts=x.lan" deploy_inside --binary "$NATIVE" || true
    if inside grep -qx RestartSec=7 /usr/local/lib/pi-monitor/pi-monitor.service.changed && grep -q 'was changed by hand' "$RUN/deploy.txt" &&
        inside grep -qx '# a note' /etc/default/pi-monitor && inside grep -qxF "PI_MONITOR_FLAGS='--log.level=info --web.allowed-hosts=x.lan'" /etc/default/pi-monitor; then
        pass "handover: files that a person has changed" "the unit is kept as a copy, the notes beside the flags stay"
    else
        fail "handover: files that a person has changed" "$(deploy_words) $(inside cat /etc/default/pi-monitor | tr '\n' '|')"
    fi
    inside_sh 'sed -i "/^# a note/d" /etc/default/pi-monitor'

    deploy_inside --uninstall || true
    after=$(listing | grep -v '/var/lib/apt/')
    if [ "$after" = "$before" ] && [ -z "$(answering)" ]; then pass "handover: uninstall" "all files are as before"; else fail "handover: uninstall" "$(diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") | head -n 6 | tr '\n' '|')"; fi

    # A file of the package's that a person has changed: no question without a terminal.
    package_install
    inside_sh 'echo "# mine" >>/etc/default/pi-monitor; sed -i "/belongs to the Debian package/d" /etc/init.d/pi-monitor; echo "# mine" >>/etc/init.d/pi-monitor'
    inside env DEBIAN_FRONTEND= apt-get -q -y install --reinstall /packages/second.deb >"$RUN/apt.txt" 2>&1 </dev/null || true
    if [ "$(package_state)" = installed ] && wait_answering "$SECOND_VERSION" 10 && [ "$(inside grep -c '^# mine' /etc/default/pi-monitor /etc/init.d/pi-monitor | tr '\n' ' ')" = '/etc/default/pi-monitor:1 /etc/init.d/pi-monitor:1 ' ]; then
        pass "handover: an upgrade keeps what a person has changed" "$SECOND_VERSION answers"
    else
        fail "handover: an upgrade keeps what a person has changed" "$(package_state), '$(answering)' answers: $(tail -n 3 "$RUN/apt.txt" | tr '\n' '|')"
    fi
    inside apt-get -q -y purge pi-monitor >/dev/null 2>&1 </dev/null || true
    inside_sh 'rm -f /etc/init.d/pi-monitor; update-rc.d pi-monitor remove'

    port_taken_checks
    container_stop
}

package_install() {
    inside env DEBIAN_FRONTEND= apt-get -q -y install /packages/pi-monitor.deb >"$RUN/apt.txt" 2>&1 </dev/null || note "apt-get: $(tail -n 3 "$RUN/apt.txt" | tr '\n' '|')"
    cat "$RUN/apt.txt" >>"$RUN/apt-all.log"
}

# shellcheck disable=SC2016  # notation of dpkg-query
package_state() { inside dpkg-query -W -f '${db:Status-Status}' pi-monitor 2>/dev/null || true; }

# One agent, the package's, with the flags that were there.
# shellcheck disable=SC2034
package_runs() { # LABEL
    local words
    wait_answering "$FIRST_VERSION" 10 || true
    words="$(package_state), $(answering) answers, $(inside systemctl is-enabled pi-monitor 2>&1) $(inside systemctl is-active pi-monitor 2>&1)"
    words="$words, $(agent_programs)"
    if [ "$words" = "installed, $FIRST_VERSION answers, enabled active, /usr/bin/pi-monitor " ] && ! inside test -e /usr/local/bin/pi-monitor &&
        inside grep -q "^PI_MONITOR_FLAGS='--web.allowed-hosts=x.lan'" /etc/default/pi-monitor && inside grep -q '# a note' /etc/default/pi-monitor; then
        pass "$1" "$words"
    else
        fail "$1" "$words; flags: $(inside grep -v '^#' /etc/default/pi-monitor 2>&1 | tr '\n' '|') $(tail -n 3 "$RUN/apt.txt" | tr '\n' '|')"
    fi
}

deployed_runs() { # LABEL
    local words
    wait_answering "$SECOND_VERSION" 10 || true
    words="$(package_state), $(answering) answers, $(inside systemctl is-enabled pi-monitor 2>&1) $(inside systemctl is-active pi-monitor 2>&1)"
    words="$words, $(agent_programs)"
    if [ "$words" = ", $SECOND_VERSION answers, enabled active, /usr/local/bin/pi-monitor " ] && ! inside test -e /usr/bin/pi-monitor &&
        inside grep -q "^PI_MONITOR_FLAGS='--web.allowed-hosts=x.lan'" /etc/default/pi-monitor; then
        pass "$1" "$words"
    else
        fail "$1" "$words; flags: $(inside grep -v '^#' /etc/default/pi-monitor 2>&1 | tr '\n' '|')"
    fi
}

squat() { # keeps port 9100
    # shellcheck disable=SC2016  # expanded in the container
    inside_sh 'setsid /usr/bin/perl -MIO::Socket::INET -e "my \$s = IO::Socket::INET->new(LocalPort => 9100, Listen => 5, ReuseAddr => 1) or die; sleep 600" </dev/null >/dev/null 2>&1 & echo $! >/run/squatter'
    sleep 0.5
}
# shellcheck disable=SC2016
squat_end() { inside_sh 'kill $(cat /run/squatter); rm /run/squatter'; }

journal_lines() { inside journalctl -q -u pi-monitor -o cat | wc -l; }

# Another program has the port: it is named, nothing breaks, the journal stays short.
port_taken_checks() {
    local status=0 lines before journal_before
    before=$(listing)
    squat
    deploy_inside --binary "$NATIVE" || status=$?
    if [ $status = 1 ] && grep -q 'port 9100 is in use by /usr/bin/perl (process [0-9]*); .*PI_FLAGS=' "$RUN/deploy.txt" && [ "$(listing)" = "$before" ]; then
        pass "port taken: deploy.sh" "$(grep -m 1 'in use' "$RUN/deploy.txt")"
    else
        fail "port taken: deploy.sh" "status $status: $(deploy_words)"
    fi
    journal_before=$(journal_lines)
    package_install
    if [ "$(package_state)" = installed ] && grep -q '^pi-monitor: warning: port 9100 is in use by /usr/bin/perl' "$RUN/apt.txt"; then
        pass "port taken: the package" "$(grep -m 1 'in use' "$RUN/apt.txt")"
    else
        fail "port taken: the package" "$(package_state): $(tail -n 3 "$RUN/apt.txt" | tr '\n' '|')"
    fi
    if ! "$NATIVE" --help | grep -q -- --web.wait-for-address; then
        skip "port taken: the journal" "this agent does not know --web.wait-for-address"
    else
        # Tries are 10 s apart: a line for each would show in this time.
        sleep 25
        lines=$(($(journal_lines) - journal_before))
        squat_end
        if [ "$lines" -ge 1 ] && [ "$lines" -le 6 ] && wait_answering "$FIRST_VERSION" 15; then
            pass "port taken: the journal" "$lines lines in 25 s; answers when the port is free"
        else
            fail "port taken: the journal" "$lines lines in 25 s; '$(answering)' answers: $(inside journalctl -q -u pi-monitor -o cat | tail -n 4 | tr '\n' '|')"
        fi
    fi
    [ ! -e "$RUN/handover/run/squatter" ] || squat_end
    inside apt-get -q -y purge pi-monitor >/dev/null 2>&1 </dev/null || true
}
