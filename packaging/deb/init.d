#!/bin/sh
### BEGIN INIT INFO
# Provides:          pi-monitor
# Required-Start:    $remote_fs
# Required-Stop:     $remote_fs
# Should-Start:      $network
# Should-Stop:       $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: monitor for small Linux computers
# Description:       Dashboard, Prometheus metrics and JSON about this machine on port 9100.
#                    Flags: PI_MONITOR_FLAGS in /etc/default/pi-monitor.
### END INIT INFO

# For sysvinit and OpenRC; systemd has a unit of its own.
# This file belongs to the Debian package pi-monitor. Without this line it is kept as it is.
SERVICE=/usr/lib/pi-monitor/pi-monitor-service
[ -x $SERVICE ] || exit 0
if [ -r /lib/lsb/init-functions ]; then . /lib/lsb/init-functions; fi

case ${1:-} in
    start | stop | restart | status) exec $SERVICE "$1" ;;
    force-reload) exec $SERVICE restart ;;
    *)
        echo "Usage: $0 {start|stop|restart|force-reload|status}" >&2
        exit 2
        ;;
esac
