#!/usr/bin/env bash
#
# build.sh - builds static pi-monitor binaries for small Linux computers, verifies
# them and prints their sizes.
#
#   scripts/build.sh [options] [TARGET...]
#
#   TARGET   aarch64 (default), armv7, armv6 (Pi Zero and 1), riscv64, x86_64, or all.
#            Each binary is written to dist/pi-monitor-TARGET.
#
# Options
#   --way auto|rustup|zig   how to build (default auto: what the machine has)
#       rustup  the target's standard library and C library from rustup, linked by
#               rustup's rust-lld
#       zig     any Rust with its source code (Debian: rustc-web, cargo-web,
#               rust-web-src); C library and linker from PyPI's ziglang
#   --std auto|build|prebuilt   build the standard library for size (default where its
#               source can be had), or take rustup's, which is larger
#   --measure   builds aarch64 with one option changed after another and writes the
#               tables of sizes in docs/building.md (about 20 minutes)
#   --tls       with TLS (docs/security.md), as dist/pi-monitor-TARGET-tls; it has C code,
#               which PyPI's ziglang compiles
#   --map       prints where the bytes of the first TARGET are: by section, by crate, and
#               in the largest functions
#   --where ADDRESS   names the function at an ADDRESS, such as +0x1a2b4, that a crash report
#               of the first TARGET has; the checkout and Rust must be those of its release
#   --order     runs x86_64 and aarch64 binaries in QEMU on this machine's files and those of all
#               boards, and writes the order of functions that the linker follows
#               (scripts/lib/order.txt; about ten minutes)
#   -h, --help  this text
#
# Environment: PI_RUST, PI_INSTALL, XDG_CACHE_HOME (see scripts/lib/toolchain.sh);
#   CARGO_TARGET_DIR; ZIGLANG, the PyPI requirement (default: the version tried last).
#
# Exit status: 0 all built, verified, within the budget; 1 a build or a check failed;
#   2 bad usage; 3 this machine has no way to build for a target, all others are fine.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/lib/toolchain.sh"

BUDGET=741000           # bytes, for aarch64
TLS_BUDGET=400000       # bytes that --tls may add to it
# Not a newer one without a look at the agent's memory: zig 0.17 has its own malloc in
# place of musl's, whose calloc writes to pages that are zero already (RSS +740 kB).
ZIGLANG=${ZIGLANG:-ziglang==0.15.2}
ALL_TARGETS="aarch64 armv7 armv6 riscv64 x86_64"

WAY=auto STD=auto ACTION=build TLS=no ADDRESS='' TARGETS=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --way | --std)
        [ $# -gt 1 ] || die 2 "$1 needs a value"
        case "$1 $2" in
        "--way auto" | "--way rustup" | "--way zig") WAY=$2 ;;
        "--std auto" | "--std build" | "--std prebuilt") STD=$2 ;;
        *) die 2 "$1 $2: not one of its values (see --help)" ;;
        esac
        shift ;;
    --measure) ACTION=measure ;;
    --map) ACTION=map ;;
    --order) ACTION=order ;;
    --where)
        [[ ${2-} =~ ^\+?0x[0-9a-f]+$ ]] || die 2 "--where needs an address such as +0x1a2b4"
        ACTION=where ADDRESS=${2#+}
        shift ;;
    --tls) TLS=yes ;;
    -*) die 2 "unknown option $1 (see --help)" ;;
    all) for t in $ALL_TARGETS; do TARGETS+=("$t"); done ;;
    *)
        case " $ALL_TARGETS " in *" $1 "*) TARGETS+=("$1") ;; *) die 2 "unknown target $1; known: $ALL_TARGETS all" ;; esac ;;
    esac
    shift
done
[ ${#TARGETS[@]} -gt 0 ] || TARGETS=(aarch64)
[ "$WAY $STD" != "zig prebuilt" ] || die 2 "--way zig always builds the standard library"
cd "$REPO"

# describe TARGET: what a target is called, and what its ELF file must say.
# C_FLAGS are for the C code of --tls: OPENSSL_SMALL is what ring takes itself on 32-bit ARM and RISC-V, elliptic curves without
# large tables.
# ARM_ARCH is Tag_CPU_arch of the ARM attributes: 10 is v7; 6 and 7 are v6 and v6KZ.
describe() {
    ARM_ARCH=0 ARM_FLOAT=- ZIG_CPU='' FEATURES='' C_FLAGS=''
    case $1 in
    aarch64) TRIPLE=aarch64-unknown-linux-musl ZIG_TRIPLE=aarch64-linux-musl CLASS=64 MACHINE=183
        # Atomics in place: asking at a start whether the processor has better ones takes more room than they do.
        FEATURES=,-outline-atomics C_FLAGS=-DOPENSSL_SMALL ;;
    armv7) TRIPLE=armv7-unknown-linux-musleabihf ZIG_TRIPLE=arm-linux-musleabihf ZIG_CPU=generic+v7a+vfp3d16
        # Every ARMv7 has the Thumb-2 instructions, which take a quarter less room.
        FEATURES=,+thumb-mode
        CLASS=32 MACHINE=40 ARM_ARCH=10 ARM_FLOAT=hard ;;
    armv6) TRIPLE=arm-unknown-linux-musleabihf ZIG_TRIPLE=arm-linux-musleabihf ZIG_CPU=arm1176jzf_s
        CLASS=32 MACHINE=40 ARM_ARCH="6 7" ARM_FLOAT=hard ;;
    riscv64) TRIPLE=riscv64gc-unknown-linux-musl ZIG_TRIPLE=riscv64-linux-musl CLASS=64 MACHINE=243 ;;
    x86_64) TRIPLE=x86_64-unknown-linux-musl ZIG_TRIPLE=x86_64-linux-musl CLASS=64 MACHINE=62 ;;
    esac
}

# ---------------------------------------------------------------------------
# The two ways.  Both end in the same link: LLD, called directly with the C
# library's own start file, so that one recipe decides what the binary is like.
# A way sets LINKER, CRT (a folder with rcrt1.o, libc.a, libunwind.a),
# CRT_LIBS and STD_NOW; WAY_ERROR says why it does not work.
# ---------------------------------------------------------------------------
WAY_ERROR=

way_rustup() {
    local lib
    [ "$RUST_KIND" = rustup ] || { WAY_ERROR="$RUSTC is not rustup's"; return 1; }
    SYSROOT=$("$RUSTC" --print sysroot)
    lib=$SYSROOT/lib/rustlib
    LINKER=$(echo "$lib"/*/bin/rust-lld)
    [ -x "$LINKER" ] || { WAY_ERROR="$SYSROOT has no rust-lld"; return 1; }
    CRT=$lib/$TRIPLE/lib/self-contained
    if [ ! -f "$CRT/libc.a" ]; then
        [ "$PI_INSTALL" = yes ] || { WAY_ERROR="target $TRIPLE is not installed (PI_INSTALL=no)"; return 1; }
        say "adding Rust target $TRIPLE (rustup target add)"
        rustup_add target "$TRIPLE" || { WAY_ERROR=$INSTALL_ERROR; return 1; }
        [ -f "$CRT/libc.a" ] || { WAY_ERROR="rustup's target $TRIPLE has no C library"; return 1; }
    fi
    CRT_LIBS="-lc"
    STD_NOW=build
    case $STD in
    prebuilt) STD_NOW=prebuilt ;;
    build) need_component rust-src || { WAY_ERROR=$INSTALL_ERROR; return 1; } ;;
    auto) need_component rust-src || { say "$INSTALL_ERROR: taking rustup's standard library, which makes a larger binary"; STD_NOW=prebuilt; } ;;
    esac
}

way_zig() {
    need_component rust-src || {
        # The toolchain in use has no source; the distribution's may.
        [ "$RUST_BIN" != /usr/bin ] || { WAY_ERROR=$INSTALL_ERROR; return 1; }
        say "$INSTALL_ERROR: trying the distribution's Rust"
        PI_RUST=debian
        if ! installed_rust && ! rust_from_debian; then WAY_ERROR=$DEBIAN_ERROR; return 1; fi
        need_component rust-src || { WAY_ERROR=$INSTALL_ERROR; return 1; }
    }
    zig_installed && zig_musl || return 1
    STD_NOW=build
}

# PyPI's ziglang in an environment of its own in the cache.
zig_installed() {
    local env=$PI_CACHE/$ZIGLANG python
    ZIG="$env/zig"
    if [ ! -x "$ZIG" ]; then
        [ "$PI_INSTALL" = yes ] || { WAY_ERROR="$ZIGLANG is missing (PI_INSTALL=no)"; return 1; }
        need_commands "the zig linker" python3:python3 || { WAY_ERROR=$INSTALL_ERROR; return 1; }
        # Debian's python3 needs another package before it can make environments.
        python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install "the zig linker" python3-venv ||
            { WAY_ERROR=$INSTALL_ERROR; return 1; }
        say "installing $ZIGLANG from PyPI (about 90 MB) in $env"
        rm -rf "$env"
        mkdir -p "$PI_CACHE"
        if ! { python3 -m venv "$env" && bounded 900 "$env/bin/pip" -q install --no-cache-dir "$ZIGLANG"; } >&2 </dev/null; then
            rm -rf "$env"
            WAY_ERROR="could not install $ZIGLANG from PyPI"
            return 1
        fi
        python=$(echo "$env"/lib/python3*/site-packages/ziglang/zig)
        [ -x "$python" ] || { WAY_ERROR="$ZIGLANG has no program zig"; return 1; }
        # rustc calls its linker with "-flavor gnu" in front; zig's name for it is ld.lld.
        # shellcheck disable=SC2016
        printf '#!/bin/sh\n[ "$1" != -flavor ] || shift 2\nexec "%s" ld.lld "$@"\n' "$python" >"$env/ld.lld"
        chmod 755 "$env/ld.lld"
        ln -s "$python" "$env/zig"
    fi
    LINKER=$env/ld.lld
}

# zig brings musl as source code and compiles it at the first link for a CPU.
# zig_link DIR -pie|-no-pie: links an empty program there and keeps what zig links it with.
zig_link() {
    local f
    printf 'int main(void) { return 0; }\n' >"$1/empty.c"
    if ! (cd "$1" && ZIG_GLOBAL_CACHE_DIR=$PI_CACHE/zig-cache ZIG_LOCAL_CACHE_DIR=$PI_CACHE/zig-cache ZIG_VERBOSE_LINK=1 \
        bounded 900 "$ZIG" cc -target "$ZIG_TRIPLE" ${ZIG_CPU:+-mcpu=$ZIG_CPU} -Os -static "$2" -o empty empty.c -lunwind 2>link.log </dev/null); then
        tail -n 5 "$1/link.log" | cut -c1-300 >&2
        return 1
    fi
    for f in $(tail -n 1 "$1/link.log" | tr ' ' '\n' | grep -E '/(r?crt1\.o|libc\.a|libzigc\.a|libcompiler_rt\.a|libunwind\.a)$'); do
        cp "$f" "$1/"
    done
    rm "$1/empty" "$1/empty.c" "$1/link.log"
}

zig_musl() {
    local f tmp
    CRT=$PI_CACHE/musl/$ZIGLANG-$TRIPLE
    CRT_LIBS="-lc -lzigc -lcompiler_rt"
    [ ! -d "$CRT" ] || return 0
    say "compiling musl for $TRIPLE (zig)"
    mkdir -p "$PI_CACHE/musl" && tmp=$(mktemp -d "$PI_CACHE/musl/.new.XXXXXX")
    WAY_ERROR=''
    if zig_link "$tmp" -pie; then
        for f in rcrt1.o libc.a libzigc.a libcompiler_rt.a libunwind.a; do
            [ -f "$tmp/$f" ] || WAY_ERROR="zig did not link with a file $f"
        done
    else
        WAY_ERROR="zig could not link for $ZIG_TRIPLE"
    fi
    if [ -n "$WAY_ERROR" ]; then
        rm -rf "$tmp"
        return 1
    fi
    if [ -d "$CRT" ]; then rm -rf "$tmp"; else mv "$tmp" "$CRT"; fi     # another run may have been faster
}

# c_compiler: a compiler and an archiver for the C code of --tls, as cargo's build scripts want them.
c_compiler() {
    local dir=$PI_CACHE/$ZIGLANG/$TRIPLE name=${TRIPLE//-/_}
    zig_installed || return 1
    mkdir -p "$dir"
    # They add a --target in Rust's spelling, which zig does not know.
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nfor word; do\n    shift\n    case $word in --target=*) ;; *) set -- "$@" "$word" ;; esac\ndone\nexec "%s" cc -target %s %s "$@"\n' \
        "$ZIG" "$ZIG_TRIPLE" "${ZIG_CPU:+-mcpu=$ZIG_CPU}" >"$dir/cc"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nexec "%s" ar "$@"\n' "$ZIG" >"$dir/ar"
    chmod 755 "$dir/cc" "$dir/ar"
    export "CC_$name=$dir/cc" "AR_$name=$dir/ar" "CFLAGS_$name=-fno-asynchronous-unwind-tables -fomit-frame-pointer${C_FLAGS:+ $C_FLAGS}" ZIG_GLOBAL_CACHE_DIR="$PI_CACHE/zig-cache" ZIG_LOCAL_CACHE_DIR="$PI_CACHE/zig-cache"
}

# The start file of a program at a fixed address, for --measure.
fixed_crt1() {
    local tmp
    [ ! -f "$CRT/crt1.o" ] || return 0
    tmp=$(mktemp -d)
    zig_link "$tmp" -no-pie && cp "$tmp/crt1.o" "$CRT/"
    rm -rf "$tmp"
}

# choose_way TARGET: sets WAY_NOW.  auto prefers what makes small binaries: rustup with
# the standard library's source, zig, then rustup with its ready-made library.
# Status 1 when this machine cannot build for it; WAY_ERROR says why.
choose_way() {
    local errors=''
    describe "$1"
    case $WAY in
    auto | rustup)
        if way_rustup; then
            if [ "$STD_NOW" = build ] || [ "$WAY $STD" != "auto auto" ]; then WAY_NOW=rustup; return; fi
        fi
        errors="rustup: ${WAY_ERROR:-no source of the standard library}" ;;
    esac
    case $WAY in
    auto | zig)
        [ -z "$errors" ] || say "$1: not built with $errors; trying zig"
        WAY_NOW=zig
        if way_zig; then return; fi
        errors="$errors${errors:+; }zig: $WAY_ERROR"
        if [ "$WAY" = auto ] && find_rust && way_rustup; then
            say "$1: no zig ($WAY_ERROR); taking rustup's ready-made standard library"
            WAY_NOW=rustup
            return
        fi ;;
    esac
    WAY_ERROR=$errors
    return 1
}

# ---------------------------------------------------------------------------
# The build.  docs/building.md says what each option is worth.
# ---------------------------------------------------------------------------

# compile OUTPUT [CHANGE...]: builds for the target that choose_way prepared, copies the
# binary to OUTPUT.  A CHANGE alters the recipe, for --measure and --map.
compile() {
    local output=$1 change pie=yes relr=yes icf=yes unwind=no location=no debug=no message=no small=yes outline=yes near=yes frames=no erratum=yes order=yes features='' std=$STD_NOW flags=() args=() dir linker binary crates folder ring spec=$TRIPLE
    shift
    dir=${CARGO_TARGET_DIR:-$REPO/target}/static-$WAY_NOW-$std
    flags+=(-C linker-flavor=ld.lld -C link-self-contained=no
        -C "target-feature=+crt-static$FEATURES" -L "native=$CRT")
    for change in "$@"; do
        case $change in
        pie=*) pie=${change#*=} ;;
        relr=*) relr=${change#*=} ;;
        icf=*) icf=${change#*=} ;;
        unwind=*) unwind=${change#*=} ;;
        location=*) location=${change#*=} ;;
        debug=*) debug=${change#*=} ;;
        message=*) message=${change#*=} ;;
        small=*) small=${change#*=} ;;
        outline=*) outline=${change#*=} ;;
        near=*) near=${change#*=} ;;
        frames=*) frames=${change#*=} ;;
        erratum=*) erratum=${change#*=} ;;
        order=*) order=${change#*=} ;;
        features=*) features=${change#*=} ;;
        std=*) std=${change#*=} ;;
        opt=*) args+=(--config "profile.release.opt-level=${change#*=}") ;;
        profile=*) args+=(--config "profile.release.${change#*=}") ;;
        rust=*) # words for rustc
            # shellcheck disable=SC2206
            flags+=(${change#*=}) ;;
        dir=*) dir=${change#*=} ;;
        esac
    done
    # What every tick and scrape runs lies together, so that fewer pages of the program are in memory (scripts/lib/link.pl).
    if [ "$order" = yes ] && [ -f scripts/lib/order.txt ]; then
        ordering_linker "$dir" || return 1
    else
        linker=$LINKER
    fi
    flags+=(-C "linker=$linker" -C symbol-mangling-version=v0)
    # Static and position-independent: rcrt1.o is musl's start file that relocates the
    # program itself.  -z now and read-only relocations are rustc's default.
    if [ "$pie" = yes ]; then
        flags+=(-C relocation-model=pic -C link-arg=-pie -C link-arg=--no-dynamic-linker -C "link-arg=$CRT/rcrt1.o")
    else
        fixed_crt1
        flags+=(-C relocation-model=static -C "link-arg=$CRT/crt1.o")
    fi
    # Relative relocations packed into bitmaps; musl's start file knows them since 1.2.4.
    if [ "$pie $relr" = "yes yes" ] && musl_knows_relr; then flags+=(-C link-arg=--pack-dyn-relocs=relr); fi
    # Cortex-A53 (Pi 3, Zero 2) may compute a wrong address after some load sequences.
    if [ "$erratum $TRIPLE" = "yes aarch64-unknown-linux-musl" ]; then flags+=(-C link-arg=--fix-cortex-a53-843419); fi
    [ "$icf" = no ] || flags+=(-C link-arg=--icf=all)
    # No index of unwinding tables, which only the C library's own functions have.
    [ "$unwind" = yes ] || flags+=(-C link-arg=--no-eh-frame-hdr)
    # Common sequences of instructions become functions, and fewer functions are copied to where they are called.
    if [ "$outline $TRIPLE" = "yes aarch64-unknown-linux-musl" ]; then
        flags+=(-C llvm-args=--enable-machine-outliner=always -C llvm-args=--machine-outliner-reruns=3
            -C llvm-args=--inline-threshold=5)
        # Small functions save registers with code that they share.
        flags+=(-C llvm-args=--homogeneous-prolog-epilog)
        # Blocks in the order that takes fewest jumps; registers are saved where that takes least.
        flags+=(-C llvm-args=--enable-ext-tsp-block-placement -C llvm-args=--apply-ext-tsp-for-size
            -C llvm-args=--split-spill-mode=size)
        # No reordering once registers are chosen, so that more sequences stay alike: less code, fewer cache misses.
        flags+=(-C llvm-args=--enable-post-misched=false)
    fi
    # One instruction for an address instead of two: everything is less than a megabyte apart.
    if [ "$near $TLS $std $TRIPLE" = "yes no build aarch64-unknown-linux-musl" ]; then flags+=(-C code-model=tiny); fi
    if [ "$frames $std $TRIPLE" = "no build aarch64-unknown-linux-musl" ]; then
        spec=$dir/without-frames/$TRIPLE.json
        without_frame_pointers "$spec" || return 1
        if RUSTC_BOOTSTRAP=1 "$CARGO" -Z help | grep -q json-target-spec; then args+=(-Z json-target-spec); fi
    fi
    # Smallest code, but for what every scrape runs (cfg small in src). On x86_64 it would take half as many instructions again.
    if [ "$small $std" = "yes build" ] && [ "$TRIPLE" != x86_64-unknown-linux-musl ]; then
        args+=(--config 'profile.release.opt-level="z"')
        flags+=(--cfg small)
        # Functions that differ in a constant become one, and blocks that end alike are joined.
        if version_at_least "$RUST_VERSION" 1.90; then
            flags+=(-C llvm-args=--enable-global-merge-func -C llvm-args=--tail-merge-size=1)
        fi
    fi
    # No folder of this machine in messages of panics: the same bytes wherever it is built, and fewer of them.
    flags+=("--remap-path-prefix=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust=/rust"
        "--remap-path-prefix=$REPO=/pi-monitor" "--remap-path-prefix=$dir=/target")
    crates=${CARGO_HOME:-${HOME:-~}/.cargo}/registry/src
    [ -d "$crates" ] || "$CARGO" fetch --locked >&2 || return 1
    for folder in "$crates"/*/; do flags+=("--remap-path-prefix=${folder%/}=/crates"); done
    for change in $CRT_LIBS; do flags+=(-C "link-arg=$change"); done
    if [ "$std" = build ]; then
        # No unwinding tables: a panic aborts, nothing ever walks them.
        [ "$unwind" = yes ] || flags+=(-C force-unwind-tables=no)
        # No file and line in panic messages: they are 5% of the binary. The message itself stays.
        [ "$location" = yes ] || flags+=(-Z location-detail=none)
        # No text for {:?}, which no message of the agent uses (a law holds that).
        [ "$debug" = yes ] || flags+=(-Z fmt-debug=none)
        # No message: a panic is an instruction that stops the program, and src/sys/crash.rs reports where.
        if [ "$message" = no ]; then
            if version_at_least "$RUST_VERSION" 1.92; then
                flags+=(-Z unstable-options -C panic=immediate-abort)
            else
                features=panic_immediate_abort${features:+,$features}
            fi
        fi
        # Sorting, numbers as text and the like with less code; files, paths and addresses with as little as possible.
        if [ "$small" = yes ]; then
            features=optimize_for_size${features:+,$features}
            args+=(--config 'profile.release.package.std.opt-level="z"')
        fi
        args+=(-Z "build-std=std,panic_abort")
        # No backtraces: they would be bare addresses, the binary has no symbols.
        [ "$features" = default ] || args+=(-Z "build-std-features=$features")
        export RUSTC_BOOTSTRAP=1    # -Z options on a stable compiler
    else
        unset RUSTC_BOOTSTRAP
    fi
    if [ "$TLS" = yes ]; then
        c_compiler || { say "no compiler for the C code of --tls: $WAY_ERROR"; return 1; }
        args+=(--features tls)
        # ring's Rust for this CPU asks for a faster function where times need not be constant; the small C code has only the other.
        if [ -n "$C_FLAGS" ]; then
            ring=ring_core_$(sed -n '/^name = "ring"$/{n;s/[^0-9.]//g;s/\./_/g;p;}' Cargo.lock)__p256_point_mul_base
            flags+=(-C "link-arg=--defsym=${ring}_vartime=$ring")
        fi
    fi
    rm -f "$dir/$TRIPLE/release/pi-monitor"
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}") CARGO_TARGET_DIR=$dir \
        ticking "building for $TRIPLE" "$CARGO" build --release --locked --bin pi-monitor --target "$spec" ${args[@]+"${args[@]}"} >&2 ||
        return 1
    binary=$dir/$TRIPLE/release/pi-monitor
    mkdir -p "$(dirname "$output")"
    cp "$binary" "$output.new" && mv "$output.new" "$output"
}

# ordering_linker DIR: sets linker to a program in DIR that calls the linker with the order of functions. Its name changes with the
# order, or cargo would not link again.
ordering_linker() {
    mkdir -p "$1"
    linker=$1/link-$(cat scripts/lib/link.pl scripts/lib/order.txt | cksum | tr ' ' -)
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nexec perl "%s" "%s" "%s" "$@"\n' "$REPO/scripts/lib/link.pl" "$REPO/scripts/lib/order.txt" "$LINKER" >"$linker.new" &&
        chmod 755 "$linker.new" && mv "$linker.new" "$linker"
}

# without_frame_pointers FILE: writes rustc's own description of the target, but without frame pointers. They are for
# backtraces, which the binary does not have, and no option takes them away.
without_frame_pointers() {
    mkdir -p "$(dirname "$1")"
    RUSTC_BOOTSTRAP=1 "$RUSTC" -Z unstable-options --print target-spec-json --target "$TRIPLE" |
        sed '/"frame-pointer":/d' >"$1.new" && mv "$1.new" "$1"
}

# The binary relocates itself with the start file's code, so that must know RELR.
# zig's musl does (1.2.5).  rustup's is 1.2.5 since Rust 1.93.
musl_knows_relr() { [ "$WAY_NOW" = zig ] || version_at_least "$RUST_VERSION" 1.93; }

file_size() { wc -c <"$1" | tr -d ' '; }
# 741000 -> 741,000
grouped() { echo "$1" | sed -e :a -e 's/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/' -e ta; }

# verify TARGET FILE: what the ELF file itself says, against what it must be.
verify() {
    local target=$1 file=$2 facts bad=0 want arch
    facts=$(perl "$REPO/scripts/lib/elf.pl" "$file") || return 1
    for want in "class=$CLASS" "machine=$MACHINE" "float=$ARM_FLOAT" type=DYN interp=no needed=0 \
        relro=yes now=yes nx=yes wx=no textrel=no; do
        case " $facts " in
        *" $want "*) ;;
        *) say "$target: $file must have $want, has: $facts"; bad=1 ;;
        esac
    done
    arch=${facts##* arm=} arch=${arch%% *}
    case " $ARM_ARCH " in
    *" $arch "*) ;;
    *) say "$target: $file is for ARM architecture $arch, must be one of: $ARM_ARCH"; bad=1 ;;
    esac
    return $bad
}

# within_tls_budget SIZE: how much larger a binary with TLS is than one of the same source without, which it builds.
within_tls_budget() {
    local file more TLS=no
    file=$(mktemp)
    say "$target: building without TLS, to compare"
    if ! compile "$file"; then
        rm -f "$file"
        say "$target: the build without TLS failed, so nobody knows what TLS adds"
        return 1
    fi
    more=$(($1 - $(file_size "$file")))
    rm -f "$file"
    if [ $more -gt $TLS_BUDGET ]; then
        say "$target: TLS adds $(grouped $more) bytes, which is over its budget of $(grouped $TLS_BUDGET)"
        return 1
    fi
    say "$target: TLS adds $(grouped $more) bytes, of $(grouped $TLS_BUDGET)"
}

build_all() {
    local target file size status=0 failed=() lines=()
    for target in "${TARGETS[@]}"; do
        if ! choose_way "$target"; then
            say "$target: cannot be built here: $WAY_ERROR"
            status=3
            continue
        fi
        say "$target: building for $TRIPLE with $WAY_NOW, Rust $RUST_VERSION, standard library: $STD_NOW"
        file=dist/pi-monitor-$target
        [ "$TLS" = no ] || file=$file-tls
        rm -f "$file"
        if ! compile "$file"; then
            say "$target: the build failed"
            failed+=("$target")
            continue
        fi
        verify "$target" "$file" || failed+=("$target")
        size=$(file_size "$file")
        lines+=("$(printf '%-8s %10s bytes  %s' "$target" "$(grouped "$size")" "$file")")
        if [ "$target $TLS" = "aarch64 no" ] && [ "$size" -gt $BUDGET ]; then
            say "$target: $(grouped "$size") bytes are over the budget of $(grouped $BUDGET)"
            failed+=("$target")
        fi
        if [ "$target $TLS" = "aarch64 yes" ] && ! within_tls_budget "$size"; then failed+=("$target"); fi
    done
    [ ${#lines[@]} -eq 0 ] || printf '%s\n' "${lines[@]}"
    if [ ${#failed[@]} -gt 0 ]; then
        say "failed: ${failed[*]}"
        status=1
    fi
    return $status
}

# ---------------------------------------------------------------------------
# Figures for docs/building.md
# ---------------------------------------------------------------------------

# print_map DIR [functions]: builds with symbols for the target that choose_way prepared.
print_map() {
    compile "$1/mapped" "rust=-C symbol-mangling-version=v0" 'profile=strip="none"' "dir=$1/target" || return 1
    echo "Bytes by section of the file:"
    perl scripts/lib/elf.pl --sections "$1/mapped" | grep -v -E 'memory only| \.(symtab|strtab|shstrtab|comment|debug_.*)$'
    echo
    echo "Bytes by crate (a generic function counts for the crate that defines it):"
    perl scripts/lib/elf.pl --crates "$1/mapped"
    if [ "${2-}" = functions ]; then
        echo
        echo "The largest functions:"
        perl scripts/lib/elf.pl --functions "$1/mapped" | sed 60q | readable_names
    fi
    rm -rf "$1/target" "$1/mapped"
}

# Names as in the source code, where binutils are installed.
readable_names() { if have c++filt; then c++filt -i; else cat; fi; }

# print_where ADDRESS DIR: the function at an address of the recipe's binary.
print_where() {
    compile "$2/mapped" 'rust=-C strip=none' "dir=$2/target" || return 1
    perl scripts/lib/elf.pl --functions "$2/mapped" "$1" | readable_names
    rm -rf "$2/target" "$2/mapped"
}

# write_order: profiles both kinds of code, that for size and that for speed.
write_order() {
    local tmp target runs=()
    need_commands "recording what runs" qemu-aarch64:qemu-user qemu-x86_64:qemu-user nm:binutils python3:python3 || die 1 "$INSTALL_ERROR"
    tmp=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$tmp'" EXIT
    unpack_boards "$tmp/boards" || die 1 "cannot unpack tests/boards"
    cc -O2 -shared -fPIC -o "$tmp/blocks.so" scripts/lib/blocks.c
    for target in x86_64 aarch64; do
        choose_way "$target" || die 3 "cannot build for $target: $WAY_ERROR"
        compile "$tmp/$target" 'profile=strip="none"' "dir=$tmp/target" || die 1 "the build with symbols failed"
        runs+=("qemu-$target" "$tmp/$target")
    done
    rm -rf "$tmp/target"
    python3 scripts/lib/order.py "$tmp/blocks.so" "$tmp/boards" "$RUST_VERSION" "${runs[@]}"
}

# Rows of the table: title | changes.  The first block goes from what cargo does by
# itself to this script's recipe, a step at a time; the second changes the recipe.
# shellcheck disable=SC2016  # Markdown
CUMULATIVE='
standard library built with the release profile, static, not position-independent|std=build features=default unwind=yes pie=no relr=no icf=no location=yes debug=yes message=yes small=no outline=no near=no frames=yes
standard library without backtraces (`build-std-features=`)|std=build unwind=yes pie=no relr=no icf=no location=yes debug=yes message=yes small=no outline=no near=no frames=yes
no unwinding tables (`-C force-unwind-tables=no`)|pie=no relr=no icf=no location=yes debug=yes message=yes small=no outline=no near=no frames=yes
identical functions folded (`--icf=all`)|pie=no relr=no location=yes debug=yes message=yes small=no outline=no near=no frames=yes
static-PIE|relr=no location=yes debug=yes message=yes small=no outline=no near=no frames=yes
relocations packed (`--pack-dyn-relocs=relr`)|location=yes debug=yes message=yes small=no outline=no near=no frames=yes
no file and line in panic messages (`-Z location-detail=none`)|debug=yes message=yes small=no outline=no near=no frames=yes
no `Debug` output (`-Z fmt-debug=none`)|message=yes small=no outline=no near=no frames=yes
no panic messages (`-C panic=immediate-abort`)|small=no outline=no near=no frames=yes
small code in the standard library (`optimize_for_size`, `opt-level = "z"` for `std`)|outline=no near=no frames=yes
machine outliner, less inlining (`--enable-machine-outliner`, `--inline-threshold=5`), shared code for saving registers (`--homogeneous-prolog-epilog`)|near=no frames=yes
addresses within a megabyte (`-C code-model=tiny`)|frames=yes
no frame pointers: **the recipe**|
'
# shellcheck disable=SC2016
SINGLE='
`opt-level = "z"`|opt="z"
`opt-level = 2`|opt=2
`opt-level = 3`|opt=3
no work-around for the Cortex-A53 (`--fix-cortex-a53-843419`)|erratum=no
no RELRO (`-C relro-level=off`)|rust=-Crelro-level=off
'

measure() {
    local tmp doc=docs/building.md
    tmp=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$tmp'" EXIT
    TARGETS=(aarch64)
    choose_way aarch64 || die 3 "cannot build for aarch64: $WAY_ERROR"
    [ "$STD_NOW" = build ] || die 1 "--measure needs the standard library's source"
    measure_row() { # TITLE CHANGES BASE: prints a table row, sets SIZE
        local title=$1 changes=$2 base=$3
        say "measuring: $title"
        # shellcheck disable=SC2086
        if ! compile "$tmp/pi-monitor" $changes "dir=$tmp/target" 2>"$tmp/log"; then
            tail -n 5 "$tmp/log" | cut -c1-300 >&2
            printf '| %s | does not build | |\n' "$title" >>"$tmp/table"
            return
        fi
        SIZE=$(file_size "$tmp/pi-monitor")
        if [ -n "$base" ]; then
            printf '| %s | %s | %+d |\n' "$title" "$(grouped "$SIZE")" $((SIZE - base)) >>"$tmp/table"
        else
            printf '| %s | %s | |\n' "$title" "$(grouped "$SIZE")" >>"$tmp/table"
        fi
        rm -rf "$tmp/target"
    }
    {
        echo "aarch64, pi-monitor $(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1), Rust $RUST_VERSION, $WAY_NOW. The change is against the row above."
        echo
        echo "| recipe, a step at a time | bytes | change |"
        echo "|---|---:|---:|"
    } >"$tmp/table"
    local title changes last=''
    if [ "$WAY_NOW" = rustup ]; then CUMULATIVE="rustup's ready-made standard library, static, not position-independent|std=prebuilt pie=no relr=no icf=no outline=no
$CUMULATIVE"; fi
    while IFS='|' read -r title changes; do
        [ -n "$title" ] || continue
        SIZE=''
        measure_row "$title" "$changes" "$last"
        last=$SIZE
    done <<<"$CUMULATIVE"
    {
        echo
        echo "The recipe with one more change, against the recipe ($(grouped "$last") bytes):"
        echo
        echo "| not in the recipe | bytes | change |"
        echo "|---|---:|---:|"
    } >>"$tmp/table"
    while IFS='|' read -r title changes; do
        [ -n "$title" ] || continue
        measure_row "$title" "$changes" "$last"
    done <<<"$SINGLE"
    say "measuring: where the bytes are"
    {
        echo
        echo '```text'
        print_map "$tmp" 2>"$tmp/log" || { tail -n 5 "$tmp/log" >&2; die 1 "the build with symbols failed"; }
        echo '```'
    } >>"$tmp/table"
    cat "$tmp/table"
    grep -q '^<!-- sizes:begin' $doc || die 1 "$doc has no line <!-- sizes:begin -->"
    grep -q '^<!-- sizes:end' $doc || die 1 "$doc has no line <!-- sizes:end -->"
    awk -v table="$tmp/table" '
        /^<!-- sizes:end/ { skip = 0 }
        !skip { print }
        /^<!-- sizes:begin/ { skip = 1; while ((getline line < table) > 0) print line }
    ' $doc >"$tmp/doc"
    cat "$tmp/doc" >$doc
    say "wrote the table in $doc"
}

have perl || need_commands "reading ELF files" perl:perl || die 1 "needs perl: $INSTALL_ERROR"
find_rust
need_cc     # the libc crate's build script runs on this machine
case $ACTION in
build) build_all ;;
map | where)
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    choose_way "${TARGETS[0]}" || die 3 "cannot build for ${TARGETS[0]}: $WAY_ERROR"
    if [ $ACTION = map ]; then print_map "$tmp" functions; else print_where "$ADDRESS" "$tmp"; fi || die 1 "the build failed"
    ;;
measure) measure ;;
order) write_order ;;
esac
