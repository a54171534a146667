//! A socket with a limit for all that is read and written, not for each time alone: a server that sends or takes a byte now and then
//! would hold its thread for good. TLS lies on top of it, whose records take many reads each.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a request may take, with the look-up of its host, and how long a server may be silent.
pub const TIME: Duration = Duration::from_secs(10);

/// A connection, and until when it may be waited for.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    end: Instant,
}

impl Socket {
    /// Takes a connection that may be waited for until `end`.
    pub fn new(stream: TcpStream, end: Instant) -> Self {
        Socket { stream, end }
    }

    /// Sets until when it may be waited for from now on.
    pub fn until(&mut self, end: Instant) {
        self.end = end;
    }

    /// Returns how long the next wait may take.
    ///
    /// # Errors
    /// `TimedOut`: no time is left.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left.min(TIME))) }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread::{JoinHandle, spawn};

    /// How long the tests wait, and how long their servers go on at least if nobody hangs up.
    pub const SHORT: Duration = Duration::from_millis(300);
    const MOMENT: Duration = Duration::from_millis(10);
    const MOMENTS: usize = 1000;

    /// Starts a server that says `first` to its only client, then a byte again and again; returns its address.
    pub fn dripping(first: &'static [u8]) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut next = client.write_all(first);
            for _ in 0..MOMENTS {
                std::thread::sleep(MOMENT);
                next = next.and_then(|()| client.write_all(b"1"));
                if next.is_err() {
                    return;
                }
            }
        });
        (address, server)
    }

    /// Connects to a server of [`dripping`].
    pub fn patient_for(time: Duration, address: &str) -> Socket {
        Socket::new(TcpStream::connect(address).unwrap(), Instant::now() + time)
    }

    #[test]
    fn a_byte_now_and_then_gains_no_time() {
        let (address, server) = dripping(b"");
        let mut socket = patient_for(SHORT, &address);
        let error = socket.read_exact(&mut [0; MOMENTS]).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        socket.until(Instant::now() + TIME);
        socket.read_exact(&mut [0; 2]).unwrap();
        drop(socket);
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_takes_little_at_a_time_gains_no_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut some = vec![0; 1 << 18];
            for _ in 0..MOMENTS {
                std::thread::sleep(MOMENT);
                if client.read(&mut some).unwrap_or(0) == 0 {
                    return;
                }
            }
        });
        let error = patient_for(SHORT, &address).write_all(&vec![0; 1 << 28]).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        server.join().unwrap();
    }
}
