#!/bin/sh
# agent.sh - the first guest: starts /opt/pi-monitor, times its first answer,
# then obeys the serial console. Process 1, after init.
#
# Leaves in /run:  agent.pid  agent.status (once it has ended)
#                  answers.ms   what time_answers printed: milliseconds to the first answer, and of a second one
#                  first.txt  that answer: the first /metrics that was served
#                  agent.log  what the agent wrote
. /answers.sh
(
    /opt/pi-monitor </dev/null >/run/agent.log 2>&1 &
    echo $! >/run/agent.pid
    wait $!
    echo $? >/run/agent.status
) &
time_answers 9100 /run/first.txt >/run/answers.ms
exec /bin/sh /console.sh
