//! What each request gets. Routes only pick a format; they hold no logic of their own.

use super::frames::NOTHING;
use super::link::Link;
use super::{Shared, host};
use crate::agent::Page;
use crate::dashboard::{self, Asset};
use crate::format::Format;
use crate::history::{RANGES, Request as Past};
use crate::model::{Selection, Value};
use crate::runtime::traffic::{self, Reason};
use hyper::body::{Body, Buf, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::borrow::Cow;
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
/// other page's script may read. Frames are a matter of the content security policy that every answer has too.
static GUARDS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];
/// What there is to ask for.
#[derive(Clone, Copy, Debug)]
enum Route {
    Page,
    Script,
    Health,
    Metrics,
    Json,
    History,
    Processes,
}

static ROUTES: [(&str, Route); 7] = [
    ("/", Route::Page),
    ("/more.js", Route::Script),
    ("/metrics", Route::Metrics),
    ("/json", Route::Json),
    ("/history", Route::History),
    ("/processes", Route::Processes),
    ("/health", Route::Health),
];
const NOT_FOUND: &str = "not found; there are /, /metrics, /json, /history, /processes and /health\n";

/// Answers one request.
pub async fn respond(request: &Request<Incoming>, shared: &Rc<Shared>, link: &Link) -> Response<Bytes> {
    let head = request.method() == Method::HEAD;
    let mut response = match refused(request, shared, link).await {
        Some(response) => response,
        None => answer(request, shared, link).await,
    };
    let headers = response.headers_mut();
    for (name, value) in &GUARDS {
        headers.insert(name.clone(), value.clone());
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| shared.policies.other.clone());
    if head {
        // The headers are those of GET, its length included; hyper leaves the body out.
        let length = response.body().remaining();
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

/// Answers a request that may ask here.
async fn answer(request: &Request<Incoming>, shared: &Rc<Shared>, link: &Link) -> Response<Bytes> {
    let path = request.uri().path();
    let route = ROUTES.iter().find(|(known, _)| *known == path).map(|(_, route)| *route);
    let mut response = match (route, request.method()) {
        (Some(route), &(Method::GET | Method::HEAD)) => {
            link.let_in();
            return get(route, request, shared).await;
        }
        // Load balancers ask so whether this server is up, in HTTP 1.0 too; `*` is the server as a whole.
        (_, &Method::OPTIONS) if route.is_some() || path == "*" => {
            link.let_in();
            empty(StatusCode::NO_CONTENT)
        }
        (Some(_), _) => plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed; expected GET, HEAD or OPTIONS\n"),
        (None, _) => {
            link.let_in();
            return plain(StatusCode::NOT_FOUND, NOT_FOUND);
        }
    };
    set(response.headers_mut(), header::ALLOW, "GET, HEAD, OPTIONS");
    response
}

/// What a request gets that may not ask here, or not so.
async fn refused(request: &Request<Incoming>, shared: &Rc<Shared>, link: &Link) -> Option<Response<Bytes>> {
    let host = match host::asked(request) {
        Ok(host) => host,
        Err(wrong) => {
            traffic::refused(Reason::Malformed);
            return Some(plain(StatusCode::BAD_REQUEST, wrong));
        }
    };
    if !host::is_allowed(host, &shared.hosts) {
        traffic::refused(Reason::Host);
        let why = "the host name of this request is not in --web.allowed-hosts\n";
        return Some(plain(StatusCode::FORBIDDEN, why));
    }
    let access = shared.access.as_ref()?;
    if request.uri().path() == "/health" {
        return None;
    }
    let wrong = access.admits(request.headers(), link.peer).await.err()?;
    traffic::refused(Reason::Access);
    let mut response = plain(StatusCode::UNAUTHORIZED, wrong);
    for way in access.ways() {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(way));
    }
    Some(response)
}

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
    let mut answer =
        format!("HTTP/1.1 {status} {name}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n");
    for (name, value) in &GUARDS {
        let _ = write!(answer, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let _ = write!(answer, "content-security-policy: {NOTHING}\r\n");
    answer + "connection: close\r\n\r\n" + &text
}

async fn get(route: Route, request: &Request<Incoming>, shared: &Rc<Shared>) -> Response<Bytes> {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    match route {
        Route::Page => file(headers, &dashboard::page(), &shared.policies.page),
        Route::Script => file(headers, &dashboard::more(), &shared.policies.other),
        Route::Health => plain(StatusCode::OK, "ok\n"),
        Route::Metrics => {
            let format = if prefers_openmetrics(headers) { Format::OpenMetrics } else { Format::Prometheus };
            page(format, headers, query, shared).await
        }
        Route::Json => page(Format::Json, headers, query, shared).await,
        Route::History => match parse_history(query) {
            Ok(past) => {
                let gzip = accepts_gzip(headers);
                data(shared.agent.lock().await.history(past, gzip), Format::Json.content_type(), gzip)
            }
            Err(wrong) => plain(StatusCode::BAD_REQUEST, wrong),
        },
        Route::Processes => {
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
    }
}

async fn page(format: Format, headers: &HeaderMap, query: &str, shared: &Rc<Shared>) -> Response<Bytes> {
    let gzip = accepts_gzip(headers);
    let names: Vec<_> = collectors(query).collect();
    let mut agent = shared.agent.lock().await;
    let selection = match agent.select(names.iter().map(|name| &**name)) {
        Some(Selection::NONE) => Selection::ALL,
        Some(selection) => selection,
        None => {
            let known = agent.collectors().collect::<Vec<_>>().join(", ");
            let mut response = plain(StatusCode::BAD_REQUEST, "");
            *response.body_mut() = Bytes::shared(Arc::new(format!("collect[]: expected one of {known}\n").into()));
            return response;
        }
    };
    let page = agent.page_of(selection, format, gzip, SHARED_FOR).await;
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

/// The parameters of a query: names and values, decoded. What nobody knows here is ignored, on every route.
fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|parameter| !parameter.is_empty()).map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (decode(name), decode(value))
    })
}

/// Decodes `%41` to `A` and `+` to a space, as forms encode them; a `%` without two digits stays.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digit = |place: usize| behind.get(place).and_then(|&byte| char::from(byte).to_digit(16));
        (rest, _) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => (&behind[2..], bytes.push((high << 4 | low) as u8)),
            (b'+', ..) => (behind, bytes.push(b' ')),
            _ => (behind, bytes.push(first)),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// The collectors that `collect[]=cpu&collect[]=memory` names, as node_exporter has it.
fn collectors(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    parameters(query).filter(|(name, _)| name == "collect[]").map(|(_, value)| value)
}

/// `range=10m` (the default), and `since=4711.5`, seconds since boot.
fn parse_history(query: &str) -> Result<Past, &'static str> {
    let mut past = Past { range: 1, since: None };
    for (name, value) in parameters(query) {
        match &*name {
            "range" => {
                let range = RANGES.iter().position(|(name, ..)| *name == value);
                past.range = range.ok_or("range: expected one of 2m, 10m, 1h, 24h, 7d\n")?;
            }
            "since" => {
                let seconds = Value::parse(value.as_bytes()).and_then(Value::to_f64);
                let seconds = seconds.filter(|&seconds| seconds < 1e12);
                past.since =
                    Some((seconds.ok_or("since: expected a number of seconds since boot\n")? * 1000.0).round() as u64);
            }
            _ => {}
        }
    }
    Ok(past)
}

/// Answers with a file of the dashboard, which changes only with the program.
fn file(headers: &HeaderMap, asset: &Asset, policy: &HeaderValue) -> Response<Bytes> {
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
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
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
            ("x=1&range=24%68", 3, None),
            ("nonsense", 1, None),
            ("since=12%2E5", 1, Some(12_500)),
        ] {
            assert_eq!(parse_history(query), Ok(Past { range, since }), "{query}");
        }
        for query in ["range=", "range=3h", "since=", "since=-1", "since=nan", "since=9999999999999", "range"] {
            assert!(parse_history(query).is_err(), "{query}");
        }
    }

    #[test]
    fn queries_for_some_collectors() {
        let names = |query| collectors(query).collect::<Vec<_>>();
        assert_eq!(names("collect[]=cpu&x=y&collect%5B%5D=memory&collect%5b]=%63pu"), ["cpu", "memory", "cpu"]);
        assert_eq!(names("collect[]=&collect[]=%zz%4&collect[]=a+b%ff"), ["", "%zz%4", "a b\u{fffd}"]);
        assert!(names("").is_empty() && names("collect=cpu&collect").is_empty());
    }

    #[test]
    fn the_list_of_routes_is_whole() {
        for (path, _) in ROUTES.iter().filter(|(_, route)| !matches!(route, Route::Script)) {
            assert!(NOT_FOUND.contains(&format!(" {path}")), "{path}");
        }
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
