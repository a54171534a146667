# shellcheck shell=bash
# The SD card's traffic: field 3 and 7 of /sys/block/mmcblk0/stat, in 512-byte sectors.

guest_diskio() { guest 'cat /sys/block/mmcblk0/stat' | awk 'NF >= 11 { print $3 * 512, $7 * 512; ok = 1 } END { exit !ok }'; }

check_diskio() {
    local before now written after
    guest 'dd if=/dev/urandom of=/data/ballast bs=1M count=2 2>/dev/null; sync; rm -f /data/ballast' >/dev/null
    before=$(guest_diskio)
    sleep 0.3
    scrape
    after=$(guest_diskio)
    now=$(sample pi_disk_read_bytes_total 'device="mmcblk0"')
    written=$(sample pi_disk_written_bytes_total 'device="mmcblk0"')
    if between "${before% *}" "$now" "${after% *}" && between "${before#* }" "$written" "${after#* }"; then
        pass "SD card's traffic" "mmcblk0 read $now, written $written bytes, as its stat says"
    else
        fail "SD card's traffic" "mmcblk0 read ${now:-missing}, written ${written:-missing}; stat says $before to $after"
    fi
}
