//! The addresses to serve on: opens their sockets and accepts, waits for one that another program has, and names that program.
//!
//! Addresses are taken before the agent confines itself: afterwards it may not see which process has a port. The kernel lets
//! clients in later, when the agent is ready for them.

use super::connection;
use super::flags::{LISTEN, WAIT_FOR_ADDRESS};
use super::state::State;
use crate::cli::Options;
use crate::runtime::task;
use crate::sys;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 128;
/// What the kernel may hold of answers that a client has not read, for each connection; it takes twice as much, for its own
/// purposes too. By default it would take megabytes.
const KERNEL_BYTES: usize = 64 << 10;
/// How long to wait before trying an address again that another program has.
const RETRY: Duration = Duration::from_secs(10);

/// How long to wait before accepting again when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// An address of the command line.
#[derive(Debug)]
pub struct Door {
    text: String,
    /// What it stands for, in the order in which they are tried.
    addresses: Vec<SocketAddr>,
    /// None while another program has the address.
    socket: Option<Socket>,
}

/// Takes all addresses of the command line, or, if a flag says so, waits until they are available: a name that is not known
/// yet, for instance. The processes of this machine are below `proc`.
///
/// # Errors
/// One line that names the address that cannot be served on, and the flag that chooses another.
pub fn open(options: &Options, proc: &Path) -> Result<Vec<Door>, String> {
    let wait = options.has(&WAIT_FOR_ADDRESS);
    let mut doors = Vec::new();
    for address in options.values(&LISTEN) {
        let mut silent = false;
        doors.push(loop {
            match Door::open(address, wait, proc) {
                Err(error) if wait => {
                    if !silent {
                        crate::warn!("{error}; trying again every {} s", RETRY.as_secs());
                    }
                    silent = true;
                    std::thread::sleep(RETRY);
                }
                door => break door?,
            }
        });
    }
    Ok(doors)
}

impl Door {
    fn open(text: &str, wait: bool, proc: &Path) -> Result<Self, String> {
        let cannot = |error: &dyn std::fmt::Display, hint: &str| {
            Err(format!("cannot listen on {text}: {error}; {hint}choose another address with --web.listen-address"))
        };
        let addresses = match text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            // IPv6 and IPv4, or IPv4 alone where the kernel has no IPv6.
            Some(port) => vec![SocketAddr::from(([0; 8], port)), SocketAddr::from(([0; 4], port))],
            None => match sys::resolve(text, RETRY) {
                Ok(all) => all,
                Err(error) => return cannot(&error, ""),
            },
        };
        match bind_first(&addresses) {
            Ok(socket) => Ok(Door { text: text.to_owned(), addresses, socket: Some(socket) }),
            Err((address, error)) if error.kind() == io::ErrorKind::AddrInUse => {
                let owner = owner(address, proc).map(|owner| format!(" by {owner}")).unwrap_or_default();
                if !wait {
                    return cannot(&format_args!("the port is in use{owner}"), "");
                }
                let seconds = RETRY.as_secs();
                crate::warn!(
                    "{text} is in use{owner}; trying again every {seconds} s (--web.listen-address chooses another)"
                );
                Ok(Door { text: text.to_owned(), addresses, socket: None })
            }
            Err((_, error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                cannot(&error, "ports below 1024 need CAP_NET_BIND_SERVICE; ")
            }
            Err((_, error)) => cannot(&error, ""),
        }
    }

    /// Lets clients in, unless another program has the address.
    ///
    /// # Errors
    /// One line that names the address, if another program took it in this moment.
    pub fn listen(&self) -> Result<(), String> {
        let done = self.socket.as_ref().map_or(Ok(()), |socket| socket.listen(BACKLOG));
        done.map_err(|error| format!("cannot listen on {}: {error}", self.text))
    }

    /// Returns the listener, as soon as the address is free.
    ///
    /// # Errors
    /// The runtime cannot watch the socket.
    pub async fn listener(self) -> io::Result<TcpListener> {
        let mut socket = self.socket;
        loop {
            if let Some(socket) = socket {
                return TcpListener::from_std(socket.into());
            }
            tokio::time::sleep(RETRY).await;
            socket = bind_first(&self.addresses).ok().filter(|socket| socket.listen(BACKLOG).is_ok());
        }
    }
}

/// Serves at `door`, as soon as its address is free.
pub async fn serve(door: Door, state: &'static State) {
    match door.listener().await.and_then(|listener| Ok((listener.local_addr()?, listener))) {
        Ok((address, listener)) => {
            let scheme = if state.tls.is_some() { "https" } else { "http" };
            crate::info!("listening on {scheme}://{address}/");
            accept(listener, state).await;
        }
        Err(error) => crate::warn!("cannot listen: {error}"),
    }
}

async fn accept(listener: TcpListener, state: &'static State) {
    while !state.ending.get() {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let descriptor = usize::try_from(socket.as_raw_fd()).unwrap_or(usize::MAX);
                match state.gate.admit(peer.ip().into(), descriptor) {
                    Some(link) => task::spawn(Box::pin(connection::serve(socket, link, state))),
                    None => connection::reset(&socket),
                }
                // Who was evicted gives back a descriptor before the next one is taken.
                tokio::task::yield_now().await;
            }
            // The client has left again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                crate::debug!("accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Takes the first of `addresses` that can be served on. One that is taken or forbidden is not passed over: half of what was
/// asked for would look like all of it.
fn bind_first(addresses: &[SocketAddr]) -> Result<Socket, (SocketAddr, io::Error)> {
    let mut last = (SocketAddr::from(([0; 4], 0)), io::Error::from(io::ErrorKind::AddrNotAvailable));
    for &address in addresses {
        match bind(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = (address, error),
        }
        if matches!(last.1.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) {
            break;
        }
    }
    Err(last)
}

/// Binds a socket to `address`, whether or not the machine has it already: networks may come up later than the
/// agent.
fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    // Connections inherit it.
    socket.set_send_buffer_size(KERNEL_BYTES)?;
    if address.is_ipv6() {
        // The system's default may be another.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if let Err(error) = socket.bind(&address.into()) {
        if error.kind() != io::ErrorKind::AddrNotAvailable {
            return Err(error);
        }
        if address.is_ipv6() { socket.set_freebind_v6(true) } else { socket.set_freebind_v4(true) }?;
        socket.bind(&address.into())?;
        crate::warn!("address {} is not configured yet; listening anyway", address.ip());
    }
    Ok(socket)
}

/// Names the process that listens on `address`, as far as this user may see it: root sees all.
///
/// The sockets are those of this process's network, whose owners are below `proc`.
fn owner(address: SocketAddr, proc: &Path) -> Option<String> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    let inode =
        tables.iter().find_map(|table| Some(listening(&sys::read_text(table.as_ref()).ok()?, address)?.to_owned()))?;
    let link = format!("socket:[{inode}]");
    for process in fs::read_dir(proc).ok()?.flatten() {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == &*link)) {
            let name = sys::read_text(&process.path().join("comm")).ok()?;
            return Some(format!("{} (process {})", name.trim_end(), process.file_name().to_string_lossy()));
        }
    }
    None
}

/// Finds the inode of the socket in `table` (the text of `/proc/net/tcp` or `tcp6`) that keeps others from `address`.
fn listening(table: &str, address: SocketAddr) -> Option<&str> {
    /// TCP_LISTEN of the kernel's `include/net/tcp_states.h`.
    const LISTEN: &str = "0A";
    let hex = |bytes: &[u8]| -> String {
        // Words of 4 bytes, printed as numbers of this machine (`tcp4_seq_show`, `tcp6_seq_show`).
        let words = bytes.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        words.map(|word| format!("{word:08X}")).collect()
    };
    let own = match address.ip() {
        IpAddr::V4(address) => hex(&address.octets()),
        IpAddr::V6(address) => hex(&address.octets()),
    };
    let port = format!("{:04X}", address.port());
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (host, its_port) = words.next()?.split_once(':')?;
        let state = words.nth(1)?;
        let everywhere = |host: &str| host.bytes().all(|byte| byte == b'0');
        let same = host == own || everywhere(host) || everywhere(&own);
        (its_port == port && state == LISTEN && same).then(|| words.nth(5)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_socket_that_has_a_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:238C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n   \
             1: 0100007F:238C 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0\n   \
             2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0\n";
        for (address, expected) in [
            ("127.0.0.1:9100", Some("11")),
            ("0.0.0.0:9100", Some("11")),
            ("[::]:9100", Some("11")),
            ("10.0.0.1:9100", None),
            ("10.0.0.1:80", Some("13")),
            ("127.0.0.1:40960", None),
        ] {
            assert_eq!(listening(table, address.parse().unwrap()), expected, "{address}");
        }
        let table = "   0: 0000000000000000FFFF00000100007F:238C 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 14 1\n   \
             1: 00000000000000000000000001000000:238C 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 15 1\n";
        assert_eq!(listening(table, "[::1]:9100".parse().unwrap()), Some("15"));
    }
}
