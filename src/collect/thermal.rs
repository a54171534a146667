//! `/sys/class/thermal`: temperatures, the ones at which the machine switches itself off, and what cools it.
//! <https://docs.kernel.org/driver-api/thermal/sysfs-api.html>

use super::{Collect, Context, Registration};
use crate::kernel::text::{int, trim, uint};
use crate::kernel::{Bad, Device, Devices, Fault, First, Source, read_once};
use crate::model::{Chart, Family, Place, Snapshot, Table, Unit, Value};
use crate::runtime::sandbox::Needs;
use std::path::Path;

pub static SENSORS: Table<1, 2> = Table::new(
    Place::List("sensors"),
    &["sensor"],
    &[
        Family::gauge("pi_temperature_celsius", "Temperature.", Unit::Celsius)
            // On a Pi, and on most boards, the first zone is the system on chip.
            .history(&[Chart::first("temperature")]),
        Family::gauge(
            "pi_temperature_critical_celsius",
            "Temperature at which the kernel switches the machine off.",
            Unit::Celsius,
        ),
    ],
);

static COOLING: Table<1, 2> = Table::new(
    Place::List("cooling"),
    &["device"],
    &[
        Family::gauge("pi_cooling_state", "How much the device cools at present: 0 is not at all.", Unit::Count),
        Family::gauge("pi_cooling_state_max", "The highest cooling state that the device has.", Unit::Count),
    ],
);

pub static COLLECTOR: Registration = Registration {
    name: "thermal",
    summary: "temperatures and cooling devices",
    source: "/sys/class/thermal",
    needs: Needs::reading(&["sys/class/thermal"]),
    tables: &[SENSORS.head(), COOLING.head()],
    flags: &[],
    new: |setup| {
        let path = setup.roots.sys.join("class/thermal");
        Box::new(Thermal {
            zones: Devices::new(path.clone(), |name| name.starts_with(b"thermal_zone")),
            cooling: Devices::new(path, |name| name.starts_with(b"cooling_device")),
        })
    },
};

struct Thermal {
    zones: Devices<Thing>,
    cooling: Devices<Thing>,
}

/// A thermal zone or a cooling device.
struct Thing {
    /// The kernel's word for it, which several may share.
    kind: Vec<u8>,
    label: Vec<u8>,
    present: Source,
    /// The critical temperature or the highest state; neither changes while the thing is there.
    limit: Value,
}

impl Thing {
    fn new(path: &Path, present: &str, limit: Value) -> Self {
        let kind = read_once(&path.join("type")).unwrap_or_default();
        Thing { kind, label: Vec::new(), present: Source::new(path.join(present)).in_small_records(), limit }
    }

    fn zone(path: &Path) -> Self {
        Thing::new(path, "temp", read_critical(path))
    }

    fn cooling(path: &Path) -> Self {
        Thing::new(path, "cur_state", read_limit(&path.join("max_state"), parse_state))
    }
}

impl Collect for Thermal {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Thermal { zones, cooling } = self;
        let mut first = First::new();
        if zones.update(Thing::zone) {
            label(zones.all());
        }
        if cooling.update(Thing::cooling) {
            label(cooling.all());
        }
        for (devices, table, parse) in
            [(zones, &SENSORS, parse_temperature as fn(&[u8]) -> _), (cooling, &COOLING, parse_state)]
        {
            for Device { state: Thing { kind: _, label, present, limit }, gone, .. } in devices.all() {
                let present = first.keep(present.sense(parse)).and_then(|present| present.value(gone));
                if let Some(present) = present.filter(|present| present.is_present()) {
                    out.row(table, [label], [present, *limit]);
                }
            }
        }
        first.result()
    }
}

/// Labels each thing with its kind. Of several of one kind, those behind the first have their entry's number behind it, as in
/// `acpitz-1`.
fn label(things: &mut [Device<Thing>]) {
    for place in 0..things.len() {
        let (before, rest) = things.split_at_mut(place);
        let Device { name, state, .. } = &mut rest[0];
        state.label.clear();
        state.label.extend_from_slice(if state.kind.is_empty() { name } else { &state.kind });
        while before.iter().any(|other| other.state.label == state.label) {
            let number = name.iter().skip_while(|byte| !byte.is_ascii_digit());
            state.label.push(b'-');
            state.label.extend(number);
        }
    }
}

/// The critical temperature among a zone's trip points.
fn read_critical(zone: &Path) -> Value {
    (0..)
        .map_while(|number| Some((number, read_once(&zone.join(format!("trip_point_{number}_type")))?)))
        .find(|(_, kind)| kind == b"critical")
        .map_or(Value::ABSENT, |(number, _)| {
            read_limit(&zone.join(format!("trip_point_{number}_temp")), parse_temperature)
        })
}

fn read_limit(path: &Path, parse: fn(&[u8]) -> Result<Value, Bad>) -> Value {
    read_once(path).and_then(|text| parse(&text).ok()).unwrap_or(Value::ABSENT)
}

/// `52150`: thousandths of a degree. Drivers write what is below absolute zero when they do not know (the kernel's
/// `THERMAL_TEMP_INVALID` is -274000): then there is no value.
fn parse_temperature(text: &[u8]) -> Result<Value, Bad> {
    const ABSOLUTE_ZERO: i64 = -273_150;
    let text = trim(text);
    let degrees = int(text).ok_or_else(|| Bad::new(1, "thousandths of a degree", text))?;
    Ok(if degrees < ABSOLUTE_ZERO { Value::ABSENT } else { Value::signed(degrees, 3) })
}

/// `2`: a cooling state.
fn parse_state(text: &[u8]) -> Result<Value, Bad> {
    let text = trim(text);
    uint(text).map(Value::from).ok_or_else(|| Bad::new(1, "a cooling state", text))
}

/// What the fuzz target of this file runs.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    let _ = (parse_temperature(text), parse_state(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_files() {
        assert_eq!(parse_temperature(b"52150\n"), Ok(Value::signed(52_150, 3)));
        assert_eq!(parse_temperature(b"-5500\n"), Ok(Value::signed(-5_500, 3)));
        assert_eq!(parse_temperature(b"-274000\n"), Ok(Value::ABSENT));
        assert_eq!(parse_state(b"4\n"), Ok(4.into()));
    }

    #[test]
    fn garbage_is_named() {
        for bad in ["", "warm", "52.1", "--1", "9223372036854775808"] {
            assert_eq!(parse_temperature(bad.as_bytes()).unwrap_err().line, 1, "{bad}");
        }
        for bad in ["", "-1", "full"] {
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
        assert!(zones.update(Thing::zone));
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
            ],
        );
        assert_eq!(read_critical(&dir.join("thermal_zone0")), Value::signed(110_000, 3));
        assert_eq!(read_critical(&dir.join("thermal_zone1")), Value::ABSENT);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
