//! Which pages may show the dashboard in a frame: `--web.frame-ancestors`, and the content security policies that say so.
//!
//! A page that shows another in a frame can lay its own buttons over it (clickjacking), so none may by default. There is no
//! X-Frame-Options: it knows no list, and browsers since 2016 follow the policy in place of it.
//! <https://www.w3.org/TR/CSP3/#directive-frame-ancestors>

use crate::model::find;
use hyper::header::HeaderValue;

/// What the policies below say of frames at first.
const NOBODY: &str = "frame-ancestors 'none'";
/// The policy of all that is no page.
pub const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// The policies of all answers.
#[derive(Debug)]
pub struct Policies {
    pub page: HeaderValue,
    pub other: HeaderValue,
}

impl Policies {
    /// Builds the policies for the flag's value and for `page`, the policy of the page by itself.
    pub fn new(sources: &str, page: &'static str) -> Self {
        let allowed: String =
            split(sources).fold("frame-ancestors".to_owned(), |all, source| all + " " + quoted(source));
        let policy = |policy: &'static str| match sources {
            "" => HeaderValue::from_static(policy),
            // The flag's value was checked, and holds only what a header may hold.
            _ => find(policy, NOBODY)
                .map(|at| [&policy[..at], &allowed, &policy[at + NOBODY.len()..]].concat())
                .and_then(|policy| HeaderValue::try_from(policy).ok())
                .unwrap_or(HeaderValue::from_static(policy)),
        };
        Policies { page: policy(page), other: policy(NOTHING) }
    }
}

/// Splits the flag's value, at commas as in `--web.allowed-hosts` or at blanks as in the header.
fn split(sources: &str) -> impl Iterator<Item = &str> {
    sources.split([',', ' ']).filter(|source| !source.is_empty())
}

/// Puts keywords into the quotes that the header wants and shells take away.
fn quoted(source: &str) -> &str {
    match source {
        "self" => "'self'",
        "none" => "'none'",
        _ => source,
    }
}

/// Says what is wrong with the flag's value.
pub fn check(sources: &str) -> Result<(), String> {
    if let Some(wrong) = split(sources).find(|source| !is_source(quoted(source))) {
        return Err(format!(
            "\"{wrong}\" is not an origin such as http://homeassistant.local:8123, nor https:, 'self', 'none' or *"
        ));
    }
    let alone = !split(sources).any(|source| quoted(source) == "'none'") || split(sources).count() == 1;
    alone.then_some(()).ok_or_else(|| "'none' stands alone".to_owned())
}

/// Whether this is a keyword, a scheme, or a host with or without scheme and port; `*.` stands for all below a
/// host. The grammar has no IPv6 addresses.
fn is_source(source: &str) -> bool {
    if matches!(source, "'self'" | "'none'" | "*" | "http:" | "https:") {
        return true;
    }
    let host = source.strip_prefix("http://").or_else(|| source.strip_prefix("https://")).unwrap_or(source);
    let host = host.strip_suffix('/').unwrap_or(host);
    let (host, port) = host.split_once(':').unwrap_or((host, "*"));
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    super::host::is_name(name) && (port == "*" || is_port(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let page = "script-src 'sha256-x'; frame-ancestors 'none'";
        for (sources, expected) in [
            ("", "frame-ancestors 'none'"),
            ("none", "frame-ancestors 'none'"),
            ("*", "frame-ancestors *"),
            ("self", "frame-ancestors 'self'"),
            ("'self', http://ha.local:8123", "frame-ancestors 'self' http://ha.local:8123"),
            ("https://a.example  https://b.example", "frame-ancestors https://a.example https://b.example"),
        ] {
            let policies = Policies::new(sources, page);
            assert_eq!(policies.page, format!("script-src 'sha256-x'; {expected}"));
            assert_eq!(policies.other, format!("default-src 'none'; {expected}"));
        }
    }

    #[test]
    fn sources() {
        for good in [
            "",
            "http://homeassistant.local:8123",
            "https://*.example.org",
            "https://ha.example.org/",
            "192.168.1.2:*",
            "https:",
            "'self'",
            "'none'",
            "*",
            "ha.local, *.example.org",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for wrong in [
            "'selv'",
            "none, self",
            "ha.local; script-src *",
            "http://ha.local/lovelace",
            "ftp://ha.local",
            "http://",
            "javascript:",
            "ha.local:port",
            "ha.local:99999",
            "ha.local:",
            "http://user@ha.local",
            "a\r\nb",
            "a\tb",
            "**",
            // Browsers know no such source.
            "http://[fd00::2]:8123",
            "caf\u{e9}",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
