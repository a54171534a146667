# shellcheck shell=bash
# The marked lines in somebody else's boot script: put where they are reached,
# and taken out again to the last byte. No container: the functions themselves.

group_lines() {
    lines_case "at the end" '#!/bin/sh\nmount -a\necho done\n' 4
    lines_case "before exit" '#!/bin/sh\nmount -a\nexit 0\n' 3
    lines_case "before exec of the next program" '#!/bin/sh\nmount -a\nexec /sbin/getty tty1\n' 3
    lines_case "not before exec that only redirects" '#!/bin/sh\nexec >/dev/console 2>&1\nmount -a\n' 4
    lines_case "before an endless loop" '#!/bin/sh\nmount -a\nwhile :; do\n  sleep 1\ndone\n' 3
    # shellcheck disable=SC2016  # the script's own $m
    lines_case "not before a loop that ends" '#!/bin/sh\nwhile read -r m; do insmod $m; done <list\nmount -a\n' 4
    lines_case "not before an indented exit" '#!/bin/sh\nif false; then\n  exit 1\nfi\nmount -a\n' 6
    lines_case "no newline at the end" '::sysinit:/etc/init.d/rcS\n::respawn:/sbin/getty' 3
    lines_case "an empty file" '' 1
    lines_case "backslashes and quotes" '#!/bin/sh\necho "a\\\\nb" %s\n' 3
}

lines_case() { # NAME TEXT LINE: where the mark has to be
    local file=$RUN/lines.sh at shell result
    for shell in dash busybox bash; do
        case $shell in
            busybox) command -v busybox >/dev/null || continue; result=(busybox sh) ;;
            *) command -v $shell >/dev/null || continue; result=("$shell") ;;
        esac
        # shellcheck disable=SC2059  # the text is a format on purpose
        printf "${2//%/%%}" >"$file"
        chmod 751 "$file"
        cp -p "$file" "$file.original"
        # shellcheck disable=SC2016  # expanded by that shell
        DEPLOY_REMOTE_SOURCED=1 "${result[@]}" -c '. "$1"; insert_lines "$2" "echo inserted"' sh "$REPOSITORY/scripts/lib/deploy-remote.sh" "$file"
        at=$(grep -n '^# BEGIN pi-monitor' "$file" | cut -d: -f1)
        if [ "$at" != "$3" ] || [ "$(sed -n "$((at + 1))p;$((at + 2))p" "$file" | tr '\n' ';')" != 'echo inserted;# END pi-monitor;' ]; then
            fail "marked lines ($shell): $1" "inserted at line ${at:-none}, not $3"
            return
        fi
        # shellcheck disable=SC2016
        DEPLOY_REMOTE_SOURCED=1 "${result[@]}" -c '. "$1"; remove_lines "$2"' sh "$REPOSITORY/scripts/lib/deploy-remote.sh" "$file"
        if ! cmp -s "$file" "$file.original" || [ "$(stat -c %a "$file")" != 751 ]; then
            fail "marked lines ($shell): $1" "not as before: $(diff "$file.original" "$file" | head -n 4 | tr '\n' '|') mode $(stat -c %a "$file")"
            return
        fi
    done
    pass "marked lines: $1" "at line $3, and out again"
}
