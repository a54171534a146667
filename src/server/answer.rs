//! Answers: the headers that all of them have, and each kind of answer.

use super::body::Bytes;
use super::frames::NOTHING;
use crate::agent::Page;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// What every answer says, so that a browser that was led here does no harm: no guessing of types, no frames around it, no
/// word to others about where it was, and no use by pages from elsewhere. There is nothing about CORS, which means that no
/// other page's script may read. Frames are a matter of the content security policy that every answer has too.
pub static GUARDS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// The same as lines. To format the names of [`GUARDS`] would take a list of all names that there are.
const GUARD_LINES: &str =
    "x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\ncross-origin-resource-policy: same-origin\r\n";

/// How a server that speaks TLS begins its answer to a client that does not.
pub const EXPECTED_HTTPS: &str = "expected HTTPS";

/// Formats the answer to what is no request that hyper understands. `cause` is what hyper says of it; it is empty where hyper
/// was not asked, because the server speaks TLS and the client does not.
pub fn refusal(status: u16, cause: &str) -> String {
    let (name, text) = match status {
        414 => ("URI Too Long", "the request's first line has more than 1024 bytes\n".to_owned()),
        431 => ("Request Header Fields Too Large", "more than 64 headers, or 16 kB of them\n".to_owned()),
        _ if cause.is_empty() => ("Bad Request", format!("{EXPECTED_HTTPS}; ask for https:// instead of http://\n")),
        _ => {
            let cause = cause.strip_suffix(" parsed").unwrap_or(cause);
            ("Bad Request", format!("expected a request of HTTP 1.0 or 1.1: {cause}\n"))
        }
    };
    let length = text.len();
    format!(
        "HTTP/1.1 {status} {name}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n{GUARD_LINES}\
         content-security-policy: {NOTHING}\r\nconnection: close\r\n\r\n{text}"
    )
}

/// Answers with a page that is made anew for each moment.
pub fn data(page: Page, content_type: &'static str, gzip: bool) -> Response<Bytes> {
    /// Those below, and what every answer has.
    const HEADERS: usize = 3 + GUARDS.len() + 1;
    let mut response = Response::new(Bytes::shared(page));
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    set(headers, header::CONTENT_TYPE, content_type);
    set(headers, header::CACHE_CONTROL, "no-store");
    if gzip {
        set(headers, header::CONTENT_ENCODING, "gzip");
    }
    response
}

/// Answers with a line of text.
pub fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::fixed(text.as_bytes()));
    *response.status_mut() = status;
    set(response.headers_mut(), header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    response
}

/// Answers with a status alone.
pub fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::fixed(b""));
    *response.status_mut() = status;
    response
}

/// Sets a header. Not inlined, so that the code exists only once.
#[inline(never)]
pub fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_guards_of_every_answer() {
        let lines: String =
            GUARDS.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
        assert_eq!(lines, GUARD_LINES);
        let answer = refusal(414, "");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(GUARD_LINES) && head.contains(&format!("\r\ncontent-length: {}\r\n", text.len())),
            "{head}"
        );
    }
}
