//! `/proc/net/dev` and `/sys/class/net`: what went through each network interface, and whether it has a link.
//! <https://docs.kernel.org/filesystems/proc.html#networking-info-in-proc-net>

use super::{Collect, Context, Registration};
use crate::cli::Flag;
use crate::cli::pattern::{Pattern, check_pattern};
use crate::kernel::text::{find, lines, take_uint, trim};
use crate::kernel::{Bad, Fault, First, LinkState, Links, Source};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

pub static INTERFACES: Table<1, 11> = Table::new(
    Place::List("interfaces"),
    &["interface"],
    &[
        Family::counter("pi_network_receive_bytes_total", "Bytes received.", Unit::Bytes)
            .more(&More::NONE.history(&[Chart::sum("network_receive").only("pi_network_counted")])),
        Family::counter("pi_network_receive_packets_total", "Packets received.", Unit::Count),
        Family::counter("pi_network_receive_errors_total", "Receive errors, such as damaged packets.", Unit::Count),
        Family::counter("pi_network_receive_dropped_total", "Received packets that were dropped.", Unit::Count),
        Family::counter("pi_network_transmit_bytes_total", "Bytes sent.", Unit::Bytes)
            .more(&More::NONE.history(&[Chart::sum("network_transmit").only("pi_network_counted")])),
        Family::counter("pi_network_transmit_packets_total", "Packets sent.", Unit::Count),
        Family::counter(
            "pi_network_transmit_errors_total",
            "Transmit errors: packets that could not be sent.",
            Unit::Count,
        ),
        Family::counter("pi_network_transmit_dropped_total", "Packets dropped before they were sent.", Unit::Count),
        Family::gauge(
            "pi_network_counted",
            "1 if the interface's bytes count toward the machine's total, 0 if another interface carries them or they stay here.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_network_carrier",
            "1 if an interface that counts has a link, 0 if it has none; absent if it is down on purpose.",
            Unit::Count,
        ),
        Family::counter("pi_network_carrier_changes_total", "Times the link came or went.", Unit::Count),
    ],
);

static EXCLUDE: Flag = Flag {
    words: "collector.network.device-exclude REGEX ",
    help: prose("Interfaces to exclude."),
    check: check_pattern,
};

pub static COLLECTOR: Registration = Registration {
    name: "network",
    summary: prose("bytes, packets, errors, drops and the link of each interface"),
    source: reference("/proc/net/dev, /sys/class/net"),
    needs: Needs::reading("proc/net/dev sys/class/net"),
    tables: &[INTERFACES.head()],
    flags: &[&EXCLUDE],
    new: |setup| {
        let links = Links::new(setup.roots.sys.join("class/net"));
        super::boxed(Network { dev: setup.proc("net/dev").in_small_records(), exclude: setup.pattern(&EXCLUDE), links })
    },
};

struct Network {
    dev: Source,
    exclude: Pattern,
    links: Links,
}

impl Collect for Network {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Network { dev, exclude, links } = self;
        let text = dev.read()?;
        let mut first = First::new();
        let mut place = 0;
        for row in parse(text) {
            let Some(Row { interface, receive, transmit }) = first.keep(row) else { continue };
            if exclude.matches(interface) {
                continue;
            }
            let link = links.get(place, interface).unwrap_or_else(|| {
                links.renew(&mut names(text, exclude));
                links.get(place, interface).unwrap_or_default()
            });
            place += 1;
            let LinkState { counted, carrier, changes } = link;
            // One by one: `map` on arrays takes more instructions than all else here where code is built for size.
            let [rx_bytes, rx_packets, rx_errors, rx_dropped] = receive;
            let [tx_bytes, tx_packets, tx_errors, tx_dropped] = transmit;
            let values = [
                rx_bytes.into(),
                rx_packets.into(),
                rx_errors.into(),
                rx_dropped.into(),
                tx_bytes.into(),
                tx_packets.into(),
                tx_errors.into(),
                tx_dropped.into(),
                counted.into(),
                carrier.into(),
                changes.into(),
            ];
            out.row(&INTERFACES, [interface], values);
        }
        if place < links.known() {
            links.renew(&mut names(text, exclude));
        }
        first.result().map_err(|bad| Fault::parse(dev.path(), bad))
    }

    fn tick(&mut self, context: &mut Context<'_>) {
        self.links.tick(context.moment.since_boot);
    }
}

/// Returns the interfaces that get a row, in the kernel's order.
fn names<'a>(text: &'a [u8], exclude: &Pattern) -> impl Iterator<Item = &'a [u8]> {
    parse(text).flatten().map(|row| row.interface).filter(|name| !exclude.matches(name))
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

#[cfg_attr(small, optimize(speed))]
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

/// Runs the parsers of this file, for its fuzz target.
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

    /// What a second of a wire's traffic comes to in history, where other interfaces count the same bytes again. `files` are those of
    /// `/sys/class/net`.
    fn rate(test: &str, names: &[&str], files: &[(&str, &str)]) -> (f64, f64) {
        use crate::history::{History, Request};
        use crate::kernel::{Machine, RemoteStat, Roots, answer};
        use crate::model::Moment;
        use std::time::Duration;

        let root = std::env::temp_dir().join(format!("pi-monitor-network-{test}-{}", std::process::id()));
        let write = |file: &str, text: &str| {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        std::fs::create_dir_all(root.join("sys")).unwrap();
        write("proc/net/dev", HEADINGS);
        files.iter().for_each(|(file, text)| write(&format!("sys/class/net/{file}"), text));
        let flags = ["proc", "sys"].map(|tree| format!("--path.{tree}fs={}", root.join(tree).display()));
        let options = crate::commands::parse(flags).unwrap();
        let roots = Roots::new(&options);
        let mut collector = (COLLECTOR.new)(&mut super::super::Setup::new(&roots, Machine::default(), &options));
        let mut snapshot = Snapshot::new();
        snapshot.register(COLLECTOR.name, COLLECTOR.tables);
        let mut history = History::new(&snapshot, Duration::from_secs(1));
        let mut remote = RemoteStat::new(answer);
        for second in 1..4 {
            let (received, sent) = (1_000_000 * second, 500_000 * second);
            let row = |name: &&str| format!("{name}: {received} 9 0 0 0 0 0 0 {sent} 9 0 0 0 0 0 0\n");
            write("proc/net/dev", &(HEADINGS.to_owned() + &names.iter().map(row).collect::<String>()));
            let moment = Moment { id: second, since_boot: Duration::from_secs(second), ..Moment::default() };
            snapshot.clear(moment);
            let mut context = Context { moment, remote: &mut remote, levels: &mut (), tick: false, lists: true };
            collector.tick(&mut context);
            collector.collect(&mut context, &mut snapshot).unwrap();
            history.sample(&snapshot);
        }
        std::fs::remove_dir_all(root).unwrap();
        let mut found = (0.0, 0.0);
        history.points(
            &history.span(Request { range: 0, since: None, from: None, to: None, filesystems: false }, 0),
            |series, _| {
                match series.name {
                    "network_receive" => found.0 = series.now.unwrap(),
                    "network_transmit" => found.1 = series.now.unwrap(),
                    _ => {}
                };
            },
        );
        found
    }

    #[test]
    fn the_same_bytes_count_once() {
        let names = [
            "lo",
            "eth0",
            "br0",
            "eth0.10",
            "wg0",
            "tailscale0",
            "bond0",
            "virbr0",
            "cni0",
            "flannel.1",
            "docker0",
            "veth1234",
        ];
        let once = (1_000_000.0, 500_000.0);
        // Of a copied sysfs, of a whole one, and without any.
        let wire = [("lo/type", "772\n"), ("eth0/device/uevent", "")];
        assert_eq!(rate("wire", &names, &wire), once);
        let whole = [
            ("lo/type", "772\n"),
            ("eth0/device/uevent", ""),
            ("eth0/upper_bond0", ""),
            ("bond0/lower_eth0", ""),
            ("br0/lower_bond0", ""),
            ("eth0.10/lower_eth0", ""),
            ("wg0/flags", "0x91\n"),
            ("tailscale0/tun_flags", "0x5001\n"),
            ("virbr0/bridge/bridge_id", ""),
            ("cni0/lower_veth1234", ""),
            ("flannel.1/uevent", "DEVTYPE=vxlan\n"),
            ("docker0/bridge/bridge_id", ""),
            ("veth1234/brport/port_no", ""),
        ];
        assert_eq!(rate("whole", &names, &whole), once);
        assert_eq!(rate("nothing", &names, &[]), once);
        // PPPoE over a VLAN: the kernel names no device below `ppp0`, but gives it one peer (`ppp_setup`).
        let pppoe = [
            ("eth0/device/uevent", ""),
            ("eth0.7/lower_eth0", ""),
            ("ppp0/type", "512\n"),
            ("ppp0/flags", "0x10d1\n"),
            ("ppp0/uevent", "DEVTYPE=ppp\nINTERFACE=ppp0\nIFINDEX=4\n"),
        ];
        assert_eq!(rate("pppoe", &["eth0", "eth0.7", "ppp0"], &pppoe), once);
        // In a container, where `eth0` is an end of a pair and no device.
        let inside = [&[("eth0/type", "1\n")], &pppoe[1..]].concat();
        assert_eq!(rate("pppoe-inside", &["eth0", "eth0.7", "ppp0"], &inside), once);
        // Two wires are two.
        let two = [("eth0/device/uevent", ""), ("eth1/device/uevent", ""), ("bond0/lower_eth0", "")];
        assert_eq!(rate("two", &["eth0", "eth1", "bond0"], &two), (2_000_000.0, 1_000_000.0));
    }

    #[test]
    fn no_headings_is_a_fault() {
        assert!(parse(b"").next().unwrap().is_err());
        assert!(parse(b"garbage\n").next().unwrap().is_err());
    }
}
