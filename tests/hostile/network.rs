//! What a client, or many, may do without harm to others.

use crate::agent::{Agent, BINARY, request};
use crate::namespaces::own_network;
use std::process::Command;

#[test]
fn starts_in_a_network_without_any_address() {
    if !own_network() {
        return;
    }
    crate::namespaces::run("ip link set lo down");
    let agent = Agent::spawn(Command::new(BINARY).arg("--web.listen-address=:9100"));
    assert_eq!(agent.address, "[::]:9100");
    crate::namespaces::run("ip link set lo up");
    assert_eq!(request("127.0.0.1:9100", "GET", "/health", &[]).status, 200);
    assert_eq!(request("[::1]:9100", "GET", "/health", &[]).status, 200);
}
