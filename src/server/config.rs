//! The web configuration file of Prometheus exporters, as far as the agent supports it.
//!
//! <https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>. It is YAML, of which the plain form is
//! understood that the format's documentation shows: a section's name, and below it, with blanks in front, a name and a value on
//! each line. Anything else is an error with its line; nothing is skipped, since it may be what keeps a door shut.

use crate::model::find;
use crate::sys;
use bcrypt::HashParts;
use std::borrow::Cow;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Names, and bcrypt hashes of their passwords.
    pub users: Vec<(String, String)>,
    pub tls: Option<TlsConfig>,
}

/// The section `tls_server_config`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate, with those between it and the one that clients know, in PEM.
    pub certificates: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// Certificates that clients' ones are signed with, in PEM.
    pub client_authorities: Option<PathBuf>,
    pub clients: Clients,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
}

/// Which certificates clients have to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clients {
    /// None is asked for.
    #[default]
    Any,
    /// None, or a good one.
    Verified,
    /// A good one.
    Certified,
}

/// Reads a file of secrets, and warns if others can.
///
/// # Errors
/// The file's name, and why it cannot be read.
pub fn read_secret(file: &Path) -> Result<String, String> {
    let text = read(file)?;
    warn_if_open(file);
    Ok(text)
}

/// Reads a file that a person edits. Some editors put a byte order mark in front of the text, which is no part of it.
fn read(file: &Path) -> Result<String, String> {
    let text = sys::read_text(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            format!("{}: expected text in UTF-8; save it again in that encoding", file.display())
        }
        _ => format!("{}: {error}", file.display()),
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn warn_if_open(file: &Path) {
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o004 != 0 {
        let name = file.display();
        crate::warn!("{name} is readable by every user of this machine (mode {:o}); run chmod o= on it", mode & 0o777);
    }
}

/// Whether there is TLS to be configured. Where there is none, the compiler sees what nobody needs, and leaves it out.
const TLS: bool = cfg!(any(feature = "tls", fuzzing));

/// Sections that are supported.
enum Section {
    Users,
    Tls,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// The file and line that is wrong, and what was expected there.
    pub fn read(file: &str) -> Result<Self, String> {
        let config = Config::parse(file, &read(Path::new(file))?)?;
        if config == Config::default() {
            return Err(format!("{file}: expected basic_auth_users or tls_server_config, found neither"));
        }
        if !config.users.is_empty() {
            warn_if_open(Path::new(file));
        }
        Ok(config)
    }

    fn parse(file: &str, text: &str) -> Result<Self, String> {
        let mut config = Config::default();
        let mut section = None;
        for (number, line) in (1..).zip(text.lines()) {
            config.take_line(&mut section, file, line).map_err(|wrong| format!("{file}:{number}: {wrong}"))?;
        }
        if let Some(tls) = config.tls.as_ref().filter(|_| TLS) {
            let missing = |key: &str| Err(format!("{file}: tls_server_config has no {key}"));
            if tls.certificates.as_os_str().is_empty() {
                return missing("cert_file");
            }
            if tls.key.as_os_str().is_empty() {
                return missing("key_file");
            }
            if tls.client_authorities.is_some() != (tls.clients != Clients::Any) {
                return Err(format!(
                    "{file}: tls_server_config needs both client_auth_type and client_ca_file, or none"
                ));
            }
        }
        Ok(config)
    }

    fn take_line(&mut self, section: &mut Option<Section>, file: &str, line: &str) -> Result<(), Cow<'static, str>> {
        let (key, value) = entry(line).ok_or("expected NAME: VALUE")?;
        if key.is_empty() {
            return Ok(());
        }
        if line.starts_with([' ', '\t']) {
            return match section {
                Some(Section::Users) => self.take_user(key, value),
                Some(Section::Tls) if TLS => self.take_tls(file, &key, &value),
                _ => Err(format!("unknown key {key} here").into()),
            };
        }
        match key.as_str() {
            "basic_auth_users" | "tls_server_config" if !value.is_empty() => {
                return Err("expected nothing after the colon; entries follow on lines of their own, indented".into());
            }
            "basic_auth_users" => *section = Some(Section::Users),
            "tls_server_config" if !TLS => {
                return Err("tls_server_config: this binary was built without TLS; see docs/security.md".into());
            }
            "tls_server_config" if self.tls.is_some() => return Err("duplicate section tls_server_config".into()),
            "tls_server_config" => {
                *section = Some(Section::Tls);
                self.tls = Some(TlsConfig::default());
            }
            "http_server_config" | "rate_limit" => return Err(format!("{key}: not supported").into()),
            _ => return Err(format!("unknown section {key}; expected basic_auth_users or tls_server_config").into()),
        }
        Ok(())
    }

    fn take_user(&mut self, name: String, hash: String) -> Result<(), Cow<'static, str>> {
        if !hash.parse::<HashParts>().is_ok_and(|parts| (4..=31).contains(&parts.get_cost())) {
            return Err(
                "expected a user's name and the bcrypt hash of a password, such as pi-monitor hash makes".into()
            );
        }
        if self.users.iter().any(|(other, _)| *other == name) {
            return Err("duplicate user".into());
        }
        self.users.push((name, hash));
        Ok(())
    }

    fn take_tls(&mut self, file: &str, key: &str, value: &str) -> Result<(), Cow<'static, str>> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        // Names of files are relative to this one.
        let path = || Path::new(file).with_file_name(value);
        match (key, value) {
            (_, "") => return Err(format!("{key}: expected a value").into()),
            ("cert_file", _) => tls.certificates = path(),
            ("key_file", _) => tls.key = path(),
            ("client_ca_file", _) => tls.client_authorities = Some(path()),
            ("client_auth_type", "NoClientCert") => tls.clients = Clients::Any,
            ("client_auth_type", "VerifyClientCertIfGiven") => tls.clients = Clients::Verified,
            ("client_auth_type", "RequireAndVerifyClientCert") => tls.clients = Clients::Certified,
            ("client_auth_type", _) => {
                return Err(format!(
                    "client_auth_type: {value}: expected NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
                ).into());
            }
            ("min_version", "TLS12") => tls.only_tls13 = false,
            ("min_version", "TLS13") => tls.only_tls13 = true,
            ("min_version", _) => return Err(format!("min_version: {value}: expected TLS12 or TLS13").into()),
            _ => return Err(format!("{key}: not supported").into()),
        }
        Ok(())
    }
}

/// Key and value of a line of YAML such as `  name: "value"  # comment`; both empty if there is nothing in it.
fn entry(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') || line == "---" {
        return Some(Default::default());
    }
    let (key, rest) = scalar(line, true)?;
    let (value, rest) = scalar(rest.trim_start().strip_prefix(':')?.trim_start(), false)?;
    let rest = rest.trim_start();
    (!key.is_empty() && (rest.is_empty() || rest.starts_with('#'))).then_some((key, value))
}

/// A word at the beginning, which may be in quotes, and what comes behind it.
fn scalar(text: &str, is_key: bool) -> Option<(String, &str)> {
    if let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) {
        let (word, rest) = text[1..].split_once(quote)?;
        // Escapes in quotes are not supported; neither names nor hashes need them.
        return (!word.contains('\\') && !rest.starts_with(quote)).then(|| (word.to_owned(), rest));
    }
    let end = if is_key { text.find(':')? } else { find(text, " #").unwrap_or(text.len()) };
    let (word, rest) = text.split_at(end);
    // Lists, maps on one line, anchors and the like mean something else than what is there.
    let special = word.starts_with(['{', '[', '&', '*', '!', '|', '>', '%', '@', '`', '-', '?', '#']);
    (!special).then(|| (word.trim_end().to_owned(), rest))
}

/// Reads `text` as such a file, for the fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    if let Err(wrong) = Config::parse("file", &String::from_utf8_lossy(text)) {
        assert!(wrong.starts_with("file:") && !wrong.contains('\n'), "{wrong}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$uPlH4W9aPHlVhRdKVk6vo.xEVS2wUSFMkKFZbTn9Wg6Yr0XM3n2pa";

    fn config(text: &str) -> Result<Config, String> {
        Config::parse("/etc/f", text)
    }

    #[test]
    fn users() {
        let text = format!(
            "---\n# users\nbasic_auth_users:\n  alice: {HASH} # hers\n\n  'bob': \"{HASH}\"\n  \"carol\" : '{HASH}'\n"
        );
        let config = config(&text).unwrap();
        assert_eq!(config.users, ["alice", "bob", "carol"].map(|name| (name.to_owned(), HASH.to_owned())));
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        assert_eq!(config(""), Ok(Config::default()));
        for (text, line, part) in [
            ("basic_auth_users:\n  alice: secret", 2, "bcrypt"),
            ("basic_auth_users: {alice: x}", 1, "NAME: VALUE"),
            ("basic_auth_users: x", 1, "lines of their own"),
            ("basic_auth_users:\n  - alice", 2, "NAME: VALUE"),
            (&format!("basic_auth_users:\n  a: {HASH}\n  a: {HASH}"), 3, "duplicate user"),
            ("\n\nhttp_server_config:\n  http2: true", 3, "not supported"),
            ("rate_limit:\n", 1, "not supported"),
            ("basic_auth_user:\n", 1, "unknown"),
            ("  alice: x", 1, "unknown"),
            ("alice", 1, "NAME: VALUE"),
            ("basic_auth_users:\n  \"al\\u0069ce\": x", 2, "NAME: VALUE"),
        ] {
            let wrong = config(text).unwrap_err();
            assert!(wrong.starts_with(&format!("/etc/f:{line}: ")) && wrong.contains(part), "{text:?}: {wrong}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_is_not_passed_over() {
        let wrong = config("\ntls_server_config:\n  cert_file: x").unwrap_err();
        assert!(wrong.starts_with("/etc/f:2: tls_server_config: this binary was built without TLS"), "{wrong}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls() {
        let files = "tls_server_config:\n  cert_file: a.crt\n  key_file: /b.key\n";
        let tls = config(&format!("{files}basic_auth_users:\n  a: {HASH}\n")).unwrap().tls.unwrap();
        let expected = TlsConfig { certificates: "/etc/a.crt".into(), key: "/b.key".into(), ..TlsConfig::default() };
        assert_eq!(tls, expected);
        let text = format!(
            "{files}  client_auth_type: \"RequireAndVerifyClientCert\"\n  client_ca_file: ca\n  min_version: TLS13 # new\n"
        );
        let tls = config(&text).unwrap().tls.unwrap();
        assert_eq!(
            (tls.client_authorities, tls.clients, tls.only_tls13),
            (Some("/etc/ca".into()), Clients::Certified, true)
        );
        for (text, part) in [
            ("tls_server_config:\n  key_file: b", ": tls_server_config has no cert_file"),
            ("tls_server_config:\n  cert_file: b", ": tls_server_config has no key_file"),
            ("tls_server_config:\n  cert_file:", ":2: cert_file: expected a value"),
            (
                &format!("{files}  client_ca_file: x"),
                ": tls_server_config needs both client_auth_type and client_ca_file",
            ),
            (
                &format!("{files}  client_auth_type: RequestClientCert"),
                ":4: client_auth_type: RequestClientCert: expected",
            ),
            (&format!("{files}  min_version: TLS10"), ":4: min_version: TLS10: expected TLS12 or TLS13"),
            (&format!("{files}  cipher_suites: x"), ":4: cipher_suites: not supported"),
            (&format!("{files}tls_server_config:\n"), ":4: duplicate section tls_server_config"),
        ] {
            let wrong = config(text).unwrap_err();
            assert!(wrong.starts_with(&format!("/etc/f{part}")), "{text:?}: {wrong}");
        }
    }
}
