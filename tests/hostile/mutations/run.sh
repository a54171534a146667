#!/usr/bin/env bash
#
# run.sh - shows that each hostile case fails without the defence that it is about.
#
#   tests/hostile/mutations/run.sh [options] [CASE...]
#
#   CASE       rows of table.tsv whose case contains this; default: all
#
# Options
#   --list     shows the rows
#   --check    only checks that every row can be applied; builds nothing
#   -h, --help this text
#
# Works in a copy of this working tree in the cache. There it first runs the named
# cases as they are, which must pass; then, for every row, replaces the text, builds,
# runs the case, and undoes it. A case that still passes, or is skipped, is reported.
#
# Environment: XDG_CACHE_HOME; PI_MUTATION_SECONDS (default 600) for one build and run.
#
# Exit status: 0 every case failed as it should, 1 one did not, 2 bad usage, 3 a row that
# cannot be applied, a mutation that does not compile, or a case that fails without any.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/../../../scripts/lib/toolchain.sh"
TABLE=$REPO/tests/hostile/mutations/table.tsv

DO=run CASES=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --list) DO=list ;;
    --check) DO=check ;;
    -*) die 2 "unknown option $1 (see --help)" ;;
    *) CASES+=("$1") ;;
    esac
    shift
done

wanted() { # CASE
    local part
    [ ${#CASES[@]} -gt 0 ] || return 0
    for part in "${CASES[@]}"; do if [[ $1 == *"$part"* ]]; then return 0; fi; done
    return 1
}

# The rows in four arrays.
NAME=() FILE=() FROM=() TO=()
while IFS= read -r row; do
    case $row in '' | '#'*) continue ;; esac
    # Not read with IFS=<tab>: a tab is white space there, and an empty last column would vanish.
    name=${row%%$'\t'*} row=${row#*$'\t'}
    file=${row%%$'\t'*} row=${row#*$'\t'}
    if ! wanted "$name"; then continue; fi
    NAME+=("$name") FILE+=("$file") FROM+=("$(printf '%b.' "${row%%$'\t'*}")") TO+=("$(printf '%b.' "${row#*$'\t'}")")
done <"$TABLE"
[ ${#NAME[@]} -gt 0 ] || die 2 "no row of $TABLE has such a case"

if [ $DO = list ]; then
    for i in "${!NAME[@]}"; do printf '%-60s %s\n' "${NAME[i]}" "${FILE[i]}"; done
    exit 0
fi

# mutate ROW: prints the file with the text replaced. The "." keeps new lines at the ends.
mutate() {
    local text from=${FROM[$1]%.} to=${TO[$1]%.} rest
    text=$(cat "$REPO/${FILE[$1]}" && printf .)
    text=${text%.}
    rest=${text#*"$from"}
    if [ "$rest" = "$text" ]; then say "${NAME[$1]}: ${FILE[$1]} has no \"$from\""; return 1; fi
    if [ "${rest#*"$from"}" != "$rest" ]; then say "${NAME[$1]}: ${FILE[$1]} has \"$from\" more than once"; return 1; fi
    printf %s "${text%%"$from"*}$to$rest"
}

STATUS=0
for i in "${!NAME[@]}"; do mutate "$i" >/dev/null || STATUS=3; done
if [ $STATUS != 0 ] || [ $DO = check ]; then exit $STATUS; fi

find_rust
COPY=$PI_CACHE/mutations
mkdir -p "$COPY"
exec 8>"$COPY/lock"
flock -n 8 || die 2 "another run uses $COPY"
rm -rf "$COPY/tree"
mkdir "$COPY/tree"
cd "$REPO"
# Without files that are removed but not yet committed.
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
    xargs -0 cp -Pp --parents -t "$COPY/tree"
cd "$COPY/tree"
export CARGO_TARGET_DIR=$COPY/target PI_MONITOR_TEST_ALL=1

# cases NAME...: runs them, all with TLS or all without, with all they say in the file "log" of the copy.
cases() {
    local features=()
    case $1 in tls::*) features=(--features tls) ;; esac
    timeout -k 10 "${PI_MUTATION_SECONDS:-600}" "$CARGO" test --locked ${features[@]+"${features[@]}"} --test hostile -- --exact "$@" >"$COPY/log" 2>&1
}

say "${#NAME[@]} mutations; first the cases as they are"
for pick in '^tls::' '-v ^tls::'; do
    # shellcheck disable=SC2086  # an option and a pattern
    mapfile -t UNIQUE < <(printf '%s\n' "${NAME[@]}" | sort -u | grep $pick)
    [ ${#UNIQUE[@]} -gt 0 ] || continue
    cases "${UNIQUE[@]}" || { tail -n 30 "$COPY/log" >&2; die 3 "fails without any mutation"; }
    grep -q "^test result: ok. ${#UNIQUE[@]} passed" "$COPY/log" || die 3 "not every case of the table exists"
done

for i in "${!NAME[@]}"; do
    mutate "$i" >"${FILE[i]}.new"
    mv "${FILE[i]}.new" "${FILE[i]}"
    started=$SECONDS
    if cases "${NAME[i]}"; then
        printf 'SURVIVED  %s (%s)\n' "${NAME[i]}" "${FILE[i]}"
        [ $STATUS = 3 ] || STATUS=1
    elif grep -q "^test ${NAME[i]} \.\.\. FAILED" "$COPY/log"; then
        printf 'fails     %s (%s, %d s): %s\n' "${NAME[i]}" "${FILE[i]}" $((SECONDS - started)) \
            "$(grep -A1 -m1 'panicked at' "$COPY/log" | tail -n 1 | cut -c 1-150)"
    else
        printf 'UNCLEAR   %s (%s): %s\n' "${NAME[i]}" "${FILE[i]}" "$(grep -m1 -E '^error' "$COPY/log" || tail -n 1 "$COPY/log")"
        STATUS=3
    fi
    cp -p "$REPO/${FILE[i]}" "${FILE[i]}"
    touch "${FILE[i]}"
done
exit $STATUS
