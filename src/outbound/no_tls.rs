//! Connections without TLS, in a binary that was built without that feature.

use super::plan::Plan;
use super::socket::Socket;
use std::io;
use std::time::Instant;

/// Whether addresses may ask for TLS.
pub const SUPPORTED: bool = false;

/// A connection's bytes.
pub struct Channel(Socket);

/// There is nothing to prepare.
///
/// # Errors
/// Never.
pub fn prepare(_: &Plan) -> Result<(), String> {
    Ok(())
}

/// Makes a connection ready.
///
/// # Errors
/// Never.
pub fn open(stream: Socket, _: bool, _: &str) -> io::Result<Channel> {
    Ok(Channel(stream))
}

impl Channel {
    /// Sets until when it may be waited for from now on.
    pub fn until(&mut self, end: Instant) {
        self.0.until(end);
    }
}

impl io::Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl io::Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
