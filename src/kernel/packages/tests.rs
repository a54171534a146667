//! Real lists, whole, cut and changed; and the file, replaced as package managers do.

use super::*;
use std::time::{Duration, Instant};

/// Of a Raspberry Pi OS (Debian 12), with paragraphs shortened: continued lines, a package of two architectures, one that was
/// removed without its configuration, and one on hold.
const DPKG: &str = "Package: adduser
Status: install ok installed
Priority: important
Section: admin
Installed-Size: 686
Maintainer: Debian Adduser Developers <adduser@packages.debian.org>
Architecture: all
Multi-Arch: foreign
Version: 3.134
Depends: passwd
Conffiles:
 /etc/adduser.conf e9ac8d4a8b8e8e5b7ad9e2c1c0b0a9c5
 /etc/deluser.conf 773fb95e98a27947de4a95abb3d3f2a2
Description: add and remove users and groups
 This package includes the 'adduser' and 'deluser' commands for creating
 and removing users.
 .
 Package: this is a line of a description, and no package
Homepage: https://example.org/a-very-long-address/a-very-long-address/a-very-long-address/a-very-long-address/a-very-long-address/a-very-long-address/a-very-long-address/a-very-long-address/a-very-long-address

Package: libc6
Status: install ok installed
Architecture: arm64
Multi-Arch: same
Source: glibc
Version: 2.36-9+rpt2+deb12u10

Package: libc6
Status: install ok installed
Architecture: armhf
Multi-Arch: same
Source: glibc
Version: 2.36-9+rpt2+deb12u10

Package: dphys-swapfile
Status: deinstall ok config-files
Architecture: all
Version: 20100506-7+rpt1

Package: raspi-firmware
Status: hold ok installed
Architecture: all
Version: 1:1.20250430-1~bookworm

Package: openssl
Status: install ok installed
Architecture: arm64
Version: 3.0.15-1~deb12u1+rpt1

";

/// Of an Alpine 3.20, with most files left out.
const APK: &str = "C:Q1p78yvTLG094tHE1+dToJGbmYzQE=
P:alpine-baselayout
V:3.6.5-r0
A:aarch64
S:8515
I:315392
T:Alpine base dir structure and init scripts
U:https://git.alpinelinux.org/cgit/aports/tree/main/alpine-baselayout
L:GPL-2.0-only
o:alpine-baselayout
m:Natanael Copa <ncopa@alpinelinux.org>
t:1714981135
D:alpine-baselayout-data=3.6.5-r0 /bin/sh
F:dev
M:0:0:755
F:etc
R:motd
Z:Q1SLkS9hBidUbPwwrw+XR0Whv3ww8=
p:cmd:mkmntdirs=3.6.5-r0

C:Q1/XNI0FR7OHTpRPq+7oSqRyGvvyA=
P:busybox
V:1.36.1-r29
A:aarch64
p:/bin/sh cmd:busybox=1.36.1-r29
F:bin
R:busybox
a:0:0:755

C:Q1OcdHp7l9Dzt4vxXkOSm0iiCvGAg=
P:musl
V:1.2.5-r1
A:aarch64
F:lib
R:ld-musl-aarch64.so.1

";

/// What is said of a list whose earlier text was `before`: installed, upgraded, removed, and the names. The text comes in pieces of
/// `piece` bytes.
fn compare(list: &List, before: &str, after: &str, piece: usize) -> Option<([u16; 3], String)> {
    let mut first = Reader::new(list, &[]);
    first.read(before.as_bytes());
    let table = first.end(&mut [0; MESSAGE_MAX]).map_or(Vec::new(), |_| first.table[..4 * first.count].to_vec());
    let mut reader = Reader::new(list, &table);
    after.as_bytes().chunks(piece).for_each(|piece| reader.read(piece));
    let mut message = [0; MESSAGE_MAX];
    let message = reader.end(&mut message)?;
    let count = |place: usize| u16::from_le_bytes([message[2 * place], message[2 * place + 1]]);
    let names = HEAD + usize::from(count(3));
    assert_eq!(message.len() - names, 4 * reader.count);
    Some(([count(0), count(1), count(2)], String::from_utf8(message[HEAD..names].to_vec()).unwrap()))
}

#[test]
fn lists_are_compared() {
    let [dpkg, apk] = &LISTS;
    let upgraded = DPKG.replace("3.0.15-1~deb12u1+rpt1", "3.0.16-1~deb12u1+rpt1");
    let both = upgraded.replace("2.36-9+rpt2+deb12u10", "2.36-9+rpt2+deb12u11");
    let installed =
        format!("Package: htop\nStatus: install ok installed\nArchitecture: arm64\nVersion: 3.2.2-2\n\n{both}");
    let purged = DPKG.replace(
        "Package: raspi-firmware\nStatus: hold ok installed",
        "Package: raspi-firmware\nStatus: deinstall ok config-files",
    );
    let back = DPKG.replace("Status: deinstall ok config-files", "Status: install ok installed");
    let half = DPKG.replace(
        "Package: openssl\nStatus: install ok installed",
        "Package: openssl\nStatus: install reinstreq half-installed",
    );
    for (list, before, after, counts, names) in [
        (dpkg, DPKG, DPKG, [0, 0, 0], ""),
        (dpkg, DPKG, &upgraded, [0, 1, 0], "openssl 3.0.16-1~deb12u1+rpt1"),
        (dpkg, &upgraded, DPKG, [0, 1, 0], "openssl 3.0.15-1~deb12u1+rpt1"),
        (
            dpkg,
            DPKG,
            &installed,
            [1, 3, 0],
            "htop 3.2.2-2, libc6 2.36-9+rpt2+deb12u11, libc6 2.36-9+rpt2+deb12u11, openssl 3.0.16-1~deb12u1+rpt1",
        ),
        (dpkg, DPKG, &purged, [0, 0, 1], ""),
        (dpkg, DPKG, &back, [1, 0, 0], "dphys-swapfile 20100506-7+rpt1"),
        (dpkg, DPKG, &half, [0, 0, 1], ""),
        (apk, APK, APK, [0, 0, 0], ""),
        (apk, APK, &APK.replace("V:1.36.1-r29", "V:1.36.1-r30"), [0, 1, 0], "busybox 1.36.1-r30"),
        (apk, APK, &APK[APK.find("C:Q1/XN").unwrap()..], [0, 0, 1], ""),
        (apk, &APK[APK.find("C:Q1/XN").unwrap()..], APK, [1, 0, 0], "alpine-baselayout 3.6.5-r0"),
    ] {
        for piece in [1, 7, 100_000] {
            let found = compare(list, before, after, piece).unwrap();
            assert_eq!(found, (counts, names.to_owned()), "in pieces of {piece}: {after}");
        }
    }
}

#[test]
fn what_is_cut_says_nothing() {
    for (list, text) in LISTS.iter().zip([DPKG, APK]) {
        let whole = text.match_indices("\n\n").map(|(at, _)| at + 2).collect::<Vec<_>>();
        for length in 0..text.len() {
            let found = compare(list, text, &text[..length], 4096);
            assert_eq!(found.is_some(), whole.contains(&length), "{length}");
        }
        // Neither does what is no such list.
        for bad in ["", "\n\n\n", "garbage\n\n", "Package: \nVersion: 1\n\n", "P:a\n\n", "\0\0\0\0"] {
            assert_eq!(compare(list, text, bad, 4096), None, "{bad:?}");
        }
    }
}

/// As many packages as a desktop has.
fn many(count: usize, version: impl Fn(usize) -> usize) -> String {
    let package = |number| {
        format!(
            "Package: package-{number}\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1:{}.0-1\n\n",
            version(number)
        )
    };
    (0..count).map(package).collect()
}

#[test]
fn of_many_changes_five_are_named_and_all_are_counted() {
    let [dpkg, _] = &LISTS;
    let before = many(2500, |_| 1);
    let after = many(2490, |number| 1 + usize::from(number % 5 == 0));
    let (counts, names) = compare(dpkg, &before, &after, 16_384).unwrap();
    assert_eq!(counts[0], 0);
    assert_eq!((counts[1], counts[2]), (498, 10));
    assert!(names.starts_with("package-0 1:2.0-1, package-5 1:2.0-1, ") && names.split(", ").count() == 5, "{names}");
    // More than are followed.
    let too_many = many(PACKAGES_MAX + 1, |_| 1);
    let mut reader = Reader::new(dpkg, &[]);
    reader.read(too_many.as_bytes());
    assert_eq!(reader.end(&mut [0; MESSAGE_MAX]), Some(&[][..]));
}

#[test]
fn changes_in_words() {
    for (counts, words) in [
        ([0, 1, 0], "Packages: 1 upgraded"),
        ([2, 13, 1], "Packages: 2 installed, 13 upgraded, 1 removed"),
        ([0, 0, 3], "Packages: 3 removed"),
    ] {
        assert_eq!(Changes(counts).to_string(), words);
    }
}

/// The file as dpkg leaves it: a new one under the old name.
struct Machine {
    root: PathBuf,
    packages: Packages,
    table: Vec<u8>,
}

impl Machine {
    fn new(name: &str, text: &str) -> Machine {
        let root = std::env::temp_dir().join(format!("pi-monitor-packages-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
        assert!(Packages::new(&root).is_none());
        std::fs::write(root.join("var/lib/dpkg/status"), text).unwrap();
        let packages = Packages::new(&root).unwrap();
        Machine { root, packages, table: Vec::new() }
    }

    fn replace(&self, text: &str) {
        let directory = self.root.join("var/lib/dpkg");
        std::fs::write(directory.join("status-new"), text).unwrap();
        std::fs::rename(directory.join("status-new"), directory.join("status")).unwrap();
    }

    fn tick(&mut self) -> Option<String> {
        let mut said = None;
        self.packages.tick(&mut self.table, &mut |note| {
            said = Some(format!("{} {}: {}", note.kind.name, note.title, note.detail));
        });
        said
    }

    /// What is said until a child has read the file; `ticks` is how many passed before it began to.
    fn read(&mut self, ticks: u32) -> Option<String> {
        for tick in 0..ticks {
            assert!(self.packages.child.is_none(), "it is read after {tick} ticks");
            assert_eq!(self.tick(), None);
        }
        assert!(self.packages.child.is_some(), "not read after {ticks} ticks");
        let (end, mut said) = (Instant::now() + Duration::from_secs(60), None);
        while self.packages.child.is_some() {
            assert!(Instant::now() < end, "the child does not end");
            std::thread::sleep(Duration::from_millis(1));
            // The patience of the test is not that of the agent.
            self.packages.ticks = 0;
            said = said.or(self.tick());
        }
        said
    }
}

#[test]
fn a_file_that_is_replaced_is_read_once_it_is_left_alone() {
    let mut machine = Machine::new("replaced", DPKG);
    // What is there at the first start is no news.
    assert_eq!(machine.read(2 * LOOK), None);
    assert_eq!(machine.table.len(), 5 * 4);
    for _ in 0..10 * LOOK {
        assert_eq!(machine.tick(), None);
        assert!(machine.packages.child.is_none(), "an unchanged file is read again");
    }
    // An upgrade goes on for three looks.
    let step = |text: &str| DPKG.replace("3.0.15-1", text);
    for text in ["3.0.16-1", "3.0.17-1", "3.0.18-1"] {
        machine.replace(&step(text));
        for _ in 0..LOOK {
            assert_eq!(machine.tick(), None);
            assert!(machine.packages.child.is_none(), "it is read while it changes");
        }
    }
    let said = machine.read(LOOK);
    assert_eq!(said.as_deref(), Some("packages Packages: 1 upgraded: openssl 3.0.18-1~deb12u1+rpt1"));
    // Half a file is no reason to say that everything is gone.
    let table = machine.table.clone();
    machine.replace(&DPKG[..DPKG.len() / 2]);
    assert_eq!(machine.read(2 * LOOK), None);
    assert_eq!(machine.table, table);
    machine.replace(&step("3.0.18-1"));
    assert_eq!(machine.read(2 * LOOK), None);
    // A file that is gone is not read, and says nothing.
    std::fs::remove_file(machine.root.join("var/lib/dpkg/status")).unwrap();
    for _ in 0..4 * LOOK {
        assert_eq!(machine.tick(), None);
        assert!(machine.packages.child.is_none());
    }
    // A later run of the agent compares with what this one left.
    machine.replace(&many(30, |_| 1));
    machine.packages = Packages::new(&machine.root).unwrap();
    let said = machine.read(2 * LOOK).unwrap();
    assert!(said.starts_with("packages Packages: 30 installed, 5 removed: package-0 1:1.0-1, "), "{said}");
    assert!(said.ends_with("package-4 1:1.0-1 and 25 more"), "{said}");
    std::fs::remove_dir_all(&machine.root).unwrap();
}

/// A disk that does not answer, as a pipe that nobody writes to.
#[test]
fn a_child_that_hangs_is_ended() {
    let mut machine = Machine::new("hangs", DPKG);
    let status = machine.root.join("var/lib/dpkg/status");
    std::fs::remove_file(&status).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&status).status().unwrap().success());
    for _ in 0..2 * LOOK + PATIENCE - 1 {
        assert_eq!(machine.tick(), None);
    }
    assert!(machine.packages.child.is_some());
    let end = Instant::now() + Duration::from_secs(60);
    while machine.packages.child.is_some() {
        assert!(Instant::now() < end, "the child is still there");
        assert_eq!(machine.tick(), None);
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::remove_dir_all(&machine.root).unwrap();
}
