use super::flags::BARE;
use super::read::number;
use super::*;
use crate::collect;
use std::collections::BTreeSet;
use std::path::Path;

/// Returns a dialect that reads a tree of these files, and where that is.
fn tree(name: &str, files: &[(&str, &[u8])]) -> (Dialect, std::path::PathBuf) {
    tree_with(name, files, &[])
}

fn tree_with(name: &str, files: &[(&str, &[u8])], flags: &[&str]) -> (Dialect, std::path::PathBuf) {
    let root = std::env::temp_dir().join(format!("pi-monitor-dialect-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    for (path, text) in files {
        put(&root, path, text);
    }
    let roots = Roots { proc: root.join("proc"), sys: root.join("sys"), root: root.clone() };
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>();
    let settings = Settings::new(&crate::commands::parse(flags).unwrap());
    (Dialect::new(&settings, &roots, Machine::default()), root)
}

fn put(root: &Path, path: &str, text: &[u8]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn page(dialect: &mut Dialect, collector: &str) -> String {
    let wanted = Selection::NONE.with(dialect.place(collector).unwrap());
    let mut out = Vec::new();
    dialect.forget();
    let length = dialect.collect(wanted, &Snapshot::new(), &mut out);
    let text = String::from_utf8(out[..length].to_vec()).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("node_exporter"))
        .map(|it| format!("{it}\n"))
        .collect()
}

#[test]
fn the_table_has_no_mistake() {
    let settings = Settings::new(&crate::commands::parse(Vec::new()).unwrap());
    let spec::Spec { collectors, blocks, columns, known } = spec::parse(&settings);
    let own: BTreeSet<_> = collect::ALL.iter().map(|it| it.name).collect();
    let families: BTreeSet<_> = collect::ALL
        .iter()
        .flat_map(|it| it.tables)
        .flat_map(|head| head.families)
        .map(|family| family.name())
        .collect();
    let mut names = BTreeSet::new();
    // Nothing of it was left out.
    let parts = table().lines().filter(|line| !line.starts_with("known ")).count();
    assert_eq!(parts, collectors.len() + blocks.len() + columns.len());
    let is_column = |line: &&str| line.split(' ').next().and_then(spec::kind).is_some();
    let first_lines =
        table().lines().filter(|line| !is_column(line) && !line.starts_with("known ") && !line.starts_with('['));
    let first_lines: Vec<_> = first_lines.collect();
    let lines = table().lines().filter(is_column);
    for (line, column) in lines.zip(&columns) {
        let (name, source) = (column.name(), column.source());
        let factor = line[2..].strip_prefix(name).and_then(|it| it[1..].strip_prefix(source)).unwrap();
        assert!(factor.is_empty() || factor.starts_with(['*', '/']), "{line}");
    }
    // There are many, and they stay.
    assert!(blocks.len() < 80 && size_of::<Work>() <= 200, "{} of {}", blocks.len(), size_of::<Work>());
    let helps = helps();
    let helps: Vec<_> = helps.lines().collect();
    assert_eq!(helps.len(), columns.len());
    for collector in &collectors[..collectors.len() - 1] {
        let switch = if collector.name == "processes" { "processes.states" } else { collector.name };
        let switched = flags::switches().find(|it| it.name == switch);
        assert_eq!(switched.map(|it| it.on).or(own.contains(switch).then_some(true)), Some(collector.on), "{switch}");
        assert!(collector.own.split(' ').all(|name| own.contains(name)), "{}: {}", collector.name, collector.own);
        for (block, line) in blocks[collector.blocks.clone()].iter().zip(&first_lines[collector.blocks.clone()]) {
            let words: Vec<_> = line.split(' ').collect();
            let is_known = match words[0] {
                "words" | "rows" | "files" | "dirs" => true,
                "from" => families.contains(block.source),
                "code" => code::find(block.source).is_some(),
                "each" => code::find(words[2]).is_some(),
                _ => false,
            };
            assert!(is_known, "{}: {line}", collector.name);
            let labels = block.labels();
            let count = |mark: &str| words.iter().filter(|word| word.contains(mark)).count();
            let filters = block.filters.iter().zip(block.filtered).filter(|(name, _)| !name.is_empty());
            assert_eq!((count("="), count("?")), (labels.len(), filters.clone().count()), "{line}");
            assert!(filters.clone().all(|(name, label)| {
                flags::FILTERS.iter().any(|(filter, ..)| filter == name) && usize::from(label) <= labels.len()
            }));
            let flags: Vec<_> = words.iter().filter_map(|word| word.strip_prefix('!')).collect();
            assert!(flags.len() <= 1 && block.is_on == flags.iter().all(|flag| flag.starts_with('-')), "{line}");
            let is_flag = |flag: &&str| BARE.iter().any(|(name, _)| *name == flag.trim_start_matches('-'));
            assert!(flags.iter().all(is_flag), "{line}");
            assert!(labels.is_sorted(), "{labels:?}: in the order of the letters, as everybody writes them");
            assert!(!block.columns(&columns).is_empty());
            for column in block.columns(&columns) {
                // Two blocks of which one flag chooses are one.
                let (name, source) = (column.name(), column.source());
                assert!(
                    names.insert((name, flags.iter().any(|flag| flag.starts_with('-')))),
                    "{name} is in two blocks"
                );
                assert!(words[0] != "from" || families.contains(source), "{source}");
                let help = helps[usize::from(column.help)];
                assert!(help.ends_with('.') && help.len() > 10, "{name}: {help}");
            }
        }
    }
    for start in known {
        assert!(families.iter().any(|family| family.starts_with(start)), "{start} begins no family");
    }
    assert_eq!(
        flags::switches().count(),
        collectors.iter().filter(|it| !own.contains(it.name) && !it.name.is_empty()).count()
    );
}

#[test]
fn numbers_of_all_kinds() {
    let text = |text: &str| {
        let mut out = Vec::new();
        number(text.as_bytes()).unwrap_or_default().write(&mut out);
        String::from_utf8(out).unwrap()
    };
    for (given, expected) in [
        ("42\n", "42"),
        ("-1\n", "-1"),
        ("0x1003", "4099"),
        ("0.25", "0.25"),
        ("-0.5", "-0.5"),
        ("", ""),
        ("up", ""),
        ("0x", ""),
    ] {
        assert_eq!(text(given), expected, "{given:?}");
    }
}

#[test]
fn names_that_the_kernel_says_may_change() {
    let (mut dialect, root) =
        tree("names", &[("proc/meminfo", b"MemTotal: 10 kB\nActive(anon): 1 kB\nHugePages_Total: 0\n")]);
    let first = page(&mut dialect, "meminfo");
    assert!(first.starts_with(
        "node_memory_MemTotal_bytes 10240\nnode_memory_Active_anon_bytes 1024\nnode_memory_HugePages_Total 0\n"
    ));
    assert_eq!(
        first.lines().filter(|line| line.contains("memory")).count(),
        page(&mut dialect, "meminfo").lines().filter(|line| line.contains("memory")).count()
    );
    put(&root, "proc/meminfo", b"MemTotal: 10 kB\nNew\xff: 3 kB\n");
    let second = page(&mut dialect, "meminfo");
    assert!(second.starts_with("node_memory_MemTotal_bytes 10240\nnode_memory_New__bytes 3072\n"), "{second}");
    std::fs::remove_file(root.join("proc/meminfo")).unwrap();
    let third = page(&mut dialect, "meminfo");
    assert!(third.contains("success{collector=\"meminfo\"} 0") && !third.contains("node_memory"), "{third}");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn columns_say_where_their_values_are() {
    let settings = Settings::new(&crate::commands::parse(Vec::new()).unwrap());
    let spec::Spec { columns, .. } = spec::parse(&settings);
    let of = |name: &str| {
        let column = columns.iter().find(|column| column.name() == name).unwrap();
        (column.kind, column.source(), column.factor, column.places)
    };
    for (name, expected) in [
        ("node_disk_read_bytes_total", (Kind::Counter, "5", 512, 0)),
        ("node_disk_read_time_seconds_total", (Kind::Counter, "6", 1, 3)),
        ("node_network_speed_bytes", (Kind::Gauge, "speed", 125_000, 0)),
        ("node_cpu_frequency_max_hertz", (Kind::Gauge, "cpufreq/cpuinfo_max_freq", 1000, 0)),
        ("node_watchdog_access_cs0", (Kind::Gauge, "access_cs0", 1, 0)),
        ("node_nvme_info", (Kind::Gauge, "=1", 1, 0)),
        ("node_vmstat_", (Kind::Untyped, "*", 1, 0)),
    ] {
        assert_eq!(of(name), expected, "{name}");
    }
}

#[test]
fn families_named_by_sensors_stand_together() {
    let (mut dialect, root) = tree(
        "sensors",
        &[
            ("sys/class/hwmon/hwmon0/name", b"one\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", b"41000\n"),
            ("sys/class/hwmon/hwmon0/energy1_input", b"7000000\n"),
            ("sys/class/hwmon/hwmon1/name", b"two\n"),
            ("sys/class/hwmon/hwmon1/temp1_input", b"42500\n"),
            ("sys/class/hwmon/hwmon2/name", b"two\n"),
            ("sys/class/hwmon/hwmon2/temp1_input", b"43000\n"),
        ],
    );
    let mut out = Vec::new();
    let wanted = Selection::NONE.with(dialect.place("hwmon").unwrap());
    let length = dialect.collect(wanted, &Snapshot::new(), &mut out);
    out.truncate(length);
    let text = String::from_utf8(out).unwrap();
    // A chip of the same name as another one is left out, since its series would be duplicates.
    let temperatures = "# TYPE node_hwmon_temp_celsius gauge\nnode_hwmon_temp_celsius{chip=\"one\",sensor=\"temp1\"} 41\n\
        node_hwmon_temp_celsius{chip=\"two\",sensor=\"temp1\"} 42.5\n#";
    assert!(text.contains(temperatures), "{text}");
    let energy = "# TYPE node_hwmon_energy_joule_total counter\nnode_hwmon_energy_joule_total{chip=\"one\",sensor=\"energy1\"} 7\n";
    assert!(text.contains(energy), "{text}");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn disks_are_asked_for_their_temperature_unless_a_flag_lets_them_sleep() {
    let files: [(&str, &[u8]); 3] = [
        ("sys/devices/host0/target0:0:0/0:0:0:0/type", b"0\n"),
        ("sys/class/hwmon/hwmon0/name", b"drivetemp\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", b"31000\n"),
    ];
    for (flags, expected) in [(&[][..], true), (&["--collector.hwmon.chip-exclude=^(drivetemp|target.*)$"], false)] {
        let (mut dialect, root) = tree_with("disks", &files, flags);
        std::os::unix::fs::symlink(
            "../../../devices/host0/target0:0:0/0:0:0:0",
            root.join("sys/class/hwmon/hwmon0/device"),
        )
        .unwrap();
        let found = page(&mut dialect, "hwmon");
        let line = "node_hwmon_temp_celsius{chip=\"target0:0:0_0:0:0:0\",sensor=\"temp1\"} 31\n";
        assert_eq!(found.contains(line), expected, "{found}");
        std::fs::remove_dir_all(root).unwrap();
    }
}

#[test]
fn filters_decide_about_each_name_though_answers_are_remembered() {
    let (mut dialect, root) = tree("filters", &[]);
    for (text, expected) in [
        (&b"pgpgin 1\nnr_free 2\noom_kill 3\n"[..], "node_vmstat_pgpgin 1\nnode_vmstat_oom_kill 3\n"),
        (b"pgpgin 4\nnr_free 5\noom_kill 6\n", "node_vmstat_pgpgin 4\nnode_vmstat_oom_kill 6\n"),
        (b"nr_free 7\npgpgin 8\n", "node_vmstat_pgpgin 8\n"),
        (
            b"pgpgin 9\npgpgout 1\nnr_free 2\noom_kill 3\n",
            "node_vmstat_pgpgin 9\nnode_vmstat_pgpgout 1\nnode_vmstat_oom_kill 3\n",
        ),
    ] {
        put(&root, "proc/vmstat", text);
        let found = page(&mut dialect, "vmstat");
        assert!(found.starts_with(&format!("{expected}node_scrape")), "{found}");
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn arrays_that_recover_and_wait() {
    let text = b"Personalities : [raid1]\nmd0 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]\n      195310144 blocks [2/1] [U_]\n      \
        [=>...]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec\n\nmd1 : active (auto-read-only) raid1 \
        sdb2[0] sdc2[1]\n      4190208 blocks super 1.2 [2/2] [UU]\n      resync=PENDING\n\nunused devices: <none>\n";
    let (mut dialect, root) = tree("arrays", &[("proc/mdstat", text)]);
    let found = page(&mut dialect, "mdadm");
    for line in [
        "node_md_disks{device=\"md0\",state=\"active\"} 1",
        "node_md_disks{device=\"md0\",state=\"failed\"} 1",
        "node_md_disks{device=\"md0\",state=\"spare\"} 1",
        "node_md_disks_required{device=\"md0\"} 2",
        "node_md_blocks_synced{device=\"md0\"} 16775552",
        "node_md_state{device=\"md0\",state=\"recovering\"} 1",
        "node_md_state{device=\"md0\",state=\"active\"} 0",
        "node_md_state{device=\"md1\",state=\"resync\"} 1",
        "node_md_blocks_synced{device=\"md1\"} 0",
    ] {
        assert!(found.contains(&format!("{line}\n")), "{line}\n{found}");
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_tree_without_files_has_no_rows_and_no_success() {
    let (mut dialect, root) = tree("empty", &[]);
    for name in dialect.names().collect::<Vec<_>>() {
        let found = page(&mut dialect, name);
        // These are not read from files of the kernel.
        let asked = ["textfile", "time", "timex"].contains(&name);
        assert!(found.ends_with(&format!("success{{collector=\"{name}\"}} {}\n", u8::from(asked))), "{name}: {found}");
    }
    let _ = std::fs::remove_dir_all(root);
}

#[test]
fn what_is_malformed_is_left_out() {
    let (mut dialect, root) = tree(
        "malformed",
        &[
            ("proc/loadavg", b"0.5 x"),
            ("proc/diskstats", b"8 0 sda 1 2 3\n8\n\n8 1\n"),
            ("proc/net/dev", b"one\ntwo\n  eth0: 1 2 x 4\neth1:5 6\n"),
            ("proc/net/softnet_stat", b"zz\n00000001\n"),
            ("proc/interrupts", b"CPU0 CPU1\n 1: 5 6 chip edge dev\nERR: 0\n 2: 7\n"),
            ("proc/net/snmp", b"Tcp: InSegs InErrs\nTcp: 5\nUdp:\n"),
            ("proc/mdstat", b"md0 : active\nmd1 :\n 5 blocks [x/y]\n"),
        ],
    );
    let mut all = String::new();
    for name in ["loadavg", "diskstats", "netdev", "softnet", "interrupts", "netstat", "mdadm"] {
        all.push_str(&page(&mut dialect, name));
    }
    for line in [
        "node_load1 0.5",
        "node_disk_reads_completed_total{device=\"sda\"} 1",
        "node_network_receive_bytes_total{device=\"eth0\"} 1",
        "node_softnet_processed_total{cpu=\"1\"} 1",
        "node_interrupts_total{cpu=\"1\",devices=\"edge dev\",info=\"chip\",type=\"1\"} 6",
    ] {
        assert!(all.contains(line), "{line}\n{all}");
    }
    assert!(!all.contains("node_load5") && !all.contains("type=\"2\""), "{all}");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn no_family_comes_twice_though_the_kernel_says_its_name_twice() {
    let (mut dialect, root) = tree(
        "twice",
        &[
            (
                "proc/meminfo",
                b"MemFree: 1 kB\nMemFree: 2 kB\nMemFree_bytes: 3\nActive(anon): 4 kB\nActive_anon: 5 kB\n",
            ),
            ("proc/vmstat", b"pgfault 1\npgfault 2\n"),
            ("proc/net/netstat", b"TcpExt: ListenDrops ListenDrops\nTcpExt: 1 2\nTcpExt: ListenDrops\nTcpExt: 3\n"),
            ("proc/net/snmp", b"Tcp: InErrs\nTcp: 1\nTcp InErrs\nTcp 2\n"),
            ("proc/net/snmp6", b"Udp6InErrors 1\nUdp6InErrors 2\n"),
        ],
    );
    // Twice, since what a filter said is remembered.
    for _ in 0..2 {
        for (collector, families) in [("meminfo", 2), ("vmstat", 1), ("netstat", 3)] {
            let page = page(&mut dialect, collector);
            let names: std::collections::HashSet<_> = page.lines().map(|line| line.split(' ').next()).collect();
            assert_eq!((names.len(), page.lines().count()), (families + 2, families + 2), "{page}");
        }
    }
    std::fs::remove_dir_all(root).unwrap();
}

/// Text of a kind of file, of which each round takes something else.
fn varied(kind: &str, random: &mut dyn FnMut(u64) -> u64) -> String {
    let mut text = String::new();
    let number = |random: &mut dyn FnMut(u64) -> u64| match random(8) {
        0 => String::new(),
        1 => "x".to_owned(),
        2 => "0".to_owned(),
        width => (random(u64::MAX) >> (width * 9)).to_string(),
    };
    for name in ["MemFree", "Active(anon)", "pgfault", "oom_kill", "nr_free", "eth0", "wlan\"0", "sda", "MemFree"] {
        if random(6) == 0 {
            continue;
        }
        match kind {
            "proc/meminfo" => text.push_str(&format!("{name}: {} kB\n", number(random))),
            "proc/vmstat" => text.push_str(&format!("{name} {}\n", number(random))),
            "proc/net/dev" => {
                let values: Vec<_> = (0..16).map(|_| number(random)).collect();
                text.push_str(&format!("{name}: {}\n", values.join(" ")));
            }
            "proc/diskstats" => {
                let values: Vec<_> = (0..random(18)).map(|_| number(random)).collect();
                text.push_str(&format!("8 {} {name} {}\n", random(3), values.join(" ")));
            }
            // The lines of names and numbers differ in length now and then.
            "proc/net/snmp" => {
                let names = "InErrs OutSegs InSegs CurrEstab InErrs".split(' ').filter(|_| random(9) > 0);
                let names = names.collect::<Vec<_>>().join(" ");
                let values: Vec<_> = (0..3 + random(9)).map(|_| number(random)).collect();
                text.push_str(&format!("Tcp: {names}\nTcp: {}\n", values.join(" ")));
            }
            "proc/net/snmp6" => text.push_str(&format!("Icmp6{name} {}\n", number(random))),
            "proc/net/sockstat" => text.push_str(&format!("{name}: inuse {} mem {}\n", number(random), number(random))),
            "proc/loadavg" => text = format!("{} {}\n", number(random), number(random)),
            "etc/os-release" => text.push_str(&format!("ID={name}\nNAME={}\nVERSION_ID={}\n", name, random(30))),
            "run/udev/data/b8:1" => text.push_str(&format!("E:ID_MODEL={name}\nE:ID_ATA_WRITE_CACHE={}\n", random(3))),
            _ => text = number(random),
        }
    }
    text
}

#[test]
fn a_page_made_of_the_last_one_is_what_a_new_one_would_be() {
    const FILES: &[&str] = &[
        "proc/meminfo",
        "proc/vmstat",
        "proc/net/dev",
        "proc/diskstats",
        "proc/net/snmp",
        "proc/net/snmp6",
        "proc/net/sockstat",
        "proc/loadavg",
        "etc/os-release",
        "sys/block/sda/queue/rotational",
        "sys/class/hwmon/hwmon0/name",
        "sys/class/hwmon/hwmon0/temp1_input",
        "sys/class/hwmon/hwmon0/fan1_input",
        "sys/class/hwmon/hwmon1/temp1_input",
        "sys/class/power_supply/BAT0/capacity",
        "sys/class/power_supply/BAT0/voltage_now",
        "run/udev/data/b8:1",
    ];
    const COLLECTORS: &str = "meminfo vmstat netdev netstat sockstat diskstats loadavg os hwmon powersupplyclass";
    let mut state = 5_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut dialect, root) = tree("last", &[("proc/net/dev", b"one\ntwo\n")]);
    let roots = Roots { proc: root.join("proc"), sys: root.join("sys"), root: root.clone() };
    let settings = Settings::new(&crate::commands::parse(Vec::new()).unwrap());
    let places: Vec<_> = COLLECTORS.split(' ').map(|name| dialect.place(name).unwrap()).collect();
    let mut wanted = Selection::NONE;
    let (mut out, mut same) = (Vec::new(), 0);
    let page = |dialect: &mut Dialect, wanted, out: &mut Vec<u8>| {
        let length = dialect.collect(wanted, &Snapshot::new(), out);
        let text = String::from_utf8(out[..length].to_vec()).unwrap();
        let lines = text.lines().map(|line| match line.starts_with("node_scrape_collector_duration") {
            true => "",
            false => line,
        });
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    for round in 0..400 {
        if round == 0 || random(40) == 0 {
            wanted = places.iter().fold(Selection::NONE, |it, place| if random(4) > 0 { it.with(*place) } else { it });
        }
        let is_calm = random(3) > 0;
        for file in FILES {
            let path = root.join(file);
            match random(12) {
                0 if !is_calm => drop(std::fs::remove_file(path)),
                1..=4 if !is_calm => put(&root, file, varied(file, &mut random).as_bytes()),
                // Other numbers, of which some are longer.
                5..=9 => {
                    let Ok(text) = std::fs::read_to_string(&path) else { continue };
                    let mut other = |word: &str| match random(3) {
                        0 => (random(u64::MAX) >> random(63)).to_string(),
                        _ => word.to_owned(),
                    };
                    let mut word = |word: &str| if word.parse::<u64>().is_ok() { other(word) } else { word.to_owned() };
                    let text =
                        text.split('\n').map(|line| line.split(' ').map(&mut word).collect::<Vec<_>>().join(" "));
                    put(&root, file, text.collect::<Vec<_>>().join("\n").as_bytes());
                }
                _ => {}
            }
        }
        crate::kernel::let_absence_end();
        if random(10) == 0 {
            // A buffer that was given to somebody else.
            out.extend_from_slice(b"what stands behind it");
        }
        let found = page(&mut dialect, wanted, &mut out);
        let anew = page(&mut Dialect::new(&settings, &roots, Machine::default()), wanted, &mut Vec::new());
        assert_eq!(found, anew, "round {round}");
        same += usize::from(!dialect.is_new);
    }
    assert!(same > 20, "{same} of the pages were made of the last one alone");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn sockets_are_listed_while_there_may_be_any() {
    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n";
    const ONE: &str = "  42: 00000000:0044 00000000:0000 07 00000010:00000020\n";
    let (mut dialect, root) = tree("sockets", &[]);
    let wanted = Selection::NONE.with(dialect.place("sockstat").unwrap()).with(dialect.place("udp_queues").unwrap());
    let mut out = Vec::new();
    // How many are in use and what is listed is not read at the same time, so each may be behind the other.
    for (in_use, listed, expected) in [
        (1, ONE, Some("16")),
        (0, ONE, Some("16")),
        (0, HEAD, Some("0")),
        (0, "nobody reads this\n\n", Some("0")),
        (1, HEAD, Some("0")),
        (1, ONE, Some("16")),
        (0, HEAD, Some("0")),
        (1, "", None),
    ] {
        put(&root, "proc/net/sockstat6", format!("UDP6: inuse {in_use}\nUDPLITE6: inuse 0\n").as_bytes());
        put(&root, "proc/net/sockstat", b"UDP: inuse 3 mem 0\n");
        put(&root, "proc/net/udp6", if listed == ONE { [HEAD, ONE].concat() } else { listed.to_owned() }.as_bytes());
        if expected.is_none() {
            std::fs::remove_file(root.join("proc/net/udp6")).unwrap();
        }
        let length = dialect.collect(wanted, &Snapshot::new(), &mut out);
        let text = String::from_utf8_lossy(&out[..length]);
        let sent = text.lines().find_map(|line| line.strip_prefix("node_udp_queues{ip=\"v6\",queue=\"tx\"} "));
        assert_eq!(sent, expected, "{in_use} {listed}: {text}");
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_line_of_values_may_become_longer_than_it_was() {
    let (mut dialect, root) = tree("longer", &[]);
    let wanted = Selection::NONE.with(dialect.place("netstat").unwrap());
    let mut out = Vec::new();
    for (values, expected) in [("1", 1), ("1 2", 2), ("3 4", 2), ("5", 1), ("6 7 8", 2)] {
        put(&root, "proc/net/snmp", format!("Tcp: InErrs CurrEstab\nTcp: {values}\n").as_bytes());
        let length = dialect.collect(wanted, &Snapshot::new(), &mut out);
        let text = String::from_utf8_lossy(&out[..length]);
        assert_eq!(text.lines().filter(|line| line.starts_with("node_netstat_Tcp")).count(), expected, "{text}");
    }
    std::fs::remove_dir_all(root).unwrap();
}
