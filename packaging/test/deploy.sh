# shellcheck shell=bash
# deploy.sh under a real systemd, over real SSH, as on Raspberry Pi OS: a user
# "pi" with sudo, with a password and with a key; and Dropbear's client.

group_deploy() {
    local status=0 words
    deploy_messages
    container_possible "deploy.sh, systemd" || return 0
    if ! command -v ssh >/dev/null || ! command -v ssh-keygen >/dev/null; then
        skip "deploy.sh, systemd" "there is no ssh (Debian package openssh-client)"
        return 0
    fi
    tree_debian systemd "$RUN/deploy" || { fail "deploy.sh, systemd" "no Debian root"; return 0; }
    ssh-keygen -q -t ed25519 -N '' -f "$RUN/id"
    # shellcheck disable=SC2016  # the password's hash
    chroot "$RUN/deploy" /bin/sh -c 'useradd -m -s /bin/bash -G sudo pi && echo pi:raspberry | chpasswd && mkdir -p /home/pi/.ssh /run/sshd && touch /home/pi/.sudo_as_admin_successful'
    cp "$RUN/id.pub" "$RUN/deploy/home/pi/.ssh/authorized_keys"
    chroot "$RUN/deploy" chown -R pi:pi /home/pi/.ssh
    container_boot "$RUN/deploy" || { fail "deploy.sh, systemd: boot" "the container did not come up"; return 0; }
    # shellcheck source=packaging/test/systemd.sh
    . "$HERE/test/systemd.sh"
    wait_systemd
    printf 'pi ALL=(ALL) NOPASSWD: ALL\n' >"$RUN/deploy/etc/sudoers.d/pi.later" # sudo reads no names with a dot
    chmod 440 "$RUN/deploy/etc/sudoers.d/pi.later"
    listing_without_sudoers >"$RUN/before.txt"

    # sudo wants the password of the user.
    PI_PASSWORD=raspberry deploy_ssh --binary "$NATIVE" || status=$?
    if [ $status = 0 ] && [ "$(answering)" = "$FIRST_VERSION" ] && grep -q "^Done: version $FIRST_VERSION answers at http://127.0.0.1:9100" "$RUN/deploy.txt"; then
        pass "deploy.sh, systemd: fresh install as pi with a password" "$(grep -o 'starts at boot.*' "$RUN/deploy.txt")"
    else
        fail "deploy.sh, systemd: fresh install as pi with a password" "status $status, '$(answering)' answers: $(deploy_words)"
        return 0
    fi
    # shellcheck disable=SC2016
    words=$(inside_sh 'systemctl is-enabled pi-monitor; systemctl is-active pi-monitor; readlink /proc/$(systemctl show -p MainPID --value pi-monitor)/exe' | tr '\n' ' ')
    case $words in
        'enabled active /usr/local/bin/pi-monitor ') pass "deploy.sh, systemd: unit" "enabled, active, /usr/local/bin/pi-monitor" ;;
        *) fail "deploy.sh, systemd: unit" "$words" ;;
    esac

    words=$(agent_pids)
    inside_sh "kill -9 $words"
    sleep 1
    if wait_answering "$FIRST_VERSION" 15 && [ "$(agent_pids)" != "$words" ]; then pass "deploy.sh, systemd: kill -9" "process $words gone, $(agent_pids) answers"; else fail "deploy.sh, systemd: kill -9" "'$(answering)' answers"; fi

    # Now without a password: the key, and sudo that asks for none.
    mv "$RUN/deploy/etc/sudoers.d/pi.later" "$RUN/deploy/etc/sudoers.d/pi"
    status=0
    PI_KEY=$RUN/id PI_FLAGS='--web.listen-address=:9200' deploy_ssh --binary "$RUN/second" || status=$?
    if [ $status = 0 ] && grep -q "^Done: version $SECOND_VERSION answers at http://127.0.0.1:9200" "$RUN/deploy.txt"; then
        pass "deploy.sh, systemd: upgrade with a key, to another port" "$(grep ^Done "$RUN/deploy.txt")"
    else
        fail "deploy.sh, systemd: upgrade with a key, to another port" "status $status: $(deploy_words)"
    fi
    PI_KEY=$RUN/id PI_FLAGS='' deploy_ssh --binary "$RUN/second" || true

    # An address that does not exist: the old flags have to come back.
    status=0
    PI_KEY=$RUN/id PI_FLAGS='--web.listen-address=192.0.2.1:9100' deploy_ssh --binary "$NATIVE" || status=$?
    if [ $status = 1 ] && wait_answering "$SECOND_VERSION" 5 && grep -q "the old version $SECOND_VERSION answers again" "$RUN/deploy.txt"; then
        pass "deploy.sh, systemd: broken" "$SECOND_VERSION answers again; said: $(grep -m 1 '^ *| ' "$RUN/deploy.txt" | sed 's/^ *| //')"
    else
        fail "deploy.sh, systemd: broken" "status $status, '$(answering)' answers: $(deploy_words)"
    fi

    # A name from ssh's configuration, with user and key there.
    printf 'Host kitchen-pi\n  HostName 127.0.0.1\n  User pi\n  Port 22\n  IdentityFile %s\n' "$RUN/id" >"$RUN/ssh_config"
    status=0
    ALIAS=kitchen-pi PI_SSH_OPTIONS="-F $RUN/ssh_config -o UserKnownHostsFile=$RUN/known_hosts -o IdentityAgent=none" deploy_ssh --binary "$NATIVE" || status=$?
    if [ $status = 0 ] && grep -q "^Done: version $FIRST_VERSION answers at http://127.0.0.1:9100" "$RUN/deploy.txt"; then
        pass "deploy.sh, systemd: a name from ~/.ssh/config" "$(grep ^Done "$RUN/deploy.txt")"
    else
        fail "deploy.sh, systemd: a name from ~/.ssh/config" "status $status: $(deploy_words)"
    fi

    # An address that the machine does not have.
    status=0
    PI_KEY=$RUN/id deploy_ssh --uninstall || true
    PI_KEY=$RUN/id PI_FLAGS='--web.listen-address=192.0.2.1:9100' deploy_ssh --binary "$NATIVE" || status=$?
    listing_without_sudoers >"$RUN/after.txt"
    if [ $status = 1 ] && grep -q 'all is removed again' "$RUN/deploy.txt" && cmp -s "$RUN/before.txt" "$RUN/after.txt"; then
        pass "deploy.sh, systemd: a first install that fails" "nothing is left; said: $(grep -m 1 '^ *| ' "$RUN/deploy.txt" | sed 's/^ *| //')"
    else
        fail "deploy.sh, systemd: a first install that fails" "status $status: $(deploy_words) $(diff "$RUN/before.txt" "$RUN/after.txt" | head -n 5 | tr '\n' '|')"
    fi
    # Root cannot log in with a password here, as on Raspberry Pi OS.
    status=0
    PI_USER=root PI_KEY='' PI_PASSWORD=wrong deploy_ssh --binary "$NATIVE" || status=$?
    if [ $status = 4 ] && grep -q 'Raspberry Pi OS lets nobody in as root' "$RUN/deploy.txt"; then pass "deploy.sh, systemd: root" "$(tail -n 1 "$RUN/deploy.txt")"; else fail "deploy.sh, systemd: root" "status $status: $(deploy_words)"; fi

    # Dropbear's client instead of OpenSSH's.
    if command -v dbclient >/dev/null; then
        mkdir -p "$RUN/dropbear"
        ln -sf "$(command -v dbclient)" "$RUN/dropbear/ssh"
        status=0
        PATH="$RUN/dropbear:$PATH" HOME=$RUN PI_PASSWORD=raspberry PI_SSH_OPTIONS='' deploy_ssh --binary "$NATIVE" || status=$?
        if [ $status = 0 ] && [ "$(answering)" = "$FIRST_VERSION" ]; then pass "deploy.sh, systemd: from Dropbear's client" "$FIRST_VERSION answers"; else fail "deploy.sh, systemd: from Dropbear's client" "status $status: $(deploy_words)"; fi
    else
        skip "deploy.sh, systemd: from Dropbear's client" "there is no dbclient (Debian package dropbear-bin)"
        PI_KEY=$RUN/id deploy_ssh --binary "$NATIVE" || true
    fi

    container_stop
    container_boot "$RUN/deploy" && wait_systemd
    if wait_answering "$FIRST_VERSION" 20; then pass "deploy.sh, systemd: boot" "$FIRST_VERSION answers by itself"; else fail "deploy.sh, systemd: boot" "'$(answering)' answers"; fi

    status=0
    PI_KEY=$RUN/id deploy_ssh --uninstall || status=$?
    listing_without_sudoers >"$RUN/after.txt"
    if [ $status = 0 ] && [ -z "$(agent_pids)" ] && cmp -s "$RUN/before.txt" "$RUN/after.txt" && ! inside systemctl cat pi-monitor >/dev/null 2>&1; then
        pass "deploy.sh, systemd: uninstall" "$(wc -l <"$RUN/after.txt") lines of files and checksums are as before"
    else
        fail "deploy.sh, systemd: uninstall" "status $status, process '$(agent_pids)': $(deploy_words) $(diff "$RUN/before.txt" "$RUN/after.txt" | head -n 6 | tr '\n' '|')"
    fi

    # A user who is nobody.
    rm "$RUN/deploy/etc/sudoers.d/pi"
    inside gpasswd -d pi sudo >/dev/null
    status=0
    PI_PASSWORD=raspberry deploy_ssh --binary "$NATIVE" || status=$?
    if [ $status != 0 ] && [ -z "$(agent_pids)" ] && ! inside test -e /usr/local/bin/.pi-monitor-deploy; then
        pass "deploy.sh, systemd: a user without rights" "status $status: $(tail -n 1 "$RUN/deploy.txt")"
    else
        fail "deploy.sh, systemd: a user without rights" "status $status: $(deploy_words)"
    fi
}

# What it says to those who type it in another way, or whose Pi is not there.
deploy_messages() {
    local status=0 words
    words=$(env -u PI_HOST "$REPOSITORY/scripts/deploy.sh" 10.0.0.111 2>&1) || status=$?
    if [ $status = 2 ] && [ "${words%type: PI_HOST=10.0.0.111 scripts/deploy.sh}" != "$words" ]; then pass "deploy.sh: an address as an argument" "$words"; else fail "deploy.sh: an address as an argument" "status $status: $words"; fi
    if ! command -v ssh >/dev/null; then
        skip "deploy.sh: nobody listens" "there is no ssh (Debian package openssh-client)"
        return 0
    fi
    status=0
    words=$(PI_HOST=root@127.0.0.1 PI_PORT=9 PI_SSH_OPTIONS='-F none' "$REPOSITORY/scripts/deploy.sh" 2>&1 </dev/null) || status=$?
    case $status:$words in
        *Raspberry*) fail "deploy.sh: nobody listens" "speaks of root: $words" ;;
        4:*'there is no SSH server on that port'*) pass "deploy.sh: nobody listens" "$(printf '%s' "$words" | tail -n 1)" ;;
        *) fail "deploy.sh: nobody listens" "status $status: $words" ;;
    esac
}

listing_without_sudoers() { listing | grep -v '/etc/sudoers\.d/pi'; }

# deploy.sh in the container's network, with real SSH.
deploy_ssh() {
    local status=0
    for _ in $(seq 50); do
        ! nsenter -t "$LEADER" -n bash -c 'exec 3<>/dev/tcp/127.0.0.1/22' 2>/dev/null || break
        sleep 0.2
    done
    local user=${PI_USER:-pi}
    [ -z "${ALIAS:-}" ] || user=''
    PI_HOST=${ALIAS:-127.0.0.1} PI_USER=$user PI_KEY=${PI_KEY-} PI_TIMEOUT=15 \
        PI_SSH_OPTIONS=${PI_SSH_OPTIONS--F none -o UserKnownHostsFile=$RUN/known_hosts -o IdentityAgent=none} \
        timeout -k 5 200 nsenter -t "$LEADER" -n "$REPOSITORY/scripts/deploy.sh" "$@" >"$RUN/deploy.txt" 2>&1 </dev/null || status=$?
    { echo "deploy.sh $*"; cat "$RUN/deploy.txt"; } >>"$RUN/deploy-all.log"
    return $status
}
