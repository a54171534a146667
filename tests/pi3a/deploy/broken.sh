# shellcheck shell=bash
# Uploads that arrive broken, and binaries that are not what they should be:
# the agent that runs is not touched. Then those that only show when started.

# An ssh in front of the real one that spoils the binary's upload.
spoiled() { # FILTER
    local real
    real=$(command -v ssh)
    mkdir -p "$RUN/spoil"
    cat >"$RUN/spoil/ssh" <<SSH
#!/bin/bash
case \${*: -1} in
    *'cat >'*/pi-monitor"'") $1 | "$real" "\$@" ;;
    *) exec "$real" "\$@" ;;
esac
SSH
    chmod 755 "$RUN/spoil/ssh"
}

case_broken() {
    local pid status
    pid=$(agent_pid)

    status=0
    spoiled 'head -c 300000'
    PATH="$RUN/spoil:$PATH" deploy --binary "$BINARY" || status=$?
    expect_untouched "${LABEL}upload cut off" "$pid" $status 1 'the upload is cut off: 300000 of [0-9]* bytes arrived'

    status=0
    spoiled 'LC_ALL=C tr a b'
    PATH="$RUN/spoil:$PATH" deploy --binary "$BINARY" || status=$?
    expect_untouched "${LABEL}upload damaged" "$pid" $status 1 'the upload is damaged'

    status=0
    head -c 300000 "$BINARY" >"$RUN/bin/half"
    deploy --binary "$RUN/bin/half" || status=$?
    expect_untouched "${LABEL}half a binary" "$pid" $status 1 'the new binary does not run on this machine'

    # The header of an x86-64 program: refused here, before anything is sent.
    status=0
    { head -c 18 "$BINARY"; printf '\x3e'; tail -c +20 "$BINARY"; } >"$RUN/bin/x86"
    deploy --binary "$RUN/bin/x86" || status=$?
    expect_untouched "${LABEL}another CPU" "$pid" $status 1 'is for another CPU: it is x86_64'

    # The same without that check: refused there.
    status=0
    spoiled 'cat >/dev/null; cat "'"$RUN/bin/x86"'"'
    PATH="$RUN/spoil:$PATH" deploy --binary "$BINARY" || status=$?
    expect_untouched "${LABEL}another program arrives" "$pid" $status 1 'the upload is damaged'

    # shellcheck source=tests/pi3a/deploy/exits.sh
    . "$HERE/deploy/exits.sh"
    case_exits
}
