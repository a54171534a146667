//! Methods, paths, headers.

use crate::agent::{Agent, Response, raw};

#[test]
fn every_endpoint_answers_get_and_head() {
    let agent = Agent::start(&[]);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/json", "application/json"),
        ("/health", "text/plain; charset=utf-8"),
    ] {
        let get = agent.get(path);
        assert_eq!((get.status, get.header("content-type")), (200, Some(kind)), "{path}");
        assert_eq!(get.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(get.header("content-length").unwrap().parse::<usize>().unwrap(), get.body.len());
        let head = agent.request("HEAD", path, &[]);
        assert_eq!((head.status, head.header("content-type"), head.body.len()), (200, Some(kind), 0), "{path}");
        let length = |response: &Response| response.header("content-length").unwrap().parse::<i64>().unwrap();
        assert!((length(&head) - length(&get)).abs() < 400, "{path}: HEAD tells the length of GET");
    }
    assert_eq!(agent.get("/health").text(), "ok\n");
    assert!(agent.get("/").text().starts_with("<!doctype html>"));
}

#[test]
fn other_methods_and_paths_are_refused() {
    let agent = Agent::start(&[]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let response = agent.request(method, "/metrics", &["Content-Length: 0"]);
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    for path in ["/nothing", "/metrics/", "/Metrics", "//", "/..%2f", "/%00"] {
        assert_eq!(agent.get(path).status, 404, "{path}");
    }
    assert_eq!(agent.get("/health?x=y").status, 200);
    assert_eq!(raw(&agent.address, b"nonsense\r\n\r\n").status, 400);
    assert_eq!(agent.get("/health").status, 200);
}

#[test]
fn gzip_when_asked_for() {
    let agent = Agent::start(&[]);
    for path in ["/metrics", "/json"] {
        let plain = agent.get(path);
        let packed = agent.request("GET", path, &["Accept-Encoding: deflate, gzip;q=0.8"]);
        assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
        // Nobody may keep an answer, so nobody needs to be told what it depends on.
        assert_eq!((plain.header("cache-control"), plain.header("vary")), (Some("no-store"), None));
        assert!(packed.body.len() * 2 < plain.body.len(), "{} {}", packed.body.len(), plain.body.len());
        let deflated = &packed.body[10..packed.body.len() - 8];
        let text = String::from_utf8(miniz_oxide::inflate::decompress_to_vec(deflated).unwrap()).unwrap();
        assert!(text.contains(if path == "/json" { "\"cpu\"" } else { "pi_cpu_seconds_total" }));
    }
}

#[test]
fn openmetrics_when_preferred() {
    let agent = Agent::start(&[]);
    let response =
        agent.request("GET", "/metrics", &["Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5"]);
    assert_eq!(response.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(response.text().ends_with("\n# EOF\n"));
}

#[test]
fn the_page_is_sent_once() {
    let agent = Agent::start(&[]);
    let tag = agent.get("/").header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let response = agent.request("GET", "/", &[&format!("If-None-Match: {known}")]);
        assert_eq!((response.status, response.body.len()), (304, 0), "{known}");
        assert_eq!(response.header("etag"), Some(tag.as_str()));
    }
    assert_eq!(agent.request("GET", "/", &["If-None-Match: \"other\""]).status, 200);
}

#[test]
fn one_connection_serves_many_requests() {
    let agent = Agent::start(&[]);
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", agent.address);
    let last = format!("GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", agent.address);
    let all = format!("{}{last}", request.repeat(20));
    let answer = raw(&agent.address, all.as_bytes());
    let text = format!("{}\r\n\r\n{}", answer.headers, answer.text());
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 21);
}

#[test]
fn both_internet_protocols_are_served() {
    let agent = Agent::spawn(std::process::Command::new(crate::agent::BINARY).arg("--web.listen-address=:0"));
    let port = agent.address.rsplit(':').next().unwrap().to_owned();
    assert_eq!(crate::agent::request(&format!("127.0.0.1:{port}"), "GET", "/health", &[]).status, 200);
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(crate::agent::request(&format!("[::1]:{port}"), "GET", "/health", &[]).status, 200);
    }
}
