//! Where something is sent to: an address as a flag or a file gives it.

use super::tls::SUPPORTED;
use crate::format::object::write_base64;
use crate::sys;

/// An address that can be sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Scheme, host and port: all of it that may be shown to anybody.
    pub shown: String,
    /// `HOST:PORT`.
    pub at: String,
    /// With its query; `/` at least.
    pub path: String,
    /// Whether it asks for TLS.
    pub secure: bool,
}

/// Returns the first line of a file that is neither empty nor a comment.
///
/// # Errors
/// What is wrong with the file.
pub fn first_line(path: &str) -> Result<String, String> {
    let text = sys::read_text(path.as_ref()).map_err(|error| format!("{path}: {error}"))?;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            return Ok(line.to_owned());
        }
    }
    Err(format!("{path}: expected a line, found none"))
}

impl Address {
    /// Takes apart `SCHEME://HOST[:PORT][/PATH]`; `ports` are the scheme's, without TLS and with it, which the scheme then says by an
    /// `s` at its end. `@FILE` stands for the first line of a file.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it: an address may be a secret.
    pub fn parse(text: &str, scheme: &str, ports: [u16; 2]) -> Result<Address, String> {
        let line;
        let text = match text.strip_prefix('@') {
            Some(path) => {
                line = first_line(path)?;
                &line
            }
            None => text,
        };
        let expected = || format!("expected {scheme}://HOST");
        let rest = text.strip_prefix(scheme).unwrap_or_default();
        let (secure, rest) = match rest.strip_prefix('s') {
            Some(rest) if SUPPORTED => (true, rest),
            _ => (false, rest),
        };
        let port = ports[usize::from(secure)];
        let Some(rest) = rest.strip_prefix("://") else {
            return Err(if rest.starts_with("s://") {
                format!(
                    "{scheme}s needs a binary with TLS (pi-monitor-…-tls); or use {scheme} in your own network, or for messages --notify.exec with curl"
                )
            } else {
                expected()
            });
        };
        let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if host.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(expected());
        }
        if host.contains('@') {
            return Err("a name and a password belong in a credentials-file".to_owned());
        }
        // A colon behind the bracket of an IPv6 address, or the only one.
        let behind = host.rsplit(']').next().unwrap_or_default();
        let at = match behind.split_once(':') {
            None => format!("{host}:{port}"),
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            Some(_) => return Err(expected() + " or " + scheme + "://HOST:PORT, an IPv6 address in brackets"),
        };
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mark = if secure { "s" } else { "" };
        Ok(Address { shown: format!("{scheme}{mark}://{host}"), at, path: format!("{slash}{path}"), secure })
    }
}

/// Returns the line of a request's head that proves who sends it, for a line `bearer TOKEN` or `basic NAME:PASSWORD`.
///
/// # Errors
/// It is neither.
pub fn authorization(credential: &str) -> Result<String, String> {
    let (kind, rest) = credential.split_once(' ').unwrap_or_default();
    let rest = rest.trim();
    if kind == "bearer" && rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(format!("Authorization: Bearer {rest}\r\n"));
    }
    if kind == "basic" && rest.contains(':') {
        let mut text = "Authorization: Basic ".to_owned();
        write_base64(rest.as_bytes(), &mut text);
        return Ok(text + "\r\n");
    }
    Err("expected bearer TOKEN or basic NAME:PASSWORD".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown, at, path) in [
            ("http://pi", "http://pi", "pi:80", "/"),
            ("http://pi:8080/hook?key=1#x", "http://pi:8080", "pi:8080", "/hook?key=1"),
            ("http://pi.local/a/b", "http://pi.local", "pi.local:80", "/a/b"),
            ("http://[::1]:9/x", "http://[::1]:9", "[::1]:9", "/x"),
            ("http://[::1]", "http://[::1]", "[::1]:80", "/"),
            ("http://pi?q", "http://pi", "pi:80", "/?q"),
        ] {
            let address = Address::parse(text, "http", [80, 443]).unwrap();
            assert_eq!((&*address.shown, &*address.at, &*address.path), (shown, at, path), "{text}");
        }
        for text in [
            "",
            "pi",
            "http://",
            "http:///x",
            "http://::1",
            "http://pi:x",
            "http://pi:99999",
            "http://p i/",
            "http://pi/ü",
            "ftp://pi",
        ] {
            let wrong = Address::parse(text, "http", [80, 443]).unwrap_err();
            assert!(wrong.starts_with("expected http://HOST"), "{text}: {wrong}");
        }
        let secure = if SUPPORTED { "https://me:secret@pi/token" } else { "https://pi/token" };
        let expected = if SUPPORTED { "credentials-file" } else { "--notify.exec" };
        for (text, expected) in [(secure, expected), ("http://me:secret@pi/token", "credentials-file")] {
            let wrong = Address::parse(text, "http", [80, 443]).unwrap_err();
            assert!(wrong.contains(expected) && !wrong.contains("secret") && !wrong.contains("token"), "{wrong}");
        }
    }

    #[test]
    fn credentials() {
        for (credential, expected) in [
            ("basic me:secret", Ok("Authorization: Basic bWU6c2VjcmV0\r\n")),
            ("bearer  tk_1", Ok("Authorization: Bearer tk_1\r\n")),
            ("bearer a b", Err(())),
            ("bearer", Err(())),
            ("basic a", Err(())),
            ("digest a:b", Err(())),
        ] {
            assert_eq!(authorization(credential).as_deref().map_err(|_| ()), expected, "{credential}");
        }
    }
}
