//! What a client, or many, may do without harm to others.

use crate::agent::{Agent, BINARY, request, wait_until};
use crate::client::{Scraper, closes_within, connect, exchange, is_closed, many, read_answer, statuses};
use crate::namespaces::{own_network, run};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// The timeout of Prometheus: what takes longer is no answer.
pub const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

fn sleep(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

#[test]
fn starts_in_a_network_without_any_address() {
    if !own_network() {
        return;
    }
    run("ip link set lo down");
    let agent = Agent::spawn(Command::new(BINARY).arg("--web.listen-address=:9100"));
    assert_eq!(agent.address, "[::]:9100");
    run("ip link set lo up");
    assert_eq!(request("127.0.0.1:9100", "GET", "/health", &[]).status, 200);
    assert_eq!(request("[::1]:9100", "GET", "/health", &[]).status, 200);
}

#[test]
fn an_address_may_come_later_than_the_agent() {
    if !own_network() {
        return;
    }
    for (address, command) in [
        ("10.9.9.9:9100", "ip addr add 10.9.9.9/32 dev lo"),
        ("[fd00::9]:9100", "ip addr add fd00::9/128 dev lo nodad"),
    ] {
        let agent = Agent::spawn(Command::new(BINARY).arg(format!("--web.listen-address={address}")));
        assert_eq!(agent.address, address);
        run(command);
        wait_until("a connection", || TcpStream::connect(address).is_ok());
        assert_eq!(request(address, "GET", "/health", &[]).status, 200);
    }
}

#[test]
fn both_protocols_are_served_whatever_the_system_prefers() {
    if !own_network() {
        return;
    }
    run("echo 1 >/proc/sys/net/ipv6/bindv6only");
    let _agent = Agent::spawn(Command::new(BINARY).arg("--web.listen-address=:9100"));
    assert_eq!(request("127.0.0.1:9100", "GET", "/health", &[]).status, 200);
    assert_eq!(request("[::1]:9100", "GET", "/health", &[]).status, 200);
}

/// Lets this process, and what it becomes, be without IPv6, as on a kernel that has none.
fn without_ipv6() -> std::io::Result<()> {
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_socket as u32, 0, 3),
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 16, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::AF_INET6 as u32, 0, 1),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which is as long as it says.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[test]
fn without_ipv6_there_is_ipv4() {
    let mut command = Command::new(BINARY);
    // SAFETY: between fork and exec only two system calls are made.
    unsafe { command.arg("--web.listen-address=:0").pre_exec(without_ipv6) };
    let agent = Agent::spawn(&mut command);
    let port = agent.address.strip_prefix("0.0.0.0:").unwrap();
    assert_eq!(request(&format!("127.0.0.1:{port}"), "GET", "/health", &[]).status, 200);
}

#[test]
fn five_hundred_slow_clients_do_not_keep_a_scraper_out() {
    let agent = Agent::start(&[]);
    let mut scraper = Scraper::new(&agent.address, "");
    scraper.scrape();
    let mut slow = many(500, &agent.address);
    for _ in 0..8 {
        for stream in &mut slow {
            let _ = stream.write_all(b"X");
        }
        let (_, time) = scraper.scrape();
        assert!(time < SCRAPE_TIMEOUT, "{time:?}");
        assert!(scraper.others() <= 127.0);
        sleep(0.5);
    }
    assert_eq!(scraper.connections, 1, "the scraper's connection stays");
    // Those that no slot was left for, and, on a machine that is slow, those whose time was over before.
    let refused = scraper.refused("full") + scraper.refused("slow_request");
    assert!(refused >= 372.0, "{refused}");
    wait_until("an end of their time", || scraper.others() == 0.0);
}

#[test]
fn clients_that_asked_once_and_idle_do_not_keep_others_out() {
    let agent = Agent::start(&[]);
    let mut scraper = Scraper::new(&agent.address, "");
    scraper.scrape();
    let mut idle = Vec::new();
    for number in 0..192 {
        let mut stream = connect(&format!("127.0.1.{}", 1 + number / 16), &agent.address);
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: pi\r\n\r\n").unwrap();
        assert!(read_answer(&mut stream).is_some(), "{number}");
        idle.push(stream);
    }
    let open = || idle.iter().filter(|stream| !is_closed(stream)).count();
    wait_until("an end of those that lost their slots", || open() <= 127);
    // The scraper's connection has been idle longest, but others have more of them.
    scraper.scrape();
    assert_eq!((scraper.connections, open()), (1, 127));
    Scraper::new(&agent.address, "").scrape();
}

#[test]
fn a_head_has_five_seconds() {
    let agent = Agent::start(&[]);
    let good = b"GET /health HTTP/1.1\r\nHost: pi\r\n\r\n";
    // Nothing at all; a head that never ends; the same behind an answer; and one whose beginning came before that answer, and
    // nothing more.
    let beginnings = [&b""[..], b"GET / HTTP/1.1\r\n", &[&good[..], b""].concat(), &[&good[..], b"GET "].concat()];
    let begin = Instant::now();
    let clients = beginnings.map(|beginning| {
        let mut stream = connect("127.0.0.1", &agent.address);
        stream.write_all(beginning).unwrap();
        if beginning.starts_with(good) {
            assert_eq!(read_answer(&mut stream).unwrap().status, 200);
        }
        stream
    });
    let mut number = 0;
    let threads = clients.map(|stream| {
        number += 1;
        let silent = number == 4;
        std::thread::spawn(move || {
            let mut other = stream.try_clone().unwrap();
            let slow = std::thread::spawn(move || {
                while !silent && other.write_all(b"X").is_ok() {
                    sleep(0.2);
                }
            });
            // Five seconds and as much as a busy machine needs; what is wrong would end much later, or never.
            let closes = closes_within(Duration::from_secs(30), &stream);
            let time = begin.elapsed();
            let _ = stream.shutdown(std::net::Shutdown::Both);
            slow.join().unwrap();
            assert!(closes && time > Duration::from_millis(4900), "{number}: {closes} after {time:?}");
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn an_idle_scraper_keeps_its_connection() {
    let agent = Agent::start(&[]);
    let mut scraper = Scraper::new(&agent.address, "");
    scraper.scrape();
    sleep(6.5);
    scraper.scrape();
    assert_eq!(scraper.connections, 1);
}

#[test]
fn idle_connections_keep_no_buffers() {
    let agent = Agent::start(&[]);
    let resident = || agent.memory("VmRSS:").unwrap();
    let ask = |all: &mut [TcpStream]| {
        for stream in all {
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            assert_eq!(read_answer(stream).unwrap().status, 200);
        }
    };
    let mut first = many(56, &agent.address);
    ask(&mut first);
    // Each has its time from its answer on. Who is answered later is answered behind what that time's end brings about.
    sleep(6.0);
    ask(&mut many(2, &agent.address));
    // What the first ones have given back is enough for the others.
    let before = resident();
    let mut others: Vec<_> =
        (0..56).map(|number| connect(&format!("127.0.2.{}", 1 + number / 16), &agent.address)).collect();
    ask(&mut others);
    let each = resident().saturating_sub(before) / others.len() as u64;
    assert!(each < 8 << 10, "{each} bytes");
    // And who comes back is served as if nothing had been.
    ask(&mut first);
}

#[test]
fn heads_have_limits() {
    let agent = Agent::start(&[]);
    let ask = |line: &str, headers: &str| {
        let answer = exchange(&agent.address, format!("{line}\r\nHost: pi\r\n{headers}\r\n").as_bytes());
        assert!(answer.is_empty() || statuses(&answer).len() == 1, "{answer}");
        statuses(&answer).first().copied().unwrap_or(0)
    };
    let line = |length: usize| format!("GET /health?{} HTTP/1.1", "x".repeat(length - 21));
    assert_eq!((line(1024).len(), ask(&line(1024), ""), ask(&line(1025), "")), (1024, 200, 414));
    assert_eq!(ask(&line(20_000), ""), 414);
    assert_eq!(ask(&line(1_000_000), ""), 414);
    let headers = |count: usize| "X: y\r\n".repeat(count - 1);
    assert_eq!((ask("GET /health HTTP/1.1", &headers(64)), ask("GET /health HTTP/1.1", &headers(65))), (200, 431));
    let cookie = |length: usize| format!("Cookie: {}\r\n", "x".repeat(length));
    assert_eq!(ask("GET /health HTTP/1.1", &cookie(15_000)), 200);
    assert_eq!(ask("GET /health HTTP/1.1", &cookie(17_000)), 431);
    assert_eq!(ask("GET /health HTTP/1.1", &cookie(1_000_000)), 431);
    // A line that never ends is refused when it is too long, not when its time is over.
    let mut stream = connect("127.0.0.1", &agent.address);
    stream.write_all(line(1100).as_bytes()).unwrap();
    assert_eq!(read_answer(&mut stream).unwrap().status, 414);
}

#[test]
fn a_body_is_not_read_and_no_request_is_smuggled_in_it() {
    let agent = Agent::start(&[]);
    let inner = "GET /metrics HTTP/1.1\r\nHost: pi\r\n\r\n";
    let length = inner.len();
    for (method, headers, expected) in [
        ("POST", format!("Content-Length: {length}"), 405),
        ("GET", format!("Content-Length: {length}"), 200),
        ("GET", "Content-Length: 10".to_owned(), 200),
        ("GET", "Transfer-Encoding: chunked".to_owned(), 200),
        ("GET", format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"), 200),
        ("GET", "Transfer-Encoding: chunked\r\nContent-Length: 0".to_owned(), 200),
        ("GET", format!("Expect: 100-continue\r\nContent-Length: {length}"), 200),
        ("GET", format!("Content-Length: {length}\r\nContent-Length: 0"), 400),
        ("GET", format!("Content-Length: 0, {length}"), 400),
        ("GET", format!("Content-Length: +{length}"), 400),
        ("GET", "Content-Length: -1".to_owned(), 400),
        ("GET", format!("Content-Length : {length}"), 400),
        ("GET", format!("X: y\r\n Content-Length: {length}"), 400),
        ("GET", "Transfer-Encoding: identity".to_owned(), 400),
        ("GET", "Transfer-Encoding: chunked, identity".to_owned(), 400),
    ] {
        let text = format!("{method} /health HTTP/1.1\r\nHost: pi\r\n{headers}\r\n\r\n{inner}");
        let answer = exchange(&agent.address, text.as_bytes());
        assert_eq!(statuses(&answer), [expected], "{headers}: {answer}");
    }
    // Who sends without end is answered, and then cut off.
    let mut stream = connect("127.0.0.1", &agent.address);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: pi\r\nContent-Length: 99999999999\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).unwrap().status, 405);
    wait_until("an end of the connection", || stream.write_all(&[b'x'; 1 << 16]).is_err());
}

#[test]
fn a_request_names_one_good_host() {
    let agent = Agent::start(&[]);
    let ask = |text: &str| statuses(&exchange(&agent.address, format!("{text}\r\n\r\n").as_bytes()));
    for good in [
        "GET /health HTTP/1.1\r\nHost: pi.local:9100",
        "GET /health HTTP/1.1\r\nhOsT:[fe80::1]:9100",
        "GET /health HTTP/1.1\r\nHost: [fe80::1%eth0]:9100",
        "GET /health HTTP/1.1\r\nHost: [fe80::1%25wlan0.1]",
        "GET /health HTTP/1.1\r\nHost: pi:",
        "GET /health HTTP/1.1\r\nHost: [::1]:",
        "GET /health HTTP/1.0",
        "GET /health HTTP/1.0\r\nHost: pi",
        "GET http://pi:9100/health HTTP/1.1\r\nHost: pi:9100",
    ] {
        assert_eq!(ask(good), [200], "{good}");
    }
    // Each says which of the possible causes it is.
    let refused = |text: &str, status: u16, part: &str| {
        let answer = exchange(&agent.address, format!("{text}\r\n\r\n").as_bytes());
        assert!(statuses(&answer) == [status] && answer.contains(&format!("\r\n\r\n{part}")), "{text}: {answer}");
    };
    refused("GET /health HTTP/1.1", 400, "missing Host header");
    refused("GET http://pi/health HTTP/1.1", 400, "missing Host header");
    refused("GET /health HTTP/1.1\r\nHost: a\r\nHost: a", 400, "duplicate Host header");
    refused("GET /health HTTP/1.0\r\nHost: a\r\nHost: b", 400, "duplicate Host header");
    for bad in [
        "",
        "a b",
        "a/b",
        "a,b",
        "user@a",
        "a:b",
        "a:99999",
        "<script>",
        "caf\u{e9}",
        "[fe80::1%]",
        "[pi]",
        "[::1%a/b]",
    ] {
        refused(&format!("GET /health HTTP/1.1\r\nHost: {bad}"), 400, "malformed Host header");
    }
    refused("GET http://a@pi/health HTTP/1.1\r\nHost: pi", 400, "malformed host in the request's URL");
}

#[test]
fn a_page_whose_name_was_bent_to_this_address_is_refused() {
    let agent = Agent::start(&["--web.allowed-hosts=pi.local, *.example.org"]);
    let ask = |target: &str, host: &str| {
        statuses(&exchange(&agent.address, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()))
    };
    for host in ["pi.local", "PI.local:9100", "a.example.org", "127.0.0.1:9100", "[::1]:9100", "localhost"] {
        assert_eq!(ask("/metrics", host), [200], "{host}");
    }
    for host in ["evil.example", "pi.local.evil.example", "evilexample.org", "127.0.0.1.evil.example"] {
        assert_eq!(ask("/metrics", host), [403], "{host}");
        assert_eq!(ask(&format!("http://{host}/metrics"), "pi.local"), [403], "{host}");
    }
    let answer = exchange(&agent.address, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(answer.contains("\r\n\r\nthe host name of this request is not in --web.allowed-hosts"), "{answer}");
}

#[test]
fn every_answer_has_its_guards() {
    let file = std::env::temp_dir().join(format!("pi-monitor-guards-{}", std::process::id()));
    std::fs::write(&file, "bearer 0123456789abcdef\n").unwrap();
    let open = Agent::start(&["--web.allowed-hosts=pi"]);
    let closed = Agent::start(&[&format!("--web.auth-file={}", file.display())]);
    std::fs::remove_file(file).unwrap();
    let tag = request(&open.address, "GET", "/", &[]).header("etag").unwrap().to_owned();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: pi\r\n");
    for (agent, text, status) in [
        (&open, get("/"), 200),
        (&open, get("/metrics"), 200),
        (&open, get("/json"), 200),
        (&open, get("/history"), 200),
        (&open, get("/processes"), 200),
        (&open, get("/health"), 200),
        (&open, get("/").replace("GET", "HEAD"), 200),
        (
            &open,
            get(&format!("/\r\nIf-None-Match: {tag}"))
                .replace(&format!("\r\nIf-None-Match: {tag} HTTP/1.1"), &format!(" HTTP/1.1\r\nIf-None-Match: {tag}")),
            304,
        ),
        (&open, get("/history?range=x"), 400),
        (&open, "GET / HTTP/1.1\r\n".to_owned(), 400),
        (&open, "nonsense\r\n".to_owned(), 400),
        (&open, "PRI * HTTP/2.0\r\n\r\nSM\r\n".to_owned(), 400),
        (&closed, get("/"), 401),
        (&open, get("/").replace("pi", "evil"), 403),
        (&open, get("/nothing"), 404),
        (&open, get("/").replace("GET", "OPTIONS").replace("\r\nHost", "\r\nOrigin: http://evil\r\nHost"), 204),
        (&open, get("/").replace("GET", "POST"), 405),
        (&open, get(&"/x".repeat(600)), 414),
        (&open, get("/") + &"X: y\r\n".repeat(100), 431),
    ] {
        let answer = exchange(&agent.address, format!("{text}\r\n").as_bytes());
        assert_eq!(statuses(&answer), [status], "{text}: {answer}");
        let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        for guard in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "content-security-policy: default-src 'none'",
        ] {
            assert!(head.contains(guard), "{text}: {head}");
        }
        assert!(head.contains("frame-ancestors 'none'") && !head.contains("access-control"), "{text}: {head}");
    }
}

/// A client that asks for the page again and again, without compression, and has room for little of it.
fn asks_and_does_not_read(from: &str, to: &str) -> std::net::TcpStream {
    let mut stream = connect(from, to);
    socket2::SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
    stream.set_nonblocking(true).unwrap();
    let _ = stream.write_all("GET / HTTP/1.1\r\nHost: pi\r\n\r\n".repeat(100).as_bytes());
    stream
}

#[test]
fn who_does_not_read_is_dropped() {
    let agent = Agent::start(&[]);
    let mut scraper = Scraper::new(&agent.address, "");
    let begin = Instant::now();
    // One whose answers are still with the agent, one whose answer is with the kernel.
    let _long = asks_and_does_not_read("127.0.0.2", &agent.address);
    let mut short = connect("127.0.0.3", &agent.address);
    socket2::SockRef::from(&short).set_recv_buffer_size(4096).unwrap();
    short.write_all(b"GET / HTTP/1.1\r\nHost: pi\r\n\r\n").unwrap();
    wait_until("both connections", || scraper.others() == 2.0);
    wait_until("an end of one", || scraper.others() < 2.0);
    assert!(begin.elapsed() > Duration::from_secs(8), "{:?}", begin.elapsed());
    wait_until("an end of both", || scraper.others() == 0.0);
    // The agent or, where that comes late, the kernel has dropped the first.
    assert!(scraper.refused("slow_reader") <= 1.0);
}

#[test]
fn pages_that_nobody_reads_do_not_fill_the_memory() {
    for _ in 0..3 {
        let agent = Agent::start(&[]);
        let mut scraper = Scraper::new(&agent.address, "");
        scraper.scrape();
        let begin = Instant::now();
        let all: Vec<_> = (0..112)
            .map(|number| asks_and_does_not_read(&format!("127.0.1.{}", 1 + number / 16), &agent.address))
            .collect();
        // Until it has done all that it can do, or the first have been dropped for another reason.
        let mut before = Duration::ZERO;
        wait_until("an idle agent", || {
            sleep(0.3);
            let now = awake(&agent);
            let idle = now - before < Duration::from_millis(60);
            before = now;
            idle || begin.elapsed() > Duration::from_secs(9)
        });
        let (text, time) = scraper.scrape();
        let others = scraper.others();
        drop(all);
        // Who reads nothing has ten seconds. A machine that took so long shows no more than the agent's memory, which is
        // limited in each test.
        if begin.elapsed() < Duration::from_secs(9) {
            assert!(time < SCRAPE_TIMEOUT && !text.is_empty(), "{time:?}");
            // Each of them has a copy of a page on its way, which is the longer the more this machine has; the oldest had to leave.
            assert!((10.0..=90.0).contains(&others), "{others}");
            return;
        }
    }
}

#[test]
fn file_descriptors_are_kept_free() {
    let mut command = Command::new("sh");
    let script = "ulimit -n 64; exec \"$0\" --web.listen-address=127.0.0.1:0";
    let agent = Agent::spawn(command.args(["-c", script, BINARY]));
    let mut scraper = Scraper::new(&agent.address, "");
    // Idle, and each of another address, so that none of them has to go for any other reason.
    let all: Vec<_> = (1..=100)
        .map(|number| {
            let mut stream = connect(&format!("127.0.1.{number}"), &agent.address);
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: pi\r\n\r\n").unwrap();
            assert!(read_answer(&mut stream).is_some(), "{number}");
            stream
        })
        .collect();
    let open = std::fs::read_dir(format!("/proc/{}/fd", agent.child.id())).unwrap().count();
    // One more while a connection takes the place of another.
    assert!((45..=53).contains(&open), "{open}");
    let (text, _) = scraper.scrape();
    assert!(text.contains("pi_collector_up"));
    let down: Vec<_> =
        text.lines().filter(|line| line.starts_with("pi_collector_up") && line.ends_with(" 0")).collect();
    assert!(down.is_empty(), "{down:?}");
    drop(all);
}

/// How long the agent has been on a CPU, or waiting for one: what a busy machine takes from one, it adds to the other.
fn awake(agent: &Agent) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/schedstat", agent.child.id())).unwrap();
    Duration::from_nanos(stat.split_whitespace().take(2).map(|part| part.parse::<u64>().unwrap()).sum())
}

#[test]
fn without_any_file_descriptor_it_waits_and_goes_on() {
    let agent = Agent::start(&[]);
    agent.metrics();
    let set_limit = |files: u64| {
        let limit = libc::rlimit { rlim_cur: files, rlim_max: 4096 };
        // SAFETY: the limit is only read, and the old one not asked for.
        assert_eq!(
            unsafe {
                libc::prlimit(agent.child.id() as i32, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut())
            },
            0
        );
    };
    set_limit(3);
    let waiting = connect("127.0.0.1", &agent.address);
    let (begin, before) = (Instant::now(), awake(&agent));
    sleep(2.0);
    let (awake, time) = (awake(&agent) - before, begin.elapsed());
    // One that tried without a pause would be awake all the time.
    assert!(awake < time * 9 / 10, "{awake:?} of {time:?}");
    set_limit(1024);
    assert_eq!(agent.get("/health").status, 200);
    drop(waiting);
}

#[test]
fn what_is_no_http_is_refused() {
    let agent = Agent::start(&[]);
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
    for bytes in [
        &hello[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\0\r\nHost: pi\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: pi\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: pi\r\nX: \0\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: pi\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: pi\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: pi\r\n\xff\xfe: y\r\n\r\n",
        b"\r\n\r\nGET\r\n\r\n",
        b"GET /\r\n\r\n",
    ] {
        let answer = exchange(&agent.address, bytes);
        assert_eq!(statuses(&answer), [400], "{}: {answer}", bytes.escape_ascii());
    }
    // Each says what is wrong with it.
    for (text, part) in [
        ("GET / HTTP/1.1\r\nHost : pi\r\n\r\n", "invalid HTTP header\n"),
        ("GET / HTTP/3\r\nHost: pi\r\n\r\n", "invalid HTTP version\n"),
        ("(GET) / HTTP/1.1\r\nHost: pi\r\n\r\n", "invalid HTTP method\n"),
        ("GET /\0 HTTP/1.1\r\nHost: pi\r\n\r\n", "invalid URI\n"),
    ] {
        let answer = exchange(&agent.address, text.as_bytes());
        assert!(answer.ends_with(&format!("expected a request of HTTP 1.0 or 1.1: {part}")), "{text}: {answer}");
    }
    // Bytes that are odd but not wrong.
    assert_eq!(statuses(&exchange(&agent.address, b"GET /health HTTP/1.1\r\nHost: pi\r\nX: \xff\xfe\r\n\r\n")), [200]);
    assert_eq!(statuses(&exchange(&agent.address, b"GET /%00%ff?\xc3\xa9 HTTP/1.1\r\nHost: pi\r\n\r\n")).len(), 1);
    let mut number = 1_u64;
    for _ in 0..300 {
        let noise: Vec<u8> = (0..200)
            .map(|_| {
                number ^= number << 13;
                number ^= number >> 7;
                number ^= number << 17;
                number as u8
            })
            .collect();
        assert!(!exchange(&agent.address, &noise).contains("200 OK"));
    }
    assert_eq!(agent.get("/health").status, 200);
}
