//! `/proc/net/dev`: what went through each network interface.
//! <https://docs.kernel.org/filesystems/proc.html#networking-info-in-proc-net>

use super::{Collect, Context, Registration};
use crate::cli::Flag;
use crate::cli::pattern::{Pattern, check_pattern};
use crate::kernel::text::{find, lines, take_uint, trim};
use crate::kernel::{Bad, Fault, First, Source};
use crate::model::{Chart, Family, Place, Snapshot, Table, Unit, Value};
use crate::runtime::sandbox::Needs;

pub static INTERFACES: Table<1, 8> = Table::new(
    Place::List("interfaces"),
    &["interface"],
    &[
        Family::counter("pi_network_receive_bytes_total", "Bytes received.", Unit::Bytes)
            .history(&[Chart::sum("network_receive").rows(leaves_the_machine)]),
        Family::counter("pi_network_receive_packets_total", "Packets received.", Unit::Count),
        Family::counter("pi_network_receive_errors_total", "Packets that arrived broken.", Unit::Count),
        Family::counter("pi_network_receive_dropped_total", "Packets that arrived and were dropped.", Unit::Count),
        Family::counter("pi_network_transmit_bytes_total", "Bytes sent.", Unit::Bytes)
            .history(&[Chart::sum("network_transmit").rows(leaves_the_machine)]),
        Family::counter("pi_network_transmit_packets_total", "Packets sent.", Unit::Count),
        Family::counter("pi_network_transmit_errors_total", "Packets that could not be sent.", Unit::Count),
        Family::counter("pi_network_transmit_dropped_total", "Packets dropped before they were sent.", Unit::Count),
    ],
);

/// Whether an interface's traffic goes elsewhere; what is sent through the others stays here, or passes one of these too.
pub fn leaves_the_machine(interface: &str) -> bool {
    interface != "lo" && !["veth", "br-", "ifb", "docker"].iter().any(|prefix| interface.starts_with(prefix))
}

static EXCLUDE: Flag = Flag {
    name: "collector.network.device-exclude",
    value: "REGEX",
    default: "",
    help: "Interfaces to exclude.",
    check: check_pattern,
};

pub static COLLECTOR: Registration = Registration {
    name: "network",
    summary: "bytes, packets, errors and drops of each interface",
    source: "/proc/net/dev",
    needs: Needs::reading(&["proc/net/dev"]),
    tables: &[INTERFACES.head()],
    flags: &[&EXCLUDE],
    new: |setup| Box::new(Network { dev: setup.proc("net/dev").in_small_records(), exclude: setup.pattern(&EXCLUDE) }),
};

struct Network {
    dev: Source,
    exclude: Pattern,
}

impl Collect for Network {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let text = self.dev.read()?;
        let mut first = First::new();
        for row in parse(text) {
            let Some(Row { interface, receive, transmit }) = first.keep(row) else { continue };
            if self.exclude.matches(interface) {
                continue;
            }
            let [rx_bytes, rx_packets, rx_errors, rx_dropped] = receive;
            let [tx_bytes, tx_packets, tx_errors, tx_dropped] = transmit;
            let values = [rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped];
            out.row(&INTERFACES, [interface], values.map(Value::from));
        }
        first.result().map_err(|bad| Fault::parse(self.dev.path(), bad))
    }
}

/// One interface; bytes, packets, errors, drops of each direction.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    interface: &'a [u8],
    receive: [u64; 4],
    transmit: [u64; 4],
}

/// Two lines of headings, then lines such as
/// `  eth0: 50858957    2620    0    0    0     0          0         0   151193    1594    0    0    0     0       0          0`
/// with eight columns for each direction. The name ends at the last colon, since alias names hold colons too; old kernels
/// put no space behind it.
fn parse(text: &[u8]) -> impl Iterator<Item = Result<Row<'_>, Bad>> {
    let mut lines = lines(text);
    let headings = lines.by_ref().take(2).filter(|(_, line)| line.contains(&b'|')).count();
    let missing = (headings < 2).then(|| Err(Bad::missing("two lines of headings")));
    let rows = lines.map(|(number, line)| {
        parse_line(line).ok_or_else(|| Bad::new(number, "an interface, a colon and 16 counters", line))
    });
    missing.into_iter().chain(rows)
}

fn parse_line(line: &[u8]) -> Option<Row<'_>> {
    let mut rest = &line[find(b':', line)? + 1..];
    while let Some(colon) = find(b':', rest) {
        rest = &rest[colon + 1..];
    }
    let interface = trim(&line[..line.len() - rest.len() - 1]);
    let mut columns = [0; 16];
    for column in &mut columns {
        *column = take_uint(&mut rest)?;
    }
    let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] =
        columns;
    (trim(rest).is_empty() && !interface.is_empty()).then_some(Row {
        interface,
        receive: [rx_bytes, rx_packets, rx_errors, rx_dropped],
        transmit: [tx_bytes, tx_packets, tx_errors, tx_dropped],
    })
}

/// What the fuzz target of this file runs.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    parse(text).for_each(drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";

    fn rows(lines: &[u8]) -> Vec<Result<Row<'static>, Bad>> {
        let text = Box::leak([HEADINGS.as_bytes(), lines].concat().into_boxed_slice());
        parse(text).collect()
    }

    #[test]
    fn real_lines() {
        let rows = rows(
            b"    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
  eth0: 50858957    2620    1    2    3     4          5         6   151193    1594    7    8    9    10      11         12
",
        );
        assert_eq!(rows.len(), 2);
        let eth0 = Row { interface: b"eth0", receive: [50_858_957, 2620, 1, 2], transmit: [151_193, 1594, 7, 8] };
        assert_eq!(rows[1], Ok(eth0));
    }

    #[test]
    fn odd_names() {
        let counters = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        for (name, space) in [(&b"eth0:1"[..], " "), (b"a\"b\\c{", ""), (b"\xff\xfe", ""), (b"eth0", "")] {
            let line = [b" ", name, b":", space.as_bytes(), counters.as_bytes(), b"\n"].concat();
            let rows = rows(&line);
            let row = rows[0].as_ref().unwrap();
            assert_eq!((row.interface, row.receive, row.transmit), (name, [1, 2, 3, 4], [9, 10, 11, 12]));
        }
    }

    #[test]
    fn one_bad_column_is_an_error_for_that_line_alone() {
        let good = "  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
        for bad in [
            "eth0 1 2 3",
            "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
            "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
            "eth0: 1 2 x 4 5 6 7 8 9 10 11 12 13 14 15 16",
            "eth0: 1 2 -3 4 5 6 7 8 9 10 11 12 13 14 15 16",
            ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
            "",
        ] {
            let rows = rows(format!("{bad}\n{good}").as_bytes());
            assert_eq!(rows[0].as_ref().unwrap_err().line, 3, "{bad}");
            assert_eq!(rows[1].as_ref().unwrap().interface, b"lo");
        }
    }

    #[test]
    fn no_headings_is_a_fault() {
        assert!(parse(b"").next().unwrap().is_err());
        assert!(parse(b"garbage\n").next().unwrap().is_err());
    }
}
