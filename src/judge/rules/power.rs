//! Voltage, throttling and heat.

use crate::collect::{power::THROTTLING, thermal::SENSORS};
use crate::judge::rule::{Rule, above, below};
use crate::judge::view::View;
use crate::judge::words::Tenths;
use crate::model::{Finding, Input, Severity, Unit};

static EVENTS: Input = THROTTLING.input("pi_throttled_events_total");
static THROTTLED_NOW: Input = THROTTLING.input("pi_throttled");
static TEMPERATURE: Input = SENSORS.input("pi_temperature_celsius");
static CRITICAL: Input = SENSORS.input("pi_temperature_critical_celsius");

pub static UNDER_VOLTAGE: Rule = Rule::new(
    "under_voltage",
    "the supply voltage is too low",
    Severity::Critical,
    "thermal",
    &[&THROTTLED_NOW, &EVENTS],
    under_voltage,
)
.limits(&[above(
    "rule.under_voltage.above NUMBER 5",
    Unit::Count,
    "Under-voltages within an hour, however short, at most 32.",
)])
.fix("Use the official power supply for this board and a short cable, and unplug USB devices that draw much power");

fn under_voltage(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(events) = view.value(&EVENTS, "under_voltage") else { return false };
    let growth = view.growth(&EVENTS, "under_voltage", events).map_or(0.0, |(growth, _)| growth);
    let dips = view.under_voltages(growth);
    found.measured = Some(dips as f64);
    let title = format_args!("Under-voltage");
    if view.value(&THROTTLED_NOW, "under_voltage") == Some(1.0) {
        found.name("power supply", title, format_args!("Supply voltage is below 4.63 V right now"))
    } else {
        dips as f64 >= view.limit()
            && found.name(
                "power supply",
                title,
                format_args!("Supply voltage fell below 4.63 V {dips} times within an hour"),
            )
    }
}

pub static THROTTLED: Rule = Rule::new(
    "throttled",
    "the firmware slows the CPU down",
    Severity::Warning,
    "thermal",
    &[&THROTTLED_NOW],
    throttled,
)
.fix("Improve the cooling, or the power supply if under-voltage is reported too");

fn throttled(view: &mut View<'_>, found: &mut Finding) -> bool {
    const REASONS: [(&str, &str); 3] = [
        ("throttled", "The firmware throttles the CPU right now"),
        ("soft_temperature_limit", "The firmware lowers the clock at its soft temperature limit right now"),
        ("frequency_capped", "The firmware caps the clock right now"),
    ];
    let on = |(reason, _): &&(&str, &str)| view.value(&THROTTLED_NOW, reason) == Some(1.0);
    let Some((reason, detail)) = REASONS.iter().find(on) else { return false };
    found.name(reason, format_args!("CPU is throttled"), format_args!("{detail}"))
}

pub static HOT: Rule =
    Rule::new("hot", "a temperature sensor is hot", Severity::Critical, "thermal", &[&TEMPERATURE, &CRITICAL], hot)
        .limits(&[
            above("rule.hot.above CELSIUS 80", Unit::Celsius, "Temperature of a sensor that has no critical one."),
            below(
                "rule.hot.margin.below CELSIUS 10",
                Unit::Celsius,
                "Distance of a sensor from its own critical temperature.",
            ),
        ])
        .fix("Add a heat sink or a fan, clear its vents, or move the board to a cooler place");

fn hot(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(section) = view.section(&TEMPERATURE) else { return false };
    let (above, margin) = (view.limit(), view.second_limit());
    let mut worst: Option<(f64, &str, f64, Option<f64>)> = None;
    for row in section.rows() {
        let Some(celsius) = view.of(row, &TEMPERATURE) else { continue };
        let critical = view.of(row, &CRITICAL);
        // How far it is beyond what is still well.
        let beyond = match critical {
            Some(critical) if celsius > critical - margin => celsius - critical + margin,
            None if celsius >= above => celsius - above,
            _ => continue,
        };
        if worst.is_none_or(|(other, ..)| beyond > other) {
            worst = Some((beyond, row.labels().next().unwrap_or(""), celsius, critical));
        }
    }
    let Some((_, sensor, celsius, critical)) = worst else { return false };
    found.measured = Some(celsius);
    match critical {
        Some(critical) => {
            let (celsius, critical) = (Tenths(celsius), Tenths(critical));
            found.name(sensor, format_args!("{sensor} is hot"), format_args!("{celsius} °C, critical at {critical} °C"))
        }
        None => found.name(sensor, format_args!("{sensor} is hot"), format_args!("{} °C", Tenths(celsius))),
    }
}
