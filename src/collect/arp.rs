//! `/proc/net/arp`: neighbors on each network interface, as the kernel knows them for IPv4.
//! <https://man7.org/linux/man-pages/man5/proc_net.5.html>

use super::counters::{each_line, split};
use super::{Collect, Context, Registration};
use crate::kernel::{Bad, Fault, Source};
use crate::model::{Family, Place, Snapshot, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;

static INTERFACES: Table<1, 1> = Table::new(
    Place::List("interfaces"),
    &["interface"],
    &[Family::gauge(
        "pi_arp_entries",
        "IPv4 neighbors in the kernel's table, those that did not answer included.",
        Unit::Count,
    )],
);

pub static COLLECTOR: Registration = Registration {
    name: "arp",
    summary: prose("IPv4 neighbors on each interface"),
    source: reference("/proc/net/arp"),
    needs: Needs::reading("proc/net/arp"),
    tables: &[INTERFACES.head()],
    flags: &[],
    new: |setup| super::boxed(Arp { table: setup.proc("net/arp").in_small_records(), interfaces: Vec::new() }),
};

struct Arp {
    table: Source,
    /// Names with counts, kept for their room.
    interfaces: Vec<(Vec<u8>, u64)>,
}

impl Collect for Arp {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Arp { table, interfaces } = self;
        for (_, count) in &mut *interfaces {
            *count = 0;
        }
        let Ok(text) = table.try_read() else { return Ok(()) };
        let result = parse(text, &mut |name| match interfaces.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => interfaces.push((name.to_owned(), 1)),
        });
        interfaces.retain(|(_, count)| *count > 0);
        for (name, count) in &*interfaces {
            out.row(&INTERFACES, [name], [(*count).into()]);
        }
        result.map_err(|bad| Fault::parse(table.path(), bad))
    }
}

/// A line of headings, then lines such as `192.168.1.1  0x1  0x2  cc:aa:dd:ee:aa:bb  *  eth0`.
fn parse(text: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<(), Bad> {
    each_line(text, &mut |number, line| {
        let mut columns = [&b""[..]; 6];
        // No interface's name has a blank (`dev_valid_name`).
        match split(line, &mut columns) {
            _ if number == 1 => {}
            6.. => found(columns[5]),
            _ => return Err(Bad::new(number, "six columns, the last one an interface", line)),
        }
        Ok(())
    })
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = parse(text, &mut |_| ());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines() {
        let text = b"IP address       HW type     Flags       HW address            Mask     Device
192.168.1.1      0x1         0x2         cc:aa:dd:ee:aa:bb     *        eth0
192.168.1.9      0x1         0x0         00:00:00:00:00:00     *        eth0
garbage
10.0.0.1         0x1         0x2         de:ad:be:ef:00:00     *        wlan0
";
        let mut names = Vec::new();
        let bad = parse(text, &mut |name| names.push(name.to_owned()));
        assert_eq!((names.concat(), bad.unwrap_err().line), (b"eth0eth0wlan0".to_vec(), 4));
        assert!(parse(b"", &mut |_| panic!()).is_ok());
    }
}
