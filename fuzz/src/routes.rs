//! The real server in a thread of this process, and each input as what a client sends.

use pi_monitor::agent::Agent;
use pi_monitor::commands;
use pi_monitor::kernel::Machine;
use pi_monitor::kernel::watch::Watch;
use pi_monitor::server;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn serve() -> SocketAddr {
    // The port is free again when the agent takes it.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    std::thread::spawn(move || {
        let listen = format!("--web.listen-address={address}");
        let flags =
            [&listen, "--collector.disable-defaults", "--collector.cpu", "--collector.agent", "--log.level=error"];
        let options = commands::parse(flags.map(str::to_owned)).expect("flags");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let agent = {
            let _entered = runtime.enter();
            Box::leak(Box::new(tokio::sync::Mutex::new(Agent::new(&options, Machine::default()))))
        };
        let doors = server::listen::open(&options, "/proc".as_ref()).expect("a free port");
        runtime
            .block_on(commands::serve::serve(&options, agent, Watch::default(), Default::default(), doors, None))
            .expect("a server");
        unreachable!("the server ended");
    });
    let end = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < end, "no server");
        std::thread::sleep(Duration::from_millis(10));
    }
    address
}

/// Ends the connection at once and for good, so that no run of millions waits for free ports.
fn without_linger(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option's value is `linger`, with its size.
    unsafe {
        let size = size_of::<libc::linger>() as libc::socklen_t;
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size);
    }
}

pub fn run(data: &[u8]) {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    let mut stream = TcpStream::connect(ADDRESS.get_or_init(serve)).expect("a connection");
    without_linger(&stream);
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout");
    // What follows ends an open head, and is a request of its own behind a whole one.
    let mut sent = data.to_vec();
    sent.extend_from_slice(b"\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    // The server may have seen enough before the end.
    let _ = stream.write_all(&sent);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("no end of the answer: {error}"),
        _ => {}
    }
    if let Some(status) = answer.strip_prefix(b"HTTP/1.1 ").or(answer.strip_prefix(b"HTTP/1.0 ")) {
        let known: [&[u8]; 11] =
            [b"503", b"200", b"304", b"400", b"401", b"403", b"404", b"405", b"414", b"421", b"431"];
        assert!(known.contains(&&status[..3]), "{}", status.escape_ascii());
    } else {
        assert!(answer.is_empty(), "{}", answer.escape_ascii());
    }
}
