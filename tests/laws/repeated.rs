//! The figures that several documents give: one place that each comes from, and those that repeat it.
//!
//! Limits come from `docs/reference/sizes.md`, which is compared with the code. What was measured comes from the table that the
//! measurement writes. `figures.rs` compares.

/// A file and a line in it: `#` stands for the number, `…` for any text. The number is in units of the last member.
pub type At = (&'static str, &'static str, f64);

/// A figure: where it comes from, and who says it also.
pub struct Figure {
    pub from: At,
    pub also: &'static [At],
}

pub const SIZES: &str = "docs/reference/sizes.md";
pub const COST: &str = "docs/performance.md";

pub const FIGURES: &[Figure] = &[
    // The binary.
    Figure {
        from: ("ARCHITECTURE.md", "bytes in all; it has # now", 1.0),
        also: &[
            ("README.md", "One file of # kB", 1e3),
            ("docs/building.md", "and lists of names in one text, it has #.", 1.0),
            (COST, "The aarch64 binary has # kB in all", 1e3),
            ("docs/security.md", "MB instead of # kB; rustls", 1e3),
        ],
    },
    Figure {
        from: ("scripts/build.sh", "BUDGET=# ", 1.0),
        also: &[
            ("docs/building.md", "aarch64 binary is larger than # bytes (`BUDGET`)", 1.0),
            ("docs/chronicle/size-and-speed.md", "default aarch64 binary is # bytes", 1.0),
        ],
    },
    Figure {
        from: ("docs/building.md", "| no outliner, no lower threshold | # |", 1.0),
        also: &[(COST, "machine outliner… and the binary has # bytes", 1.0)],
    },
    Figure {
        from: ("docs/building.md", "| no outliner, no lower threshold | …| # |", 1.0),
        also: &[(COST, "machine outliner… it is #,", 1.0)],
    },
    Figure {
        from: ("docs/building.md", "| three more runs, threshold 15 | …| # |", 1.0),
        also: &[(COST, "counted in QEMU's user mode …: **#**", 1.0)],
    },
    Figure {
        from: ("docs/building.md", "now it adds #.", 1.0),
        also: &[
            ("docs/building.md", "no frame pointers in C code | …| # |", 1.0),
            ("ARCHITECTURE.md", "`rustls-webpki` and `ring` (# bytes in all)", 1.0),
        ],
    },
    // What it costs.
    Figure {
        from: (COST, "| PSS after load, everything on | …| # kB", 1e3),
        also: &[
            (COST, "| Pi-Monitor, everything on | … kB | # kB", 1e3),
            ("README.md", "in one run: # MB of memory", 1e6),
            ("docs/chronicle/decisions.md", "no data races, # MB of memory", 1e6),
            ("docs/fix/README.md", "usual figures: about # MB of memory", 1e6),
        ],
    },
    Figure {
        from: (COST, "| node_exporter, its defaults | … kB | # kB", 1e3),
        also: &[
            ("README.md", "MB of memory instead of #, and", 1e6),
            ("docs/chronicle/decisions.md", "MB of memory instead of # for node_exporter's defaults", 1e6),
        ],
    },
    Figure {
        from: (COST, "| everything on, CPU ÷ node_exporter's defaults | ≤ 1/15 | 1/# |", 1.0),
        also: &[
            ("README.md", "scrape takes a # of the CPU time", 1.0),
            (COST, "**Everything on, 1/# of node_exporter's defaults instead", 1.0),
        ],
    },
    Figure {
        from: (COST, "| one client, five collectors: CPU ÷ floor | …| # ", 1.0),
        also: &[(COST, "| Pi-Monitor, five collectors | …| # (", 1.0), (COST, "**One client, # instead of", 1.0)],
    },
    Figure {
        from: (COST, "| 300 interfaces, five collectors: CPU ÷ floor | …| # ", 1.0),
        also: &[(COST, "| 300 interfaces | …| …| # (", 1.0), (COST, "**300 interfaces, # instead of", 1.0)],
    },
    Figure {
        from: (COST, "| idle with history: CPU per second | …| # µs", 1.0),
        also: &[(COST, "**Idle, # µs of CPU per second", 1.0)],
    },
    Figure {
        from: (COST, "| idle with history: wake-ups per second …| …| # |", 1.0),
        also: &[(COST, "**Idle, …, and # wake-ups", 1.0)],
    },
    Figure {
        from: (COST, "| PSS idle, everything on | …| # kB", 1.0),
        also: &[(COST, "**Memory with everything on, # kB", 1.0)],
    },
    Figure {
        from: (COST, "| exec to first answer, everything on | …| # ms", 1.0),
        also: &[(COST, "**First answer after # ms", 1.0)],
    },
    Figure {
        from: (COST, "| 12 s after a start with a week on disk | …| # kB", 1e3),
        also: &[("README.md", "as after a week, it is # MB", 1e6)],
    },
    Figure {
        from: ("benches/memory.py", "FIRST_MAX, FULL_MAX, DIALECT_MAX = #,", 1.0),
        also: &[(COST, "| 12 s after a first start | ≤ # kB", 1.0)],
    },
    Figure {
        from: ("benches/memory.py", "FIRST_MAX, FULL_MAX, DIALECT_MAX = …, #,", 1.0),
        also: &[(COST, "| 12 s after a start with a week on disk | ≤ # kB", 1.0)],
    },
    // What is written.
    Figure {
        from: (SIZES, "| what may reach the block device in a day of running | # bytes", 1.0),
        also: &[
            ("README.md", "with at most # MB of writes a day", 1e6),
            ("ARCHITECTURE.md", "A day of running may cost # MB at the block device", 1e6),
            ("CHANGELOG.md", "no more than # MB a day is written to the card", 1e6),
            ("docs/deploying.md", "and no day more than # MB", 1e6),
            ("docs/fix/messages.md", "the budget of # MB a day", 1e6),
            ("docs/understand/journal.md", "may cost at most # MB at the block device", 1e6),
            ("docs/chronicle/decisions.md", "and no day more than # MB", 1e6),
            ("docs/chronicle/hangs.md", "The budget is # MB a day", 1e6),
            ("docs/rooms/agent.md", "A day of running may cost # bytes", 1.0),
        ],
    },
    Figure {
        from: ("docs/deploying.md", "A quiet day costs about # kB", 1.0),
        also: &[("docs/chronicle/decisions.md", "A quiet day costs about # kB", 1.0)],
    },
    Figure {
        from: (SIZES, "| a file of the journal | # bytes", 1.0),
        also: &[
            ("CHANGELOG.md", "in two files of # MB at most", 1e6),
            ("docs/do/read-only-root.md", "two files of # MB at most", 1e6),
            ("docs/understand/journal.md", "of at most # MB each", 1e6),
            ("docs/deploying.md", "| `journal.0`, `journal.1` | # bytes at most", 1.0),
            ("docs/reference/files.md", "| `journal.0`, `journal.1` | # bytes at most", 1.0),
            ("docs/rooms/history.md", "Two files are used in turn, at most # bytes each", 1.0),
        ],
    },
    // The past.
    Figure {
        from: (SIZES, "| rings: step and reach in seconds | … 2 minutes for # days", 1.0),
        also: &[
            ("README.md", "of the last 10 minutes to # days", 1.0),
            ("ARCHITECTURE.md", "2 minutes for # days", 1.0),
            ("docs/history.md", "keeps the charted series in memory, for # days", 1.0),
            ("docs/rooms/history.md", "| 2 minutes | # days", 1.0),
            ("docs/start/the-page.md", "from 2 minutes to # days", 1.0),
            ("docs/understand/one-value.md", "the rings for 6 hours and # days", 1.0),
        ],
    },
    Figure {
        // 127 points, three hours apart.
        from: ("docs/history.md", "how full filesystems were, for #.", 1.0),
        also: &[
            ("src/history/space.rs", "const SLOTS: u64 = #;", 3.0 / 24.0),
            ("README.md", "how full filesystems were in the last # days", 1.0),
            ("CHANGELOG.md", "How full each filesystem was in the last # days", 1.0),
            ("docs/dashboard.md", "what was in use in the last # days", 1.0),
            ("docs/query/cookbook.md", "the trend of up to # days", 1.0),
            ("docs/query/rules.md", "the trend of up to # days", 1.0),
            ("docs/runbooks/PiFilesystemFullSoon.md", "what was in use in the last # days", 1.0),
            ("docs/chronicle/decisions.md", "over # days in steps of three hours", 1.0),
            ("docs/chronicle/verdicts.md", "over # days in steps of three hours", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| the buffer of events | # KiB", 1.0),
        also: &[
            ("ARCHITECTURE.md", "one buffer of # KiB", 1.0),
            ("docs/events.md", "kept in # KiB of RAM", 1.0),
            ("docs/rooms/history.md", "is one buffer of # KiB", 1.0),
            ("docs/chronicle/decisions.md", "## # KiB of events", 1.0),
        ],
    },
    Figure {
        from: ("docs/events.md", "which hold from 100 to # events", 1.0),
        also: &[("docs/chronicle/decisions.md", "with a fixed layout: 100 to # events", 1.0)],
    },
    Figure {
        from: (SIZES, "| points of a series in one answer | # |", 1.0),
        also: &[("docs/rooms/history.md", "more than # points in the range", 1.0)],
    },
    // Clients.
    Figure {
        from: (SIZES, "| connections at once; …| # |", 1.0),
        also: &[("docs/security.md", "all # connections can be taken", 1.0)],
    },
    Figure {
        from: (SIZES, "| a request's head | # KiB", 1.0),
        also: &[("docs/security.md", "| head of a request | # KiB", 1.0)],
    },
    Figure {
        from: (SIZES, "| headers in it | # |", 1.0),
        also: &[
            ("docs/security.md", "| head of a request | …, # headers", 1.0),
            ("docs/reference/http.md", "`more than # headers", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| what the kernel may hold of an answer | # KiB", 1.0),
        also: &[("docs/security.md", "unread for one connection | # KiB", 1.0)],
    },
    Figure {
        from: (SIZES, "| connections of one address …| # |", 1.0),
        also: &[
            ("docs/fix/README.md", "Of one address # connections stay open", 1.0),
            ("docs/security.md", "Of each address # connections stay open", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| a request's first line | # bytes", 1.0),
        also: &[
            ("docs/reference/http.md", "a first line of more than # bytes", 1.0),
            ("docs/understand/connections.md", "refuses first lines of more than # bytes", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| time that it stays open after that | # s", 1.0),
        also: &[
            ("docs/security.md", "| idle connection | …, and # s more without", 1.0),
            ("docs/understand/connections.md", "nothing, without buffers  ──┘  # s", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| memory of pages on their way to clients | # MiB", 1.0),
        also: &[("docs/rooms/server.md", "the memory of pages on their way to # MiB", 1.0)],
    },
    Figure {
        from: (SIZES, "| time for requests in flight …| # s", 1.0),
        also: &[
            ("docs/reference/commands.md", "gives requests # s", 1.0),
            ("docs/rooms/commands.md", "gives requests # s", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| time that shares a collection | # ms", 1.0),
        also: &[
            ("ARCHITECTURE.md", "Requests within # ms share it", 1.0),
            ("docs/reference/http.md", "requests within # ms share one collection", 1.0),
            ("docs/rooms/agent.md", "Requests within # ms get the same bytes", 1.0),
            ("docs/rooms/agent.md", "Requests within # ms share a collection", 1.0),
            ("docs/rooms/overview.md", "everybody who asks within # ms", 1.0),
            ("docs/understand/tasks.md", "A second request within # ms", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| a shown command line | # bytes", 1.0),
        also: &[("docs/reference/http.md", "the first # bytes of its command line", 1.0)],
    },
    Figure {
        from: (SIZES, "| the shortest token | # bytes", 1.0),
        also: &[
            ("docs/security.md", "lines `bearer TOKEN` (# characters or more)", 1.0),
            ("docs/fix/messages.md", "expected a token of at least # characters", 1.0),
        ],
    },
    Figure {
        from: (COST, "| PSS per idle connection, …| …| # kB", 1.0),
        also: &[("docs/understand/connections.md", "An idle connection takes # kB", 1.0)],
    },
    Figure {
        from: (COST, "| PSS per idle connection, … kB (#", 1.0),
        also: &[
            ("docs/understand/connections.md", "kB then, instead of # (", 1.0),
            ("docs/chronicle/size-and-speed.md", "## # kilobytes for a connection that does nothing", 1.0),
        ],
    },
    // What is sent.
    Figure {
        from: ("docs/rooms/outbound.md", "or # kB for an hour", 1.0),
        also: &[("docs/do/behind-nat.md", "metrics takes about # kB of memory", 1.0)],
    },
    Figure {
        from: ("docs/rooms/outbound.md", "or more than # KiB of changes, is dropped", 1.0),
        also: &[("docs/do/behind-nat.md", "of more than # KiB of changes", 1.0)],
    },
    Figure {
        from: (COST, "the agent and its courier take # MB more", 1.0),
        also: &[("docs/rooms/outbound.md", "the agent and its courier take # MB more", 1.0)],
    },
    Figure {
        from: (COST, "the agent and its courier take … MB more, and # MB", 1.0),
        also: &[("docs/rooms/outbound.md", "the agent and its courier take … MB more, and # MB", 1.0)],
    },
    // The kernel, and files of other programs.
    Figure {
        from: (SIZES, "| a kernel file that is read | # MiB", 1.0),
        also: &[
            ("docs/security.md", "a file that goes on forever | an error after # MiB", 1.0),
            ("docs/rooms/kernel.md", "A file larger than # MiB is refused", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| time for one mount that may hang | # s", 1.0),
        also: &[
            ("ARCHITECTURE.md", "A mount that does not answer within # s", 1.0),
            ("docs/security.md", "which waits # s for one mount", 1.0),
            ("docs/fix/messages.md", "gave no answer within # s", 1.0),
            ("docs/rooms/kernel.md", "each within # s", 1.0),
            ("docs/chronicle/hangs.md", "one at a time, and has # s for each", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| time for all of them together | # s", 1.0),
        also: &[
            ("ARCHITECTURE.md", "A collection waits at most # s for all such mounts together", 1.0),
            ("docs/security.md", "for one mount and # s", 1.0),
            ("docs/security.md", "the slowest collection takes # s", 1.0),
            ("docs/rooms/agent.md", "waits for the helper, at most # s", 1.0),
            ("docs/rooms/kernel.md", "and all within # s", 1.0),
        ],
    },
    Figure {
        from: (SIZES, "| files | # |", 1.0),
        also: &[("docs/do/metric-of-my-own.md", "and all together # files", 1.0)],
    },
    Figure {
        from: (SIZES, "| a file | # KiB", 1.0),
        also: &[("docs/do/metric-of-my-own.md", "a file may have # KiB", 1.0)],
    },
    Figure {
        from: (SIZES, "| samples of all files | # KiB", 1.0),
        also: &[("docs/do/metric-of-my-own.md", "all together … files, # KiB", 1.0)],
    },
    Figure {
        from: (SIZES, "| families in all files | # |", 1.0),
        also: &[("docs/do/metric-of-my-own.md", "KiB, # families", 1.0)],
    },
    Figure {
        from: (SIZES, "| series in all files | # |", 1.0),
        also: &[("docs/do/metric-of-my-own.md", "families and # series", 1.0)],
    },
    Figure {
        from: (SIZES, "| lines of log in 10 s | # |", 1.0),
        also: &[
            ("ARCHITECTURE.md", "receives at most # lines in 10 s", 1.0),
            ("docs/fix/messages.md", "At most # lines are written in 10 s", 1.0),
            ("docs/reference/files.md", "the log, at most # lines in 10 s", 1.0),
        ],
    },
];
