# shellcheck shell=bash
# Uninstall: no process, and every file and directory as before the first install.

case_uninstall() {
    local status=0
    deploy --uninstall || status=$?
    sleep 2 # init would have started it again by now
    card_listing >"$RUN/$INIT.after.txt"
    if [ $status = 0 ] && [ -z "$(agent_pid)" ] && [ -z "$(answering)" ]; then
        pass "${LABEL}uninstall" "nothing answers, no process"
    else
        fail "${LABEL}uninstall" "status $status, process '$(agent_pid)', answers '$(answering)': $(deploy_words)"
    fi
    if cmp -s "$RUN/$INIT.before.txt" "$RUN/$INIT.after.txt" && [ -s "$RUN/$INIT.after.txt" ]; then
        pass "${LABEL}nothing left behind" "$(wc -l <"$RUN/$INIT.after.txt") lines of files and checksums are as before"
    else
        fail "${LABEL}nothing left behind" "$(diff "$RUN/$INIT.before.txt" "$RUN/$INIT.after.txt" | head -n 8 | tr '\n' '|')"
    fi
    status=0
    deploy --uninstall || status=$?
    if [ $status = 0 ] && grep -q 'nothing is installed' "$RUN/deploy.log"; then
        pass "${LABEL}uninstall again" "nothing to do"
    else
        fail "${LABEL}uninstall again" "status $status: $(deploy_words)"
    fi
}
