#!/usr/bin/env bash
#
# parsers.sh - times each parser and each format with 1, 10, 100 and 1,000 things.
#
#   benches/parsers.sh [NAME...]
#
#   NAME        runs only those whose names hold one of these
#   -h, --help  this text
#
# A package of its own in benches/parsers, so that the agent's builds and tests do not
# need what this needs.
#
# Environment: PI_RUST, PI_INSTALL, XDG_CACHE_HOME (see scripts/lib/toolchain.sh);
#   CARGO_TARGET_DIR.
#
# Exit status: 0 timed, 1 could not be built or run.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/../scripts/lib/toolchain.sh"
cd "$REPO"

case ${1:-} in -h | --help) usage; exit 0 ;; esac
find_rust
need_cc
# Parsers are private; where they are fuzzed they are not.
export RUSTFLAGS="${RUSTFLAGS:-} --cfg fuzzing"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/parsers
"$CARGO" run --release --locked --manifest-path benches/parsers/Cargo.toml -- --bench "$@"
