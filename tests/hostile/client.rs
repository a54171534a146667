//! Clients that do not behave, and one that does.

use crate::agent::{PATIENCE, Response, value};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A connection from an address of one's own; all of 127.0.0.0/8 is there.
pub fn connect(from: &str, to: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.parse::<SocketAddr>().unwrap().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connections of a network of hosts, 16 from each, as a host may have.
pub fn many(count: usize, to: &str) -> Vec<TcpStream> {
    (0..count).map(|number| connect(&format!("127.0.1.{}", 1 + number / 16), to)).collect()
}

/// Whether the other end has closed, without waiting.
pub fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let closed = match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).unwrap();
    closed
}

/// Waits until the other end closes, and skips what it says before. False if it does not close within `limit`.
pub fn closes_within(limit: Duration, mut stream: &TcpStream) -> bool {
    let begin = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut skipped = [0; 65_536];
    while begin.elapsed() < limit {
        match stream.read(&mut skipped) {
            Ok(0) => return true,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
            _ => {}
        }
    }
    false
}

/// Sends bytes in one go, says that there will be no more, and reads all answers.
pub fn exchange(to: &str, bytes: &[u8]) -> String {
    let mut stream = connect("127.0.0.1", to);
    // The other end may close before it has read all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status lines' numbers in what [`exchange`] returns.
pub fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.split("\r\n").flat_map(|line| line.rsplit('\n').next());
    lines.filter_map(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()).collect()
}

/// Reads one answer from a connection that stays open.
pub fn read_answer(stream: &mut TcpStream) -> Option<Response> {
    let mut bytes = Vec::new();
    let mut part = [0; 65_536];
    loop {
        if let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let headers = String::from_utf8(bytes[..head].to_vec()).unwrap();
            let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
            let mut response = Response { status, headers, body: bytes[head + 4..].to_vec() };
            let length = response.header("content-length").unwrap().parse::<usize>().unwrap();
            while response.body.len() < length {
                let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
                response.body.extend_from_slice(&part[..count]);
            }
            return Some(response);
        }
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
    }
}

/// A scraper with one connection, which it makes anew when it was closed.
pub struct Scraper {
    to: String,
    authorization: String,
    stream: Option<TcpStream>,
    pub connections: usize,
}

impl Scraper {
    pub fn new(to: &str, authorization: &str) -> Self {
        Scraper { to: to.to_owned(), authorization: authorization.to_owned(), stream: None, connections: 0 }
    }

    /// The page, and how long it took.
    #[track_caller]
    pub fn scrape(&mut self) -> (String, Duration) {
        let begin = Instant::now();
        for _ in 0..2 {
            let new = self.stream.is_none();
            let mut stream = self.stream.take().unwrap_or_else(|| connect("127.0.0.9", &self.to));
            self.connections += usize::from(new);
            let request = format!("GET /metrics HTTP/1.1\r\nHost: pi\r\n{}\r\n", self.authorization);
            let answer = stream.write_all(request.as_bytes()).ok().and_then(|()| read_answer(&mut stream));
            if let Some(answer) = answer {
                assert_eq!(answer.status, 200);
                self.stream = Some(stream);
                return (answer.text(), begin.elapsed());
            }
            assert!(!new, "a new connection was closed without an answer after {:?}", begin.elapsed());
        }
        panic!("no answer on two connections");
    }

    /// How many connections the agent has had besides this one: those that it has, and those that it has refused.
    pub fn others_ever(&mut self) -> f64 {
        let others = self.others();
        let text = self.scrape().0;
        let refused = text.lines().filter_map(|line| line.strip_prefix("pi_monitor_refused_total{")?.rsplit_once(' '));
        others + refused.map(|(_, count)| count.parse::<f64>().unwrap()).sum::<f64>()
    }

    /// How often the agent has refused something for this reason.
    pub fn refused(&mut self, reason: &str) -> f64 {
        value(&self.scrape().0, &format!("pi_monitor_refused_total{{reason=\"{reason}\"}}")).unwrap()
    }

    /// The connections that the agent has, without this one.
    pub fn others(&mut self) -> f64 {
        // Scrapes within 100 ms see the same.
        std::thread::sleep(Duration::from_millis(120));
        value(&self.scrape().0, "pi_monitor_connections").unwrap() - 1.0
    }
}
