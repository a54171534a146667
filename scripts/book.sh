#!/usr/bin/env bash
#
# book.sh - builds the book from docs/ into target/book, offline, with its search.
#
#   scripts/book.sh [--help]
#
# Open target/book/index.html in a browser. mdBook (0.4 or 0.5) comes from PATH, from
# Debian's package, which is unpacked in the cache, or from "cargo install" into the
# cache, which takes some minutes, once.
#
# Environment: PI_RUST, PI_INSTALL, XDG_CACHE_HOME (see scripts/lib/toolchain.sh).
#
# Exit status: 0 built without a warning, 1 failed, 2 bad usage, 77 no mdBook.
set -euo pipefail
# shellcheck source=scripts/lib/toolchain.sh
. "$(dirname "$0")/lib/toolchain.sh"
cd "$REPO"

case ${1:-} in
'') ;;
-h | --help) usage; exit 0 ;;
*) die 2 "unknown argument $1 (see --help)" ;;
esac

# The last version of mdBook that was tried, and the Rust that it needs.
MDBOOK=0.5.4 MDBOOK_RUST=1.88

unavailable() { say "no mdBook: $*"; exit 77; }

find_mdbook() {
    local dir=$PI_CACHE/mdbook why
    if have mdbook; then return; fi
    if [ -x "$dir/bin/mdbook" ]; then PATH=$PATH:$dir/bin; return; fi
    if unpacked_package mdbook mdbook; then return; fi
    why=$INSTALL_ERROR
    [ "$PI_INSTALL" = yes ] || unavailable "$why"
    find_rust
    version_at_least "$RUST_VERSION" $MDBOOK_RUST || unavailable "$why; mdbook $MDBOOK needs Rust $MDBOOK_RUST, found $RUST_VERSION"
    need_cc
    say "building mdbook $MDBOOK in $dir (some minutes, once)"
    CARGO_TARGET_DIR=$dir/target bounded 1800 "$CARGO" install --quiet --locked --root "$dir" "mdbook@$MDBOOK" >&2 ||
        unavailable "$why; mdbook $MDBOOK could not be built"
    rm -rf "$dir/target"
    PATH=$PATH:$dir/bin
}

# mdBook wants every chapter below one folder and copies all else that is in that folder
# into the book. So it gets a copy of the repository that has only the chapters and the
# files that they link to, each at its own place, which keeps the links right.
SOURCE=target/book-source BOOK=target/book

# chapters: the files that the summary lists, seen from the root.
chapters() { sed -n 's/.*](\([^)]*\)).*/\1/p' docs/SUMMARY.md | sed 's|^|docs/|; s|^docs/\.\./||'; }

# linked FILE: the files that it links to and shows, seen from the root.
linked() {
    { grep -oE '\]\([^)#]+|src="[^"]+' "$1" || true; } | sed 's/^](//; s/^src="//; /^[a-z]*:/d' | while IFS= read -r link; do
        realpath -m --relative-to . "$(dirname "$1")/$link"
    done
}

# mdBook makes index.html of a README.md, but links to README.html.
renamed() { sed 's|](\([^)]*/\)\{0,1\}README\.md|](\1index.md|g' "$1"; }

stage() {
    local chapter file
    rm -rf $SOURCE $BOOK
    mkdir -p $SOURCE
    cp docs/book.toml $SOURCE
    renamed docs/SUMMARY.md | sed 's|](|](docs/|; s|](docs/\.\./|](|' >$SOURCE/SUMMARY.md
    chapters | while IFS= read -r chapter; do
        { echo "$chapter"; linked "$chapter"; } | while IFS= read -r file; do
            [ -f "$file" ] || die 1 "$chapter: no file $file"
            mkdir -p "$SOURCE/$(dirname "$file")"
            case $file in
            *.md) renamed "$file" >"$SOURCE/${file/%README.md/index.md}" ;;
            *) cp "$file" "$SOURCE/$file" ;;
            esac
        done
    done
}

find_mdbook
stage
say "building with $(mdbook --version)"
# mdBook warns about what it can do without, and succeeds.
status=0
output=$(mdbook build --dest-dir "$REPO/$BOOK" $SOURCE 2>&1) || status=$?
printf '%s\n' "$output"
[ $status = 0 ] || die 1 "mdbook failed"
if printf '%s\n' "$output" | grep -qE 'WARN|ERROR'; then die 1 "mdbook has warnings"; fi
say "built: $BOOK/index.html"
