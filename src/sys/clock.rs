//! Clocks and timers.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Reads a clock of the kernel; zero if it has no such clock.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
fn clock(id: libc::clockid_t) -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `time` is as large as clock_gettime wants it, and all-zero is a valid timespec if the call fails.
    let time = unsafe {
        libc::clock_gettime(id, time.as_mut_ptr());
        time.assume_init()
    };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Returns the time since boot, including the time that the machine was suspended; it never steps.
pub fn since_boot() -> Duration {
    clock(libc::CLOCK_BOOTTIME)
}

/// Returns the wall-clock time since 1970, which steps when the clock is set.
pub fn unix_time() -> Duration {
    clock(libc::CLOCK_REALTIME)
}

/// Creates a timer that becomes readable every `interval`, without drift.
///
/// The runtime's own timers wake up the process two or three times on the way to one that is seconds away; for an agent that
/// mostly sleeps, those were a quarter of its whole cost.
///
/// # Errors
/// What `timerfd_create(2)` or `timerfd_settime(2)` says.
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
pub fn timer(interval: Duration) -> io::Result<OwnedFd> {
    // SAFETY: all-zero is a valid itimerspec; timerfd_create returns a new descriptor or -1, timerfd_settime only reads `every`.
    unsafe {
        let timer = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK);
        if timer < 0 {
            return Err(io::Error::last_os_error());
        }
        let timer = OwnedFd::from_raw_fd(timer);
        let mut every: libc::itimerspec = std::mem::zeroed();
        every.it_interval.tv_sec = interval.as_secs() as _;
        every.it_interval.tv_nsec = interval.subsec_nanos() as _;
        every.it_value = every.it_interval;
        if libc::timerfd_settime(timer.as_raw_fd(), 0, &every, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(timer)
    }
}

/// Returns how often a [`timer`] has expired since this was last asked; does not wait.
///
/// # Errors
/// What `read(2)` says, `WouldBlock` if it has not.
pub fn expirations(timer: &OwnedFd) -> io::Result<u64> {
    let mut count = 0_u64;
    // SAFETY: the kernel writes at most the 8 bytes of `count`.
    let read = unsafe { libc::read(timer.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    if read < 0 { Err(io::Error::last_os_error()) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_run() {
        let (boot, unix) = (since_boot(), unix_time());
        std::thread::sleep(Duration::from_millis(50));
        assert!(since_boot() > boot && unix_time() > unix);
        assert!(unix.as_secs() > 1_600_000_000);
    }

    #[test]
    fn timers_expire_again_and_again() {
        let late = timer(Duration::from_secs(3600)).unwrap();
        assert_eq!(expirations(&late).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let timer = timer(Duration::from_millis(20)).unwrap();
        std::thread::sleep(Duration::from_millis(70));
        assert!(expirations(&timer).unwrap() >= 3);
    }
}
