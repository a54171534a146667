//! Block devices: which are disks of their own, and which are a part of a disk or lie on others.
//! <https://docs.kernel.org/admin-guide/abi-stable.html> (`/sys/class/block`)

use super::text::place;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Returns whether what goes to and from `device` goes to a disk that no other device stands for. `class` is `/sys/class/block`; `others`
/// are the devices that the kernel lists before this one, as it lists a disk before its partitions.
///
/// The kernel's own word is the place of a device's directory: a partition's, and a boot area's, is in its disk's; what lies on
/// other devices, in memory or in a file (device mapper, RAID, loop, zram) is below `virtual/block`. Where sysfs cannot be seen, as in
/// many containers, names are what is left.
pub fn is_disk<'a>(class: &Path, device: &[u8], mut others: impl Iterator<Item = &'a [u8]>) -> bool {
    // Optical drives and floppies.
    if numbered(device, "sr fd") {
        return false;
    }
    // In the directories of sysfs a slash in a name is an exclamation mark; in diskstats it is so, too.
    let Ok(target) = std::fs::read_link(class.join(OsStr::from_bytes(device))) else {
        return !numbered(device, "loop ram zram dm- md bcache zd") && !others.any(|disk| is_part(device, disk));
    };
    let parent = target.parent().and_then(Path::file_name);
    let lies_in_a_disk = parent.is_some_and(|parent| class.join(parent).exists());
    let is_virtual = target.as_os_str().as_bytes().windows(15).any(|part| part == b"/virtual/block/");
    // A disk of another machine (nbd) is virtual too, and no other device here stands for it. It has the program that serves it.
    !lies_in_a_disk && (!is_virtual || class.join(OsStr::from_bytes(device)).join("pid").exists())
}

/// Returns the parts of the name of the disk to which an NVMe path leads, such as `nvme0` and `n1` of `nvme0c1n1`: with multipath the
/// kernel names each path after the disk and the controller (`nvme_mpath_set_disk_name`).
pub fn disk_of_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = path.strip_prefix(b"nvme")?;
    let (subsystem, rest) = rest.split_at(digits(rest));
    let rest = rest.strip_prefix(b"c")?;
    let namespace = &rest[digits(rest)..];
    namespace.starts_with(b"n").then(|| (&path[..4 + subsystem.len()], namespace))
}

/// Returns the kernel's name of the device with a number (major in the upper half); `sys` is `/sys`. `None` where sysfs does not know it.
pub fn name(sys: &Path, number: u64) -> Option<OsString> {
    let link = std::fs::read_link(sys.join(format!("dev/block/{}:{}", number >> 32, number as u32))).ok()?;
    link.file_name().map(OsStr::to_owned)
}

/// Returns whether a name is one of the words of `kinds` with a number behind it, or a number if there is no word.
fn numbered(name: &[u8], kinds: &str) -> bool {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let kind = &name[..name.len() - digits];
    digits > 0 && (kind.is_empty() && kinds.is_empty() || place(kind, kinds).is_some())
}

/// Returns whether a name is that of a disk's partition (`sda1`, `mmcblk0p2`) or of its boot areas (`mmcblk0boot0`). A letter stands between
/// the disk's name and a number where the name ends with one.
fn is_part(name: &[u8], disk: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(disk) else { return false };
    match disk.last() {
        Some(digit) if digit.is_ascii_digit() => numbered(rest, "p boot gp") || rest == b"rpmb",
        _ => numbered(rest, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// The disks among `devices`, in the order in which the kernel lists them.
    fn disks<'a>(class: &Path, devices: &[&'a str]) -> Vec<&'a str> {
        let before = |place: usize| devices[..place].iter().map(|name| name.as_bytes());
        let chosen = devices.iter().enumerate().filter(|(place, name)| is_disk(class, name.as_bytes(), before(*place)));
        chosen.map(|(_, name)| *name).collect()
    }

    #[test]
    fn names_tell_where_sysfs_does_not() {
        let devices = "ram0 loop0 sda sda1 sdaa sdaa15 sdb1 vda vda2 xvda1 mmcblk0 mmcblk0p1 mmcblk0boot0 mmcblk0boot1 mmcblk0gp0 \
            mmcblk0rpmb mmcblk1 nvme0n1 nvme0n1p1 nvme10n2 nvme10n2p128 nbd0 nbd0p1 zram0 dm-0 md127 sr0 fd0 bcache0 zd0 \
            mtdblock0 cciss!c0d0 cciss!c0d0p1";
        let devices: Vec<_> = devices.split_ascii_whitespace().collect();
        let expected = "sda sdaa sdb1 vda xvda1 mmcblk0 mmcblk1 nvme0n1 nvme10n2 nbd0 mtdblock0 cciss!c0d0";
        assert_eq!(disks(Path::new("/nowhere"), &devices).join(" "), expected);
    }

    #[test]
    fn the_kernel_says_what_lies_on_what() {
        let directory = std::env::temp_dir().join(format!("pi-monitor-block-{}", std::process::id()));
        let class = directory.join("class/block");
        fs::create_dir_all(&class).unwrap();
        let targets = [
            ("mmcblk0", "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0"),
            ("mmcblk0p2", "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0/mmcblk0p2"),
            ("mmcblk0boot0", "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0/mmcblk0boot0"),
            ("nvme0n1", "platform/axi/1000110000.pcie/pci0001:00/0001:01:00.0/nvme/nvme0/nvme0n1"),
            ("nvme0n1p1", "platform/axi/1000110000.pcie/pci0001:00/0001:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p1"),
            ("nvme1n1", "virtual/nvme-subsystem/nvme-subsys1/nvme1n1"),
            ("xvda1", "vbd-51713/block/xvda1"),
            ("dm-0", "virtual/block/dm-0"),
            ("backup", "virtual/block/backup"),
            ("nbd0", "virtual/block/nbd0"),
            ("nbd1", "virtual/block/nbd1"),
            ("sr0", "pci0000:00/ata2/host1/target1:0:0/1:0:0:0/block/sr0"),
        ];
        for (name, target) in targets {
            fs::create_dir_all(directory.join("devices").join(target)).unwrap();
            symlink(format!("../../devices/{target}"), class.join(name)).unwrap();
        }
        fs::write(class.join("nbd0/pid"), "17\n").unwrap();
        let devices = targets.map(|(name, _)| name);
        assert_eq!(disks(&class, &devices), ["mmcblk0", "nvme0n1", "nvme1n1", "xvda1", "nbd0"]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
