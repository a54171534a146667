//! Zones and chips of real boards and of made-up ones.

use super::*;
use crate::kernel::{Machine, RemoteStat, answer};
use crate::model::Moment;

#[test]
fn real_files() {
    assert_eq!(parse_temperature(b"52150\n"), Ok(Value::signed(52_150, 3)));
    assert_eq!(parse_temperature(b"-5500\n"), Ok(Value::signed(-5_500, 3)));
    assert_eq!(parse_state(b"4\n"), Ok(4.into()));
    for not_known in ["-1", "18446744073709551615"] {
        assert_eq!(parse_state(not_known.as_bytes()), Ok(Value::ABSENT), "intel_powerclamp");
    }
}

#[test]
fn what_cannot_be_is_no_value_and_no_fault() {
    for text in ["-274000", "-256000", "-60000", "127000", "127875", "150000", "255000", "2147483647", "-2147483648"] {
        assert!(parse_temperature(text.as_bytes()).unwrap_err().implausible, "{text}");
    }
    for text in ["-59999", "0", "126999"] {
        assert!(parse_temperature(text.as_bytes()).is_ok(), "{text}");
    }
    for text in ["0", "25000", "40000", "200000", "65261850", "-273150"] {
        assert!(parse_critical(text.as_bytes()).unwrap_err().implausible, "{text}");
    }
    assert_eq!(parse_critical(b"120000\n"), Ok(Value::signed(120_000, 3)));
}

#[test]
fn garbage_is_named() {
    for bad in ["", "warm", "52.1", "--1", "9223372036854775808"] {
        assert_eq!(parse_temperature(bad.as_bytes()).unwrap_err().line, 1, "{bad}");
    }
    for bad in ["", "1.5", "full"] {
        assert!(parse_state(bad.as_bytes()).is_err(), "{bad}");
    }
}

/// A tree with what `files` hold, for one test.
fn devices(test: &str, files: &[(&str, &str)]) -> (std::path::PathBuf, Devices<Thing>) {
    let dir = std::env::temp_dir().join(format!("pi-monitor-thermal-{test}-{}", std::process::id()));
    for (file, text) in files {
        let path = dir.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    (dir.clone(), Devices::new(dir, |name| name.starts_with(b"thermal_zone")))
}

#[test]
fn zones_of_one_kind_have_labels_of_their_own() {
    let kinds = ["acpitz", "acpitz-2", "acpitz", "", "acpitz"];
    let files: Vec<_> =
        kinds.iter().enumerate().map(|(zone, kind)| (format!("thermal_zone{zone}/type"), *kind)).collect();
    let files: Vec<_> = files.iter().map(|(path, kind)| (path.as_str(), *kind)).collect();
    let (dir, mut zones) = devices("labels", &files);
    assert!(zones.update(&Thing::zone));
    label(zones.all());
    let labels: Vec<_> = zones.all().iter().map(|zone| String::from_utf8_lossy(&zone.state.label)).collect();
    assert_eq!(labels, ["acpitz", "acpitz-2", "acpitz-2-2", "thermal_zone3", "acpitz-4"]);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_critical_trip_point_is_found() {
    let (dir, _) = devices(
        "trips",
        &[
            ("thermal_zone0/trip_point_0_type", "active\n"),
            ("thermal_zone0/trip_point_0_temp", "50000\n"),
            ("thermal_zone0/trip_point_1_type", "critical\n"),
            ("thermal_zone0/trip_point_1_temp", "110000\n"),
            ("thermal_zone1/trip_point_0_type", "passive\n"),
            ("thermal_zone2/trip_point_0_type", "critical\n"),
            ("thermal_zone2/trip_point_0_temp", "0\n"),
        ],
    );
    assert_eq!(read_critical(&dir.join("thermal_zone0")), Value::signed(110_000, 3));
    assert_eq!(read_critical(&dir.join("thermal_zone1")), Value::ABSENT);
    assert_eq!(read_critical(&dir.join("thermal_zone2")), Value::ABSENT, "no machine switches itself off at 0 degrees");
    std::fs::remove_dir_all(dir).unwrap();
}

/// What the collector says of a tree, in which a text that begins with an arrow makes a link: the rows of sensors and of the processor, and whether it is at fault.
fn collect(test: &str, files: &[(&str, &str)]) -> (Vec<String>, bool) {
    let dir = std::env::temp_dir().join(format!("pi-monitor-thermal-{test}-{}", std::process::id()));
    for (file, text) in files {
        let path = dir.join("class").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            None => std::fs::write(path, text).unwrap(),
        }
    }
    let options = crate::commands::parse([format!("--path.sysfs={}", dir.display())]).unwrap();
    let roots = crate::kernel::Roots::new(&options);
    let mut collector = (COLLECTOR.new)(&mut crate::collect::Setup::new(&roots, Machine::default(), &options));
    let mut out = Snapshot::new();
    out.register(COLLECTOR.name, COLLECTOR.tables);
    out.clear(Moment::default());
    out.select(0);
    let mut remote = RemoteStat::new(answer);
    let result = collector.collect(
        &mut Context { moment: Moment::default(), remote: &mut remote, levels: &mut (), tick: false, lists: true },
        &mut out,
    );
    let mut rows = Vec::new();
    for (section, mark) in out.parts()[0].sections.iter().zip(["", "processor: ", "cooling: "]) {
        for row in section.rows() {
            let value = row.values()[0].to_f64().unwrap();
            rows.push(format!("{mark}{}={value}", row.labels().next().unwrap()));
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
    (rows, result.is_ok())
}

/// What somebody asks for is all there is. A tick lists directories when it is time, and reads what history and rules read.
#[test]
fn a_tick_reads_the_known_sensors_alone() {
    let (dir, _) = devices("tick", &[("class/thermal/thermal_zone0/temp", "40000\n")]);
    let options = crate::commands::parse([format!("--path.sysfs={}", dir.display())]).unwrap();
    let roots = crate::kernel::Roots::new(&options);
    let mut collector = (COLLECTOR.new)(&mut crate::collect::Setup::new(&roots, Machine::default(), &options));
    let mut out = Snapshot::new();
    out.register(COLLECTOR.name, COLLECTOR.tables);
    let mut remote = RemoteStat::new(answer);
    // How many sensors and cooling devices there are.
    let mut look = |tick, lists| {
        let moment = Moment::default();
        out.clear(moment);
        out.select(0);
        let mut context = Context { moment, remote: &mut remote, levels: &mut (), tick, lists };
        collector.collect(&mut context, &mut out).unwrap();
        (out.parts()[0].sections[0].len(), out.parts()[0].sections[2].len())
    };
    assert_eq!(look(true, true), (1, 0));
    for (file, text) in [("thermal_zone1/temp", "41000\n"), ("cooling_device0/cur_state", "1\n")] {
        let path = dir.join("class/thermal").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    assert_eq!(look(true, false), (1, 0));
    assert_eq!(look(false, true), (2, 1));
    std::fs::remove_dir_all(dir.join("class/thermal/thermal_zone0")).unwrap();
    assert_eq!(look(true, true), (1, 0));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_processor_has_its_own_sensor() {
    let zones = |kinds: &[&str]| {
        let files: Vec<_> = (0..kinds.len())
            .flat_map(|zone| {
                let temperature = (30 + zone) * 1000;
                [("type", kinds[zone].to_owned()), ("temp", temperature.to_string())]
                    .map(|(file, text)| (format!("thermal/thermal_zone{zone}/{file}"), text))
            })
            .collect();
        let files: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
        collect(&kinds.join("-"), &files).0.last().unwrap().clone()
    };
    for (kinds, expected) in [
        (&["acpitz", "x86_pkg_temp"][..], "processor: x86_pkg_temp=31"),
        (&["gpu-thermal", "CPU-therm"], "processor: CPU-therm=31"),
        (&["soc-thermal", "cpu0-thermal", "cpu1-thermal"], "processor: cpu0-thermal=31"),
        (&["ddr", "soc_thermal"], "processor: soc_thermal=31"),
        (&["gpu-thermal", "bigcore0-thermal"], "processor: bigcore0-thermal=31"),
        (&["iwlwifi_1", "pch_skylake"], "processor: iwlwifi_1=30"),
    ] {
        assert_eq!(zones(kinds), expected);
    }
}

#[test]
fn the_zone_that_the_processor_cools_is_its_own() {
    let (rows, good) = collect(
        "relation",
        &[
            ("thermal/thermal_zone0/type", "board"),
            ("thermal/thermal_zone0/temp", "30000"),
            ("thermal/thermal_zone1/type", "tsens1"),
            ("thermal/thermal_zone1/temp", "50000"),
            ("thermal/thermal_zone1/cdev0/type", "thermal-fan"),
            ("thermal/thermal_zone1/cdev1/type", "cpufreq-cpu0"),
        ],
    );
    assert_eq!((rows.last().unwrap().as_str(), good), ("processor: tsens1=50", true));
}

const CHIPS: &[(&str, &str)] = &[
    ("hwmon/hwmon0/name", "nvme"),
    ("hwmon/hwmon0/temp1_input", "44850"),
    ("hwmon/hwmon0/temp3_input", "45850"),
    ("hwmon/hwmon1/name", "nvme"),
    ("hwmon/hwmon1/temp1_input", "40000"),
    ("hwmon/hwmon1/temp1_crit", "0"),
    ("hwmon/hwmon2/name", "k10temp"),
    ("hwmon/hwmon2/temp1_label", "Tctl"),
    ("hwmon/hwmon2/temp1_input", "90000"),
    ("hwmon/hwmon2/temp2_label", "Tdie"),
    ("hwmon/hwmon2/temp2_input", "63000"),
    ("hwmon/hwmon3/name", "adc"),
    ("hwmon/hwmon3/temp1_input", "255000"),
    ("hwmon/hwmon4/name", "fan"),
];

#[test]
fn chips_stand_in_for_zones() {
    let (rows, good) = collect("chips", CHIPS);
    let expected = [
        "nvme=44.85",
        "nvme temp3=45.85",
        "nvme-1=40",
        "k10temp Tctl=90",
        "k10temp Tdie=63",
        "processor: k10temp Tdie=63",
    ];
    assert_eq!((rows, good), (expected.map(str::to_owned).to_vec(), true));

    // A zone of somewhere in the case: the processor's chip alone joins it.
    let case = [&[("thermal/thermal_zone0/type", "acpitz"), ("thermal/thermal_zone0/temp", "27800")], CHIPS].concat();
    let (rows, _) = collect("case", &case);
    let expected = ["acpitz=27.8", "k10temp Tctl=90", "k10temp Tdie=63", "processor: k10temp Tdie=63"];
    assert_eq!(rows, expected);
    let processor = [&[("thermal/thermal_zone0/type", "cpu-thermal"), ("thermal/thermal_zone0/temp", "50000")], CHIPS];
    let (rows, _) = collect("zone", &processor.concat());
    assert_eq!(rows, ["cpu-thermal=50", "processor: cpu-thermal=50"]);
    // Zones that never answer leave the word to the chips.
    let silent = [&[("thermal/thermal_zone0/type", "acpitz"), ("thermal/thermal_zone0/temp", "")], CHIPS].concat();
    assert_eq!(collect("silent", &silent).0.len(), 6);
}

/// As boards report that have no zones: lm-sensors/lm-sensors#294, frankcrawford/it87#59.
#[test]
fn inputs_that_nothing_is_connected_to_are_no_sensors() {
    let (rows, good) = collect(
        "loose",
        &[
            ("hwmon/hwmon0/name", "k10temp"),
            ("hwmon/hwmon0/temp1_label", "Tctl"),
            ("hwmon/hwmon0/temp1_input", "45000"),
            ("hwmon/hwmon1/name", "nct6798"),
            ("hwmon/hwmon1/fan1_input", "856"),
            ("hwmon/hwmon1/temp1_label", "SYSTIN"),
            ("hwmon/hwmon1/temp1_input", "38000"),
            ("hwmon/hwmon1/temp2_label", "CPUTIN"),
            ("hwmon/hwmon1/temp2_input", "43000"),
            ("hwmon/hwmon1/temp2_crit", "125000"),
            ("hwmon/hwmon1/temp3_label", "AUXTIN0"),
            ("hwmon/hwmon1/temp3_input", "109000"),
            ("hwmon/hwmon2/name", "lm90"),
            ("hwmon/hwmon2/temp2_input", "127875"),
        ],
    );
    let expected = ["k10temp Tctl=45", "nct6798 CPUTIN=43", "processor: k10temp Tctl=45"];
    assert_eq!((rows, good), (expected.map(str::to_owned).to_vec(), true));
}

#[test]
fn an_odd_member_is_its_own_fault() {
    let zone = [("thermal/thermal_zone0/type", "cpu-thermal"), ("thermal/thermal_zone0/temp", "50000")];
    let garbled = ("thermal/thermal_zone1/temp", "warm");
    let powerclamp = [
        ("thermal/cooling_device9/type", "intel_powerclamp"),
        ("thermal/cooling_device9/cur_state", "-1"),
        ("thermal/cooling_device9/max_state", "50"),
        ("thermal/cooling_device10/cur_state", "9"),
        ("thermal/cooling_device10/max_state", "3"),
    ];
    let expected = ["cpu-thermal=50", "processor: cpu-thermal=50"];
    let (rows, good) = collect("odd", &[&zone[..], &[garbled], &powerclamp].concat());
    assert_eq!((rows, good), (expected.map(str::to_owned).to_vec(), true));
    // Reading these fails with EIO and with EISDIR, opening this one with ELOOP.
    for (test, target) in [("eio", "-> /proc/self/mem"), ("eisdir", "-> /"), ("eloop", "-> temp")] {
        let refuses = ("thermal/thermal_zone1/temp", target);
        let (rows, good) = collect(test, &[&zone[..], &[refuses]].concat());
        assert_eq!((rows, good), (expected.map(str::to_owned).to_vec(), true), "{test}");
        assert_eq!(collect(test, &[refuses]), (vec![], false), "{test}: nothing else is there to say anything");
    }
    assert_eq!(collect("garbled", &[garbled]), (vec![], false), "nothing else is there to say anything");
    assert_eq!(collect("absurd", &[("thermal/thermal_zone0/temp", "2147483647")]), (vec![], true));
}
