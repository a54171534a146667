# shellcheck shell=bash
# A Debian package of each binary: fields, contents, the same bytes twice.

# Nothing in /etc: dpkg would ask about a file that is there already.
DEB_CONTENTS='-rwxr-xr-x ./usr/bin/pi-monitor;-rwxr-xr-x ./usr/lib/pi-monitor/deploy-remote.sh;-rwxr-xr-x ./usr/lib/pi-monitor/init.d;-rwxr-xr-x ./usr/lib/pi-monitor/pi-monitor-service;-rw-r--r-- ./usr/lib/pi-monitor/see-more.conf;-rw-r--r-- ./usr/lib/systemd/system/pi-monitor.service;-rw-r--r-- ./usr/share/doc/pi-monitor/THIRD-PARTY.gz;-rw-r--r-- ./usr/share/doc/pi-monitor/changelog.gz;-rw-r--r-- ./usr/share/doc/pi-monitor/copyright;-rw-r--r-- ./usr/share/lintian/overrides/pi-monitor;-rw-r--r-- ./usr/share/man/man8/pi-monitor.8.gz;-rw-r--r-- ./usr/share/pi-monitor/default;'

group_deb() {
    local binary deb fields want words version
    if ! command -v dpkg-deb >/dev/null; then
        skip "deb" "there is no dpkg-deb (Debian package dpkg)"
        return
    fi
    for binary in "${BINARIES[@]}"; do
        case $(elf_cpu "$binary") in aarch64) want=arm64 ;; arm) want=armhf ;; riscv64) want=riscv64 ;; x86_64) want=amd64 ;; esac
        deb=$("$HERE/deb/build-deb.sh" -o "$RUN/deb" "$binary") || { fail "deb of $binary" "build-deb.sh failed"; continue; }
        fields=$(dpkg-deb -f "$deb" Package Architecture Version Depends | sort | tr '\n' ' ')
        words=$(dpkg-deb -c "$deb" | awk '$2 != "root/root" { print "owner of " $6 } $6 !~ /\/$/ { print $1 " " $6 }' | sort -k 2 | tr '\n' ';')
        cp "$deb" "$RUN/first.deb"
        "$HERE/deb/build-deb.sh" -o "$RUN/deb" "$binary" >/dev/null
        version=${deb##*/pi-monitor_}
        if [ "$fields" != "Architecture: $want Package: pi-monitor Version: ${version%%_*} " ]; then
            fail "deb of $(basename "$binary")" "fields: $fields"
        elif [ "$words" != "$DEB_CONTENTS" ]; then
            fail "deb of $(basename "$binary")" "contents: $words"
        elif ! cmp -s "$deb" "$RUN/first.deb"; then
            fail "deb of $(basename "$binary")" "a second build has other bytes"
        elif ! dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/bin/pi-monitor | cmp -s - "$binary"; then
            fail "deb of $(basename "$binary")" "the program in it is another one"
        else
            pass "deb of $(basename "$binary")" "$(basename "$deb"), $(wc -c <"$deb") bytes, the same twice"
        fi
        if command -v lintian >/dev/null; then
            if words=$(lintian --fail-on error,warning --allow-root "$deb" 2>&1); then
                pass "lintian $(basename "$deb")" "nothing to say that is not overridden, with a reason"
            else
                fail "lintian $(basename "$deb")" "$(printf '%s' "$words" | grep '^[EW]:' | head -n 3 | tr '\n' '|')"
            fi
        else
            skip "lintian $(basename "$deb")" "there is no lintian"
        fi
    done
}
