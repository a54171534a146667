//! Owns the collectors: a snapshot no older than asked for, its rendered forms, and the tick.

pub mod flags;

use crate::cli::Options;
use crate::collect::processes::{self, COMMAND_LINES, PROCESSES, Processes, Progress};
use crate::collect::{
    self, Collect, Context, Registration, Setup,
    agent::{COLLECTORS, VERDICTS},
};
use crate::format::history::Times;
use crate::format::{self, Format, Gzip, Renderer};
use crate::history::{History, Request};
use crate::judge::Judge;
use crate::kernel::{self, Machine, RemoteStat, Roots, read_once};
use crate::model::{Moment, Snapshot, Value};
use crate::runtime::sandbox::Needs;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How often filesystems are looked at for verdicts while nobody scrapes.
const LOOK_AT_FILESYSTEMS: Duration = Duration::from_secs(30);

/// A rendered form of a snapshot, shared between the requests that it answers.
pub type Page = Arc<Vec<u8>>;

/// The collectors and what they last saw.
pub struct Agent {
    machine: Machine,
    slots: Vec<Slot>,
    remote: RemoteStat,
    snapshot: Snapshot,
    /// Which collectors `snapshot` holds a collection of, as bits.
    filled: u64,
    moments: u64,
    pages: [Rendered; Format::COUNT],
    renderer: Renderer,
    /// What the last tick saw: only the collectors that history keeps something of.
    sampled: Snapshot,
    history: History,
    verdicts: Judge,
    /// When the filesystems were last judged, and the collection that they were in.
    judged: (Duration, u64),
    history_page: Rendered,
    /// None if it is switched off.
    processes: Option<Processes>,
    processes_page: Rendered,
    /// The beginning of the kernel's number for this boot.
    boot_id: String,
    gzip: Gzip,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

/// A collector at work.
struct Slot {
    registration: &'static Registration,
    collector: Box<dyn Collect>,
    /// Whether history keeps any of its families.
    charted: bool,
    /// What went wrong last time, as it was logged; empty if nothing did.
    fault: String,
    duration: Duration,
}

/// A format's rendered form, plain and compressed, and the collection it shows.
#[derive(Default)]
struct Rendered {
    plain: Cached,
    gzip: Cached,
}

#[derive(Default)]
struct Cached {
    page: Page,
    of: Option<Key>,
}

/// What a page shows: the collection or tick, and the rest of what was asked for.
type Key = (u64, u64);

impl Cached {
    /// The page of `id`, rendered by `fill` if it is of another one.
    ///
    /// The buffer is used again unless a slow client still reads from it. `fill` gets it with what it held before.
    fn get(&mut self, id: Key, fill: impl FnOnce(&mut Vec<u8>)) -> Page {
        if self.of != Some(id) {
            if Arc::get_mut(&mut self.page).is_none() {
                self.page = Arc::default();
            }
            if let Some(buffer) = Arc::get_mut(&mut self.page) {
                fill(buffer);
            }
            self.of = Some(id);
        }
        self.page.clone()
    }
}

impl Rendered {
    fn get(&mut self, id: Key, gzip: Option<&mut Gzip>, fill: impl FnOnce(&mut Vec<u8>)) -> Page {
        let page = self.plain.get(id, fill);
        match gzip {
            Some(compressor) => self.gzip.get(id, |out| {
                out.clear();
                compressor.compress(&page, out);
            }),
            None => page,
        }
    }
}

/// Returns what an agent with these options needs: what it reads itself, and what its collectors do.
pub fn needs(options: &Options) -> Vec<Needs> {
    let collectors = collect::ALL.iter().filter(|it| collect::is_enabled(options, &it.switch()));
    let mut needs: Vec<_> = collectors.map(|registration| registration.needs).collect();
    needs.push(Needs::reading(&["proc/sys/kernel/random/boot_id"]));
    needs.extend(collect::is_enabled(options, &PROCESSES).then_some(processes::NEEDS));
    needs
}

impl Agent {
    /// Makes the collectors that `options` ask for and takes the first reading of those that need two.
    pub fn new(options: &Options, machine: Machine) -> Self {
        Agent::build(options, machine, |judge| judge)
    }

    /// The same for those who look once: rules report what holds now, without waiting for their delays.
    pub fn once(options: &Options, machine: Machine) -> Self {
        Agent::build(options, machine, Judge::at_once)
    }

    fn build(options: &Options, machine: Machine, adjust: fn(Judge) -> Judge) -> Self {
        let roots = Roots::new(options);
        let mut setup = Setup::new(&roots, machine, options);
        let (mut snapshot, mut sampled) = (Snapshot::new(), Snapshot::new());
        let mut slots = Vec::new();
        for registration in
            collect::ALL.iter().filter(|registration| collect::is_enabled(options, &registration.switch()))
        {
            snapshot.register(registration.name, registration.tables);
            sampled.register(registration.name, registration.tables);
            let collector = (registration.new)(&mut setup);
            let mut families = registration.tables.iter().flat_map(|head| head.families);
            let charted = families.any(|family| !family.charts.is_empty());
            slots.push(Slot { registration, collector, charted, fault: String::new(), duration: Duration::ZERO });
        }
        assert!(slots.len() <= 64, "a set of collectors is kept as bits");
        let history = History::new(&sampled, flags::interval(options));
        let verdicts = adjust(Judge::new(&sampled, options));
        let boot_id = read_once(&roots.proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
        let boot_id = boot_id.iter().copied().take_while(u8::is_ascii_hexdigit).take(8).map(char::from).collect();
        let processes = collect::is_enabled(options, &PROCESSES)
            .then(|| Processes::new(&roots, collect::is_enabled(options, &COMMAND_LINES)));
        let mut agent = Agent {
            machine,
            slots,
            remote: RemoteStat::new(kernel::answer),
            snapshot,
            filled: 0,
            moments: 0,
            pages: Default::default(),
            renderer: Renderer::new(),
            sampled,
            history,
            verdicts,
            judged: (Duration::ZERO, 0),
            history_page: Rendered::default(),
            processes,
            processes_page: Rendered::default(),
            boot_id,
            gzip: Gzip::new(),
        };
        agent.tick();
        agent
    }

    fn next_moment(&mut self) -> Moment {
        self.moments += 1;
        Moment { id: self.moments, unix: (self.machine.unix_time)(), since_boot: (self.machine.since_boot)() }
    }

    /// Ends one sample interval and begins the next: tells the collectors, and lets history have what they see now.
    ///
    /// This is a collection of its own, so that what a scrape gets is never what a tick saw.
    pub fn tick(&mut self) {
        let moment = self.next_moment();
        let Agent { slots, remote, sampled, history, .. } = self;
        sampled.clear(moment);
        let mut context = Context { moment, remote };
        for (index, slot) in slots.iter_mut().enumerate() {
            slot.collector.tick(&mut context);
            if slot.charted {
                sampled.select(index);
                // A fault is told by the next scrape; what could be read is kept.
                let _ = slot.collector.collect(&mut context, sampled);
            }
        }
        history.sample(sampled);
        self.judge();
    }

    /// Lets the rules judge what the tick saw.
    ///
    /// Filesystems are judged by what a scrape saw of them; if none did lately, this looks at those that cannot hang.
    fn judge(&mut self) {
        let Agent { slots, remote, snapshot, sampled, verdicts, judged, filled, processes, .. } = self;
        let disk = slots.iter().position(|slot| slot.registration.name == collect::disk::COLLECTOR.name);
        let moment = sampled.moment;
        let (at, id) = *judged;
        let mut filesystems = None;
        if let Some(disk) = disk {
            if snapshot.moment.id != id && *filled >> disk & 1 == 1 {
                *judged = (moment.since_boot, snapshot.moment.id);
                filesystems = Some(&*snapshot);
            } else if id == 0 || moment.since_boot.saturating_sub(at) >= LOOK_AT_FILESYSTEMS {
                *judged = (moment.since_boot, snapshot.moment.id.max(1));
                remote.begin();
                let mut context = Context { moment, remote };
                slots[disk].collector.prepare(&mut context);
                sampled.select(disk);
                let _ = slots[disk].collector.collect(&mut context, sampled);
                filesystems = Some(&*sampled);
            }
        }
        let top = processes.as_ref().and_then(|processes| processes.top(moment.since_boot));
        verdicts.judge(sampled, filesystems, top);
    }

    /// The processes that use most as JSON, or how long to wait until that is known; `None` if it is switched off.
    pub fn processes(&mut self, gzip: bool) -> Option<Result<Page, Duration>> {
        let Agent { machine, sampled, processes, processes_page, gzip: compressor, .. } = self;
        let processes = processes.as_mut()?;
        if let Progress::Wait(time) = processes.prepare(machine.since_boot) {
            return Some(Err(time));
        }
        let scan = processes.scanned_at().unwrap_or_default().as_nanos() as u64;
        let page = processes_page.get((scan, 0), gzip.then(|| compressor.level(Gzip::SMALL)), |out| {
            out.clear();
            processes.write((machine.unix_time)(), collect::cpu::count(sampled), out);
        });
        Some(Ok(page))
    }

    /// The collectors of these names as a set for [`Agent::page_of`]; `None` if one does not run here.
    pub fn select<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<u64> {
        let mut places = 0;
        for name in names {
            places |= 1 << self.slots.iter().position(|slot| slot.registration.name == name)?;
        }
        Some(places)
    }

    /// Returns the names of the collectors that run here.
    pub fn collectors(&self) -> impl Iterator<Item = &'static str> {
        self.slots.iter().map(|slot| slot.registration.name)
    }

    /// The recent past of the charted series as JSON.
    pub fn history(&mut self, request: Request, gzip: bool) -> Page {
        let Agent { machine, history, history_page, boot_id, gzip: compressor, .. } = self;
        let Request { range, since } = request;
        let asked = (range as u64) << 56 | since.map_or(0, |since| since + 1);
        let times = Times { unix: (machine.unix_time)(), since_boot: (machine.since_boot)(), boot_id };
        let id = (history.last_tick(), asked);
        history_page.get(id, gzip.then(|| compressor.level(Gzip::SMALL)), |out| {
            out.clear();
            format::history::write(history, request, &times, out);
        })
    }

    /// What the machine looks like now, or looked like at most `max_age` ago.
    pub async fn snapshot(&mut self, max_age: Duration) -> &Snapshot {
        self.snapshot_of(u64::MAX, max_age).await
    }

    async fn snapshot_of(&mut self, places: u64, max_age: Duration) -> &Snapshot {
        let places = places & (u64::MAX >> (64 - self.slots.len().max(1)));
        let age = (self.machine.since_boot)().saturating_sub(self.snapshot.moment.since_boot);
        if self.snapshot.moment.id == 0 || self.filled & places != places || age >= max_age {
            self.collect(places).await;
        }
        self.snapshot.show(places);
        &self.snapshot
    }

    /// The snapshot of at most `max_age` in a format, compressed if `gzip`.
    pub async fn page(&mut self, format: Format, gzip: bool, max_age: Duration) -> Page {
        self.page_of(u64::MAX, format, gzip, max_age).await
    }

    /// Like [`Agent::page`], but with the collectors of a set alone; only they read the kernel for it.
    pub async fn page_of(&mut self, places: u64, format: Format, gzip: bool, max_age: Duration) -> Page {
        let id = self.snapshot_of(places, max_age).await.moment.id;
        // An open page asks for JSON every few seconds, perhaps over a slow line.
        let level = if format == Format::Json { Gzip::SMALL } else { Gzip::FAST };
        let Agent { snapshot, pages, renderer, gzip: compressor, .. } = self;
        pages[format as usize]
            .get((id, places), gzip.then(|| compressor.level(level)), |out| renderer.replace(format, snapshot, out))
    }

    /// Makes a collection of the collectors whose places are set as bits.
    async fn collect(&mut self, places: u64) {
        self.prepare(places);
        self.remote.settle().await;
        self.fill(places);
    }

    /// Asks for what may block. Like [`Agent::fill`] it is there once, not in every place that waits in between.
    #[inline(never)]
    fn prepare(&mut self, places: u64) {
        self.filled = 0;
        self.remote.begin();
        let mut context = Context { moment: self.next_moment(), remote: &mut self.remote };
        for (_, slot) in self.slots.iter_mut().enumerate().filter(|(index, _)| places >> index & 1 == 1) {
            slot.collector.prepare(&mut context);
        }
    }

    #[inline(never)]
    fn fill(&mut self, places: u64) {
        let wanted = |index: usize| places >> index & 1 == 1;
        // What took long to answer must not make everything else look old.
        let moment = self.next_moment();
        let Agent { machine, slots, remote, snapshot, verdicts, .. } = self;
        snapshot.clear(moment);
        let mut context = Context { moment, remote };
        let mut before = (machine.since_boot)();
        for (index, slot) in slots.iter_mut().enumerate().filter(|(index, _)| wanted(*index)) {
            snapshot.select(index);
            let result = slot.collector.collect(&mut context, snapshot);
            let after = (machine.since_boot)();
            slot.duration = after.saturating_sub(before);
            before = after;
            slot.note(result.err());
        }
        if let Some(own) = slots.iter().position(|slot| slot.registration.name == collect::agent::COLLECTOR.name) {
            snapshot.select(own);
            for finding in &verdicts.report().findings {
                snapshot.row(&VERDICTS, [finding.rule.name.as_bytes()], [finding.since.is_some().into()]);
            }
            for (_, slot) in slots.iter().enumerate().filter(|(index, _)| wanted(*index)) {
                let values = [slot.fault.is_empty().into(), Value::seconds(slot.duration)];
                snapshot.row(&COLLECTORS, [slot.registration.name.as_bytes()], values);
            }
        }
        snapshot.verdicts.copy(verdicts.report());
        self.filled = places;
    }
}

impl Slot {
    /// Remembers whether the collector's data was good and says so once when that changes.
    fn note(&mut self, fault: Option<kernel::Fault>) {
        let name = self.registration.name;
        match fault {
            None if self.fault.is_empty() => {}
            None => {
                crate::info!("collector {name}: good again");
                self.fault.clear();
            }
            Some(fault) => {
                let mut text = String::new();
                let _ = write!(text, "{fault}");
                if text != self.fault {
                    crate::warn!("collector {name}: {text}");
                    self.fault = text;
                }
            }
        }
    }
}
