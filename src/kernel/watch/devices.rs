//! Kernel uevents: USB devices and disks that are attached or detached.
//! <https://docs.kernel.org/core-api/kobject.html>, `lib/kobject_uevent.c`
//!
//! A datagram is `add@/devices/platform/…/usb1/1-1`, then variables such as `SUBSYSTEM=usb`, each with a NUL byte behind it.

use super::flow::Short;
use super::{AT_ONCE, Next, Out, Shown, Source};
use crate::kernel::devices::announce;
use crate::kernel::netlink::Netlink;
use crate::kernel::source::read_start;
use crate::kernel::text::trim;
use crate::model::{Severity, kinds};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The group of the kernel's own messages; udev sends its own to another.
const KERNEL: u32 = 1;
/// How many devices are remembered by their names, for when they are gone.
const DEVICES_MAX: usize = 32;

/// What a device is called.
#[derive(Clone, Copy)]
struct Device {
    /// Its directory's name in sysfs: `1-1.4`, `sda`.
    entry: Short,
    name: Short,
}

struct Devices {
    socket: Netlink,
    known: Known,
}

struct Known {
    sys: PathBuf,
    devices: Vec<Device>,
}

/// Starts to listen, and looks up the names of the USB devices and disks that are there.
pub fn open(sys: &Path) -> io::Result<Box<dyn Source>> {
    let mut known = Known::new(sys);
    let socket = Netlink::open(libc::NETLINK_KOBJECT_UEVENT, KERNEL)?;
    announce();
    for class in ["bus/usb/devices", "class/block"] {
        // Whatever is not there has nothing in it.
        let Ok(mut directory) = crate::sys::Directory::open(&sys.join(class)) else { continue };
        let _ = directory.list(|entry, _| {
            // Of USB, `usb1` is a root hub and `1-1:1.0` an interface.
            let path = sys.join(class).join(OsStr::from_bytes(entry));
            if !entry.contains(&b':') && !entry.starts_with(b"usb") {
                known.remember(entry, &path);
            }
        });
    }
    Ok(Box::new(Devices { socket, known }))
}

impl Source for Devices {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn read(&mut self, buffer: &mut [u8], out: &mut Out<'_>) -> Next {
        for _ in 0..AT_ONCE {
            match self.socket.receive(buffer) {
                Ok(event) => {
                    announce();
                    self.known.take(event, out);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Wait,
                // ENOBUFS, once: events were lost, and nobody can say which.
                Err(_) => announce(),
            }
        }
        Next::Rest
    }
}

impl Known {
    fn new(sys: &Path) -> Self {
        Known { sys: sys.to_owned(), devices: Vec::with_capacity(DEVICES_MAX) }
    }

    /// Takes note of an event.
    fn take(&mut self, event: &[u8], out: &mut Out<'_>) -> Option<()> {
        let mut parts = event.split(|&byte| byte == 0);
        let head = parts.next()?;
        let at = head.iter().position(|&byte| byte == b'@')?;
        let (action, path) = (&head[..at], &head[at + 1..]);
        let (mut subsystem, mut kind) = (&b""[..], &b""[..]);
        for part in parts {
            if let Some(value) = part.strip_prefix(b"SUBSYSTEM=") {
                subsystem = value;
            } else if let Some(value) = part.strip_prefix(b"DEVTYPE=") {
                kind = value;
            } else if part.starts_with(b"SYNTH_UUID=") {
                // Somebody asked the kernel to repeat what it reported when the device came, as udev does at a boot.
                return None;
            }
        }
        let what = match (subsystem, kind) {
            (b"usb", b"usb_device") => "USB device",
            // Loops, RAM disks and what is made of other disks have no device.
            (b"block", b"disk") if !path.starts_with(b"/devices/virtual/") => "Disk",
            _ => return None,
        };
        let entry = path.rsplit(|&byte| byte == b'/').next()?;
        let (device, verb) = match action {
            b"add" => {
                // The event's path begins with a slash, and `join` would take it for a whole one.
                let relative = OsStr::from_bytes(path.get(1..)?);
                (self.remember(entry, &self.sys.join(relative)), "attached")
            }
            b"remove" => (self.forget(entry), "detached"),
            _ => return None,
        };
        let name = device.name.text();
        let (space, name) = if name.is_empty() { ("", "") } else { (" ", name) };
        out.note(
            &kinds::DEVICE,
            Severity::Info,
            format_args!("{what} {}{space}{name} was {verb}", device.entry.text()),
            format_args!(""),
            "",
        );
        None
    }

    /// Looks up a device's name, and keeps it for when the device is gone.
    fn remember(&mut self, entry: &[u8], path: &Path) -> Device {
        let mut device = Device { entry: Short::new(), name: Short::new() };
        let _ = write!(device.entry, "{}", Shown(entry));
        // Of a USB device, a SCSI or NVMe disk, a card.
        for file in ["manufacturer", "product", "device/model", "device/name"] {
            let mut buffer = [0; 64];
            let Ok(text) = read_start(&path.join(file), &mut buffer) else { continue };
            let space = if device.name.text().is_empty() { "" } else { " " };
            let _ = write!(device.name, "{space}{}", Shown(trim(text)));
        }
        self.forget(entry);
        if self.devices.len() < DEVICES_MAX && !device.name.text().is_empty() {
            self.devices.push(device);
        }
        device
    }

    /// Returns what was known of a device that is gone.
    fn forget(&mut self, entry: &[u8]) -> Device {
        let mut device = Device { entry: Short::new(), name: Short::new() };
        let _ = write!(device.entry, "{}", Shown(entry));
        match self.devices.iter().position(|it| it.entry.text() == device.entry.text()) {
            Some(place) => self.devices.swap_remove(place),
            None => device,
        }
    }
}

/// Runs the parser of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let mut flow = super::Flow::default();
    let now = std::time::Duration::ZERO;
    Known::new(Path::new("/nowhere"))
        .take(text, &mut Out { flow: &mut flow, now, processes: true, clock_is_right: false, to: &mut |_| {} });
}

#[cfg(test)]
mod tests {
    use super::super::Flow;
    use super::super::flow::testing::notes;
    use super::*;
    use std::fs;

    fn event(known: &mut Known, text: &str) -> Vec<String> {
        notes(&mut Flow::default(), 0, |out| {
            known.take(text.replace(' ', "\0").as_bytes(), out);
        })
    }

    #[test]
    fn devices_are_called_by_their_names_until_they_are_gone() {
        let sys = std::env::temp_dir().join(format!("pi-monitor-uevents-{}", std::process::id()));
        let usb = "devices/platform/scb/usb1/1-1";
        let disk = format!("{usb}/1-1:1.0/host0/target0:0:0/0:0:0:0/block/sda");
        fs::create_dir_all(sys.join(&disk).join("device")).unwrap();
        fs::write(sys.join(usb).join("manufacturer"), "SanDisk\n").unwrap();
        fs::write(sys.join(usb).join("product"), "Ultra Fit\n").unwrap();
        fs::write(sys.join(&disk).join("device/model"), "Ultra Fit       \n").unwrap();
        let mut known = Known::new(&sys);
        let usb_event = |action: &str| {
            format!(
                "{action}@/{usb} ACTION={action} DEVPATH=/{usb} SUBSYSTEM=usb MAJOR=189 DEVNAME=bus/usb/001/004 DEVTYPE=usb_device PRODUCT=781/5583/100 SEQNUM=2468 "
            )
        };
        let disk_event = |action: &str| {
            format!(
                "{action}@/{disk} ACTION={action} DEVPATH=/{disk} SUBSYSTEM=block DEVNAME=sda DEVTYPE=disk SEQNUM=2470 "
            )
        };
        assert_eq!(
            event(&mut known, &usb_event("add")),
            ["device info: USB device 1-1 SanDisk Ultra Fit was attached"]
        );
        assert_eq!(event(&mut known, &disk_event("add")), ["device info: Disk sda Ultra Fit was attached"]);
        assert_eq!(event(&mut known, &usb_event("change")), [""; 0]);
        assert_eq!(event(&mut known, &usb_event("bind")), [""; 0]);
        fs::remove_dir_all(&sys).unwrap();
        assert_eq!(event(&mut known, &disk_event("remove")), ["device info: Disk sda Ultra Fit was detached"]);
        assert_eq!(
            event(&mut known, &usb_event("remove")),
            ["device info: USB device 1-1 SanDisk Ultra Fit was detached"]
        );
        // It is forgotten then, and another one in the same place has its own name, or none.
        assert_eq!(event(&mut known, &usb_event("add")), ["device info: USB device 1-1 was attached"]);
    }

    #[test]
    fn other_events_are_none() {
        let mut known = Known::new(Path::new("/nowhere"));
        for text in [
            "add@/devices/virtual/block/loop7 ACTION=add SUBSYSTEM=block DEVTYPE=disk ",
            "add@/devices/platform/x/block/sda/sda1 ACTION=add SUBSYSTEM=block DEVTYPE=partition ",
            "add@/devices/platform/scb/usb1/1-1/1-1:1.0 ACTION=add SUBSYSTEM=usb DEVTYPE=usb_interface ",
            "add@/devices/virtual/net/veth1 ACTION=add SUBSYSTEM=net ",
            "add@/devices/pci0000:00/1-1 ACTION=add SUBSYSTEM=usb DEVTYPE=usb_device SYNTH_UUID=0 ",
            "add@ SUBSYSTEM=usb DEVTYPE=usb_device ",
            "add",
            "@",
            "",
            "\0\0\0",
        ] {
            assert_eq!(event(&mut known, text), [""; 0], "{text}");
        }
        // More devices than are remembered: named when they come, by their place when they go.
        for number in 0..100 {
            let text = format!("add@/devices/x/1-{number} SUBSYSTEM=usb DEVTYPE=usb_device ");
            assert_eq!(event(&mut known, &text).len(), 1);
        }
        assert!(known.devices.len() <= DEVICES_MAX);
    }
}
