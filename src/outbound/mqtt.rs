//! An MQTT 3.1.1 client that publishes.
//! <https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html>
//!
//! Each message is of QoS 1, and the next is sent once the broker has acknowledged it. The owner of the stream limits how long it may wait.

use crate::format::remote_write::write_varint;
use std::io::{self, Error, ErrorKind, Read, Write};

/// What is published about the client itself, retained; the broker says it for one that is gone.
pub const ONLINE: &[u8] = b"online";
pub const OFFLINE: &[u8] = b"offline";

/// The largest packet that is read: those that a publisher gets are small.
const PACKET_MAX: usize = 64 << 10;
/// How many other packets may come before the one that is expected.
const OTHERS_MAX: usize = 4096;
/// How many messages that others retain are remembered.
const RETAINED_MAX: usize = 256;

/// The types of packets, with the flags that they must have.
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const DISCONNECT: u8 = 0xe0;

const RETAIN: u8 = 1;
const QOS_1: u8 = 2;

/// How a client introduces itself.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    pub client: &'a str,
    /// A user and a password.
    pub user: Option<(&'a str, &'a str)>,
    /// After one and a half of this without a packet the broker takes the client for gone, in seconds.
    pub keep_alive: u16,
    /// Where the broker then publishes that it is.
    pub status: &'a str,
}

/// A connection to a broker.
#[derive(Debug)]
pub struct Session<S> {
    stream: S,
    number: u16,
    packet: Vec<u8>,
    /// The topics of messages that the broker had, of those that were subscribed to.
    pub retained: Vec<String>,
}

impl<S: Read + Write> Session<S> {
    /// The stream, whose owner limits how long it may wait.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Introduces the client to the broker.
    ///
    /// # Errors
    /// What the stream reports, or why the broker refuses.
    pub fn open(stream: S, login: &Login<'_>) -> io::Result<Self> {
        const NAME_AND_VERSION: &[u8] = b"\x00\x04MQTT\x04";
        const CLEAN: u8 = 2;
        const WILL: u8 = 4 | QOS_1 << 2 | RETAIN << 5;
        const USER_AND_PASSWORD: u8 = 0xc0;
        let mut body = NAME_AND_VERSION.to_vec();
        body.push(CLEAN | WILL | if login.user.is_some() { USER_AND_PASSWORD } else { 0 });
        body.extend_from_slice(&login.keep_alive.to_be_bytes());
        for text in [login.client.as_bytes(), login.status.as_bytes(), OFFLINE] {
            push(text, &mut body);
        }
        if let Some((user, password)) = login.user {
            push(user.as_bytes(), &mut body);
            push(password.as_bytes(), &mut body);
        }
        let mut session = Session { stream, number: 0, packet: Vec::new(), retained: Vec::new() };
        session.send(CONNECT, &body, b"")?;
        session.expect(CONNACK)?;
        Err(Error::other(match session.packet.get(1) {
            Some(0) => return Ok(session),
            Some(1) => "the broker does not speak MQTT 3.1.1",
            Some(2) => "the broker refuses the client identifier",
            Some(3) => "the broker is not available",
            Some(4) => "the broker refuses the user name or password",
            Some(5) => "the broker does not let this client in",
            _ => "expected a return code from the broker, found something else",
        }))
    }

    /// Publishes a message and waits until the broker has it. An empty one that is retained removes what was retained.
    ///
    /// # Errors
    /// What the stream reports, or that the broker does not speak the protocol.
    pub fn publish(&mut self, topic: &str, message: &[u8], retain: bool) -> io::Result<()> {
        let mut head = Vec::new();
        push(topic.as_bytes(), &mut head);
        self.add_number(&mut head);
        self.send(PUBLISH | QOS_1 | if retain { RETAIN } else { 0 }, &head, message)?;
        self.expect(PUBACK)
    }

    /// Asks which messages of these topics the broker retains; their topics arrive in [`Session::retained`] by and by. A broker that
    /// does not allow it sends none.
    ///
    /// # Errors
    /// As [`Session::publish`].
    pub fn subscribe(&mut self, filter: &str) -> io::Result<()> {
        let mut body = Vec::new();
        self.add_number(&mut body);
        push(filter.as_bytes(), &mut body);
        self.send(SUBSCRIBE, &body, &[0])?;
        self.expect(SUBACK)
    }

    /// Says that the client leaves, and leaves: without that, the broker would publish the same, and later.
    ///
    /// # Errors
    /// As [`Session::publish`].
    pub fn close(mut self, status: &str) -> io::Result<()> {
        self.publish(status, OFFLINE, true)?;
        self.send(DISCONNECT, b"", b"")
    }

    /// Appends the next number for a packet that is acknowledged: any but 0.
    fn add_number(&mut self, out: &mut Vec<u8>) {
        self.number = self.number.checked_add(1).unwrap_or(1);
        out.extend_from_slice(&self.number.to_be_bytes());
    }

    /// Sends a packet of two parts.
    fn send(&mut self, kind: u8, head: &[u8], message: &[u8]) -> io::Result<()> {
        let mut packet = vec![kind];
        write_varint((head.len() + message.len()) as u64, &mut packet);
        packet.extend_from_slice(head);
        packet.extend_from_slice(message);
        self.stream.write_all(&packet)
    }

    /// Waits for a packet of this kind, and with the last number if it has one.
    fn expect(&mut self, kind: u8) -> io::Result<()> {
        for _ in 0..OTHERS_MAX {
            let first = self.receive()?;
            let is_numbered = kind == CONNACK || self.packet.starts_with(&self.number.to_be_bytes());
            if first == kind && is_numbered {
                return Ok(());
            }
            if first & 0xf0 == PUBLISH && first & RETAIN == RETAIN {
                self.remember();
            }
        }
        Err(Error::other("expected an answer from the broker, found thousands of other packets"))
    }

    /// Remembers the topic of a retained message that is not empty.
    fn remember(&mut self) {
        let [high, low, rest @ ..] = &self.packet[..] else { return };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((topic, [_, ..])) = rest.split_at_checked(length) else { return };
        let topic = std::str::from_utf8(topic).ok().filter(|_| self.retained.len() < RETAINED_MAX);
        self.retained.extend(topic.map(str::to_owned));
    }

    /// Reads a packet; returns its first byte.
    fn receive(&mut self) -> io::Result<u8> {
        self.read().map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection"),
            _ => error,
        })
    }

    fn read(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        let [kind] = byte;
        let (mut length, mut shift) = (0, 0);
        loop {
            self.stream.read_exact(&mut byte)?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if length > PACKET_MAX || shift > 28 {
                return Err(Error::other("expected a small packet from the broker, found a large one; is this MQTT?"));
            }
            if byte[0] < 0x80 {
                break;
            }
        }
        self.packet.resize(length, 0);
        self.stream.read_exact(&mut self.packet)?;
        Ok(kind)
    }
}

/// Appends a text with its length. No caller has one that is too long; of one that is, the rest is left out.
fn push(text: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&text[..usize::from(length)]);
}

/// Returns whether messages can be published to a topic.
pub fn is_topic(text: &str) -> bool {
    const LENGTH_MAX: usize = 200;
    !text.is_empty() && text.len() <= LENGTH_MAX && !text.starts_with('$') && !text.contains(['+', '#', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A broker that has said everything already.
    #[derive(Debug)]
    struct Script {
        says: VecDeque<u8>,
        heard: Vec<u8>,
        /// How many bytes one read returns.
        piece: usize,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.piece);
            self.says.read(&mut buffer[..count])
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LOGIN: Login<'_> = Login { client: "pi", user: None, keep_alive: 60, status: "a/status" };
    const WELCOME: &[u8] = b"\x20\x02\x00\x00";

    fn script(says: &[u8], piece: usize) -> Script {
        Script { says: says.iter().copied().collect(), heard: Vec::new(), piece }
    }

    fn open(says: &[u8]) -> io::Result<Session<Script>> {
        Session::open(script(&[WELCOME, says].concat(), usize::MAX), &LOGIN)
    }

    #[test]
    fn the_bytes_of_a_session() {
        for piece in [1, 2, usize::MAX] {
            let says = b"\x20\x02\x00\x00\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x00\x03";
            let login = Login { user: Some(("me", "pass")), ..LOGIN };
            let mut session = Session::open(script(says, piece), &login).unwrap();
            let expected =
                b"\x10\x2b\x00\x04MQTT\x04\xee\x00\x3c\x00\x02pi\x00\x08a/status\x00\x07offline\x00\x02me\x00\x04pass";
            assert_eq!(session.stream.heard, expected);
            session.stream.heard.clear();
            session.publish("a/state", b"{}", false).unwrap();
            assert_eq!(session.stream.heard, b"\x32\x0d\x00\x07a/state\x00\x01{}");
            session.stream.heard.clear();
            session.publish("a/status", ONLINE, true).unwrap();
            assert_eq!(session.stream.heard, b"\x33\x12\x00\x08a/status\x00\x02online");
            session.stream.heard.clear();
            session.publish("t", &[b'x'; 200], false).unwrap();
            assert_eq!(session.stream.heard[..8], *b"\x32\xcd\x01\x00\x01t\x00\x03");
        }
        assert_eq!(open(b"").unwrap().stream.heard[..12], *b"\x10\x21\x00\x04MQTT\x04\x2e\x00\x3c");
    }

    #[test]
    fn leaving_is_said_first() {
        // The stream belongs to the session, so what was said is looked at from outside.
        let mut stream = script(b"\x20\x02\x00\x00\x40\x02\x00\x01", 3);
        Session::open(&mut stream, &LOGIN).unwrap().close("s").unwrap();
        assert!(stream.heard.ends_with(b"\x33\x0c\x00\x01s\x00\x01offline\xe0\x00"), "{:?}", stream.heard);
    }

    #[test]
    fn refusals_in_words() {
        for (code, word) in [
            (1, "3.1.1"),
            (2, "identifier"),
            (3, "available"),
            (4, "password"),
            (5, "let"),
            (6, "found"),
            (255, "found"),
        ] {
            let error = Session::open(script(&[0x20, 2, 0, code], 9), &LOGIN).unwrap_err().to_string();
            assert!(error.contains(word), "{code}: {error}");
        }
        let error = Session::open(script(b"\x20\x00", 9), &LOGIN).unwrap_err().to_string();
        assert!(error.contains("found something else"), "{error}");
    }

    #[test]
    fn other_packets_are_passed_over() {
        // An answer to a ping, a message, an acknowledgement of another one.
        let mut session = open(b"\xd0\x00\x30\x04\x00\x01ab\x40\x02\x00\x09\x40\x02\x00\x01").unwrap();
        session.publish("t", b"", false).unwrap();
        assert!(session.retained.is_empty());
        let endless = b"\xd0\x00".repeat(OTHERS_MAX + 1);
        let error = open(&endless).unwrap().publish("t", b"", false).unwrap_err();
        assert!(error.to_string().contains("thousands"), "{error}");
    }

    #[test]
    fn retained_messages_are_remembered() {
        let says =
            b"\x31\x06\x00\x03a/bx\x31\x03\x00\x01c\x90\x03\x00\x01\x00\x31\x04\x00\x01dx\x31\x04\x00\x09dx\x31\x00\
                     \x31\x04\x00\x01\xffx\x40\x02\x00\x02";
        let mut session = open(says).unwrap();
        session.subscribe("+/b").unwrap();
        assert!(session.stream.heard.ends_with(b"\x82\x08\x00\x01\x00\x03+/b\x00"), "{:?}", session.stream.heard);
        session.publish("t", b"", false).unwrap();
        assert_eq!(session.retained, ["a/b", "d"], "one was empty, three were no messages");
        // A broker that does not allow it.
        open(b"\x90\x03\x00\x01\x80").unwrap().subscribe("#").unwrap();
    }

    #[test]
    fn what_is_cut_or_too_large() {
        let whole = b"\x20\x02\x00\x00\x31\x04\x00\x01dx\x40\x02\x00\x01";
        for length in 0..whole.len() {
            let session = Session::open(script(&whole[..length], 2), &LOGIN);
            let error = session.and_then(|mut session| session.publish("t", b"", false)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{length}");
        }
        for says in [
            &b"\x40\xff\xff\xff\x7f"[..],
            b"\x40\xff\xff\xff\xff\xff",
            b"\x40\x80\x80\x80\x80\x80",
            b"HTTP/1.1 400 Bad",
        ] {
            let error = open(says).unwrap().publish("t", b"", false).unwrap_err();
            let cut = error.kind() == ErrorKind::UnexpectedEof;
            assert!(error.to_string().contains("large") || cut && says.starts_with(b"H"), "{error}");
        }
    }

    #[test]
    fn topics() {
        assert!(is_topic("pi-monitor/pi") && is_topic("é/x y"));
        for text in ["", "$SYS/x", "a/+", "a#", "a\0", &"x".repeat(201)] {
            assert!(!is_topic(text), "{text}");
        }
    }

    #[test]
    fn a_packet_that_drips_gains_no_time() {
        use crate::outbound::socket::tests::{SHORT, dripping, patient_for};
        // A message of 65,535 bytes, of which one comes now and then.
        let (address, server) = dripping(b"\x30\xff\xff\x03");
        let error = Session::open(patient_for(SHORT, &address), &LOGIN).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{error}");
        server.join().unwrap();
    }
}
