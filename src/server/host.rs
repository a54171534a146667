//! Which names the agent is asked by: the `Host` of a request, and `--web.allowed-hosts`.
//!
//! A page of a stranger can let its name point to an address of the victim's own network and then ask there in the victim's
//! browser (DNS rebinding). Such a request carries the stranger's name.

use hyper::Request;
use hyper::header::HOST;
use std::net::Ipv6Addr;

/// What is wrong with the `Host` of a request, as the answer to it says.
const MISSING: &str = "missing Host header; HTTP/1.1 requires one\n";
const DUPLICATE: &str = "duplicate Host header; expected exactly one\n";
const MALFORMED: &str = "malformed Host header; expected NAME, IPV4 or [IPV6], with or without :PORT\n";
const MALFORMED_TARGET: &str =
    "malformed host in the request's URL; expected NAME, IPV4 or [IPV6], with or without :PORT\n";

/// Returns the host that a request is for, without its port and without the zone of an IPv6 address.
///
/// HTTP/1.0 has no `Host`; `""` is returned without.
///
/// # Errors
/// Which of the possible causes it is, as a line for the client.
pub fn asked<B>(request: &Request<B>) -> Result<&str, &'static str> {
    let mut all = request.headers().get_all(HOST).iter();
    let header = match (all.next(), all.next()) {
        (Some(one), None) => one.to_str().ok().and_then(parse).ok_or(MALFORMED)?,
        (Some(_), Some(_)) => return Err(DUPLICATE),
        (None, _) if request.version() == hyper::Version::HTTP_10 => "",
        (None, _) => return Err(MISSING),
    };
    // A request to a proxy names the host in its first line, and then that counts.
    match request.uri().authority() {
        Some(authority) => parse(authority.as_str()).ok_or(MALFORMED_TARGET),
        None => Ok(header),
    }
}

/// Parses `NAME`, `NAME:PORT`, `[IPV6]`, `[IPV6%ZONE]:PORT` and so on; the digits of a port may be missing (RFC 3986, section
/// 3.2.3).
fn parse(text: &str) -> Option<&str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            // A client that takes link-local addresses from the system passes the zone on; it means nothing to others.
            let (address, zone) = address.split_once('%').unwrap_or((address, "0"));
            address.parse::<Ipv6Addr>().ok().filter(|_| is_zone(zone))?;
            (address, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_name(host).then_some(host)?, port)
        }
    };
    let digits = if port.is_empty() { port } else { port.strip_prefix(':')? };
    let good = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.is_empty() || digits.parse::<u16>().is_ok());
    good.then_some(host)
}

/// The name or number of an interface, of which letters may be percent-encoded, the first `%` too (RFC 6874).
fn is_zone(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b'%');
    !text.is_empty() && text.bytes().all(good)
}

/// Letters, digits, dots, hyphens and underscores.
pub fn is_name(text: &str) -> bool {
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
        Some(name) if !names.is_empty() => Err(format!("\"{name}\" is neither a host name without port nor *.NAME")),
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
            ("pi:", Some("pi")),
            ("[::1]:", Some("::1")),
            ("[fe80::1%eth0]:9100", Some("fe80::1")),
            ("[fe80::1%25eth0.7]", Some("fe80::1")),
            ("[fe80::1%]", None),
            ("[fe80::1%a b]", None),
            ("10.0.0.1%eth0", None),
            ("pi::", None),
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
