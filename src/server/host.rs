//! Which names the agent is asked by: the `Host` of a request, and `--web.allowed-hosts`.
//!
//! A page of a stranger can let its name point to an address of the victim's own network and then ask there in the victim's
//! browser (DNS rebinding). Such a request carries the stranger's name.

use hyper::Request;
use hyper::header::HOST;
use std::net::Ipv6Addr;

/// The host that a request is for, without port; `None` if it does not say, or says it wrong or more than once.
///
/// HTTP/1.0 has no `Host`; `""` is returned without.
pub fn asked<B>(request: &Request<B>) -> Option<&str> {
    let mut all = request.headers().get_all(HOST).iter();
    let header = match (all.next(), all.next()) {
        (Some(one), None) => Some(parse(one.to_str().ok()?)?),
        (None, _) if request.version() == hyper::Version::HTTP_10 => None,
        _ => return None,
    };
    // A request to a proxy names the host in its first line, and then that counts.
    match request.uri().authority() {
        Some(authority) => parse(authority.as_str()),
        None => Some(header.unwrap_or_default()),
    }
}

/// `NAME`, `NAME:PORT`, `[IPV6]` or `[IPV6]:PORT`, without the port.
fn parse(text: &str) -> Option<&str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (address, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_name(host).then_some(host)?, port)
        }
    };
    let port = if port.is_empty() { "0" } else { port.strip_prefix(':')? };
    (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()).then_some(host)
}

/// Letters, digits, dots, hyphens and underscores.
fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=255).contains(&text.len()) && text.bytes().all(good)
}

/// Whether a host is one of `names`, separated by commas; `*.example.org` stands for all names that end so. Without any name
/// all are, and an address or `localhost` always is: no stranger's page has such a name.
pub fn is_allowed(host: &str, names: &str) -> bool {
    if names.is_empty() || host.is_empty() || host.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let ends = |end: &str| {
        host.len() > end.len() && host.as_bytes()[host.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    };
    let is = |name: &str| match name.strip_prefix('*') {
        Some(end) => ends(end),
        None => host.eq_ignore_ascii_case(name),
    };
    is("localhost") || names.split(',').map(str::trim).any(is)
}

/// Says what is wrong with the flag's value.
pub fn check(names: &str) -> Result<(), String> {
    let wrong = |name: &&str| !is_name(name.strip_prefix("*.").unwrap_or(name));
    match names.split(',').map(str::trim).find(wrong) {
        Some(name) if !names.is_empty() => Err(format!("{name:?} is no host name (without port), nor *.NAME")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, expected) in [
            ("pi.local:9100", Some("pi.local")),
            ("pi", Some("pi")),
            ("10.0.0.1:80", Some("10.0.0.1")),
            ("[::1]:9100", Some("::1")),
            ("[::1]", Some("::1")),
            ("some_service.", Some("some_service.")),
            ("", None),
            (":9100", None),
            ("pi:", None),
            ("pi:99999", None),
            ("pi:+1", None),
            ("pi:1:2", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]9100", None),
            ("[pi]", None),
            ("a b", None),
            ("a/b", None),
            ("a@b", None),
            ("a,b", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert!(parse(&"a".repeat(255)).is_some() && parse(&"a".repeat(256)).is_none());
    }

    #[test]
    fn who_is_allowed() {
        for (host, names, expected) in [
            ("evil.example", "", true),
            ("evil.example", "pi.local", false),
            ("PI.local.", "x, pi.LOCAL", true),
            ("10.0.0.1", "pi.local", true),
            ("::1", "pi.local", true),
            ("localhost", "pi.local", true),
            ("localhost.evil.example", "pi.local", false),
            ("0x7f.1", "pi.local", false),
            ("a.example.org", "*.example.org", true),
            ("example.org", "*.example.org", false),
            ("evilexample.org", "*.example.org", false),
            ("a.example.org.evil.example", "*.example.org", false),
        ] {
            assert_eq!(is_allowed(host, names), expected, "{host} {names}");
        }
        assert!(check("").is_ok() && check("pi.local, *.example.org").is_ok());
        for wrong in ["pi:9100", "a,,b", "*", "*example.org", "http://pi"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
