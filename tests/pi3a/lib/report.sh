# shellcheck shell=bash
# report.sh - one line per check and a closing line. Sourced, never run.
#
#   pass NAME [DETAIL]   fail NAME [DETAIL]   skip NAME REASON
#   note TEXT            a line that is not a check, on stderr
#   report_end           prints "N passed, N failed, N skipped"; status 0 if
#                        nothing failed and something passed, else 1

PASSED=0 FAILED=0 SKIPPED=0

report_line() { # WORD NAME [DETAIL]
    printf '%-8s %s%s\n' "$1" "$2" "${3:+: $3}"
}
pass() { PASSED=$((PASSED + 1)); report_line ok "$@"; }
fail() { FAILED=$((FAILED + 1)); report_line FAILED "$@"; }
skip() { SKIPPED=$((SKIPPED + 1)); printf '%-8s %s: skipped: %s\n' skipped "$1" "$2"; }
note() { printf '%s: %s\n' "${PROGRAM:-test}" "$*" >&2; }

report_end() {
    printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
    [ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
}
