//! A filesystem in a thread of the test, which answers or does not, as it is told. Speaks the kernel's FUSE protocol itself, as much of it
//! as a directory that holds a directory needs. <https://docs.kernel.org/filesystems/fuse.html>

use crate::needs::needs;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A mounted filesystem; its end lets go of everybody who still waits for an answer.
pub struct Fuse {
    device: File,
    /// Whether it answers, and the requests that it has not answered.
    state: Arc<Mutex<(bool, Vec<Vec<u8>>)>>,
    mountpoint: CString,
}

const ROOT: u64 = 1;
const INNER: u64 = 2;

impl Fuse {
    /// Mounts at `path`, as a filesystem on `device` if there is one; `None` (a skipped test) without FUSE.
    pub fn mount(path: &Path, block_device: Option<&str>) -> Option<Fuse> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        if !needs("/dev/fuse", device.is_ok()) {
            return None;
        }
        let device = device.unwrap();
        let text = |text: &str| CString::new(text).unwrap();
        let mountpoint = text(path.to_str().unwrap());
        let (source, kind, more) = match block_device {
            Some(device) => (text(device), c"fuseblk", ",blksize=512"),
            None => (text("server:/share"), c"fuse", ""),
        };
        let fd = device.as_raw_fd();
        let options = text(&format!("fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other{more}"));
        // SAFETY: all five are C strings that outlive the call, or numbers.
        let mounted =
            unsafe { libc::mount(source.as_ptr(), mountpoint.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
        assert_eq!(mounted, 0, "{}", std::io::Error::last_os_error());
        let state = Arc::new(Mutex::new((true, Vec::new())));
        let (requests, theirs) = (device.try_clone().unwrap(), state.clone());
        std::thread::spawn(move || serve(&requests, &theirs));
        Some(Fuse { device, state, mountpoint })
    }

    /// From now on it answers, or keeps everybody waiting: for 5 minutes, so that an agent that does hang, and cannot even be killed,
    /// fails its test and does not hold it up for good.
    pub fn answers(&self, answers: bool) {
        change(&self.device, &self.state, answers);
        if !answers {
            let (device, state) = (self.device.try_clone().unwrap(), self.state.clone());
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(300));
                change(&device, &state, true);
            });
        }
    }
}

fn change(device: &File, state: &Mutex<(bool, Vec<Vec<u8>>)>, answers: bool) {
    let mut state = state.lock().unwrap();
    state.0 = answers;
    if answers {
        for request in std::mem::take(&mut state.1) {
            answer(device, &request);
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.answers(true);
        // SAFETY: the path is a C string.
        unsafe { libc::umount2(self.mountpoint.as_ptr(), libc::MNT_DETACH) };
    }
}

fn serve(mut device: &File, state: &Mutex<(bool, Vec<Vec<u8>>)>) {
    let mut buffer = vec![0; 1 << 17];
    loop {
        match device.read(&mut buffer) {
            Ok(length) => {
                let mut state = state.lock().unwrap();
                if state.0 {
                    answer(device, &buffer[..length]);
                } else {
                    state.1.push(buffer[..length].to_vec());
                }
            }
            // Of a request that was taken back before it was read.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(_) => return,
        }
    }
}

/// `struct fuse_attr` of a directory.
fn directory(node: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [node, 0, 0, 0, 0, 0] {
        out.extend(number.to_ne_bytes());
    }
    for number in [0_u32, 0, 0, libc::S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0] {
        out.extend(number.to_ne_bytes());
    }
    out
}

/// Nothing may be remembered by the kernel: each look asks again.
fn answer(mut device: &File, request: &[u8]) {
    const LOOKUP: u32 = 1;
    const FORGET: u32 = 2;
    const GETATTR: u32 = 3;
    const STATFS: u32 = 17;
    const INIT: u32 = 26;
    const INTERRUPT: u32 = 36;
    const BATCH_FORGET: u32 = 42;
    let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().unwrap());
    let (code, unique, node) = (word(4), long(8), long(16));
    let mut error = 0;
    let mut body = Vec::new();
    match code {
        FORGET | INTERRUPT | BATCH_FORGET => return,
        INIT => {
            for number in [7_u32, 31, 0, 0, 0, 1 << 16, 1] {
                body.extend(number.to_ne_bytes());
            }
            body.resize(64, 0);
        }
        GETATTR => {
            body.resize(16, 0);
            body.extend(directory(node));
        }
        LOOKUP if node == ROOT && request[40..].starts_with(b"inner\0") => {
            body.extend(INNER.to_ne_bytes());
            body.resize(40, 0);
            body.extend(directory(INNER));
        }
        LOOKUP => error = libc::ENOENT,
        STATFS => {
            for number in [1000_u64, 600, 500, 100, 90] {
                body.extend(number.to_ne_bytes());
            }
            for number in [4096_u32, 255, 4096] {
                body.extend(number.to_ne_bytes());
            }
            body.resize(80, 0);
        }
        _ => error = libc::ENOSYS,
    }
    let mut reply = Vec::new();
    reply.extend(u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
    reply.extend((-error).to_ne_bytes());
    reply.extend(unique.to_ne_bytes());
    reply.extend(body);
    // Who asked may be gone by now.
    let _ = device.write(&reply);
}
