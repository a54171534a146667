//! HTTPS, with the feature `tls`: real certificates, curl, openssl and Prometheus at the other end.

use crate::access::CHEAP;
use crate::agent::{Agent, BINARY, free_address, value, wait_until};
use crate::client::{closes_within, connect};
use crate::needs::{has_program, needs};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

mod certificates;

/// alice, with "right password".
fn users() -> String {
    format!("basic_auth_users:\n  alice: {CHEAP}\n")
}

/// A directory with an authority's certificate (`ca.crt`), and what it has signed for a server (`server.crt`, `server.key`) and a
/// client (`client.crt`, `client.key`).
struct Certificates(PathBuf);

impl Certificates {
    fn new(name: &str) -> Option<Self> {
        if !needs("openssl", has_program("openssl")) || !needs("curl", has_program("curl")) {
            return None;
        }
        let directory = std::env::temp_dir().join(format!("pi-monitor-tls-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let this = Certificates(directory);
        this.make("ca", &[]);
        let signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
        this.make("server", &[&signed[..], &["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]].concat());
        this.make("client", &signed);
        Some(this)
    }

    /// Makes a key and its certificate.
    fn make(&self, name: &str, more: &[&str]) {
        let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.crt"), format!("/CN={name}"));
        let output = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"])
            .args(["-keyout", &key, "-out", &certificate, "-subj", &subject])
            .args(more)
            .current_dir(&self.0)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A web configuration with the server's certificate, and more of that section or behind it.
    fn configuration(&self, more: &str) -> String {
        let file = self.0.join("web.yml");
        std::fs::write(&file, format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{more}"))
            .unwrap();
        format!("--web.config.file={}", file.display())
    }

    /// What curl makes of a path, asked over HTTPS.
    fn curl(&self, agent: &Agent, path: &str, flags: &[&str]) -> Output {
        let port = agent.address.rsplit(':').next().unwrap();
        Command::new("curl")
            .args(["-sS", "--max-time", "20", "--cacert", "ca.crt", &format!("https://localhost:{port}{path}")])
            .args(flags)
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn page(&self, agent: &Agent, path: &str, flags: &[&str]) -> String {
        let output = self.curl(agent, path, &[flags, &["--fail"]].concat());
        assert!(output.status.success(), "{path} {flags:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn pages_come_over_https() {
    let Some(certificates) = Certificates::new("pages") else { return };
    let agent = Agent::start(&[&certificates.configuration("")]);
    for version in [&["--tlsv1.3"][..], &["--tlsv1.2", "--tls-max", "1.2"]] {
        for path in ["/health", "/metrics", "/json", "/history?range=2m"] {
            assert!(!certificates.page(&agent, path, version).is_empty());
        }
        let page = certificates.page(&agent, "/", &[version, &["--compressed"]].concat());
        assert!(page.len() > 20_000 && page.contains("</html>"));
        // Several on one connection.
        let url = format!("https://localhost:{}/metrics", agent.address.rsplit(':').next().unwrap());
        let both = certificates.page(&agent, "/health", &[version, &["-w", "%{num_connects}", &url]].concat());
        assert!(both.starts_with("ok\n1") && both.ends_with('0'), "{both}");
    }
    // What is given up before serving is given up with TLS, too.
    let metrics = certificates.page(&agent, "/metrics", &[]);
    assert_eq!(value(&metrics, "pi_sandbox{layer=\"seccomp\"}"), Some(1.0));
    // One that does not know the authority does not talk to it.
    let port = agent.address.rsplit(':').next().unwrap();
    let stranger = Command::new("curl").args(["-sS", &format!("https://localhost:{port}/health")]).output().unwrap();
    assert_eq!(stranger.status.code(), Some(60), "{stranger:?}");
    // Nor is an older protocol spoken.
    let old = certificates.curl(&agent, "/health", &["--tls-max", "1.1"]);
    assert!(!old.status.success());
}

#[test]
fn passwords_and_least_versions_hold() {
    let Some(certificates) = Certificates::new("access") else { return };
    let agent = Agent::start(&[&certificates.configuration(&format!("  min_version: TLS13\n{}", users()))]);
    let status = |flags: &[&str]| {
        let output =
            certificates.curl(&agent, "/metrics", &[flags, &["-o", "/dev/null", "-w", "%{http_code}"]].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(status(&[]), "401");
    assert_eq!(status(&["-u", "alice:wrong password"]), "401");
    assert_eq!(status(&["-u", "alice:right password"]), "200");
    assert_eq!(status(&["-u", "alice:right password", "--tls-max", "1.2"]), "000");
    assert_eq!(certificates.page(&agent, "/health", &[]), "ok\n");
}

#[test]
fn clients_show_certificates_where_they_have_to() {
    let Some(certificates) = Certificates::new("clients") else { return };
    certificates.make("stranger", &[]);
    let signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    certificates.make("machine", &[&signed[..], &["-addext", "extendedKeyUsage=serverAuth"]].concat());
    for (kind, without) in [("RequireAndVerifyClientCert", false), ("VerifyClientCertIfGiven", true)] {
        let more = format!("  client_auth_type: {kind}\n  client_ca_file: ca.crt\n");
        let agent = Agent::start(&[&certificates.configuration(&more)]);
        let gets = |flags: &[&str]| certificates.curl(&agent, "/health", flags).stdout == b"ok\n";
        assert_eq!(gets(&[]), without);
        assert!(gets(&["--cert", "client.crt", "--key", "client.key"]));
        // Signed by itself, or for servers only.
        for wrong in ["stranger", "machine"] {
            assert!(!gets(&["--cert", &format!("{wrong}.crt"), "--key", &format!("{wrong}.key")]), "{wrong}");
        }
    }
}

#[test]
fn every_key_exchange_and_kind_of_key_works() {
    let Some(certificates) = Certificates::new("keys") else { return };
    for (algorithm, option) in [("rsa", "rsa_keygen_bits:2048"), ("ec", "ec_paramgen_curve:secp384r1")] {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-newkey", algorithm, "-pkeyopt", option, "-days", "2", "-subj", "/CN=x"])
            .args(["-keyout", "server.key", "-out", "server.crt", "-CA", "ca.crt", "-CAkey", "ca.key"])
            .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
            .current_dir(&certificates.0)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let agent = Agent::start(&[&certificates.configuration("")]);
        for version in ["1.2", "1.3"] {
            // TLS 1.2 wants the curve of the certificate in the list, too.
            for group in ["X25519:secp384r1", "prime256v1:secp384r1"] {
                let flags = [&format!("--tlsv{version}"), "--tls-max", version, "--curves", group];
                assert_eq!(certificates.page(&agent, "/health", &flags), "ok\n");
            }
        }
    }
}

#[test]
fn who_speaks_no_tls_is_refused() {
    let Some(certificates) = Certificates::new("plain") else { return };
    let agent = Agent::start(&[&certificates.configuration("")]);
    let plain = agent.get("/metrics");
    assert_eq!((plain.status, plain.header("x-content-type-options")), (400, Some("nosniff")));
    assert!(plain.text().contains("HTTPS"));
    for garbage in [&[22_u8, 3, 1, 0, 5, 1, 2, 3, 4, 5][..], &[22; 20_000], &[22, 3, 1, 255, 255], b"\x16\x03\x01"] {
        let mut stream = connect("127.0.0.1", &agent.address);
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // At most an alert, which is a record of type 21.
        assert!(answer.is_empty() || answer[0] == 21, "{}", answer.escape_ascii());
    }
    let metrics = certificates.page(&agent, "/metrics", &[]);
    assert_eq!(value(&metrics, "pi_monitor_refused_total{reason=\"malformed\"}"), Some(5.0));
    // That is an answer all the same: a container's health check needs no certificate.
    let health = Command::new(BINARY).args(["health", &agent.address]).output().unwrap();
    assert_eq!((health.status.code(), &*health.stdout, &*health.stderr), (Some(0), &b"ok\n"[..], &b""[..]));
}

#[test]
fn hands_are_shaken_in_five_seconds() {
    let Some(certificates) = Certificates::new("slow") else { return };
    let agent = Agent::start(&[&certificates.configuration("")]);
    let begin = Instant::now();
    // As much of a hello as a client may send and then wait; or nothing at all.
    let mut hello = connect("127.0.0.1", &agent.address);
    hello.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).unwrap();
    let silent = connect("127.0.0.1", &agent.address);
    assert_eq!(certificates.page(&agent, "/health", &[]), "ok\n");
    for stream in [&hello, &silent] {
        // Five seconds and as much as a busy machine needs.
        assert!(closes_within(Duration::from_secs(30), stream));
        assert!(begin.elapsed() > Duration::from_millis(4900), "{:?}", begin.elapsed());
    }
}

#[test]
fn who_does_not_read_is_dropped() {
    let Some(certificates) = Certificates::new("reader") else { return };
    let agent = Agent::start(&[&certificates.configuration("")]);
    let begin = Instant::now();
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &agent.address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Nobody reads what it writes, so it stops reading when the pipe is full.
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let mut requests = client.stdin.take().unwrap();
    std::thread::spawn(move || {
        let _ = requests.write_all(request.as_bytes());
        std::thread::sleep(Duration::from_secs(90));
    });
    wait_until("an end of the connection", || {
        let metrics = certificates.page(&agent, "/metrics", &[]);
        value(&metrics, "pi_monitor_refused_total{reason=\"slow_reader\"}") == Some(1.0)
    });
    let dropped = begin.elapsed();
    let _ = client.kill();
    let _ = client.wait();
    assert!(dropped > Duration::from_secs(8), "{dropped:?}");
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let Some(certificates) = Certificates::new("files") else { return };
    let path = |name: &str| certificates.0.join(name);
    std::fs::write(path("empty"), "").unwrap();
    std::fs::set_permissions(path("empty"), PermissionsExt::from_mode(0o600)).unwrap();
    let half = std::fs::read_to_string(path("server.crt")).unwrap().replace("-----END", "END");
    std::fs::write(path("half"), half).unwrap();
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(path("ed25519")).status();
    assert!(made.unwrap().success());
    for (files, expected) in [
        ("cert_file: none\n  key_file: server.key", format!("{}: No such file", path("none").display())),
        (
            "cert_file: empty\n  key_file: server.key",
            format!("{}: expected a certificate in PEM", path("empty").display()),
        ),
        (
            "cert_file: server.crt\n  key_file: empty",
            format!("{}: expected a private key in PEM", path("empty").display()),
        ),
        (
            "cert_file: server.crt\n  key_file: client.key",
            format!("{} and {} do not match", path("server.crt").display(), path("client.key").display()),
        ),
        ("cert_file: half\n  key_file: server.key", format!("{}: malformed PEM", path("half").display())),
        (
            "cert_file: server.crt\n  key_file: ed25519",
            format!(
                "{} and {} do not match: expected a key for RSA or ECDSA",
                path("server.crt").display(),
                path("ed25519").display()
            ),
        ),
        ("cert_file: server.crt\n  key: x", format!("{}:3: key: not supported", path("web.yml").display())),
    ] {
        certificates.configuration("");
        std::fs::write(path("web.yml"), format!("tls_server_config:\n  {files}\n")).unwrap();
        let flag = format!("--web.config.file={}", path("web.yml").display());
        let output =
            Command::new("timeout").args(["60", BINARY, "--web.listen-address=127.0.0.1:0", &flag]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.starts_with(&format!("error: {expected}")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn prometheus_scrapes_over_https() {
    let Some(certificates) = Certificates::new("prometheus") else { return };
    if !needs("prometheus", has_program("prometheus")) {
        return;
    }
    let agent = Agent::start(&[&certificates.configuration(&users())]);
    let address = free_address("127.0.9.5");
    let target = &agent.address;
    let configuration = format!(
        "scrape_configs:\n- job_name: pi\n  scrape_interval: 5s\n  scrape_timeout: 5s\n  scheme: https\n  tls_config:\n    ca_file: ca.crt\n  \
         basic_auth:\n    username: alice\n    password: right password\n  static_configs:\n  - targets: ['{target}']\n"
    );
    std::fs::write(certificates.0.join("prometheus.yml"), configuration).unwrap();
    let log = std::fs::File::create(certificates.0.join("log")).unwrap();
    let mut prometheus = Command::new("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address={address}"))
        .current_dir(&certificates.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let up = loop {
        let query = format!("http://{address}/api/v1/query?query=up%7Bjob%3D%22pi%22%7D");
        let output = Command::new("curl").args(["-sS", "--max-time", "5", &query]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.contains(",\"1\"]") || begin.elapsed() > Duration::from_secs(90) {
            break said;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let _ = prometheus.kill();
    let _ = prometheus.wait();
    let log = std::fs::read_to_string(certificates.0.join("log")).unwrap();
    assert!(up.contains(",\"1\"]"), "{up}\n{log}");
}

#[test]
fn receivers_are_reached_over_https_if_somebody_vouches_for_them() {
    let Some(certificates) = Certificates::new("out") else { return };
    let server = Agent::start(&[&certificates.configuration("")]);
    let plain = Agent::start(&[]);
    let port = |agent: &Agent| agent.address.rsplit(':').next().unwrap().to_owned();
    let authority = format!("--push.ca-file={}", certificates.0.join("ca.crt").display());
    let other = format!("--push.ca-file={}", certificates.0.join("client.crt").display());
    let notify = |host: &str, agent: &Agent, more: &[&str]| {
        let flag = format!("--notify.heartbeat=https://{host}:{}/health", port(agent));
        let output = Command::new(BINARY).args(["notify", "--test", &flag]).args(more).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    for host in ["localhost", "127.0.0.1"] {
        let said = notify(host, &server, &[&authority]);
        assert_eq!(said, format!("heartbeat https://{host}:{}: sent\n", port(&server)));
    }
    // Nobody vouches for it, it is somebody else, or it speaks no TLS.
    for (host, agent, more, expected) in [
        ("localhost", &server, &other, "certificate not accepted: signed by an unknown authority"),
        ("[::1]", &server, &authority, ""),
        ("localhost", &plain, &authority, "expected TLS, found another protocol"),
    ] {
        let said = notify(host, agent, &[more]);
        assert!(
            said.starts_with("heartbeat https://") && said.contains(expected) && !said.contains(": sent"),
            "{said}"
        );
    }
    let said = notify("localhost", &server, &["--push.ca-file=/no/such/file"]);
    assert!(said.contains("/no/such/file: No such file"), "{said}");
    // And from within the courier's confinement.
    let beat = format!("--notify.heartbeat=https://localhost:{}/health", port(&server));
    let agent = Agent::start(&[&beat, &authority, "--state.directory=none"]);
    let name = format!(
        "pi_notifications_total{{receiver=\"heartbeat https://localhost:{}\",outcome=\"sent\"}}",
        port(&server)
    );
    wait_until("it is reached", || value(&agent.get("/metrics").text(), &name) == Some(1.0));
}
