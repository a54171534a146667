//! `/sys/class/thermal`: temperatures, the ones at which the machine switches itself off, and what cools it.
//! <https://docs.kernel.org/driver-api/thermal/sysfs-api.html>
//!
//! `/sys/class/hwmon` stands in where no thermal zone answers, or none of them is the processor's.
//! <https://docs.kernel.org/hwmon/sysfs-interface.html>

use super::{Collect, Context, Registration};
use crate::kernel::text::{int, trim};
use crate::kernel::{Bad, Device, Devices, Fault, Members, Source, read_once};
use crate::model::{Chart, Family, More, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;
use std::path::Path;

pub static SENSORS: Table<1, 2> = Table::new(
    Place::List("sensors"),
    &["sensor"],
    &[
        Family::gauge("pi_temperature_celsius", "Current temperature.", Unit::Celsius),
        Family::gauge(
            "pi_temperature_critical_celsius",
            "Critical temperature of the sensor; at that of a thermal zone the kernel switches the machine off.",
            Unit::Celsius,
        ),
    ],
);

pub static PROCESSOR: Table<1, 1> = Table::new(
    Place::Object("processor"),
    &["sensor"],
    &[Family::gauge(
        "pi_cpu_temperature_celsius",
        "Temperature of the processor: that of its own sensor, or else of the first one.",
        Unit::Celsius,
    )
    .more(&More::NONE.history(&[Chart::first("temperature")]))],
);

static COOLING: Table<1, 2> = Table::new(
    Place::List("cooling"),
    &["device"],
    &[
        Family::gauge("pi_cooling_state", "Current cooling state of the device; 0 is off.", Unit::Count),
        Family::gauge("pi_cooling_state_max", "Highest cooling state of the device.", Unit::Count),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "thermal",
    summary: prose("temperatures and cooling devices"),
    source: reference("/sys/class/thermal, /sys/class/hwmon"),
    needs: Needs::reading("sys/class/thermal sys/class/hwmon"),
    tables: &[SENSORS.head(), PROCESSOR.head(), COOLING.head()],
    flags: &[],
    new: |setup| {
        let path = setup.roots.sys.join("class/thermal");
        super::boxed(Thermal {
            zones: Devices::new(path.clone(), |name| name.starts_with(b"thermal_zone")),
            cooling: Devices::new(path, |name| name.starts_with(b"cooling_device")),
            chips: Devices::new(setup.roots.sys.join("class/hwmon"), |name| name.starts_with(b"hwmon")),
            answered: false,
        })
    },
};

struct Thermal {
    zones: Devices<Thing>,
    cooling: Devices<Thing>,
    /// The temperatures of each hwmon chip.
    chips: Devices<Devices<Thing>>,
    /// Whether any of the zones has ever answered.
    answered: bool,
}

/// A thermal zone, a temperature of a hwmon chip, or a cooling device.
struct Thing {
    /// The kernel's word for it, which several may share.
    kind: Vec<u8>,
    label: Vec<u8>,
    present: Source,
    /// The critical temperature or the highest state; neither changes while the thing is there.
    limit: Value,
    /// How sure it is that the temperature is the processor's.
    processor: Processor,
}

/// How sure it is that a temperature is the processor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Processor {
    /// Nothing says so.
    No,
    /// The kernel slows the processor down to cool it, or it is the chip that the processor is on. ACPI binds processors to zones
    /// that are anywhere in the case, so this alone is not enough.
    Perhaps,
    Yes,
    /// It is the one of several of the processor's that has no offset for the fan's sake.
    Best,
}

impl Thing {
    fn new(path: &Path, kind: Vec<u8>, present: &str, limit: Value) -> Self {
        let present = Source::new(path.join(present)).in_small_records();
        Thing { kind, label: Vec::new(), present, limit, processor: Processor::No }
    }

    fn zone(path: &Path) -> Self {
        let kind = read_once(&path.join("type")).unwrap_or_default();
        let mut coolers = (0..).map_while(|number| read_once(&path.join(format!("cdev{number}/type"))));
        let slows = |cooler: Vec<u8>| contains(&cooler, "cpu") || contains(&cooler, "processor");
        let mut processor = named_processor(&kind);
        if processor == Processor::No && coolers.any(slows) {
            processor = Processor::Perhaps;
        }
        Thing { processor, ..Thing::new(path, kind, "temp", read_critical(path)) }
    }

    fn cooling(path: &Path) -> Self {
        let kind = read_once(&path.join("type")).unwrap_or_default();
        Thing::new(path, kind, "cur_state", read_limit(&path.join("max_state"), parse_state))
    }

    /// Returns all temperatures of the hwmon chip at `path`: `tempN_input`, with `tempN_label` and `tempN_crit` where there are such.
    fn chip(path: &Path) -> Devices<Thing> {
        let is_input = |name: &[u8]| name.starts_with(b"temp") && name.ends_with(b"_input");
        let mut inputs = Devices::new(path.to_owned(), is_input);
        let chip = read_once(&path.join("name")).unwrap_or_default();
        let processor = named_processor(&chip);
        inputs.update(&|input| {
            let file = input.file_name().unwrap_or_default().to_string_lossy();
            let number = file.strip_suffix("_input").unwrap_or(&file);
            let name = read_once(&path.join(format!("{number}_label")));
            // Without a label, the first one stands for the chip.
            let name = name.or_else(|| (number != "temp1").then(|| number.as_bytes().to_vec()));
            let kind = [Some(chip.clone()), name].into_iter().flatten().filter(|it| !it.is_empty());
            let kind = kind.collect::<Vec<_>>().join(&b' ');
            let best = processor == Processor::Yes && contains(&kind, "tdie");
            let limit = read_limit(&path.join(format!("{number}_crit")), parse_critical);
            Thing { processor: if best { Processor::Best } else { processor }, ..Thing::new(path, kind, &file, limit) }
        });
        inputs
    }
}

impl Collect for Thermal {
    fn collect(&mut self, context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Thermal { zones, cooling, chips, answered } = self;
        let mut members = Members::default();
        if context.lists && zones.update(&Thing::zone) {
            label(zones.all());
        }
        // The rows of the snapshot have no place to look at, so the best one's label and value are kept.
        let mut best: Option<(Processor, &[u8], Value)> = None;
        let mut known = Processor::No;
        for Device { state, gone, .. } in zones.all() {
            known = known.max(state.processor);
            best = tell(state, gone, &mut members, out, best);
        }
        *answered |= members.spoke();
        if !*answered || known < Processor::Yes {
            if context.lists && chips.update(&Thing::chip) {
                label_chips(chips.all());
            }
            for Device { state: inputs, .. } in chips.all() {
                for Device { state, gone, .. } in inputs.all() {
                    if !*answered || state.processor >= Processor::Yes {
                        best = tell(state, gone, &mut members, out, best);
                    }
                }
            }
        }
        if let Some((_, label, celsius)) = best {
            out.row(&PROCESSOR, [label], [celsius]);
        }
        if context.tick {
            return members.result();
        }
        if cooling.update(&Thing::cooling) {
            label(cooling.all());
        }
        for Device { state: Thing { label, present, limit, .. }, gone, .. } in cooling.all() {
            let Some(state) = members.ask(present, gone, parse_state) else { continue };
            // What is above its maximum, or not known, is no state.
            let contradicts = state.to_f64() > limit.to_f64() && limit.is_present();
            if state.is_present() && !contradicts {
                out.row(&COOLING, [label], [state, *limit]);
            }
        }
        members.result()
    }
}

/// Tells a sensor's temperature, and returns it if it is more surely the processor's than `best` is.
fn tell<'a>(
    sensor: &'a mut Thing,
    gone: &mut bool,
    members: &mut Members,
    out: &mut Snapshot,
    best: Option<(Processor, &'a [u8], Value)>,
) -> Option<(Processor, &'a [u8], Value)> {
    let Thing { label, present, limit, processor, .. } = sensor;
    let Some(celsius) = members.ask(present, gone, parse_temperature) else { return best };
    out.row(&SENSORS, [label], [celsius, *limit]);
    if best.is_none_or(|(other, ..)| *processor > other) { Some((*processor, label, celsius)) } else { best }
}

/// Labels each thing with its kind. Of several of one kind, those behind the first have their entry's number behind it, as in
/// `acpitz-1`.
fn label(things: &mut [Device<Thing>]) {
    for place in 0..things.len() {
        let (before, rest) = things.split_at_mut(place);
        let Device { name, state, .. } = &mut rest[0];
        name_apart(state, name, |label| before.iter().any(|other| other.state.label == label));
    }
}

/// Returns the same for the temperatures of all chips, with the chip's number.
fn label_chips(chips: &mut [Device<Devices<Thing>>]) {
    for place in 0..chips.len() {
        let (before, rest) = chips.split_at_mut(place);
        let Device { name, state: inputs, .. } = &mut rest[0];
        let inputs = inputs.all();
        for input in 0..inputs.len() {
            let (siblings, rest) = inputs.split_at_mut(input);
            let taken = |label: &[u8]| {
                siblings.iter().any(|other| other.state.label == label)
                    || before.iter().any(|chip| chip.state.has(|other| other.label == label))
            };
            name_apart(&mut rest[0].state, name, taken);
        }
    }
}

fn name_apart(thing: &mut Thing, entry: &[u8], is_taken: impl Fn(&[u8]) -> bool) {
    let Thing { kind, label, .. } = thing;
    label.clear();
    label.extend_from_slice(if kind.is_empty() { entry } else { kind });
    while is_taken(label) {
        let number = entry.iter().skip_while(|byte| !byte.is_ascii_digit());
        label.push(b'-');
        label.extend(number);
    }
}

/// Returns whether a zone's type or a chip's name says that it is the processor's. The kernel has no other word for that: these are names
/// of drivers and of nodes in device trees.
fn named_processor(kind: &[u8]) -> Processor {
    const PROCESSORS: &str = "cpu x86_pkg package core k10temp k8temp zenpower";
    if PROCESSORS.split(' ').any(|it| contains(kind, it)) {
        return Processor::Yes;
    }
    if contains(kind, "soc") { Processor::Perhaps } else { Processor::No }
}

/// Returns whether `word`, which is in lower case, is in `text` in any case.
fn contains(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// Returns the critical temperature among a zone's trip points.
fn read_critical(zone: &Path) -> Value {
    (0..)
        .map_while(|number| Some((number, read_once(&zone.join(format!("trip_point_{number}_type")))?)))
        .filter(|(_, kind)| kind == b"critical")
        .map(|(number, _)| read_limit(&zone.join(format!("trip_point_{number}_temp")), parse_critical))
        .find(|limit| limit.is_present())
        .unwrap_or(Value::ABSENT)
}

fn read_limit(path: &Path, parse: fn(&[u8]) -> Result<Value, Bad>) -> Value {
    let mut source = Source::new(path.to_owned());
    Members::default().ask(&mut source, &mut false, parse).unwrap_or(Value::ABSENT)
}

/// Thousandths of a degree that no sensor of such a machine reads: what drivers write that do not know (the kernel's
/// `THERMAL_TEMP_INVALID` is -274000, others write -256000, 255000 or the largest number that they have) lies outside.
pub const COLDEST: i64 = -60_000;
pub const HOTTEST: i64 = 150_000;

/// Critical temperatures lie within: at room temperature and below, a driver has none.
const CRITICAL_LOWEST: i64 = 40_000;
const CRITICAL_HIGHEST: i64 = 200_000;

/// `52150`: thousandths of a degree.
fn parse_temperature(text: &[u8]) -> Result<Value, Bad> {
    let text = trim(text);
    match int(text) {
        Some(degrees) if COLDEST < degrees && degrees < HOTTEST => Ok(Value::signed(degrees, 3)),
        Some(_) => Err(Bad::implausible("thousandths of a degree, as a sensor reads them", text)),
        None => Err(Bad::new(1, "thousandths of a degree", text)),
    }
}

/// `110000`: thousandths of a degree.
fn parse_critical(text: &[u8]) -> Result<Value, Bad> {
    let text = trim(text);
    match int(text) {
        Some(degrees) if CRITICAL_LOWEST < degrees && degrees < CRITICAL_HIGHEST => Ok(Value::signed(degrees, 3)),
        _ => Err(Bad::implausible("a critical temperature in thousandths of a degree", text)),
    }
}

/// `2`: a cooling state. Drivers say -1, as such or as the largest number there is, while they do not cool.
fn parse_state(text: &[u8]) -> Result<Value, Bad> {
    let text = trim(text);
    match int(text) {
        Some(state) if state >= 0 => Ok(Value::signed(state, 0)),
        Some(_) => Ok(Value::ABSENT),
        None if text == b"18446744073709551615" => Ok(Value::ABSENT),
        None => Err(Bad::new(1, "a cooling state", text)),
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = (parse_temperature(text), parse_critical(text), parse_state(text));
}

#[cfg(test)]
mod tests {
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
        for text in ["-274000", "-256000", "-60000", "150000", "255000", "2147483647", "-2147483648"] {
            assert!(parse_temperature(text.as_bytes()).unwrap_err().implausible, "{text}");
        }
        for text in ["-59999", "0", "149999"] {
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
        assert_eq!(
            read_critical(&dir.join("thermal_zone2")),
            Value::ABSENT,
            "no machine switches itself off at 0 degrees"
        );
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
        let case =
            [&[("thermal/thermal_zone0/type", "acpitz"), ("thermal/thermal_zone0/temp", "27800")], CHIPS].concat();
        let (rows, _) = collect("case", &case);
        let expected = ["acpitz=27.8", "k10temp Tctl=90", "k10temp Tdie=63", "processor: k10temp Tdie=63"];
        assert_eq!(rows, expected);
        let processor =
            [&[("thermal/thermal_zone0/type", "cpu-thermal"), ("thermal/thermal_zone0/temp", "50000")], CHIPS];
        let (rows, _) = collect("zone", &processor.concat());
        assert_eq!(rows, ["cpu-thermal=50", "processor: cpu-thermal=50"]);
        // Zones that never answer leave the word to the chips.
        let silent = [&[("thermal/thermal_zone0/type", "acpitz"), ("thermal/thermal_zone0/temp", "")], CHIPS].concat();
        assert_eq!(collect("silent", &silent).0.len(), 6);
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
}
