//! `/sys/class/net`: which network interfaces carry traffic of their own, and whether those have a link.
//! <https://docs.kernel.org/admin-guide/abi-testing-files.html#abi-file-testing-sysfs-class-net>

use super::Source;
use super::text::{hex, lines, trim, uint};
use crate::sys::Directory;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// How often relations are looked up again: sysfs reports in no cheaper way that an interface was attached to another one.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// `IFF_UP`, `IFF_POINTOPOINT` and `IFF_NOARP` of `include/uapi/linux/if.h`.
const UP: u64 = 1;
const POINT_TO_POINT: u64 = 0x10;
const NO_ARP: u64 = 0x80;

/// What an interface is to the machine's traffic. Those of the first kind that a machine has carry all of it; whatever else there
/// is repeats their bytes, or moves bytes within the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// It has a device: a wire, a radio, a virtual machine's adapter.
    Device,
    /// A container's own end of a veth pair, which has neighbors but no device.
    Plain,
    /// The same with a type, such as a macvlan interface in a container.
    Typed,
    /// A port of a bridge: another container's end.
    Port,
    /// TUN, TAP, WireGuard, and what else has one peer.
    Tunnel,
    /// A dummy, an `ifb`.
    Inner,
    /// sysfs does not show it.
    Unknown,
    /// Loopback, a radio's monitor, and what is stacked on another interface here: a bridge, a bond, a VLAN.
    Stacked,
}

/// The interfaces of `/proc/net/dev`, in its order.
#[derive(Debug)]
pub struct Links {
    /// `/sys/class/net`; longer while an interface is looked at.
    path: PathBuf,
    all: Vec<Link>,
    looked: Duration,
}

/// One interface.
#[derive(Debug)]
struct Link {
    name: Vec<u8>,
    kind: Kind,
    /// The other end is a computer that comes and goes: this machine plays a USB device.
    gadget: bool,
    counted: bool,
    carrier: Option<Carrier>,
}

/// The files about an interface's link, and what they said last.
#[derive(Debug)]
struct Carrier {
    flags: Source,
    changes: Source,
    carrier: Source,
    seen: (Option<u64>, Option<u64>),
    present: Option<bool>,
}

/// What is known of one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Whether its bytes count toward the machine's total.
    pub counted: bool,
    /// Whether it has a link; `None` if it is down on purpose, or if that is not looked at.
    pub carrier: Option<bool>,
    /// How often its link came or went.
    pub changes: Option<u64>,
}

impl Links {
    /// For the interfaces in the directory at `path`.
    pub fn new(path: PathBuf) -> Self {
        Links { path, all: Vec::new(), looked: Duration::ZERO }
    }

    /// What is known of the interface at `place` in the kernel's list; `None` if that was another one in the last
    /// [`Links::renew`].
    pub fn get(&self, place: usize, name: &[u8]) -> Option<LinkState> {
        let link = self.all.get(place).filter(|link| link.name == name)?;
        let (carrier, changes) =
            link.carrier.as_ref().map_or((None, None), |carrier| (carrier.present, carrier.seen.1));
        Some(LinkState { counted: link.counted, carrier, changes })
    }

    /// How many interfaces the last [`Links::renew`] saw.
    pub fn known(&self) -> usize {
        self.all.len()
    }

    /// Takes over the kernel's present list.
    pub fn renew(&mut self, names: &mut dyn Iterator<Item = &[u8]>) {
        let mut old = std::mem::take(&mut self.all);
        for name in names {
            let link = match old.iter().position(|link| link.name == name) {
                Some(place) => old.swap_remove(place),
                None => {
                    let name = name.to_owned();
                    Link { name, kind: Kind::Unknown, gadget: false, counted: false, carrier: None }
                }
            };
            self.all.push(link);
        }
        self.look(true);
    }

    /// Reads the links of the interfaces that count, and now and then looks up all relations again.
    pub fn tick(&mut self, now: Duration) {
        if now >= self.looked + LOOK_AGAIN {
            self.looked = now;
            self.look(false);
        }
        for carrier in self.all.iter_mut().filter_map(|link| link.carrier.as_mut()) {
            carrier.read();
        }
    }

    /// Looks up what each interface is. If some have devices, the kinds of the others make no difference until the list changes.
    fn look(&mut self, thoroughly: bool) {
        let Links { path, all, .. } = self;
        let devices = !thoroughly && all.iter().any(|link| link.kind == Kind::Device);
        for link in all.iter_mut().filter(|link| !devices || link.kind == Kind::Device) {
            (link.kind, link.gadget) = kind(path, &link.name);
        }
        let best = all.iter().map(|link| link.kind).min().unwrap_or(Kind::Stacked);
        let named = best == Kind::Unknown && all.iter().any(|link| is_hardware_by_name(&link.name));
        for Link { name, kind, gadget, counted, carrier } in all {
            *counted = *kind == best
                && match kind {
                    Kind::Unknown if named => is_hardware_by_name(name),
                    Kind::Unknown => name != b"lo",
                    _ => *kind != Kind::Stacked,
                };
            if !*counted || *gadget || *kind == Kind::Unknown {
                *carrier = None;
            } else if carrier.is_none() {
                path.push(OsStr::from_bytes(name));
                let file = |file| Source::new(path.join(file)).in_small_records();
                let made = Carrier {
                    flags: file("flags"),
                    changes: file("carrier_changes"),
                    carrier: file("carrier"),
                    seen: (None, None),
                    present: None,
                };
                path.pop();
                carrier.insert(made).read();
            }
        }
    }
}

impl Carrier {
    /// Reads `carrier` only after a change: from Linux 6.8 on, `carrier_show` waits for a lock that drivers may hold for long, and
    /// the other two files do not.
    fn read(&mut self) {
        let Carrier { flags, changes, carrier, seen, present } = self;
        let last = *seen;
        let flags_now = flags.try_read().ok().and_then(|text| hex(trim(text).strip_prefix(b"0x")?));
        *seen = (flags_now, changes.try_read().ok().and_then(|text| uint(trim(text))));
        // A copy of the files need not change in step, and kernels before 3.15 count no changes.
        if *seen == last && seen.1.is_some() && changes.is_original() {
            return;
        }
        // EINVAL: somebody took the interface down.
        *present = match carrier.try_read().map(trim) {
            Ok(b"1") => Some(true),
            Ok(b"0") => Some(false),
            _ => None,
        };
        if flags_now.is_some_and(|flags| flags & UP == 0) {
            *present = None;
        }
    }
}

/// Looks up what an interface is, and whether it is a USB gadget's.
fn kind(path: &mut PathBuf, name: &[u8]) -> (Kind, bool) {
    /// More than `flags`, `type` or `uevent` hold.
    const TEXT: usize = 1024;
    if name.contains(&b'/') || matches!(name, b"." | b"..") {
        return (Kind::Unknown, false);
    }
    path.push(OsStr::from_bytes(name));
    let (mut device, mut lower, mut port, mut tun) = (false, false, false, false);
    let listed = Directory::open(path).and_then(|mut directory| {
        directory.list(|name, _| {
            device |= name == b"device";
            lower |= name.starts_with(b"lower_");
            port |= name == b"brport";
            tun |= name == b"tun_flags";
        })
    });
    let mut buffer = [0; TEXT];
    let mut read = |file: &str, parse: fn(&[u8]) -> Option<u64>| {
        path.push(file);
        let value = super::source::read_start(path, &mut buffer).ok().and_then(parse);
        path.pop();
        value.unwrap_or_default()
    };
    let hardware = read("type", |text| uint(trim(text)));
    let flags = read("flags", |text| hex(trim(text).strip_prefix(b"0x")?));
    let typed = read("uevent", |text| {
        let kind = lines(text).find_map(|(_, line)| line.strip_prefix(b"DEVTYPE="))?;
        Some(if kind == b"gadget" { 2 } else { 1 })
    });
    path.pop();
    let kind = match hardware {
        _ if listed.is_err() => Kind::Unknown,
        // ARPHRD_LOOPBACK; ARPHRD_IEEE80211 and its variants, which are monitors of a radio.
        772 | 801..=803 => Kind::Stacked,
        _ if lower => Kind::Stacked,
        _ if device => Kind::Device,
        _ if tun || flags & (NO_ARP | POINT_TO_POINT) == NO_ARP | POINT_TO_POINT => Kind::Tunnel,
        _ if flags & NO_ARP != 0 => Kind::Inner,
        _ if port => Kind::Port,
        _ if typed != 0 => Kind::Typed,
        _ => Kind::Plain,
    };
    (kind, typed == 2)
}

/// Whether the kernel or udev gives hardware such a name: the last resort, where there is no sysfs to ask.
fn is_hardware_by_name(name: &[u8]) -> bool {
    !name.contains(&b'.') && ["eth", "en", "wl", "ww", "usb"].iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A tree with the files that `machine` names, each with its text, for one test.
    fn tree(test: &str, machine: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("pi-monitor-links-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        for (file, text) in machine {
            write(&root, file, text);
        }
        root
    }

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Which of `names` count.
    fn counted<'a>(links: &mut Links, names: &[&'a str]) -> Vec<&'a str> {
        links.renew(&mut names.iter().map(|name| name.as_bytes()));
        still_counted(links, names)
    }

    fn still_counted<'a>(links: &Links, names: &[&'a str]) -> Vec<&'a str> {
        let counts = |(place, name): (usize, &&str)| links.get(place, name.as_bytes()).unwrap().counted;
        names.iter().enumerate().filter(|it| counts(*it)).map(|(_, name)| *name).collect()
    }

    #[test]
    fn on_a_machine_with_hardware_the_devices_count() {
        let root = tree(
            "host",
            &[
                ("lo/type", "772\n"),
                ("eth0/device/vendor", ""),
                ("eth0/type", "1\n"),
                ("eth0/upper_bond0", ""),
                ("eth1/device/vendor", ""),
                ("wlan0/device/vendor", ""),
                ("mon0/device/vendor", ""),
                ("mon0/type", "803\n"),
                ("lan1/device/vendor", ""),
                ("lan1/lower_eth1", ""),
                ("bond0/lower_eth0", ""),
                ("br0/lower_bond0", ""),
                ("bond0.10/lower_bond0", ""),
                ("veth1/brport/port_no", ""),
                ("tun0/tun_flags", "0x1001\n"),
                ("wg0/flags", "0x91\n"),
                ("dummy0/flags", "0x83\n"),
                ("docker0/bridge/bridge_id", ""),
            ],
        );
        let names = [
            "lo", "eth0", "eth1", "wlan0", "mon0", "lan1", "bond0", "br0", "bond0.10", "veth1", "tun0", "wg0",
            "dummy0", "docker0", "eth0:1",
        ];
        assert_eq!(counted(&mut Links::new(root.clone()), &names), ["eth0", "eth1", "wlan0"]);
        std::fs::remove_dir_all(root).unwrap();
    }

    /// Each line is a container: its interfaces with a file of each, and which of them count.
    #[test]
    fn without_hardware_the_way_out_counts() {
        let plain = ("eth0/type", "1\n");
        type Container<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str]);
        let containers: &[Container<'_>] = &[
            (&[("lo/type", "772\n"), plain], &["lo", "eth0"], &["eth0"]),
            (&[plain, ("wg0/flags", "0x91\n"), ("tap0/tun_flags", "0x1002\n")], &["eth0", "wg0", "tap0"], &["eth0"]),
            // Containers within the container.
            (
                &[plain, ("veth1/brport/port_no", ""), ("docker0/lower_veth1", "")],
                &["docker0", "eth0", "veth1"],
                &["eth0"],
            ),
            // A VLAN on its only interface.
            (&[plain, ("eth0/upper_eth0.5", ""), ("eth0.5/lower_eth0", "")], &["eth0", "eth0.5"], &["eth0"]),
            (
                &[("eth0/uevent", "DEVTYPE=macvlan\nINTERFACE=eth0\n"), ("wg0/flags", "0x91\n")],
                &["eth0", "wg0"],
                &["eth0"],
            ),
            // Its interface is a port of its bridge.
            (&[("eth0/brport/port_no", ""), ("br0/lower_eth0", "")], &["eth0", "br0"], &["eth0"]),
            // User-mode networking, OpenVZ, a test with a bond of dummies.
            (&[("lo/type", "772\n"), ("tap0/tun_flags", "0x1002\n")], &["lo", "tap0"], &["tap0"]),
            (&[("venet0/flags", "0xd3\n")], &["venet0"], &["venet0"]),
            (&[("dummy0/flags", "0x83\n"), ("bond0/lower_dummy0", "")], &["dummy0", "bond0"], &["dummy0"]),
            (&[("lo/type", "772\n")], &["lo"], &[]),
        ];
        for (files, names, expected) in containers {
            let root = tree("container", files);
            assert_eq!(counted(&mut Links::new(root.clone()), names), *expected, "{names:?}");
            std::fs::remove_dir_all(root).unwrap();
        }
    }

    #[test]
    fn without_sysfs_names_have_to_do() {
        let mut links = Links::new("/nowhere".into());
        assert_eq!(
            counted(&mut links, &["lo", "eth0", "eth0.10", "br0", "wg0", "../eth1", "wlan0"]),
            ["eth0", "wlan0"]
        );
        assert_eq!(counted(&mut links, &["lo", "venet0"]), ["venet0"]);
        assert_eq!(links.get(0, b"venet0"), None);
    }

    #[test]
    fn relations_are_looked_up_again_in_a_while() {
        let root = tree("again", &[("eth0/type", "1\n"), ("eth1/type", "1\n")]);
        let names = ["eth0", "eth1", "br0"];
        write(&root, "br0/lower_eth1", "");
        let mut links = Links::new(root.clone());
        assert_eq!(counted(&mut links, &names), ["eth0", "eth1"]);
        write(&root, "eth1/brport/port_no", "");
        links.tick(LOOK_AGAIN / 2);
        assert_eq!(still_counted(&links, &names), ["eth0", "eth1"]);
        links.tick(LOOK_AGAIN);
        assert_eq!(still_counted(&links, &names), ["eth0"]);
        // An adapter is plugged in, which the list shows at once.
        write(&root, "usb0/device/vendor", "");
        assert_eq!(counted(&mut links, &["eth0", "eth1", "br0", "usb0"]), ["usb0"]);
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_link_is_up_down_or_switched_off() {
        let up = [("eth0/device/vendor", ""), ("eth0/flags", "0x1003\n"), ("eth0/carrier", "1\n")];
        let root = tree("carrier", &up);
        write(&root, "eth0/carrier_changes", "2\n");
        write(&root, "usb0/device/vendor", "");
        write(&root, "usb0/uevent", "DEVTYPE=gadget\n");
        write(&root, "usb0/carrier", "0\n");
        write(&root, "veth0/carrier", "0\n");
        let mut links = Links::new(root.clone());
        assert_eq!(counted(&mut links, &["eth0", "usb0", "veth0"]), ["eth0", "usb0"]);
        let mut read = |carrier: &str, changes: &str, flags: &str| {
            write(&root, "eth0/carrier", carrier);
            write(&root, "eth0/carrier_changes", changes);
            write(&root, "eth0/flags", flags);
            links.tick(Duration::ZERO);
            assert_eq!(links.get(1, b"usb0"), Some(LinkState { counted: true, ..LinkState::default() }));
            assert_eq!(links.get(2, b"veth0"), Some(LinkState::default()));
            let LinkState { carrier, changes, .. } = links.get(0, b"eth0").unwrap();
            (carrier, changes)
        };
        assert_eq!(read("1\n", "2\n", "0x1003\n"), (Some(true), Some(2)));
        assert_eq!(read("0\n", "3\n", "0x1003\n"), (Some(false), Some(3)));
        // An empty file stands for EINVAL.
        assert_eq!(read("", "3\n", "0x1003\n"), (None, Some(3)));
        assert_eq!(read("0\n", "3\n", "0x1002\n"), (None, Some(3)));
        assert_eq!(read("1\n", "", ""), (Some(true), None));
        std::fs::remove_dir_all(root).unwrap();
    }
}
