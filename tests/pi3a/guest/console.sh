#!/bin/sh
# console.sh - obeys the host through the serial line. A line "TAG COMMAND" is
# run by a shell; the answer is a line "@TAG<", the output, a line "@TAG> STATUS".
stty -echo 2>/dev/null
dmesg -n 1 # no kernel messages between the answers
echo "PI3A: ready"
while read -r tag command; do
    echo
    echo "@$tag<"
    sh -c "$command" </dev/null 2>&1
    status=$?
    echo
    echo "@$tag> $status"
done
# The line is closed: stay, process 1 must not end.
[ $$ != 1 ] || while :; do sleep 3600; done
