//! Who may ask, and what it costs to find out.

use crate::agent::{Agent, BINARY, wait_until};
use crate::client::{Scraper, connect, exchange, read_answer, statuses};
use crate::network::SCRAPE_TIMEOUT;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// "right password", with a cost of 2^10 rounds and of 2^4.
const HASH: &str = "$2y$10$abcdefghijklmnopqrstuuGtLnrD2i57jkGh9FBM8eEpK7xCWS9QO";
pub const CHEAP: &str = "$2b$04$abcdefghijklmnopqrstuuixDYXMqh7K8om9LBImBUW2GGY1bih2C";
/// `alice:right password`.
const ALICE: &str = "Authorization: Basic YWxpY2U6cmlnaHQgcGFzc3dvcmQ=";

/// A file that only its owner can read; removed when dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pi-monitor-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        File(path)
    }

    fn flag(&self, flag: &str) -> String {
        format!("--{flag}={}", self.0.display())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn only_credentials_let_in_but_everybody_may_ask_for_health() {
    let file = File::new("credentials", "# for tests\nbearer 0123456789abcdef\nbasic bob:bob's: secret\n");
    let agent = Agent::start(&[&file.flag("web.auth-file")]);
    let token = "Authorization: Bearer 0123456789abcdef";
    // bob:bob's: secret
    let bob = "Authorization: Basic Ym9iOmJvYidzOiBzZWNyZXQ=";
    for path in [
        "/",
        "/metrics",
        "/json",
        "/history",
        "/events",
        "/runbooks",
        "/processes",
        "/nothing",
        "/health/",
        "//health",
        "/health/../json",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            assert_eq!(agent.request(method, path, &[]).status, 401, "{method} {path}");
        }
    }
    let refused = agent.get("/json");
    assert!(
        refused.headers.contains("www-authenticate: Basic") && refused.headers.contains("www-authenticate: Bearer")
    );
    assert_eq!(agent.get("/health").status, 200);
    for good in [token, bob, "Authorization: bearer 0123456789abcdef"] {
        assert_eq!(agent.request("GET", "/metrics", &[good]).status, 200, "{good}");
    }
    let begin = Instant::now();
    for wrong in [
        "Authorization: Bearer 0123456789abcdeg",
        "Authorization: Bearer 0123456789abcde",
        "Authorization: Bearer",
        "Authorization: Bearer bob:bob's: secret",
        // bob:
        "Authorization: Basic Ym9iOg==",
        // 0123456789abcdef:
        "Authorization: Basic MDEyMzQ1Njc4OWFiY2RlZjo=",
        "Authorization: Basic",
    ] {
        assert_eq!(agent.request("GET", "/metrics", &[wrong]).status, 401, "{wrong}");
    }
    assert!(begin.elapsed() > Duration::from_secs(4), "a wrong credential waits for its answer");
    assert_eq!(agent.request("GET", "/metrics", &[token, token]).status, 401);
    let shown = std::fs::read_to_string(format!("/proc/{}/cmdline", agent.child.id())).unwrap();
    let told = agent.request("GET", "/json", &[token]).text() + &agent.log_lines().concat() + &shown;
    assert!(!told.contains("0123456789abcdef") && !told.contains("secret"));
}

#[test]
fn users_of_a_web_configuration_are_let_in() {
    let file = File::new("web.yml", &format!("basic_auth_users:\n  alice: {CHEAP}\n  carol: {CHEAP}\n"));
    let agent = Agent::start(&[&file.flag("web.config.file")]);
    // Twice: the second time it is remembered.
    for _ in 0..2 {
        assert_eq!(agent.request("GET", "/metrics", &[ALICE]).status, 200);
    }
    for wrong in [
        // alice:wrong, alice:, mallory:right password
        "Authorization: Basic YWxpY2U6d3Jvbmc=",
        "Authorization: Basic YWxpY2U6",
        "Authorization: Basic bWFsbG9yeTpyaWdodCBwYXNzd29yZA==",
    ] {
        assert_eq!(agent.request("GET", "/metrics", &[wrong]).status, 401, "{wrong}");
    }
    assert_eq!(agent.get("/health").status, 200);
}

/// What an agent says that does not start.
fn refusal(flag: &str) -> (Option<i32>, String) {
    // Bounded, should it start after all.
    let output =
        Command::new("timeout").args(["60", BINARY, "--web.listen-address=127.0.0.1:0", flag]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    for (flag, text, part) in [
        ("web.config.file", "basic_auth_users:\n  a: secret\n", ":2: expected a user's name and the bcrypt hash"),
        #[cfg(not(feature = "tls"))]
        ("web.config.file", "\ntls_server_config:\n  cert_file: x\n", ":2: tls_server_config: "),
        ("web.config.file", "http_server_config:\n", ":1: http_server_config: not supported"),
        ("web.config.file", "# nothing\n", ": expected basic_auth_users or tls_server_config, found neither"),
        ("web.auth-file", "bearer 0123456789abcdef\nbearer short\n", ":2: expected a token of at least 16 characters"),
        ("web.auth-file", "", ": expected at least one credential, found none"),
        ("web.auth-file", "\u{feff}bearer short\n", ":1: expected a token of at least 16 characters"),
    ] {
        let file = File::new("wrong", text);
        let (status, said) = refusal(&file.flag(flag));
        assert!(status == Some(1) && said.lines().count() == 1, "{said}");
        assert!(said.contains(&format!("{}{part}", file.0.display())) && !said.contains("secret"), "{said}");
    }
    let (status, said) = refusal("--web.auth-file=");
    assert_eq!((status, said.as_str()), (Some(2), "error: --web.auth-file=: expected the name of a file\n"));
    assert_eq!(refusal("--web.config.file=/nowhere").0, Some(2));
}

#[test]
fn a_file_that_everybody_can_read_is_told() {
    let file = File::new("open", "bearer 0123456789abcdef\n");
    let start = |mode| {
        std::fs::set_permissions(&file.0, PermissionsExt::from_mode(mode)).unwrap();
        let agent = Agent::start(&[&file.flag("web.auth-file")]);
        agent.early_lines.iter().any(|line| line.contains("is readable by every user of this machine (mode 644)"))
    };
    assert_eq!((start(0o640), start(0o644)), (false, true));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let web = File::new("mark.yml", &format!("\u{feff}basic_auth_users:\r\n  alice: {CHEAP}\r\n"));
    let auth = File::new("mark", "\u{feff}bearer 0123456789abcdef\r\n");
    let agent = Agent::start(&[&web.flag("web.config.file"), &auth.flag("web.auth-file")]);
    for good in [ALICE, "Authorization: Bearer 0123456789abcdef"] {
        assert_eq!(agent.request("GET", "/metrics", &[good]).status, 200, "{good}");
    }
    // Other encodings are named, and not taken for something else.
    std::fs::write(&auth.0, b"\xff\xfeb\0e\0a\0r\0e\0r\0 \0").unwrap();
    let (status, said) = refusal(&auth.flag("web.auth-file"));
    assert!(status == Some(1) && said.contains(": expected text in UTF-8; save it again in that encoding"), "{said}");
}

#[test]
fn a_refusal_says_what_is_missing() {
    let file = File::new("missing", "bearer 0123456789abcdef\nbasic bob:secret\n");
    let agent = Agent::start(&[&file.flag("web.auth-file")]);
    for (headers, part) in [
        (&[][..], "credentials required: "),
        (&["Authorization: Bearer 0123456789abcdeX"], "wrong credentials\n"),
        (&["Authorization: Digest x"], "malformed credentials; "),
        (
            &["Authorization: Bearer 0123456789abcdef", "Authorization: Basic Ym9iOnNlY3JldA=="],
            "malformed credentials; ",
        ),
    ] {
        let response = agent.request("GET", "/json", headers);
        assert!(response.status == 401 && response.text().starts_with(part), "{headers:?}: {}", response.text());
    }
    // Only /health may be asked by a load balancer that has no credential.
    assert_eq!(agent.request("OPTIONS", "/", &[]).status, 401);
    assert_eq!(agent.request("OPTIONS", "/health", &[]).status, 204);
}

fn threads(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok()).unwrap()
}

#[test]
fn who_says_no_more_still_gets_an_answer() {
    let file = File::new("half", "bearer 0123456789abcdef\n");
    let agent = Agent::start(&[&file.flag("web.auth-file")]);
    // The answer to a wrong token takes a second; the end of what the client sends is there long before.
    let request = b"GET /metrics HTTP/1.1\r\nHost: pi\r\nAuthorization: Bearer 0123456789abcdeg\r\n\r\n";
    assert_eq!(statuses(&exchange(&agent.address, request)), [401]);
    let many = "GET /metrics HTTP/1.1\r\nHost: pi\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n".repeat(50);
    assert_eq!(statuses(&exchange(&agent.address, many.as_bytes())), [200; 50]);
}

#[test]
fn a_password_is_checked_once() {
    let file = File::new("once.yml", &format!("basic_auth_users:\n  alice: {HASH}\n"));
    let agent = Agent::start(&[&file.flag("web.config.file")]);
    let mut scraper = Scraper::new(&agent.address, &format!("{ALICE}\r\n"));
    let (_, first) = scraper.scrape();
    // The fastest of some: with a check of the password, none would be faster than that.
    let fastest = (0..12).map(|_| scraper.scrape().1).min().unwrap();
    assert!(fastest < first / 2, "{first:?}, then {fastest:?}");
}

#[test]
fn who_guesses_does_not_starve_a_scraper() {
    let file = File::new("brute.yml", &format!("basic_auth_users:\n  alice: {HASH}\n"));
    let agent = Agent::start(&[&file.flag("web.config.file")]);
    let before = threads(&agent);
    // What a scrape takes with a check of the password, when nobody guesses.
    let (_, alone) = Scraper::new(&agent.address, &format!("{ALICE}\r\n")).scrape();
    let (end, guesses) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // One from the scraper's own address, and as many as there can be from each of four others.
    let hosts = [("127.0.0.9", 1), ("127.0.2.1", 16), ("127.0.2.2", 16), ("127.0.2.3", 16), ("127.0.2.4", 16)];
    let guessers: Vec<_> = hosts
        .into_iter()
        .flat_map(|(host, count)| (0..count).map(move |_| host))
        .map(|host| {
            let (end, guesses, address) = (end.clone(), guesses.clone(), agent.address.clone());
            std::thread::spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    let mut stream = connect(host, &address);
                    // alice:wrong
                    let request = "GET / HTTP/1.1\r\nHost: pi\r\nAuthorization: Basic YWxpY2U6d3Jvbmc=\r\n\r\n";
                    while !end.load(Ordering::Relaxed) && stream.write_all(request.as_bytes()).is_ok() {
                        let Some(answer) = read_answer(&mut stream) else { break };
                        assert_eq!(answer.status, 401);
                        guesses.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    // Checks are made beside the thread that serves, one at a time.
    let mut most = 0;
    let mut looks = 0;
    wait_until("a check of a password", || {
        most = most.max(threads(&agent));
        looks += 1;
        most > before && looks > 100
    });
    // Those that have given their answers may still be ending when the next begins.
    assert!(most <= before + 6, "{most}");
    let mut scraper = Scraper::new(&agent.address, &format!("{ALICE}\r\n"));
    let (_, first) = scraper.scrape();
    // For each guesser at its own address, every other address has one check before it: 10 of 65, and what a busy machine needs.
    assert!(first < SCRAPE_TIMEOUT.max(alone * 30), "{first:?}; {alone:?} alone");
    let mut others: Vec<_> = (0..15)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(300));
            scraper.scrape().1
        })
        .collect();
    others.sort();
    let (median, worst) = (others[others.len() / 2], others[others.len() - 1]);
    let guesses = guesses.load(Ordering::Relaxed);
    println!("{alone:?} alone, {first:?} first, then {median:?}, at most {worst:?}; {guesses} guesses");
    // They wait for no check of a password.
    assert!(worst < SCRAPE_TIMEOUT && median < alone / 2, "{median:?}, at most {worst:?}; {alone:?} alone");
    end.store(true, Ordering::Relaxed);
    drop(agent);
    for guesser in guessers {
        let _ = guesser.join();
    }
}
