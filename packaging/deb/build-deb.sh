#!/bin/bash
#
# build-deb.sh - makes a Debian package of each binary, with dpkg-deb.
#
#   packaging/deb/build-deb.sh [-o DIR] BINARY...
#
#   BINARY     static pi-monitor from scripts/build.sh; the package's architecture
#              comes from its ELF header: aarch64 is arm64, x86-64 amd64, riscv64
#              riscv64, 32-bit ARM armhf. Raspberry Pi OS calls ARMv6 armhf too:
#              take the armv6 binary for a package that runs on every Pi.
#   -o DIR     where the packages go, default dist
#   -h, --help this text
#
# Prints the name of each package. The version is Cargo.toml's, or DEB_VERSION.
# The same input makes the same bytes: times are those of the last commit, or
# SOURCE_DATE_EPOCH. DEB_MAINTAINER: the Maintainer field. DEB_NOTICES: a file with
# the notices of third parties; without it, scripts/lib/notices.py makes them
# (python3, cargo).
#
# Exit status: 0 all made, 1 something failed, 2 wrong usage.
set -euo pipefail
export LC_ALL=C

HERE=$(cd "$(dirname "$0")" && pwd)
REPOSITORY=$(cd "$HERE/../.." && pwd)
PACKAGING=$REPOSITORY/packaging
# shellcheck source=scripts/lib/elf.sh
. "$REPOSITORY/scripts/lib/elf.sh"

usage() { sed -n '3,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "$0"; }
die() {
    printf 'build-deb.sh: error: %s\n' "$2" >&2
    exit "$1"
}

OUT=$REPOSITORY/dist BINARIES=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        -o)
            [ -n "${2:-}" ] || die 2 "-o needs a directory"
            OUT=$2
            shift
            ;;
        -*) die 2 "unknown option '$1'; see --help" ;;
        *) BINARIES+=("$1") ;;
    esac
    shift
done
[ ${#BINARIES[@]} -gt 0 ] || die 2 "no binary given; see --help"
command -v dpkg-deb >/dev/null || die 1 "there is no dpkg-deb here (Debian package dpkg)"

VERSION=${DEB_VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$REPOSITORY/Cargo.toml" | head -n 1)}
[ -n "$VERSION" ] || die 1 "no version in $REPOSITORY/Cargo.toml"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$REPOSITORY" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
MAINTAINER=${DEB_MAINTAINER:-The Pi-Monitor authors <maintainers@pi-monitor.invalid>}

# Prints the CPU of a binary as Debian names it.
architecture() { # FILE
    local cpu
    cpu=$(elf_cpu "$1") || return 1
    case $cpu in
        aarch64) echo arm64 ;;
        arm) echo armhf ;;
        x86_64) echo amd64 ;;
        *) echo "$cpu" ;;
    esac
}

notices() { # BINARY
    local tls=''
    if [ -n "${DEB_NOTICES:-}" ]; then
        cat "$DEB_NOTICES"
    else
        if grep -q rustls "$1"; then tls=--tls; fi
        "$REPOSITORY/scripts/lib/notices.py" text $tls
    fi
}

TEMP=$(mktemp -d "${TMPDIR:-/tmp}/pi-monitor-deb.XXXXXX")
trap 'rm -rf "$TEMP"' EXIT
mkdir -p "$OUT"

for binary in "${BINARIES[@]}"; do
    [ -f "$binary" ] || die 1 "no such file: $binary"
    arch=$(architecture "$binary") || die 1 "$binary: no Linux program for a CPU that is known here"
    tree=$TEMP/$arch
    rm -rf "$tree"
    mkdir -p "$tree/DEBIAN" "$tree/usr/share/doc/pi-monitor" "$tree/usr/lib/systemd/system" "$tree/usr/lib/pi-monitor" \
        "$tree/usr/share/man/man8" "$tree/usr/share/lintian/overrides"
    install -D -m 755 "$binary" "$tree/usr/bin/pi-monitor"
    install -m 644 "$PACKAGING/systemd/pi-monitor.service" "$tree/usr/lib/systemd/system/pi-monitor.service"
    install -m 755 "$PACKAGING/service/pi-monitor-service" "$tree/usr/lib/pi-monitor/pi-monitor-service"
    install -m 755 "$REPOSITORY/scripts/lib/deploy-remote.sh" "$tree/usr/lib/pi-monitor/deploy-remote.sh"
    install -m 644 "$PACKAGING/systemd/see-more.conf" "$tree/usr/lib/pi-monitor/see-more.conf"
    install -D -m 644 "$PACKAGING/default/pi-monitor" "$tree/usr/share/pi-monitor/default"
    install -m 755 "$HERE/init.d" "$tree/usr/lib/pi-monitor/init.d"
    install -m 644 "$HERE/lintian-overrides" "$tree/usr/share/lintian/overrides/pi-monitor"
    awk -v version="$VERSION" -v date="$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)" -f "$HERE/manual.awk" "$REPOSITORY/docs/flags.md" |
        gzip -9n >"$tree/usr/share/man/man8/pi-monitor.8.gz"
    notices "$binary" >"$TEMP/notices" || die 1 "scripts/lib/notices.py made no notices; DEB_NOTICES names a file that has them"
    gzip -9n <"$TEMP/notices" >"$tree/usr/share/doc/pi-monitor/THIRD-PARTY.gz"
    {
        echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
        echo 'Upstream-Name: Pi-Monitor'
        echo
        echo 'Files: *'
        sed -n 's/^\(Copyright .*\)$/\1/p' "$REPOSITORY/LICENSE" | sed 's/^Copyright (c) /Copyright: /'
        echo 'License: Expat'
        sed '1,/^Copyright/d;/./,$!d;s/^$/./;s/^/ /' "$REPOSITORY/LICENSE" | sed '1{/^ \.$/d;}'
    } >"$tree/usr/share/doc/pi-monitor/copyright"
    {
        printf 'pi-monitor (%s) stable; urgency=medium\n\n' "$VERSION"
        printf '  * Version %s; CHANGELOG.md in the source tells what is new.\n\n' "$VERSION"
        printf ' -- %s  %s\n' "$MAINTAINER" "$(date -u -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')"
    } | gzip -9n >"$tree/usr/share/doc/pi-monitor/changelog.gz"
    for script in postinst prerm postrm; do
        install -m 755 "$HERE/$script" "$tree/DEBIAN/$script"
    done
    sed -e "s/@VERSION@/$VERSION/" -e "s/@ARCHITECTURE@/$arch/" -e "s/@MAINTAINER@/$MAINTAINER/" \
        -e "s/@SIZE@/$(du -k --apparent-size -s "$tree/usr" | cut -f1)/" "$HERE/control.in" >"$tree/DEBIAN/control"
    (cd "$tree" && find usr -type f | sort | xargs md5sum) >"$tree/DEBIAN/md5sums"
    find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    chmod -R u=rwX,go=rX "$tree"
    # xz, which every dpkg can read; Debian 11 has no zstd.
    dpkg-deb --root-owner-group -Zxz -b "$tree" "$OUT/pi-monitor_${VERSION}_$arch.deb" >/dev/null
    echo "$OUT/pi-monitor_${VERSION}_$arch.deb"
done
