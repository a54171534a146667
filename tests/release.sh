#!/usr/bin/env bash
#
# release.sh - proves scripts/release.sh: what must be true before a release, and that
# two checkouts in different folders make the same bytes.
#
#   tests/release.sh [TARGET]
#
#   TARGET   what to build (see scripts/build.sh); default: this machine's
#
# Works on copies of the working tree, with changelog and commit of their own; nothing here
# is changed. Builds the agent and its standard library twice: some minutes.
#
# Exit status: 0 all as it has to be, 1 something is not, 77 this machine cannot build it.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/../scripts/lib/toolchain.sh"
cd "$REPO"
TARGET=${1:-$(uname -m)}
case $TARGET in armv7l) TARGET=armv7 ;; armv6l) TARGET=armv6 ;; esac
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
FAILED=0
fail() { FAILED=$((FAILED + 1)); echo "FAIL: $*"; }
# A version of its own, so that a real one is never meant.
VERSION=9.8.7

checkout() { # FOLDER: a copy of the working tree that can be released
    mkdir -p "$1"
    git ls-files -z -co --exclude-standard | while IFS= read -r -d '' file; do if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi; done |
        tar -cf - --null -T - | tar -xf - -C "$1"
    cd "$1"
    sed -i "1,/^version/s/^version = .*/version = \"$VERSION\"/" Cargo.toml
    sed -i "/^name = \"pi-monitor\"/{n;s/.*/version = \"$VERSION\"/}" Cargo.lock
    sed -i "s/^## Unreleased/## Unreleased\n\n## $VERSION - 2030-01-02\n\n### Added\n- A line for the test.\n\n## 9.8.6/" CHANGELOG.md
    git init -q
    git add -A
    GIT_AUTHOR_DATE=2030-01-02T03:04:05Z GIT_COMMITTER_DATE=2030-01-02T03:04:05Z git -c user.name=test -c user.email=test@example.org -c core.hooksPath=/dev/null commit -qm test
    cd "$REPO"
}
refused() { # STATUS TEXT WHAT COMMAND...
    local status=0 wanted=$1 text=$2 what=$3
    shift 3
    "$@" >"$TMP/output" 2>&1 </dev/null || status=$?
    if [ $status = "$wanted" ] && grep -qF -- "$text" "$TMP/output"; then echo "pass: $what"; return; fi
    fail "$what: expected status $wanted and \"$text\", found status $status and:"
    sed 's/^/      /' "$TMP/output" | tail -n 10
}

A=$TMP/a B=$TMP/another-folder-with-a-longer-name
checkout "$A"
checkout "$B"
RELEASE=$A/scripts/release.sh

refused 2 "which version?" "a version is needed" "$RELEASE"
refused 2 "give the version without v: 1.2.3" "v1.2.3 is a tag, not a version" "$RELEASE" v1.2.3
refused 2 "1.2 is not a version" "1.2 is not a version" "$RELEASE" 1.2
refused 2 "unknown target z80" "an unknown target is named" "$RELEASE" --only z80 $VERSION
refused 2 "unknown option --fast" "an unknown option is named" "$RELEASE" --fast $VERSION
mkdir "$TMP/full" && touch "$TMP/full/precious"
refused 2 "is not empty and holds no earlier release" "a folder with other files is not replaced" "$RELEASE" --check --out "$TMP/full" $VERSION
refused 1 "Cargo.toml says version $VERSION, not 1.2.3" "another version than Cargo.toml's is named" "$RELEASE" --check 1.2.3
refused 1 "CHANGELOG.md has no section \"## 1.2.3\"" "a missing section of the changelog is named" "$RELEASE" --check 1.2.3
refused 0 "version $VERSION can be released" "a good checkout can be released" "$RELEASE" --check $VERSION
git -C "$A" tag "v$VERSION"
refused 0 "version $VERSION can be released" "a tag of the same commit is fine" "$RELEASE" --check $VERSION
git -C "$A" tag -f "v$VERSION" "$(git -C "$A" -c user.name=t -c user.email=t@example.org commit-tree -m other 'HEAD^{tree}')" >/dev/null
refused 1 "tag v$VERSION is another commit" "a tag of another commit is named" "$RELEASE" --check $VERSION
git -C "$A" tag -d "v$VERSION" >/dev/null
touch "$A/src/new.rs"
refused 1 "changes that are in no commit, such as src/new.rs" "a file that is in no commit is named" "$RELEASE" --check $VERSION
rm "$A/src/new.rs"

if have ruby; then
    if ruby -ryaml -e 'exit YAML.load_file(ARGV[0])["jobs"]["release"]["steps"].any? { |step| step["run"].to_s.include?("scripts/release.sh") }' .github/workflows/release.yml; then
        echo "pass: the workflow is YAML and calls release.sh"; else fail "the workflow is no YAML, or does not call release.sh"; fi
fi

if ! have dpkg-deb || ! have python3; then
    [ $FAILED = 0 ] || exit 1
    echo "no dpkg-deb or python3 here: nothing was built" >&2
    exit 77
fi
for folder in "$A" "$B"; do
    status=0
    CARGO_TARGET_DIR=$folder/target "$folder/scripts/release.sh" --only "$TARGET" $VERSION >"$TMP/log" 2>&1 </dev/null || status=$?
    if [ $status != 0 ]; then
        tail -n 20 "$TMP/log" | sed 's/^/      /'
        if grep -q "cannot be built here" "$TMP/log"; then exit 77; fi
        fail "the release ended with status $status"
        exit 1
    fi
done
OUT=dist/release-$VERSION
if diff -r "$A/$OUT" "$B/$OUT"; then echo "pass: two folders make the same bytes"; else fail "two folders make different bytes"; fi
if (cd "$A/$OUT" && sha256sum --quiet -c SHA256SUMS) && [ "$(wc -l <"$A/$OUT/SHA256SUMS")" = "$(($(find "$A/$OUT" -type f | wc -l) - 1))" ]; then
    echo "pass: SHA256SUMS has every file"; else fail "SHA256SUMS does not have every file"; fi
if grep -qx -- '- A line for the test.' "$A/$OUT/RELEASE-NOTES.md" && ! grep -q '^## ' "$A/$OUT/RELEASE-NOTES.md"; then
    echo "pass: the notes are the changelog's section"; else fail "the notes are not the changelog's section"; fi
if grep -aqF -e "$HOME/" -e "$TMP" "$A/$OUT/pi-monitor-$TARGET"; then fail "the binary names folders of this machine"; else echo "pass: the binary names no folder of this machine"; fi
if python3 - "$A/$OUT/pi-monitor.cdx.json" "$VERSION" "$A/Cargo.lock" <<'PYTHON'
import json, re, sys
bom = json.load(open(sys.argv[1]))
own = bom["metadata"]["component"]
assert own["version"] == sys.argv[2], own
locked = set(re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"', open(sys.argv[3]).read()))
crates = [c for c in bom["components"] if "purl" in c]
assert len(crates) > 10, len(crates)
for crate in crates:
    assert (crate["name"], crate["version"]) in locked, crate
    assert crate["licenses"] and crate["hashes"], crate
refs = {c["bom-ref"] for c in bom["components"]} | {own["bom-ref"]}
edges = {d["ref"]: d["dependsOn"] for d in bom["dependencies"]}
assert set(edges) == refs and all(set(to) <= refs for to in edges.values())
assert not any(c["name"] == "serde_json" for c in crates), "a dependency of tests only"
PYTHON
then echo "pass: the bill of materials has what is linked, and nothing else"; else fail "the bill of materials is wrong"; fi
for name in hyper tokio ring musl "Rust standard library"; do grep -q "^$name\|^The $name" "$A/$OUT/THIRD-PARTY-NOTICES.txt" || fail "THIRD-PARTY-NOTICES.txt does not mention $name"; done
if [ "$TARGET" = "$(uname -m)" ]; then
    if "$A/$OUT/pi-monitor-$TARGET" --version | grep -q "$VERSION"; then echo "pass: the binary says version $VERSION"; else fail "the binary says another version"; fi
fi
for deb in "$A/$OUT"/*.deb; do
    [ -e "$deb" ] || continue
    if [ "$(dpkg-deb -f "$deb" Version)" = "$VERSION" ]; then echo "pass: the package has version $VERSION"; else fail "$deb has version $(dpkg-deb -f "$deb" Version)"; fi
done
[ $FAILED = 0 ]
