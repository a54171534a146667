# shellcheck shell=bash
# A new version that starts and ends at once, and flags that the agent refuses:
# the old version, with its old flags, runs again.

case_exits() {
    local status=0
    deploy --binary "$RUN/bin/quitter" || status=$?
    expect_rolled_back "a program that exits at once" $status

    status=0
    PI_FLAGS='--no-such-flag' deploy --binary "$BINARY" || status=$?
    expect_rolled_back "flags that the agent refuses" $status
}

expect_rolled_back() { # NAME STATUS
    local flags
    flags=$(guest 'grep ^PI_MONITOR_FLAGS= /etc/default/pi-monitor; ls -A /usr/local/bin' | tr '\n' ' ')
    if [ "$2" = 1 ] && grep -q "the old version $INSTALLED answers again" "$RUN/deploy.log" && wait_answering "$INSTALLED" &&
        [ "$flags" = "PI_MONITOR_FLAGS='--web.listen-address=:9100' pi-monitor " ]; then
        pass "${LABEL}$1" "version $INSTALLED with its flags answers again"
    else
        fail "${LABEL}$1" "status $2, answers '$(answering)', $flags: $(deploy_words)"
    fi
}
