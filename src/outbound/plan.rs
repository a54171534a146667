//! What is sent where, as the command line says.

use super::address::{Address, authorization, first_line};
use super::flags;
use super::outbox::Manner;
use crate::cli::flag::parse_duration;
use crate::cli::{Flag, Options};
use crate::collect::board::hostname;
use crate::format::alert::{Form, Sender};
use crate::format::discovery::{Device, identify, plain};
use crate::judge::recorder::advice;
use crate::kernel::{Roots, read_once};
use crate::model::{Event, Receiver, Severity};
use crate::sys;
use std::ffi::CString;
use std::time::Duration;

/// How often Alertmanager hears of what lasts: after five minutes without a word it takes an alert for over.
const ALERTMANAGER_REPEAT: Duration = Duration::from_secs(60);

/// How a receiver is reached, and what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Alert(Form),
    Exec,
    Heartbeat,
    RemoteWrite,
    Mqtt,
}

/// Somebody that something is sent to.
#[derive(Debug)]
pub struct Route {
    pub kind: Kind,
    /// What it is and where, as anybody may see it.
    pub name: String,
    pub address: Address,
    /// Lines of a request's head.
    pub fields: String,
    /// For ntfy.
    pub topic: String,
    /// The line of a file that proves who sends; empty without one.
    pub credential: String,
}

/// All that the command line says.
#[derive(Debug)]
pub struct Plan {
    pub routes: Vec<Route>,
    /// What [`Kind::Exec`] starts.
    pub programs: Vec<CString>,
    pub host: String,
    pub url: String,
    /// The file with those who vouch for servers; empty for the system's.
    pub authorities: String,
    pub severity: Severity,
    /// Names between commas.
    pub exclude: String,
    pub repeat: Duration,
    pub labels: Vec<(String, String)>,
    pub backlog: Duration,
    pub intervals: [Duration; 2],
    pub topic: String,
    pub prefix: String,
    /// What stands for the machine where its name may change.
    pub id: String,
}

/// A flag with an address, the word for what it names, its scheme's ports, what it is, and the flag for its credentials.
struct Entry(&'static Flag, &'static str, [u16; 2], Kind, &'static Flag);

/// The ports of HTTP.
const WEB: [u16; 2] = [80, 443];
static ENTRIES: [Entry; 6] = [
    Entry(&flags::WEBHOOK, "webhook", WEB, Kind::Alert(Form::Document), &flags::WEBHOOK_CREDENTIALS),
    Entry(&flags::NTFY, "ntfy", WEB, Kind::Alert(Form::Ntfy), &flags::NTFY_CREDENTIALS),
    Entry(&flags::ALERTMANAGER, "alertmanager", WEB, Kind::Alert(Form::Alertmanager), &flags::ALERTMANAGER_CREDENTIALS),
    Entry(&flags::HEARTBEAT, "heartbeat", WEB, Kind::Heartbeat, &flags::HEARTBEAT),
    Entry(&flags::REMOTE_WRITE, "remote-write", WEB, Kind::RemoteWrite, &flags::REMOTE_WRITE_CREDENTIALS),
    Entry(&flags::MQTT, "mqtt", [1883, 8883], Kind::Mqtt, &flags::MQTT_CREDENTIALS),
];
/// Where Alertmanager takes alerts.
const ALERTS_PATH: &str = "/api/v2/alerts";

impl Entry {
    /// Reads one address.
    fn route(&self, value: &str, credentials: &str) -> Result<Route, String> {
        let Entry(_, word, ports, kind, _) = *self;
        let mut address = Address::parse(value, if kind == Kind::Mqtt { "mqtt" } else { "http" }, ports)?;
        let credential = if credentials.is_empty() { String::new() } else { first_line(credentials)? };
        let mut fields = if credential.is_empty() { String::new() } else { authorization(&credential)? };
        let mut topic = String::new();
        fields.push_str(match kind {
            Kind::RemoteWrite => {
                "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
            }
            _ => "Content-Type: application/json\r\n",
        });
        if kind == Kind::Alert(Form::Ntfy) {
            let at = address.path.rfind('/').unwrap_or(0) + 1;
            topic = address.path.split_off(at);
            if topic.is_empty() || topic.contains('?') {
                return Err("expected a topic behind the host, such as http://ntfy.local/alerts".to_owned());
            }
        }
        if kind == Kind::Alert(Form::Alertmanager) {
            address.path.truncate(address.path.trim_end_matches('/').len());
            if !address.path.ends_with(ALERTS_PATH) {
                address.path.push_str(ALERTS_PATH);
            }
        }
        Ok(Route { kind, name: format!("{word} {}", address.shown), address, fields, topic, credential })
    }
}

/// Returns what was given for a flag: all of it, or the last one.
#[inline(never)]
fn given<'a>(options: &'a Options, flag: &Flag, all: bool) -> Vec<&'a str> {
    if all {
        options.values(flag).into_iter().filter(|value| !value.is_empty()).collect()
    } else {
        flags::list(options.value(flag)).collect()
    }
}

#[inline(never)]
fn duration(options: &Options, flag: &Flag) -> Duration {
    parse_duration(options.value(flag)).unwrap_or_default()
}

impl Plan {
    /// Reads the flags, and the files that they name.
    ///
    /// # Errors
    /// One line that names the flag, and what is wrong with its value or file, without an address: those may be secrets.
    pub fn read(options: &Options) -> Result<Plan, String> {
        let mut routes = Vec::new();
        for entry in &ENTRIES {
            let Entry(flag, .., kind, credentials) = entry;
            let credentials = if *kind == Kind::Heartbeat { "" } else { options.value(credentials) };
            // Measurements go to one place each.
            let mut values = given(options, flag, true);
            if matches!(kind, Kind::RemoteWrite | Kind::Mqtt) && values.len() > 1 {
                values.drain(..values.len() - 1);
            }
            for value in values {
                routes.push(entry.route(value, credentials).map_err(|wrong| format!("--{}: {wrong}", flag.name()))?);
            }
        }
        let mut programs = Vec::new();
        for path in given(options, &flags::EXEC, true) {
            let Some(program) = CString::new(path).ok().filter(|_| path.starts_with('/')) else {
                return Err(format!("--{}={path}: expected an absolute path", flags::EXEC.name()));
            };
            programs.push(program);
            routes.push(Route {
                kind: Kind::Exec,
                name: format!("exec {}", path.rsplit('/').next().unwrap_or_default()),
                address: Address::default(),
                fields: String::new(),
                topic: String::new(),
                credential: String::new(),
            });
        }
        let roots = Roots::new(options);
        let host = hostname(&roots).trim().to_owned();
        let mut plan = Plan {
            routes,
            programs,
            authorities: flags::authorities(options),
            url: options.value(&flags::EXTERNAL_URL).trim_end_matches('/').to_owned(),
            severity: flags::severity(options.value(&flags::SEVERITY)).unwrap_or(Severity::Warning),
            exclude: options.value(&flags::EXCLUDE).to_owned(),
            repeat: duration(options, &flags::REPEAT),
            labels: Vec::new(),
            backlog: Duration::ZERO,
            intervals: [Duration::ZERO; 2],
            topic: String::new(),
            prefix: String::new(),
            id: String::new(),
            host,
        };
        plan.read_pushes(options, &roots);
        Ok(plan)
    }

    /// Reads the flags about measurements.
    fn read_pushes(&mut self, options: &Options, roots: &Roots) {
        // Cloned cards share the first one.
        let mut machine = read_once(&roots.root.join("etc/machine-id")).unwrap_or_default();
        machine.extend(read_once(&roots.sys.join("firmware/devicetree/base/serial-number")).unwrap_or_default());
        if machine.is_empty() {
            machine.extend_from_slice(self.host.as_bytes());
        }
        let labels = &mut self.labels;
        for (name, value) in [("instance", &*self.host), ("job", "pi-monitor")] {
            labels.push((name.to_owned(), value.to_owned()));
        }
        for label in given(options, &flags::REMOTE_WRITE_LABELS, false) {
            let (name, value) = label.split_once('=').unwrap_or_default();
            labels.retain(|(known, _)| known != name);
            labels.push((name.to_owned(), value.to_owned()));
        }
        self.topic = options.value(&flags::MQTT_TOPIC).to_owned();
        if self.topic.is_empty() {
            self.topic = format!("pi-monitor/{}", plain(&self.host));
        }
        self.backlog = duration(options, &flags::REMOTE_WRITE_BACKLOG);
        self.intervals = [duration(options, &flags::REMOTE_WRITE_INTERVAL), duration(options, &flags::MQTT_INTERVAL)];
        self.prefix = options.value(&flags::MQTT_DISCOVERY_PREFIX).to_owned();
        self.id = identify(&machine);
    }

    /// Returns whether anything of this kind is sent.
    pub fn has(&self, kind: Kind) -> bool {
        self.routes.iter().any(|route| route.kind == kind)
    }

    /// Returns what all messages say, now.
    pub fn sender(&self) -> Sender<'_> {
        let Plan { host, url, .. } = self;
        Sender { host, url, advice, now: sys::unix_time().as_millis() as i64 }
    }

    /// Returns how Home Assistant is to see this machine.
    pub fn device(&self) -> Device<'_> {
        let Plan { prefix, topic, id, host: name, url, intervals: [_, interval], .. } = self;
        Device { prefix, topic, id, name, url, interval: interval.as_secs() }
    }

    /// Returns what each receiver is called, with nothing sent yet.
    pub fn receivers(&self) -> Vec<Receiver> {
        let receiver = |route: &Route| Receiver {
            name: route.name.clone(),
            is_push: matches!(route.kind, Kind::RemoteWrite | Kind::Mqtt),
            counts: [0; 3],
            waiting: 0,
            last: 0,
        };
        self.routes.iter().map(receiver).collect()
    }

    /// Returns whether to report an event.
    pub fn wants(&self, event: &Event<'_>) -> bool {
        event.severity as u8 <= self.severity as u8
            && !flags::list(&self.exclude)
                .any(|name| name == if event.rule.is_empty() { event.kind.name } else { event.rule })
    }

    /// Returns how often a receiver wants messages; `None` for one that gets something else.
    pub fn manner(&self, kind: Kind) -> Option<Manner> {
        match kind {
            Kind::Alert(Form::Alertmanager) => Some(Manner { repeat: ALERTMANAGER_REPEAT, limited: false }),
            Kind::Alert(_) | Kind::Exec => Some(Manner { repeat: self.repeat, limited: true }),
            _ => None,
        }
    }
}
