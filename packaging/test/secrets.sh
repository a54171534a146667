# shellcheck shell=bash
# Passwords in /etc/pi-monitor that root alone can read, as docs/security.md has it:
# the agent takes them under the init system, nobody else can read its copies.

SECRET_TOKEN=0123456789abcdef0123

secrets_checks() { # LABEL RESTART-COMMAND-LINE
    local code='' before copies pid
    before=$(inside_sh 'cat /etc/default/pi-monitor 2>/dev/null; echo .')
    inside_sh "umask 077
        printf 'bearer $SECRET_TOKEN\\n' >/etc/pi-monitor/tokens
        printf 'basic_auth_users:\\n  prometheus: %s\\n' '\$2y\$04\$uPlH4W9aPHlVhRdKVk6vo.xEVS2wUSFMkKFZbTn9Wg6Yr0XM3n2pa' >/etc/pi-monitor/web.yml
        printf \"PI_MONITOR_FLAGS='--web.auth-file=/etc/pi-monitor/tokens --web.config.file=/etc/pi-monitor/web.yml'\\n\" >/etc/default/pi-monitor"
    inside_sh "$2" >/dev/null 2>&1 || true
    for _ in $(seq 300); do
        code=$(secrets_codes)
        [ "$code" != '200 401 200 ' ] || break
        sleep 0.2
    done
    # Of what is in RAM, nothing is readable but by root and the agent.
    pid=$(agent_pids)
    copies=$(inside_sh 'ls -lLd /run/pi-monitor /run/pi-monitor/* /run/private/pi-monitor/* 2>/dev/null' | awk '{ print $1 }' | grep -c '^.\{4\}[^-]*-*[rwx]' || true)
    if [ "$code" = '200 401 200 ' ] && [ "$copies" = 0 ]; then
        pass "$1: passwords that root alone can read" "/health, without and with a token: $code"
    else
        fail "$1: passwords that root alone can read" "/health, without and with a token: $code, process $pid, $copies readable copies, $(inside_sh 'journalctl -q -u pi-monitor -n 3 -o cat 2>/dev/null || cat /var/log/syslog 2>/dev/null | tail -n 3' | tr '\n' '|')"
    fi
    bad_secret_check "$1" "$2"
    inside_sh 'rm -f /etc/pi-monitor/tokens /etc/pi-monitor/web.yml'
    printf '%s' "${before%.}" | inside_sh 'cat >/etc/default/pi-monitor'
    inside_sh "$2" >/dev/null 2>&1 || true
    wait_answering "$FIRST_VERSION" 15 || true
    if ! inside_sh 'ls /run/pi-monitor/tokens /run/private/pi-monitor/tokens' >/dev/null 2>&1; then
        pass "$1: passwords that are removed" "no copy is left"
    else
        fail "$1: passwords that are removed" "a copy is left in /run"
    fi
}

# A file that the agent refuses needs a person: no restart after restart, each with
# its lines in the log.
bad_secret_check() { # LABEL RESTART-COMMAND-LINE
    local first second
    inside_sh 'echo "bearer short" >/etc/pi-monitor/tokens'
    inside_sh "$2" >/dev/null 2>&1 || true
    sleep 4
    first=$(bad_secret_state)
    # Inits try again every 1 or 2 s.
    sleep 8
    second=$(bad_secret_state)
    if [ "$first" = "$second" ] && [ -z "$(agent_pids)" ]; then
        pass "$1: a bad file of passwords" "${first:-nothing runs}"
    else
        fail "$1: a bad file of passwords" "$first, 8 s later $second"
    fi
}

# What changes with each start: under systemd, how often; else, the process that waits.
bad_secret_state() {
    inside_sh 'systemctl show -p NRestarts -p ActiveState pi-monitor 2>/dev/null' | tr '\n' ' '
    waiting_pids
}

secrets_codes() {
    local path
    for path in health metrics metrics+token; do
        nsenter -t "$LEADER" -n curl -s -o /dev/null -w '%{http_code} ' --noproxy '*' --max-time 5 \
            -H "$([ "${path#*+}" = token ] && echo "Authorization: Bearer $SECRET_TOKEN" || echo 'X-None: none')" "http://127.0.0.1:9100/${path%+*}" 2>/dev/null || true
    done
}
