# shellcheck shell=bash
#
# programs.sh - the programs that receive what the agent sends. Sourced, after scripts/lib/toolchain.sh.
#
#   program_here NAME   finds prometheus, victoria-metrics, mosquitto or prometheus-alertmanager
#                       in PATH, or unpacks its Debian package without installing it and appends
#                       its folder to PATH; status 1, with the reason in INSTALL_ERROR, if it
#                       is unavailable

program_here() { # NAME
    if [ "$1" = mosquitto ]; then mosquitto_here; else unpacked_package "$1" "$1"; fi
}

# mosquitto's package brings a service, and its libraries do not.
mosquitto_here() {
    local libraries
    need_commands "tests" mosquitto_sub:mosquitto-clients || return 1
    unpacked_package mosquitto mosquitto || return 1
    if ldd "$(command -v mosquitto)" | grep -q 'not found'; then
        mapfile -t libraries < <(apt-cache depends mosquitto | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p')
        apt_install "mosquitto" "${libraries[@]}" || return 1
    fi
}
