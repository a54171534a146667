# shellcheck shell=bash
# http.sh - asks the agent in the guest over HTTP, and reads its answers. Sourced.
#
#   http PATH [CURL OPTIONS]   the body; status 0 only for a 2xx answer
#   http_head PATH [OPTIONS]   status line and headers, lower case, without CR
#   scrape                     fetches /metrics into $METRICS
#   sample NAME [LABEL...]     value of the first sample of that family in
#                              $METRICS with all those labels (like 'cpu="cpu0"')
#   collector NAME             "up", "down" or "absent", from pi_collector_up
#   near A B TOLERANCE         |A - B| <= TOLERANCE
#   between LOW X HIGH         LOW <= X <= HIGH

METRICS=${METRICS:-}

http() { # PATH [CURL OPTIONS]
    local path=$1
    shift
    curl -sS --fail --noproxy '*' --max-time 20 "$@" "http://127.0.0.1:$HTTP_PORT$path"
}

http_head() { # PATH [CURL OPTIONS]
    local path=$1
    shift
    curl -sS --noproxy '*' --max-time 20 -o /dev/null -D - "$@" "http://127.0.0.1:$HTTP_PORT$path" |
        tr -d '\r' | tr '[:upper:]' '[:lower:]'
}

scrape() {
    METRICS=$RUN/metrics.txt
    http /metrics >"$METRICS"
}

sample() { # NAME [LABEL...]
    awk -v name="$1" -v labels="${*:2}" '
        BEGIN { n = split(labels, want, " ") }
        index($0, name "{") == 1 || index($0, name " ") == 1 {
            for (i = 1; i <= n; i++) if (!index($0, want[i])) next
            print $NF
            found = 1
            exit
        }
        END { exit !found }' "$METRICS"
}

collector() { # NAME
    case $(sample pi_collector_up "collector=\"$1\"") in
        1 | 1.0) echo up ;;
        '') echo absent ;;
        *) echo down ;;
    esac
}

near() { awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a != "" && b != "" && d <= t) }'; }
between() { awk -v a="$1" -v x="$2" -v b="$3" 'BEGIN { exit !(x != "" && a + 0 <= x + 0 && x + 0 <= b + 0) }'; }
