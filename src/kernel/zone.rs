//! `/etc/localtime`: which time zone the machine has, and how far it is from UTC (RFC 9636).

use super::{read_into, read_once};
use crate::model::find;
use std::path::{Path, PathBuf};

/// A file of the time zone database; empty if the machine has none.
#[derive(Debug, Default)]
pub struct Zone(Vec<u8>);

/// Returns the name of the time zone of the machine with this root directory, such as `Europe/Berlin`; `None` where no file has it.
pub fn zone_name(root: &Path) -> Option<Vec<u8>> {
    let target = std::fs::read_link(root.join("etc/localtime")).unwrap_or_default();
    const FOLDER: &str = "zoneinfo/";
    match target.to_str().and_then(|path| path.get(find(path, FOLDER)? + FOLDER.len()..)) {
        Some(name) => Some(name.into()),
        // A copy has no name. Debian has it here, too.
        None => read_once(&root.join("etc/timezone")),
    }
}

impl Zone {
    /// Reads the zone that the environment names, or else the machine's own.
    pub fn of_machine() -> Self {
        let name = std::env::var_os("TZ").unwrap_or_default();
        let name = name.to_str().map(|name| name.trim_start_matches(':')).unwrap_or_default();
        // An absolute name replaces the directory.
        let path =
            if name.is_empty() { "/etc/localtime".into() } else { PathBuf::from("/usr/share/zoneinfo").join(name) };
        let mut data = Vec::new();
        let _ = read_into(&path, &mut data);
        Zone(data)
    }

    /// Reads the zone of the machine with this root directory.
    pub fn at(root: &Path) -> Self {
        let mut data = Vec::new();
        let _ = read_into(&root.join("etc/localtime"), &mut data);
        Zone(data)
    }

    /// Returns what is added to UTC at this Unix time, in seconds; see [`offset_and_name`].
    pub fn offset(&self, unix: i64) -> Option<i64> {
        offset_and_name(&self.0, unix).map(|(offset, _)| offset)
    }
}

/// Returns what is added to UTC at this Unix time, in seconds, and the short name of that. `data` is what
/// `/etc/localtime` holds. `None` if it does not say: beyond its last change, some files only have a rule for the years to come.
pub fn offset_and_name(data: &[u8], unix: i64) -> Option<(i64, &[u8])> {
    let number = |at: usize, width: usize| {
        let bytes = data.get(at..at.checked_add(width)?)?;
        let number = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some(if width == 4 { i64::from(number as i32) } else { number as i64 })
    };
    let head = |at: usize| {
        let mut counts = [0; 6];
        for (place, count) in counts.iter_mut().enumerate() {
            *count = u16::try_from(number(at + 20 + 4 * place, 4)?).ok()?.into();
        }
        (data.get(at..at + 4)? == b"TZif" && *data.get(at + 4)? >= b'2').then_some(counts)
    };
    // The first half has the same in 32 bits.
    let [utc, standard, leaps, times, types, letters] = head(0)?;
    let second = 44 + times * 5 + types * 6 + letters + leaps * 8 + standard + utc;
    let [utc, standard, leaps, times, types, letters] = head(second)?;
    let start = second + 44;
    let mut passed = 0;
    while passed < times && number(start + passed * 8, 8)? <= unix {
        passed += 1;
    }
    let kinds = start + times * 8;
    let rule = kinds + times + types * 6 + letters + leaps * 12 + standard + utc;
    if passed == times && data.get(rule..)?.contains(&b',') {
        return None;
    }
    let kind = if passed == 0 { 0 } else { *data.get(kinds + passed - 1)? };
    let kind = kinds + times + usize::from(kind) * 6;
    let name = data.get(kinds + times + types * 6 + usize::from(*data.get(kind + 5)?)..)?;
    Some((number(kind, 4)?, name.split(|&byte| byte == 0).next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zone that changes from 1 to 2 hours at 1000 and back at 2000.
    fn zone(rule: &str) -> Zone {
        let head = |times: u32| {
            let counts = [0, 0, 0, times, 2, 4].map(u32::to_be_bytes).concat();
            [b"TZif2".to_vec(), vec![0; 15], counts].concat()
        };
        let kinds = [3600_u32, 7200].map(|offset| [&offset.to_be_bytes()[..], &[0, 0]].concat()).concat();
        let times = [1000_u64, 2000].map(u64::to_be_bytes).concat();
        Zone(
            [
                head(0),
                kinds.clone(),
                b"ABC\0".to_vec(),
                head(2),
                times,
                vec![1, 0],
                kinds,
                b"ABC\0".to_vec(),
                rule.into(),
            ]
            .concat(),
        )
    }

    #[test]
    fn offsets() {
        let seen = |rule: &str| [-5, 999, 1000, 1999, 2000, i64::MAX].map(|unix| zone(rule).offset(unix));
        let fixed = [3600, 3600, 7200, 7200, 3600, 3600].map(Some);
        assert_eq!(seen("\nABC-1\n"), fixed);
        let [first, second, third, fourth, ..] = fixed;
        assert_eq!(seen("\nABC-1ABD,M3.5.0,M10.5.0/3\n"), [first, second, third, fourth, None, None]);
    }

    #[test]
    fn names() {
        let root = std::env::temp_dir().join(format!("pi-monitor-zone-{}", std::process::id()));
        let link = root.join("etc/localtime");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        assert_eq!(zone_name(&root), None);
        std::fs::write(root.join("etc/timezone"), "Asia/Tokyo\n").unwrap();
        assert_eq!(zone_name(&root).unwrap(), b"Asia/Tokyo");
        std::fs::write(&link, "TZif2").unwrap();
        assert_eq!(zone_name(&root).unwrap(), b"Asia/Tokyo");
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("../usr/share/zoneinfo/America/Argentina/Ushuaia", &link).unwrap();
        assert_eq!(zone_name(&root).unwrap(), b"America/Argentina/Ushuaia");
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn files_that_are_none() {
        assert_eq!(Zone::default().offset(0), None);
        let Zone(good) = zone("\nABC-1\n");
        for length in 0..good.len() {
            let _ = Zone(good[..length].to_vec()).offset(1500);
        }
        for at in 0..good.len() {
            for byte in [0, 1, 127, 255] {
                let mut bad = good.clone();
                bad[at] = byte;
                let _ = Zone(bad).offset(1500);
            }
        }
    }
}
