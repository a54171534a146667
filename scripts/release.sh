#!/usr/bin/env bash
#
# release.sh - makes everything that a release consists of, ready to be uploaded.
#
#   scripts/release.sh [options] VERSION
#
#   VERSION    as in Cargo.toml, such as 1.2.0; CHANGELOG.md has a section of that name
#
# Options
#   --out DIR      where it goes; default dist/release-VERSION, which is made anew
#   --only TARGET  only this target (see scripts/build.sh); may be repeated. Without it
#                  all five, and aarch64 with TLS
#   --check        check version, changelog and tree, and build nothing
#   -h, --help     this text
#
# What is made
#   pi-monitor-TARGET            static binaries: aarch64, armv7, armv6, riscv64, x86_64
#   pi-monitor-aarch64-tls       one that speaks HTTPS
#   pi-monitor_VERSION_ARCH.deb  Debian packages; armhf has the armv6 binary, for every Pi
#   pi-monitor.cdx.json          CycloneDX bill of materials; pi-monitor-tls.cdx.json
#   THIRD-PARTY-NOTICES.txt      licenses of what is in the binaries; LICENSE is our own
#   RELEASE-NOTES.md             the section of the changelog, and what it was built with
#   SHA256SUMS                   of all of these
#
# The same commit and the same toolchain make the same bytes, in whatever folder: times
# are those of the commit, and paths are not in the binaries.
#
# Environment: PI_RUST, PI_INSTALL, XDG_CACHE_HOME (see scripts/lib/toolchain.sh);
#   CARGO_TARGET_DIR.
#
# Exit status: 0 all made; 1 something is not as it has to be, or a build failed;
#   2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/lib/toolchain.sh"
export LC_ALL=C TZ=UTC
umask 022

TARGETS="aarch64 armv7 armv6 riscv64 x86_64"
TLS_TARGETS="aarch64"
# armv7's package would have the same name as armv6's: both are Debian's armhf.
DEB_TARGETS="aarch64 armv6 riscv64 x86_64"

VERSION='' OUT='' ONLY='' CHECK=no
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --out | --only)
        { [ $# -gt 1 ] && [ -n "$2" ]; } || die 2 "$1 needs a value"
        if [ "$1" = --out ]; then OUT=$2; else ONLY="$ONLY $2"; fi
        shift ;;
    --check) CHECK=yes ;;
    -*) die 2 "unknown option $1 (see --help)" ;;
    *)
        [ -z "$VERSION" ] || die 2 "one version, not two: $VERSION and $1"
        VERSION=$1 ;;
    esac
    shift
done
[ -n "$VERSION" ] || die 2 "which version? For example: scripts/release.sh $(sed -n 's/^version *= *"\(.*\)"/\1/p' "$REPO/Cargo.toml" | head -n 1)"
case $VERSION in v[0-9]*) die 2 "$VERSION: give the version without v: ${VERSION#v}" ;; esac
[[ $VERSION =~ ^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$ ]] || die 2 "$VERSION is not a version: expected MAJOR.MINOR.PATCH, such as 1.2.0 or 1.2.0-rc.1"
for target in $ONLY; do
    case " $TARGETS " in *" $target "*) ;; *) die 2 "unknown target $target; known: $TARGETS" ;; esac
done
case $OUT in '' | /*) ;; *) OUT=$PWD/$OUT ;; esac
cd "$REPO"
OUT=${OUT:-$REPO/dist/release-$VERSION}
if [ -e "$OUT" ] && [ ! -f "$OUT/SHA256SUMS" ] && [ -n "$(ls -A "$OUT")" ]; then die 2 "--out $OUT is not empty and holds no earlier release: it would be replaced"; fi

# --- what has to be true before -----------------------------------------------

# notes: prints the changelog's section of this version, without its heading.
notes() {
    awk -v version="$VERSION" '
        /^## / { inside = ($2 == version || $2 == "[" version "]"); next }
        inside && /^\[[^]]*\]: / { next }
        inside' CHANGELOG.md | sed '/./,$!d' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
}
PROBLEMS=()
manifest=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
[ "$manifest" = "$VERSION" ] || PROBLEMS+=("Cargo.toml says version $manifest, not $VERSION")
locked=$(sed -n '/^name = "pi-monitor"$/{n;s/^version = "\(.*\)"/\1/p;}' Cargo.lock)
[ "$locked" = "$VERSION" ] || PROBLEMS+=("Cargo.lock says version $locked, not $VERSION: run cargo update --package pi-monitor")
if ! grep -qE "^## \[?${VERSION//./\\.}\]?( |\$)" CHANGELOG.md; then
    PROBLEMS+=("CHANGELOG.md has no section \"## $VERSION\": rename \"## Unreleased\" and begin a new one above it")
elif [ -z "$(notes)" ]; then PROBLEMS+=("CHANGELOG.md: the section \"## $VERSION\" is empty"); fi
if ! git rev-parse -q --verify HEAD >/dev/null 2>&1; then PROBLEMS+=("$REPO is not a git checkout: the commit says the time of the release")
else
    changed=$(git status --porcelain)
    [ -z "$changed" ] || PROBLEMS+=("the working tree has changes that are in no commit, such as $(printf '%s\n' "$changed" | head -n 1 | cut -c4-): commit or stash them")
    tagged=$(git rev-parse -q --verify "refs/tags/v$VERSION^{commit}" || true)
    [ -z "$tagged" ] || [ "$tagged" = "$(git rev-parse HEAD)" ] || PROBLEMS+=("tag v$VERSION is another commit (${tagged:0:12}) than the one checked out ($(git rev-parse --short=12 HEAD))")
fi
have dpkg-deb || PROBLEMS+=("dpkg-deb is missing, which makes the packages (Debian package dpkg)")
have python3 || PROBLEMS+=("python3 is missing, which lists licenses and parts")
if [ ${#PROBLEMS[@]} -gt 0 ]; then
    for problem in "${PROBLEMS[@]}"; do say "error: $problem"; done
    exit 1
fi
if [ $CHECK = yes ]; then
    say "version $VERSION can be released from commit $(git rev-parse --short=12 HEAD)"
    exit 0
fi

# --- making it ------------------------------------------------------------------

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
find_rust
wanted() { # TARGET: whether it is to be built
    [ -z "$ONLY" ] || case " $ONLY " in *" $1 "*) ;; *) return 1 ;; esac
}
NEW=$OUT.new
rm -rf "$NEW"
mkdir -p "$NEW"
trap 'rm -rf "$NEW"' EXIT
# build.sh's exit status 3 means that there is no way to build a target here: no release then.
BUILT=()
for target in $TARGETS; do
    wanted "$target" || continue
    say "building for $target"
    scripts/build.sh "$target" || die 1 "$target could not be built: no release"
    install -m 755 "dist/pi-monitor-$target" "$NEW/"
    BUILT+=("pi-monitor-$target")
done
if [ -z "$ONLY" ]; then
    for target in $TLS_TARGETS; do
        say "building for $target, with TLS"
        scripts/build.sh --tls "$target" || die 1 "$target with TLS could not be built: no release"
        install -m 755 "dist/pi-monitor-$target-tls" "$NEW/"
        BUILT+=("pi-monitor-$target-tls")
    done
fi
say "making the packages"
for target in $DEB_TARGETS; do
    if ! wanted "$target"; then continue; fi
    packaging/deb/build-deb.sh -o "$NEW" "$NEW/pi-monitor-$target" >/dev/null || die 1 "the package for $target could not be made"
done
say "listing licenses and parts"
# The binary with TLS has all that the others have, and more.
scripts/lib/notices.py text --tls >"$NEW/THIRD-PARTY-NOTICES.txt"
scripts/lib/notices.py sbom >"$NEW/pi-monitor.cdx.json"
if [ -z "$ONLY" ]; then scripts/lib/notices.py sbom --tls >"$NEW/pi-monitor-tls.cdx.json"; fi
install -m 644 LICENSE "$NEW/LICENSE"
{
    notes
    printf '\n### Built with\n- Commit %s, %s.\n' "$(git rev-parse HEAD)" "$("$RUSTC" --version)"
    printf '\n| file | bytes |\n|---|---:|\n'
    # shellcheck disable=SC2016  # Markdown
    for file in "${BUILT[@]}"; do printf '| `%s` | %s |\n' "$file" "$(wc -c <"$NEW/$file" | tr -d ' ')"; done
} >"$NEW/RELEASE-NOTES.md"
chmod 644 "$NEW"/*.md "$NEW"/*.json "$NEW"/*.txt
files=$(cd "$NEW" && ls)
# shellcheck disable=SC2086  # names without spaces
sums=$(cd "$NEW" && sha256sum $files)
printf "%s\n" "$sums" >"$NEW/SHA256SUMS"
rm -rf "$OUT"
mv "$NEW" "$OUT"
say "version $VERSION is in $OUT:"
(cd "$OUT" && wc -c ./*)
