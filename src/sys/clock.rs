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

/// Creates a timer that becomes readable when the wall clock is set; [`await_setting`] starts it.
///
/// # Errors
/// What `timerfd_create(2)` says.
pub fn setting_timer() -> io::Result<OwnedFd> {
    // SAFETY: timerfd_create returns a new descriptor or -1.
    unsafe {
        match libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            timer => Ok(OwnedFd::from_raw_fd(timer)),
        }
    }
}

/// Lets a [`setting_timer`] wait for the next time that the wall clock is set, when [`expirations`] says `ECANCELED`.
///
/// The kernel cancels only timers of CLOCK_REALTIME with an absolute time (`timerfd_setup_cancel` in `fs/timerfd.c`).
///
/// # Errors
/// What `timerfd_settime(2)` says.
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
pub fn await_setting(timer: &OwnedFd) -> io::Result<()> {
    // SAFETY: all-zero is a valid itimerspec, and timerfd_settime only reads it.
    let armed = unsafe {
        let mut once: libc::itimerspec = std::mem::zeroed();
        // Never: the last second of 32 bits, or one that the kernel takes for the end of its time.
        let never = if size_of_val(&once.it_value.tv_sec) == 4 { i64::from(i32::MAX) } else { 1 << 40 };
        once.it_value.tv_sec = never as _;
        let how = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        libc::timerfd_settime(timer.as_raw_fd(), how, &once, std::ptr::null_mut())
    };
    if armed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel knows of how right its wall clock is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockState {
    /// Whether a program keeps it synchronized with others.
    pub synchronized: bool,
    /// What is left to correct, in nanoseconds.
    pub offset: i64,
    /// How wrong the clock may be, in microseconds: as the program that synchronizes it estimates, and at most.
    pub estimated_error: u64,
    pub error_max: u64,
    /// What the kernel says, in its own units: `offset`, `freq`, `maxerror`, `esterror`, `status`, `constant`, `tick`, `ppsfreq`,
    /// `jitter`, `shift`, `stabil`, `jitcnt`, `calcnt`, `errcnt`, `stbcnt` and `tai` of `struct timex`.
    pub raw: [i64; 16],
}

/// Returns what the kernel knows of how right its clock is; `None` if it does not say.
///
/// The call of the C library has another structure on 32-bit processors than the kernel's call of this number. To the kernel, all of
/// its fields are as large as a register: its integers are filled up on 64-bit processors.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the fields' types differ between targets")]
pub fn clock_state() -> Option<ClockState> {
    /// `TIME_ERROR` and `STA_NANO` of `include/uapi/linux/timex.h`.
    const UNSYNCHRONIZED: libc::c_long = 5;
    const NANOSECONDS: libc::c_long = 0x2000;
    // As large as `struct timex` and larger. `modes` is 0: nothing is set.
    let mut state = [0 as libc::c_long; 64];
    // SAFETY: the kernel writes no more than its structure.
    let result = unsafe { libc::syscall(libc::SYS_adjtimex, state.as_mut_ptr()) };
    if result == -1 {
        return None;
    }
    let mut raw = [0; 16];
    for (value, place) in raw.iter_mut().zip((1..=6).chain(11..=20)) {
        // Two of them are shorter than a register, and what fills it up is nobody's.
        *value = if matches!(place, 14 | 20) { i64::from(state[place] as i32) } else { i64::from(state[place]) };
    }
    let [_modes, offset, _frequency, error_max, estimated_error, status, ..] = state;
    let unit = if status & NANOSECONDS == 0 { 1000 } else { 1 };
    Some(ClockState {
        synchronized: result != UNSYNCHRONIZED,
        offset: i64::from(offset).saturating_mul(unit),
        estimated_error: u64::try_from(estimated_error).unwrap_or(0),
        error_max: u64::try_from(error_max).unwrap_or(0),
        raw,
    })
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
    fn a_timer_for_settings_waits() {
        let timer = setting_timer().unwrap();
        for _ in 0..2 {
            await_setting(&timer).unwrap();
            assert_eq!(expirations(&timer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        let state = clock_state().unwrap();
        // The kernel counts at most 16 s, from which on the clock is not synchronized.
        assert!(
            state.error_max >= state.estimated_error.min(1) && (!state.synchronized || state.error_max < 16_000_000)
        );
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
