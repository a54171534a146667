//! `/proc/mdstat`: arrays of disks (software RAID), the disks that they lack, and what is being rebuilt.
//! <https://docs.kernel.org/admin-guide/md.html>

use super::counters::each_line;
use super::{Collect, Context, Registration};
use crate::kernel::text::{find, take_word, uint};
use crate::kernel::{Bad, Fault, Source};
use crate::model::{Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;
use std::io;

/// What the kernel may be doing to an array, as it calls it.
const ACTIONS: [&str; 4] = ["resync", "recovery", "reshape", "check"];

pub static ARRAYS: Table<2, 11> = Table::new(
    Place::List("arrays"),
    &["array", "level"],
    &[
        Family::gauge(
            "pi_mdraid_active",
            "1 if the array works, 0 if it was not started or is broken; absent of a container of arrays.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_mdraid_disks",
            "Disks of the array: in use, missing from it, kept as spares, and failed.",
            Unit::Count,
        )
        .more(&More::NONE.by("state", &["active", "missing", "spare", "failed"])),
        Family::gauge("pi_mdraid_size_bytes", "Size of the array.", Unit::Bytes),
        Family::gauge("pi_mdraid_action", "1 for what the kernel is doing to the array or about to do.", Unit::Count)
            .more(&More::NONE.by("action", &ACTIONS)),
        Family::gauge(
            "pi_mdraid_progress_percent",
            "How much of that is done; absent while nothing is.",
            Unit::Percent,
        ),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "mdraid",
    summary: prose("software RAID: arrays, their disks, and what is being rebuilt"),
    source: reference("/proc/mdstat"),
    needs: Needs::reading("proc/mdstat"),
    tables: &[ARRAYS.head()],
    flags: &[],
    new: |setup| super::boxed(MdRaid { mdstat: setup.proc("mdstat") }),
};

struct MdRaid {
    mdstat: Source,
}

impl Collect for MdRaid {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let mut push = |array: &Array<'_>| out.row(&ARRAYS, [array.name, array.level], array.values);
        match self.mdstat.try_read().map(|text| parse(text, &mut push)) {
            // The driver is not loaded.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Fault::read(self.mdstat.path(), error)),
            Ok(parsed) => parsed.map_err(|bad| self.mdstat.refuse(bad)),
        }
    }
}

/// One array, with the values of its row.
struct Array<'a> {
    name: &'a [u8],
    level: &'a [u8],
    values: [Value; 11],
}

/// Hands each array to `found`.
///
/// ```text
/// Personalities : [raid1]
/// md6 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]
///       195310144 blocks [2/1] [U_]
///       [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec
///
/// unused devices: <none>
/// ```
fn parse<'a>(text: &'a [u8], found: &mut dyn FnMut(&Array<'a>)) -> Result<(), Bad> {
    let mut open: Option<Array<'_>> = None;
    let result = each_line(text, &mut |number, line| {
        let mut rest = line;
        let Some(first) = take_word(&mut rest) else { return Ok(()) };
        if matches!(line[0], b' ' | b'\t') {
            return open.as_mut().map_or(Ok(()), |array| more(number, line, &mut array.values));
        }
        if matches!(first, b"Personalities" | b"unused") {
            return Ok(());
        }
        // What follows is not the last array's.
        if let Some(array) = open.take() {
            found(&array);
        }
        let colon = take_word(&mut rest);
        let Some(state) = take_word(&mut rest).filter(|_| colon == Some(b":")) else {
            return Err(Bad::new(number, "an array, a colon and its state", line));
        };
        let mut array = Array { name: first, level: b"", values: [Value::ABSENT; 11] };
        let (mut used, mut spare, mut failed) = (0_u64, 0_u64, 0_u64);
        while let Some(word) = take_word(&mut rest) {
            match word {
                [b'(', ..] => {}
                [.., b'(', b'F', b')'] => failed += 1,
                [.., b'(', b'S', b')'] => spare += 1,
                [.., b']' | b')'] => used += 1,
                level => array.level = level,
            }
        }
        let is_active = state == b"active";
        array.values[ACTIVE] = is_active.into();
        if is_active {
            // Without redundancy, the kernel does not say how many there should be: with one less, there is no array.
            array.values[USED] = used.into();
            array.values[MISSING] = 0_u64.into();
        }
        array.values[SPARE] = spare.into();
        array.values[FAILED] = failed.into();
        array.values[ACTION..ACTION + ACTIONS.len()].fill(0_u64.into());
        open = Some(array);
        Ok(())
    });
    if let Some(array) = open {
        found(&array);
    }
    result
}

/// The places of an array's values.
const ACTIVE: usize = 0;
const USED: usize = 1;
const MISSING: usize = 2;
const SPARE: usize = 3;
const FAILED: usize = 4;
const SIZE: usize = 5;
const ACTION: usize = 6;
const PROGRESS: usize = 10;

/// Takes what a further line says of an array, such as `976 blocks [2/1]`, `recovery = 8.5%`, `check =100.0%`, `resync=DELAYED`.
fn more(number: usize, line: &[u8], values: &mut [Value; 11]) -> Result<(), Bad> {
    let mut rest = line;
    let mut before = &b""[..];
    let mut acts = false;
    while let Some(word) = take_word(&mut rest) {
        if word == b"blocks" {
            let Some(kib) = uint(before) else { return Err(Bad::new(number, "a number of blocks", line)) };
            values[SIZE] = kib.saturating_mul(1024).into();
        }
        before = word;
        // Of the containers that firmware RAID keeps its arrays in, none is ever started. Their arrays name them: `external:/md127/0`.
        if let Some([letter, ..]) = word.strip_prefix(b"external:") {
            if letter.is_ascii_alphabetic() && !values[USED].is_present() {
                values[ACTIVE] = Value::ABSENT;
            }
        }
        let end = find(b'=', word).unwrap_or(word.len());
        for (place, action) in ACTIONS.iter().enumerate() {
            if word[..end] == *action.as_bytes() {
                values[ACTION + place] = 1_u64.into();
                acts = true;
            }
        }
        if acts && !values[PROGRESS].is_present() {
            values[PROGRESS] = percent(word).into();
        }
        if let Some((all, used)) = disks(word).filter(|_| values[USED].is_present()) {
            values[USED] = used.into();
            values[MISSING] = all.saturating_sub(used).into();
        }
    }
    Ok(())
}

/// `[2/1]`: how many disks there should be, and how many are in use.
fn disks(word: &[u8]) -> Option<(u64, u64)> {
    let inner = word.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let slash = find(b'/', inner)?;
    Some((uint(&inner[..slash])?, uint(&inner[slash + 1..])?))
}

/// `8.5%` or `=100.0%`.
fn percent(word: &[u8]) -> Option<Value> {
    let number = word.strip_suffix(b"%")?;
    Value::parse(number.strip_prefix(b"=").unwrap_or(number))
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = parse(text, &mut |_| ());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of each array, in short.
    fn arrays(text: &str) -> (Vec<String>, Option<usize>) {
        let mut all = Vec::new();
        let bad = parse(text.as_bytes(), &mut |array| {
            let values: Vec<_> = array.values.iter().map(|value| format!("{value:?}")).collect();
            let values = values.join(" ").replace("absent", "-");
            all.push(format!("{} {} {values}", array.name.escape_ascii(), array.level.escape_ascii()));
        });
        (all, bad.err().map(|bad| bad.line))
    }

    #[test]
    fn real_files() {
        // From node_exporter's fixtures (Apache License 2.0), which its users sent in.
        let text = "Personalities : [linear] [multipath] [raid0] [raid1] [raid6] [raid5] [raid4] [raid10]

md3 : active raid6 sda1[8] sdh1[7] sdg1[6] sdf1[5] sde1[11] sdd1[3] sdc1[10] sdb1[9] sdd1[10](S) sdd2[11](S)
      5853468288 blocks super 1.2 level 6, 64k chunk, algorithm 2 [8/8] [UUUUUUUU]

md4 : inactive raid1 sda3[0](F) sdb3[1](S)
      4883648 blocks [2/2] [UU]

md6 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]
      195310144 blocks [2/1] [U_]
      [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec

md7 : active raid6 sdb1[0] sde1[3] sdd1[2] sdc1[1](F)
      7813735424 blocks super 1.2 level 6, 512k chunk, algorithm 2 [4/3] [U_UU]
      bitmap: 0/30 pages [0KB], 65536KB chunk

md9 : active raid1 sdc2[2] sdd2[3] sdb2[1] sda2[0] sde[4](F) sdf[5](F) sdg[6](S)
      523968 blocks super 1.2 [4/4] [UUUU]
      resync=DELAYED

md11 : active (auto-read-only) raid1 sdb2[0] sdc2[1] sdc3[2](F) hda[4](S) ssdc2[3](S)
      4190208 blocks super 1.2 [2/2] [UU]
      	check =100.0% (4190208/4190208) finish=0.0min speed=1K/sec

md12 : active raid0 sdc2[0] sdd2[1]
      3886394368 blocks super 1.2 512k chunks

md219 : inactive sdb[2](S) sdc[1](S) sda[0](S)
        7932 blocks super external:imsm

unused devices: <none>
";
        let expected = [
            "md3 raid6 1 8 0 2 0 5993951526912 0 0 0 0 -",
            "md4 raid1 0 - - 1 1 5000855552 0 0 0 0 -",
            "md6 raid1 1 1 1 1 1 199997587456 0 1 0 0 8.5",
            "md7 raid6 1 3 1 0 1 8001265074176 0 0 0 0 -",
            "md9 raid1 1 4 0 1 2 536543232 1 0 0 0 -",
            "md11 raid1 1 2 0 2 1 4290772992 0 0 0 1 100",
            "md12 raid0 1 2 0 0 0 3979667832832 0 0 0 0 -",
            "md219  - - - 3 0 8122368 0 0 0 0 -",
        ];
        assert_eq!(arrays(text), (expected.map(str::to_owned).to_vec(), None));
    }

    #[test]
    fn one_bad_line_does_not_hide_the_others() {
        let good = "md0 : active raid1 sda1[0] sdb1[1]\n      9 blocks [2/2] [UU]\n";
        let expected = vec!["md0 raid1 1 2 0 0 0 9216 0 0 0 0 -".to_owned()];
        for bad in ["garbage", "md1", "md1 active", "md1 :"] {
            assert_eq!(arrays(&format!("{bad}\n{good}")), (expected.clone(), Some(1)), "{bad}");
        }
        let (all, line) = arrays(&format!("md1 : active raid1 sdc[0]\n      many blocks [x/1]\n{good}"));
        assert_eq!((all.len(), all[1] == expected[0], line), (2, true, Some(2)));
        assert_eq!(arrays(""), (Vec::new(), None));
        assert_eq!(arrays("Personalities :\nunused devices: <none>\n"), (Vec::new(), None));
    }
}
