//! `/sys/class/thermal`: temperatures, the ones at which the machine switches itself off, and what cools it.
//! <https://docs.kernel.org/driver-api/thermal/sysfs-api.html>
//!
//! `/sys/class/hwmon` stands in where no thermal zone answers, or none of them is the processor's.
//! <https://docs.kernel.org/hwmon/sysfs-interface.html>

use super::{Collect, Context, Registration};
use crate::kernel::text::{int, trim};
use crate::kernel::{Bad, Device, Devices, Fault, Members, Source, is_file, read_once};
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
    /// It may be an input that nothing is connected to, so it stands in for nothing.
    Loose,
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
        // A chip that monitors a whole board, with its fans, has inputs that nothing is connected to, and those read anything.
        let has_fans = is_file(&path.join("fan1_input"));
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
            let processor = match processor {
                _ if best => Processor::Best,
                Processor::No if has_fans && !limit.is_present() => Processor::Loose,
                processor => processor,
            };
            Thing { processor, ..Thing::new(path, kind, &file, limit) }
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
                    let least = if *answered { Processor::Yes } else { Processor::No };
                    if state.processor >= least {
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
/// `THERMAL_TEMP_INVALID` is -274000, others write -256000, 255000 or the largest number that they have, which is 127 for a register
/// of eight bits with a sign) lies outside.
pub const COLDEST: i64 = -60_000;
pub const HOTTEST: i64 = 127_000;

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
mod tests;
