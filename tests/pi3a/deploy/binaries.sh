# shellcheck shell=bash
# binaries.sh - the binaries that are deployed: another version, and broken ones. Sourced.
#
#   other_version VERSION        a version of the same length
#   make_version FILE OLD NEW OUT   FILE with NEW in the place of OLD
#   make_quitter OUT VERSION     an aarch64 program that answers --version and
#                                otherwise exits at once with status 1

other_version() {
    case $1 in
        *9) echo "${1%9}8" ;;
        *) echo "${1%?}9" ;;
    esac
}

make_version() { # FILE OLD NEW OUT
    LC_ALL=C sed "s/${2//./\\.}/$3/g" "$1" >"$4"
    chmod 755 "$4"
    [ "$(wc -c <"$1")" = "$(wc -c <"$4")" ] && ! cmp -s "$1" "$4"
}

bytes() { # HEX...: as bytes on stdout
    local word
    for word in "$@"; do
        while [ -n "$word" ]; do
            # shellcheck disable=SC2059
            printf "\\x${word:0:2}"
            word=${word:2}
        done
    done
}

little_endian() { # WIDTH NUMBER: as hex
    local i n=$2
    for ((i = 0; i < $1; i++)); do
        printf '%02x' $((n & 255))
        n=$((n >> 8))
    done
}

make_quitter() { # OUT VERSION
    local text="pi-monitor $2"$'\n' length total
    length=${#text}
    total=$((120 + 14 * 4 + length)) # header, program header, 14 instructions, text
    {
        # ELF: 64-bit, little endian, executable, aarch64, entry behind the headers.
        bytes 7f454c46020101000000000000000000 0200 b700 01000000 7800400000000000 4000000000000000 0000000000000000 00000000 4000 3800 0100 0000 0000 0000
        # One segment: all of the file, readable and executable.
        bytes 01000000 05000000 0000000000000000 0000400000000000 0000400000000000
        bytes "$(little_endian 8 $total)" "$(little_endian 8 $total)" 0010000000000000
        bytes e10340f9                                    # ldr  x1, [sp]         number of arguments
        bytes 3f0800f1                                    # cmp  x1, #2
        bytes 21010054                                    # b.ne quit             (+9 instructions)
        bytes 200080d2                                    # mov  x0, #1           stdout
        bytes 41010010                                    # adr  x1, text         (+10 instructions)
        bytes "$(little_endian 4 $((0xd2800002 | length << 5)))" # mov x2, #length
        bytes 080880d2                                    # mov  x8, #64          write
        bytes 010000d4                                    # svc  #0
        bytes 000080d2                                    # mov  x0, #0
        bytes a80b80d2                                    # mov  x8, #93          exit
        bytes 010000d4                                    # svc  #0
        bytes 200080d2                                    # quit: mov x0, #1
        bytes a80b80d2                                    # mov  x8, #93
        bytes 010000d4                                    # svc  #0
        printf '%s' "$text"
    } >"$1"
    chmod 755 "$1"
}
