# shellcheck shell=bash
# SIGTERM ends the agent within 3 s with status 0, even while a client holds a
# connection open. The last check: afterwards there is no agent.

check_sigterm() {
    local answer
    exec 7<>"/dev/tcp/127.0.0.1/$HTTP_PORT"
    printf 'GET /health HTTP/1.1\r\nHost: pi\r\n\r\n' >&7
    IFS= read -r -t 10 answer <&7 || answer=
    case $answer in HTTP/1.1\ 200*) ;; *) note "the held connection got '$answer'" ;; esac
    # In one command, so that the guest's clock measures it; 10 ms steps.
    # shellcheck disable=SC2016  # expanded in the guest
    answer=$(guest 'now() { read -r up _ </proc/uptime; echo ${up%.*}${up#*.}0; }; pid=$(cat /run/agent.pid); start=$(now); kill -TERM $pid; while [ -d /proc/$pid ] && [ $(($(now) - start)) -lt 10000 ]; do usleep 10000; done; echo $(($(now) - start)); usleep 300000; cat /run/agent.status')
    exec 7>&-
    # shellcheck disable=SC2086  # two numbers
    set -- $answer
    if [ "${2:-none}" = 0 ] && between 0 "$1" 3000; then
        pass "SIGTERM" "exit status 0 after $1 ms, with a client connected"
    else
        fail "SIGTERM" "exit status ${2:-none (still running)} after ${1:-?} ms"
    fi
}
