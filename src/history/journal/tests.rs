//! Power cuts, played: the test is the disk.

use super::*;
use std::path::PathBuf;

const SECTOR: usize = 512;
/// Files of 13 pages, so that they are used in turn often.
const END: u64 = 13 * PAGE as u64;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pi-monitor-journal-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A journal whose writer is the test, which has the socket's other end.
fn open(folder: &Path) -> (Journal, OwnedFd, Vec<String>) {
    let (mut journal, _, lines) = Journal::read(folder, END).unwrap();
    let [ours, theirs] = sys::socket_pair().unwrap();
    journal.writer = Some((Child::new(libc::pid_t::MAX), ours));
    (journal, theirs, lines)
}

fn records(journal: &mut Journal) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    journal.each(&mut |kind, bytes| all.push((kind, bytes.to_vec())));
    all
}

/// The next order: which file, where, and what.
fn take(socket: &OwnedFd) -> Option<(usize, usize, Vec<u8>)> {
    let mut message = vec![0; MESSAGE_MAX];
    let length = sys::receive(socket, &mut message).ok()?;
    let order = u64::from_ne_bytes(message[..ORDER].try_into().unwrap());
    Some((usize::from(order & SECOND != 0), (order & !SECOND) as usize, message[ORDER..length].to_vec()))
}

fn answer(socket: &OwnedFd, error: i32) {
    sys::send(socket, &error.to_ne_bytes()).unwrap();
}

fn put(file: &mut Vec<u8>, place: usize, bytes: &[u8]) {
    if file.len() < place + bytes.len() {
        file.resize(place + bytes.len(), 0);
    }
    file[place..place + bytes.len()].copy_from_slice(bytes);
}

fn store(folder: &Path, disk: &[Vec<u8>; 2]) {
    for (slot, file) in disk.iter().enumerate() {
        std::fs::write(folder.join(format!("journal.{slot}")), file).unwrap();
    }
}

type Batch = Vec<(u8, Vec<u8>)>;

/// What is on the device for certain, and what may be.
#[derive(Default)]
struct Disk {
    sure: [Vec<u8>; 2],
    /// Writes that were not synced, in order.
    open: Vec<(usize, usize, Vec<u8>)>,
}

impl Disk {
    /// Leaves any part of the open writes: each sector is the old one, the new one, erased either way, or torn at some byte.
    fn cut(&mut self, random: &mut Random) {
        for (file, place, bytes) in std::mem::take(&mut self.open) {
            let old = self.sure[file].clone();
            let mut sectors: Vec<usize> = (0..bytes.len() / SECTOR).collect();
            // Whole attempts that arrived, or did not, are as likely as torn ones.
            let all = random.below(4);
            while !sectors.is_empty() {
                let sector = sectors.swap_remove(random.below(sectors.len()));
                let from = place + sector * SECTOR;
                let new = &bytes[sector * SECTOR..(sector + 1) * SECTOR];
                match (all, random.below(6)) {
                    (0, _) => {}
                    (1, _) | (_, 0 | 1) => put(&mut self.sure[file], from, new),
                    (_, 2) => put(&mut self.sure[file], from, &[0; SECTOR]),
                    (_, 3) => put(&mut self.sure[file], from, &[0xff; SECTOR]),
                    (_, 4) => put(&mut self.sure[file], from, &new[..random.below(SECTOR)]),
                    _ => {
                        // The rest of what was there before stays, as far as there was anything.
                        let end = old.len().min(from + SECTOR);
                        if from < end {
                            put(&mut self.sure[file], from, &old[from..end]);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_thousand_power_cuts_lose_nothing_that_was_flushed() {
    let folder = folder("cuts");
    let mut random = Random(7);
    let mut disk = Disk::default();
    // The batches of each file that are flushed, and those of a file that is being begun anew.
    let mut flushed: [Vec<Batch>; 2] = Default::default();
    let mut given_up: Vec<Batch> = Vec::new();
    let mut under_way: Option<(usize, Batch)> = None;
    // The file that was begun last.
    let mut newer = 0;
    let (mut counter, mut turns, mut whole, mut torn, mut errors) = (0_u32, 0, 0, 0, 0);
    for cut in 0..1000 {
        store(&folder, &disk.sure);
        let (mut journal, socket, lines) = open(&folder);
        assert_eq!(lines, [""; 0], "cut {cut}");
        // Everything that was flushed is there, in order. What was under way is there as a whole, or not at all. A file whose title
        // was under way has its old batches, which come first, or none.
        let seen = records(&mut journal);
        let sure: Vec<_> = [1 - newer, newer].iter().flat_map(|slot| flushed[*slot].concat()).collect();
        let old: Vec<_> = given_up.concat().into_iter().chain(sure.clone()).collect();
        let (slot, batch) = under_way.take().unwrap_or_default();
        let new: Vec<_> = sure.iter().chain(&batch).cloned().collect();
        // An earlier attempt that failed may have arrived, without what came after it.
        let arrived = if new.starts_with(&seen) { seen.len().saturating_sub(sure.len()) } else { 0 };
        assert!(seen == sure || seen == old || arrived > 0, "cut {cut}: {} records", seen.len());
        if arrived > 0 {
            whole += 1;
            newer = slot;
            flushed[slot].push(batch[..arrived].to_vec());
        } else {
            torn += 1;
        }
        let given_up_now = std::mem::take(&mut given_up);
        // Once a batch was whole, the title was on the device before, and nothing was given up any more.
        if !given_up_now.is_empty() {
            if seen == old {
                flushed[1 - newer] = given_up_now;
            } else {
                newer = 1 - newer;
            }
        }
        journal.forget_past();
        // Some flushes that arrive or fail, then one during which the power goes.
        let flushes = random.below(4);
        let mut batch = Batch::new();
        for flush in 0..=flushes {
            for _ in 0..=random.below(3) {
                counter += 1;
                let length = if random.below(8) == 0 { 7000 } else { random.below(900) };
                let mut bytes = vec![random.below(256) as u8; length];
                bytes.extend(counter.to_le_bytes());
                if journal.append((counter % 251) as u8, &bytes) {
                    batch.push(((counter % 251) as u8, bytes));
                }
            }
            if journal.turns() {
                turns += 1;
            }
            assert!(journal.flush() && !journal.flush());
            // What was sent, each order once the one before it is done.
            let power_goes = flush == flushes;
            let fails = !power_goes && random.below(4) == 0;
            let slot = loop {
                let (file, place, bytes) = take(&socket).unwrap();
                if place == 0 {
                    given_up.append(&mut flushed[file]);
                }
                let is_batch = place > 0;
                disk.open.push((file, place, bytes));
                if (power_goes || fails) && (is_batch || random.below(2) == 0) {
                    break file;
                }
                for (file, place, bytes) in disk.open.drain(..) {
                    put(&mut disk.sure[file], place, &bytes);
                }
                if place == 0 {
                    // Its title is new for certain.
                    given_up.clear();
                    newer = file;
                }
                answer(&socket, 0);
                if is_batch {
                    break file;
                }
                assert_eq!(journal.poll(), None);
            };
            if power_goes {
                under_way = Some((slot, batch));
                break;
            }
            if fails {
                errors += 1;
                answer(&socket, libc::EIO);
                assert_eq!(journal.poll(), Some(Outcome::Failed(libc::EIO)));
                continue;
            }
            assert_eq!((journal.poll(), journal.poll()), (Some(Outcome::Written), None));
            newer = slot;
            flushed[slot].push(std::mem::take(&mut batch));
        }
        disk.cut(&mut random);
    }
    println!("1000 cuts: {counter} records, {turns} turns, {errors} errors; under way: {whole} whole, {torn} torn");
    assert!(turns > 100 && errors > 100 && whole > 100 && torn > 300);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_batch_torn_at_any_byte_is_not_there_and_what_was_before_it_is() {
    let folder = folder("bytes");
    let mut disk: [Vec<u8>; 2] = Default::default();
    let take_all = |journal: &mut Journal, socket: &OwnedFd, disk: &mut [Vec<u8>; 2]| {
        assert!(journal.flush());
        loop {
            let (file, place, bytes) = take(socket).unwrap();
            put(&mut disk[file], place, &bytes);
            answer(socket, 0);
            if journal.poll() == Some(Outcome::Written) {
                return (file, place, bytes);
            }
        }
    };
    store(&folder, &disk);
    let (mut journal, socket, _) = open(&folder);
    journal.turns();
    journal.append(1, b"flushed");
    take_all(&mut journal, &socket, &mut disk);
    let before = disk.clone();
    journal.append(2, &[0x5a; 700]);
    journal.append(3, b"behind");
    let (file, place, bytes) = take_all(&mut journal, &socket, &mut disk);
    drop(journal);
    let mut whole = 0;
    // Every byte of the batch, and some of what fills its page.
    for cut in (0..740).chain([800, 1024, 3000, PAGE]) {
        for (erased, is_end) in [(0, false), (0xff, false), (0, true)] {
            // Every byte for one way, every third for the others: it takes long enough.
            if (erased > 0 || is_end) && cut % 3 > 0 && cut < 700 {
                continue;
            }
            let mut torn = bytes.clone();
            if is_end {
                // The end arrived, and the begin did not.
                torn[..cut].fill(erased);
            } else {
                torn[cut..].fill(erased);
            }
            let mut now = before.clone();
            put(&mut now[file], place, &torn);
            store(&folder, &now);
            let (mut journal, _, lines) = open(&folder);
            let seen = records(&mut journal);
            assert_eq!((lines.len(), &seen[0]), (0, &(1, b"flushed".to_vec())));
            if torn[..HEAD + 2 * RECORD + 706] == bytes[..HEAD + 2 * RECORD + 706] {
                whole += 1;
                assert_eq!((seen.len(), &seen[2]), (3, &(3, b"behind".to_vec())));
            } else {
                assert_eq!(seen.len(), 1, "{cut}");
            }
        }
    }
    assert!(whole > 8, "{whole}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// One cut at every byte of every write, and one at every block, in every stage of the two files' life.
#[test]
fn a_cut_at_every_byte_and_block_shows_what_was_before_or_what_came() {
    let (folder, cut_folder) = (folder("everywhere"), folder("everywhere-cut"));
    let mut disk: [Vec<u8>; 2] = Default::default();
    let (mut byte_cuts, mut block_cuts, mut titles) = (0, 0, 0);
    let read = |disk: &[Vec<u8>; 2]| {
        store(&cut_folder, disk);
        let (mut journal, _, lines) = open(&cut_folder);
        assert_eq!(lines, [""; 0]);
        records(&mut journal)
    };
    // Both files are begun, used and begun anew.
    for length in [300, 4500, 7000, 7000, 7000, 60, 7000, 7000, 7000, 7000, 500, 7000, 7000, 7000, 7000, 90] {
        store(&folder, &disk);
        let (mut journal, socket, _) = open(&folder);
        journal.turns();
        let filling: Vec<u8> = (0..length).map(|byte| (byte * 7 + byte / 251) as u8).collect();
        assert!(journal.append(5, &filling) && journal.append(6, b"behind") && journal.flush());
        while let Some((file, place, bytes)) = take(&socket) {
            let before = read(&disk);
            let old = disk.clone();
            put(&mut disk[file], place, &bytes);
            let after = read(&disk);
            let is_title = place == 0;
            // Whatever was flushed stays, but for what a file had that is begun anew.
            if is_title {
                assert!(before.ends_with(&after));
            } else {
                assert!(after.starts_with(&before) && after.len() == before.len() + 2);
            }
            titles += usize::from(is_title);
            let mut last = Vec::new();
            let mut check = |torn: &[u8]| {
                if torn == last {
                    return 0;
                }
                last = torn.to_vec();
                let mut now = old.clone();
                put(&mut now[file], place, torn);
                let seen = read(&now);
                assert!(seen == before || seen == after, "file {file}, place {place}, length {length}");
                1
            };
            let mut beneath = old[file].get(place..).unwrap_or_default().to_vec();
            beneath.resize(bytes.len(), 0);
            // Of what fills a page and of large batches not every byte.
            let dense = if is_title || length > 1000 { 40 } else { length + 40 };
            for cut in (0..dense).chain((dense..=bytes.len()).step_by(97)) {
                let (begin, end) = bytes.split_at(cut);
                let erased = [0, 0xff].map(|byte| vec![byte; bytes.len()]);
                // Erased to ones at every fifth byte: it takes long enough.
                let mut rests = vec![&erased[0]];
                rests.extend((cut % 5 == 0).then_some(&erased[1]));
                // A title and the one that it replaces are in one sector, which is one or the other.
                rests.extend((!is_title).then_some(&beneath));
                for rest in rests {
                    byte_cuts += check(&[begin, &rest[cut..]].concat());
                    byte_cuts += check(&[&rest[..cut], end].concat());
                }
            }
            for sector in 0..bytes.len() / SECTOR {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                for (base, other) in [(&bytes, &beneath), (&beneath, &bytes), (&bytes, &vec![0xff; bytes.len()])] {
                    let mut torn = base.clone();
                    torn[range.clone()].copy_from_slice(&other[range.clone()]);
                    block_cuts += check(&torn);
                }
            }
            answer(&socket, 0);
            journal.poll();
        }
    }
    println!("{byte_cuts} cuts at bytes and {block_cuts} at blocks, in {titles} titles and all batches");
    assert!(byte_cuts > 1000 && block_cuts > 500 && titles >= 4, "{byte_cuts} {block_cuts} {titles}");
    std::fs::remove_dir_all(folder).unwrap();
    std::fs::remove_dir_all(cut_folder).unwrap();
}

/// Flushes so many batches of one page to real files.
fn filled(folder: &Path, batches: usize) {
    let mut disk: [Vec<u8>; 2] =
        [0, 1].map(|slot| std::fs::read(folder.join(format!("journal.{slot}"))).unwrap_or_default());
    let (mut journal, socket, _) = open(folder);
    for number in 0..batches {
        journal.turns();
        assert!(journal.append(7, format!("record {number}").as_bytes()) && journal.flush());
        while let Some((file, place, bytes)) = take(&socket) {
            put(&mut disk[file], place, &bytes);
            answer(&socket, 0);
            journal.poll();
        }
    }
    store(folder, &disk);
}

#[test]
fn damage_is_found_said_and_set_aside_and_what_is_good_is_read() {
    let folder = folder("damage");
    let path = |name: &str| folder.join(name);
    // Thirteen pages hold the title and nine batches before there is no room for a large one.
    filled(&folder, 12);
    let (mut journal, ..) = open(&folder);
    let all = records(&mut journal);
    assert_eq!((all.len(), &all[11].1[..]), (12, &b"record 11"[..]));
    drop(journal);
    let good = [0, 1].map(|slot| std::fs::read(path(&format!("journal.{slot}"))).unwrap());
    // Which file, which byte becomes another, and how many records are still read.
    for (slot, byte, expected) in [
        (0, 3 * PAGE + 20, 2 + 3), // in the middle of the older file
        (0, 9 * PAGE + 20, 8 + 3), // its last batch, which the newer one follows
        (0, 30, 3),                // its title
        (1, PAGE + 20, 9),         // the newer file's first batch
        (1, 0, 9),                 // its title
    ] {
        for (slot, file) in good.iter().enumerate() {
            std::fs::write(path(&format!("journal.{slot}")), file).unwrap();
        }
        let mut bad = good[slot].clone();
        bad[byte] ^= 0x40;
        std::fs::write(path(&format!("journal.{slot}")), &bad).unwrap();
        let (mut journal, _, lines) = open(&folder);
        let name = path(&format!("journal.{slot}"));
        assert_eq!(lines, [format!("{0}: damaged; set aside as {0}.damaged", name.display())], "{byte}");
        assert_eq!(records(&mut journal).len(), expected, "{slot} {byte}");
        assert_eq!(std::fs::read(path(&format!("journal.{slot}.damaged"))).unwrap(), bad);
        drop(journal);
        // It goes on, and the next start has nothing to complain about.
        filled(&folder, 1);
        let (mut journal, _, lines) = open(&folder);
        let seen = records(&mut journal);
        assert_eq!((lines.len(), &seen.last().unwrap().1[..]), (0, &b"record 0"[..]), "{slot} {byte} {lines:?}");
    }
    // The last batch may as well have been cut off.
    for (slot, file) in good.iter().enumerate() {
        std::fs::write(path(&format!("journal.{slot}")), file).unwrap();
    }
    let mut bad = good[1].clone();
    bad[3 * PAGE + 20] ^= 1;
    std::fs::write(path("journal.1"), &bad).unwrap();
    let (mut journal, _, lines) = open(&folder);
    assert_eq!((lines.len(), records(&mut journal).len()), (0, 11));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn files_of_another_version_are_left_alone() {
    let folder = folder("version");
    let other = b"pi-monitor journal 2\nwhatever this is";
    std::fs::write(folder.join("journal.0"), other).unwrap();
    filled(&folder, 12);
    std::fs::write(folder.join("journal.0"), other).unwrap();
    let (journal, _, lines) = open(&folder);
    let expected = format!(
        "{}: written by another version; left as it is, and a new one begun",
        folder.join("journal.0").display()
    );
    assert_eq!((lines, std::fs::read(folder.join("journal.0")).unwrap()), (vec![expected], other.to_vec()));
    drop(journal);
    // What was written beside it, with the real writer.
    let (mut journal, lines) = Journal::open(&folder).unwrap();
    assert_eq!(lines.len(), 1);
    journal.turns();
    assert!(journal.append(9, b"beside") && journal.flush());
    assert_eq!(journal.wait(Duration::from_secs(60)), Some(Outcome::Written));
    drop(journal);
    let mode = std::fs::metadata(folder.join("journal.0.v1")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    (journal, ..) = open(&folder);
    assert_eq!(records(&mut journal).last().unwrap(), &(9, b"beside".to_vec()));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = folder("open");
    let wrong = |folder: &Path| Journal::open(folder).map(drop).unwrap_err();
    assert_eq!(
        wrong(&folder.join("gone")),
        format!("{}/gone/journal.0: No such file or directory (os error 2)", folder.display())
    );
    std::os::unix::fs::symlink("/etc/passwd", folder.join("journal.0")).unwrap();
    assert!(wrong(&folder).contains("symbolic link"), "{}", wrong(&folder));
    std::fs::remove_file(folder.join("journal.0")).unwrap();
    std::fs::create_dir(folder.join("journal.0")).unwrap();
    assert!(wrong(&folder).contains("not a file") || wrong(&folder).contains("directory"), "{}", wrong(&folder));
    std::fs::remove_dir(folder.join("journal.0")).unwrap();
    let (journal, _) = Journal::open(&folder).unwrap();
    assert!(wrong(&folder).ends_with("journal.0: in use by another process"));
    drop(journal);
    Journal::open(&folder).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_buffer_is_bounded_and_a_writer_that_is_gone_is_no_harm() {
    let folder = folder("bounds");
    let (mut journal, socket, _) = open(&folder);
    journal.turns();
    let place = journal.buffer.as_ptr();
    assert!(!journal.append(1, &[0; BATCH_MAX]));
    while journal.append(1, &[7; 1000]) {}
    assert!(journal.room() < 1000 && journal.append(1, &vec![7; journal.room()]) && !journal.append(1, b""));
    assert_eq!(journal.cost(), FLUSH_COST + GROWTH_COST + (BATCH_MAX + PAGE) as u64);
    assert!(journal.flush() && !journal.is_empty());
    take(&socket).unwrap();
    answer(&socket, 0);
    assert_eq!(journal.poll(), None);
    assert_eq!(take(&socket).unwrap().2.len(), BATCH_MAX);
    answer(&socket, libc::ENOSPC);
    assert_eq!(journal.poll(), Some(Outcome::Failed(libc::ENOSPC)));
    assert_eq!((journal.buffer.as_ptr(), journal.buffer.len()), (place, MESSAGE_MAX));
    assert!(journal.flush());
    drop(socket);
    assert_eq!(journal.poll(), Some(Outcome::Ended));
    assert!(!journal.is_writable() && !journal.flush() && journal.poll().is_none());
    std::fs::remove_dir_all(folder).unwrap();
}
