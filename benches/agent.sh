# shellcheck shell=bash
#
# agent.sh - sourced by run.sh and memory.sh: which binary they measure.

# take_options FLAGS ARGUMENT...: takes -h, --help, --agent FILE and each of FLAGS (words with
# blanks between them). Sets AGENT, which is empty without --agent, and ARGUMENTS: those
# of FLAGS that were given.
take_options() {
    local flags=$1
    shift
    AGENT='' ARGUMENTS=()
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage; exit 0 ;;
        --agent)
            [ $# -gt 1 ] || die 2 "$1 needs a value"
            AGENT=$2
            shift ;;
        *)
            [[ " $flags " == *" $1 "* ]] || die 2 "unknown option $1 (see --help)"
            ARGUMENTS+=("$1") ;;
        esac
        shift
    done
}

# find_agent: without --agent, builds the binary of this machine and sets AGENT to it.
find_agent() {
    if [ -z "$AGENT" ]; then
        scripts/build.sh "$(uname -m)"
        AGENT=dist/pi-monitor-$(uname -m)
    fi
}
