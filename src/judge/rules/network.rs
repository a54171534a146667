//! Interfaces that lose data.

use crate::collect::network::INTERFACES;
use crate::judge::rule::Rule;
use crate::judge::view::View;
use crate::model::{Finding, Input, Severity};

static RECEIVE_ERRORS: Input = INTERFACES.input("pi_network_receive_errors_total");
static TRANSMIT_ERRORS: Input = INTERFACES.input("pi_network_transmit_errors_total");

pub static NETWORK_ERRORS: Rule = Rule::new(
    "network_errors",
    "a network interface has errors",
    Severity::Warning,
    "network",
    &[&RECEIVE_ERRORS, &TRANSMIT_ERRORS],
    network_errors,
)
.event(8)
.fix("Replace the cable or the port, or improve the Wi-Fi signal");

fn network_errors(view: &mut View<'_>, found: &mut Finding) -> bool {
    let Some(section) = view.section(&RECEIVE_ERRORS) else { return false };
    let (mut worst, mut most) = (None, 0.0);
    for row in section.rows() {
        let name = row.labels().next().unwrap_or("");
        let mut all = 0.0;
        for input in [&RECEIVE_ERRORS, &TRANSMIT_ERRORS] {
            let Some(value) = view.of(row, input) else { continue };
            if let Some((growth, _)) = view.growth(input, name, value) {
                all += growth;
            }
        }
        if all > most {
            most = all;
            worst = Some(name);
        }
    }
    let Some(name) = worst else { return false };
    found.name(
        name,
        format_args!("{name} has errors"),
        format_args!("New errors since the last sample: {}", most as u64),
    )
}
