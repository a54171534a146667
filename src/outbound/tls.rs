//! Connections with TLS, in a binary that was built with the feature of that name.

use super::plan::Plan;
use super::socket::Socket;
use crate::runtime::tls::{explain, pem, provider, words};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Whether addresses may ask for TLS.
pub const SUPPORTED: bool = true;

/// Where systems keep the certificates of the authorities that they trust: Debian and Alpine, Fedora, Buildroot.
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What all connections share, once [`prepare`] has read it.
static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();

/// A connection's bytes, as they are or inside TLS.
pub enum Channel {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// Reads the certificates of those who may vouch for a server, if a receiver wants TLS. Call it while files may be read.
///
/// # Errors
/// What is wrong with the file.
pub fn prepare(plan: &Plan) -> Result<(), String> {
    if !plan.routes.iter().any(|route| route.address.secure) {
        return Ok(());
    }
    let known = AUTHORITIES.iter().find(|path| Path::new(path).exists());
    let file = if plan.authorities.is_empty() { known.unwrap_or(&AUTHORITIES[0]) } else { &*plan.authorities };
    let wrong = |error: &dyn std::fmt::Display| format!("{file}: {error}");
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    pem(&text, &mut |label, bytes| {
        if let Some(bytes) = bytes.filter(|_| label == "CERTIFICATE") {
            // A system's file may hold one that is too old to be understood.
            let _ = roots.add(bytes.into());
        }
    });
    if roots.is_empty() {
        return Err(wrong(&"expected a certificate in PEM, found none"));
    }
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| words(&error))?;
    let _ = CONFIG.set(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    Ok(())
}

/// Makes a connection ready; with TLS the handshake comes with the first bytes. `host` is whom the certificate has to name.
///
/// # Errors
/// No authority is known, or `host` cannot be in a certificate.
pub fn open(stream: Socket, secure: bool, host: &str) -> io::Result<Channel> {
    if !secure {
        return Ok(Channel::Plain(stream));
    }
    let config = CONFIG.get().ok_or_else(|| io::Error::other("no certificate of an authority could be read"))?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let connection = ClientConnection::new(config.clone(), name).map_err(|error| io::Error::other(words(&error)))?;
    Ok(Channel::Tls(Box::new(StreamOwned::new(connection, stream))))
}

impl Channel {
    /// Sets until when it may be waited for from now on, handshake and records included.
    pub fn until(&mut self, end: Instant) {
        match self {
            Channel::Plain(socket) => socket.until(end),
            Channel::Tls(stream) => stream.sock.until(end),
        }
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Channel::Plain(stream) => stream.read(buffer),
            // Many servers hang up without a farewell; the length of an answer says whether it is whole.
            Channel::Tls(stream) => match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                result => result.map_err(explain),
            },
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Channel::Plain(stream) => stream.write(bytes),
            Channel::Tls(stream) => stream.write(bytes).map_err(explain),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Channel::Plain(stream) => stream.flush(),
            Channel::Tls(stream) => stream.flush().map_err(explain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::socket::tests::{SHORT, dripping, patient_for};

    #[test]
    fn a_handshake_that_drips_gains_no_time() {
        // The head of a record of 16 KiB.
        let (address, server) = dripping(b"\x16\x03\x03\x40\x00");
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("pi").unwrap()).unwrap();
        let mut channel = Channel::Tls(Box::new(StreamOwned::new(connection, patient_for(SHORT, &address))));
        let error = channel.write_all(b"GET").and_then(|()| channel.read_exact(&mut [0])).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        drop(channel);
        server.join().unwrap();
    }
}
