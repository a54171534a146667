//! `/sys/class/hwmon`: temperatures, fans, voltages, currents and power, by chip and sensor.
//! <https://docs.kernel.org/hwmon/sysfs-interface.html>

use super::Registration;
use super::readings::Plan;
use super::thermal::{COLDEST, HOTTEST};
use crate::cli::Flag;
use crate::cli::pattern::check_pattern;
use crate::kernel::text::{int, trim};
use crate::kernel::{Bad, read_once};
use crate::model::{Family, Place, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::Needs;
use crate::sys::Directory;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

static SENSORS: Table<3, 5> = Table::new(
    Place::List("sensors"),
    &["chip", "sensor", "label"],
    &[
        Family::gauge("pi_hwmon_temperature_celsius", "Temperature that the chip measures.", Unit::Celsius),
        Family::gauge("pi_hwmon_fan_rpm", "Speed of the fan, in revolutions per minute.", Unit::Count),
        Family::gauge("pi_hwmon_voltage_volts", "Voltage that the chip measures.", Unit::Volts),
        Family::gauge("pi_hwmon_current_amperes", "Current that the chip measures.", Unit::Amperes),
        Family::gauge("pi_hwmon_power_watts", "Power that the chip measures.", Unit::Watts),
    ],
);

/// What a chip measures, in the order of the table.
struct Kind {
    /// The beginning of the files' names.
    name: &'static str,
    /// The kernel's unit is the table's divided by 10 to the power of this.
    places: u8,
    /// What no sensor of such a machine reads lies outside, in the kernel's unit.
    range: (i64, i64),
}

const KINDS: [Kind; 5] = [
    Kind { name: "temp", places: 3, range: (COLDEST, HOTTEST) },
    Kind { name: "fan", places: 0, range: (-1, 65_535) },
    Kind { name: "in", places: 3, range: (-1_000_000, 1_000_000) },
    Kind { name: "curr", places: 3, range: (-1_000_000, 1_000_000) },
    Kind { name: "power", places: 6, range: (-1, 100_000_000_000) },
];

static EXCLUDE: Flag = Flag {
    words: "collector.hwmon.chip-exclude REGEX ^drivetemp$",
    help: prose(
        "Chips to exclude, by name. The default lets hard disks sleep: some wake up, or stay awake, when they are asked for \
           their temperature.",
    ),
    check: check_pattern,
};

pub static COLLECTOR: Registration = Registration {
    name: "hwmon",
    summary: prose("temperatures, fans, voltages, currents and power by chip"),
    source: reference("/sys/class/hwmon"),
    needs: Needs::reading("sys/class/hwmon"),
    tables: &[SENSORS.head()],
    flags: &[&EXCLUDE],
    new: |setup| PLAN.collector(setup),
};

static PLAN: Plan = Plan {
    class: "class/hwmon",
    is_wanted: |name| name.starts_with(b"hwmon"),
    open: |path, readings| {
        let entry = path.file_name().unwrap_or_default().as_bytes();
        let chip = read_once(&path.join("name"));
        for file in sensors(path) {
            let sensor = file.split(|byte| *byte == b'_').next().unwrap_or_default();
            let label = [sensor, b"_label"].concat();
            let label = read_once(&path.join(OsStr::from_bytes(&label))).unwrap_or_default();
            let chip = chip.as_deref().unwrap_or(entry);
            readings.add(&[chip, sensor, &label], kind(&file).unwrap_or(0), &path.join(OsStr::from_bytes(&file)));
        }
    },
    parse,
    exclude: Some(&EXCLUDE),
    head: SENSORS.head(),
};

/// Returns the files of a chip's sensors, in the order of their numbers.
fn sensors(path: &Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    if let Ok(mut directory) = Directory::open(path) {
        let _ = directory.list(|name, _| {
            if kind(name).is_some() {
                // An input stands before an average.
                let is_behind = |other: &Vec<u8>| (name.len(), name) < (other.len(), other);
                let place = files.iter().position(is_behind).unwrap_or(files.len());
                files.insert(place, name.to_owned());
            }
        });
    }
    files
}

/// Returns the kind of the sensor of which this is the file with what it measures, such as `temp1_input`.
fn kind(file: &[u8]) -> Option<usize> {
    let stem = file.strip_suffix(b"_input").or_else(|| file.strip_suffix(b"_average"))?;
    KINDS.iter().position(|kind| {
        let number = stem.strip_prefix(kind.name.as_bytes());
        number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    })
}

/// `52150`: a whole number of the kind's unit in the kernel.
fn parse(text: &[u8], kind: usize) -> Result<Value, Bad> {
    let (text, Kind { places, range: (low, high), .. }) = (trim(text), &KINDS[kind]);
    match int(text) {
        Some(number) if *low < number && number < *high => Ok(Value::signed(number, *places)),
        Some(_) => Err(Bad::implausible("a number, as a sensor of this kind measures", text)),
        None => Err(Bad::new(1, "a number", text)),
    }
}

/// Runs the parsers of this file, for its fuzz target.
#[cfg(fuzzing)]
pub fn fuzz(text: &[u8]) {
    for place in 0..KINDS.len() {
        let _ = parse(text, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_files() {
        for (file, text, value) in [
            ("temp1_input", "52150\n", 52.15),
            ("temp12_input", "-5500\n", -5.5),
            ("fan2_input", "0\n", 0.0),
            ("in0_input", "5098\n", 5.098),
            ("curr1_input", "-250\n", -0.25),
            ("power1_average", "4250000\n", 4.25),
        ] {
            let kind = kind(file.as_bytes()).unwrap();
            assert_eq!(parse(text.as_bytes(), kind).map(Value::to_f64), Ok(Some(value)), "{file}");
        }
        for other in [
            "temp1_max",
            "temp_input",
            "in0_lcrit_alarm",
            "intrusion0_alarm",
            "pwm1_input",
            "fan1x_input",
            "_input",
            "name",
        ] {
            assert_eq!(kind(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn what_cannot_be_is_no_value_and_no_fault() {
        for (place, text) in [(0, "-274000"), (1, "-1"), (1, "65535"), (1, "2147483647"), (2, "9999999999"), (4, "-5")]
        {
            assert!(parse(text.as_bytes(), place).unwrap_err().implausible, "{text}");
        }
        for bad in ["", "warm", "1.5", "9223372036854775808"] {
            assert!(!parse(bad.as_bytes(), 0).unwrap_err().implausible, "{bad}");
        }
    }
}
