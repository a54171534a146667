//! The same machine at the same moment through Debian's prometheus-node-exporter: family by family where both have one.

use crate::agent::{Agent, free_address, raw, wait_until, wrong_each_time};
use crate::{has_program, needs};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How much two readings may differ.
#[derive(Clone, Copy)]
enum Slack {
    /// Does not change.
    None,
    /// Grows: lies between our readings before and after.
    Between,
    /// Changes while programs work: at most this share of the largest value in sight.
    Share(f64),
}

/// Ours, theirs, and the labels that say the same under another name (theirs is dropped if ours is empty).
type Pair = (&'static str, &'static str, &'static [(&'static str, &'static str)], Slack);

const PAIRS: &[Pair] = &[
    ("pi_cpu_seconds_total", "node_cpu_seconds_total", &[], Slack::Between),
    ("pi_memory_total_bytes", "node_memory_MemTotal_bytes", &[], Slack::None),
    ("pi_memory_free_bytes", "node_memory_MemFree_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_available_bytes", "node_memory_MemAvailable_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_buffers_bytes", "node_memory_Buffers_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_cached_bytes", "node_memory_Cached_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_swap_total_bytes", "node_memory_SwapTotal_bytes", &[], Slack::None),
    ("pi_memory_swap_free_bytes", "node_memory_SwapFree_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_swap_cached_bytes", "node_memory_SwapCached_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_active_bytes", "node_memory_Active_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_inactive_bytes", "node_memory_Inactive_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_anonymous_bytes", "node_memory_AnonPages_bytes", &[], Slack::Share(0.2)),
    ("pi_memory_mapped_bytes", "node_memory_Mapped_bytes", &[], Slack::Share(0.2)),
    ("pi_memory_shared_bytes", "node_memory_Shmem_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_slab_bytes", "node_memory_Slab_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_slab_reclaimable_bytes", "node_memory_SReclaimable_bytes", &[], Slack::Share(0.05)),
    ("pi_memory_kernel_stack_bytes", "node_memory_KernelStack_bytes", &[], Slack::Share(0.3)),
    ("pi_memory_page_tables_bytes", "node_memory_PageTables_bytes", &[], Slack::Share(0.3)),
    ("pi_memory_commit_limit_bytes", "node_memory_CommitLimit_bytes", &[], Slack::None),
    ("pi_network_receive_bytes_total", "node_network_receive_bytes_total", &[("interface", "device")], Slack::Between),
    (
        "pi_network_receive_packets_total",
        "node_network_receive_packets_total",
        &[("interface", "device")],
        Slack::Between,
    ),
    ("pi_network_receive_errors_total", "node_network_receive_errs_total", &[("interface", "device")], Slack::Between),
    ("pi_network_receive_dropped_total", "node_network_receive_drop_total", &[("interface", "device")], Slack::Between),
    (
        "pi_network_transmit_bytes_total",
        "node_network_transmit_bytes_total",
        &[("interface", "device")],
        Slack::Between,
    ),
    (
        "pi_network_transmit_packets_total",
        "node_network_transmit_packets_total",
        &[("interface", "device")],
        Slack::Between,
    ),
    (
        "pi_network_transmit_errors_total",
        "node_network_transmit_errs_total",
        &[("interface", "device")],
        Slack::Between,
    ),
    (
        "pi_network_transmit_dropped_total",
        "node_network_transmit_drop_total",
        &[("interface", "device")],
        Slack::Between,
    ),
    ("pi_boot_time_seconds", "node_boot_time_seconds", &[], Slack::None),
    ("pi_forks_total", "node_forks_total", &[], Slack::Between),
    ("pi_context_switches_total", "node_context_switches_total", &[], Slack::Between),
    ("pi_interrupts_total", "node_intr_total", &[], Slack::Between),
    ("pi_disk_total_bytes", "node_filesystem_size_bytes", &[], Slack::None),
    ("pi_disk_free_bytes", "node_filesystem_free_bytes", &[], Slack::Share(0.02)),
    ("pi_disk_available_bytes", "node_filesystem_avail_bytes", &[], Slack::Share(0.02)),
    ("pi_disk_read_only", "node_filesystem_readonly", &[], Slack::None),
    ("pi_disk_inodes", "node_filesystem_files", &[], Slack::None),
    ("pi_disk_inodes_free", "node_filesystem_files_free", &[], Slack::Share(0.02)),
    ("pi_uname_info", "node_uname_info", &[], Slack::None),
];

/// A program that ends with the test.
pub struct Killed(pub std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Samples = BTreeMap<String, f64>;

/// A family's samples by their labels, sorted and renamed.
fn samples(text: &str, family: &str, renamed: &[(&str, &str)]) -> Samples {
    let mut found = Samples::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(family) else { continue };
        let Some((labels, value)) = rest.rsplit_once(' ') else { continue };
        if !(labels.is_empty() || labels.starts_with('{')) {
            continue;
        }
        let inner = labels.trim_start_matches('{').trim_end_matches('}');
        let mut labels: Vec<String> =
            inner.split("\",").filter(|it| !it.is_empty()).map(|it| it.trim_end_matches('"').to_owned()).collect();
        for label in &mut labels {
            for (ours, theirs) in renamed {
                if let Some(value) = label.strip_prefix(&format!("{theirs}=")) {
                    *label = format!("{ours}={value}");
                }
            }
            // They number CPUs, we name them as the kernel does. They have labels that we leave out.
            *label = label.replace("cpu=\"cpu", "cpu=\"");
        }
        labels.retain(|label| !["domainname=", "device_error="].iter().any(|theirs| label.starts_with(theirs)));
        labels.sort();
        found.insert(labels.join(","), value.parse().unwrap());
    }
    found
}

/// Version 1.9 (Debian 13) has a label that 1.5 (Debian 12) has not.
#[test]
fn labels_of_both_versions_are_the_same() {
    let old = "node_filesystem_files{device=\"/dev/vda\",fstype=\"ext4\",mountpoint=\"/\"} 9";
    let new = "node_filesystem_files{device=\"/dev/vda\",device_error=\"\",fstype=\"ext4\",mountpoint=\"/\"} 9";
    let of = |text| samples(text, "node_filesystem_files", &[]);
    assert_eq!(of(old).len(), 1);
    assert_eq!(of(old), of(new));
}

#[test]
fn both_see_the_same_machine() {
    let program = "prometheus-node-exporter";
    if !needs(program, has_program(program)) {
        return;
    }
    let address = free_address("127.0.9.2");
    let peer = Command::new(program)
        .arg(format!("--web.listen-address={address}"))
        .args([
            "--collector.filesystem.mount-points-exclude=^/(dev|proc|sys|run/user)($|/)",
            "--collector.netdev.device-exclude=^$",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _peer = Killed(peer);
    wait_until("a listening node_exporter", || std::net::TcpStream::connect(&address).is_ok());
    let agent = Agent::start(&["--collector.disk.mount-points-exclude=^/(dev|proc|sys|run/user)($|/)"]);
    let mut compared = 0;
    let wrong = wrong_each_time(|| {
        let (count, wrong) = compare(&agent, &address);
        compared = count;
        wrong
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{compared} series of {} families agree", PAIRS.len());
    assert!(compared > 60);
}

/// Reads both, ours before and after; returns how many series were compared and what differs.
fn compare(agent: &Agent, address: &str) -> (usize, BTreeMap<String, String>) {
    let before = agent.metrics();
    // Version 1.0 has no chunks, which the client of these tests does not read.
    let theirs = raw(address, b"GET /metrics HTTP/1.0\r\n\r\n").text();
    std::thread::sleep(Duration::from_millis(150));
    let after = agent.metrics();

    let mut wrong = BTreeMap::new();
    let mut compared = 0;
    for (ours_name, theirs_name, renamed, slack) in PAIRS {
        let first = samples(&before, ours_name, renamed);
        let last = samples(&after, ours_name, renamed);
        let peer = samples(&theirs, theirs_name, renamed);
        let ranges = first.values().chain(peer.values()).fold(0.0_f64, |most, value| most.max(value.abs()));
        if first.is_empty() || peer.is_empty() {
            wrong.insert((*ours_name).to_owned(), format!("{} series here, {} there", first.len(), peer.len()));
        }
        for (labels, ours) in &first {
            let Some(theirs) = peer.get(labels) else {
                // A filesystem without inodes is 0 there and absent here, and both may know types that the other leaves out.
                wrong.insert(format!("{ours_name}{{{labels}}}"), format!("not in {theirs_name}"));
                continue;
            };
            compared += 1;
            let good = match slack {
                Slack::None => ours == theirs,
                // Idle and I/O wait may run backwards a little, and each tool holds them in its own way.
                Slack::Between => {
                    let later = last.get(labels).copied().unwrap_or(f64::MAX);
                    let little = if labels.contains("idle") || labels.contains("iowait") { 1.0 } else { 0.011 };
                    *theirs >= ours - little && *theirs <= later + little
                }
                // The machine may be busy: what counts is that they read it between our two readings.
                Slack::Share(share) => {
                    let later = last.get(labels).copied().unwrap_or(*ours);
                    let little = ranges * share + 65_536.0;
                    *theirs >= ours.min(later) - little && *theirs <= ours.max(later) + little
                }
            };
            if !good {
                wrong.insert(format!("{ours_name}{{{labels}}}"), format!("{ours} here, {theirs} there"));
            }
        }
    }
    (compared, wrong)
}
