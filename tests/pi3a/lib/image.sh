# shellcheck shell=bash
# image.sh - makes what the emulated Pi boots from. Sourced, after cache.sh.
#
#   make_initramfs FILE [BINARY]   BusyBox, modules, guest/init; BINARY as /opt/pi-monitor
#   make_card FILE [ROOT]          SD card: p1 ext4, empty; p2 ext4 holding ROOT
#   make_tools ROOT                what the checks need on the card of the agent's guest
#   make_device_tree FILE          the Pi 3A+ as its boot loader hands it over

# phy-generic              the USB controller's probe waits for it
# dwc2, cdc_ether          USB host controller and QEMU's usb-net: usb0. (Its first
#                          configuration is RNDIS, its second CDC Ethernet; Linux takes the latter.)
# bcm2835                  SD host "sdhost", where QEMU's card is: mmcblk0
# bcm2835_thermal          the SoC's temperature
# cpufreq-dt               a CPU frequency (see make_device_tree)
# bcm2835_wdt              watchdog; also what makes reboot and poweroff work
GUEST_MODULES="phy-generic dwc2 cdc_ether bcm2835 bcm2835_thermal cpufreq-dt bcm2835_wdt ext4"

# Copies modules with what they depend on to a directory, and names the files in loading order.
copy_modules() { # DIRECTORY MODULE...
    local directory=$1 module f
    shift
    for module in "$@"; do
        # Lines are "insmod PATH" in loading order, or "builtin NAME".
        modprobe -d "$MODULE_ROOT" -S "$KVER" --show-depends "$module"
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r f; do
        cp "$f" "$directory/"
        basename "$f"
    done
}

# What the agent's guest has on its card, since a large initramfs takes long to unpack: iw, hostapd and adjtimex with the libraries
# that they load, and the modules of Wi-Fi.
make_tools() { # ROOT
    local name f
    mkdir -p "$1/tools/bin" "$1/tools/lib" "$1/tools/modules"
    cp "$TOOLS_ROOT"/usr/sbin/hostapd* "$TOOLS_ROOT/sbin/iw" "$TOOLS_ROOT/sbin/adjtimex" "$1/tools/bin/"
    for name in ld-linux-aarch64 libc libm libnl-3 libnl-genl-3 libnl-route-3 libssl libcrypto; do
        for f in "$TOOLS_ROOT/lib/aarch64-linux-gnu/$name".so.* "$TOOLS_ROOT/usr/lib/aarch64-linux-gnu/$name".so.*; do
            [ ! -e "$f" ] || cp -L "$f" "$1/tools/lib/"
        done
    done
    copy_modules "$1/tools/modules" mac80211_hwsim >"$1/tools/modules/order"
}

make_initramfs() { # FILE [BINARY]
    local root
    root=$(mktemp -d "$RUN/initramfs.XXXXXX")
    mkdir -p "$root"/{bin,boot,card,data,dev,etc,lib/modules,opt,proc,root,run,sys,tmp}
    install -m 755 "$BUSYBOX" "$root/bin/busybox"
    install -m 755 "$HERE/guest/init" "$root/init"
    cp "$HERE"/guest/{agent,answers,console}.sh "$root/"
    # shellcheck disable=SC2086  # one word per module
    copy_modules "$root/lib/modules" $GUEST_MODULES >"$root/lib/modules/order"
    [ $# -lt 2 ] || install -m 755 "$2" "$root/opt/pi-monitor"
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\n' >"$root/etc/group"
    (cd "$root" && find . | sort | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$1"
    rm -rf "$root"
}

make_card() { # FILE [ROOT]
    truncate -s 64M "$1" # QEMU wants a power of two
    printf 'label: dos\nstart=2048, size=32768, type=c\nstart=34816, type=83\n' | sfdisk -q "$1" >&2
    # Blocks of 4 KiB, as real cards have: a small filesystem gets less by default.
    mke2fs -q -F -t ext4 -b 4096 -E offset=$((2048 * 512)) "$1" 16m >&2
    # 47 MB is what is left of the 64 behind p1; ^metadata_csum_seed etc. are no
    # concern: the guest's kernel is as new as this host's mke2fs or newer.
    mke2fs -q -F -t ext4 ${2:+-d "$2"} -E offset=$((34816 * 512)),root_owner=0:0 "$1" 47m >&2
}

# Debian's device tree lacks what the Pi's boot loader fills in. Model and
# revision are those of a real 3A+, the serial number is made up, the rng seed
# spares the guest 10 s of waiting for entropy. The operating points let
# cpufreq-dt offer 600 and 1400 MHz; QEMU has no ARM clock, so another one
# (22, ISP) stands in.
make_device_tree() { # FILE
    local cpu
    {
        dtc -q -I dtb -O dts "$DTB"
        cat <<DTS
/ {
    model = "Raspberry Pi 3 Model A Plus Rev 1.0";
    serial-number = "00000000deadbeef";
    system { linux,revision = <0x009020e0>; linux,serial = <0x0 0xdeadbeef>; };
    chosen { rng-seed = [$(od -An -v -tx1 -N64 /dev/urandom | tr -d '\n')]; };
    cpu_opp: opp-table-cpu {
        compatible = "operating-points-v2";
        opp-shared;
        opp-600000000 { opp-hz = /bits/ 64 <600000000>; };
        opp-1400000000 { opp-hz = /bits/ 64 <1400000000>; };
    };
};
DTS
        for cpu in 0 1 2 3; do
            echo "&{/cpus/cpu@$cpu} { clocks = <&{/soc/cprman@7e101000} 22>; operating-points-v2 = <&cpu_opp>; };"
        done
    } | dtc -q -I dts -O dtb -o "$1" -
}
