//! Many clients behind one address: NAT, a proxy, the bridge of a container. None of them may meet an error.

use crate::agent::{Agent, Response, wait_until};
use crate::client::{Scraper, connect, is_closed, read_answer};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const ADDRESS: &str = "127.0.0.2";

fn ask(stream: &mut TcpStream, path: &str) -> Response {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: pi\r\n\r\n").as_bytes()).unwrap();
    read_answer(stream).expect("an answer")
}

fn is_last(response: &Response) -> bool {
    response.header("connection").is_some_and(|value| value == "close")
}

/// Lets `count` clients, each with a connection of its own that it makes anew when an answer says that it is the last one, ask
/// three times; returns how many of the first connections are still in use then.
fn ask_in_turn(agent: &Agent, count: usize) -> usize {
    let mut clients: Vec<_> = (0..count).map(|_| (connect(ADDRESS, &agent.address), true)).collect();
    for _ in 0..3 {
        for (stream, is_first) in &mut clients {
            let response = ask(stream, "/json");
            assert_eq!(response.status, 200);
            if is_last(&response) {
                assert_eq!(stream.read(&mut [0]).unwrap(), 0, "an end and not an error");
                (*stream, *is_first) = (connect(ADDRESS, &agent.address), false);
            } else {
                assert!(!is_closed(stream));
            }
        }
    }
    clients.iter().filter(|(_, is_first)| *is_first).count()
}

#[test]
fn surplus_connections_of_an_address_are_answered_and_closed() {
    assert_eq!(ask_in_turn(&Agent::start(&[]), 24), 16);
    assert_eq!(ask_in_turn(&Agent::start(&["--web.connections-per-address=20"]), 24), 20);
    assert_eq!(ask_in_turn(&Agent::start(&["--web.connections-per-address=128"]), 64), 64);
}

#[test]
fn a_client_that_sends_ahead_reads_the_answer_before_the_end() {
    let agent = Agent::start(&["--web.connections-per-address=1"]);
    let mut kept = connect(ADDRESS, &agent.address);
    assert!(!is_last(&ask(&mut kept, "/health")));
    let mut surplus = connect(ADDRESS, &agent.address);
    surplus.write_all("GET /json HTTP/1.1\r\nHost: pi\r\n\r\n".repeat(3).as_bytes()).unwrap();
    let first = read_answer(&mut surplus).unwrap();
    assert!(first.status == 200 && is_last(&first));
    assert_eq!(surplus.read(&mut [0]).unwrap(), 0);
}

#[test]
fn one_address_has_half_of_the_connections() {
    let agent = Agent::start(&[]);
    // Of the same address, and idle: it was served before.
    let mut served = connect(ADDRESS, &agent.address);
    ask(&mut served, "/metrics");
    let mut scraper = Scraper::new(&agent.address, "");
    let mut timely = false;
    for _ in 0..10 {
        let ever = scraper.others_ever();
        let late = scraper.refused("slow_request");
        let all: Vec<_> = (0..90).map(|_| connect(ADDRESS, &agent.address)).collect();
        wait_until("all connections", || scraper.others_ever() >= ever + 90.0);
        let others = scraper.others();
        let open: Vec<_> = all.iter().map(|stream| !is_closed(stream)).collect();
        // Each has five seconds to ask something. A machine that takes so long shows nothing.
        timely = scraper.refused("slow_request") == late;
        if timely {
            assert_eq!(others, 64.0);
            assert!(
                open[27..].iter().all(|open| *open) && !open[..27].contains(&true),
                "the oldest go first: {open:?}"
            );
            break;
        }
        drop(all);
        wait_until("an end of them", || scraper.others() == 1.0);
    }
    assert!(timely, "this machine was too slow ten times");
    // What was served before stays, and who comes new from the same address is served, too.
    assert_eq!(ask(&mut served, "/metrics").status, 200);
    assert_eq!(ask(&mut connect(ADDRESS, &agent.address), "/health").status, 200);
}

#[test]
fn an_idle_connection_that_goes_for_others_ends_in_order() {
    let agent = Agent::start(&[]);
    let mut idle: Vec<_> = (0..128)
        .map(|number| {
            let mut stream = connect(&format!("127.0.3.{}", 1 + number / 16), &agent.address);
            assert!(!is_last(&ask(&mut stream, "/health")));
            stream
        })
        .collect();
    // Of the address with most connections, the oldest.
    for number in 0..24 {
        let gone = &mut idle[number % 8 * 16 + number / 8];
        let before = Instant::now();
        let mut other = connect(&format!("127.0.4.{}", 1 + number), &agent.address);
        assert_eq!(ask(&mut other, "/health").status, 200);
        assert_eq!(gone.read(&mut [0]).unwrap(), 0);
        // A request that was on its way is no error either: a reset would let the second write fail. That holds for a second,
        // so a machine that stood still meanwhile shows nothing.
        let wrote = [(); 2].map(|()| gone.write_all(b"GET /health HTTP/1.1\r\nHost: pi\r\n\r\n").is_ok());
        let read = gone.read(&mut [0]);
        if before.elapsed() < Duration::from_millis(900) {
            assert!(wrote == [true; 2] && read.as_ref().is_ok_and(|count| *count == 0), "{wrote:?} {read:?}");
            return;
        }
    }
    panic!("this machine was too slow 24 times");
}
