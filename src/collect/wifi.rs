//! Wi-Fi: how well each interface hears its access point, and how well it is heard.
//! nl80211, `include/uapi/linux/nl80211.h`; `/proc/net/wireless` where no radio speaks that.
//!
//! A driver may have to ask its firmware, and wait for it, so a thread asks, at most every 5 s and only for a scrape.

use super::{Collect, Context, Registration};
use crate::kernel::nl80211::{self, Interface, Talk, VALUES};
use crate::kernel::{Answer, Asker, Fault, Source};
use crate::model::{Family, Place, Snapshot, Table, Unit, Value, prose, reference};
use crate::runtime::sandbox::{Needs, Rights};
use crate::sys;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub static INTERFACES: Table<1, VALUES> = Table::new(
    Place::List("interfaces"),
    &["interface"],
    &[
        Family::gauge(
            "pi_wifi_signal_dbm",
            "Signal of the access point in dBm: -50 is strong, -70 is weak, -80 is hardly usable.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_wifi_noise_dbm",
            "Noise on the channel in use, in dBm. A Raspberry Pi's own radio does not report it.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_wifi_transmit_bits_per_second",
            "Bit rate of the last frame sent to the access point, not throughput.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_wifi_receive_bits_per_second",
            "Bit rate of the last frame received from the access point, not throughput.",
            Unit::Count,
        ),
        Family::counter(
            "pi_wifi_retries_total",
            "Frames sent again since the interface connected, where the driver counts them.",
            Unit::Count,
        ),
        Family::counter(
            "pi_wifi_failures_total",
            "Frames given up since the interface connected, where the driver counts them.",
            Unit::Count,
        ),
        Family::counter(
            "pi_wifi_beacon_losses_total",
            "Times since the interface connected that it did not hear the access point, where the driver counts them.",
            Unit::Count,
        ),
        Family::gauge(
            "pi_wifi_power_save",
            "1 if the radio may sleep between frames, which makes the machine answer late, 0 otherwise.",
            Unit::Count,
        ),
        Family::gauge("pi_wifi_frequency_hertz", "Frequency of the channel in use.", Unit::Hertz),
    ],
);

/// How long an answer is good enough to ask for no other, and how long it is shown.
const FRESH: Duration = Duration::from_secs(5);
const SHOWN: Duration = Duration::from_secs(150);

pub static COLLECTOR: Registration = Registration {
    name: "wifi",
    summary: prose("signal, bit rates, retries and power save of Wi-Fi"),
    source: reference("nl80211, /proc/net/wireless"),
    needs: Needs {
        paths: "proc/net/wireless sys/class/ieee80211",
        rights: &Rights { before: Some(nl80211::reserve), ..Rights::NONE },
    },
    tables: &[INTERFACES.head()],
    flags: &[],
    new: |setup| {
        let sys = setup.roots.sys.clone();
        super::boxed(Wifi {
            radios: sys.join("class/ieee80211"),
            has_radio: false,
            sys,
            open: setup.machine.radios,
            wireless: setup.proc("net/wireless"),
            found: Arc::default(),
            asker: None,
            asked: None,
        })
    },
};

struct Wifi {
    /// The directory of all radios that speak nl80211.
    radios: PathBuf,
    has_radio: bool,
    sys: PathBuf,
    open: fn(&Path) -> io::Result<Talk>,
    wireless: Source,
    /// What the thread found last.
    found: Arc<Mutex<Vec<Interface>>>,
    /// None until there is a radio.
    asker: Option<Asker>,
    asked: Option<Duration>,
}

impl Wifi {
    /// Starts the thread if there is a radio that it can ask.
    fn start(&mut self) -> io::Result<Asker> {
        let mut talk = (self.open)(&self.sys)?;
        let theirs = self.found.clone();
        let mut known = Vec::new();
        Asker::start(Box::new(move || {
            let result = nl80211::look(&mut talk, &mut known);
            theirs.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&known);
            result.map(|()| 0)
        }))
    }
}

impl Collect for Wifi {
    fn prepare(&mut self, context: &mut Context<'_>) {
        let now = context.moment.since_boot;
        if self.asked.is_some_and(|asked| now.saturating_sub(asked) < FRESH) {
            return;
        }
        self.asked = Some(now);
        if self.asker.is_none() {
            self.has_radio = nl80211::has_radio(&self.radios);
        }
        if self.asker.is_none() && self.has_radio {
            match self.start() {
                Ok(asker) => self.asker = Some(asker),
                Err(error) => crate::debug!("nl80211: {error}"),
            }
        }
        if let Some(asker) = &self.asker {
            asker.ask();
        }
    }

    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        if let Some(asker) = &self.asker {
            let Some(Answer { at, value }) = asker.answer() else { return Ok(()) };
            let is_stuck = value == Err(libc::ETIMEDOUT);
            if !is_stuck && sys::since_boot().saturating_sub(at) < SHOWN {
                for interface in &*self.found.lock().unwrap_or_else(PoisonError::into_inner) {
                    push(interface.name(), interface.values, out);
                }
            }
            let error = |code| Fault::read(Path::new("nl80211"), io::Error::from_raw_os_error(code));
            return value.map(drop).map_err(error);
        }
        // With a radio that speaks nl80211 the file would ask it, and wait.
        if self.has_radio {
            return Ok(());
        }
        let Wifi { wireless, .. } = self;
        let mut push = |name: &[u8], values| push(name, values, out);
        match wireless.try_read().map(|text| nl80211::parse_wireless(text, &mut push)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Fault::read(wireless.path(), error)),
            Ok(parsed) => parsed.map_err(|bad| wireless.refuse(bad)),
        }
    }
}

fn push(name: &[u8], values: [Value; VALUES], out: &mut Snapshot) {
    if values.iter().any(|value| value.is_present()) {
        out.row(&INTERFACES, [name], values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Setup;
    use crate::kernel::{Machine, RemoteStat, Roots, answer};
    use crate::model::{Moment, Section};

    const WIRELESS: &str = "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
 wlan0: 0000   43.  -67.  -256        0      0      0     87      0        0
";

    /// What the collector reports of a machine with these files, once `until` is fulfilled.
    fn collect(
        test: &str,
        has_radio: bool,
        radios: fn(&Path) -> io::Result<Talk>,
        until: fn(&[String], &Result<(), Fault>) -> bool,
    ) -> Vec<String> {
        let dir = std::env::temp_dir().join(format!("pi-monitor-wifi-{test}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("net")).unwrap();
        std::fs::write(dir.join("net/wireless"), WIRELESS).unwrap();
        if has_radio {
            std::fs::create_dir_all(dir.join("class/ieee80211/phy0")).unwrap();
        }
        let options = crate::commands::parse([]).unwrap();
        let roots = Roots { proc: dir.clone(), sys: dir.clone(), ..Roots::default() };
        let machine = Machine { radios, ..Machine::default() };
        let mut collector = (COLLECTOR.new)(&mut Setup::new(&roots, machine, &options));
        let mut out = Snapshot::new();
        out.register(COLLECTOR.name, COLLECTOR.tables);
        let mut remote = RemoteStat::new(answer);
        let rows = loop {
            let moment = Moment::default();
            let mut context = Context { moment, remote: &mut remote, levels: &mut (), tick: false, lists: true };
            out.clear(moment);
            out.select(0);
            collector.prepare(&mut context);
            let result = collector.collect(&mut context, &mut out);
            let show = |row: crate::model::Row<'_>| format!("{} {:?}", row.labels().next().unwrap(), row.values());
            let rows: Vec<_> = out.parts()[0].sections.iter().flat_map(Section::rows).map(show).collect();
            if until(&rows, &result) {
                break rows;
            }
        };
        std::fs::remove_dir_all(dir).unwrap();
        rows
    }

    fn none(_: &Path) -> io::Result<Talk> {
        Err(io::ErrorKind::NotFound.into())
    }

    #[test]
    fn the_old_file_is_read_where_no_radio_speaks_nl80211() {
        let rows = collect("file", false, none, |_, _| true);
        assert_eq!(rows, ["wlan0 [-67, absent, absent, absent, absent, 87, absent, absent, absent]"]);
        // With one that does, it would let the collector wait.
        assert_eq!(collect("radio", true, none, |_, result| result.is_ok()), [""; 0]);
    }

    #[test]
    fn a_radio_is_asked_by_a_thread() {
        fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
            crate::kernel::netlink::testing::attribute(number, value)
        }
        let radios = |_: &Path| -> io::Result<Talk> {
            Ok(Box::new(|_, body, each| {
                let word = |number, value: u32| attribute(number, &value.to_ne_bytes());
                match body[0] {
                    5 => each(&[word(3, 3), attribute(4, b"wlan0\0"), word(5, 3), word(38, 5180)].concat()),
                    62 => each(&word(93, 1)),
                    _ => return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
                }
                Ok(())
            }))
        };
        let rows = collect("thread", true, radios, |rows, result| !rows.is_empty() && result.is_ok());
        assert_eq!(rows, ["wlan0 [absent, absent, absent, absent, absent, absent, absent, 1, 5180000000]"]);
    }

    #[test]
    fn a_radio_that_does_not_answer_is_a_fault() {
        let radios = |_: &Path| -> io::Result<Talk> {
            Ok(Box::new(|_, _, _| Err(io::Error::from_raw_os_error(libc::ETIMEDOUT))))
        };
        let is_fault = |_: &[String], result: &Result<(), Fault>| {
            result.as_ref().is_err_and(|fault| fault.to_string().starts_with("nl80211: "))
        };
        assert_eq!(collect("fault", true, radios, is_fault), [""; 0]);
    }
}
