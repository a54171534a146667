//! The flags of the server.

use crate::cli::Flag;

pub static LISTEN: Flag = Flag {
    name: "web.listen-address",
    value: "ADDRESS",
    default: ":9100",
    help: "Address and port to serve on; without an address, all of IPv6 and IPv4. May be given more than once.",
    check: check_address,
};
pub static ALLOWED_HOSTS: Flag = Flag {
    name: "web.allowed-hosts",
    value: "NAMES",
    default: "",
    help: "Host names to be asked by, separated by commas; *.NAME for all below one. Addresses and localhost always are. Without it, every name.",
    check: super::host::check,
};
pub static AUTH_FILE: Flag = Flag {
    name: "web.auth-file",
    value: "FILE",
    default: "",
    help: "Let in only who has one of the file's credentials, each on a line: bearer TOKEN, or basic NAME:PASSWORD. /health stays open.",
    check: check_file,
};
pub static CONFIG_FILE: Flag = Flag {
    name: "web.config.file",
    value: "FILE",
    default: "",
    help: "Let in only the basic_auth_users of a web configuration file of Prometheus exporters. /health stays open. A binary built for it speaks TLS as the file's tls_server_config says.",
    check: check_file,
};

/// All of them, in the order of `--help`.
pub static FLAGS: &[&Flag] = &[&LISTEN, &ALLOWED_HOSTS, &AUTH_FILE, &CONFIG_FILE];

/// `ADDRESS:PORT`, `[IPV6]:PORT`, `:PORT` or `NAME:PORT`; whether the name exists is seen when it is used.
fn check_address(value: &str) -> Result<(), String> {
    let Some((host, port)) = value.rsplit_once(':') else {
        return Err("not ADDRESS:PORT, such as :9100 or 127.0.0.1:9100".to_owned());
    };
    if port.parse::<u16>().is_err() {
        return Err(format!("{port:?} is not a port from 0 to 65535"));
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err(format!("an IPv6 address needs brackets: [{host}]:{port}"));
    }
    Ok(())
}

/// That it can be opened. An empty word where a file was meant must not open the door.
fn check_file(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("wanted a file's name".to_owned());
    }
    std::fs::File::open(value).map(drop).map_err(|error| error.to_string())
}
