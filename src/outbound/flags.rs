//! The flags of what leaves the machine.

use super::mqtt::is_topic;
use crate::cli::flag::parse_duration;
use crate::cli::{Entry, Flag, Options, prose};
use crate::judge::rules;
use crate::model::{Severity, kinds};

/// What durations may be, in seconds.
const SHORTEST: u64 = 5;
const LONGEST: u64 = 30 * 86_400;

pub static WEBHOOK: Flag = Flag {
    words: "notify.webhook URL ",
    help: prose(
        "Send a message to URL when a verdict or an event of --notify.severity begins, and when it ends; @FILE names a file that holds the address. May be given more than once, as the next three may.",
    ),
    check: any,
};
pub static NTFY: Flag = Flag {
    words: "notify.ntfy URL ",
    help: prose("The same to a topic of ntfy, such as http://ntfy.local/alerts."),
    check: any,
};
pub static ALERTMANAGER: Flag = Flag {
    words: "notify.alertmanager URL ",
    help: prose("The same to an Alertmanager, such as http://localhost:9093."),
    check: any,
};
pub static EXEC: Flag = Flag {
    words: "notify.exec PROGRAM ",
    help: prose("Start PROGRAM with the message as its standard input, without a shell."),
    check: any,
};
pub static HEARTBEAT: Flag = Flag {
    words: "notify.heartbeat URL ",
    help: prose("Get URL once a minute while the agent is well, for a service that reports when that stops."),
    check: any,
};
pub static SEVERITY: Flag = Flag {
    words: "notify.severity LEVEL warning",
    help: prose("Least severe events that are sent: critical, warning or info."),
    check: check_severity,
};
pub static EXCLUDE: Flag = Flag {
    words: "notify.exclude NAMES ",
    help: prose("Rules and kinds of events that are not sent, separated by commas."),
    check: check_names,
};
pub static REPEAT: Flag = Flag {
    words: "notify.repeat DURATION 4h",
    help: prose("Send what still lasts again after this time."),
    check: check_duration,
};
pub static WEBHOOK_CREDENTIALS: Flag = Flag {
    words: "notify.webhook.credentials-file FILE ",
    help: prose("File with bearer TOKEN or basic NAME:PASSWORD for all webhooks."),
    check: any,
};
pub static NTFY_CREDENTIALS: Flag =
    Flag { words: "notify.ntfy.credentials-file FILE ", help: prose("The same for ntfy."), check: any };
pub static ALERTMANAGER_CREDENTIALS: Flag =
    Flag { words: "notify.alertmanager.credentials-file FILE ", help: prose("The same for Alertmanager."), check: any };
pub static EXTERNAL_URL: Flag = Flag {
    words: "web.external-url URL ",
    help: prose("Where the receivers of messages find the dashboard; messages have links only with it."),
    check: check_url,
};

pub static REMOTE_WRITE: Flag = Flag {
    words: "push.remote-write URL ",
    help: prose(
        "Send all metrics to a Prometheus, VictoriaMetrics or Mimir by remote write 1.0, such as http://server:9090/api/v1/write; @FILE as above.",
    ),
    check: any,
};
pub static REMOTE_WRITE_INTERVAL: Flag = Flag {
    words: "push.remote-write.interval DURATION 60s",
    help: prose("How often metrics are sent."),
    check: check_duration,
};
pub static REMOTE_WRITE_LABELS: Flag = Flag {
    words: "push.remote-write.labels LABELS ",
    help: prose(
        "Labels for all series, such as site=home,room=attic. Without them, job is pi-monitor and instance the host's name.",
    ),
    check: check_labels,
};
pub static REMOTE_WRITE_BACKLOG: Flag = Flag {
    words: "push.remote-write.backlog DURATION 1h",
    help: prose("For how long metrics wait in memory for a server that is out of reach."),
    check: check_duration,
};
pub static REMOTE_WRITE_CREDENTIALS: Flag = Flag {
    words: "push.remote-write.credentials-file FILE ",
    help: prose("File with bearer TOKEN or basic NAME:PASSWORD for it."),
    check: any,
};
pub static MQTT: Flag = Flag {
    words: "push.mqtt URL ",
    help: prose(
        "Publish the document of /json at an MQTT broker, such as mqtt://homeassistant.local, and tell Home Assistant about it; @FILE as above.",
    ),
    check: any,
};
pub static MQTT_INTERVAL: Flag = Flag {
    words: "push.mqtt.interval DURATION 30s",
    help: prose("How often it is published; at once when a verdict begins or ends."),
    check: check_duration,
};
pub static MQTT_TOPIC: Flag = Flag {
    words: "push.mqtt.topic TOPIC ",
    help: prose("Topic above those of this machine; without it, pi-monitor/HOST."),
    check: check_topic,
};
pub static MQTT_DISCOVERY_PREFIX: Flag = Flag {
    words: "push.mqtt.discovery-prefix TOPIC homeassistant",
    help: prose("Home Assistant's own topic for discovery; empty for no discovery."),
    check: check_topic,
};
pub static MQTT_CREDENTIALS: Flag = Flag {
    words: "push.mqtt.credentials-file FILE ",
    help: prose("File with basic NAME:PASSWORD for the broker."),
    check: any,
};

#[cfg(feature = "tls")]
pub static CA_FILE: Flag = Flag {
    words: "push.ca-file FILE ",
    help: prose(
        "Certificates of the authorities that may vouch for receivers with https or mqtts; without it, those of the system.",
    ),
    check: any,
};

/// All of them, in the order of `--help`.
pub static FLAGS: &[Entry] = &[
    Entry::Value(&WEBHOOK),
    Entry::Value(&NTFY),
    Entry::Value(&ALERTMANAGER),
    Entry::Value(&EXEC),
    Entry::Value(&HEARTBEAT),
    Entry::Value(&SEVERITY),
    Entry::Value(&EXCLUDE),
    Entry::Value(&REPEAT),
    Entry::Value(&WEBHOOK_CREDENTIALS),
    Entry::Value(&NTFY_CREDENTIALS),
    Entry::Value(&ALERTMANAGER_CREDENTIALS),
    Entry::Value(&EXTERNAL_URL),
    Entry::Value(&REMOTE_WRITE),
    Entry::Value(&REMOTE_WRITE_INTERVAL),
    Entry::Value(&REMOTE_WRITE_LABELS),
    Entry::Value(&REMOTE_WRITE_BACKLOG),
    Entry::Value(&REMOTE_WRITE_CREDENTIALS),
    Entry::Value(&MQTT),
    Entry::Value(&MQTT_INTERVAL),
    Entry::Value(&MQTT_TOPIC),
    Entry::Value(&MQTT_DISCOVERY_PREFIX),
    Entry::Value(&MQTT_CREDENTIALS),
    #[cfg(feature = "tls")]
    Entry::Value(&CA_FILE),
];

/// Returns the file of [`CA_FILE`].
#[cfg(feature = "tls")]
pub fn authorities(options: &Options) -> String {
    options.value(&CA_FILE).to_owned()
}

/// Without TLS nobody has to vouch for anybody.
#[cfg(not(feature = "tls"))]
pub fn authorities(_: &Options) -> String {
    String::new()
}

/// Returns whether a flag names anybody that something is sent to.
pub fn any_receiver(options: &Options) -> bool {
    [&WEBHOOK, &NTFY, &ALERTMANAGER, &EXEC, &HEARTBEAT, &REMOTE_WRITE, &MQTT]
        .iter()
        .any(|flag| !options.value(flag).is_empty())
}

/// Addresses may be secrets: what is wrong with one is said without it, when it is used.
#[expect(clippy::unnecessary_wraps, reason = "it is a check")]
fn any(_: &str) -> Result<(), String> {
    Ok(())
}

/// Returns the severity of this name.
pub fn severity(name: &str) -> Option<Severity> {
    Severity::ALL.into_iter().find(|severity| severity.name() == name)
}

fn check_severity(value: &str) -> Result<(), String> {
    severity(value).map(drop).ok_or_else(|| "expected critical, warning or info".to_owned())
}

fn check_duration(value: &str) -> Result<(), String> {
    match parse_duration(value) {
        Some(time) if (SHORTEST..=LONGEST).contains(&time.as_secs()) => Ok(()),
        Some(_) => Err("expected a duration from 5s to 30d".to_owned()),
        None => Err("expected a duration such as 30s, 1m or 4h".to_owned()),
    }
}

/// Rules and kinds of events.
fn check_names(value: &str) -> Result<(), String> {
    let rules = || rules::ALL.iter().map(|rule| rule.head.name);
    let wrong = list(value).find(|name| !rules().chain(kinds::NAMES.iter().copied()).any(|known| known == *name));
    wrong.map_or(Ok(()), |name| {
        Err(format!("\"{name}\" is neither a rule (see --help) nor a kind of events ({})", kinds::NAMES.join(", ")))
    })
}

/// `NAME=VALUE,…`, names as Prometheus has them.
fn check_labels(value: &str) -> Result<(), String> {
    let is_name = |name: &str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(good) && !name.as_bytes()[0].is_ascii_digit() && !name.starts_with("__")
    };
    let good = |label: &str| label.split_once('=').is_some_and(|(name, value)| is_name(name) && !value.is_empty());
    if list(value).all(good) { Ok(()) } else { Err("expected labels such as site=home,room=attic".to_owned()) }
}

fn check_topic(value: &str) -> Result<(), String> {
    if value.is_empty() || is_topic(value) {
        Ok(())
    } else {
        Err("expected a topic such as pi-monitor/attic".to_owned())
    }
}

fn check_url(value: &str) -> Result<(), String> {
    if value.starts_with("http://") || value.starts_with("https://") {
        Ok(())
    } else {
        Err("expected http:// or https://".to_owned())
    }
}

/// The parts of a value between commas.
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|part| !part.is_empty())
}
