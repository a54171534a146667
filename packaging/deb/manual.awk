# manual.awk - makes the manual page pi-monitor(8) of docs/flags.md, which is
# generated from the code: every section there becomes one here, every row of a
# table an item.
#
#   awk -v version=VERSION -v date=YYYY-MM-DD -f manual.awk docs/flags.md

function plain(text) { # Markdown, escaped for roff
    gsub(/\\\|/, "|", text)
    gsub(/`/, "", text)
    text = gensub_links(text)
    gsub(/\\/, "\\(rs", text)
    gsub(/-/, "\\-", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    sub(/^ +/, "", text)
    sub(/ +$/, "", text)
    sub(/^[.']/, "\\\\\\&&", text)
    return text
}

function gensub_links(text,   start, label) { # [label](target) is label
    while (match(text, /\[[^]]*\]\([^)]*\)/)) {
        start = substr(text, 1, RSTART - 1)
        label = substr(text, RSTART + 1, RLENGTH - 1)
        sub(/\].*/, "", label)
        text = start label substr(text, RSTART + RLENGTH)
    }
    return text
}

function cells(row,   i, c, cell, n) {
    delete column
    for (i = 2; i <= length(row); i++) {
        c = substr(row, i, 1)
        if (c == "|" && substr(row, i - 1, 1) != "\\") {
            column[++n] = plain(cell)
            cell = ""
        } else cell = cell c
    }
    return n
}

function item(   i, n, text) {
    n = cells($0)
    print ".TP\n.B " column[1]
    for (i = 2; i <= n; i++) {
        if (column[i] == "") continue
        if (title[i] == "default") text = "(default " column[i] ")"
        else if (title[i] == "reads") print "Reads " column[i] "."
        else print column[i]
    }
    if (text != "") print text
}

BEGIN {
    print ".TH PI\\-MONITOR 8 " date " \"pi\\-monitor " version "\" \"System Administration\""
    print ".ad l\n.SH NAME\npi\\-monitor \\- monitor for small Linux computers"
    print ".SH SYNOPSIS\n.B pi\\-monitor\n.RI [ command ]\n.RI [ flags ]"
    print ".SH DESCRIPTION"
    print "Reads /proc and /sys, and serves a live dashboard, Prometheus metrics and JSON about this machine on port 9100:"
    print ".IR / ,\n.IR /metrics ,\n.I /json\nand\n.IR /health ."
    print "Without a command it serves."
    print ".B pi\\-monitor \\-\\-help\nlists the commands."
}
/^# Flags/ { print ".SH FLAGS"; next }
/^## / { print ".SH " toupper(plain(substr($0, 4))); header = 0; next }
/^### / { print ".SS " plain(substr($0, 5)); header = 0; next }
/^<!--/ || /^\|[-: |]*$/ { next }
/^\|/ {
    if (!header) {
        n = cells($0)
        for (i = 1; i <= n; i++) title[i] = column[i]
        header = 1
    } else item()
    next
}
/^$/ { blank = 1; header = 0; next }
{
    if (blank) print ".PP"
    blank = 0
    print plain($0)
}
END {
    print ".SH EXIT STATUS"
    print ".TP\n.B 0\nDone, or ended by SIGTERM or SIGINT."
    print ".TP\n.B 1\nSomething failed; the message says what."
    print ".TP\n.B 2\nA flag or a value is wrong; the message names it."
    print ".SH FILES"
    print ".TP\n.I /etc/default/pi\\-monitor\nFlags for the service: PI_MONITOR_FLAGS. Restart the service after a change."
    print ".TP\n.I /etc/pi\\-monitor/\nPasswords and keys for the service, readable by root alone. Flags name them as they stand here."
    print ".TP\n.I /usr/lib/pi\\-monitor/see\\-more.conf\nA drop\\-in for the systemd unit that gives the agent more rights."
    print ".SH SEE ALSO"
    print ".BR systemctl (1),\n.BR journalctl (1)"
}
