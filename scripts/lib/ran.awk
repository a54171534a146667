# ran.awk - what a run of tests ran, and what it did not.
#
#   awk -f ran.awk EXPECTED SKIPPED OUTPUT
#
#   EXPECTED  the test binaries that should run, as cargo names them, one per line
#   SKIPPED   "TEST<tab>WHAT IS MISSING", one per line (see tests/e2e/needs.rs)
#   OUTPUT    of cargo test, or of a script that ends with
#             "N passed, N failed, N skipped"
#
# Prints one line that counts, if cargo ran tests, then one for each kind of thing that
# did not run. Works with mawk, gawk and BusyBox awk.

function plural(n, what) { return n " " what (n == 1 ? "" : "s") }
# A binary that began and did not come to its "test result" crashed or was ended.
function close_binary() {
    if (binary != "" && !ended) broken[++broken_count] = binary (announced == "" ? "" : ": " reached " of " announced " tests ended")
    binary = ""
}

# An empty file gives no line, so the name decides and not a count of files.
FILENAME == ARGV[1] { expected[++expected_count] = $0; next }
FILENAME == ARGV[2] {
    split($0, part, "\t")
    if (!((part[2], part[1]) in seen)) {
        seen[part[2], part[1]] = 1
        if (!(part[2] in skipped)) reasons[++reason_count] = part[2]
        skipped[part[2]] = skipped[part[2]] (skipped[part[2]] == "" ? "" : ", ") part[1]
        skipped_count[part[2]]++
    }
    next
}

# Colors, if the terminal has them.
{ gsub(/\033\[[0-9;]*m/, "") }
/^ +Running (unittests )?[^ ]+ \(/ || /^ +Doc-tests / {
    close_binary()
    binary = $1 == "Doc-tests" ? $1 : ($2 == "unittests" ? $3 : $2)
    began[binary] = 1
    binaries++
    ended = reached = 0
    announced = ""
    next
}
binary != "" && /^running [0-9]+ tests?$/ { announced = $2; next }
binary != "" && /^test .* \.\.\. / { reached++; if ($NF == "ignored") ignored++ }
binary != "" && /^test result: / {
    ended = 1
    passed += $4
    failed += $6
    if ($6 > 0) with_failures[++with_failures_count] = binary ": " $6
}
# Scripts with checks of their own.
/^(skip|skipped)[: ]/ {
    line = $0
    sub(/^(skip|skipped)[: ]+/, "", line)
    checks[++check_count] = line
}
/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { last = $0 }

END {
    close_binary()
    if (expected_count > 0 || binaries > 0)
        print binaries + 0 (binaries == 1 ? " test binary: " : " test binaries: ") passed + 0 " passed, " failed + 0 " failed"
    for (i = 1; i <= with_failures_count; i++) print "failed in " with_failures[i]
    for (i = 1; i <= expected_count; i++) if (!(expected[i] in began)) print "did not run: " expected[i]
    for (i = 1; i <= broken_count; i++) print "did not end: " broken[i]
    if (ignored > 0) print plural(ignored, "test") " ignored"
    for (i = 1; i <= reason_count; i++)
        print plural(skipped_count[reasons[i]], "test") " skipped without " reasons[i] ": " skipped[reasons[i]]
    if (last != "") print last
    for (i = 1; i <= check_count; i++) print "skipped: " checks[i]
}
