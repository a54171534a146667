# shellcheck shell=bash
# The first answer comes right after the start, and is complete: no refused
# connections for a sampling interval, no CPU figures missing or made up.

# On an idle host the first answer takes 300 ms, of which a wget alone is 50. On
# a busy host all is slower: then ten times what a second answer takes.
FIRST_ANSWER_MS=1500

check_first_answer() {
    local ms again text limit=$FIRST_ANSWER_MS
    ms=$(guest 'cat /run/first.ms') || ms=
    again=$(guest 'cat /run/again.ms') || again=0
    if [ $((again * 10)) -gt $limit ]; then limit=$((again * 10)); fi
    if between 0 "$ms" $limit && [ -n "$ms" ]; then
        pass "first answer" "/metrics $ms ms after the start, a second one takes $again ms"
    else
        fail "first answer" "/metrics after ${ms:-no} ms, a second one takes $again ms, limit $limit ms"
        return
    fi
    text=$METRICS
    METRICS=$RUN/first.txt
    guest 'cat /run/first.txt' >"$METRICS"
    cpu_sums_complaint=$(cpu_sums)
    METRICS=$text
    if [ -z "$cpu_sums_complaint" ]; then
        pass "first answer is complete" "5 CPU rows, each sums to 100"
    else
        fail "first answer is complete" "$cpu_sums_complaint"
    fi
}

# Complains unless total, cpu0 ... cpu3 are there with modes that sum to 100
# and an idle below 100: the guest has just booted, so no CPU was never busy.
cpu_sums() {
    awk '
        /^pi_cpu_usage_percent\{/ {
            match($0, /cpu="[^"]*"/); cpu = substr($0, RSTART + 5, RLENGTH - 6)
            sum[cpu] += $NF
            if ($0 ~ /mode="idle"/) idle[cpu] = $NF
        }
        END {
            n = split("total cpu0 cpu1 cpu2 cpu3", want, " ")
            for (i = 1; i <= n; i++) {
                c = want[i]
                if (!(c in sum)) printf "no pi_cpu_usage_percent for %s; ", c
                else if (sum[c] < 99.5 || sum[c] > 100.5) printf "modes of %s sum to %s; ", c, sum[c]
            }
            if (("total" in idle) && idle["total"] >= 100) printf "total is 100 %% idle; "
        }' "$METRICS"
}
