# shellcheck shell=bash
# The SoC's temperature, as thermal_zone0 has it (QEMU's sensor says 25 degrees).

guest_thermal() { guest 'cat /sys/class/thermal/thermal_zone0/temp' | grep '^[0-9][0-9]*$'; }

check_thermal() {
    local here there
    there=$(guest_thermal)
    here=$(sample pi_temperature_celsius)
    if near "$here" "$(awk -v m="$there" 'BEGIN { print m / 1000 }')" 1; then
        pass "temperature" "$here degrees, thermal_zone0 $there"
    else
        fail "temperature" "${here:-missing}, thermal_zone0 $there"
    fi
}
