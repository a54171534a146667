//! Which certificates are accepted: chains that openssl made, good ones and bad ones, shown to the agent by servers and by clients.

use super::Certificates;
use crate::agent::{Agent, BINARY, value, wait_until};
use crate::namespaces::{own_mounts, run};
use crate::needs::{has_program, needs};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// `openssl ca` makes certificates of the past and of the future, which `openssl req` does not.
const SETTINGS: &str = "[ca]\ndefault_ca = here\n[here]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\n\
                        unique_subject = no\npolicy = any\ndefault_days = 2\ncopy_extensions = none\n[any]\ncommonName = supplied\n";

const EC: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";
const EXPIRED: &str = "-startdate 20200101000000Z -enddate 20200201000000Z";
const TO_COME: &str = "-startdate 20990101000000Z -enddate 20990201000000Z";
const LEAF: &str = "basicConstraints=critical,CA:FALSE\n";
const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
const LOCAL: &str = "subjectAltName=DNS:localhost\n";
const UNKNOWN_EXTENSION: &str = "1.2.3.4=critical,DER:05:00\n";

const UNKNOWN: &str = "signed by an unknown authority";
const NAME: &str = "for another host name";
const PURPOSE: &str = "for another purpose";
const RULES: &str = "an authority's, or against the rules of its authority";
const ALGORITHM: &str = "signed with an unsupported algorithm";

/// How a certificate is made, with a key of its own.
#[derive(Clone, Copy)]
struct Recipe<'a> {
    issuer: &'a str,
    extensions: &'a [&'a str],
    /// Options of `openssl ca`.
    how: &'a str,
    /// Options of `openssl req`.
    key: &'a str,
}

/// One that is good for a client, and with a name for a server.
const GOOD: Recipe<'_> = Recipe { issuer: "ca", extensions: &[LEAF], how: "-md sha256", key: EC };

impl Certificates {
    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes `NAME.key`, `NAME.crt` and `NAME.chain`, which has the certificates between it and its root, too.
    fn issue(&self, name: &str, recipe: Recipe<'_>) {
        let Recipe { issuer, extensions, how, key } = recipe;
        std::fs::write(self.0.join("settings"), SETTINGS).unwrap();
        std::fs::write(self.0.join("index"), "").unwrap();
        std::fs::write(self.0.join("extensions"), extensions.concat()).unwrap();
        self.openssl(&format!("req -new -nodes -newkey {key} -keyout {name}.key -out request -subj /CN={name}"));
        self.openssl(&format!(
            "ca -batch -notext -config settings -cert {issuer}.crt -keyfile {issuer}.key -in request -out {name}.crt \
             -extfile extensions {}",
            if how.contains("-md") { how.to_owned() } else { format!("-md sha256 {how}") }
        ));
        let read = |name: String| std::fs::read_to_string(self.0.join(name)).unwrap_or_default();
        let chain = read(format!("{name}.crt")) + &read(format!("{issuer}.chain"));
        std::fs::write(self.0.join(format!("{name}.chain")), chain).unwrap();
    }

    /// Makes authorities, good ones and bad ones, below `ca`; a stranger; and an impostor of the same name.
    fn issue_authorities(&self) {
        let below = |extensions| Recipe { extensions, ..GOOD };
        self.issue("between", below(&[AUTHORITY]));
        self.issue("flagless", below(&[]));
        self.issue("leaf", below(&[LEAF]));
        self.issue("late", Recipe { how: EXPIRED, ..below(&[AUTHORITY]) });
        self.issue("last", below(&["basicConstraints=critical,CA:TRUE,pathlen:0\n"]));
        self.issue("beyond", Recipe { issuer: "last", ..below(&[AUTHORITY]) });
        self.issue("for-servers", below(&[AUTHORITY, "extendedKeyUsage=serverAuth\n"]));
        self.issue("for-clients", below(&[AUTHORITY, "extendedKeyUsage=clientAuth\n"]));
        self.issue("elsewhere", below(&[AUTHORITY, "nameConstraints=critical,permitted;DNS:example.org\n"]));
        self.issue("not-here", below(&[AUTHORITY, "nameConstraints=critical,excluded;DNS:localhost\n"]));
        self.issue("here", below(&[AUTHORITY, "nameConstraints=critical,permitted;DNS:localhost\n"]));
        self.issue("odd", below(&[AUTHORITY, UNKNOWN_EXTENSION]));
        self.make("stranger", &[]);
        self.openssl(&format!(
            "req -x509 -nodes -newkey {EC} -days 2 -keyout impostor.key -out impostor.crt -subj /CN=ca"
        ));
    }

    /// A server with this certificate, which answers whatever it is asked.
    fn serve(&self, name: &str) -> Server {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cipher", "DEFAULT@SECLEVEL=0"])
            .args(["-cert", &format!("{name}.crt"), "-key", &format!("{name}.key")])
            .args(["-cert_chain", &format!("{name}.chain")])
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let port = output
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit(':').next().map(str::to_owned));
        // Nobody reads what else it writes, which is little.
        Server { child, port: port.unwrap(), _output: output }
    }

    /// What the agent says of such a server, by which it is to send something.
    fn opinion(&self, name: &str, host: &str, authorities: &str) -> String {
        let server = self.serve(name);
        let address = format!("https://{host}:{}", server.port);
        let output = Command::new(BINARY)
            .args(["notify", "--test", &format!("--notify.heartbeat={address}/")])
            .arg(format!("--push.ca-file={}", self.0.join(authorities).display()))
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let said = said.trim_end().strip_prefix(&format!("heartbeat {address}: "));
        said.unwrap().trim_start_matches("certificate not accepted: ").to_owned()
    }
}

/// What [`Certificates::serve`] started.
struct Server {
    child: Child,
    port: String,
    _output: BufReader<std::process::ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn servers_are_who_they_say() {
    let Some(certificates) = Certificates::new("servers") else { return };
    certificates.issue_authorities();
    let good = Recipe { extensions: &[LEAF, LOCAL], ..GOOD };
    let by = |issuer| Recipe { issuer, ..good };
    let named = |extensions| Recipe { extensions, ..GOOD };
    for (name, recipe, expected) in [
        ("good", good, "sent"),
        ("good-between", by("between"), "sent"),
        ("good-limited", by("here"), "sent"),
        ("good-purpose", by("for-servers"), "sent"),
        ("good-capitals", named(&[LEAF, "subjectAltName=DNS:LocalHost\n"]), "sent"),
        ("good-of-several", named(&[LEAF, "subjectAltName=IP:10.0.0.1,DNS:a.example,DNS:localhost\n"]), "sent"),
        ("good-rsa", Recipe { key: "rsa:2048", ..good }, "sent"),
        ("good-p384", Recipe { key: "ec -pkeyopt ec_paramgen_curve:secp384r1", ..good }, "sent"),
        ("good-ed25519", Recipe { key: "ed25519", ..good }, "sent"),
        // Its time.
        ("expired", Recipe { how: EXPIRED, ..good }, "expired"),
        ("to-come", Recipe { how: TO_COME, ..good }, "not valid yet, or the clock is wrong"),
        ("by-late", by("late"), "expired"),
        // Who signed it.
        ("by-stranger", by("stranger"), UNKNOWN),
        ("by-impostor", by("impostor"), "wrong signature"),
        ("by-leaf", by("leaf"), RULES),
        ("by-flagless", by("flagless"), RULES),
        ("by-beyond", by("beyond"), RULES),
        ("by-elsewhere", by("elsewhere"), RULES),
        ("by-not-here", by("not-here"), RULES),
        ("by-odd", by("odd"), RULES),
        // What it is for.
        ("by-for-clients", by("for-clients"), PURPOSE),
        ("client", named(&[LEAF, LOCAL, "extendedKeyUsage=clientAuth\n"]), PURPOSE),
        ("authority", named(&[AUTHORITY, LOCAL]), RULES),
        ("unknown-extension", named(&[LEAF, LOCAL, UNKNOWN_EXTENSION]), RULES),
        // How it is signed.
        ("sha1", Recipe { how: "-md sha1", ..good }, ALGORITHM),
        ("rsa-1024", Recipe { key: "rsa:1024", ..good }, "wrong signature"),
        // Whom it names.
        ("nameless", named(&[LEAF]), NAME),
        ("localhost", named(&[LEAF]), NAME),
        ("address", named(&[LEAF, "subjectAltName=IP:127.0.0.1\n"]), NAME),
        ("other", named(&[LEAF, "subjectAltName=DNS:localhost.example\n"]), NAME),
        ("any", named(&[LEAF, "subjectAltName=DNS:*\n"]), NAME),
        ("below", named(&[LEAF, "subjectAltName=DNS:*.localhost\n"]), NAME),
        ("part", named(&[LEAF, "subjectAltName=DNS:local*\n"]), NAME),
    ] {
        certificates.issue(name, recipe);
        assert_eq!(certificates.opinion(name, "localhost", "ca.crt"), expected, "{name}");
    }
    // What is between it and its authority has to be shown.
    std::fs::copy(certificates.0.join("good-between.crt"), certificates.0.join("good-between.chain")).unwrap();
    assert_eq!(certificates.opinion("good-between", "localhost", "ca.crt"), UNKNOWN);
    // One that is signed by itself is trusted if it is the file's, and not an authority's.
    for (name, extension, expected) in [
        ("alone", "basicConstraints=critical,CA:FALSE", [UNKNOWN, "sent"]),
        ("lord", "basicConstraints=critical,CA:TRUE", [RULES, RULES]),
    ] {
        certificates.make(name, &["-addext", extension, "-addext", "subjectAltName=DNS:localhost"]);
        let file = |end| certificates.0.join(format!("{name}.{end}"));
        std::fs::copy(file("crt"), file("chain")).unwrap();
        let opinions = ["ca", name].map(|file| certificates.opinion(name, "localhost", &format!("{file}.crt")));
        assert_eq!(opinions, expected, "{name}");
    }
    // An address is in a certificate as an address.
    for (name, extensions, expected) in [
        ("address", "subjectAltName=IP:127.0.0.1\n", "sent"),
        ("other-address", "subjectAltName=IP:127.0.0.2\n", NAME),
        ("name-of-address", "subjectAltName=DNS:127.0.0.1\n", NAME),
        ("127.0.0.1", "", NAME),
    ] {
        certificates.issue(name, Recipe { extensions: &[LEAF, extensions], ..GOOD });
        assert_eq!(certificates.opinion(name, "127.0.0.1", "ca.crt"), expected, "{name}");
    }
}

#[test]
fn a_wildcard_stands_for_one_whole_label() {
    let Some(certificates) = Certificates::new("wildcards") else { return };
    if !own_mounts() {
        return;
    }
    std::fs::write(certificates.0.join("hosts"), "127.0.0.1 a.pi.example b.a.pi.example pi.example\n").unwrap();
    run(&format!("mount --bind {}/hosts /etc/hosts", certificates.0.display()));
    for (pattern, expected) in [
        ("*.pi.example", ["sent", NAME, NAME]),
        ("*.a.pi.example", [NAME, "sent", NAME]),
        ("*.*.pi.example", [NAME; 3]),
        ("a*.pi.example", [NAME; 3]),
        ("b.*.pi.example", [NAME; 3]),
        ("*.example", [NAME; 3]),
        ("pi.example", [NAME, NAME, "sent"]),
    ] {
        let names = format!("subjectAltName=DNS:{pattern}\n");
        certificates.issue("wild", Recipe { extensions: &[LEAF, &names], ..GOOD });
        for (host, expected) in ["a.pi.example", "b.a.pi.example", "pi.example"].iter().zip(expected) {
            assert_eq!(certificates.opinion("wild", host, "ca.crt"), expected, "{pattern} for {host}");
        }
    }
}

#[test]
fn clients_are_who_they_say() {
    let Some(certificates) = Certificates::new("callers") else { return };
    certificates.issue_authorities();
    let more = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let agent = Agent::start(&[&certificates.configuration(more)]);
    let mut refused = 0.0;
    let by = |issuer| Recipe { issuer, ..GOOD };
    let with = |extensions| Recipe { extensions, ..GOOD };
    for (name, recipe, welcome) in [
        ("good", GOOD, true),
        ("good-between", by("between"), true),
        ("good-purpose", by("for-clients"), true),
        ("good-rsa", Recipe { key: "rsa:2048", ..GOOD }, true),
        ("good-ed25519", Recipe { key: "ed25519", ..GOOD }, true),
        ("expired", Recipe { how: EXPIRED, ..GOOD }, false),
        ("to-come", Recipe { how: TO_COME, ..GOOD }, false),
        ("by-late", by("late"), false),
        ("by-stranger", by("stranger"), false),
        ("by-impostor", by("impostor"), false),
        ("by-leaf", by("leaf"), false),
        ("by-flagless", by("flagless"), false),
        ("by-beyond", by("beyond"), false),
        ("by-odd", by("odd"), false),
        ("by-for-servers", by("for-servers"), false),
        ("machine", with(&[LEAF, "extendedKeyUsage=serverAuth\n"]), false),
        ("authority", with(&[AUTHORITY]), false),
        ("unknown-extension", with(&[LEAF, UNKNOWN_EXTENSION]), false),
        ("by-elsewhere", Recipe { extensions: &[LEAF, LOCAL], ..by("elsewhere") }, false),
        ("sha1", Recipe { how: "-md sha1", ..GOOD }, false),
        ("rsa-1024", Recipe { key: "rsa:1024", ..GOOD }, false),
    ] {
        certificates.issue(name, recipe);
        for version in ["1.2", "1.3"] {
            let (chain, key) = (format!("{name}.chain"), format!("{name}.key"));
            let flags = ["--cert", &*chain, "--key", &*key, "--ciphers", "DEFAULT@SECLEVEL=0"];
            let flags = [&flags[..], &["--tls-max", version]].concat();
            let output = certificates.curl(&agent, "/health", &flags);
            assert_eq!(output.stdout == b"ok\n", welcome, "{name} with TLS {version}: {output:?}");
            // It was the agent who refused, and not curl. Answers of one tenth of a second are the same.
            refused += if welcome { 0.0 } else { 1.0 };
            wait_until("the agent counts it", || {
                let metrics = certificates.page(&agent, "/metrics", &["--cert", "client.crt", "--key", "client.key"]);
                value(&metrics, "pi_monitor_refused_total{reason=\"malformed\"}").unwrap_or(0.0) == refused
            });
        }
    }
}

#[test]
fn a_ticket_is_good_for_the_agent_that_wrote_it() {
    let Some(certificates) = Certificates::new("tickets") else { return };
    if !needs("timeout", has_program("timeout")) {
        return;
    }
    let more = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let flag = certificates.configuration(more);
    let (one, two) = (Agent::start(&[&flag]), Agent::start(&[&flag]));
    let ask = |agent: &Agent, more: &str| {
        let line = format!(
            "printf 'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' | \
             timeout 60 openssl s_client -ign_eof -connect {} -CAfile ca.crt {more} 2>&1",
            agent.address
        );
        let output = Command::new("sh").args(["-c", &line]).current_dir(&certificates.0).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let first = ask(&one, &format!("{version} -cert client.crt -key client.key -sess_out ticket"));
        assert!(first.contains("New, TLSv1") && first.contains("200 OK"), "{version}: {first}");
        // The agent has seen its certificate.
        let again = ask(&one, &format!("{version} -sess_in ticket"));
        assert!(again.contains("Reused, TLSv1") && again.contains("200 OK"), "{version}: {again}");
        // Another one has not, and neither has this one after a start.
        let other = ask(&two, &format!("{version} -sess_in ticket"));
        assert!(!other.contains("Reused, TLSv1") && !other.contains("200 OK"), "{version}: {other}");
    }
}

#[test]
fn the_protocol_inside_is_agreed() {
    let Some(certificates) = Certificates::new("alpn") else { return };
    let agent = Agent::start(&[&certificates.configuration("")]);
    for (offered, expected) in [
        ("h2,http/1.1", "ALPN protocol: http/1.1"),
        ("http/1.1", "ALPN protocol: http/1.1"),
        ("h2", "alert number 120"),
    ] {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &agent.address, "-CAfile", "ca.crt", "-alpn", offered])
            .stdin(Stdio::null())
            .current_dir(&certificates.0)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(expected), "{offered}: {said}");
    }
}
