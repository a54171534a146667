//! What both ends of TLS share: the algorithms, PEM, and errors in words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring::{self, kx_group, sign};
use tokio_rustls::rustls::crypto::{CryptoProvider, KeyProvider};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::sign::SigningKey;
use tokio_rustls::rustls::{CertificateError, Error, InvalidMessage};

/// The cryptography of ring: all its cipher suites, and all that certificates may be signed with. What is left out costs bytes and
/// helps nobody: key exchange with P-384, since everything that knows it knows the others, and [`Keys`].
pub fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![kx_group::X25519, kx_group::SECP256R1];
    Arc::new(CryptoProvider { kx_groups, key_provider: &Keys, ..ring::default_provider() })
}

/// Reads private keys for RSA and ECDSA. No browser takes a server's certificate for Ed25519.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        if let Ok(rsa) = sign::RsaSigningKey::new(&key) {
            return Ok(Arc::new(rsa));
        }
        sign::any_ecdsa_type(&key).map_err(|_| Error::General("expected a key for RSA or ECDSA".to_owned()))
    }
}

/// Calls `each` with the label and the bytes of each section of a text in PEM (RFC 7468); without bytes if they are malformed or
/// the section has no end. What is outside of sections is a comment, and so is a byte order mark.
pub fn pem(text: &[u8], each: &mut dyn FnMut(&str, Option<Vec<u8>>)) {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches('\u{feff}');
    let mut open: Option<(&str, String)> = None;
    for line in text.lines() {
        let line = line.trim();
        let label = |mark: &str| line.strip_prefix(mark)?.strip_suffix("-----");
        if let Some(begun) = label("-----BEGIN ") {
            if let Some((label, _)) = open.replace((begun, String::new())) {
                each(label, None);
            }
        } else if let Some(ended) = label("-----END ") {
            if let Some((label, data)) = open.take() {
                each(label, STANDARD.decode(&data).ok().filter(|_| label == ended));
            }
        } else if let Some((_, data)) = &mut open {
            data.push_str(line);
        }
    }
    if let Some((label, _)) = open {
        each(label, None);
    }
}

/// An error of a connection, in the words of [`words`] if it is one of TLS.
pub fn explain(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(inner) => io::Error::new(error.kind(), words(inner)),
        None => error,
    }
}

/// What went wrong. Those words of rustls that come from `{:?}` are empty in a static binary.
pub fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => format!("certificate not accepted: {}", certificate(why)),
        // The numbers are those of RFC 8446, section 6; these are the ones that a configuration can cause.
        Error::AlertReceived(alert) => {
            let meaning = match u8::from(*alert) {
                40 => " (no algorithm in common)",
                42..=47 => " (certificate not accepted)",
                48 => " (certificate of an unknown authority)",
                70 => " (no TLS version in common)",
                112 => " (unknown host name)",
                116 => " (certificate required)",
                _ => "",
            };
            format!("the other end sent TLS alert {}{meaning}", u8::from(*alert))
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "expected TLS, found another protocol".to_owned(),
        Error::InvalidMessage(_) => "malformed TLS message".to_owned(),
        Error::PeerIncompatible(_) => "no TLS version or algorithm in common".to_owned(),
        Error::PeerMisbehaved(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the other end broke the rules of TLS".to_owned()
        }
        Error::InconsistentKeys(_) => "the certificate has another key".to_owned(),
        Error::General(words) => words.clone(),
        other => other.to_string(),
    }
}

fn certificate(error: &CertificateError) -> &'static str {
    use CertificateError as Wrong;
    match error {
        Wrong::UnknownIssuer => "signed by an unknown authority",
        Wrong::Expired | Wrong::ExpiredContext { .. } => "expired",
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => "not valid yet, or the clock is wrong",
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => "for another host name",
        Wrong::BadEncoding => "malformed",
        Wrong::BadSignature => "wrong signature",
        Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => "for another purpose",
        Wrong::UnsupportedSignatureAlgorithmContext { .. } => "signed with an unsupported algorithm",
        Wrong::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its key is of another kind than its signature"
        }
        // An authority's certificate in the place of a server's is the usual reason.
        _ => "an authority's, or against the rules of its authority",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_pem() {
        for (text, expected) in [
            ("", vec![]),
            ("none\n", vec![]),
            ("x\r\n-----BEGIN A-----\r\nYWJj\r\nZA==\r\n-----END A-----\r\nYWJj\n", vec![("A", Some("abcd"))]),
            (
                "-----BEGIN A-----\nYQ==\n-----END A-----\n-----BEGIN B C-----\n-----END B C-----",
                vec![("A", Some("a")), ("B C", Some(""))],
            ),
            ("\u{feff}-----BEGIN A-----\nYQ==\n-----END A-----\n", vec![("A", Some("a"))]),
            ("-----BEGIN A-----\nYQ==\n-----END B-----\n", vec![("A", None)]),
            ("-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n-----END A-----\n", vec![("A", None)]),
            (
                "-----BEGIN A-----\nYQ==\n-----BEGIN B-----\nYg==\n-----END B-----\n-----END A-----\n-----BEGIN C-----\n",
                vec![("A", None), ("B", Some("b")), ("C", None)],
            ),
        ] {
            let mut found = Vec::new();
            pem(text.as_bytes(), &mut |label, bytes| {
                found.push((label.to_owned(), bytes.map(|bytes| String::from_utf8(bytes).unwrap())));
            });
            let expected: Vec<_> =
                expected.into_iter().map(|(label, bytes)| (label.to_owned(), bytes.map(str::to_owned))).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn errors_have_words_without_debug_output() {
        use CertificateError::UnknownIssuer;
        use tokio_rustls::rustls::{AlertDescription, PeerMisbehaved};
        for (error, expected) in [
            (Error::InvalidCertificate(UnknownIssuer), "certificate not accepted: signed by an unknown authority"),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                "the other end sent TLS alert 116 (certificate required)",
            ),
            (Error::AlertReceived(AlertDescription::InternalError), "the other end sent TLS alert 80"),
            (InvalidMessage::InvalidContentType.into(), "expected TLS, found another protocol"),
            (PeerMisbehaved::MissingKeyShare.into(), "the other end broke the rules of TLS"),
            (Error::DecryptError, "cannot decrypt peer's message"),
        ] {
            assert_eq!(words(&error), expected);
            let outer = explain(io::Error::new(io::ErrorKind::InvalidData, error));
            assert_eq!((outer.kind(), outer.to_string().as_str()), (io::ErrorKind::InvalidData, expected));
        }
        assert_eq!(explain(io::ErrorKind::TimedOut.into()).kind(), io::ErrorKind::TimedOut);
    }
}
