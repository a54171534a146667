//! Many small files of the kernel, kept open by their paths and read into one buffer.

use super::source::{highest_kept, read_parts};
use crate::model::key;
use crate::sys;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Files of the kernel that are read again and again, by their paths. They stay open, up to a number of them: to open and close one
/// costs several times as much as to read it.
#[derive(Debug, Default)]
pub struct Kept {
    files: Vec<KeptFile>,
    /// Where the next one is, if they are asked for in the order of last time.
    next: usize,
}

#[derive(Debug)]
struct KeptFile {
    /// A hash of the path.
    hash: u64,
    file: File,
    /// Whether it is one record, as an attribute of sysfs is.
    is_record: bool,
}

/// The most files that one [`Kept`] keeps open.
const KEPT_MAX: usize = 256;

impl Kept {
    /// Reads a file in place of what `buffer` held. Of the kernel's own, an attribute of sysfs is one record; see [`read_record`](super::read_record).
    ///
    /// # Errors
    /// What `open(2)` or `read(2)` says.
    pub fn read(&mut self, path: &str, is_record: bool, buffer: &mut Vec<u8>) -> io::Result<()> {
        let Kept { files, next } = self;
        let hash = key(path, 0);
        let is_it = |kept: &KeptFile| kept.hash == hash;
        let place = if files.get(*next).is_some_and(is_it) { Some(*next) } else { files.iter().position(is_it) };
        if let Some(place) = place {
            *next = place + 1;
            match files[place].read(buffer) {
                // The device is gone; there may be another one of its name.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                read => return read,
            }
            files.remove(place);
            *next = place;
        }
        let file = File::open(path)?;
        let is_original = sys::is_made_by_kernel(&file);
        let kept = KeptFile { hash, is_record: is_record && is_original, file };
        let read = kept.read(buffer);
        if is_original && kept.file.as_raw_fd() < highest_kept() && files.len() < KEPT_MAX {
            files.insert(*next, kept);
            *next += 1;
        }
        read
    }
}

impl KeptFile {
    fn read(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut at = 0;
        read_parts(buffer, self.is_record, &mut |into| {
            let read = self.file.read_at(into, at)?;
            at += read as u64;
            Ok(read)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_anew_and_stay_open_where_the_kernel_makes_them() {
        let (mut kept, mut buffer) = (Kept::default(), Vec::new());
        let mut read = |kept: &mut Kept, path: &str, is_record: bool| {
            kept.read(path, is_record, &mut buffer).map(|()| String::from_utf8_lossy(&buffer).into_owned())
        };
        let uptime = "/proc/uptime";
        let first: Vec<_> = [uptime, "/sys/class/net/lo/ifindex", "/proc/version"]
            .iter()
            .map(|path| read(&mut kept, path, path.starts_with("/sys")).unwrap())
            .collect();
        assert_eq!((first[1].as_str(), kept.files.len()), ("1\n", 3));
        // In any order, and the present text.
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(read(&mut kept, "/proc/version", false).unwrap(), first[2]);
        assert_ne!(read(&mut kept, uptime, false).unwrap(), first[0]);
        assert_eq!(read(&mut kept, "/sys/class/net/lo/ifindex", true).unwrap(), "1\n");
        assert_eq!(kept.files.len(), 3);
        // What others replace is not kept, and what is not there is an error.
        let copy = std::env::temp_dir().join(format!("pi-monitor-kept-{}", std::process::id()));
        for text in ["a", "b"] {
            std::fs::write(&copy, text).unwrap();
            assert_eq!(read(&mut kept, copy.to_str().unwrap(), true).unwrap(), text);
            std::fs::remove_file(&copy).unwrap();
        }
        assert!(read(&mut kept, copy.to_str().unwrap(), true).is_err());
        assert_eq!(kept.files.len(), 3);
    }
}
