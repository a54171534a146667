//! The flags of the server.

use super::gate::CONNECTIONS_MAX;
use crate::cli::{Bare, Entry, Flag, Options, prose};

pub static LISTEN: Flag = Flag {
    words: "web.listen-address ADDRESS :9100",
    help: prose("Address and port to serve on; without an address, all of IPv6 and IPv4. May be given more than once."),
    check: check_address,
};
pub static ALLOWED_HOSTS: Flag = Flag {
    words: "web.allowed-hosts NAMES ",
    help: prose(
        "Host names to answer to, separated by commas; *.NAME for all below one. Addresses and localhost always work. Without it, every name does.",
    ),
    check: super::host::check,
};
pub static FRAME_ANCESTORS: Flag = Flag {
    words: "web.frame-ancestors ORIGINS ",
    help: prose(
        "Sites whose pages may show the dashboard in a frame, separated by commas, such as http://homeassistant.local:8123; self, *, and https: for all of that scheme. Without it, none.",
    ),
    check: super::frames::check,
};
pub static CONNECTIONS_PER_ADDRESS: Flag = Flag {
    words: "web.connections-per-address NUMBER 16",
    help: prose(
        "Connections of one client address that stay open between requests, from 1 to 128; more are answered and closed. Raise it where many clients share an address.",
    ),
    check: |value| parse_connections(value).map(drop),
};
pub static WAIT_FOR_ADDRESS: Bare = Bare {
    name: "web.wait-for-address",
    help: prose(
        "If another program has a port, or a host name is not known yet, try again every 10 s instead of ending; the log has one line at first, and one when it is served.",
    ),
};
pub static AUTH_FILE: Flag = Flag {
    words: "web.auth-file FILE ",
    help: prose(
        "Require one of the credentials in FILE, one per line: bearer TOKEN, or basic NAME:PASSWORD. /health stays open. The command events shows the first one to the agent that it asks.",
    ),
    check: check_file,
};
pub static CONFIG_FILE: Flag = Flag {
    words: "web.config.file FILE ",
    help: prose(
        "Require a user in basic_auth_users of a web configuration file of Prometheus exporters. /health stays open. A binary built with TLS speaks it as tls_server_config in the file says.",
    ),
    check: check_file,
};

/// All of them, in the order of `--help`.
pub static FLAGS: &[Entry] = &[
    Entry::Value(&LISTEN),
    Entry::Bare(&WAIT_FOR_ADDRESS),
    Entry::Value(&ALLOWED_HOSTS),
    Entry::Value(&FRAME_ANCESTORS),
    Entry::Value(&CONNECTIONS_PER_ADDRESS),
    Entry::Value(&AUTH_FILE),
    Entry::Value(&CONFIG_FILE),
];

/// Returns how many connections of one address stay open between requests.
pub fn connections_per_address(options: &Options) -> usize {
    parse_connections(options.value(&CONNECTIONS_PER_ADDRESS)).unwrap_or(1)
}

fn parse_connections(value: &str) -> Result<usize, String> {
    let count = value.parse().ok().filter(|count| (1..=CONNECTIONS_MAX).contains(count));
    count.ok_or_else(|| format!("not a number from 1 to {CONNECTIONS_MAX}"))
}

/// `ADDRESS:PORT`, `[IPV6]:PORT`, `:PORT` or `NAME:PORT`; whether the name exists is seen when it is used.
fn check_address(value: &str) -> Result<(), String> {
    let Some((host, port)) = value.rsplit_once(':') else {
        return Err("not ADDRESS:PORT, such as :9100 or 127.0.0.1:9100".to_owned());
    };
    if port.parse::<u16>().is_err() {
        return Err(format!("\"{port}\" is not a port from 0 to 65535"));
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err(format!("an IPv6 address needs brackets: [{host}]:{port}"));
    }
    Ok(())
}

/// That it can be opened. An empty word where a file was meant must not open the door.
fn check_file(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("expected the name of a file".to_owned());
    }
    std::fs::File::open(value).map(drop).map_err(|error| error.to_string())
}
