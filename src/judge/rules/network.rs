//! Interfaces that lose data or their link. Only those that count toward the machine's total are judged: others repeat the
//! trouble of the interface below them, or are idle by nature.

use crate::collect::{conntrack::CONNTRACK, network::INTERFACES};
use crate::judge::rule::{Rule, above};
use crate::judge::view::{LinkPast, View};
use crate::judge::words::Tenths;
use crate::model::{Finding, Input, Row, Section, Severity, Unit, key};

static RECEIVE_ERRORS: Input = INTERFACES.input("pi_network_receive_errors_total");
static TRANSMIT_ERRORS: Input = INTERFACES.input("pi_network_transmit_errors_total");
static RECEIVE_PACKETS: Input = INTERFACES.input("pi_network_receive_packets_total");
static TRANSMIT_PACKETS: Input = INTERFACES.input("pi_network_transmit_packets_total");
static COUNTED: Input = INTERFACES.input("pi_network_counted");
static CARRIER: Input = INTERFACES.input("pi_network_carrier");
static TRACKED: Input = CONNTRACK.input("pi_conntrack_entries");
static TRACKED_MAX: Input = CONNTRACK.input("pi_conntrack_entries_max");
static CHANGES: Input = INTERFACES.input("pi_network_carrier_changes_total");

fn name<'a>(row: Row<'a>) -> &'a str {
    row.labels().next().unwrap_or("")
}

/// The interfaces; forgets those that are gone: an adapter that comes back starts anew.
fn interfaces<'a>(view: &mut View<'a>, input: &'static Input) -> Option<&'a Section> {
    let section = view.section(input)?;
    view.links().retain(|past| section.rows().any(|row| key(name(row), 0) == past.key));
    Some(section)
}

pub static NETWORK_ERRORS: Rule = Rule::new(
    "network_errors",
    "a network interface has errors",
    Severity::Warning,
    "network",
    &[&COUNTED, &RECEIVE_ERRORS, &TRANSMIT_ERRORS, &RECEIVE_PACKETS, &TRANSMIT_PACKETS],
    network_errors,
)
.limits(&[
    above("rule.network_errors.above PERCENT 1", Unit::Percent, "Share of an interface's packets that are broken."),
    above(
        "rule.network_errors.count.above NUMBER 5",
        Unit::Count,
        "Broken packets within about a minute, below which a share says nothing.",
    ),
])
.event(8)
.fix("Replace the cable or the port, or improve the Wi-Fi signal");

fn network_errors(view: &mut View<'_>, found: &mut Finding) -> bool {
    /// For how long packets count, in seconds; older ones count less and less.
    const WINDOW: f64 = 60.0;
    let Some(section) = interfaces(view, &COUNTED) else { return false };
    let (share, count) = (view.limit(), view.second_limit());
    let (mut worst, mut most) = (None, 0.0);
    for row in section.rows() {
        if view.of(row, &COUNTED) != Some(1.0) {
            continue;
        }
        let name = name(row);
        let mut time = 0.0;
        let growth = [&RECEIVE_ERRORS, &TRANSMIT_ERRORS, &RECEIVE_PACKETS, &TRANSMIT_PACKETS].map(|input| {
            let (growth, seconds) = view.of(row, input).and_then(|value| view.growth(input, name, value))?;
            time = seconds;
            Some(growth)
        });
        let [Some(received), Some(sent), Some(rx_packets), Some(tx_packets)] = growth else { continue };
        let errors = received + sent;
        let left = (1.0 - time / WINDOW).max(0.0);
        let past = view.link(key(name, 0));
        past.errors = past.errors * left + errors;
        // Broken packets are not among those that the kernel counts as received.
        past.packets = past.packets * left + rx_packets + tx_packets + errors;
        let percent = past.errors / past.packets * 100.0;
        if errors > 0.0 && past.errors >= count && percent >= share && percent > most {
            most = percent;
            worst = Some((name, errors as u64));
        }
    }
    let Some((name, errors)) = worst else { return false };
    found.measured = Some(most);
    found.name(
        name,
        format_args!("{name} has errors"),
        format_args!("{}% of its packets are broken, {errors} since the last sample", Tenths(most)),
    )
}

pub static LINK_DOWN: Rule = Rule::new(
    "link_down",
    "a network interface lost its link",
    Severity::Warning,
    "network",
    &[&CARRIER],
    link_down,
)
.fix("Check the cable and the device at its other end, or the Wi-Fi network; if it is meant to be off, use ip link set INTERFACE down");

fn link_down(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(section) = interfaces(view, &CARRIER) else { return false };
    let mut down = false;
    for row in section.rows() {
        let name = name(row);
        match view.of(row, &CARRIER) {
            Some(1.0) => view.link(key(name, 0)).was_up = true,
            // A port that never had a link is not in use.
            Some(_) if !down && view.link(key(name, 0)).was_up => {
                down = found.name(
                    name,
                    format_args!("{name} lost its link"),
                    format_args!("It had a link before, and nobody switched it off"),
                );
            }
            _ => {}
        }
    }
    down
}

pub static LINK_FLAPPING: Rule = Rule::new(
    "link_flapping",
    "the link of a network interface comes and goes",
    Severity::Warning,
    "network",
    &[&CHANGES],
    link_flapping,
)
.limits(&[above(
    "rule.link_flapping.above NUMBER 6",
    Unit::Count,
    "Changes of a link within a few minutes; a link that went and came back changed twice.",
)])
.at_once()
.event(120)
.fix("Replace the cable, the power supply or the port, or improve the Wi-Fi signal");

fn link_flapping(view: &mut View<'_>, found: &mut Finding) -> bool {
    /// How long it takes to forget one change, in seconds.
    const FORGET: f64 = 100.0;
    let Some(section) = interfaces(view, &CHANGES) else { return false };
    let (limit, now) = (view.limit(), view.now());
    let (mut worst, mut most) = (None, 0.0);
    for row in section.rows() {
        let name = name(row);
        let Some(value) = view.of(row, &CHANGES) else { continue };
        let Some((changes, time)) = view.growth(&CHANGES, name, value) else { continue };
        let LinkPast { flaps, changes: count, since, .. } = view.link(key(name, 0));
        *flaps = (*flaps - time / FORGET).max(0.0);
        if *flaps == 0.0 {
            (*count, *since) = (0.0, now);
        }
        *flaps += changes;
        *count += changes;
        if changes > 0.0 && *flaps >= limit && *flaps > most {
            most = *flaps;
            worst = Some((name, *count as u64, (now - *since).div_ceil(60).max(1)));
        }
    }
    let Some((name, count, minutes)) = worst else { return false };
    found.measured = Some(count as f64);
    found.name(
        name,
        format_args!("The link of {name} comes and goes"),
        format_args!("{count} changes in {minutes} min"),
    )
}

pub static CONNTRACK_FULL: Rule = Rule::new(
    "conntrack_full",
    "the firewall tracks almost as many connections as it can",
    Severity::Warning,
    "network",
    &[&TRACKED, &TRACKED_MAX],
    conntrack_full,
)
.limits(&[above(
    "rule.conntrack_full.above PERCENT 90",
    Unit::Percent,
    "Connections that the firewall tracks, of those it can.",
)])
.slow()
.fix("Find the device with so many connections, or raise net.netfilter.nf_conntrack_max (sysctl)");

fn conntrack_full(view: &mut View<'_>, found: &mut Finding) -> bool {
    let (Some(tracked), Some(max)) = (view.value(&TRACKED, ""), view.value(&TRACKED_MAX, "")) else { return false };
    let percent = if max > 0.0 { tracked / max * 100.0 } else { 0.0 };
    found.measured = Some(percent);
    percent >= view.limit()
        && found.name(
            "firewall",
            format_args!("The firewall tracks almost too many connections"),
            format_args!("{} of {}; beyond that, packets of new ones are dropped", tracked as u64, max as u64),
        )
}
