# shellcheck shell=bash disable=SC2034
# --no-start, and a password instead of a key: in place, not running, and
# started at the next boot.

case_no_start() {
    local count pid status=0
    PI_KEY='' PI_PASSWORD=$ROOT_PASSWORD PI_FLAGS='' deploy --no-start --binary "$RUN/bin/second" || status=$?
    pid=$(agent_pid)
    sleep 3 # init would have started it again by now
    if [ $status = 0 ] && [ -z "$pid" ] && [ -z "$(agent_pid)" ] && [ -z "$(answering)" ]; then
        pass "${LABEL}--no-start with a password" "in place, nothing runs"
    else
        fail "${LABEL}--no-start with a password" "status $status, process '$pid' then '$(agent_pid)', '$(answering)' answers: $(deploy_words)"
        return
    fi
    count=$(machine_ready_count)
    reboot_guest
    if machine_wait_reboot "$count" && wait_answering "$SECOND_VERSION"; then
        pass "${LABEL}--no-start, then a reboot" "$SECOND_VERSION answers"
        INSTALLED=$SECOND_VERSION
    else
        fail "${LABEL}--no-start, then a reboot" "'$(answering)' answers, not $SECOND_VERSION"
    fi

    # The same with an older OpenSSH, which needs sshpass for that.
    if command -v sshpass >/dev/null; then
        mkdir -p "$RUN/older"
        cat >"$RUN/older/ssh" <<SSH
#!/bin/bash
[ "\$*" != -V ] || { echo 'OpenSSH_8.2p1' >&2; exit; }
exec "$(command -v ssh)" "\$@"
SSH
        chmod 755 "$RUN/older/ssh"
        status=0
        PATH="$RUN/older:$PATH" PI_KEY='' PI_PASSWORD=$ROOT_PASSWORD deploy --binary "$BINARY" || status=$?
        if [ $status = 0 ] && wait_answering "$FIRST_VERSION"; then
            pass "${LABEL}a password by sshpass" "$FIRST_VERSION answers"
            INSTALLED=$FIRST_VERSION
        else
            fail "${LABEL}a password by sshpass" "status $status, '$(answering)' answers: $(deploy_words)"
        fi
    else
        skip "${LABEL}a password by sshpass" "this host has no sshpass"
    fi

    status=0
    PI_KEY='' PI_PASSWORD=wrong deploy --binary "$BINARY" || status=$?
    expect_untouched "${LABEL}a wrong password" "$(agent_pid)" $status 4 'cannot log in by SSH as root@127.0.0.1'
}
