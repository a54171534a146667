//! Messages to the firmware of a Raspberry Pi.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `_IOWR(100, 0, char *)`, whose length differs between 32-bit and 64-bit programs.
pub const VIDEOCORE_REQUEST: u32 = 3 << 30 | (size_of::<*const u8>() as u32) << 16 | 100 << 8;

/// Hands a message to the VideoCore's firmware through `/dev/vcio` and puts its answer in the message's place. Blocks for as
/// long as the firmware takes, on present kernels for a second at most.
///
/// The first word is set to the message's length, as the driver wants it.
/// <https://github.com/raspberrypi/firmware/wiki/Mailbox-property-interface>
///
/// # Errors
/// What the driver's `ioctl(2)` says.
pub fn videocore(device: &File, message: &mut [u32]) -> io::Result<()> {
    let length = size_of_val(message);
    let Some(first) = message.first_mut() else { return Err(io::ErrorKind::InvalidInput.into()) };
    *first = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the driver reads and writes as many bytes as the first word says, which is the message's length. Other devices
    // refuse the number.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), VIDEOCORE_REQUEST as _, message.as_mut_ptr()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_videocore_answers_messages() {
        assert_eq!(
            videocore(&File::open("/dev/null").unwrap(), &mut []).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        let mut message = [7; 3];
        assert!(videocore(&File::open("/dev/null").unwrap(), &mut message).is_err());
        assert_eq!(message, [12, 7, 7]);
    }
}
