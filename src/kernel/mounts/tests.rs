use super::*;

/// The mount points that are reported, and whether they are asked here.
fn reported(text: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let mut mounts = Mounts::default();
    mounts.parse(text, b"/root").unwrap();
    mounts.find_hidden();
    mounts.select(&|_, _| true, &|_| false);
    mounts.selected().map(|mount| (mounts.mountpoint(mount).unwrap().to_vec(), mount.local)).collect()
}

fn names(text: &[u8]) -> Vec<String> {
    reported(text).into_iter().map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect()
}

#[test]
fn real_lines() {
    let text = b"21 25 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
25 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw
26 25 0:24 / /run ro,nosuid - tmpfs tmpfs rw,size=89000k
28 25 179:1 / /boot/firmware rw,relatime shared:29 - vfat /dev/mmcblk0p1 ro,fmask=0022
";
    assert_eq!(names(text), ["/", "/run", "/boot/firmware"]);
    let mut mounts = Mounts::default();
    mounts.parse(text, b"").unwrap();
    let boot = &mounts.all[3];
    assert!(boot.read_only && !mounts.all[1].read_only && !mounts.all[2].read_only);
    assert_eq!(mounts.bytes(&boot.device), b"/dev/mmcblk0p1");
    assert_eq!(mounts.path(boot), c"/boot/firmware");
}

#[test]
fn names_are_decoded() {
    let text = b"25 1 8:1 / / rw - ext4 /dev/sda1 rw
26 25 8:2 / /mnt/My\\040\\011\\012\\134Disk rw - ext4 /dev/disk\\040one rw
27 25 8:3 / /\xff rw - ext4  rw
";
    assert_eq!(reported(text)[1].0, b"/mnt/My \t\n\\Disk");
    assert_eq!(reported(text)[2].0, b"/\xff");
    let mut mounts = Mounts::default();
    mounts.parse(text, b"").unwrap();
    assert_eq!(mounts.bytes(&mounts.all[1].device), b"/dev/disk one");
    assert_eq!(mounts.bytes(&mounts.all[2].device), b"");
}

#[test]
fn what_is_hidden_is_not_told() {
    // Twice on one point; the second's parent is the first.
    let twice = b"1 1 8:1 / / rw - ext4 a rw\n2 1 8:2 / /mnt rw - ext4 b rw\n3 2 8:3 / /mnt rw - xfs c rw\n";
    assert_eq!(reported(twice).len(), 2);
    // A mount below one that was then hidden by a mount on the upper directory.
    let below = b"1 1 8:1 / / rw - ext4 a rw\n2 1 8:2 / /mnt/a rw - ext4 b rw\n3 2 8:3 / /mnt/a/b rw - ext4 c rw\n\
                  4 1 8:4 / /mnt rw - ext4 d rw\n5 4 8:5 / /mnt/a rw - ext4 e rw\n6 1 8:6 / /mnt2 rw - ext4 f rw\n";
    let mut mounts = Mounts::default();
    mounts.parse(below, b"").unwrap();
    mounts.find_hidden();
    mounts.select(&|_, _| true, &|_| false);
    let ids: Vec<_> = mounts.selected().map(|mount| mount.id).collect();
    assert_eq!(ids, [1, 4, 5, 6]);
    // The root was mounted over the first one; what the initial ramdisk had mounted was moved into it.
    let moved = b"1 0 0:2 / / rw - rootfs none rw\n9 20 0:9 / /run rw - tmpfs tmpfs rw\n20 1 8:1 / / rw - ext4 a rw\n";
    assert_eq!(names(moved), ["/run", "/"]);
}

#[test]
fn a_filesystem_is_told_once() {
    let text = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:1 /srv /mnt/bind rw - ext4 /dev/sda1 rw
3 1 8:1 / /mnt/again rw - ext4 /dev/sda1 rw
4 1 0:40 /@home /home rw - btrfs /dev/sdb rw
5 1 0:40 /@srv /srv rw - btrfs /dev/sdb rw
6 1 0:41 /inner /opt rw - ext4 /dev/sdc rw
";
    // Of two subvolumes of one disk the one with the shorter path.
    assert_eq!(names(text), ["/", "/srv", "/opt"]);
    let chosen = |wanted: fn(&[u8]) -> bool, is_file: fn(&CStr) -> bool| {
        let mut mounts = Mounts::default();
        mounts.parse(text, b"").unwrap();
        mounts.find_hidden();
        mounts.select(&|mountpoint, _| wanted(mountpoint), &is_file);
        mounts.selected().map(|mount| mount.id).collect::<Vec<_>>()
    };
    // All of the filesystem, or else a part of it.
    assert_eq!(chosen(|mountpoint| mountpoint != b"/", |_| false), [3, 5, 6]);
    assert_eq!(chosen(|mountpoint| mountpoint != b"/" && mountpoint != b"/mnt/again", |_| false), [2, 5, 6]);
    // A file that is mounted is no place for others.
    assert_eq!(chosen(|_| true, |path| path == c"/srv"), [1, 4, 6]);
}

#[test]
fn containers_mounts_are_not_reported_beside_the_disk_that_holds_them() {
    let text = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:24 / /run rw - tmpfs tmpfs rw
3 2 0:101 / /run/k3s/containerd/io.containerd.grpc.v1.cri/sandboxes/s1/shm rw - tmpfs shm rw,size=65536k
4 1 8:2 / /mnt/ssd rw - ext4 /dev/sdb1 rw
5 4 0:111 / /mnt/ssd/docker/overlay2/a/merged rw - overlay overlay rw,lowerdir=l/A:l/B,upperdir=docker/overlay2/a/diff
6 1 0:112 / /other rw - overlay overlay rw,lowerdir=/a,upperdir=/b
7 1 0:113 / /live rw - overlay overlay rw,lowerdir=/a
";
    let size = |path: &CStr| {
        // Three are directories of /mnt/ssd, one has an upper layer of its own.
        let blocks = match path.to_bytes() {
            b"/" => 1,
            b"/run" => 2,
            b"/live" => 4,
            _ => 3,
        };
        Ok(FsStat { blocks, ..FsStat::default() })
    };
    let mut mounts = Mounts::default();
    mounts.parse(text, b"").unwrap();
    mounts.find_hidden();
    mounts.select(&|_, _| true, &|_| false);
    mounts.ask(size);
    assert_eq!(mounts.selected().map(|mount| mount.id).collect::<Vec<_>>(), [1, 2, 4, 7]);
    // Two of one size by chance: only for as long as that lasts.
    mounts.ask(|path| Ok(FsStat { blocks: path.to_bytes().len() as u64, ..FsStat::default() }));
    assert_eq!(mounts.selected().map(|mount| mount.id).collect::<Vec<_>>(), [1, 2, 4, 5, 6, 7]);
}

#[test]
fn a_text_that_was_read_before_is_known() {
    let text = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /mnt rw - ext4 /dev/sdb1 rw,emergency_ro\n";
    let mut mounts = Mounts::default();
    assert!(!mounts.is_of(b""));
    mounts.parse(text, b"").unwrap();
    assert!(mounts.is_of(text) && !mounts.is_of(&text[1..]));
    mounts.find_hidden();
    mounts.select(&|_, _| true, &|_| false);
    let mut errors = |count: usize| {
        mounts.forget_answers();
        let turned = [false, true].map(|no_writes| {
            mounts.all.iter_mut().for_each(|mount| mount.by_error |= count > 0);
            mounts.ask(if no_writes {
                |_| Ok(FsStat { no_writes: true, ..FsStat::default() })
            } else {
                |_| Ok(FsStat::default())
            })
        });
        (turned, mounts.all.iter().map(|mount| mount.by_error).collect::<Vec<_>>())
    };
    assert_eq!(errors(1), ([false, true], vec![true, true]));
    assert_eq!(errors(0), ([false, true], vec![false, true]), "as after the first reading");
    let bad = [&text[..], b"3\n"].concat();
    assert!(mounts.parse(&bad, b"").is_err() && !mounts.is_of(&bad), "a fault is reported every time");
    mounts.clear();
    assert!(!mounts.is_of(text));
}

#[test]
fn an_overlay_may_hang_where_its_upper_layer_may() {
    let text = b"1 0 8:1 / / rw - ext4 a rw
2 1 0:45 / /tank rw - zfs tank rw
3 1 0:50 / /one rw - overlay overlay rw,lowerdir=/l,upperdir=/tank/docker/1/diff,workdir=/w
4 1 0:51 / /two rw - overlay overlay rw,lowerdir=/l,upperdir=/tanker/diff,workdir=/w
5 1 0:52 / /three rw - overlay overlay ro,lowerdir=/tank/a:/b
";
    let here: Vec<_> = reported(text).into_iter().map(|(_, local)| local).collect();
    assert_eq!(here, [true, false, false, true, false]);
}

#[test]
fn an_error_is_told_from_a_remount() {
    let by_error = |view: &str, filesystem: &str| {
        let mut mounts = Mounts::default();
        mounts.parse(format!("1 0 8:1 / / {view} - ext4 /dev/sda1 {filesystem}\n").as_bytes(), b"").unwrap();
        mounts.all[0].by_error
    };
    assert!(by_error("rw,noatime", "ro") && by_error("rw", "ro,errors=remount-ro"));
    assert!(by_error("ro", "rw,emergency_ro") && by_error("rw", "rw,emergency_ro"));
    assert!(by_error("rw shared:1", "ro") && !by_error("rw shared:1 master:2", "ro") && !by_error("rw master:2", "ro"));
    assert!(!by_error("ro,noatime", "ro") && !by_error("ro", "rw") && !by_error("rw", "rw,errors=remount-ro"));
}

/// A service has mounts of its own: those that were there when it began are read-only, later ones are passed on to it.
#[test]
fn the_first_process_knows_who_made_a_filesystem_read_only() {
    let table = |text: &str| {
        let mut mounts = Mounts::default();
        mounts.parse(text.as_bytes(), b"").unwrap();
        mounts.find_hidden();
        mounts.select(&|_, _| true, &|_| false);
        mounts
    };
    let by_error = |mounts: &Mounts| mounts.all.iter().map(|mount| mount.by_error).collect::<Vec<_>>();
    let mut own = table(
        "1 0 8:1 / / ro shared:9 master:1 - ext4 /dev/sda1 ro
2 1 8:2 / /late rw shared:8 master:2 - ext4 /dev/sda2 ro
3 1 8:3 / /here rw - ext4 /dev/sda3 ro
4 1 8:4 / /well rw - ext4 /dev/sda4 rw
",
    );
    assert!(own.asks_first() && !table("1 0 8:1 / / ro - ext4 /dev/sda1 rw\n").asks_first());
    // Without that table nobody knows of what was passed on.
    assert_eq!(by_error(&own), [false, false, true, false]);
    // The root is read-only by an error, the others were remounted, one of them at another place.
    let first = table(
        "11 0 8:1 / / rw shared:1 - ext4 /dev/sda1 ro
12 11 8:2 / /late ro shared:2 - ext4 /dev/sda2 ro
13 11 8:3 / /here rw - ext4 /dev/sda3 ro
14 11 8:3 / /there ro - ext4 /dev/sda3 ro
15 11 8:4 / /well rw - ext4 /dev/sda4 rw
",
    );
    own.take_first(&first);
    assert_eq!(by_error(&own), [true, false, false, false]);
    own.take_first(&table("11 0 8:9 / / rw - ext4 /dev/sda9 ro\n"));
    assert_eq!(by_error(&own), [true, false, false, false], "it has other filesystems");
}

#[test]
fn directories_of_a_told_directory_are_not_told() {
    // A service manager gives the agent a private /tmp; the root is a subvolume, or a container's directory.
    let text = b"1 0 0:40 /@ / rw - btrfs /dev/sda2 rw
2 1 0:40 /@home /home rw - btrfs /dev/sda2 rw
3 1 0:40 /@/var/tmp/private/tmp /var/tmp rw - btrfs /dev/sda2 rw
";
    assert_eq!(names(text), ["/"]);
    // The root is reported, whatever else holds it.
    let text = b"1 0 8:1 /deploy/one / rw - ext4 /dev/sda1 rw
2 1 8:1 / /sysroot ro - ext4 /dev/sda1 rw
3 1 8:1 /deploy/var /var rw - ext4 /dev/sda1 rw
";
    assert_eq!(names(text), ["/"]);
}

#[test]
fn in_a_container_the_machines_mounts_are_those_below_rootfs() {
    let text = b"1 0 0:50 / / rw - overlay overlay rw
2 1 0:51 / /etc/hosts rw - ext4 /dev/sda9 rw
3 1 8:2 / /root ro - ext4 /dev/sda2 rw
4 3 8:1 / /root/boot/firmware ro - vfat /dev/sda1 rw
5 1 8:7 / /rootless rw - ext4 /dev/sda7 rw
";
    assert_eq!(names(text), ["/", "/boot/firmware"]);
    let mut mounts = Mounts::default();
    mounts.parse(text, b"/root").unwrap();
    assert_eq!((mounts.path(&mounts.all[2]), mounts.path(&mounts.all[3])), (c"/root", c"/root/boot/firmware"));
    // A table without such mounts is the machine's own, seen from elsewhere.
    let text = b"1 0 8:2 / / rw - ext4 /dev/sda2 rw\n";
    mounts.parse(text, b"/root").unwrap();
    assert_eq!((mounts.path(&mounts.all[0]), mounts.mountpoint(&mounts.all[0])), (c"/root/", Some(&b"/"[..])));
}

#[test]
fn what_may_hang_is_not_asked_here() {
    let text = b"1 0 8:1 / / rw - ext4 a rw
4 3 8:4 / /net/usb rw - ext4 d rw
3 1 0:3 / /net rw - nfs4 server:/x rw
5 1 0:5 / /media rw - fuse.sshfs x rw
6 1 8:6 / /data rw - f2fs x rw
";
    let reported = reported(text);
    let asked_here: Vec<_> =
        reported.iter().map(|(name, local)| (std::str::from_utf8(name).unwrap(), *local)).collect();
    let expected = [("/", true), ("/net/usb", false), ("/net", false), ("/media", false), ("/data", true)];
    assert_eq!(asked_here, expected);
}

#[test]
fn read_only_filesystems_are_known_by_their_options() {
    for (options, expected) in [
        ("ro", true),
        ("ro,errors=remount-ro", true),
        ("rw,errors=remount-ro", false),
        ("rw,errors=remount-ro,emergency_ro", true),
        ("rw,rota", false),
        ("", false),
    ] {
        assert_eq!(is_read_only(options.as_bytes()), expected, "{options}");
    }
}

#[test]
fn bad_lines_are_named_and_the_others_stay() {
    for bad in ["x 1 8:1 / / rw - ext4 a rw", "1 1 8:1 / / rw", "1 1 8:1 / / rw - ext4", ""] {
        let mut mounts = Mounts::default();
        let text = format!("{bad}\n2 1 8:1 / /a rw - ext4 a rw\n");
        assert_eq!(mounts.parse(text.as_bytes(), b"").unwrap_err().line, 1, "{bad:?}");
        assert_eq!(mounts.all.len(), 1);
    }
    assert!(Mounts::default().parse(b"", b"").is_err());
}

#[test]
fn what_may_hang_is_known_by_its_path() {
    let text = b"1 1 8:1 / / rw - ext4 a rw\n2 1 0:5 / /run rw - tmpfs b rw\n3 1 0:6 / /nfs rw - nfs4 c rw\n\
                 4 3 0:7 / /nfs/in rw - tmpfs d rw\n5 1 0:8 / /auto rw - autofs e rw\n6 1 0:9 / /gvfs rw - fuse.gvfsd-fuse f rw\n\
                 7 1 0:10 / /over rw - nfs g rw\n8 7 0:11 / /over rw - tmpfs h rw\n";
    let mut mounts = Mounts::default();
    mounts.parse(text, b"").unwrap();
    mounts.find_hidden();
    for path in ["/nfs", "/nfs/a", "/nfs/in/a", "/auto/x", "/gvfs/x"] {
        assert!(mounts.hangs(Path::new(path)), "{path}");
    }
    for path in ["/", "/var/lib", "/run/a", "/nfsx/a", "/automatic"] {
        assert!(!mounts.hangs(Path::new(path)), "{path}");
    }
}
