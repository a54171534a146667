//! node_exporter's names: its own tree of files, the program itself, and its flags.

use crate::agent::{Agent, free_address, raw, wait_until, wrong_each_time};
use crate::needs::lint;
use crate::node_exporter::Killed;
use crate::{has_program, needs};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a page holds: the types of its families, and its samples by name and sorted labels.
#[derive(Default)]
struct Page {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Page {
    fn parse(text: &str) -> Self {
        let mut page = Page::default();
        for line in text.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                page.types.insert(name.to_owned(), kind.to_owned());
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let mut all = Vec::new();
            let mut rest = labels.strip_suffix('}').unwrap();
            while let Some((label, behind)) = rest.split_once("=\"") {
                let bytes = behind.as_bytes();
                let mut end = 0;
                while bytes[end] != b'"' {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                all.push(format!("{label}={}", &behind[..end]));
                rest = behind[end + 1..].trim_start_matches(',');
            }
            all.sort();
            page.samples.insert(format!("{name}{{{}}}", all.join(",")), value.parse().unwrap());
        }
        page
    }

    /// Returns the samples of a family.
    fn of(&self, family: &str) -> BTreeMap<&str, f64> {
        let is = |series: &&String| series.split('{').next() == Some(family);
        self.samples.keys().filter(is).map(|series| (series.as_str(), self.samples[series])).collect()
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node").join(name)
}

#[test]
fn the_tree_of_node_exporter_gives_what_it_prints_for_it() {
    let directory = std::env::temp_dir().join(format!("pi-monitor-node-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let tar = Command::new("tar").arg("xzf").arg(data("fixtures.tar.gz")).arg("-C").arg(&directory).status().unwrap();
    assert!(tar.success());
    let path = |name: &str| format!("--path.{name}={}", directory.display());
    let below = |flag: &str, name: &str| format!("{}/{name}", path(flag));
    let mut flags =
        vec![below("procfs", "proc"), below("sysfs", "sys"), path("rootfs"), below("udev.data", "udev/data")];
    flags.extend(
        [
            "--collector.arp.device-exclude=nope",
            "--collector.cpu.info",
            "--collector.cpu.info.flags-include=^(aes|avx.?|constant_tsc)$",
            "--collector.cpu.info.bugs-include=^(cpu_meltdown|spectre_.*|mds)$",
            "--collector.hwmon.chip-include=(applesmc|asus_nb_wmi|coretemp|hwmon4|ieee80211|nct6779)",
            "--collector.netclass.ignore-invalid-speed",
            "--collector.netclass.ignored-devices=(dmz|int)",
            "--collector.stat.softirq",
            "--collector.interrupts",
            "--collector.processes.states",
            "--collector.softirqs",
            "--metrics.dialect=node",
        ]
        .map(str::to_owned),
    );
    let agent = Agent::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    let mut compared = 0;
    // The second page is made of text that was kept.
    for _ in 0..2 {
        let ours = Page::parse(&agent.metrics());
        for entry in std::fs::read_dir(data("expected")).unwrap() {
            let theirs = Page::parse(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
            for (family, kind) in &theirs.types {
                if ours.types.get(family) != Some(kind) {
                    wrong.push(format!("{family}: type {kind} expected, {:?} found", ours.types.get(family)));
                }
                let (expected, found) = (theirs.of(family), ours.of(family));
                let series: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
                for series in series {
                    compared += 1;
                    let is_same = match (expected.get(series), found.get(series)) {
                        (Some(expected), Some(found)) => (expected - found).abs() <= expected.abs() * 1e-12,
                        _ => false,
                    };
                    if !is_same {
                        let (expected, found) = (expected.get(series), found.get(series));
                        wrong.push(format!("{series}: {expected:?} expected, {found:?} found"));
                    }
                }
            }
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 1000, "{compared}");
}

/// How versions before 1.12 differ: what they have that is gone or else, and labels and families that came later.
struct Differences {
    version: &'static str,
    /// Labels that this version does not have.
    labels: &'static [(&'static str, &'static [&'static str])],
    /// Beginnings of families that it does not have, or not with the same samples.
    families: &'static [&'static str],
}

static VERSIONS: &[Differences] = &[
    Differences {
        version: "1.5",
        labels: &[
            ("node_filesystem_", &["device_error"]),
            ("node_network_info", &["adminstate"]),
            ("node_disk_info", &["rotational"]),
            ("node_exporter_build_info", &["tags"]),
        ],
        families: &["node_kernel_hung_", "node_filesystem_mount_info", "node_cpu_online", "node_softnet_backlog_len"],
    },
    Differences {
        version: "1.9",
        // It says 0 wherever it does not know all files of the disk's queue.
        labels: &[("node_disk_info", &["rotational"])],
        families: &["node_kernel_hung_"],
    },
];

/// Families whose values are never the same twice, or whose labels name the program itself.
const FLUCTUATING: &[&str] = &[
    "node_exporter_build_info",
    "node_procs_running",
    "node_procs_blocked",
    "node_scrape_",
    "node_time_seconds",
    "node_timex_",
    "node_entropy_available_bits",
    "node_cpu_scaling_frequency_hertz",
    "node_cpu_frequency_hertz",
];

/// What node_exporter's collectors see of this machine that the agent does not report: collectors that it does not have, and mounts
/// and disks that older versions count.
fn is_theirs_alone(series: &str, own: &Page) -> bool {
    let collectors = ["selinux", "dmi", "xfs", "zfs", "nfs", "bcache", "bonding", "btrfs", "edac", "ipvs"];
    collectors.iter().any(|it| series.starts_with(&format!("node_{it}_")))
        // Its list of disks once lacked compressed RAM, and once the letter z.
        || series.contains("device=zram")
        // Mounts of the same filesystem, of which the agent reports one.
        || series.starts_with("node_filesystem_") && !own.of("node_filesystem_size_bytes").is_empty()
}

#[test]
fn the_same_machine_through_node_exporter() {
    const PROGRAM: &str = "prometheus-node-exporter";
    if !needs("prometheus-node-exporter", has_program(PROGRAM)) {
        return;
    }
    let said = Command::new(PROGRAM).arg("--version").output().unwrap();
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    let differences = VERSIONS.iter().find(|it| said.contains(&format!("version {}.", it.version)));
    let differences = differences.unwrap_or(&Differences { version: "", labels: &[], families: &[] });
    let address = free_address("127.0.9.1");
    let theirs = Command::new(PROGRAM)
        .args([
            &format!("--web.listen-address={address}"),
            "--collector.netdev.device-exclude=^$",
            "--collector.textfile.directory=",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _theirs = Killed(theirs);
    let agent = Agent::start(&[]);
    // Version 1.0 has no chunks, which the client of these tests does not read.
    let ask = || raw(&address, b"GET /metrics HTTP/1.0\r\n\r\n");
    wait_until("node_exporter answers", || std::net::TcpStream::connect(&address).is_ok());
    let mut compared = 0;
    let wrong = wrong_each_time(|| {
        let before = Page::parse(&agent.get("/metrics?dialect=node").text());
        let page = Page::parse(&ask().text());
        // What is younger than 100 ms would be the same page.
        std::thread::sleep(std::time::Duration::from_millis(200));
        let after = Page::parse(&agent.get("/metrics?dialect=node").text());
        let mut wrong = BTreeMap::new();
        compared = 0;
        let differs = |family: &str, list: &[&str]| list.iter().any(|it| family.starts_with(it));
        for (family, kind) in &page.types {
            if !family.starts_with("node_") || differs(family, FLUCTUATING) || differs(family, differences.families) {
                continue;
            }
            let Some(own) = after.types.get(family) else {
                if !is_theirs_alone(family, &after) {
                    wrong.insert(family.clone(), "missing".to_owned());
                }
                continue;
            };
            if own != kind {
                wrong.insert(family.clone(), format!("type {kind} expected, {own} found"));
            }
            let left_out: Vec<_> = differences
                .labels
                .iter()
                .filter(|(start, _)| family.starts_with(start))
                .flat_map(|(_, it)| *it)
                .collect();
            let plain = |page: &Page| -> BTreeMap<String, f64> {
                let without = |series: &str| {
                    let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap();
                    let kept =
                        labels.split(',').filter(|it| !left_out.iter().any(|name| it.starts_with(&format!("{name}="))));
                    format!("{name}{{{}}}", kept.collect::<Vec<_>>().join(","))
                };
                page.of(family).into_iter().map(|(series, value)| (without(series), value)).collect()
            };
            let (low, their, high) = (plain(&before), plain(&page), plain(&after));
            for (series, value) in &their {
                let (Some(low), Some(high)) = (low.get(series), high.get(series)) else {
                    if !is_theirs_alone(series, &after) {
                        wrong.insert(series.clone(), "missing".to_owned());
                    }
                    continue;
                };
                compared += 1;
                // A gauge may have gone up and down in between: within a tenth of what is in sight.
                let slack = if kind == "counter" { 0.0 } else { low.abs().max(high.abs()) * 0.1 + 4096.0 };
                let (low, high) = (low.min(*high) - slack, low.max(*high) + slack);
                if *value < low - 1e-6 || *value > high + 1e-6 {
                    wrong.insert(series.clone(), format!("{value} is not between {low} and {high}"));
                }
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "{}: {wrong:#?}", differences.version);
    assert!(compared > 300, "{compared}");
}

#[test]
fn a_bad_file_fails_its_collector_alone() {
    let directory = std::env::temp_dir().join(format!("pi-monitor-node-bad-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let tar = Command::new("tar").arg("xzf").arg(data("fixtures.tar.gz")).arg("-C").arg(&directory).status().unwrap();
    assert!(tar.success());
    let path = |name: &str, below: &str| format!("--path.{name}={}", directory.join(below).display());
    let agent = Agent::start(&[
        &path("procfs", "proc"),
        &path("sysfs", "sys"),
        &path("rootfs", ""),
        "--metrics.dialect=node",
        "--collector.interrupts",
    ]);
    let outcomes = || {
        let page = Page::parse(&agent.metrics());
        let found = page.of("node_scrape_collector_success");
        let of = |(series, value): (&str, f64)| (series.split(&['=', '}']).nth(1).unwrap().to_owned(), value);
        found.into_iter().map(of).collect::<BTreeMap<_, _>>()
    };
    let mut expected = outcomes();
    let bad: &[(&str, &str, &[u8])] = &[
        ("diskstats", "diskstats", b"\0\0\n"),
        ("filefd", "sys/fs/file-nr", b"\xff\n"),
        ("interrupts", "interrupts", b""),
        ("loadavg", "loadavg", b"none\n"),
        ("meminfo", "meminfo", b"\n\n\n"),
        ("schedstat", "schedstat", b"cpu\ncpu0\n"),
        ("softnet", "net/softnet_stat", b"zz zz\n"),
        ("vmstat", "vmstat", &[b'x'; 100_000]),
    ];
    for (collector, file, text) in bad {
        std::fs::write(directory.join("proc").join(file), text).unwrap();
        assert_eq!(expected.insert((*collector).to_owned(), 0.0), Some(1.0), "{collector}");
    }
    let mut found = BTreeMap::new();
    wait_until("the collectors' failure", || {
        found = outcomes();
        found["vmstat"] == 0.0
    });
    std::fs::remove_dir_all(directory).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn a_request_chooses_dialect_and_collectors() {
    let agent = Agent::start(&["--no-collector.vmstat"]);
    let families = |query: &str| -> BTreeSet<String> {
        let response = agent.get(&format!("/metrics?{query}"));
        assert_eq!(response.status, 200, "{query}");
        let text = response.text();
        if has_program("promtool") {
            assert_eq!(
                lint(&text).lines().filter(|line| !line.contains("node_") && *line != "(failed)").collect::<Vec<_>>(),
                [""; 0],
                "{query}"
            );
        }
        Page::parse(&text).types.into_keys().collect()
    };
    let has = |found: &BTreeSet<String>, start: &str| found.iter().any(|it| it.starts_with(start));
    // Some families come and go, such as that of a verdict's culprit: what counts are answers between two that agree.
    let answers = || (families(""), families("dialect=pi"), families("dialect=node"), families("dialect=both"));
    let mut asked = std::iter::repeat_with(answers).take(50);
    let (pi, named, node, both) = asked.find(|it| it.0 == families("")).expect("the families never stay the same");
    assert!(!has(&pi, "node_") && pi == named);
    assert!(both.is_superset(&pi) && both.is_superset(&node) && !node.is_superset(&pi));
    // What the other program does not know has the agent's own name, and nothing has two.
    assert!(has(&node, "pi_verdict") && has(&node, "pi_cpu_usage_percent") && has(&node, "process_cpu_seconds_total"));
    assert!(!has(&node, "pi_memory_") && !has(&node, "pi_load_average") && has(&node, "node_memory_MemTotal_bytes"));
    assert!(!has(&node, "node_vmstat_"));
    let chosen = families("dialect=node&collect[]=loadavg&collect[]=filesystem");
    assert!(chosen.iter().all(|it| {
        ["node_load", "node_filesystem_", "node_scrape_", "node_exporter_"].iter().any(|start| it.starts_with(start))
    }));
    assert!(has(&chosen, "node_load1") && has(&chosen, "node_filesystem_size_bytes"));
    let rest = families("dialect=both&exclude[]=meminfo&exclude[]=memory");
    assert!(!has(&rest, "node_memory_") && !has(&rest, "pi_memory_") && has(&rest, "node_load1"));
    assert_eq!(families("dialect=node&collect%5B%5D=%6c%6fadavg"), families("dialect=node&collect[]=loadavg"));
    let many = agent.get(&format!("/metrics?dialect=node{}", "&collect[]=cpu".repeat(1000)));
    assert_eq!(many.status, 414, "{}", many.text());
    let all = agent.get("/metrics?dialect=node").text();
    let known = all.split("node_scrape_collector_success{collector=\"").skip(1).filter_map(|it| it.split_once('"'));
    let query: String = known.map(|(name, _)| format!("&collect%5B%5D={name}")).collect();
    let named = families(&format!("dialect=node{query}"));
    assert!(has(&named, "node_load1") && has(&named, "node_uname_info"), "a request can name all collectors");
    // Either program's names do for the agent's own families.
    assert_eq!(families("collect[]=meminfo"), families("collect[]=memory"));
    assert!(has(&families("dialect=node&collect[]=processes"), "node_processes_pids"));
    for (query, said) in [
        ("dialect=", "dialect: expected one of pi, node, both"),
        ("dialect=NODE", "dialect: expected one of pi, node, both"),
        ("dialect=node&collect[]=", "collect[]: expected one of cpu, "),
        ("dialect=node&collect[]=cpu&collect[]=%ff%00", "collect[]: expected one of cpu, "),
        ("dialect=node&exclude[]=nothing", "collect[]: expected one of cpu, "),
        ("dialect=prometheus", "dialect: expected one of pi, node, both"),
        ("dialect=node&collect[]=nothing", "collect[]: expected one of cpu, "),
        ("collect[]=nothing", "collect[]: expected one of cpu, "),
        ("collect[]=cpu&exclude[]=memory", "expected either collect[] or exclude[], found both"),
        ("dialect=node&collect[]=cpu&exclude[]=memory", "expected either collect[] or exclude[], found both"),
    ] {
        let response = agent.get(&format!("/metrics?{query}"));
        assert_eq!((response.status, response.text().starts_with(said)), (400, true), "{query}: {}", response.text());
    }
}

#[test]
fn flags_of_node_exporter_mean_what_they_mean_there() {
    let agent = Agent::start(&[
        "--metrics.dialect=node",
        "--collector.netdev.device-include=^lo$",
        "--collector.filesystem.mount-points-exclude=^/$",
        "--no-collector.loadavg",
        "--collector.interrupts",
    ]);
    let page = Page::parse(&agent.metrics());
    assert_eq!(
        page.of("node_network_receive_bytes_total").into_keys().collect::<Vec<_>>(),
        ["node_network_receive_bytes_total{device=lo}"]
    );
    assert!(!page.of("node_filesystem_size_bytes").keys().any(|it| it.ends_with("mountpoint=/}")));
    assert!(page.of("node_load1").is_empty() && !page.of("node_interrupts_total").is_empty());
    for (flag, said) in [
        ("--web.telemetry-path=/m", "metrics are at /metrics"),
        ("--collector.systemd", "services"),
        ("--no-collector.arp.netlink", "the agent reads files instead"),
        ("--collector.netdev.address-info", "addresses are not reported"),
        ("--collector.hwmon.sensor-exclude=x", "use --collector.hwmon.chip-exclude"),
        ("--collector.netdev.device-exclude=(", "--collector.netdev.device-exclude=(: ( without ) at character 2"),
        ("--collector.diskstats.device-exclude=a{99999}", "expected numbers up to 1000 between { and } at character 2"),
        ("--collector.netstat.fields=((a{100}){100}){100}", "too long at character 15"),
        (&format!("--collector.vmstat.fields={}", "a".repeat(10_000)), "too long at character 400"),
        ("--collector.zfs", "not among the collectors"),
        ("--collector.diskstats.ignored-devices=x", "use --collector.diskstats.device-exclude"),
    ] {
        let output = Command::new(crate::agent::BINARY).arg(flag).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text.contains(said)), (Some(2), true), "{flag}: {text}");
    }
}
