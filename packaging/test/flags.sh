# shellcheck shell=bash
# One meaning of /etc/default/pi-monitor: a table of awkward settings, read by each
# shell and awk here, and (flags_under_init) by an agent that an init system started.

# Runs CASE NAME FILE WORD...: FILE is a format of printf, WORDs are what the agent gets.
# shellcheck disable=SC2016,SC2034  # nothing is to be expanded
flags_table() { # CASE
    local d=--collector.network.device-exclude
    "$1" "no file" none
    "$1" "no setting" '# PI_MONITOR_FLAGS=--a\n'
    "$1" "empty" "PI_MONITOR_FLAGS=''\n"
    "$1" "two flags" "PI_MONITOR_FLAGS='--web.listen-address=:9100  $d=eth0'\n" --web.listen-address=:9100 $d=eth0
    "$1" "the last setting counts" "PI_MONITOR_FLAGS='$d=a'\nPI_MONITOR_FLAGS='$d=b'" $d=b
    "$1" "parentheses, bar, star, dollar" "PI_MONITOR_FLAGS='$d=^(veth|docker).*\$'\n" "$d=^(veth|docker).*\$"
    "$1" "commands" "PI_MONITOR_FLAGS='$d=;id>/flags-ran;\`id>/flags-ran\`&\$(id>/flags-ran)'\n" "$d=;id>/flags-ran;\`id>/flags-ran\`&\$(id>/flags-ran)"
    "$1" "commands without quotes" "PI_MONITOR_FLAGS=$d=a;touch /flags-ran\n" "$d=a;touch" /flags-ran
    "$1" "variables and percent signs" "PI_MONITOR_FLAGS='$d=\$HOME-\$PATH%%n%%i%%%%'\n" "$d=\$HOME-\$PATH%n%i%%"
    "$1" "backslashes" "PI_MONITOR_FLAGS='$d=^eth\\\\d+\\\\.\\\\d\$'\n" "$d=^eth\\d+\\.\\d\$"
    "$1" "double quotes as in a shell" "PI_MONITOR_FLAGS=\"$d=\\\\\$a\\\\\\\\d\\\\\`\\\\w\"\n" "$d=\$a\\d\`\\w"
    "$1" "a dollar in double quotes" "PI_MONITOR_FLAGS=\"$d=\$HOME\"\n" "$d=\$HOME"
    "$1" "blanks in a flag" "PI_MONITOR_FLAGS='$d=\"my  net\" --log.level=info'\n" "$d=my  net" --log.level=info
    "$1" "single quotes in double ones" "PI_MONITOR_FLAGS=\"'$d=a b' --log.level=info\"\n" "$d=a b" --log.level=info
    "$1" "blanks in a flag without quotes around all" "PI_MONITOR_FLAGS=$d='a b' --log.level=info\n" "$d=a b" --log.level=info
    "$1" "single quotes in a flag" "PI_MONITOR_FLAGS='$d=\"it'\n#" fails
    "$1" "a quote that is part of a flag" "PI_MONITOR_FLAGS=\"$d=\\\\\"it's\\\\\"\"\n" "$d=it's"
    "$1" "an empty value" "PI_MONITOR_FLAGS='$d \"\" --log.level=info'\n" $d "" --log.level=info
    "$1" "comments" "# one\n  # two\nPI_MONITOR_FLAGS='$d=a#b' # three 'four'\n" "$d=a#b"
    "$1" "a comment without quotes" "PI_MONITOR_FLAGS=$d=a#b # three\n" "$d=a#b"
    "$1" "Windows: BOM and CRLF" "\357\273\277PI_MONITOR_FLAGS='$d=a --log.level=info'\r\n# more\r\n" $d=a --log.level=info
    "$1" "CRLF without quotes" "# one\r\nPI_MONITOR_FLAGS=$d=a\r\n" $d=a
    "$1" "no newline at the end" "PI_MONITOR_FLAGS=$d=a" $d=a
    "$1" "several lines" "PI_MONITOR_FLAGS='\n  $d=a\n\t--log.level=info\n'\n" $d=a --log.level=info
    "$1" "lines joined by backslashes" "PI_MONITOR_FLAGS=\"$d=a \\\\\n  --log.level=info\"\n" $d=a --log.level=info
    "$1" "joined lines without quotes" "PI_MONITOR_FLAGS=$d=a \\\\\n  --log.level=info\n" $d=a --log.level=info
    "$1" "export, and a tab" "\texport PI_MONITOR_FLAGS='$d=a\t--log.level=info'\n" $d=a --log.level=info
    "$1" "other settings" "HOME=/x\nPI_MONITOR_FLAGS=$d=a\ntouch /flags-ran\n" $d=a
    "$1" "UTF-8" "PI_MONITOR_FLAGS='$d=Küche'\n" $d=Küche
}

# shellcheck disable=SC2034  # for the errors
flags_errors() { # CASE
    "$1" "a quote that is not closed" "# x\nPI_MONITOR_FLAGS='--a\n--b\n" ":2: the quote ' is not closed"
    "$1" "a quote within the flags" "PI_MONITOR_FLAGS='--a=\"b'\n" ':1: the quote " within the flags is not closed'
    "$1" "text after the quote" "PI_MONITOR_FLAGS='--a'b\n" ":1: unexpected text after the closing quote: b"
    "$1" "blanks before the equals sign" "PI_MONITOR_FLAGS = '--a'\n" ":1: expected PI_MONITOR_FLAGS= without anything before the equals sign"
    "$1" "appending" "PI_MONITOR_FLAGS+=' --a'\n" ":1: expected PI_MONITOR_FLAGS= without anything before the equals sign"
}

group_flags() {
    local shell awk
    mkdir -p "$RUN/flags"
    # Counts its starts, and refuses --refused, or a file that is bad, as the agent does.
    cat >"$RUN/flags/agent" <<'AGENT'
#!/bin/sh
case " $* " in
    *' --refused '*) echo refused >>"${0%/*}/starts"; exit 2 ;;
    *' --help '*) printf '  --check\n        Check.\n'; exit 0 ;;
    *' --check '*) for word; do case $word in --file=*) if grep -qs bad "${word#*=}"; then echo bad >>"${0%/*}/starts"; echo "the file is bad"; exit 1; fi ;; esac; done; exit 0 ;;
esac
printf "[%s]" "$@"
AGENT
    chmod 755 "$RUN/flags/agent"
    for shell in dash bash 'busybox sh'; do
        for awk in mawk gawk original-awk 'busybox awk'; do
            if ! command -v "${shell%% *}" >/dev/null || ! command -v "${awk%% *}" >/dev/null; then continue; fi
            mkdir -p "$RUN/flags/bin"
            printf '#!/bin/sh\nexec %s "$@"\n' "$awk" >"$RUN/flags/bin/awk"
            chmod 755 "$RUN/flags/bin/awk"
            sed -e "s|^PATH=.*|PATH=$RUN/flags/bin:\$PATH|" -e "s|^BIN=.*|BIN=$RUN/flags/agent|" "$HERE/service/pi-monitor-service" >"$RUN/flags/service"
            FLAGS_BAD='' FLAGS_SHELL=$shell FLAGS_COUNT=0
            flags_table flags_by_hand
            flags_errors flags_error
            if [ -z "$FLAGS_BAD" ]; then pass "flags: $shell with $awk" "$FLAGS_COUNT settings"; else fail "flags: $shell with $awk" "$FLAGS_BAD"; fi
        done
        if command -v "${shell%% *}" >/dev/null; then flags_refused "$shell"; fi
    done
}

# For inits that would start it over and over: one try for each change of the file,
# or of one that it names.
flags_refused() { # SHELL
    local pid found
    rm -f "$RUN/flags/starts"
    echo bad >"$RUN/flags/secret"
    printf 'PI_MONITOR_FLAGS="--refused"\n' >"$RUN/flags/conf"
    # shellcheck disable=SC2086  # a shell with its applet
    PI_MONITOR_CONF=$RUN/flags/conf $1 "$RUN/flags/service" await >"$RUN/flags/words" 2>&1 &
    pid=$!
    sleep 5
    printf 'PI_MONITOR_FLAGS="--refused  --b"\n' >"$RUN/flags/conf"
    flags_starts 2
    printf 'PI_MONITOR_FLAGS="--file=%s"\n' "$RUN/flags/secret" >"$RUN/flags/conf"
    flags_starts 3
    sleep 5
    echo good >"$RUN/flags/secret"
    for _ in $(seq 300); do
        kill -0 $pid 2>/dev/null || break
        sleep 0.1
    done
    kill $pid 2>/dev/null || true
    found="$(wc -l 2>/dev/null <"$RUN/flags/starts") tries, $(sort -u "$RUN/flags/words" | tr '\n' '|')"
    if [ "$found" = "3 tries, [--file=$RUN/flags/secret]|pi-monitor does not accept its flags; waiting for a change of $RUN/flags/conf or of a file that they name|the file is bad|" ]; then
        pass "flags: $1: refused ones" "one try for each change"
    else
        fail "flags: $1: refused ones" "$found"
    fi
}

flags_starts() { # COUNT: waits until the agent was tried so often
    for _ in $(seq 300); do
        [ "$(wc -l 2>/dev/null <"$RUN/flags/starts")" != "$1" ] || break
        sleep 0.1
    done
}

# Those that wait, without the subshells that one of them starts for a moment to look whether its flags have changed.
steady_pids() {
    local now before=none
    for _ in $(seq 50); do
        now=$(waiting_pids)
        [ "$now" != "$before" ] || break
        before=$now
        sleep 0.2
    done
    echo "$now"
}

# Refused flags under a real init: the process that waits stays the same, and a
# correction alone is enough.
flags_refused_under_init() { # LABEL RESTART-COMMAND-LINE
    local before first second
    before=$(inside_sh 'cat /etc/default/pi-monitor 2>/dev/null; echo .')
    inside_sh 'echo "PI_MONITOR_FLAGS=--no-such-flag" >/etc/default/pi-monitor'
    inside_sh "$2" >/dev/null 2>&1 || true
    sleep 4
    first=$(steady_pids)
    # Inits try again every 1 or 2 s.
    sleep 6
    second=$(steady_pids)
    printf '%s' "${before%.}" | inside_sh 'cat >/etc/default/pi-monitor'
    if [ -n "$first" ] && [ "$first" = "$second" ] && [ -z "$(answering)" ] && wait_answering "$FIRST_VERSION" 30; then
        pass "$1: refused flags" "process $first waits; answers after the correction"
    else
        fail "$1: refused flags" "process $first, 6 s later $second; '$(answering)' answers"
    fi
}

# Processes of the script, in the container's numbers; not the shell that looks for them.
waiting_pids() {
    # shellcheck disable=SC2016  # expanded in the container
    inside_sh 'for p in /proc/[0-9]*; do
        case $({ tr "\000" " " <$p/cmdline; } 2>/dev/null) in *"/pi-monitor-servic"e\ *) case $(cat $p/comm 2>/dev/null) in supervise-daemo*) ;; *) echo ${p#/proc/} ;; esac ;; esac
    done' | tr '\n' ' '
}

flags_file() { # FORMAT FILE
    rm -f "$2"
    # shellcheck disable=SC2059  # it is a format
    [ "$1" = none ] || printf "$1" >"$2"
}

flags_by_hand() { # NAME FORMAT WORD...
    local name=$1 format=$2 found status=0
    shift 2
    FLAGS_COUNT=$((FLAGS_COUNT + 1))
    flags_file "$format" "$RUN/flags/conf"
    # shellcheck disable=SC2086  # a shell with its applet
    found=$(PI_MONITOR_CONF=$RUN/flags/conf $FLAGS_SHELL "$RUN/flags/service" exec 2>"$RUN/flags/errors") || status=$?
    if [ "${1:-}" = fails ]; then
        if [ $status != 2 ] || [ ! -s "$RUN/flags/errors" ]; then FLAGS_BAD="$FLAGS_BAD$name: status $status, found $found; "; fi
    elif [ $status != 0 ] || [ "$found" != "$(printf '[%s]' "$@")" ]; then
        FLAGS_BAD="$FLAGS_BAD$name: expected $(printf '[%s]' "$@"), found $found $(tr '\n' '|' <"$RUN/flags/errors"); "
    fi
}

flags_error() { # NAME FORMAT MESSAGE
    local status=0
    FLAGS_COUNT=$((FLAGS_COUNT + 1))
    flags_file "$2" "$RUN/flags/conf"
    # shellcheck disable=SC2086
    PI_MONITOR_CONF=$RUN/flags/conf $FLAGS_SHELL "$RUN/flags/service" exec >/dev/null 2>"$RUN/flags/errors" || status=$?
    if [ $status != 2 ] || [ "$(cat "$RUN/flags/errors")" != "pi-monitor-service: $RUN/flags/conf$3" ]; then
        FLAGS_BAD="$FLAGS_BAD$1: status $status: $(tr '\n' '|' <"$RUN/flags/errors"); "
    fi
}

# The same table with the real agent, restarted by the container's init system. (An
# inittab does not take 27 restarts in a row: NAMES says which settings are tried.)
flags_under_init() { # LABEL RESTART-COMMAND-LINE [NAMES]
    local before
    FLAGS_BAD='' FLAGS_COUNT=0 FLAGS_RESTART=$2 FLAGS_NAMES=${3:-*}
    before=$(inside_sh 'cat /etc/default/pi-monitor 2>/dev/null; echo .')
    flags_table flags_by_agent
    if inside test -e /flags-ran; then FLAGS_BAD="${FLAGS_BAD}a flag was run as a command; "; fi
    printf '%s' "${before%.}" | inside_sh 'cat >/etc/default/pi-monitor'
    inside_sh "$FLAGS_RESTART" >/dev/null 2>&1 || true
    if [ -z "$FLAGS_BAD" ]; then pass "$1: awkward flags" "$FLAGS_COUNT settings"; else fail "$1: awkward flags" "$FLAGS_BAD"; fi
    inside rm -f /flags-ran
}

flags_by_agent() { # NAME FORMAT WORD...
    local name=$1 old want='' found='' pid
    flags_file "$2" "$RUN/flags-conf"
    shift 2
    # What the agent itself refuses is for the table above.
    case ${1:-} in fails) return 0 ;; esac
    case $name in "commands without quotes") return 0 ;; esac
    # shellcheck disable=SC2053  # a pattern
    [[ $name == $FLAGS_NAMES ]] || return 0
    FLAGS_COUNT=$((FLAGS_COUNT + 1))
    want=$(printf '[%s]' "$@")
    old=$(agent_pids)
    if [ -e "$RUN/flags-conf" ]; then inside_sh 'cat >/etc/default/pi-monitor' <"$RUN/flags-conf"; else inside rm -f /etc/default/pi-monitor; fi
    inside_sh "$FLAGS_RESTART" >/dev/null 2>&1 || true
    for _ in $(seq 600); do
        pid=$(agent_pids)
        if [ -n "$pid" ] && [ "$pid" != "$old" ]; then
            found=$(inside_sh "tr '\\000' '\\n' </proc/$pid/cmdline" 2>/dev/null | sed -e 1d -e '/^--web.wait-for-address$/d' -e '/^--state.directory=\/var\/lib\/\(private\/\)\{0,1\}pi-monitor$/d' -e 's/.*/[&]/' | tr -d '\n')
            [ "${found:-[]}" != "$want" ] || return 0
        fi
        sleep 0.1
    done
    FLAGS_BAD="$FLAGS_BAD$name: expected $want, found $found; "
}
