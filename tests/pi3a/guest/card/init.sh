#!/bin/sh
# init.sh - process 1 of the third guest: a hand-made init, as on systems that
# are built from a kernel, BusyBox and one script.
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
if [ -x /etc/init.d/rcS ]; then
    /etc/init.d/rcS
fi
while :; do
    setsid sh /etc/console.sh <>/dev/ttyS1 >&0 2>&1
    sleep 1
done
