# shellcheck shell=dash
# answers.sh - times the first answers of an agent that was just started. Sourced.
now_ms() { # the uptime, in milliseconds
    read -r up _ </proc/uptime
    echo "${up%.*}${up#*.}0"
}
# Prints the milliseconds until the first answer, and those that a second one takes. Leaves the first one in FILE.
time_answers() { # PORT FILE
    # No pause between the tries: a refused connection costs a few milliseconds.
    # (Not wget -T: it crashes in Debian's static BusyBox.)
    start=$(now_ms) tries=0
    while [ $tries -lt 500 ]; do
        tries=$((tries + 1))
        timeout 5 wget -q -O "$2" "http://127.0.0.1:$1/metrics" 2>/dev/null && break
    done
    [ -s "$2" ] && echo $(($(now_ms) - start))
    start=$(now_ms)
    timeout 5 wget -q -O /dev/null "http://127.0.0.1:$1/metrics" 2>/dev/null && echo $(($(now_ms) - start))
}
