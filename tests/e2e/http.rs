//! Methods, paths, headers.

use crate::agent::{Agent, Response, raw, wait_until};

#[test]
fn every_endpoint_answers_get_and_head() {
    let agent = Agent::start(&[]);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/json", "application/json"),
        ("/health", "text/plain; charset=utf-8"),
    ] {
        let mut get = agent.get(path);
        assert_eq!((get.status, get.header("content-type")), (200, Some(kind)), "{path}");
        assert_eq!(get.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(get.header("content-length").unwrap().parse::<usize>().unwrap(), get.body.len());
        let mut head = agent.request("HEAD", path, &[]);
        assert_eq!((head.status, head.header("content-type"), head.body.len()), (200, Some(kind), 0), "{path}");
        let length = |response: &Response| response.header("content-length").unwrap().parse::<i64>().unwrap();
        // A row may come or go between the two.
        wait_until("the length of GET in an answer to HEAD", || {
            let same = (length(&head) - length(&get)).abs() < 400;
            (get, head) = (agent.get(path), agent.request("HEAD", path, &[]));
            same
        });
    }
    assert_eq!(agent.get("/health").text(), "ok\n");
    assert!(agent.get("/").text().starts_with("<!doctype html>"));
}

#[test]
fn other_methods_and_paths_are_refused() {
    let agent = Agent::start(&[]);
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        let response = agent.request(method, "/metrics", &["Content-Length: 0"]);
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
    for path in ["/nothing", "/metrics/", "/Metrics", "//", "/..%2f", "/%00"] {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            assert_eq!(agent.request(method, path, &[]).status, 404, "{method} {path}");
        }
    }
    assert_eq!(raw(&agent.address, b"nonsense\r\n\r\n").status, 400);
    assert_eq!(agent.get("/health").status, 200);
}

#[test]
fn options_are_answered_for_load_balancers() {
    let agent = Agent::start(&[]);
    for path in ["/", "/metrics", "/json", "/history", "/events", "/processes", "/doctor", "/runbooks", "/health", "*"]
    {
        let response = agent.request("OPTIONS", path, &["Origin: http://elsewhere"]);
        assert_eq!((response.status, response.header("allow")), (204, Some("GET, HEAD, OPTIONS")), "{path}");
        assert_eq!((response.header("content-length"), response.body.len()), (None, 0), "{path}");
        assert!(!response.headers.to_ascii_lowercase().contains("access-control"), "{path}: {}", response.headers);
    }
    // What HAProxy sends for "option httpchk" without arguments.
    let response = raw(&agent.address, b"OPTIONS / HTTP/1.0\r\n\r\n");
    assert_eq!((response.status, response.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn unknown_parameters_are_ignored_and_bad_values_get_a_list() {
    let agent = Agent::start(&["--collector.disable-defaults", "--collector.cpu", "--collector.memory"]);
    for path in ["/", "/metrics", "/json", "/history", "/events", "/processes", "/doctor", "/runbooks", "/health"] {
        for query in ["?", "?utm_source=x", "?x", "?&&=&x=%zz"] {
            let status = agent.get(&format!("{path}{query}")).status;
            let expected = if path == "/processes" { 404 } else { 200 };
            assert_eq!(status, expected, "{path}{query}");
        }
    }
    for (path, list) in [
        ("/metrics?collect[]=cpuu", "collect[]: expected one of cpu, memory\n"),
        ("/json?collect%5B%5D=", "collect[]: expected one of cpu, memory\n"),
        ("/history?range=3h", "range: expected one of 2m, 10m, 1h, 24h, 7d\n"),
        ("/history?x=y&since=yesterday", "since: expected a number of seconds since boot\n"),
        ("/events?since=yesterday", "since: expected a Unix time in seconds\n"),
        ("/events?id=first", "id: expected the id of an event\n"),
        ("/events?x&limit=-1", "limit: expected a number of events\n"),
        ("/events?format=xml", "format: expected json or text\n"),
    ] {
        let response = agent.get(path);
        assert_eq!((response.status, response.text().as_str()), (400, list), "{path}");
    }
    let text = agent.get("/metrics?collect%5b]=m%65mory&x=y").text();
    assert!(text.contains("pi_memory_total_bytes") && !text.contains("pi_cpu_"));
}

#[test]
fn frames_are_allowed_where_the_flag_says() {
    let policy = |agent: &Agent, path: &str| {
        let response = agent.get(path);
        assert_eq!(response.header("x-frame-options"), None);
        let policy = response.header("content-security-policy").unwrap();
        policy.split("; ").filter(|part| part.starts_with("frame-")).map(str::to_owned).collect::<Vec<_>>()
    };
    let closed = Agent::start(&[]);
    let open = Agent::start(&["--web.frame-ancestors=self, http://homeassistant.local:8123"]);
    for path in ["/", "/json", "/nothing"] {
        assert_eq!(policy(&closed, path), ["frame-ancestors 'none'"], "{path}");
        assert_eq!(policy(&open, path), ["frame-ancestors 'self' http://homeassistant.local:8123"], "{path}");
    }
    // Nothing else about the page's policy changes.
    let rest = |agent: &Agent| {
        let response = agent.get("/");
        response.header("content-security-policy").unwrap().split("; frame-").next().unwrap().to_owned()
    };
    assert!(rest(&closed) == rest(&open) && rest(&open).contains("script-src 'sha256-"));
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
