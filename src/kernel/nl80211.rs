//! nl80211: what drivers know of Wi-Fi interfaces and of the access points that they are connected to.
//! `include/uapi/linux/nl80211.h`, <https://docs.kernel.org/netlink/specs/nl80211.html>
//!
//! Only questions are asked here, and none that lets a radio search or leave its channel. A driver may ask its firmware for the
//! answer, and that of a Raspberry Pi (`brcmfmac`) waits for 2 s or more where the firmware has crashed: a thread has to ask.

use super::Bad;
use super::absence::Absence;
use super::devices;
use super::netlink::{
    self, ALL, ERROR, Message, Netlink, attribute, take_attribute, take_message, text, u16_at, u32_at,
};
use super::text::{int, lines, words};
use crate::model::Value;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The length of a generic message's head: command, version, two bytes of nothing.
pub const HEAD: usize = 4;

/// The kind of messages about families, which is also the number of the group that hears of new ones: `GENL_ID_CTRL`.
pub const CONTROL: u16 = 16;

/// Opens a socket to the families of generic netlink.
///
/// # Errors
/// What the kernel or a service manager's filter says.
pub fn open_socket() -> io::Result<Netlink> {
    Netlink::open(libc::NETLINK_GENERIC, 0)
}

/// Asks for the family's number and that of its group for connections, which [`parse_family`] finds in the answer. The kernel answers
/// before it returns.
///
/// # Errors
/// What `send(2)` says.
pub fn ask_family(socket: &Netlink) -> io::Result<()> {
    /// The command to look up a family.
    const GET_FAMILY: &[u8] = &[3, 1, 0, 0];
    /// The attribute `CTRL_ATTR_FAMILY_NAME` with its head and padding.
    const NAME: &[u8] = &[12, 0, 2, 0];
    const NAME_OF_BIG_ENDIAN: &[u8] = &[0, 12, 0, 2];
    let name = if cfg!(target_endian = "big") { NAME_OF_BIG_ENDIAN } else { NAME };
    let mut question = [0; 16];
    for (place, byte) in question.iter_mut().zip(GET_FAMILY.iter().chain(name).chain(b"nl80211\0")) {
        *place = *byte;
    }
    socket.ask(CONTROL, 0, &question)
}

/// Looks up the family's number; `ENOENT` where there is no Wi-Fi.
fn look_up(socket: &Netlink, buffer: &mut [u8]) -> io::Result<u16> {
    ask_family(socket)?;
    match parse_family(answer(socket, buffer)?) {
        Some((family, _)) => Ok(family),
        None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
    }
}

/// Receives the answer to a question; the kernel answers before it returns from the question.
fn answer<'a>(socket: &Netlink, buffer: &'a mut [u8]) -> io::Result<Message<'a>> {
    let mut answer = socket.receive(buffer)?;
    take_message(&mut answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The question for the country that the Wi-Fi works by, such as `DE`; `00` while none is set.
pub const COUNTRY: Question = Question { command: 31, attribute: 33 };
/// The question whether an interface saves power: 1 if it does.
pub const POWER_SAVE: Question = Question { command: 62, attribute: 93 };

/// A command, and the number of the attribute that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub command: u8,
    pub attribute: u16,
}

/// Asks about an interface, or with 0 about none, and returns how the answer begins, filled up with zeros. It may wait for the
/// firmware of a radio.
///
/// # Errors
/// What the kernel or the interface's driver says.
pub fn ask(question: Question, interface: u32) -> io::Result<[u8; 4]> {
    /// The attribute `NL80211_ATTR_IFINDEX`: its length and its number.
    const INTERFACE: [u16; 2] = [8, 3];
    let buffer = &mut [0; 8192];
    let socket = open_socket()?;
    let family = look_up(&socket, buffer)?;
    let mut body = [question.command, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body[4..6].copy_from_slice(&INTERFACE[0].to_ne_bytes());
    body[6..8].copy_from_slice(&INTERFACE[1].to_ne_bytes());
    body[8..].copy_from_slice(&interface.to_ne_bytes());
    socket.ask(family, 0, if interface == 0 { &body[..HEAD] } else { &body })?;
    value(answer(&socket, buffer)?, question.attribute).map(first)
}

/// Returns the first bytes of a value, filled up with zeros.
fn first<const N: usize>(value: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, given) in bytes.iter_mut().zip(value) {
        *byte = *given;
    }
    bytes
}

/// Returns the value of an attribute.
fn value(message: Message<'_>, wanted: u16) -> io::Result<&[u8]> {
    if message.kind == ERROR {
        let code = u32_at(message.body, 0).unwrap_or_default() as i32;
        return Err(io::Error::from_raw_os_error(code.wrapping_neg()));
    }
    Ok(attribute(message.body.get(HEAD..).unwrap_or_default(), wanted))
}

/// Returns the number of a family and of its group `mlme`, which this family alone has.
pub fn parse_family(message: Message<'_>) -> Option<(u16, u32)> {
    const FAMILY: u16 = 1;
    const GROUPS: u16 = 7;
    const GROUP_NAME: u16 = 1;
    const GROUP_NUMBER: u16 = 2;
    let attributes = message.body.get(HEAD..).filter(|_| message.kind != ERROR)?;
    let mut groups = attribute(attributes, GROUPS);
    while let Some((_, group)) = take_attribute(&mut groups) {
        if text(attribute(group, GROUP_NAME)) == b"mlme" {
            return Some((u16_at(attribute(attributes, FAMILY), 0)?, u32_at(attribute(group, GROUP_NUMBER), 0)?));
        }
    }
    None
}

/// The values of an interface, by their places in a row.
pub const SIGNAL: usize = 0;
pub const NOISE: usize = 1;
pub const TRANSMIT: usize = 2;
pub const RECEIVE: usize = 3;
pub const RETRIES: usize = 4;
pub const FAILURES: usize = 5;
pub const BEACONS_LOST: usize = 6;
pub const SLEEPS: usize = 7;
pub const FREQUENCY: usize = 8;
pub const VALUES: usize = 9;

/// What is known of an interface.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    name: [u8; libc::IFNAMSIZ],
    index: u32,
    /// Whether it is one that connects to an access point.
    is_station: bool,
    /// The address of its access point.
    point: Option<[u8; 6]>,
    listed: bool,
    pub values: [Value; VALUES],
}

impl Interface {
    fn new(index: u32) -> Self {
        let values = [Value::ABSENT; VALUES];
        Interface { name: [0; libc::IFNAMSIZ], index, is_station: false, point: None, listed: false, values }
    }

    /// Returns its name.
    pub fn name(&self) -> &[u8] {
        text(&self.name)
    }

    fn rename(&mut self, name: &[u8]) {
        let length = name.len().min(self.name.len());
        self.name = [0; libc::IFNAMSIZ];
        self.name[..length].copy_from_slice(&name[..length]);
    }
}

/// Puts a question, which is flags and a generic message, to the kernel, and hands the attributes of each answer on. An error is
/// that of the kernel.
pub type Talk = Box<dyn FnMut(u16, &[u8], &mut dyn FnMut(&[u8])) -> io::Result<()> + Send>;

/// The socket that was opened before the sandbox, which refuses such sockets.
static RESERVED: Mutex<Option<Netlink>> = Mutex::new(None);

/// Opens the socket while that is allowed. The kernel's Wi-Fi may come later.
pub fn reserve() {
    *RESERVED.lock().unwrap_or_else(PoisonError::into_inner) = open_socket().ok();
}

/// Opens the way to the kernel for the machine whose sysfs is `tree`.
///
/// # Errors
/// What the kernel says; `NotFound` for another tree than this machine's, which must not be mixed with this machine's radios.
pub fn open(tree: &Path) -> io::Result<Talk> {
    if tree != Path::new("/sys") {
        return Err(io::ErrorKind::NotFound.into());
    }
    // As long as the kernel makes the parts of a long answer.
    let mut buffer = vec![0; 8192];
    let reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    let socket = reserved.map_or_else(open_socket, Ok)?;
    let mut family = None;
    Ok(Box::new(move |flags, body, each| {
        // What was left of an answer that was broken off.
        while socket.receive(&mut buffer).is_ok() {}
        // Wi-Fi that was unloaded and loaded again, as people do when it hangs, has another number; nobody says so but an error.
        let number = match family.take() {
            Some(number) => number,
            None => look_up(&socket, &mut buffer)?,
        };
        socket.ask(number, flags, body)?;
        // A part of a long answer is there as soon as the one before was taken.
        loop {
            let mut datagram = match socket.receive(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    family = Some(number);
                    return Ok(());
                }
                datagram => datagram?,
            };
            while let Some(message) = take_message(&mut datagram) {
                if message.kind == number {
                    each(message.body.get(HEAD..).unwrap_or_default());
                } else if let Some(end) = parse_end(message) {
                    family = end.is_ok().then_some(number);
                    return end;
                }
            }
        }
    }))
}

/// Returns how an answer ended, if this message ends it: `NLMSG_ERROR` and `NLMSG_DONE` hold a negative error or 0.
fn parse_end(message: Message<'_>) -> Option<io::Result<()>> {
    if message.kind != ERROR && message.kind != netlink::DONE {
        return None;
    }
    let error = u32_at(message.body, 0).map_or(0, |error| i32::from_ne_bytes(error.to_ne_bytes()));
    Some(if error < 0 { Err(io::Error::from_raw_os_error(error.wrapping_neg())) } else { Ok(()) })
}

/// Returns whether there is a radio in the directory of all, `/sys/class/ieee80211`.
pub fn has_radio(directory: &Path) -> bool {
    let mut found = false;
    devices::list(directory, &mut None, &mut Absence::default(), &mut |name| found |= name.is_some());
    found
}

/// Asks all about the Wi-Fi interfaces, for which `known` holds what was known before.
///
/// # Errors
/// What the kernel says first; what it answered beside that is known nevertheless.
pub fn look(talk: &mut Talk, known: &mut Vec<Interface>) -> io::Result<()> {
    for interface in &mut *known {
        *interface = Interface { listed: false, values: [Value::ABSENT; VALUES], ..*interface };
    }
    let mut first = put(talk, GET_INTERFACE, None, ALL, &mut |attributes| {
        take_interface(attributes, known);
    });
    known.retain(|interface| interface.listed);
    // All radios are gone, and what the kernel knew of Wi-Fi with them.
    if first.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT)) {
        first = Ok(());
    }
    for interface in known {
        let mut question = |command, flags, of: &mut Interface, may_fail: bool| {
            let point = of.point.filter(|_| command == GET_STATION);
            let result = put(talk, command, Some((of.index, point)), flags, &mut |attributes| {
                take(command, attributes, of);
            });
            let code = result.as_ref().map_or_else(io::Error::raw_os_error, |()| None);
            let is_fault = match code {
                // There is nothing to tell, or the driver cannot.
                None | Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) => false,
                Some(libc::ETIMEDOUT) => true,
                _ => !may_fail,
            };
            if is_fault && first.is_ok() {
                first = result;
            }
            code
        };
        question(GET_POWER_SAVE, 0, interface, false);
        if !interface.is_station {
            continue;
        }
        // The kernel knows the access point by what was found when the radio searched last, which may be much. An access point that
        // is still the one is a shorter way; for another one drivers have various errors.
        let mut is_connected = false;
        if interface.point.is_some() {
            match question(GET_STATION, 0, interface, true) {
                None => is_connected = true,
                Some(libc::ETIMEDOUT) => continue,
                Some(_) => {}
            }
        }
        if !is_connected {
            interface.point = None;
            question(GET_SCAN, ALL, interface, false);
            is_connected = interface.point.is_some() && question(GET_STATION, 0, interface, false).is_none();
        }
        // A driver may measure by going through all channels, but not while it is connected: that of a Raspberry Pi refuses then
        // (`brcmf_cfg80211_dump_survey`). On an access point it would lose its clients.
        if is_connected {
            question(GET_SURVEY, ALL, interface, true);
        }
    }
    first
}

fn put(
    talk: &mut Talk,
    command: u8,
    of: Option<(u32, Option<[u8; 6]>)>,
    flags: u16,
    each: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let mut body = [0; HEAD + 8 + 12];
    (body[0], body[1]) = (command, 1);
    let mut length = HEAD;
    let mut put = |number: u16, value: &[u8]| {
        body[length..length + 2].copy_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        body[length + 2..length + 4].copy_from_slice(&number.to_ne_bytes());
        body[length + 4..length + 4 + value.len()].copy_from_slice(value);
        length += (4 + value.len()).next_multiple_of(4);
    };
    if let Some((index, point)) = of {
        put(INTERFACE, &index.to_ne_bytes());
        if let Some(point) = point {
            put(ADDRESS, &point);
        }
    }
    talk(flags, &body[..length], each)
}

const GET_INTERFACE: u8 = 5;
const GET_STATION: u8 = 17;
const GET_SCAN: u8 = 32;
const GET_SURVEY: u8 = 50;
const GET_POWER_SAVE: u8 = 62;

const INTERFACE: u16 = 3;
const ADDRESS: u16 = 6;
/// What holds more attributes: a station, its rates, an access point that was found, a channel that was measured.
const STATION: u16 = 21;
const TRANSMIT_RATE: u16 = 8;
const RECEIVE_RATE: u16 = 14;
const FOUND: u16 = 47;
const SURVEY: u16 = 84;

/// Where values are: in the answer to a command, in which attributes within another, and in which column. Of two for one column the
/// first counts.
///
/// The last number is what the attribute's unit is worth. Where it is more than 1, a driver that does not know the value says 0; where it
/// is [`DBM`], the value is a signed byte.
static ATTRIBUTES: [(u8, [u16; 3], usize, u32); 12] = [
    (GET_INTERFACE, [38, 0, 0], FREQUENCY, 1_000_000),
    (GET_SCAN, [FOUND, 2, 0], FREQUENCY, 1_000_000),
    (GET_STATION, [STATION, 7, 0], SIGNAL, DBM),
    // First the rate in 32 bits, then that in 16.
    (GET_STATION, [STATION, TRANSMIT_RATE, 5], TRANSMIT, 100_000),
    (GET_STATION, [STATION, TRANSMIT_RATE, 1], TRANSMIT, 100_000),
    (GET_STATION, [STATION, RECEIVE_RATE, 5], RECEIVE, 100_000),
    (GET_STATION, [STATION, RECEIVE_RATE, 1], RECEIVE, 100_000),
    (GET_STATION, [STATION, 11, 0], RETRIES, 1),
    (GET_STATION, [STATION, 12, 0], FAILURES, 1),
    (GET_STATION, [STATION, 18, 0], BEACONS_LOST, 1),
    (GET_SURVEY, [SURVEY, 2, 0], NOISE, DBM),
    // Disabled is 0, and enabled 1.
    (GET_POWER_SAVE, [93, 0, 0], SLEEPS, 1),
];
const DBM: u32 = 0;

/// Learns of an interface, which may be a new one.
fn take_interface(attributes: &[u8], known: &mut Vec<Interface>) -> Option<()> {
    const NAME: u16 = 4;
    const KIND: u16 = 5;
    const STATION: u32 = 2;
    let index = u32_at(attribute(attributes, INTERFACE), 0)?;
    let name = text(attribute(attributes, NAME));
    // A radio's direct link has no interface, and no name.
    if name.is_empty() {
        return None;
    }
    let place = known.iter().position(|interface| interface.index == index).unwrap_or_else(|| {
        known.push(Interface::new(index));
        known.len() - 1
    });
    let interface = &mut known[place];
    interface.rename(name);
    interface.listed = true;
    interface.is_station = u32_at(attribute(attributes, KIND), 0) == Some(STATION);
    take(GET_INTERFACE, attributes, interface);
    None
}

/// Takes the values off the attributes of an answer to a command.
fn take(command: u8, attributes: &[u8], interface: &mut Interface) {
    const STATUS: u16 = 9;
    const ASSOCIATED: u32 = 1;
    const POINT: u16 = 1;
    const IN_USE: u16 = 3;
    // Of the access points that the radio has found only the one that it is connected to, and of the channels that it has measured
    // only the one in use.
    if command == GET_SCAN {
        let found = attribute(attributes, FOUND);
        if u32_at(attribute(found, STATUS), 0) != Some(ASSOCIATED) {
            return;
        }
        interface.point = attribute(found, POINT).first_chunk().copied();
    }
    if command == GET_SURVEY {
        let mut rest = attribute(attributes, SURVEY);
        loop {
            match take_attribute(&mut rest) {
                Some((IN_USE, _)) => break,
                Some(_) => {}
                None => return,
            }
        }
    }
    for (of, path, column, worth) in &ATTRIBUTES {
        let value = &mut interface.values[*column];
        if *of != command || value.is_present() {
            continue;
        }
        let mut bytes = attributes;
        for number in path {
            if *number != 0 {
                bytes = attribute(bytes, *number);
            }
        }
        *value = parse_value(bytes, *worth);
    }
}

/// A value of [`ATTRIBUTES`]: its length says how many bits it has.
fn parse_value(bytes: &[u8], worth: u32) -> Value {
    let number = match *bytes {
        // 0 and above is no radio's.
        [byte] if worth == DBM && byte > 127 => return Value::signed(i8::from_ne_bytes([byte]).into(), 0),
        [a, b] => u16::from_ne_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
        _ => return Value::ABSENT,
    };
    let is_known = number > 0 || worth == 1;
    (is_known && worth != DBM).then(|| u64::from(number) * u64::from(worth)).into()
}

/// `/proc/net/wireless`, where the drivers know no better: two lines of head, then lines such as
/// ` wlan0: 0000   43.  -67.  -256        0      0      0     87      0        0`: status, quality, level and noise in dBm (-256 is not
/// known, and positive numbers are no dBm), then packets discarded for five reasons, of which the fourth is too many retries, and
/// beacons lost (`wireless_seq_printf_stats`). A driver that does not count prints 0, so 0 is no value.
///
/// # Errors
/// The first line that is none of these.
pub fn parse_wireless(file: &[u8], each: &mut dyn FnMut(&[u8], [Value; VALUES])) -> Result<(), Bad> {
    let mut first = Ok(());
    for (number, line) in lines(file).skip(2) {
        match parse_line(line) {
            Some((name, values)) => each(name, values),
            None if first.is_ok() => first = Err(Bad::new(number, "an interface, its quality and its counters", line)),
            None => {}
        }
    }
    first
}

fn parse_line(line: &[u8]) -> Option<(&[u8], [Value; VALUES])> {
    let (name, numbers) = line.split_at(line.iter().rposition(|byte| *byte == b':')?);
    let mut words = words(&numbers[1..]);
    let mut values = [Value::ABSENT; VALUES];
    // The status is a hexadecimal number.
    words.next()?;
    for column in [None, Some(SIGNAL), Some(NOISE), None, None, None, Some(FAILURES), None, Some(BEACONS_LOST)] {
        let word = words.next()?;
        let number = int(word.strip_suffix(b".").unwrap_or(word))?;
        let Some(column) = column else { continue };
        let good = if column <= NOISE { (-128..0).contains(&number) } else { number > 0 };
        if good {
            values[column] = Value::signed(number, 0);
        }
    }
    Some((name.trim_ascii(), values))
}

/// Runs the parsers of this file, for their fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    parse_family(Message { kind: 16, flags: 0, body: text });
    let mut known = Vec::new();
    take_interface(text, &mut known);
    for (command, ..) in &ATTRIBUTES {
        take(*command, text, &mut Interface::new(3));
    }
    let _ = parse_wireless(text, &mut |_, _| {});
}

#[cfg(test)]
mod tests;
