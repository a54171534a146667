//! What stands in for `tls.rs` in a binary that was built without it: connections are what the kernel gives.

use super::config::TlsConfig;
use std::io;
use tokio::net::TcpStream;

/// A connection's bytes.
pub type Channel = TcpStream;

/// There is none.
#[derive(Debug)]
pub enum Tls {}

impl Tls {
    /// Nothing: a configuration that asks for it was refused before.
    pub fn read(_: Option<&TlsConfig>) -> Result<Option<Self>, String> {
        Ok(None)
    }
}

/// Makes a connection ready for requests.
pub async fn open(socket: TcpStream, _: Option<&Tls>) -> Result<Channel, (Channel, Option<io::Error>)> {
    Ok(socket)
}

/// The socket below.
pub fn socket(channel: &Channel) -> &TcpStream {
    channel
}

/// Sends last words, as far as the kernel has room for them at once, and says that nothing will follow.
pub async fn end(channel: &mut Channel, words: &[u8]) {
    let _ = channel.try_write(words);
    let _ = socket2::SockRef::from(&*channel).shutdown(std::net::Shutdown::Write);
}
