# shellcheck shell=bash
# cache.sh - what the emulated Pi needs from Debian, fetched once and kept. Sourced.
#
#   cache_fill           makes sure that all is there; sets the names below
#   CACHE                ${XDG_CACHE_HOME:-$HOME/.cache}/pi-monitor/pi3a
#   KVER                 release of the kernel, for example 6.1.0-40-arm64
#   KERNEL DTB BUSYBOX   the kernel image, the Pi 3A+ device tree, static BusyBox
#   DROPBEAR_ROOT        a tree with Dropbear and the libraries that it needs
#   TOOLS_ROOT            a tree with iw, hostapd, adjtimex and the libraries that they need
#   MODULE_ROOT          a tree with lib/modules/$KVER
#
# The packages come through a private apt state: the host's architectures, apt
# sources and dpkg database are neither read nor changed, and apt checks the
# archive's signatures as usual. No root rights are needed.
#
#   DEBIAN_SUITE             default bookworm
#   DEBIAN_MIRROR            default: the mirror in this host's apt sources
#   DEBIAN_SECURITY_MIRROR   likewise

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/pi-monitor/pi3a
DEBIAN_SUITE=${DEBIAN_SUITE:-bookworm}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The first mirror of LABEL that this host's own apt knows; suites share mirrors.
apt_mirror() { # LABEL
    # shellcheck disable=SC2016  # $(LABEL) is apt's notation, not the shell's
    apt-get indextargets --format '$(LABEL) $(SITE)' 2>/dev/null | sed -n "s/^$1 //p" | head -n 1
}

cache_apt() { # PROGRAM ARGUMENTS: apt-get or apt-cache on the private state
    local program=$1
    shift
    timeout 900 "$program" -q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 \
        -o Dir::State="$CACHE/apt" -o Dir::State::status="$CACHE/apt/status" \
        -o Dir::State::Lists="$CACHE/apt/lists" -o Dir::Cache="$CACHE/apt" \
        -o Dir::Etc::sourcelist="$CACHE/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::Etc::trusted=/dev/null -o Dir::Etc::trustedparts=/dev/null \
        -o APT::Sandbox::User="$(id -un)" -o APT::Install-Recommends=0 \
        -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::http::Timeout=30 "$@"
}

cache_download() {
    local mirror security suite kernel_package package
    mirror=${DEBIAN_MIRROR:-$(apt_mirror Debian)}
    security=${DEBIAN_SECURITY_MIRROR:-$(apt_mirror Debian-Security)}
    if [ -z "$mirror" ]; then
        note "no Debian mirror in this host's apt sources: set DEBIAN_MIRROR to the URL of one"
        return 1
    fi
    mkdir -p "$CACHE/apt/lists/partial" "$CACHE/apt/archives/partial"
    : >"$CACHE/apt/status"
    {
        for suite in "$DEBIAN_SUITE" "$DEBIAN_SUITE-updates"; do
            echo "deb [signed-by=$KEYRING] $mirror $suite main"
        done
        [ -z "$security" ] || echo "deb [signed-by=$KEYRING] $security $DEBIAN_SUITE-security main"
    } >"$CACHE/apt/sources.list"
    note "fetching Debian's arm64 package lists"
    cache_apt apt-get -o APT::Update::Error-Mode=any update >&2 || return 1
    kernel_package=$(cache_apt apt-cache depends linux-image-arm64 |
        sed -n 's/^ *Depends: *\(linux-image-[0-9].*-arm64\)$/\1/p' | head -n 1)
    if [ -z "$kernel_package" ]; then
        note "$DEBIAN_SUITE has no linux-image-arm64"
        return 1
    fi
    note "fetching $kernel_package, busybox-static, dropbear-bin, iw, hostapd and adjtimex for arm64 (about 80 MB)"
    rm -rf "$CACHE/ready" "$CACHE/kernel" "$CACHE/busybox" "$CACHE/dropbear" "$CACHE/tools" "$CACHE/debs"
    mkdir -p "$CACHE/debs" "$CACHE/dropbear" "$CACHE/tools"
    (cd "$CACHE/debs" && cache_apt apt-get download "$kernel_package:arm64" busybox-static:arm64) >&2 || return 1
    # An empty dpkg status makes apt fetch them with everything below them.
    cache_apt apt-get -y -o Dir::Cache::Archives="$CACHE/debs" -o Debug::NoLocking=1 \
        --download-only install dropbear-bin:arm64 iw:arm64 hostapd:arm64 adjtimex:arm64 >&2 || return 1
    dpkg-deb -x "$CACHE"/debs/linux-image-*.deb "$CACHE/kernel" || return 1
    dpkg-deb -x "$CACHE"/debs/busybox-static*.deb "$CACHE/busybox" || return 1
    for package in dropbear-bin libc6 libcrypt1 libgmp10 libtomcrypt1 libtommath1 zlib1g; do
        dpkg-deb -x "$CACHE/debs/$package"_*.deb "$CACHE/dropbear" || return 1
    done
    for package in iw hostapd adjtimex libc6 libnl-3-200 libnl-genl-3-200 libnl-route-3-200 libssl3; do
        dpkg-deb -x "$CACHE/debs/$package"_*.deb "$CACHE/tools" || return 1
    done
    depmod -b "$CACHE/kernel" "${kernel_package#linux-image-}" || return 1
    rm -rf "$CACHE/debs"
    echo "${kernel_package#linux-image-}" >"$CACHE/ready"
}

# A cache of an older version of this file has no tools.
cache_complete() { [ -f "$CACHE/ready" ] && [ -x "$CACHE/tools/sbin/adjtimex" ]; }

cache_fill() {
    local f
    mkdir -p "$CACHE"
    if ! cache_complete || [ "${REFRESH:-0}" = 1 ]; then
        exec 8>"$CACHE/lock" # several runs may share one cache
        flock 8
        if ! cache_complete || [ "${REFRESH:-0}" = 1 ]; then
            cache_download || {
                note "could not fetch what the emulated Pi needs into $CACHE"
                return 1
            }
        fi
        exec 8>&-
    fi
    KVER=$(cat "$CACHE/ready")
    # shellcheck disable=SC2034  # for the scripts that source this one
    {
        MODULE_ROOT=$CACHE/kernel
        KERNEL=$CACHE/kernel/boot/vmlinuz-$KVER
        DTB=$CACHE/kernel/usr/lib/linux-image-$KVER/broadcom/bcm2837-rpi-3-a-plus.dtb
        BUSYBOX=$CACHE/busybox/bin/busybox
        DROPBEAR_ROOT=$CACHE/dropbear
        TOOLS_ROOT=$CACHE/tools
    }
    for f in "$KERNEL" "$DTB" "$BUSYBOX" "$DROPBEAR_ROOT/usr/sbin/dropbear" "$TOOLS_ROOT/sbin/adjtimex"; do
        if [ ! -f "$f" ]; then
            note "the cache lacks $f; remove $CACHE and run again"
            return 1
        fi
    done
}
