//! Interfaces in node_exporter's names: the agent keeps what it read while rtnetlink reports no change, and a new process reads all of it.

use crate::agent::{Agent, BINARY, wrong_each_time};
use crate::{has_program, needs};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

const FLAGS: [&str; 5] = [
    "--collector.disable-defaults",
    "--collector.netclass",
    "--collector.netdev",
    "--collector.netdev.device-exclude=^$",
    "--metrics.dialect=node",
];

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|it| it.status.success())
}

/// Starts an agent behind `script`, in a network of its own; `None` where this user may not make one.
fn start(script: &str, flags: &[&str]) -> Option<Agent> {
    let may = needs("the right to make namespaces (root)", succeeds("unshare", &["--net", "--mount", "true"]));
    if !may || !needs("ip", has_program("ip")) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "sh", "-ec"]);
    command.arg(format!("{script}\nexec \"$0\" \"$@\"")).arg(BINARY);
    command.args(["--web.listen-address=127.0.0.1:0", "--sample.interval=1h"]).args(flags);
    Some(Agent::spawn(&mut command))
}

/// Runs a program where an agent is, whose root may be no mount namespace's, and returns what it prints.
fn inside(agent: &Agent, command: &[&str]) -> String {
    let pid = agent.child.id().to_string();
    let mut program = Command::new("nsenter");
    let output = program.args(["--net", "--mount", "--root", "--target", &pid]).args(command).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Asks an agent for its page from where it is.
fn page(agent: &Agent) -> String {
    let (host, port) = agent.address.rsplit_once(':').unwrap();
    let script = format!("exec 3<>/dev/tcp/{host}/{port}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3");
    inside(agent, &["bash", "-c", &script])
}

/// The samples about interfaces, without traffic.
fn samples(page: &str) -> BTreeMap<String, String> {
    let is_counter = |line: &str| {
        ["receive_bytes", "receive_packets", "transmit_bytes", "transmit_packets"].iter().any(|it| line.contains(it))
    };
    let lines = page.lines().filter(|line| line.starts_with("node_network_") && !is_counter(line));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, value)| (series.to_owned(), value.to_owned()))
        .collect()
}

/// What the agent says that a new process does not, or says otherwise.
fn differences(agent: &Agent) -> BTreeMap<String, String> {
    // What is younger than 100 ms would be the same page.
    std::thread::sleep(Duration::from_millis(110));
    let found = samples(&page(agent));
    let expected = samples(&inside(agent, &[&[BINARY, "print", "--format=prometheus"], &FLAGS[..]].concat()));
    assert!(expected.len() > 40, "{expected:#?}");
    let series: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let wrong = series.into_iter().filter(|it| found.get(*it) != expected.get(*it));
    wrong.map(|it| (it.clone(), format!("expected {:?}, found {:?}", expected.get(it), found.get(it)))).collect()
}

/// How often the agent has asked for a file's text.
fn reads(agent: &Agent) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/io", agent.child.id())).unwrap();
    text.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap()
}

#[test]
fn every_change_of_an_interface_shows_at_the_next_scrape() {
    let own = "mount -t sysfs none /sys
        ip link set lo up
        ip link add one type bridge
        ip link add two type veth peer name three
        ip link set one up; ip link set two up; ip link set three up";
    let Some(agent) = start(own, &FLAGS) else { return };
    let mut counts = Vec::new();
    for _ in 0..4 {
        let before = reads(&agent);
        page(&agent);
        counts.push(reads(&agent) - before);
        std::thread::sleep(Duration::from_millis(110));
    }
    assert!(counts[3] + 60 < counts[0], "files are read though nothing has changed: {counts:?}");
    for script in [
        "true",
        "ip link set one down",
        "ip link set one name uno",
        "ip link set uno name other; ip link set other name uno",
        "ip link set uno up",
        "ip link set uno mtu 1400",
        "ip link set uno txqueuelen 77",
        "ip link set uno alias 'the first one'",
        "ip link set uno alias ''",
        "ip link set uno group 7",
        // The same one, which now somebody has set.
        "ip link set uno address $(cat /sys/class/net/uno/address)",
        "ip link set uno address 02:00:00:00:00:07",
        "ip link set uno promisc on",
        "ip link set uno allmulticast on",
        "ip link set uno promisc off; ip link set uno allmulticast off",
        "ip link set uno arp off",
        "ip link set uno mode dormant",
        "ip link set uno mode default",
        "ip link set two down",
        "ip link set two up",
        "ip link set lo mtu 60000",
        "ip link delete uno; ip link add uno type bridge",
        "ip link set uno up",
        // With its number and its address.
        "index=$(cat /sys/class/net/uno/ifindex) address=$(cat /sys/class/net/uno/address)
         ip link delete uno; ip link add uno index $index address $address type bridge; ip link set uno up",
        "ip link delete uno",
        "ip link add uno type bridge; ip link set uno up; ip link set two master uno",
        "ip link set two nomaster",
        "ip link delete two",
    ] {
        // The agent knows the present state, and keeps it.
        for _ in 0..2 {
            page(&agent);
            std::thread::sleep(Duration::from_millis(110));
        }
        inside(&agent, &["sh", "-ec", script]);
        let wrong = wrong_each_time(|| differences(&agent));
        assert!(wrong.is_empty(), "after {script}: {wrong:#?}");
    }
}

/// rtnetlink is about the network namespace of a process, sysfs about that in which it was mounted.
#[test]
fn files_of_another_network_are_read() {
    // The first namespace lives as long as its descriptor is open.
    let two = "mount -t sysfs none /sys
        ip link add one type bridge; ip link set one up
        exec 9</proc/self/ns/net
        exec unshare --net sh -ec '
            ip link set lo up; ip link add one type bridge; ip link set one up; exec \"$0\" \"$@\"' \"$0\" \"$@\"";
    let Some(agent) = start(two, &FLAGS) else { return };
    for mtu in 1400..1404 {
        inside(&agent, &["sh", "-ec", &format!("echo {mtu} >/sys/class/net/one/mtu")]);
        let wrong = wrong_each_time(|| differences(&agent));
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(page(&agent).contains(&format!("node_network_mtu_bytes{{device=\"one\"}} {mtu}\n")));
    }
}

/// They are read only after rtnetlink has reported a change.
#[test]
fn a_link_that_comes_or_goes_shows_its_speed() {
    let own = "mount -t sysfs none /sys
        ip link set lo up
        ip link add two type veth peer name three; ip link set three up";
    let Some(agent) = start(own, &["--collector.disable-defaults", "--collector.link"]) else { return };
    for (script, expected) in
        [("true", None), ("ip link set two up", Some("1250000000")), ("ip link set two down", None)]
    {
        // The agent knows the present state, and keeps it.
        for _ in 0..2 {
            page(&agent);
            std::thread::sleep(Duration::from_millis(110));
        }
        inside(&agent, &["sh", "-ec", script]);
        let wrong = wrong_each_time(|| {
            std::thread::sleep(Duration::from_millis(110));
            let page = page(&agent);
            let found = page.lines().find_map(|line| line.strip_prefix("pi_link_speed_bytes{interface=\"two\"} "));
            let differs = (found != expected).then(|| ("two".to_owned(), format!("{found:?}")));
            differs.into_iter().collect()
        });
        assert!(wrong.is_empty(), "after {script}: {wrong:?}");
    }
}
