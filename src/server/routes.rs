//! What each request gets. Routes only pick a format; they hold no logic of their own.

use super::answer::{GUARDS, data, empty, plain, set};
use super::body::Bytes;
use super::host;
use super::link::Link;
use super::negotiate::{
    accepts_gzip, lists, parse_choice, parse_dialect, parse_events, parse_history, prefers_openmetrics,
};
use super::state::State;
use crate::dashboard::{self, Asset};
use crate::dialect::flags::Tongue;
use crate::format::Format;
use crate::runtime::traffic::{self, Reason};
use hyper::body::{Buf, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// Requests that come within this time share one collection and one rendered page.
const SHARED_FOR: Duration = Duration::from_millis(100);

/// What there is to ask for.
#[derive(Clone, Copy, Debug)]
enum Route {
    Page,
    Script,
    Health,
    Metrics,
    Json,
    History,
    Events,
    Processes,
    Doctor,
    Runbooks,
}

static ROUTES: [(&str, Route); 10] = [
    ("/", Route::Page),
    ("/more.js", Route::Script),
    ("/metrics", Route::Metrics),
    ("/json", Route::Json),
    ("/history", Route::History),
    ("/events", Route::Events),
    ("/processes", Route::Processes),
    ("/doctor", Route::Doctor),
    ("/runbooks", Route::Runbooks),
    ("/health", Route::Health),
];
const NOT_FOUND: &str =
    "not found; there are /, /metrics, /json, /history, /events, /processes, /doctor, /runbooks and /health\n";

/// Answers one request.
pub async fn respond(request: &Request<Incoming>, state: &'static State, link: &Link) -> Response<Bytes> {
    let head = request.method() == Method::HEAD;
    let mut response = match refused(request, state, link).await {
        Some(response) => response,
        None => answer(request, state, link).await,
    };
    let headers = response.headers_mut();
    for (name, value) in &GUARDS {
        headers.insert(name.clone(), value.clone());
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| state.policies.other.clone());
    if head {
        // The headers are those of GET, its length included; hyper leaves the body out.
        let length = response.body().remaining();
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

/// Answers a request that may ask here.
async fn answer(request: &Request<Incoming>, state: &'static State, link: &Link) -> Response<Bytes> {
    let path = request.uri().path();
    let route = ROUTES.iter().find(|(known, _)| *known == path).map(|(_, route)| *route);
    let mut response = match (route, request.method()) {
        (Some(route), &(Method::GET | Method::HEAD)) => {
            link.let_in();
            return get(route, request, state).await;
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
async fn refused(request: &Request<Incoming>, state: &'static State, link: &Link) -> Option<Response<Bytes>> {
    let host = match host::asked(request) {
        Ok(host) => host,
        Err(wrong) => {
            traffic::refused(Reason::Malformed);
            return Some(plain(StatusCode::BAD_REQUEST, wrong));
        }
    };
    if !host::is_allowed(host, &state.hosts) {
        traffic::refused(Reason::Host);
        let why = "the host name of this request is not in --web.allowed-hosts\n";
        return Some(plain(StatusCode::FORBIDDEN, why));
    }
    let access = state.access.as_ref()?;
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

async fn get(route: Route, request: &Request<Incoming>, state: &'static State) -> Response<Bytes> {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    match route {
        Route::Page => file(headers, &dashboard::page(), &state.policies.page),
        Route::Script => file(headers, &dashboard::more(), &state.policies.other),
        Route::Runbooks => file(headers, &dashboard::runbooks(), &state.policies.other),
        Route::Health => plain(StatusCode::OK, "ok\n"),
        Route::Metrics => metrics(headers, query, state).await,
        Route::Json => page(Some(Format::Json), headers, query, state).await,
        // It looks at everything.
        Route::Doctor => page(None, headers, "", state).await,
        Route::History => match parse_history(query) {
            Ok(past) => {
                let gzip = accepts_gzip(headers);
                data(state.agent.lock().await.history(past, gzip), Format::Json.content_type(), gzip)
            }
            Err(wrong) => plain(StatusCode::BAD_REQUEST, wrong),
        },
        Route::Events => {
            let gzip = accepts_gzip(headers);
            let wanted = match parse_events(query) {
                Ok(wanted) => wanted,
                Err(wrong) => return plain(StatusCode::BAD_REQUEST, wrong),
            };
            match state.agent.lock().await.events(&wanted, gzip) {
                Some(page) => {
                    let kind = if wanted.text { "text/plain; charset=utf-8" } else { Format::Json.content_type() };
                    data(page, kind, gzip)
                }
                None => plain(StatusCode::NOT_FOUND, "no event with this id; the oldest ones make room for new ones\n"),
            }
        }
        Route::Processes => {
            let gzip = accepts_gzip(headers);
            loop {
                // The first answer takes two looks with some time between them, in which others are served.
                let progress = state.agent.lock().await.processes(gzip);
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

/// Answers with a collection in a format, or without one with what the doctor says of it.
async fn page(format: Option<Format>, headers: &HeaderMap, query: &str, state: &'static State) -> Response<Bytes> {
    let gzip = accepts_gzip(headers);
    let choice = parse_choice(query);
    let mut agent = state.agent.lock().await;
    let selection = match agent.choose(&choice) {
        Ok(selection) => selection,
        Err(wrong) => return unknown(wrong),
    };
    let page = agent.page_of(selection, format, gzip, SHARED_FOR).await;
    drop(agent);
    data(page, format.unwrap_or(Format::Json).content_type(), gzip)
}

/// Answers with metrics in the dialect that is asked for.
async fn metrics(headers: &HeaderMap, query: &str, state: &'static State) -> Response<Bytes> {
    let tongue = match parse_dialect(query) {
        Ok(tongue) => tongue,
        Err(wrong) => return plain(StatusCode::BAD_REQUEST, wrong),
    };
    let mut agent = state.agent.lock().await;
    let tongue = tongue.unwrap_or_else(|| agent.tongue());
    if tongue == Tongue::Pi {
        drop(agent);
        let format = if prefers_openmetrics(headers) { Format::OpenMetrics } else { Format::Prometheus };
        return page(Some(format), headers, query, state).await;
    }
    let gzip = accepts_gzip(headers);
    let page = agent.page_in(tongue, &parse_choice(query), gzip, SHARED_FOR).await;
    drop(agent);
    match page {
        Ok(page) => data(page, Format::Prometheus.content_type(), gzip),
        Err(wrong) => unknown(wrong),
    }
}

/// Answers that a request names something that is not there.
fn unknown(wrong: String) -> Response<Bytes> {
    let mut response = plain(StatusCode::BAD_REQUEST, "");
    *response.body_mut() = Bytes::shared(Arc::new(wrong.into()));
    response
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_routes_is_whole() {
        for (path, _) in ROUTES.iter().filter(|(_, route)| !matches!(route, Route::Script)) {
            assert!(NOT_FOUND.contains(&format!(" {path}")), "{path}");
        }
    }
}
