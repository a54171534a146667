//! One request over HTTP/1.1 (RFC 9112), with a limit for all of it. Redirects are not followed: they may lead to another host.

use super::address::Address;
use super::socket::Socket;
pub use super::socket::TIME;
use super::tls::{self, Channel};
use crate::model::find;
use crate::sys;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How much of an answer is read, and how much of its text is repeated.
const ANSWER_MAX: usize = 8 << 10;
const TEXT_MAX: usize = 160;

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// How long it asks to wait, if it does.
    pub retry_after: Option<Duration>,
    /// The first line of its text, cut.
    pub text: String,
}

/// Connects to an address; whatever is sent or received waits until `end` at most.
///
/// # Errors
/// The host is unknown, or none of its addresses answers.
pub fn connect(to: &Address, end: Instant) -> io::Result<Channel> {
    let mut stream = Err(io::Error::from(io::ErrorKind::NotFound));
    for address in sys::resolve(&to.at, left(end))? {
        let next = TcpStream::connect_timeout(&address, left(end));
        // Of several addresses, the first one's failure says most.
        if next.is_ok() || stream.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            stream = next;
        }
        if stream.is_ok() {
            break;
        }
    }
    tls::open(Socket::new(stream?, end), to.secure, to.at.rsplit_once(':').map_or("", |(host, _)| host))
}

fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Sends a request, and returns as much of the response as arrives until `end`, `most` bytes at most.
///
/// # Errors
/// What [`connect`] says, or the connection broke before its end.
pub fn exchange(to: &Address, head: &str, body: &[u8], end: Instant, most: usize) -> io::Result<String> {
    let mut stream = connect(to, end)?;
    // In one piece: a server that hangs up after the first one has already said why.
    let sent = stream.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while answer.len() < most {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It has been sending all the time.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
            // A server that refuses a body hangs up, but its answer may be there.
            Err(_) if !answer.is_empty() => break,
            Err(error) => return Err(sent.err().unwrap_or(error)),
        }
    }
    sent.or_else(|error| if answer.is_empty() { Err(error) } else { Ok(()) })?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Sends a request to an address; `fields` are further lines of its head.
///
/// # Errors
/// In words, what came in the place of an answer.
pub fn send(address: &Address, method: &str, fields: &str, body: &[u8]) -> Result<Answer, String> {
    let head = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: pi-monitor/{}\r\nContent-Length: {}\r\nConnection: close\r\n{fields}\r\n",
        address.path,
        address.at.strip_suffix(if address.secure { ":443" } else { ":80" }).unwrap_or(&address.at),
        crate::VERSION,
        body.len()
    );
    let answer =
        exchange(address, &head, body, Instant::now() + TIME, ANSWER_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no answer within {} s", TIME.as_secs())
            }
            _ => error.to_string(),
        })?;
    parse(&answer).ok_or_else(|| "expected an HTTP response, found something else".to_owned())
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_at(find(answer, "\r\n\r\n").unwrap_or(answer.len()));
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let retry_after =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    let seconds = retry_after.and_then(|(_, value)| value.trim().parse::<u32>().ok());
    let line = body.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut text: String = line.chars().take(TEXT_MAX).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    Some(Answer { status, retry_after: seconds.map(|seconds| Duration::from_secs(seconds.into())), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let answer = |status, seconds: Option<u64>, text: &str| {
            Some(Answer { status, retry_after: seconds.map(Duration::from_secs), text: text.to_owned() })
        };
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", answer(200, None, "")),
            ("HTTP/1.0 204\r\n", answer(204, None, "")),
            ("HTTP/1.1 429 Slow\r\nretry-after: 30\r\n\r\n\n too much \nx", answer(429, Some(30), "too much")),
            ("HTTP/1.1 503 x\r\nRetry-After: Fri, 27 Nov 2026 02:00:00 GMT\r\n\r\n", answer(503, None, "")),
            ("HTTP/2 200\r\n\r\n", None),
            ("SSH-2.0-x\r\n", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        let long = parse(&format!("HTTP/1.1 400 x\r\n\r\n{}", "ü".repeat(1000))).unwrap().text;
        assert_eq!(long, format!("{}…", "ü".repeat(TEXT_MAX)));
    }
}
