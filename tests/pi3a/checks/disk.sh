# shellcheck shell=bash
# The SD card: mmcblk0's second partition, mounted on /data, as large as the
# guest's own statfs says.

guest_disk() { guest 'grep " /data " /proc/mounts && stat -f -c "%S %b %f" /data && df -k /data'; }

check_disk() {
    local figures size blocks free total used
    figures=$(guest 'stat -f -c "%S %b %f" /data')
    # shellcheck disable=SC2086  # three numbers
    set -- $figures
    size=${1:-0} blocks=${2:-0} free=${3:-0}
    scrape
    total=$(sample pi_disk_total_bytes 'device="/dev/mmcblk0p2"' 'mountpoint="/data"' 'fstype="ext4"')
    if [ "$blocks" -gt 0 ] && near "$total" $((size * blocks)) 0; then
        pass "SD card" "/dev/mmcblk0p2 on /data, $total bytes"
    else
        fail "SD card" "pi_disk_total_bytes of /dev/mmcblk0p2 on /data is ${total:-missing}, statfs says $size * $blocks"
    fi
    guest 'dd if=/dev/urandom of=/data/ballast bs=1M count=8 2>/dev/null && sync' >/dev/null
    sleep 0.3 # the agent may serve a collection that is up to 100 ms old
    scrape
    # shellcheck disable=SC2046
    set -- $(guest 'stat -f -c "%S %b %f" /data')
    used=$(sample pi_disk_used_bytes 'mountpoint="/data"')
    if [ "$3" -lt "$free" ] && near "$used" $(($1 * ($2 - $3))) 0; then
        pass "SD card in use" "$used bytes after 8 MiB were written, as statfs says"
    else
        fail "SD card in use" "${used:-missing} bytes, statfs says $1 * ($2 - $3)"
    fi
    guest 'rm -f /data/ballast'
}
