//! Keeps Home Assistant's sensors as the document has them.

use super::mqtt::Session;
use crate::format::discovery::{self, Device};
use crate::model::crc32;
use std::io::{self, Read, Write};
use std::time::Duration;

/// How long a sensor may be absent after a start before it is removed: a disk may be plugged in, or a network found, after the agent
/// started, and removing a sensor removes what its owner set for it.
const GRACE: Duration = Duration::from_secs(3600);

/// What was announced.
#[derive(Debug, Default)]
pub struct Announcer {
    /// The checksum of the messages that the broker has.
    known: Option<u32>,
    /// When the broker was asked what it retains.
    asked: Option<Duration>,
    /// The topics of what it retained then, but for what was announced since.
    stray: Vec<String>,
}

impl Announcer {
    /// Must be called after each connect: the broker may have forgotten everything.
    pub fn reset(&mut self) {
        self.known = None;
    }

    /// Publishes the messages for this document unless the broker has them, and removes those of an earlier run that none has been
    /// announced for since.
    ///
    /// # Errors
    /// What the session reports; then it is of no more use.
    pub fn announce<S: Read + Write>(
        &mut self,
        session: &mut Session<S>,
        document: &[u8],
        device: &Device<'_>,
        now: Duration,
    ) -> io::Result<()> {
        let mut sum = 0;
        discovery::write(document, device, &mut |topic, text| sum = crc32(crc32(sum, topic.as_bytes()), text));
        if self.known != Some(sum) {
            if self.asked.is_none() {
                session.subscribe(&discovery::topics(device))?;
                self.asked = Some(now);
            }
            let mut result = Ok(());
            discovery::write(document, device, &mut |topic, text| {
                if result.is_ok() {
                    result = session.publish(topic, text, true);
                }
            });
            result?;
            self.known = Some(sum);
        }
        self.stray.append(&mut session.retained);
        if !self.stray.is_empty() {
            discovery::write(document, device, &mut |topic, _| self.stray.retain(|stray| stray != topic));
        }
        if self.asked.is_some_and(|asked| now >= asked + GRACE) {
            while let Some(topic) = self.stray.pop() {
                session.publish(&topic, b"", true)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::mqtt::Login;
    use std::collections::{BTreeMap, VecDeque};

    /// A broker that retains messages and answers at once.
    #[derive(Debug, Default)]
    struct Broker {
        retained: BTreeMap<String, Vec<u8>>,
        answers: VecDeque<u8>,
        published: usize,
    }

    impl Read for &mut Broker {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.answers.read(buffer)
        }
    }

    /// Takes a text with its length off the front.
    fn take<'a>(rest: &mut &'a [u8]) -> &'a str {
        let (text, behind) = rest[2..].split_at(usize::from(rest[0]) << 8 | usize::from(rest[1]));
        *rest = behind;
        std::str::from_utf8(text).unwrap()
    }

    impl Write for &mut Broker {
        /// Takes a whole packet, as the session writes them.
        fn write(&mut self, packet: &[u8]) -> io::Result<usize> {
            let mut rest = packet;
            let kind = rest[0];
            let end = rest.iter().skip(1).position(|byte| *byte < 0x80).unwrap();
            rest = &rest[end + 2..];
            match kind {
                0x10 => self.answers.extend([0x20, 2, 0, 0]),
                0x82 => {
                    self.answers.extend([0x90, 3, rest[0], rest[1], 0]);
                    rest = &rest[2..];
                    assert_eq!(take(&mut rest), "ha/+/pi-monitor-1/+/config");
                    for (topic, text) in &self.retained {
                        let length = u8::try_from(topic.len() + 2 + text.len()).unwrap_or(0);
                        // What is large comes cut off: the text does not matter.
                        let text = if length > 0x7f || length == 0 { b"x" } else { &text[..] };
                        self.answers.extend([0x31, (topic.len() + 2 + text.len()) as u8, 0, topic.len() as u8]);
                        self.answers.extend(topic.bytes().chain(text.iter().copied()));
                    }
                }
                0x32 | 0x33 => {
                    let topic = take(&mut rest).to_owned();
                    self.answers.extend([0x40, 2, rest[0], rest[1]]);
                    self.published += 1;
                    assert_eq!(kind & 1, 1, "all of these are retained");
                    if rest.len() == 2 {
                        self.retained.remove(&topic);
                    } else {
                        self.retained.insert(topic, rest[2..].to_owned());
                    }
                }
                kind => panic!("{kind:x}"),
            }
            Ok(packet.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const DEVICE: Device<'_> = Device { prefix: "ha", topic: "t", id: "1", name: "pi", url: "", interval: 30 };

    /// Connects and announces; returns how many messages that took.
    fn announce(announcer: &mut Announcer, broker: &mut Broker, document: &str, seconds: u64) -> usize {
        let before = broker.published;
        let login = Login { client: "pi", user: None, keep_alive: 60, status: "t/status" };
        let mut session = Session::open(&mut *broker, &login).unwrap();
        announcer.announce(&mut session, document.as_bytes(), &DEVICE, Duration::from_secs(seconds)).unwrap();
        broker.published - before
    }

    #[test]
    fn what_changed_is_announced_and_what_is_gone_is_removed_late() {
        let mut broker = Broker::default();
        let document = r#"{"system":{"load_average":{"1m":1}},"cpu":{"cpus":[{"usage_percent":{"idle":1}}]}}"#;
        let less = r#"{"system":{"load_average":{"1m":2}}}"#;
        let mut first = Announcer::default();
        assert_eq!(announce(&mut first, &mut broker, document, 0), 2);
        assert_eq!(announce(&mut first, &mut broker, document, 30), 0);
        // A broker that was away may have forgotten them.
        first.reset();
        assert_eq!(announce(&mut first, &mut broker, document, 60), 2);
        // One is gone, for now.
        assert_eq!(announce(&mut first, &mut broker, less, 7200), 1);
        assert_eq!(broker.retained.len(), 2);

        broker.retained.insert("ha/sensor/pi-monitor-1/old/config".to_owned(), b"{}".to_vec());
        let mut second = Announcer::default();
        assert_eq!(announce(&mut second, &mut broker, less, 10), 1);
        assert_eq!(announce(&mut second, &mut broker, document, 20), 2);
        assert_eq!(announce(&mut second, &mut broker, less, 3609), 1);
        assert_eq!(broker.retained.len(), 3, "within an hour nothing is removed");
        assert_eq!(announce(&mut second, &mut broker, less, 3610), 1);
        let left: Vec<_> = broker.retained.keys().collect();
        assert_eq!(left, ["ha/sensor/pi-monitor-1/cpu_usage/config", "ha/sensor/pi-monitor-1/load/config"]);
        assert_eq!(announce(&mut second, &mut broker, less, 9999), 0);
    }
}
