# shellcheck shell=bash
# Every address of the agent answers as the README says.

check_endpoints() {
    local body head

    body=$(http /health) || body=
    if [ "$body" = ok ]; then pass "GET /health" "ok"; else fail "GET /health" "answered '$body'"; fi

    head=$(http_head /)
    body=$(http /) || body=
    case $head in
        http/1.?' 200'*content-type:\ text/html*)
            case $body in
                *'<html'*'</html>'*) pass "GET /" "${#body} bytes of HTML" ;;
                *) fail "GET /" "not a whole HTML page" ;;
            esac
            ;;
        *) fail "GET /" "$(printf '%s' "$head" | head -n 1), not 200 with text/html" ;;
    esac

    head=$(http_head /metrics)
    case $head in
        http/1.?' 200'*content-type:\ text/plain*version=0.0.4*) pass "GET /metrics" "$(http /metrics | wc -l) lines" ;;
        *) fail "GET /metrics" "$(printf '%s' "$head" | tr '\n' ' ')" ;;
    esac

    head=$(http_head /json)
    body=$(http /json | jq -c 'if type == "object" then keys | length else error("no object") end' 2>&1) || body="not JSON: $body"
    case $head:$body in
        http/1.?' 200'*application/json*:[1-9]*) pass "GET /json" "$body keys" ;;
        *) fail "GET /json" "$(printf '%s' "$head" | head -n 1), $body" ;;
    esac

    optional_endpoint /history
    optional_endpoint /processes

    head=$(http_head /health -I)
    case $head in
        http/1.?' 200'*) pass "HEAD /health" ;;
        *) fail "HEAD /health" "$(printf '%s' "$head" | head -n 1)" ;;
    esac
    head=$(http_head /no-such-page)
    case $head in
        http/1.?' 404'*) pass "unknown address" "404" ;;
        *) fail "unknown address" "$(printf '%s' "$head" | head -n 1), not 404" ;;
    esac
    head=$(http_head /metrics -X DELETE)
    case $head in
        http/1.?' 405'*allow:*get*) pass "other methods" "405 with Allow" ;;
        *) fail "other methods" "$(printf '%s' "$head" | head -n 1), not 405 with Allow" ;;
    esac
}

# Asked from the binary: 404 means that it does not have this address.
optional_endpoint() { # PATH
    local head body
    head=$(http_head "$1")
    case $head in
        http/1.?' 404'*) skip "GET $1" "not in this binary" ;;
        http/1.?' 200'*application/json*)
            if body=$(http "$1" | jq -e -c 'length' 2>&1); then
                pass "GET $1" "JSON, length $body"
            else
                fail "GET $1" "not JSON: $body"
            fi
            ;;
        *) fail "GET $1" "$(printf '%s' "$head" | head -n 1)" ;;
    esac
}
