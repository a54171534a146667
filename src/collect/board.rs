//! Which machine and which system this is: device tree, `/proc/cpuinfo`, DMI, `/etc/os-release`, `/etc/localtime`, `/proc/sys/kernel`.
//! <https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#raspberry-pi-revision-codes>
//! <https://www.freedesktop.org/software/systemd/man/latest/os-release.html>

use super::{Collect, Context, Registration, Setup};
use crate::kernel::text::{hex, lines, trim};
use crate::kernel::{Fault, Roots, Source, read_all, read_once, zone_name};
use crate::model::{Family, Place, Snapshot, Table, Unit, prose, reference};
use crate::runtime::sandbox::Needs;
use crate::sys;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

static BOARD: Table<4, 1> = Table::new(
    Place::Inline,
    &["model", "revision", "soc", "manufacturer"],
    &[Family::gauge(
        "pi_board_info",
        "Always 1; the labels are the model, revision, SoC and manufacturer of the board.",
        Unit::Info,
    )],
);

static OS: Table<6, 1> = Table::new(
    Place::Object("os"),
    &["id", "name", "pretty_name", "version", "version_id", "version_codename"],
    &[Family::gauge("pi_os_info", "Always 1; the labels are the distribution from /etc/os-release.", Unit::Info)],
);

static UNAME: Table<5, 1> = Table::new(
    Place::Object("uname"),
    &["sysname", "nodename", "release", "version", "machine"],
    &[Family::gauge(
        "pi_uname_info",
        "Always 1; the labels are kernel and host name, as `uname -a` prints them.",
        Unit::Info,
    )],
);

static ZONE: Table<1, 1> = Table::new(
    Place::Inline,
    &["time_zone"],
    &[Family::gauge(
        "pi_time_zone_info",
        "Always 1; the label is the name of the machine's time zone, from the link /etc/localtime or from /etc/timezone.",
        Unit::Info,
    )],
);

pub static COLLECTOR: Registration = Registration {
    name: "board",
    summary: prose("board, operating system and kernel"),
    source: reference(
        "/proc/device-tree, /sys/firmware/devicetree, /proc/cpuinfo, /sys/class/dmi/id, /etc/os-release, /etc/localtime, /proc/sys/kernel",
    ),
    // Updates of the system replace the files in /etc.
    needs: Needs::reading(
        "proc/device-tree proc/cpuinfo proc/sys/kernel sys/class/dmi/id sys/firmware/devicetree/base root/etc root/usr/lib/os-release",
    ),
    tables: &[BOARD.head(), OS.head(), UNAME.head(), ZONE.head()],
    flags: &[],
    new: |setup| super::boxed(Board::new(setup)),
};

struct Board {
    board: Option<[Vec<u8>; 4]>,
    os: Option<[Vec<u8>; 6]>,
    kernel: [Vec<u8>; 3],
    zone: Option<Vec<u8>>,
    machine: Vec<u8>,
    /// The host name is all that changes while the machine runs.
    hostname: Source,
}

impl Board {
    fn new(setup: &mut Setup) -> Self {
        let kernel = |file: &str| read_once(&setup.roots.proc.join("sys/kernel").join(file)).unwrap_or_default();
        Board {
            board: read_board(setup.roots),
            os: ["etc/os-release", "usr/lib/os-release"]
                .iter()
                .find_map(|file| read_once(&setup.roots.root.join(file)))
                .map(|text| parse_os_release(&text)),
            kernel: [kernel("ostype"), kernel("osrelease"), kernel("version")],
            zone: zone_name(&setup.roots.root),
            // The file is there from Linux 6.1 on.
            machine: read_once(&setup.roots.proc.join("sys/kernel/arch"))
                .unwrap_or_else(|| sys::machine().into_bytes()),
            hostname: setup.proc("sys/kernel/hostname").in_small_records(),
        }
    }
}

impl Collect for Board {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Board { board, os, kernel: [ostype, release, version], zone, machine, hostname } = self;
        if let Some(labels) = board {
            out.row(&BOARD, labels.each_ref().map(Vec::as_slice), [true.into()]);
        }
        if let Some(labels) = os {
            out.row(&OS, labels.each_ref().map(Vec::as_slice), [true.into()]);
        }
        if let Some(zone) = zone {
            out.row(&ZONE, [zone], [true.into()]);
        }
        let nodename = trim(hostname.read()?);
        out.row(&UNAME, [ostype, nodename, release, version, machine], [true.into()]);
        Ok(())
    }
}

/// Model, revision, system on chip and manufacturer; `None` where nothing names the machine: neither a device tree, nor
/// `/proc/cpuinfo`, nor DMI.
fn read_board(roots: &Roots) -> Option<[Vec<u8>; 4]> {
    // The first is an absolute link to the second, so it leads nowhere where the machine's trees are mounted elsewhere.
    let trees = [roots.proc.join("device-tree"), roots.sys.join("firmware/devicetree/base")];
    let named = trees.into_iter().find_map(|tree| Some((read_once(&tree.join("model"))?, tree)));
    let cpuinfo = roots.proc.join("cpuinfo");
    let named = named.or_else(|| Some((cpuinfo_value(&cpuinfo, "Model")?, std::path::PathBuf::new())));
    if let Some((model, tree)) = named {
        let code = read_all(&tree.join("system/linux,revision"))
            .ok()
            .and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)))
            .or_else(|| u32::try_from(hex(&cpuinfo_value(&cpuinfo, "Revision")?)?).ok())
            .filter(|_| model.starts_with(b"Raspberry Pi"));
        let (revision, known) =
            code.map_or((String::new(), None), |code| (format!("{code:06x}"), decode_revision(code)));
        let (soc, manufacturer) = match known {
            Some((soc, manufacturer)) => (soc.as_bytes().to_vec(), manufacturer.as_bytes().to_vec()),
            None => split_compatible(&tree),
        };
        return Some([model, revision.into_bytes(), soc, manufacturer]);
    }
    let dmi = |file: &str| read_once(&roots.sys.join("class/dmi/id").join(file)).filter(|text| !is_filler(text));
    // Makers of boards seldom know whose product they will be.
    let (model, version) = match dmi("product_name") {
        Some(name) => (name, "product_version"),
        None => (dmi("board_name")?, "board_version"),
    };
    let manufacturer = dmi("sys_vendor").or_else(|| dmi("board_vendor"));
    Some([model, dmi(version).unwrap_or_default(), Vec::new(), manufacturer.unwrap_or_default()])
}

/// Returns the value of a line such as `Revision : 9020e0` of `/proc/cpuinfo`: for kernels whose device tree lacks it, and where there is
/// none to see.
fn cpuinfo_value(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut source = Source::new(path.to_owned());
    let text = source.read().ok()?;
    let value = lines(text).find_map(|(_, line)| trim(line.strip_prefix(name.as_bytes())?).strip_prefix(b":"))?;
    Some(trim(value).to_vec()).filter(|value| !value.is_empty())
}

/// Returns whether a text of DMI is what firmware is delivered with, before a maker puts in its own.
fn is_filler(text: &[u8]) -> bool {
    const WITHIN: &str = "filled by|default|o.e.m|not |to be set|unknow|type1|product name|manufacturer|board version";
    const WHOLE: &str =
        "system version|system name|product version|version|none|null|n/a|na|oem|undefined|invalid|empty|0123456789";
    let text = text.to_ascii_lowercase();
    let mut signs = text.iter().filter(|byte| byte.is_ascii_alphanumeric());
    let first = signs.next();
    // Zeros or crosses with or without points between them, or points alone.
    let nothing = matches!(first, None | Some(b'0' | b'x')) && signs.all(|sign| Some(sign) == first);
    nothing
        || WITHIN.split('|').any(|part| text.windows(part.len()).any(|it| it == part.as_bytes()))
        || WHOLE.split('|').any(|whole| text == whole.as_bytes())
}

/// Returns a Raspberry Pi revision code's chip and manufacturer. New codes (bit 23 set) hold them as numbers in bits 12 to 15 and 16
/// to 19; old ones are a list of boards that all have a BCM2835.
fn decode_revision(code: u32) -> Option<(&'static str, &'static str)> {
    const SOCS: &str = "BCM2835|BCM2836|BCM2837|BCM2711|BCM2712";
    const MANUFACTURERS: &str = "Sony UK|Egoman|Embest|Sony Japan|Embest|Stadium";
    if code & 1 << 23 != 0 {
        let part = |list: &'static str, at: u32| list.split('|').nth((at & 15) as usize);
        return Some((part(SOCS, code >> 12)?, part(MANUFACTURERS, code >> 16).unwrap_or_default()));
    }
    // The bits above the list's numbers tell of a void warranty.
    let manufacturer = match code & 0xff_ffff {
        0x02 | 0x03 | 0x06 | 0x07 | 0x0d | 0x0f => "Egoman",
        0x04 | 0x08 | 0x0e | 0x10 | 0x11 | 0x12 => "Sony UK",
        0x05 | 0x09 => "Qisda",
        0x13..=0x15 => "Embest",
        _ => return None,
    };
    Some(("BCM2835", manufacturer))
}

/// Other boards: the device tree's last compatible entry is the chip, such as `allwinner,sun50i-h5`; the first one's vendor is
/// the board's.
fn split_compatible(tree: &Path) -> (Vec<u8>, Vec<u8>) {
    let Ok(compatible) = read_all(&tree.join("compatible")) else { return Default::default() };
    let mut entries = compatible.split(|&byte| byte == 0).filter(|entry| !entry.is_empty());
    let first = entries.next().unwrap_or_default();
    let last = entries.next_back().unwrap_or(first);
    let part = |entry: &[u8], place| entry.split(|&byte| byte == b',').nth(place).unwrap_or_default().to_vec();
    (part(last, 1), part(first, 0))
}

/// Lines such as `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"`: shell assignments with optional quotes.
fn parse_os_release(text: &[u8]) -> [Vec<u8>; 6] {
    let value = |name: &str| {
        let found = lines(text).find_map(|(_, line)| trim(line).strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        unquote(found.unwrap_or_default())
    };
    ["ID", "NAME", "PRETTY_NAME", "VERSION", "VERSION_ID", "VERSION_CODENAME"].map(value)
}

/// Takes away the quotes around a shell word and the backslashes within.
fn unquote(word: &[u8]) -> Vec<u8> {
    let word = trim(word);
    let inner = b"\"'".iter().find_map(|quote| word.strip_prefix(&[*quote])?.strip_suffix(&[*quote])).unwrap_or(word);
    let literal = word.first() == Some(&b'\'');
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'\\' && !literal { bytes.next().unwrap_or(byte) } else { byte });
    }
    out
}

/// Returns the host name for the log and the dashboard's title; empty if the kernel does not tell.
pub fn hostname(roots: &Roots) -> String {
    let name = read_once(&roots.proc.join("sys/kernel/hostname")).unwrap_or_default();
    std::ffi::OsStr::from_bytes(&name).to_string_lossy().into_owned()
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = parse_os_release(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revision_codes() {
        assert_eq!(decode_revision(0x90_20e0), Some(("BCM2837", "Sony UK")));
        assert_eq!(decode_revision(0x90_2120), Some(("BCM2837", "Sony UK")));
        assert_eq!(decode_revision(0xd0_4170), Some(("BCM2712", "Sony UK")));
        assert_eq!(decode_revision(0x90_0092), Some(("BCM2835", "Sony UK")));
        assert_eq!(decode_revision(0x100_0010), Some(("BCM2835", "Sony UK")), "with the bit for a void warranty");
        assert_eq!(decode_revision(0x16), None, "an old code above the list");
        assert_eq!(decode_revision(0x0010), Some(("BCM2835", "Sony UK")));
        assert_eq!(decode_revision(0x80_f000), None, "a chip that is not known yet");
    }

    /// What is known about a board of which these files tell.
    fn board(test: &str, files: &[(&str, &str)]) -> Option<[String; 4]> {
        let dir = std::env::temp_dir().join(format!("pi-monitor-board-{test}-{}", std::process::id()));
        for (file, text) in files {
            let path = dir.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        // As in a container, where the firmware's part of sysfs is hidden.
        let link = dir.join("proc/device-tree");
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/nowhere/firmware/devicetree/base", link).unwrap();
        let roots = Roots { proc: dir.join("proc"), sys: dir.join("sys"), root: dir.clone() };
        let labels = read_board(&roots).map(|labels| labels.map(|label| String::from_utf8(label).unwrap()));
        std::fs::remove_dir_all(dir).unwrap();
        labels
    }

    const CPUINFO: &str =
        "processor\t: 0\nRevision\t: d04170\nSerial\t\t: 1\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n";
    const PI_5: [&str; 4] = ["Raspberry Pi 5 Model B Rev 1.0", "d04170", "BCM2712", "Sony UK"];

    #[test]
    fn a_board_is_known_where_its_device_tree_is_hidden() {
        let in_sysfs =
            [("sys/firmware/devicetree/base/model", "Raspberry Pi 5 Model B Rev 1.0\0"), ("proc/cpuinfo", CPUINFO)];
        assert_eq!(board("sysfs", &in_sysfs).unwrap(), PI_5);
        assert_eq!(board("cpuinfo", &in_sysfs[1..]).unwrap(), PI_5);
        assert_eq!(board("pc", &[("proc/cpuinfo", "model\t\t: 60\nmodel name\t: Intel\n")]), None);
    }

    #[test]
    fn what_firmware_is_delivered_with_names_no_board() {
        let dmi = |test: &str, files: [(&str, &str); 5]| {
            let files = files.map(|(file, text)| (format!("sys/class/dmi/id/{file}"), text));
            board(test, &files.each_ref().map(|(file, text)| (file.as_str(), *text)))
        };
        let filled = [
            ("product_name", "To Be Filled By O.E.M."),
            ("product_version", "Default string"),
            ("sys_vendor", "To Be Filled By O.E.M."),
            ("board_name", "N100DC-ITX"),
            ("board_vendor", "ASRock"),
        ];
        assert_eq!(dmi("filled", filled).unwrap(), ["N100DC-ITX", "", "", "ASRock"]);
        let half = [
            ("product_name", "NUC7i5BNK"),
            ("product_version", "J31159-303"),
            ("sys_vendor", "Not Applicable"),
            ("board_name", "NUC7i5BNB"),
            ("board_vendor", "Intel Corporation"),
        ];
        assert_eq!(dmi("half", half).unwrap(), ["NUC7i5BNK", "J31159-303", "", "Intel Corporation"]);
        let none = ["product_name", "product_version", "sys_vendor", "board_name", "board_vendor"];
        assert_eq!(dmi("none", none.map(|file| (file, "Default string"))), None);

        for filler in [
            "System Product Name",
            "00000000",
            "0.0.0",
            "x.x",
            "XXXX",
            "...",
            "N/A",
            "OEM",
            "INVALID",
            "Not Specified",
            "Default_String",
            "$(DEFAULT_STRING)",
            "Type1ProductConfigId",
            "Unknow",
        ] {
            assert!(is_filler(filler.as_bytes()), "{filler}");
        }
        for name in
            ["Standard PC (Q35 + ICH9, 2009)", "pc-q35-7.2", "System x3650", "1.0", "X570", "0XR1GT", "QEMU", "MS-7B79"]
        {
            assert!(!is_filler(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn os_release() {
        let text = b"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian \\\"GNU\\\"\"\nVERSION_ID='12'\nID=debian\n# x\n";
        let [id, name, pretty, version, version_id, codename] = parse_os_release(text);
        assert_eq!(id, b"debian");
        assert_eq!(name, b"Debian \"GNU\"");
        assert_eq!(pretty, b"Debian GNU/Linux 12 (bookworm)");
        assert_eq!((version, version_id, codename), (vec![], b"12".to_vec(), vec![]));
    }
}
