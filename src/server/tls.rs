//! TLS, in a binary that was built with the feature of that name: rustls, with the cryptography of ring.
//!
//! Certificates and key are read once, before the agent gives up the right to read files.

use super::config::{Clients, TlsConfig, read_secret};
use super::verifier::Verifier;
use crate::runtime::tls::{explain, pem, provider, words};
use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::server::TlsStream;

/// What rustls may hold of answers that a client has not read: one record of the longest kind.
const BUFFER_BYTES: usize = 16 << 10;
/// The first byte of every TLS connection: the type of its first record, a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// A connection's bytes, as the kernel gives them or inside TLS.
#[derive(Debug)]
pub enum Channel {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The server's side of TLS.
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads certificates and key; `None` if TLS is not asked for.
    ///
    /// # Errors
    /// The file, and what is wrong with it.
    pub fn read(config: Option<&TlsConfig>) -> Result<Option<Self>, String> {
        let Some(config) = config else { return Ok(None) };
        let failed = |error: Error| format!("TLS: {}", words(&error));
        let provider = provider();
        let versions: &[&SupportedProtocolVersion] =
            if config.only_tls13 { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
        let certificates = certificates(&config.certificates)?;
        let name = config.key.display();
        let text = read_secret(&config.key)?;
        let key = key(text.as_bytes()).ok_or_else(|| format!("{name}: expected a private key in PEM, found none"))?;
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).map_err(failed)?;
        let builder = match &config.client_authorities {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
                let mut roots = RootCertStore::empty();
                for certificate in self::certificates(file)? {
                    roots.add(certificate).map_err(|error| wrong(&words(&error)))?;
                }
                let algorithms = provider.signature_verification_algorithms;
                let verifier = Verifier::new(roots, config.clients != Clients::Verified, algorithms);
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let mut server = builder
            .with_single_cert(certificates, key)
            .map_err(|error| format!("{} and {name} do not match: {}", config.certificates.display(), words(&error)))?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Who comes again shows a ticket, so that a key is not used each time; nothing is kept here for them.
        server.ticketer = ring::Ticketer::new().map_err(failed)?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 1;
        Ok(Some(Tls(Arc::new(server).into())))
    }
}

/// All certificates of a file in PEM.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = file.display();
    let text = std::fs::read(file).map_err(|error| format!("{name}: {error}"))?;
    let (mut all, mut whole) = (Vec::new(), true);
    pem(&text, &mut |label, bytes| match bytes {
        Some(bytes) if label == "CERTIFICATE" => all.push(bytes.into()),
        Some(_) => {}
        None => whole = false,
    });
    match (all.is_empty(), whole) {
        (_, false) => Err(format!("{name}: malformed PEM")),
        (true, true) => Err(format!("{name}: expected a certificate in PEM, found none")),
        (false, true) => Ok(all),
    }
}

/// The first private key of a text in PEM.
fn key(text: &[u8]) -> Option<PrivateKeyDer<'static>> {
    let mut first = None;
    pem(text, &mut |label, bytes| {
        let Some(bytes) = bytes else { return };
        let key: PrivateKeyDer<'static> = match label {
            "PRIVATE KEY" => PrivatePkcs8KeyDer::from(bytes).into(),
            "EC PRIVATE KEY" => PrivateSec1KeyDer::from(bytes).into(),
            "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(bytes).into(),
            _ => return,
        };
        first.get_or_insert(key);
    });
    first
}

/// Makes a connection ready for requests: with TLS, by a handshake.
///
/// # Errors
/// What remains of the connection if the handshake failed: without an error if the client speaks another protocol, which nobody
/// has read yet; else with what was wrong, of which an alert has informed the client.
pub async fn open(socket: TcpStream, tls: Option<&Tls>) -> Result<Channel, (Channel, Option<io::Error>)> {
    let Some(Tls(acceptor)) = tls else { return Ok(Channel::Plain(socket)) };
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(1) if first[0] != HANDSHAKE => return Err((Channel::Plain(socket), None)),
        Ok(_) => {}
        Err(error) => return Err((Channel::Plain(socket), Some(error))),
    }
    let hello = acceptor.accept_with(socket, |connection| connection.set_buffer_limit(Some(BUFFER_BYTES)));
    match hello.into_fallible().await {
        Ok(stream) => Ok(Channel::Tls(Box::new(stream))),
        Err((error, socket)) => Err((Channel::Plain(socket), Some(explain(error)))),
    }
}

/// The socket below.
pub fn socket(channel: &Channel) -> &TcpStream {
    match channel {
        Channel::Plain(socket) => socket,
        Channel::Tls(stream) => stream.get_ref().0,
    }
}

/// Sends last words and says that nothing will follow.
pub async fn end(channel: &mut Channel, words: &[u8]) {
    match channel {
        Channel::Plain(socket) => {
            let _ = socket.try_write(words);
            let _ = socket2::SockRef::from(&*socket).shutdown(std::net::Shutdown::Write);
        }
        Channel::Tls(stream) => {
            let mut stream = Pin::new(stream);
            if !words.is_empty() {
                // A few hundred bytes, which rustls has room for.
                let _ = std::future::poll_fn(|context| stream.as_mut().poll_write(context, words)).await;
            }
            let _ = std::future::poll_fn(|context| stream.as_mut().poll_shutdown(context)).await;
        }
    }
}

/// Does the same with either kind.
macro_rules! either {
    ($channel:ident, $stream:ident => $what:expr) => {
        match $channel.get_mut() {
            Channel::Plain($stream) => $what,
            Channel::Tls($stream) => $what,
        }
    };
}

impl AsyncRead for Channel {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(context, bytes))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
