# shellcheck shell=bash
# card.sh - the system on the SD card that deploy.sh is tried on: BusyBox and
# Dropbear, nothing else. Sourced.
#
#   make_root DIR INIT   INIT is "busybox" (BusyBox init with an inittab) or
#                        "script" (a hand-made init that runs /etc/init.d/rcS)
#   ROOT_PASSWORD        root's password there; $RUN/key is root's SSH key

ROOT_PASSWORD=pi3a-secret

make_root() { # DIR INIT
    local root=$1 f
    mkdir -p "$root"/{bin,sbin,dev,etc/init.d,etc/dropbear,lib,proc,root/.ssh,run,sys,tmp,usr/bin,usr/sbin,usr/lib}
    install -m 755 "$BUSYBOX" "$root/bin/busybox"
    ln -s busybox "$root/bin/sh"
    install -m 755 "$HERE/guest/card/rcS" "$root/etc/init.d/rcS"
    install -m 644 "$HERE/guest/console.sh" "$root/etc/console.sh"
    case $2 in
        busybox)
            ln -s ../bin/busybox "$root/sbin/init"
            install -m 644 "$HERE/guest/card/inittab" "$root/etc/inittab"
            ;;
        script) install -m 755 "$HERE/guest/card/init.sh" "$root/sbin/init" ;;
    esac
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    printf 'root:%s:19000:0:99999:7:::\n' "$(openssl passwd -6 "$ROOT_PASSWORD")" >"$root/etc/shadow"
    chmod 600 "$root/etc/shadow"
    printf '/bin/sh\n' >"$root/etc/shells"
    # Dropbear and its libraries, where its loader looks for them.
    install -m 755 "$DROPBEAR_ROOT/usr/sbin/dropbear" "$root/usr/sbin/dropbear"
    mkdir -p "$root/usr/lib/aarch64-linux-gnu"
    for f in ld-linux-aarch64.so.1 libc.so.6 libcrypt.so.1 libgmp.so.10 libtomcrypt.so.1 libtommath.so.1 libz.so.1; do
        cp -L "$(find "$DROPBEAR_ROOT/lib" "$DROPBEAR_ROOT/usr/lib" -name "$f" | head -n 1)" "$root/usr/lib/aarch64-linux-gnu/$f"
    done
    ln -s ../usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1 "$root/lib/ld-linux-aarch64.so.1"
    ln -s ../usr/lib/aarch64-linux-gnu "$root/lib/aarch64-linux-gnu"
    cp "$RUN/key.pub" "$root/root/.ssh/authorized_keys"
    chmod 700 "$root/root" "$root/root/.ssh"
    chmod 600 "$root/root/.ssh/authorized_keys"
}
