# shellcheck shell=bash
# part.sh - runs the real scripts/deploy.sh over SSH against emulated Pis that
# have BusyBox and Dropbear only. Sourced by run.sh.
#
# Each case is deploy/NAME.sh and defines case_NAME. The lists below say which
# run on which guest, in this order: a case finds the machine as the one before
# it left it.

# shellcheck disable=SC2034  # by ${!cases}
DEPLOY_CASES_busybox='fresh killed upgrade broken cut reboot no_start uninstall'
# shellcheck disable=SC2034
DEPLOY_CASES_script='fresh killed upgrade exits reboot uninstall'

# shellcheck source=tests/pi3a/deploy/card.sh
. "$HERE/deploy/card.sh"
# shellcheck source=tests/pi3a/deploy/binaries.sh
. "$HERE/deploy/binaries.sh"

# Waits until Dropbear shows itself. (QEMU's forwarded port is open from the start.)
wait_ssh() {
    local banner
    for _ in $(seq 100); do
        banner=''
        { read -r -t 3 banner <"/dev/tcp/127.0.0.1/$SSH_PORT"; } 2>/dev/null || true
        case $banner in SSH-*) return 0 ;; esac
        sleep 0.2
    done
    note "no SSH server answers in the guest"
    return 1
}

# deploy [OPTIONS]: scripts/deploy.sh against the guest, with the key; its
# messages in $RUN/deploy.log, its status. Variables in front of it are heard.
deploy() {
    local status=0
    wait_ssh || true
    PI_TIMEOUT=${PI_TIMEOUT-60} PI_HOST=127.0.0.1 PI_PORT=$SSH_PORT PI_KEY=${PI_KEY-$RUN/key} PI_URL=http://127.0.0.1:$HTTP_PORT \
        PI_SSH_OPTIONS="-F none -o UserKnownHostsFile=$RUN/known_hosts -o IdentitiesOnly=yes -o IdentityAgent=none" \
        timeout -k 5 300 "$REPOSITORY/scripts/deploy.sh" "$@" >"$RUN/deploy.log" 2>&1 </dev/null || status=$?
    cat "$RUN/deploy.log" >>"$RUN/deploy-all.log"
    return $status
}

deploy_words() { tail -n 4 "$RUN/deploy.log" | tr '\n' '|'; }

# The version that the agent in the guest says by HTTP, or nothing.
answering() {
    http /metrics 2>/dev/null | sed -n 's/^pi_monitor_build_info{.*version="\([^"]*\)".*/\1/p' || true
}

wait_answering() { # VERSION
    local deadline=$((SECONDS + PATIENCE))
    while [ "$(answering)" != "$1" ]; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.3
    done
}

# The agent's pid in the guest, from the kernel: whose program is the installed file,
# but not the child that writes its journal.
agent_pid() {
    # A command is one line.
    local command
    command="for pid in \$(ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n 's|.*/proc/\\([0-9]*\\)/exe -> /usr/local/bin/pi-monitor\$|\\1|p'); do"
    command="$command parent=\$(sed -n 's/^PPid:[^0-9]*//p' /proc/\$pid/status 2>/dev/null);"
    command="$command case \$(readlink /proc/\$parent/exe 2>/dev/null) in /usr/local/bin/pi-monitor) ;; *) echo \$pid ;; esac; done"
    guest "$command" | tr '\n' ' ' | sed 's/ $//'
}

# Every file, directory and link on the card, without the recorded past and the directories that hold it,
# and the contents of all that is not Dropbear's.
card_listing() {
    guest 'find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /lost+found -o -path /var/lib/pi-monitor \) -prune -o -print | grep -vxE "/var(/lib)?" | sort; find /etc /root /usr/local -xdev -type f 2>/dev/null | grep -v /etc/dropbear/ | sort | xargs md5sum; ls -A /run /tmp'
}

# Does a case that must leave the agent alone: same version, same process.
expect_untouched() { # NAME PID STATUS WANTED_STATUS PATTERN
    local now
    now=$(agent_pid)
    if [ "$3" != "$4" ]; then
        fail "$1" "deploy.sh ended with status $3, not $4: $(deploy_words)"
    elif ! grep -qE "$5" "$RUN/deploy.log"; then
        fail "$1" "deploy.sh does not say /$5/: $(deploy_words)"
    elif [ "$now" != "$2" ] || ! wait_answering "$INSTALLED"; then
        fail "$1" "the agent was disturbed: process $2 then, '$now' now, version '$(answering)' instead of $INSTALLED"
    else
        pass "$1" "deploy.sh: $(grep -oE "$5" "$RUN/deploy.log" | head -n 1); process $2 still answers $INSTALLED"
    fi
}

deploy_guest() { # INIT
    local name cases=DEPLOY_CASES_$1 root started=$SECONDS
    INIT=$1 INSTALLED=''
    root=$RUN/root.$INIT
    make_root "$root" "$INIT"
    make_card "$RUN/$INIT.img" "$root"
    rm -rf "$root" "$RUN/known_hosts"
    if ! machine_start "$INIT" card "$RUN/card.gz" "$RUN/$INIT.img"; then
        fail "deploy, $INIT init: boot" "the emulated Pi did not come up: $(tail -n 5 "$LOG" | tr -d '\r' | tr '\n' '|')"
        return
    fi
    pass "deploy, $INIT init: boot" "$(guest 'tr "\000" " " </proc/1/cmdline; readlink /proc/1/exe' | tr '\n' ' ')as process 1, $((SECONDS - started)) s"
    for name in ${!cases}; do
        # shellcheck disable=SC1090
        . "$HERE/deploy/$name.sh"
        if ! machine_healthy; then
            fail "deploy, $INIT init: $name" "the machine is gone"
            break
        fi
        if [ "$name" != fresh ] && [ -z "$INSTALLED" ]; then
            fail "deploy, $INIT init: $name" "there is no installed agent to go on with"
            continue
        fi
        LABEL="deploy, $INIT init: " one_check_of case "$name"
    done
    machine_stop
}

deploy_part() {
    local version
    rm -f "$RUN/key" "$RUN/key.pub"
    ssh-keygen -q -t ed25519 -N '' -f "$RUN/key"
    make_initramfs "$RUN/card.gz"
    # The version that the binary has, from its first answer in the guest; until
    # then from the package, which the build has put into it.
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$REPOSITORY/Cargo.toml" | head -n 1)
    FIRST_VERSION=$version
    SECOND_VERSION=$(other_version "$version")
    mkdir -p "$RUN/bin"
    if ! make_version "$BINARY" "$FIRST_VERSION" "$SECOND_VERSION" "$RUN/bin/second"; then
        fail "deploy: another version" "the text $FIRST_VERSION (Cargo.toml) is not in $BINARY: is it an old build?"
        return
    fi
    make_quitter "$RUN/bin/quitter" 9.9.9
    deploy_guest busybox
    deploy_guest script
}
