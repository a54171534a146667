# shellcheck shell=bash
# kill -9 of the agent: it is started again.

case_killed() {
    local before after started
    before=$(agent_pid)
    started=$SECONDS
    guest "kill -9 $before"
    sleep 0.5
    if wait_answering "$INSTALLED" && after=$(agent_pid) && [ -n "$after" ] && [ "$after" != "$before" ]; then
        pass "${LABEL}kill -9" "process $before gone, $after answers within $((SECONDS - started)) s"
    else
        fail "${LABEL}kill -9" "process $before then, '${after:-}' now; answers '$(answering)'"
    fi
}
