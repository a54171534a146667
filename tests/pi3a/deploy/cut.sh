# shellcheck shell=bash disable=SC2034
# The connection breaks off in the middle of the installation: the Pi goes
# through with it by itself.

case_cut() {
    local real target status=0
    target=$FIRST_VERSION
    real=$(command -v ssh)
    mkdir -p "$RUN/cut"
    # Ends the connection as soon as the installation has begun on the Pi: it
    # says "starts at boot" before it starts the new agent.
    cat >"$RUN/cut/ssh" <<SSH
#!/bin/bash
case \${*: -1} in
    *sh\ -s\ --*install*)
        "$real" "\$@" <&0 2> >(tee "$RUN/cut/said" >&2) &
        client=\$!
        for _ in {1..300}; do
            ! grep -q 'starts at boot' "$RUN/cut/said" 2>/dev/null || break
            sleep 0.1
        done
        "$real" "\${@:1:\$#-2}" -O exit "\${@: -2:1}" 2>/dev/null
        kill \$client 2>/dev/null
        wait \$client
        ;;
    *) exec "$real" "\$@" ;;
esac
SSH
    chmod 755 "$RUN/cut/ssh"
    PATH="$RUN/cut:$PATH" deploy --binary "$BINARY" || status=$?
    if [ $status != 4 ] || ! grep -q 'the connection broke off during the installation' "$RUN/deploy.log"; then
        fail "${LABEL}connection lost" "deploy.sh ended with status $status, not 4: $(deploy_words)"
    elif wait_answering "$target"; then
        INSTALLED=$target
        for _ in $(seq 30); do # it still watches the new agent for a moment, then tidies up
            [ "$(guest 'ls -A /usr/local/bin' | tr '\n' ' ')" != 'pi-monitor ' ] || break
            sleep 1
        done
        if [ "$(guest 'ls -A /usr/local/bin' | tr '\n' ' ')" = 'pi-monitor ' ]; then
            pass "${LABEL}connection lost" "the Pi finished alone: version $target answers"
        else
            fail "${LABEL}connection lost" "left behind: $(guest 'ls -A /usr/local/bin' | tr '\n' ' ')"
        fi
    else
        fail "${LABEL}connection lost" "version '$(answering)' answers, not $target"
    fi
}
