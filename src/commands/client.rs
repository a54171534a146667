//! A client of an agent's HTTP, for commands that ask one.

use crate::cli::Options;
use crate::model::find;
use crate::outbound::{address::Address, http::exchange};
use crate::server::{answer::EXPECTED_HTTPS, flags::LISTEN};
use std::io;
use std::time::{Duration, Instant};

/// How long asking may take.
const TIME: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const ANSWER_MAX: usize = 1 << 20;
/// What ends the head of an answer.
const END: &str = "\r\n\r\n";

/// What an agent answered.
pub struct Answer {
    /// What was asked, for messages.
    pub url: String,
    /// The status with its words.
    pub status: String,
    pub body: String,
    /// Whether the agent speaks TLS, and answered only with its refusal of anything else.
    pub speaks_tls: bool,
}

/// Asks the agent at the command's argument, or else the one that the flags describe, for `page`; `query` begins with `?` or is empty,
/// and `header` is a line of the request's head or empty.
///
/// # Errors
/// One line that names what was asked, and what is wrong.
pub fn get(options: &Options, page: &str, query: &str, header: &str) -> Result<Answer, String> {
    let (address, path) = match &options.argument {
        Some(url) => split(url, page).map_err(|wrong| match url.rsplit_once('@') {
            // Not to be repeated in a log.
            Some((_, rest)) => format!("…@{rest}: {wrong}"),
            None => format!("{url}: {wrong}"),
        })?,
        None => (local(options.values(&LISTEN)[0]), page.to_owned()),
    };
    let url = format!("http://{address}{path}");
    let answer = ask(&address, &format!("{path}{query}"), header).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("{url}: no response within {} s", TIME.as_secs())
        }
        io::ErrorKind::ConnectionRefused => format!("{url}: nothing listens there; is pi-monitor running?"),
        _ => format!("{url}: {error}"),
    })?;
    let (head, body) = answer.split_at(find(&answer, END).unwrap_or(answer.len()));
    match head.lines().next().and_then(|line| line.split_once(' ')) {
        Some((version, status)) if version.starts_with("HTTP/1.") => {
            let speaks_tls = status.starts_with("400") && find(body, EXPECTED_HTTPS).is_some();
            Ok(Answer {
                status: status.to_owned(),
                body: body.strip_prefix(END).unwrap_or_default().to_owned(),
                url,
                speaks_tls,
            })
        }
        _ => Err(format!("{url}: expected an HTTP response, found something else")),
    }
}

/// Splits a URL into address and path: one such as `http://pi:9100`, or of a bare `pi:9100`.
fn split(url: &str, page: &str) -> Result<(String, String), &'static str> {
    if url.starts_with("https://") {
        return Err("https is not supported here; ask the agent's own address, such as http://localhost:9100");
    }
    let (rest, port) = url.strip_prefix("http://").map_or((url, 9100), |rest| (rest, 80));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.contains('@') {
        return Err(
            "a credential here could be read by every user; put basic NAME:PASSWORD into a file and use --web.auth-file=FILE",
        );
    }
    if host.is_empty() || host.contains(['?', '#', ' ']) || path.contains(['?', '#', ' ']) {
        return Err("expected http://HOST:PORT");
    }
    // A colon behind the bracket of an IPv6 address, or the only one.
    let colons = host.rsplit(']').next().unwrap_or_default().matches(':').count();
    let address = match colons {
        0 => format!("{host}:{port}"),
        1 => host.to_owned(),
        _ => return Err("an IPv6 address needs brackets, such as http://[::1]:9100"),
    };
    let path = path.trim_end_matches('/');
    Ok((address, if path.ends_with(page) { path.to_owned() } else { format!("{path}{page}") }))
}

/// Returns the address at which this machine reaches an agent that listens on `listen`.
fn local(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("" | "0.0.0.0" | "[::]", port)) => format!("localhost:{port}"),
        _ => listen.to_owned(),
    }
}

/// Sends a request and returns as much of the response as arrives in time.
fn ask(address: &str, path: &str, header: &str) -> io::Result<String> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n");
    let to = Address { at: address.to_owned(), ..Address::default() };
    exchange(&to, &head, b"", Instant::now() + TIME, ANSWER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, address, path) in [
            ("http://pi:9100", "pi:9100", "/health"),
            ("http://pi:9100/", "pi:9100", "/health"),
            ("http://pi:9100/health", "pi:9100", "/health"),
            ("http://pi/monitor/", "pi:80", "/monitor/health"),
            ("pi", "pi:9100", "/health"),
            ("http://[::1]:9101", "[::1]:9101", "/health"),
            ("[::1]", "[::1]:9100", "/health"),
        ] {
            assert_eq!(split(url, "/health"), Ok((address.to_owned(), path.to_owned())), "{url}");
        }
        for url in ["https://pi", "http://", "http://me:secret@pi", "::1", "http://pi/?x", "http://pi/ HTTP/1.1"] {
            assert!(split(url, "/health").is_err(), "{url}");
        }
        for (listen, address) in
            [(":9100", "localhost:9100"), ("[::]:1", "localhost:1"), ("10.0.0.1:2", "10.0.0.1:2"), ("pi:3", "pi:3")]
        {
            assert_eq!(local(listen), address);
        }
    }
}
