# shellcheck shell=bash
# The SD card's age, and the errors that ext4 has counted on its first partition.

guest_card() { guest 'cd /sys/fs/ext4/mmcblk0p1 && cat errors_count first_error_time last_error_time' | tr '\n' ' ' | grep '^2 '; }

check_card() {
    local count first last made age day=86400
    # The first is the one of the guest's kernel, in UTC: a month and a year.
    made=$(date -ud "$(guest 'cat /sys/block/mmcblk0/device/date' | sed 's|^\(..\)/\(....\)$|\2-\1-01|')" +%s) || made=
    scrape
    age=$(sample pi_storage_age_seconds 'device="mmcblk0"')
    if [ -n "$made" ] && near "$(sample pi_storage_manufactured_seconds 'device="mmcblk0"')" "$made" 0 &&
        near "$age" $((($(guest 'date +%s') - made) / day * day)) $day; then
        pass "SD card's age" "$((${age%.*} / day)) days"
    else
        fail "SD card's age" "${age:-missing} s since $(sample pi_storage_manufactured_seconds), made at ${made:-?}"
    fi

    # shellcheck disable=SC2046  # three numbers
    set -- $(guest_card)
    count=$(sample pi_storage_errors_total 'device="mmcblk0p1"')
    first=$(sample pi_storage_first_error_seconds 'device="mmcblk0p1"')
    last=$(sample pi_storage_last_error_seconds 'device="mmcblk0p1"')
    if [ "$count" = 2 ] && near "$first" "$2" 0 && near "$last" "$3" 0 && [ "$2" -lt "$3" ]; then
        pass "errors of ext4" "$count on mmcblk0p1, $((last - first)) s apart"
    else
        fail "errors of ext4" "${count:-missing} from ${first:-missing} to ${last:-missing}; the kernel says $*"
    fi
    count=$(sample pi_storage_errors_total 'device="mmcblk0p2"')
    if [ "$count" = 0 ] && ! sample pi_storage_first_error_seconds 'device="mmcblk0p2"' >/dev/null; then
        pass "a filesystem without errors" "mmcblk0p2"
    else
        fail "a filesystem without errors" "mmcblk0p2 has ${count:-missing}"
    fi
    if wait_event filesystem_error '^The filesystem on mmcblk0p1 has an error$'; then pass "error of ext4 in events" "$EVENT"; else fail "error of ext4 in events" "$EVENT"; fi
}
