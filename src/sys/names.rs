//! Addresses of hosts by name, from `/etc/hosts`, by DNS (RFC 1035, RFC 3596) and, for names in `.local`, by multicast DNS
//! (RFC 6762, section 5.1). As in musl, a name with a dot is never tried below the search domains.
//!
//! The C library's resolver is several times larger, does not support `.local` and takes no timeout.

use super::{random, read_bytes};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Where name servers listen.
const PORT: u16 = 53;
/// Where every machine of the local network listens that has a name in `.local`.
const MULTICAST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)), 5353);
/// How many name servers and search domains count, and how often all servers are asked.
const SERVERS_MAX: usize = 3;
const DOMAINS_MAX: usize = 6;
const ROUNDS: usize = 2;
/// How long a server may take. Machines of the local network answer sooner or not at all.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_LOCAL: Duration = Duration::from_secs(1);

/// The types of records, and the class that they are of.
const A: u16 = 1;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;

/// The longest name, as text, and the longest message without extensions.
const NAME_MAX: usize = 253;
const MESSAGE_MAX: usize = 1500;
const HEADER: usize = 12;

/// Returns the addresses that `HOST:PORT` stands for, those of IPv4 first; at least one. `HOST` is an address (of IPv6 in brackets) or a name.
///
/// # Errors
/// What is wrong with `address`, that the name has no address, or that no server said so within this time.
pub fn resolve(address: &str, within: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let Some((host, Ok(port))) = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "expected HOST:PORT"));
    };
    let found = Resolver::read().find(host, Instant::now() + within)?;
    Ok(found.into_iter().map(|address| (address, port).into()).collect())
}

/// Who is asked for what.
struct Resolver {
    /// The text of `/etc/hosts`.
    hosts: String,
    servers: Vec<SocketAddr>,
    /// Domains that a name without a dot may be in.
    domains: Vec<String>,
    multicast: SocketAddr,
}

impl Resolver {
    /// Reads the system's files. What cannot be read is as if it were empty.
    fn read() -> Self {
        let text = |path: &str| String::from_utf8_lossy(&read_bytes(Path::new(path)).unwrap_or_default()).into_owned();
        let mut resolver =
            Resolver { hosts: text("/etc/hosts"), servers: Vec::new(), domains: Vec::new(), multicast: MULTICAST };
        for line in text("/etc/resolv.conf").lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    resolver.servers.extend(server.map(|server| SocketAddr::new(server, PORT)));
                }
                Some("search" | "domain") => resolver.domains = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        resolver.servers.truncate(SERVERS_MAX);
        resolver.domains.truncate(DOMAINS_MAX);
        if resolver.servers.is_empty() {
            resolver.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        resolver
    }

    fn find(&self, host: &str, end: Instant) -> io::Result<Vec<IpAddr>> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_below = |domain: &str| {
            let start = host.len().checked_sub(domain.len()).and_then(|at| host.get(at..));
            start.is_some_and(|end| end.eq_ignore_ascii_case(domain))
        };
        // It is this machine, whatever a server says (RFC 6761, section 6.3); and a container may have no /etc/hosts.
        if host.eq_ignore_ascii_case("localhost") || is_below(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let mut found = self.find_in_file(host);
        if !found.is_empty() {
        } else if is_below(".local") {
            found = ask_often(&[self.multicast], host, true, end)?;
        } else if host.contains('.') {
            found = ask_often(&self.servers, host, false, end)?;
        } else {
            for name in self.domains.iter().map(|domain| format!("{host}.{domain}")).chain([host.to_owned()]) {
                if found.is_empty() {
                    found = ask_often(&self.servers, &name, false, end)?;
                }
            }
        }
        if found.is_empty() {
            return Err(io::Error::new(ErrorKind::NotFound, "no address has this name"));
        }
        // IPv4 first. The standard library's sorting takes more room than this.
        let mut sorted = Vec::with_capacity(found.len());
        for is_ipv6 in [false, true] {
            sorted.extend(found.iter().filter(|address| address.is_ipv6() == is_ipv6));
        }
        Ok(sorted)
    }

    fn find_in_file(&self, host: &str) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for line in self.hosts.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
            if words.any(|name| name.eq_ignore_ascii_case(host)) {
                found.extend(address);
            }
        }
        found
    }
}

/// Asks one server after another, until one knows; empty if it knows that there is none.
fn ask_often(servers: &[SocketAddr], name: &str, local: bool, end: Instant) -> io::Result<Vec<IpAddr>> {
    let mut result = Err(io::Error::new(ErrorKind::TimedOut, "no name server answers"));
    for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
        let next = ask(*server, name, local, end);
        match next {
            Ok(_) => return next,
            Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(error),
            Err(error) if error.kind() != ErrorKind::WouldBlock => result = Err(error),
            Err(_) => {}
        }
    }
    // Nobody has the name, then.
    if local { result.or(Ok(Vec::new())) } else { result }
}

/// Asks one server, or everybody, for the addresses of both families. Of everybody, the first answer counts.
fn ask(server: SocketAddr, name: &str, local: bool, end: Instant) -> io::Result<Vec<IpAddr>> {
    let any = if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    if !local {
        // Nobody else is heard then.
        socket.connect(server)?;
    }
    let mut chance = [0; 16];
    random(&mut chance)?;
    let mut wanted = vec![(A, [chance[0], chance[1]]), (AAAA, [chance[0] ^ 1, chance[1]])];
    for (kind, id) in &wanted {
        let question = question(*id, name, *kind)?;
        if local { socket.send_to(&question, server) } else { socket.send(&question) }?;
    }
    let end = end.min(Instant::now() + if local { PATIENCE_LOCAL } else { PATIENCE });
    let (mut found, mut message) = (Vec::new(), [0; MESSAGE_MAX]);
    while !wanted.is_empty() && (!local || found.is_empty()) {
        // None at all would be forever.
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left))?;
        let answer = match socket.recv(&mut message) {
            Ok(length) => message.get(..length).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // There are servers that are silent about one of the families.
            Err(error) if error.kind() == ErrorKind::WouldBlock && !found.is_empty() => break,
            Err(error) => return Err(error),
        };
        let Some(place) = wanted.iter().position(|(_, id)| answer.starts_with(id)) else { continue };
        match read(answer, &mut found) {
            Some(Code::Fine) => drop(wanted.swap_remove(place)),
            Some(Code::Failure) => return Err(io::Error::other("the name server failed")),
            None => {}
        }
    }
    Ok(found)
}

/// A question for records of this kind.
fn question(id: [u8; 2], name: &str, kind: u16) -> io::Result<Vec<u8>> {
    // Recursion is desired; one question follows.
    let mut out = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length));
        let (Some(length), true) = (length, name.len() <= NAME_MAX) else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not the name of a host"));
        };
        out.push(length);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&INTERNET.to_be_bytes());
    Ok(out)
}

/// What a server says of a question.
enum Code {
    /// It knows, even if it knows that there is nothing.
    Fine,
    Failure,
}

/// Reads an answer and adds its addresses to `found`; `None` if it is none.
fn read(answer: &[u8], found: &mut Vec<IpAddr>) -> Option<Code> {
    let number = |at: usize| Some(u16::from_be_bytes(*answer.get(at..)?.first_chunk()?));
    let flags = number(2)?;
    if flags & 0x8000 == 0 {
        return None;
    }
    // There is no error, or no such name.
    if !matches!(flags & 15, 0 | 3) {
        return Some(Code::Failure);
    }
    let (questions, records) = (number(4)?, number(6)?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = behind_name(answer, at)? + 4;
    }
    for _ in 0..records {
        at = behind_name(answer, at)?;
        let (kind, class, length) = (number(at)?, number(at + 2)?, number(at + 8)?);
        let data = answer.get(at + 10..)?.get(..usize::from(length))?;
        at += 10 + data.len();
        // With multicast the highest bit says that there are no other records.
        if class & 0x7fff != INTERNET {
            continue;
        }
        if let (A, Ok(bytes)) = (kind, <[u8; 4]>::try_from(data)) {
            found.push(bytes.into());
        }
        if let (AAAA, Ok(bytes)) = (kind, <[u8; 16]>::try_from(data)) {
            let address = Ipv6Addr::from(bytes);
            // Without its interface, such an address is of no use.
            if address.segments()[0] & 0xffc0 != 0xfe80 {
                found.push(address.into());
            }
        }
    }
    Some(Code::Fine)
}

/// Returns where what follows a name begins.
fn behind_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            // A pointer to the rest of the name is its end.
            192.. => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A server of 127.0.0.1 that answers each question with what `answer` returns of it, and is silent where that is nothing.
    fn server(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; MESSAGE_MAX];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let said = answer(&buffer[..length]);
                if !said.is_empty() {
                    socket.send_to(&said, from).unwrap();
                }
            }
        });
        address
    }

    /// The answer to a question: this code, and these records of a type and data, all with the name of the question.
    fn reply(question: &[u8], code: u8, records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = question.to_vec();
        out[2..4].copy_from_slice(&[0x81, 0x80 | code]);
        out[7] = u8::try_from(records.len()).unwrap();
        for (kind, data) in records {
            out.extend([0xc0, 12]);
            for number in [*kind, 0x8001, 0, 60, u16::try_from(data.len()).unwrap()] {
                out.extend(number.to_be_bytes());
            }
            out.extend(*data);
        }
        out
    }

    fn kind(question: &[u8]) -> u16 {
        u16::from(question[question.len() - 3])
    }

    /// The name in a question, with dots.
    fn name(question: &[u8]) -> String {
        let (mut rest, mut labels) = (&question[HEADER..], Vec::new());
        while rest[0] > 0 {
            let (label, next) = rest[1..].split_at(usize::from(rest[0]));
            labels.push(String::from_utf8_lossy(label).into_owned());
            rest = next;
        }
        labels.join(".")
    }

    fn resolver(servers: Vec<SocketAddr>) -> Resolver {
        let hosts =
            "# A comment\n10.0.0.7\tnas  NAS2 # Not this: other\nfd00::7 nas\nnot-an-address other\n".to_owned();
        Resolver { hosts, multicast: servers[0], servers, domains: vec!["home".to_owned()] }
    }

    fn find(resolver: &Resolver, host: &str) -> Result<String, String> {
        let end = Instant::now() + Duration::from_secs(60);
        let found = resolver.find(host, end).map_err(|error| error.to_string())?;
        Ok(found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_needs_no_server() {
        let now = Duration::ZERO;
        let text =
            |address: &str| resolve(address, now).map(|all| all[0].to_string()).map_err(|error| error.to_string());
        for (address, expected) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:9100", "[::1]:9100"),
            ("localhost:1", "127.0.0.1:1"),
            ("Pi.LocalHost.:1", "127.0.0.1:1"),
        ] {
            assert_eq!(text(address), Ok(expected.to_owned()));
        }
        for address in ["", "pi", "pi:", "pi:x", "pi:65536", "pi:-1"] {
            assert_eq!(text(address), Err("expected HOST:PORT".to_owned()), "{address}");
        }
        let resolver = resolver(vec![server(|_| Vec::new())]);
        assert_eq!(find(&resolver, "nas").unwrap(), "10.0.0.7 fd00::7");
        assert_eq!(find(&resolver, "nas2").unwrap(), "10.0.0.7");
        let long = "a.".repeat(127) + "a";
        for wrong in [".a", "a..b", &"a".repeat(64), &long] {
            assert_eq!(find(&resolver, &format!("{wrong}.b")).unwrap_err(), "not the name of a host", "{wrong}");
        }
    }

    #[test]
    fn servers_are_asked_in_turn() {
        let refuses = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let fails = server(|question| reply(question, 2, &[]));
        let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let knows = server(move |question| match (name(question).as_str(), kind(question)) {
            // An alias in front, as servers follow it themselves.
            ("pi.example" | "nas1.home", A) => reply(question, 0, &[(5, b"\x01x\x00"), (A, &[10, 0, 0, 8])]),
            ("pi.example", AAAA) => reply(question, 0, &[(AAAA, &[0xfd; 16]), (AAAA, &link_local)]),
            _ => reply(question, 3, &[]),
        });
        let resolver = resolver(vec![refuses, fails, knows]);
        assert_eq!(find(&resolver, "pi.example").unwrap(), format!("10.0.0.8 {}", ["fdfd"; 8].join(":")));
        assert_eq!(find(&resolver, "nas1").unwrap(), "10.0.0.8");
        assert_eq!(find(&resolver, "none.example").unwrap_err(), "no address has this name");
        assert_eq!(find(&self::resolver(vec![fails]), "pi.example").unwrap_err(), "the name server failed");
    }

    #[test]
    fn names_of_the_local_network_are_asked_for_there() {
        let pi = server(|question| match (name(question).as_str(), kind(question)) {
            ("broker.local", A) => reply(question, 0, &[(A, &[10, 0, 0, 9])]),
            // Machines are silent about what they do not have.
            _ => Vec::new(),
        });
        let mut resolver = resolver(vec![server(|question| reply(question, 0, &[(A, &[6; 4])]))]);
        resolver.multicast = pi;
        assert_eq!(find(&resolver, "broker.local").unwrap(), "10.0.0.9");
        assert_eq!(find(&resolver, "other.local").unwrap_err(), "no address has this name");
    }

    #[test]
    fn no_answer_confuses_it() {
        let question = question([7, 7], "pi.example", A).unwrap();
        let whole = reply(&question, 0, &[(A, &[10, 0, 0, 8]), (5, b"\xc0\x0c"), (AAAA, &[0xfd; 16])]);
        for length in 0..whole.len() {
            // A part of it is no answer, but never an address that it does not hold.
            let mut found = Vec::new();
            assert!(read(&whole[..length], &mut found).is_none(), "{length}");
            assert!(found.iter().all(|address| address.to_string() == "10.0.0.8"));
        }
        let mut found = Vec::new();
        assert!(matches!(read(&whole, &mut found), Some(Code::Fine)) && found.len() == 2);
        assert!(read(&question, &mut found).is_none(), "a question is no answer");
        // One that lies about itself and one of another name's come before the right one.
        let stranger = server(move |question| match kind(question) {
            A => [&[9, 9], &reply(question, 0, &[(A, &[6; 4])])[2..]].concat(),
            _ => reply(question, 0, &[(AAAA, &[0xfd; 16])]),
        });
        let end = Instant::now() + Duration::from_secs(60);
        let found = resolver(vec![stranger]).find("pi.example", end).unwrap();
        assert_eq!(found, [IpAddr::from([0xfd; 16])]);
    }
}
