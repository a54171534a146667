# shellcheck shell=bash disable=SC2034
# Upgrade to another version, with flags for the agent.

case_upgrade() {
    local pid line
    if ! PI_FLAGS='--web.listen-address=:9100' deploy --binary "$RUN/bin/second"; then
        fail "${LABEL}upgrade" "deploy.sh failed: $(deploy_words)"
        return
    fi
    pid=$(agent_pid)
    line=$(guest "tr '\\000' ' ' </proc/$pid/cmdline; ls /usr/local/bin /usr/local/lib/pi-monitor | tr '\\n' ' '")
    if [ "$(answering)" != "$SECOND_VERSION" ]; then
        fail "${LABEL}upgrade" "version '$(answering)' answers, not $SECOND_VERSION: $(deploy_words)"
    elif ! grep -q 'has version '"$FIRST_VERSION" "$RUN/deploy.log"; then
        fail "${LABEL}upgrade" "deploy.sh did not see version $FIRST_VERSION: $(deploy_words)"
    else
        pass "${LABEL}upgrade" "$FIRST_VERSION to $SECOND_VERSION"
        INSTALLED=$SECOND_VERSION
    fi
    case $line in
        *'/usr/local/bin/pi-monitor '*'--web.listen-address=:9100 '*) pass "${LABEL}flags" "in its command line" ;;
        *) fail "${LABEL}flags" "its command line and files: $line" ;;
    esac
    case $line in
        *pi-monitor.old* | *.pi-monitor-deploy*) fail "${LABEL}old binary" "still there: $line" ;;
        *) pass "${LABEL}old binary" "removed after the proof" ;;
    esac
}
