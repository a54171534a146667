//! Who may ask: credentials from files, and how a request shows one.
//!
//! Secrets are compared in a time that does not depend on where they differ. A password whose hash is known (bcrypt) takes a
//! tenth of a second of a processor or more to check, which is its purpose. Such checks are made one at a time, in a
//! thread that steps back behind everything else, and those of different clients take turns; so who guesses can neither keep
//! the agent from its work nor others from being let in. A password that was right is remembered, and costs nothing again.

use super::config;
use super::flags::AUTH_FILE;
use super::peer::Peer;
use super::turns::Turns;
use crate::cli::Options;
use crate::format::object::write_base64;
use crate::runtime::task;
use crate::sys;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use bcrypt::HashParts;
use hyper::header::{AUTHORIZATION, HeaderMap};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::oneshot;

/// Clients may leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Shorter tokens could be guessed.
const TOKEN_BYTES: usize = 16;

/// All credentials that let in.
#[derive(Debug, Default)]
pub struct Access {
    tokens: Vec<Secret>,
    /// `NAME:PASSWORD`.
    passwords: Vec<Secret>,
    users: Vec<User>,
    turns: Turns,
}

/// Bytes that are not for logs.
struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Secret {
    fn is(&self, other: &[u8]) -> Choice {
        self.0.ct_eq(other)
    }
}

/// A user whose password's hash is known.
#[derive(Debug)]
struct User {
    name: Vec<u8>,
    hash: Rc<str>,
    /// The password that was right.
    known: RefCell<Option<Secret>>,
}

/// What a request shows.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    /// More than one credential, or one that is not understood.
    Unclear,
    Token(Vec<u8>),
    /// `NAME:PASSWORD`.
    Password(Vec<u8>),
}

impl Access {
    /// Reads the file that the command line names, and takes the users of the web configuration; `None` if there is nothing.
    ///
    /// # Errors
    /// The file and line that is wrong, and what was expected there.
    pub fn read(options: &Options, users: Vec<(String, String)>) -> Result<Option<Self>, String> {
        let mut access = Access::default();
        let file = options.value(&AUTH_FILE);
        if !file.is_empty() {
            access.take_credentials(file, &config::read_secret(Path::new(file))?)?;
            if access.tokens.is_empty() && access.passwords.is_empty() {
                return Err(format!("{file}: expected at least one credential, found none"));
            }
        }
        let user =
            |(name, hash): (String, String)| User { name: name.into(), hash: hash.into(), known: RefCell::default() };
        access.users = users.into_iter().map(user).collect();
        let any = !access.tokens.is_empty() || !access.passwords.is_empty() || !access.users.is_empty();
        Ok(any.then_some(access))
    }

    /// Returns the first token, or else the first name and password, of the file that the command line names, as an `Authorization`
    /// header; nothing without a file.
    ///
    /// # Errors
    /// As for [`Access::read`].
    pub fn header(options: &Options) -> Result<String, String> {
        let Some(access) = Access::read(options, Vec::new())? else { return Ok(String::new()) };
        let mut line = "Authorization: ".to_owned();
        if let Some(token) = access.tokens.first() {
            line.push_str("Bearer ");
            line.push_str(&String::from_utf8_lossy(&token.0));
        } else if let Some(password) = access.passwords.first() {
            line.push_str("Basic ");
            write_base64(&password.0, &mut line);
        }
        line.push_str("\r\n");
        Ok(line)
    }

    /// Lines `bearer TOKEN` and `basic NAME:PASSWORD`; empty ones and those that begin with `#` are nothing.
    fn take_credentials(&mut self, file: &str, text: &str) -> Result<(), String> {
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| Err(format!("{file}:{number}: {what}"));
            match line.split_once(' ') {
                Some(("bearer", token)) if token.len() < TOKEN_BYTES || token.contains(' ') => {
                    return wrong("expected a token of at least 16 characters without blanks");
                }
                Some(("bearer", token)) => self.tokens.push(Secret(token.into())),
                Some(("basic", credential)) => match credential.split_once(':') {
                    Some((name, password)) if name.is_empty() || password.is_empty() => {
                        return wrong("expected basic NAME:PASSWORD");
                    }
                    Some((_, password)) if password.parse::<HashParts>().is_ok() => {
                        return wrong(
                            "expected a password, found its hash, which belongs in the file of --web.config.file",
                        );
                    }
                    Some(_) => self.passwords.push(Secret(credential.into())),
                    None => return wrong("expected basic NAME:PASSWORD"),
                },
                _ => return wrong("expected bearer TOKEN or basic NAME:PASSWORD"),
            }
        }
        Ok(())
    }

    /// How to show a credential, for `WWW-Authenticate`.
    pub fn ways(&self) -> impl Iterator<Item = &'static str> {
        let basic = !self.passwords.is_empty() || !self.users.is_empty();
        let ways = [
            (basic, "Basic realm=\"pi-monitor\", charset=\"UTF-8\""),
            (!self.tokens.is_empty(), "Bearer realm=\"pi-monitor\""),
        ];
        ways.into_iter().filter(|(there, _)| *there).map(|(_, way)| way)
    }

    /// Checks whether a request with these headers may ask.
    ///
    /// # Errors
    /// Why not, as a line for the client.
    pub async fn admits(&'static self, headers: &HeaderMap, peer: Peer) -> Result<(), &'static str> {
        let good = match shown(headers) {
            // A browser asks like this before it asks its user.
            Shown::Nothing => return Err("credentials required: a user's name and password, or a token\n"),
            Shown::Unclear => {
                return Err("malformed credentials; expected one Authorization header, Basic or Bearer\n");
            }
            Shown::Token(token) => is_one_of(&self.tokens, &token),
            Shown::Password(password) => is_one_of(&self.passwords, &password) || self.is_user(&password, peer).await,
        };
        if !good {
            self.turns.pause().await;
            return Err("wrong credentials\n");
        }
        Ok(())
    }

    /// Whether `NAME:PASSWORD` is right for a user with a hash. Unknown names take as long as known ones.
    async fn is_user(&'static self, credential: &[u8], peer: Peer) -> bool {
        let Some(colon) = credential.iter().position(|&byte| byte == b':') else { return false };
        let (name, password) = (&credential[..colon], &credential[colon + 1..]);
        let user = self.users.iter().find(|user| user.name == name);
        if let Some(known) = user.and_then(|user| user.known.borrow().as_ref().map(|known| known.is(password))) {
            if known.into() {
                return true;
            }
        }
        let Some(hash) = user.or(self.users.first()).map(|user| user.hash.clone()) else { return false };
        self.turns.wait(peer).await;
        let good = self.verify(password.to_vec(), hash).await;
        if let (true, Some(user)) = (good, user) {
            *user.known.borrow_mut() = Some(Secret(password.to_vec()));
        }
        good && user.is_some()
    }

    /// Checks a password in a thread of its own, and ends the turn. The thread goes on when the client does not wait for it any more.
    async fn verify(&'static self, password: Vec<u8>, hash: Rc<str>) -> bool {
        let (sender, result) = oneshot::channel();
        let hash = hash.to_string();
        let work = move || {
            sys::be_nice();
            let _ = sender.send(bcrypt::verify(password, &hash).unwrap_or(false));
        };
        if let Err(error) = sys::spawn(Box::new(work)) {
            crate::debug!("no thread to check a password: {error}");
        }
        let (said, good) = oneshot::channel();
        task::spawn(Box::pin(async move {
            let _ = said.send(result.await.unwrap_or(false));
            self.turns.end();
        }));
        good.await.unwrap_or(false)
    }
}

/// Whether one of `secrets` is this, in a time that does not tell which one or where they differ.
fn is_one_of(secrets: &[Secret], shown: &[u8]) -> bool {
    secrets.iter().fold(Choice::from(0), |found, secret| found | secret.is(shown)).into()
}

/// Returns the credential of a request.
fn shown(headers: &HeaderMap) -> Shown {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(one) = all.next() else { return Shown::Nothing };
    let space = one.as_bytes().iter().position(|&byte| byte == b' ');
    let (Some(space), None) = (space, all.next()) else { return Shown::Unclear };
    let (scheme, value) = (&one.as_bytes()[..space], one.as_bytes()[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Shown::Token(value.to_vec());
    }
    let basic = scheme.eq_ignore_ascii_case(b"basic");
    decode_base64(value).filter(|_| basic).map_or(Shown::Unclear, Shown::Password)
}

/// The bytes that `text` stands for (RFC 4648, section 4), with or without padding.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Reads `text` as a file of credentials, for the fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    if let Err(wrong) = Access::default().take_credentials("file", &String::from_utf8_lossy(text)) {
        assert!(wrong.starts_with("file:") && !wrong.contains('\n'), "{wrong}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const HASH: &str = "$2y$04$uPlH4W9aPHlVhRdKVk6vo.xEVS2wUSFMkKFZbTn9Wg6Yr0XM3n2pa";

    fn credentials(text: &str) -> Result<Access, String> {
        let mut access = Access::default();
        access.take_credentials("f", text).map(|()| access)
    }

    #[test]
    fn files_of_credentials() {
        let access = credentials("# comment\n\nbearer 0123456789abcdef\nbasic a:b:c d\n").unwrap();
        assert!(is_one_of(&access.tokens, b"0123456789abcdef") && !is_one_of(&access.tokens, b"0123456789abcdeg"));
        assert!(is_one_of(&access.passwords, b"a:b:c d") && !is_one_of(&access.passwords, b"a:b"));
        assert!(!is_one_of(&access.tokens, b"") && !is_one_of(&[], b""));
        for (text, line) in [
            ("bearer short", 1),
            ("\nbearer 0123456789 abcdef", 2),
            ("basic a", 1),
            ("basic :b", 1),
            ("basic a:", 1),
            ("Basic a:b", 1),
            ("token", 1),
            (&format!("basic a:{HASH}"), 1),
        ] {
            let wrong = credentials(text).unwrap_err();
            assert!(wrong.starts_with(&format!("f:{line}: ")), "{wrong}");
            assert!(!wrong.contains("short") && !wrong.contains("abcdef"), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown() {
        let show = |values: &[&str]| {
            let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap()));
            shown(&HeaderMap::from_iter(values))
        };
        assert_eq!(show(&["Bearer abc"]), Shown::Token(b"abc".to_vec()));
        assert_eq!(show(&["bEARER  abc "]), Shown::Token(b"abc".to_vec()));
        assert_eq!(show(&["Basic YTpiOmM="]), Shown::Password(b"a:b:c".to_vec()));
        assert_eq!(show(&[]), Shown::Nothing);
        for unclear in [&["Bearer"][..], &["Basic a"], &["Basic ????"], &["Digest YTpi"], &["Bearer a", "Bearer b"]] {
            assert_eq!(show(unclear), Shown::Unclear, "{unclear:?}");
        }
    }

    #[test]
    fn base64() {
        for (text, expected) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(decode_base64(text.as_bytes()).as_deref(), Some(expected.as_bytes()), "{text}");
        }

        let all: Vec<u8> = (0..=255).collect();
        for length in 0..=all.len() {
            let mut text = String::new();
            write_base64(&all[..length], &mut text);
            assert_eq!(text, BASE64.encode(&all[..length]));
        }
        for text in ["Z", "Zm9vY", "Zg===", "Zm=v", "Zm9-", "Zm 9v"] {
            assert_eq!(decode_base64(text.as_bytes()), None, "{text}");
        }
    }
}
