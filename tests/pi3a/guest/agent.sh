#!/bin/sh
# agent.sh - the first guest: starts /opt/pi-monitor, times its first answer,
# then obeys the serial console. Process 1, after init.
#
# Leaves in /run:  agent.pid  agent.status (once it has ended)
#                  first.ms   milliseconds from the start to the first answer
#                  again.ms   milliseconds that a second answer took
#                  first.txt  that answer: the first /metrics that was served
#                  agent.log  what the agent wrote
now_ms() { # the uptime, in milliseconds
    read -r up _ </proc/uptime
    echo "${up%.*}${up#*.}0"
}
(
    /opt/pi-monitor </dev/null >/run/agent.log 2>&1 &
    echo $! >/run/agent.pid
    wait $!
    echo $? >/run/agent.status
) &
# No pause between the tries: a refused connection costs a few milliseconds.
# (Not wget -T: it crashes in Debian's static BusyBox.)
start=$(now_ms) tries=0
while [ $tries -lt 500 ]; do
    tries=$((tries + 1))
    timeout 5 wget -q -O /run/first.txt http://127.0.0.1:9100/metrics 2>/dev/null && break
done
[ -s /run/first.txt ] && echo $(($(now_ms) - start)) >/run/first.ms
start=$(now_ms)
timeout 5 wget -q -O /dev/null http://127.0.0.1:9100/metrics 2>/dev/null && echo $(($(now_ms) - start)) >/run/again.ms
exec /bin/sh /console.sh
