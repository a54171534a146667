# shellcheck shell=bash
# CPU frequency, as cpufreq's policy0 has it (the device tree offers 600 and 1400 MHz).

guest_cpufreq() { guest 'cat /sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq' | grep '^1400000$'; }

check_cpufreq() {
    local max now
    max=$(sample pi_cpu_frequency_max_hertz 'cpu="cpu0"')
    now=$(sample pi_cpu_frequency_hertz 'cpu="cpu0"')
    if near "$max" "$(($(guest_cpufreq) * 1000))" 0 && between 1 "$now" 1400000000; then
        pass "CPU frequency" "$now Hz, at most $max"
    else
        fail "CPU frequency" "${now:-missing} Hz, at most ${max:-missing}; policy0 says $(guest_cpufreq) kHz"
    fi
}
