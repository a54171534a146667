//! The firmware's mailbox: messages to the VideoCore of a Raspberry Pi through `/dev/vcio`.
//! <https://github.com/raspberrypi/firmware/wiki/Mailbox-property-interface>

use super::Bad;
use super::asker::Asker;
use super::text::{hex, trim};
use crate::runtime::sandbox::Call;
use crate::sys;
use std::fs::File;
use std::io;

/// The device through which the firmware is asked.
pub const MAILBOX: &str = "/dev/vcio";
/// The call that sends it a message.
pub const SENDING: Call = Call::With(libc::SYS_ioctl, sys::VIDEOCORE_REQUEST);

/// How the firmware is asked. A message is a sequence of 32-bit words in the processor's byte order: its length, 0 (the firmware puts
/// [`SUCCESS`] there), then for each tag the tag, the length of its buffer, 0 (then the answer's length with [`SUCCESS`]'s bit),
/// the buffer; and 0 at the end.
/// <https://github.com/raspberrypi/firmware/wiki/Mailbox-property-interface>
#[derive(Debug)]
pub struct Firmware<Send> {
    send: Send,
    by_command: bool,
}

const SUCCESS: u32 = 1 << 31;
/// `GET_GENCMD_RESULT`: a command of `vcgencmd`; the buffer holds an error number and text.
const GENCMD: u32 = 0x0003_0080;
const GENCMD_BUFFER: usize = 1024;
/// `GET_THROTTLED`: the buffer holds which bits of the history to forget, and then the word.
const GET_THROTTLED: u32 = 0x0003_0046;

impl<Send: FnMut(&mut [u32]) -> io::Result<()>> Firmware<Send> {
    /// Sends messages with `send`.
    pub fn new(send: Send) -> Self {
        Firmware { send, by_command: true }
    }

    /// Asks for the word: first as `vcgencmd` does, since the kernel clears the history that `GET_THROTTLED` tells, but not that
    /// one. A firmware that knows no such command is not asked for it again.
    ///
    /// # Errors
    /// What `send` says, and `EOPNOTSUPP` from a firmware that does not know the word.
    pub fn ask(&mut self) -> io::Result<u32> {
        if self.by_command {
            match self.ask_command() {
                Ok(word) => return Ok(word),
                Err(error) if error.raw_os_error() == Some(libc::ETIMEDOUT) => return Err(error),
                Err(_) => self.by_command = false,
            }
        }
        let mut message = [0, 0, GET_THROTTLED, 4, 0, 0, 0];
        (self.send)(&mut message)?;
        let [_, status, _, _, answered, word, _] = message;
        if status == SUCCESS && answered & SUCCESS != 0 {
            Ok(word)
        } else {
            Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
        }
    }

    fn ask_command(&mut self) -> io::Result<u32> {
        const HEAD: usize = 6;
        let mut message = [0; HEAD + GENCMD_BUFFER / 4];
        message[2] = GENCMD;
        message[3] = GENCMD_BUFFER as u32;
        for (word, letters) in message[HEAD..].iter_mut().zip(b"get_throttled\0\0\0".chunks_exact(4)) {
            *word = u32::from_ne_bytes(letters.try_into().unwrap_or_default());
        }
        (self.send)(&mut message)?;
        let mut text = [0; 32];
        for (letters, word) in text.chunks_exact_mut(4).zip(&message[HEAD..]) {
            letters.copy_from_slice(&word.to_ne_bytes());
        }
        let good = message[1] == SUCCESS && message[4] & SUCCESS != 0 && message[5] == 0;
        parse_command(&text).filter(|_| good).ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }
}

/// Starts the thread that asks the firmware for the throttling word; `None` where there is no mailbox.
pub fn throttling() -> Option<Asker> {
    let device = File::open(MAILBOX).ok()?;
    let mut firmware = Firmware::new(move |message: &mut [u32]| sys::videocore(&device, message));
    Asker::start(move || firmware.ask()).ok()
}

/// Parses the firmware's word in hexadecimal: `d0008`.
///
/// # Errors
/// What was found instead.
pub fn parse_word(text: &[u8]) -> Result<u32, Bad> {
    let text = trim(text);
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    let word = hex(digits).and_then(|word| u32::try_from(word).ok());
    word.ok_or_else(|| Bad::new(1, "a hexadecimal word of 32 bits", text))
}

/// `throttled=0x50000`, with NUL bytes behind it.
fn parse_command(text: &[u8]) -> Option<u32> {
    let text = text.split(|&byte| byte == 0).next()?;
    parse_word(trim(text).strip_prefix(b"throttled=")?).ok()
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = (parse_word(text), parse_command(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_texts() {
        assert_eq!(parse_word(b"d0008\n"), Ok(0xd_0008));
        assert_eq!(parse_word(b"0\n"), Ok(0));
        assert_eq!(parse_command(b"throttled=0x50005\0\0\0"), Some(0x5_0005));
        assert_eq!(parse_command(b"throttled=0x0\n\0"), Some(0));
    }

    #[test]
    fn garbage_is_named() {
        for bad in ["", "0x", "xyz", "-1", "1ffffffff"] {
            assert_eq!(parse_word(bad.as_bytes()).unwrap_err().line, 1, "{bad}");
        }
        assert_eq!(parse_command(b"error=1 error_msg=\"Command not registered\"\0"), None);
        assert_eq!(parse_command(b""), None);
    }

    /// A firmware as the documentation describes it.
    fn reply(message: &mut [u32], command: Option<&[u8]>, word: u32) {
        assert_eq!((message[1], message[4]), (0, 0));
        match message[2] {
            GENCMD => {
                assert_eq!(message.len() * 4, 2 * 4 + 3 * 4 + GENCMD_BUFFER + 4);
                assert_eq!((message[3], message[5]), (1024, 0));
                let asked: Vec<_> = message[6..10].iter().flat_map(|word| word.to_le_bytes()).collect();
                assert_eq!(asked, b"get_throttled\0\0\0");
                let Some(text) = command else {
                    message[5] = 1;
                    message[4] = SUCCESS | 4;
                    message[1] = SUCCESS;
                    return;
                };
                for (word, letters) in message[6..].iter_mut().zip(text.chunks(4)) {
                    let mut bytes = [0; 4];
                    bytes[..letters.len()].copy_from_slice(letters);
                    *word = u32::from_le_bytes(bytes);
                }
                message[4] = SUCCESS | 1024;
            }
            GET_THROTTLED => {
                // The history is not ours to clear.
                assert_eq!(message[3..], [4, 0, 0, 0]);
                message[5] = word;
                message[4] = SUCCESS | 4;
            }
            _ => panic!("{message:x?}"),
        }
        message[1] = SUCCESS;
    }

    #[test]
    fn the_firmware_is_asked_as_documented() {
        let mut firmware = Firmware::new(|message: &mut [u32]| {
            reply(message, Some(b"throttled=0x50005"), 0);
            Ok(())
        });
        assert_eq!(firmware.ask().unwrap(), 0x5_0005);
        assert_eq!(firmware.ask().unwrap(), 0x5_0005);
    }

    #[test]
    fn a_firmware_without_commands_is_asked_for_the_word_alone() {
        let mut tags = Vec::new();
        let mut firmware = Firmware::new(|message: &mut [u32]| {
            tags.push(message[2]);
            reply(message, None, 0x2_0002);
            Ok(())
        });
        assert_eq!((firmware.ask().unwrap(), firmware.ask().unwrap()), (0x2_0002, 0x2_0002));
        assert_eq!(tags, [GENCMD, GET_THROTTLED, GET_THROTTLED]);
    }

    #[test]
    fn a_firmware_without_an_answer_is_an_error() {
        let mut firmware = Firmware::new(|_: &mut [u32]| Ok(()));
        assert_eq!(firmware.ask().unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
        let mut firmware = Firmware::new(|_: &mut [u32]| Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)));
        assert_eq!(firmware.ask().unwrap_err().raw_os_error(), Some(libc::ETIMEDOUT));
        assert!(firmware.by_command);
    }
}
