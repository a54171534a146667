# shellcheck shell=bash
# /metrics is well-formed: every line is a comment or a sample, every sample has
# HELP and TYPE above it, no value is NaN, no sample comes twice.

check_exposition() {
    local complaint
    complaint=$(awk '
        /^# HELP / { help[$3] = 1; next }
        /^# TYPE / { type[$3] = $4; next }
        /^#/ || /^$/ { next }
        {
            if (!match($0, /^[a-z_][a-z0-9_]*/)) { print "line " NR " is no sample: " $0; exit }
            name = substr($0, 1, RLENGTH)
            if (!(name in type) || !(name in help)) { print name " lacks HELP or TYPE"; exit }
            if ($NF !~ /^[-+]?[0-9.]+(e[-+]?[0-9]+)?$/) { print "line " NR " has the value " $NF; exit }
            key = $0; sub(/ [^ ]*$/, "", key)
            if (key in seen) { print key " comes twice"; exit }
            seen[key] = 1; n++
        }
        END { if (!n) print "no samples" }' "$METRICS")
    if [ -z "$complaint" ]; then
        pass "/metrics is well-formed" "$(grep -c '^[^#]' "$METRICS") samples of $(grep -c '^# TYPE' "$METRICS") families"
    else
        fail "/metrics is well-formed" "$complaint"
    fi
}
