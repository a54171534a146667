//! What each request gets. Routes only pick a format; they hold no logic of their own.

use super::link::Link;
use super::{Shared, host};
use crate::agent::Page;
use crate::dashboard::{self, Asset};
use crate::format::Format;
use crate::history::{RANGES, Request as Past};
use crate::kernel::text::decimal;
use crate::model::Value;
use crate::runtime::traffic::{self, Reason};
use hyper::body::{Body, Buf, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Requests that come within this time share one collection and one rendered page.
const SHARED_FOR: Duration = Duration::from_millis(100);

/// What every answer says, so that a browser that was led here does no harm: no guessing of types, no frames around it, no
/// word to others about where it was, and no use by pages from elsewhere. There is nothing about CORS, which means that no
/// other page's script may read. Frames are forbidden by the content security policy that every answer has too, which browsers
/// since 2016 follow in place of X-Frame-Options.
static GUARDS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];
/// The policy of all that is no page.
static NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Answers one request.
pub async fn respond(request: &Request<Incoming>, shared: &Rc<Shared>, link: &Link) -> Response<Bytes> {
    let head = request.method() == Method::HEAD;
    let mut response = match refused(request, shared, link).await {
        Some(response) => response,
        None if head || request.method() == Method::GET => {
            link.let_in();
            get(request, shared).await
        }
        None => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
    };
    let headers = response.headers_mut();
    for (name, value) in &GUARDS {
        headers.insert(name.clone(), value.clone());
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| NOTHING.clone());
    if head {
        // The headers are those of GET, its length included; hyper leaves the body out.
        let length = response.body().remaining();
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

/// What a request gets that may not ask here, or not so.
async fn refused(request: &Request<Incoming>, shared: &Rc<Shared>, link: &Link) -> Option<Response<Bytes>> {
    let Some(host) = host::asked(request) else {
        traffic::refused(Reason::Malformed);
        return Some(plain(StatusCode::BAD_REQUEST, "Host is missing, wrong or there twice\n"));
    };
    if !host::is_allowed(host, &shared.hosts) {
        traffic::refused(Reason::Host);
        return Some(plain(StatusCode::FORBIDDEN, "this host name is not in --web.allowed-hosts\n"));
    }
    let access = shared.access.as_ref()?;
    if request.uri().path() == "/health" || access.admits(request.headers(), link.peer).await {
        return None;
    }
    traffic::refused(Reason::Access);
    let mut response = plain(StatusCode::UNAUTHORIZED, "a user's name and password, or a token, is needed\n");
    for way in access.ways() {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(way));
    }
    Some(response)
}

/// The answer to what is no request that hyper understands, as text; `with_tls` where that is what the server speaks.
pub fn refusal(status: u16, with_tls: bool) -> String {
    let (name, text) = match status {
        414 => ("URI Too Long", "the request's first line has more than 1024 bytes\n"),
        431 => ("Request Header Fields Too Large", "more than 64 headers, or 16 kB of them\n"),
        _ if with_tls => ("Bad Request", "not a request of HTTPS, with HTTP 1.0 or 1.1\n"),
        _ => ("Bad Request", "not a request of HTTP 1.0 or 1.1\n"),
    };
    let length = text.len();
    let mut answer =
        format!("HTTP/1.1 {status} {name}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n");
    let guards = GUARDS.iter().map(|(name, value)| (name, value));
    for (name, value) in guards.chain([(&header::CONTENT_SECURITY_POLICY, &NOTHING)]) {
        let _ = write!(answer, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    answer + "connection: close\r\n\r\n" + text
}

async fn get(request: &Request<Incoming>, shared: &Rc<Shared>) -> Response<Bytes> {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    match request.uri().path() {
        "/" => file(headers, &dashboard::page()),
        "/more.js" => file(headers, &dashboard::more()),
        "/health" => plain(StatusCode::OK, "ok\n"),
        "/metrics" => {
            let format = if prefers_openmetrics(headers) { Format::OpenMetrics } else { Format::Prometheus };
            page(format, headers, query, shared).await
        }
        "/json" => page(Format::Json, headers, query, shared).await,
        "/history" => match parse_history(query) {
            Ok(past) => {
                let gzip = accepts_gzip(headers);
                data(shared.agent.lock().await.history(past, gzip), Format::Json.content_type(), gzip)
            }
            Err(wrong) => plain(StatusCode::BAD_REQUEST, wrong),
        },
        "/processes" => {
            let gzip = accepts_gzip(headers);
            loop {
                // The first answer takes two looks with some time between them, in which others are served.
                let progress = shared.agent.lock().await.processes(gzip);
                match progress {
                    Some(Ok(page)) => return data(page, Format::Json.content_type(), gzip),
                    Some(Err(wait)) => tokio::time::sleep(wait).await,
                    None => {
                        let why = "processes are switched off by --no-collector.processes\n";
                        return plain(StatusCode::NOT_FOUND, why);
                    }
                }
            }
        }
        _ => {
            let why = "not found; there are /, /metrics, /json, /history, /processes and /health\n";
            plain(StatusCode::NOT_FOUND, why)
        }
    }
}

async fn page(format: Format, headers: &HeaderMap, query: &str, shared: &Rc<Shared>) -> Response<Bytes> {
    let gzip = accepts_gzip(headers);
    let mut agent = shared.agent.lock().await;
    let places = match agent.select(collectors(query)) {
        Some(0) => u64::MAX,
        Some(places) => places,
        None => return plain(StatusCode::BAD_REQUEST, "collect[] names a collector that does not run here\n"),
    };
    let page = agent.page_of(places, format, gzip, SHARED_FOR).await;
    drop(agent);
    data(page, format.content_type(), gzip)
}

fn data(page: Page, content_type: &'static str, gzip: bool) -> Response<Bytes> {
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

/// The parameters of a query: names and values, still encoded.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
}

/// The collectors that `collect[]=cpu&collect[]=memory` names, as node_exporter has it.
fn collectors(query: &str) -> impl Iterator<Item = &str> {
    let named = |name: &str| name == "collect[]" || name.eq_ignore_ascii_case("collect%5b%5d");
    parameters(query).filter(move |(name, _)| named(name)).map(|(_, value)| value)
}

/// `range=10m` (the default), and `since=4711.5`, seconds since boot.
fn parse_history(query: &str) -> Result<Past, &'static str> {
    let mut past = Past { range: 1, since: None };
    for (name, value) in parameters(query) {
        match name {
            "range" => {
                let range = RANGES.iter().position(|(name, ..)| *name == value);
                past.range = range.ok_or("range is one of 2m, 10m, 1h, 24h and 7d\n")?;
            }
            "since" => {
                let seconds = decimal(value.as_bytes()).and_then(Value::to_f64);
                let seconds = seconds.filter(|&seconds| seconds < 1e12);
                past.since =
                    Some((seconds.ok_or("since is a number of seconds since boot\n")? * 1000.0).round() as u64);
            }
            _ => return Err("parameters are range and since\n"),
        }
    }
    Ok(past)
}

/// Answers with a file of the dashboard, which changes only with the program.
fn file(headers: &HeaderMap, asset: &Asset) -> Response<Bytes> {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| lists(tags, asset.tag) || lists(tags, "*"));
    let gzip = accepts_gzip(headers);
    let mut response = match (known, gzip) {
        (true, _) => empty(StatusCode::NOT_MODIFIED),
        (false, true) => Response::new(Bytes::fixed(asset.gzip)),
        (false, false) => Response::new(Bytes::shared(asset.plain().into())),
    };
    let headers = response.headers_mut();
    set(headers, header::ETAG, asset.tag);
    set(headers, header::CACHE_CONTROL, "no-cache");
    set(headers, header::VARY, "Accept-Encoding");
    set(headers, header::CONTENT_TYPE, asset.content_type);
    set(headers, header::CONTENT_SECURITY_POLICY, asset.policy);
    if gzip && !known {
        set(headers, header::CONTENT_ENCODING, "gzip");
    }
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::fixed(text.as_bytes()));
    *response.status_mut() = status;
    set(response.headers_mut(), header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    response
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::fixed(b""));
    *response.status_mut() = status;
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

/// The elements of a comma-separated header, each with its quality from 0 to 1000 (RFC 9110, section 12.4.2).
fn elements(value: &HeaderValue) -> impl Iterator<Item = (&str, u32)> {
    value.to_str().unwrap_or_default().split(',').map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        (name, quality.map_or(1000, parse_quality))
    })
}

/// `0.5` is 500, `1` is 1000; what is no quality counts as not wanted.
fn parse_quality(text: &str) -> u32 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.bytes().chain(fraction.bytes().chain(std::iter::repeat(b'0')).take(3));
    let thousandths = digits
        .map(|digit| char::from(digit).to_digit(10))
        .try_fold(0_u32, |sum, digit| sum.checked_mul(10)?.checked_add(digit?));
    thousandths.filter(|_| !whole.is_empty()).unwrap_or(0).min(1000)
}

fn lists(value: &HeaderValue, wanted: &str) -> bool {
    elements(value).any(|(name, _)| name.strip_prefix("W/").unwrap_or(name) == wanted)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let quality = |wanted: &str| {
        let values = headers.get_all(header::ACCEPT_ENCODING);
        values.iter().flat_map(elements).find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, quality)| quality)
    };
    quality("gzip").or_else(|| quality("*")).unwrap_or(0) > 0
}

/// Whether OpenMetrics is wanted more than the text format, as Prometheus says by its order of qualities.
fn prefers_openmetrics(headers: &HeaderMap) -> bool {
    let best = |wanted: &[&str]| {
        let values = headers.get_all(header::ACCEPT);
        let all =
            values.iter().flat_map(elements).filter(|(name, _)| wanted.iter().any(|it| name.eq_ignore_ascii_case(it)));
        all.map(|(_, quality)| quality).max().unwrap_or(0)
    };
    best(&["application/openmetrics-text"]) > best(&["text/plain", "text/*", "*/*"])
}

/// A body that is sent from memory which others use too, without a copy.
#[derive(Clone, Debug)]
pub struct Bytes {
    source: Source,
    sent: usize,
}

#[derive(Clone, Debug)]
enum Source {
    Fixed(&'static [u8]),
    Shared(Page),
}

impl Bytes {
    fn fixed(bytes: &'static [u8]) -> Self {
        Bytes { source: Source::Fixed(bytes), sent: 0 }
    }

    fn shared(page: Page) -> Self {
        Bytes { source: Source::Shared(page), sent: 0 }
    }

    /// The place in memory and the length of a page that is there for as long as somebody reads it.
    pub fn page(&self) -> (usize, usize) {
        match &self.source {
            Source::Fixed(_) => (0, 0),
            Source::Shared(page) => (Arc::as_ptr(page) as usize, page.capacity()),
        }
    }
}

impl Buf for Bytes {
    fn remaining(&self) -> usize {
        self.chunk().len()
    }

    fn chunk(&self) -> &[u8] {
        let all: &[u8] = match &self.source {
            Source::Fixed(text) => text,
            Source::Shared(page) => page,
        };
        &all[self.sent..]
    }

    fn advance(&mut self, count: usize) {
        self.sent += count.min(self.remaining());
    }
}

impl Body for Bytes {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.remaining() == 0 {
            return Poll::Ready(None);
        }
        let data = std::mem::replace(this, Bytes::fixed(b""));
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn encodings() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *", false),
            ("*", true),
            ("identity", false),
            ("", false),
            ("gzip;q=x", false),
        ] {
            assert_eq!(accepts_gzip(&headers(header::ACCEPT_ENCODING, value)), expected, "{value}");
        }
    }

    #[test]
    fn openmetrics_only_if_preferred() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (value, expected) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("text/plain", false),
            ("*/*", false),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.3", false),
            ("application/openmetrics-text;q=0", false),
            ("", false),
        ] {
            assert_eq!(prefers_openmetrics(&headers(header::ACCEPT, value)), expected, "{value}");
        }
    }

    #[test]
    fn queries_for_history() {
        for (query, range, since) in [
            ("", 1, None),
            ("range=24h", 3, None),
            ("since=12.3456&range=2m", 0, Some(12_346)),
            ("&since=0&", 1, Some(0)),
        ] {
            assert_eq!(parse_history(query), Ok(Past { range, since }), "{query}");
        }
        for query in ["range=", "range=3h", "since=", "since=-1", "since=nan", "since=9999999999999", "x=1", "range"] {
            assert!(parse_history(query).is_err(), "{query}");
        }
    }

    #[test]
    fn queries_for_some_collectors() {
        let names = |query| collectors(query).collect::<Vec<_>>();
        assert_eq!(names("collect[]=cpu&x=y&collect%5B%5D=memory&collect%5b%5d="), ["cpu", "memory", ""]);
        assert!(names("").is_empty() && names("collect=cpu&collect").is_empty());
    }

    #[test]
    fn qualities() {
        for (text, expected) in
            [("1", 1000), ("0.5", 500), ("0.05", 50), ("0", 0), ("1.000", 1000), ("7", 1000), ("a", 0), ("", 0)]
        {
            assert_eq!(parse_quality(text), expected, "{text}");
        }
    }
}
