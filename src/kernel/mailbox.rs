//! The firmware's mailbox: messages to the VideoCore of a Raspberry Pi through `/dev/vcio`.
//! <https://github.com/raspberrypi/firmware/wiki/Mailbox-property-interface>

use super::Bad;
use super::asker::Asker;
use super::text::{find, hex, lines, trim, words};
use crate::model::Value;
use crate::runtime::sandbox::Call;
use crate::sys;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The device through which the firmware is asked.
pub const MAILBOX: &str = "/dev/vcio";
/// The call that sends it a message.
pub const SENDING: Call = Call::With(libc::SYS_ioctl, sys::VIDEOCORE_REQUEST);

/// How the firmware is asked. A message is a sequence of 32-bit words in the processor's byte order: its length, 0 (the firmware puts
/// [`SUCCESS`] there), then for each tag the tag, the length of its buffer, 0 (then the answer's length with [`SUCCESS`]'s bit),
/// the buffer; and 0 at the end. Each message has one tag, so that one which the firmware does not know spoils no other.
/// <https://github.com/raspberrypi/firmware/wiki/Mailbox-property-interface>
#[derive(Debug)]
pub struct Firmware<Send> {
    send: Send,
    by_command: bool,
    has_pmic: bool,
}

/// Hands a message to the firmware and puts the answer in its place; may block.
pub type Messenger = Box<dyn FnMut(&mut [u32]) -> io::Result<()> + Send>;

const SUCCESS: u32 = 1 << 31;
/// `GET_GENCMD_RESULT`: a command of `vcgencmd`; the buffer holds an error number and text.
const GENCMD: u32 = 0x0003_0080;
const GENCMD_BUFFER: usize = 1024;
/// `GET_THROTTLED`: the buffer holds which bits of the history to forget, and then the word.
const GET_THROTTLED: u32 = 0x0003_0046;
/// `GET_FIRMWARE_REVISION`: Unix time at which it was built.
const GET_REVISION: u32 = 1;
/// `GET_TEMPERATURE`, in thousandths of a degree.
const GET_TEMPERATURE: u32 = 0x0003_0006;
/// `GET_VOLTAGE`, in microvolts.
const GET_VOLTAGE: u32 = 0x0003_0003;
/// `GET_CLOCK_MEASURED`, and `GET_CLOCK_RATE`, which is what was set, for firmware without the former.
const GET_CLOCK: u32 = 0x0003_0047;
const GET_CLOCK_RATE: u32 = 0x0003_0002;

/// A number that the firmware is asked for.
#[derive(Debug)]
pub struct Number {
    pub name: &'static str,
    tag: u32,
    /// Which of the clocks or voltages.
    thing: u32,
    /// What it cannot be below or above.
    least: u32,
    most: u32,
    /// How many of its digits are behind the point.
    pub places: u8,
}

/// All of them: clocks, then voltages, then the rest. Tags that only ask.
pub static NUMBERS: [Number; 9] = [
    clock("arm", 3),
    clock("core", 4),
    clock("v3d", 5),
    voltage("core", 1),
    voltage("sdram_c", 2),
    voltage("sdram_i", 4),
    voltage("sdram_p", 3),
    Number { name: "temperature", tag: GET_TEMPERATURE, thing: 0, least: 1, most: 149_999, places: 3 },
    Number { name: "revision", tag: GET_REVISION, thing: 0, least: 1_300_000_000, most: u32::MAX, places: 0 },
];
/// Where the voltages begin in [`NUMBERS`], and where the rest does.
pub const VOLTAGES: usize = 3;
pub const REST: usize = 7;

const fn clock(name: &'static str, thing: u32) -> Number {
    // 0 is a clock that the board does not have, or one that stands still.
    Number { name, tag: GET_CLOCK, thing, least: 1, most: u32::MAX, places: 0 }
}

const fn voltage(name: &'static str, thing: u32) -> Number {
    Number { name, tag: GET_VOLTAGE, thing, least: 100_000, most: 10_000_000, places: 6 }
}

/// What the firmware has measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    is_wanted: bool,
    /// Those of [`NUMBERS`]; 0 where it does not know.
    pub numbers: [u32; NUMBERS.len()],
    /// What the power management chip measures, for [`parse_rails`].
    pub rails: [u8; GENCMD_BUFFER],
}

impl Measured {
    const NONE: Measured = Measured { is_wanted: false, numbers: [0; NUMBERS.len()], rails: [0; GENCMD_BUFFER] };
}

impl<Send: FnMut(&mut [u32]) -> io::Result<()>> Firmware<Send> {
    /// Sends messages with `send`.
    pub fn new(send: Send) -> Self {
        Firmware { send, by_command: true, has_pmic: true }
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
        if status == SUCCESS && answered & SUCCESS != 0 { Ok(word) } else { Err(not_known()) }
    }

    fn ask_command(&mut self) -> io::Result<u32> {
        let mut text = [0; GENCMD_BUFFER];
        self.command("get_throttled", &mut text)?;
        parse_command(&text).ok_or_else(not_known)
    }

    /// Lets the firmware execute a command of `vcgencmd` and puts what it prints into `text`.
    fn command(&mut self, command: &str, text: &mut [u8; GENCMD_BUFFER]) -> io::Result<()> {
        const HEAD: usize = 6;
        let mut message = [0; HEAD + GENCMD_BUFFER / 4];
        message[2] = GENCMD;
        message[3] = GENCMD_BUFFER as u32;
        text.fill(0);
        text[..command.len()].copy_from_slice(command.as_bytes());
        for (word, letters) in message[HEAD..].iter_mut().zip(text.chunks_exact(4)) {
            *word = u32::from_ne_bytes(letters.try_into().unwrap_or_default());
        }
        (self.send)(&mut message)?;
        for (letters, word) in text.chunks_exact_mut(4).zip(&message[HEAD..]) {
            letters.copy_from_slice(&word.to_ne_bytes());
        }
        let good = message[1] == SUCCESS && message[4] & SUCCESS != 0 && message[5] == 0;
        if good { Ok(()) } else { Err(not_known()) }
    }

    /// Asks for a number; 0 if it is not known or cannot be.
    #[inline(never)]
    fn number(&mut self, number: &Number, tag: u32) -> u32 {
        let mut message = [0, 0, tag, 8, 0, number.thing, 0, 0];
        if (self.send)(&mut message).is_err() {
            return 0;
        }
        let [_, status, _, _, answered, first, second, _] = message;
        let (length, value) = if tag == GET_REVISION { (4, first) } else { (8, second) };
        // An answer may be shorter or longer than the buffer.
        let good = status == SUCCESS
            && answered & SUCCESS != 0
            && answered & !SUCCESS >= length
            && (tag == GET_REVISION || first == number.thing);
        if good && (number.least..=number.most).contains(&value) { value } else { 0 }
    }

    /// Asks for all that it has measured, each on its own.
    pub fn measure(&mut self, out: &mut Measured) {
        for (number, value) in NUMBERS.iter().zip(&mut out.numbers) {
            *value = self.number(number, number.tag);
            if *value == 0 && number.tag == GET_CLOCK {
                *value = self.number(number, GET_CLOCK_RATE);
            }
        }
        if self.has_pmic {
            if let Err(error) = self.command("pmic_read_adc", &mut out.rails) {
                out.rails[0] = 0;
                self.has_pmic = error.raw_os_error() == Some(libc::ETIMEDOUT);
            }
        }
    }
}

fn not_known() -> io::Error {
    io::Error::from_raw_os_error(libc::EOPNOTSUPP)
}

/// Opens the way to the firmware of the machine whose sysfs is `sys`; `None` where there is no mailbox, and for another tree than
/// this machine's, which must not be mixed with this machine's firmware.
pub fn open(sys: &Path) -> Option<Messenger> {
    if sys != Path::new("/sys") {
        return None;
    }
    let device = File::open(MAILBOX).ok()?;
    Some(Box::new(move |message| sys::videocore(&device, message)))
}

/// A thread that asks the firmware, for the word each time and for what it has measured when that is wanted.
#[derive(Debug)]
pub struct Mailbox {
    /// Answers with the word.
    pub word: Asker,
    measured: Arc<Mutex<Measured>>,
}

impl Mailbox {
    /// Starts the thread; `None` if there can be no more.
    pub fn start(send: Messenger) -> Option<Self> {
        let measured = Arc::new(Mutex::new(Measured::NONE));
        let theirs = measured.clone();
        let mut firmware = Firmware::new(send);
        let mut own = Measured::NONE;
        let word = Asker::start(Box::new(move || {
            let word = firmware.ask();
            let is_stuck = word.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ETIMEDOUT));
            if !is_stuck && lock(&theirs).is_wanted {
                firmware.measure(&mut own);
                *lock(&theirs) = own;
            }
            word
        }));
        Some(Mailbox { word: word.ok()?, measured })
    }

    /// Lets the next question be for what the firmware has measured too.
    pub fn want(&self) {
        lock(&self.measured).is_wanted = true;
    }

    /// Returns what was measured last.
    pub fn measured(&self) -> MutexGuard<'_, Measured> {
        lock(&self.measured)
    }
}

fn lock(measured: &Mutex<Measured>) -> MutexGuard<'_, Measured> {
    measured.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Lines such as `VDD_CORE_A current(7)=1.69670000A` and `VDD_CORE_V volt(15)=0.72124470V`, or without what is between name and `=`. A
/// name says the unit that the number has to have, and the last line may be cut off. Hands on a rail's name, whether it is a current,
/// and the number; other lines are nobody's.
pub fn parse_rails(text: &[u8], each: &mut dyn FnMut(&[u8], bool, Value)) {
    for (_, line) in lines(super::netlink::text(text)) {
        let line = trim(line);
        let (name, value) = line.split_at(find(b'=', line).unwrap_or(line.len()));
        let name = words(name).next().unwrap_or_default();
        let ([name @ .., b'_', unit], [b'=', digits @ .., of]) = (name, value) else { continue };
        // What no rail of such a board carries: amperes, and volts.
        let most = if *unit == b'A' { 20.0 } else { 30.0 };
        if unit != of || !b"AV".contains(unit) || name.is_empty() {
            continue;
        }
        if let Some(value) = Value::parse(digits).filter(|value| value.to_f64() < Some(most)) {
            each(name, *unit == b'A', value);
        }
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = (parse_word(text), parse_command(text));
    parse_rails(text, &mut |_, _, _| {});
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
    /// What `vcgencmd pmic_read_adc` prints on a Pi 5, as people have published it, shortened.
    const PMIC: &str = " 3V7_WL_SW_A current(0)=0.00195218A
  VDD_CORE_A current(7)=1.69670000A
 3V7_WL_SW_V volt(8)=3.70242400V
  VDD_CORE_V volt(15)=0.72124470V
     EXT5V_V volt(24)=5.10252000V
      BATT_V volt(25)=0.00512820V
";

    /// The tags that ask and change nothing, and the numbers that a Pi 5 answers with.
    const ANSWERS: [(u32, u32, u32); 10] = [
        (GET_CLOCK, 3, 2_400_017_664),
        (GET_CLOCK, 4, 910_007_424),
        (GET_CLOCK, 5, 960_012_800),
        (GET_VOLTAGE, 1, 720_000),
        (GET_VOLTAGE, 2, 600_000),
        (GET_VOLTAGE, 4, 600_000),
        (GET_VOLTAGE, 3, 1_100_000),
        (GET_TEMPERATURE, 0, 52_150),
        (GET_REVISION, 0, 1_757_000_000),
        (GENCMD, 0, 0),
    ];

    fn answer(message: &mut [u32], numbers: &[(u32, u32, u32)]) {
        let (tag, thing) = (message[2], message[5]);
        assert_eq!((message[1], message[4], message.last()), (0, 0, Some(&0)));
        message[1] = SUCCESS;
        let Some((.., number)) = numbers.iter().find(|(of, which, _)| (*of, *which) == (tag, thing)) else {
            assert!(ANSWERS.iter().any(|(of, ..)| *of == tag) || tag == GET_CLOCK_RATE, "{tag:#x} is no question");
            return;
        };
        if tag == GENCMD {
            for (word, letters) in message[6..].iter_mut().zip(PMIC.as_bytes().chunks(4)) {
                let mut bytes = [0; 4];
                bytes[..letters.len()].copy_from_slice(letters);
                *word = u32::from_ne_bytes(bytes);
            }
            message[4] = SUCCESS | GENCMD_BUFFER as u32;
        } else {
            assert_eq!((message.len(), message[3]), (8, 8));
            let place = if tag == GET_REVISION { 5 } else { 6 };
            message[place] = *number;
            message[4] = SUCCESS | if tag == GET_REVISION { 4 } else { 8 };
        }
    }

    /// What is known, as numbers in the order of [`ANSWERS`]; of the rails, how many lines there are.
    fn measure(send: impl FnMut(&mut [u32]) -> io::Result<()>) -> Vec<u32> {
        let mut measured = Measured::NONE;
        Firmware::new(send).measure(&mut measured);
        let mut rails = 0;
        parse_rails(&measured.rails, &mut |_, _, _| rails += 1);
        measured.numbers.into_iter().chain([rails]).collect()
    }

    fn all() -> Vec<u32> {
        ANSWERS.iter().map(|(tag, _, number)| if *tag == GENCMD { 6 } else { *number }).collect()
    }

    #[test]
    fn what_is_measured_is_asked_for_one_by_one() {
        assert_eq!(
            measure(|message| {
                answer(message, &ANSWERS);
                Ok(())
            }),
            all()
        );
    }

    #[test]
    fn one_failure_hides_no_other() {
        type Failure = fn(&mut [u32]) -> io::Result<()>;
        let failures: [(&str, Failure); 6] = [
            ("the driver refuses", |_| Err(io::Error::from_raw_os_error(libc::EINVAL))),
            ("an error in the status", |message| {
                message[1] = SUCCESS | 1;
                Ok(())
            }),
            ("no answer", |message| {
                message[4] = 0;
                Ok(())
            }),
            ("an answer without its bit", |message| {
                message[4] &= !SUCCESS;
                Ok(())
            }),
            ("an answer that is too short", |message| {
                message[4] = SUCCESS | if message[2] == GET_REVISION { 2 } else { 4 };
                message[5] ^= u32::from(message[2] == GENCMD);
                Ok(())
            }),
            ("an error number, or another thing", |message| {
                message[5] = if message[2] == GET_REVISION { 7 } else { 9 };
                Ok(())
            }),
        ];
        for (what, fail) in failures {
            for (place, (tag, thing, _)) in ANSWERS.iter().enumerate() {
                let known = measure(|message| {
                    let this = (message[2], message[5]) == (*tag, *thing);
                    answer(message, &ANSWERS);
                    if this { fail(message) } else { Ok(()) }
                });
                let mut expected = all();
                expected[place] = 0;
                assert_eq!(known, expected, "{what}: {tag:#x} {thing}");
            }
        }
    }

    #[test]
    fn longer_answers_are_good_and_older_firmware_knows_less() {
        let longer = measure(|message| {
            answer(message, &ANSWERS);
            if message[2] != GENCMD {
                message[4] += 4;
            }
            Ok(())
        });
        assert_eq!(longer, all());
        // The firmware of older boards: the rate that was set, and no such chip.
        let older = [(GET_CLOCK_RATE, 3, 1_400_000_000), (GET_VOLTAGE, 1, 1_200_000), (GET_TEMPERATURE, 0, 48_312)];
        let mut commands = 0;
        let mut measured = Measured::NONE;
        let mut firmware = Firmware::new(|message: &mut [u32]| {
            commands += u32::from(message[2] == GENCMD);
            answer(message, &older);
            Ok(())
        });
        firmware.measure(&mut measured);
        firmware.measure(&mut measured);
        assert_eq!(measured.numbers, [1_400_000_000, 0, 0, 1_200_000, 0, 0, 0, 48_312, 0]);
        assert_eq!(commands, 1, "a firmware without the command is asked for it once");
    }

    #[test]
    fn numbers_that_cannot_be_are_none() {
        let odd = [(GET_CLOCK, 3, 0), (GET_VOLTAGE, 1, SUCCESS), (GET_VOLTAGE, 2, 12), (GET_TEMPERATURE, 0, 150_000)];
        let odd = [&odd[..], &[(GET_REVISION, 0, 0)]].concat();
        assert_eq!(
            measure(|message| {
                answer(message, &odd);
                Ok(())
            }),
            [0; 10]
        );
    }

    fn rails(text: &str) -> Vec<String> {
        let mut rails = Vec::new();
        parse_rails(text.as_bytes(), &mut |name, is_current, value| {
            rails.push(format!("{} {value:?} {}", name.escape_ascii(), if is_current { 'A' } else { 'V' }));
        });
        rails
    }

    #[test]
    fn rails_have_a_voltage_and_perhaps_a_current() {
        let expected = [
            "3V7_WL_SW 0.00195218 A",
            "VDD_CORE 1.6967 A",
            "3V7_WL_SW 3.702424 V",
            "VDD_CORE 0.7212447 V",
            "EXT5V 5.10252 V",
            "BATT 0.0051282 V",
        ];
        assert_eq!(rails(PMIC), expected);
        let short = rails("VDD_CORE_V=0.8750V\nVDD_CORE_A=1.2340A\n\0EXT5V_V=5.1V");
        assert_eq!(short, ["VDD_CORE 0.875 V", "VDD_CORE 1.234 A"]);
    }

    #[test]
    fn lines_that_are_no_rails_are_left_out() {
        for bad in [
            "",
            "=",
            "EXT5V_V volt(24)=5.1025",
            "EXT5V_V volt(24)=5.1025A",
            "EXT5V_A volt(24)=5.1025V",
            "EXT5V volt(24)=5.1025V",
            "_V volt(24)=5.1025V",
            "EXT5V_V volt(24)=-5.1025V",
            "EXT5V_V volt(24)=x.yV",
            "EXT5V_V volt(24)=30.1V",
            "VDD_CORE_A current(7)=21A",
            "EXT5V_W volt(24)=5.1W",
            "error=1 error_msg=\"Command not registered\"",
        ] {
            assert_eq!(rails(bad), [""; 0], "{bad}");
        }
    }

    #[test]
    fn only_this_machines_firmware_is_asked() {
        assert!(open(Path::new("/elsewhere")).is_none());
    }
}
