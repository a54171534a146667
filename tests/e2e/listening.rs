//! Addresses to serve on: taken ones, and those that become free.

use crate::agent::{Agent, BINARY, free_address, request, wait_until};
use crate::needs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The name of this test program as the kernel has it.
fn own_name() -> String {
    std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned()
}

/// What an agent says that cannot listen.
fn refusal(address: &str) -> String {
    let flag = format!("--web.listen-address={address}");
    // Bounded, should it start after all.
    let output = Command::new("timeout").args(["60", BINARY, &flag]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_port_in_use_exits_with_1_and_one_line_of_help() {
    let here = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = here.local_addr().unwrap();
    let owner = format!("{} (process {})", own_name(), std::process::id());
    for address in [address.to_string(), format!(":{}", address.port()), format!("0.0.0.0:{}", address.port())] {
        assert_eq!(
            refusal(&address),
            format!(
                "error: cannot listen on {address}: the port is in use by {owner}; \
                 choose another address with --web.listen-address\n"
            )
        );
    }
}

#[test]
fn an_address_that_cannot_be_is_named_with_its_flag() {
    for address in ["nowhere.invalid:9100", "256.0.0.1:9100"] {
        let said = refusal(address);
        assert!(said.starts_with(&format!("error: cannot listen on {address}: ")), "{said}");
        assert!(said.ends_with("; choose another address with --web.listen-address\n"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn an_agent_can_wait_for_a_port() {
    let here = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = here.local_addr().unwrap().to_string();
    // A second address is served meanwhile.
    let agent = Agent::spawn(
        Command::new(BINARY)
            .args([&format!("--web.listen-address={taken}"), "--web.listen-address=127.0.0.1:0"])
            .arg("--web.wait-for-address")
            .stdin(Stdio::null()),
    );
    assert_ne!(agent.address, taken);
    assert_eq!(agent.get("/health").status, 200);
    let said: Vec<_> = agent.early_lines.iter().filter(|line| line.contains(&taken)).collect();
    let owner = format!("{} (process {})", own_name(), std::process::id());
    assert!(
        said.len() == 1 && said[0].starts_with(&format!("warn: {taken} is in use by {owner}; trying again every 10 s")),
        "{said:?}"
    );
    // Over one try in vain; nothing more is logged.
    std::thread::sleep(Duration::from_millis(10_500));
    assert_eq!(agent.log_lines(), [""; 0]);
    drop(here);
    wait_until("a connection", || std::net::TcpStream::connect(&taken).is_ok());
    assert_eq!(request(&taken, "GET", "/health", &[]).status, 200);
    assert_eq!(agent.log_line("listening"), format!("info: listening on http://{taken}/"));
}

/// A host name that is not known at first, as at a boot before the network is up.
#[test]
fn an_agent_can_wait_for_a_name() {
    let allowed = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !needs("the right to mount (root)", allowed) {
        return;
    }
    let hosts = std::env::temp_dir().join(format!("pi-monitor-hosts-{}", std::process::id()));
    std::fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let address = free_address("127.0.9.3");
    let name = format!("later.invalid:{}", address.rsplit(':').next().unwrap());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec"]);
    command.args([
        "mount --bind \"$1\" /etc/hosts; exec \"$0\" --web.listen-address=\"$2\" --web.wait-for-address",
        BINARY,
    ]);
    let mut child = command.arg(&hosts).arg(&name).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    std::fs::write(&hosts, "127.0.0.1 localhost\n127.0.9.3 later.invalid\n").unwrap();
    wait_until("a connection", || std::net::TcpStream::connect(&address).is_ok());
    let second = lines.next().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(hosts).unwrap();
    assert!(first.starts_with(&format!("warn: cannot listen on {name}: ")), "{first}");
    assert!(first.ends_with("; trying again every 10 s"), "{first}");
    assert_eq!(second, format!("info: listening on http://{address}/"));
}
