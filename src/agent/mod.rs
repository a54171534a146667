//! The agent: owns the collectors, serves snapshots no older than asked for and their rendered pages, and ticks.

mod diagnosis;
pub mod flags;
pub mod foreign;
pub mod heartbeat;
pub mod keeper;
mod pages;
mod slot;

pub use pages::Page;

use crate::cli::Options;
use crate::collect::processes::{self, COMMAND_LINES, PROCESSES, Processes, Progress};
use crate::collect::{self, Context, Outcome, Setup, Summary};
use crate::dialect::{self, flags::Settings};
use crate::format::history::Times;
use crate::format::{self, Format, Gzip, Renderer};
use crate::history::{
    History, RANGES, Request,
    events::{Events, Wanted},
    journal::Journal,
};
use crate::judge::{
    Judge,
    recorder::{Recorder, advice},
    rule::SLOW,
};
use crate::kernel::packages::Packages;
use crate::kernel::{Machine, RemoteStat, Roots, read_once};
use crate::model::{Moment, Note, Receiver, Report, Selection, Severity, Snapshot, kinds};
use crate::runtime::sandbox::Needs;
use foreign::Foreign;
use keeper::{Before, Keeper, Start};
use pages::Rendered;
use slot::Slot;
use std::time::Duration;

/// How often filesystems are sampled for verdicts while nobody scrapes.
const LOOK_AT_FILESYSTEMS: Duration = Duration::from_secs(30);

/// How often directories are listed for new devices while nobody scrapes.
const LIST_AGAIN: Duration = Duration::from_secs(30);

/// Within this time after a boot, the agent's start is part of it.
const REBOOT: Duration = Duration::from_secs(300);

/// The collectors and their last samples.
pub struct Agent {
    machine: Machine,
    slots: Vec<Slot>,
    /// How the collectors of the last collection fared.
    outcomes: Vec<Outcome>,
    remote: RemoteStat,
    snapshot: Snapshot,
    /// Which collectors `snapshot` holds a collection of.
    filled: Selection,
    moments: u64,
    pages: [Rendered; Format::COUNT],
    renderer: Renderer,
    /// The sample of the last tick: only the collectors with series in history.
    sampled: Snapshot,
    history: History,
    /// None without a journal.
    keeper: Option<Keeper>,
    verdicts: Judge,
    /// When the filesystems were last judged, and the id of the collection that was judged.
    judged: (Duration, u64),
    /// When a tick last listed devices, since boot.
    listed: Option<Duration>,
    /// When the slow rules last judged, since boot.
    looked_slowly: Option<Duration>,
    events: Events,
    /// None for a single look, of which there is nothing to record.
    recorder: Option<Recorder>,
    events_page: Rendered,
    history_page: Rendered,
    doctor_page: Rendered,
    /// None if it is switched off.
    processes: Option<Processes>,
    processes_page: Rendered,
    /// When the processes were last looked at for a rule.
    looked: Option<Duration>,
    /// None for a single look, and where no list of packages is.
    packages: Option<Packages>,
    /// The first 8 digits of the kernel's boot id.
    boot_id: String,
    roots: Roots,
    gzip: Gzip,
    foreign: Foreign,
    /// The receivers of messages and measurements; empty without a flag that names one.
    pub receivers: Vec<Receiver>,
    /// What the process that tells them has to know after a start.
    told: Vec<u8>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

/// Returns what an agent with these options needs: what it reads itself, and what its collectors do.
pub fn needs(options: &Options) -> Vec<Needs> {
    let collectors = collect::ALL.iter().filter(|it| collect::is_enabled(options, &it.switch()));
    let mut needs: Vec<_> = collectors.map(|registration| registration.needs).collect();
    needs.push(Needs::reading("proc/sys/kernel/random/boot_id proc/sys/kernel/osrelease"));
    needs.extend(collect::is_enabled(options, &PROCESSES).then_some(processes::NEEDS));
    needs.push(dialect::NEEDS);
    needs
}

impl Agent {
    /// Builds the collectors that `options` enable, and takes the first reading of those that need two.
    pub fn new(options: &Options, machine: Machine) -> Self {
        let mut agent = Agent::build(options, machine, |judge| judge);
        agent.recorder = Some(Recorder::new(&agent.verdicts, &agent.sampled));
        agent.packages = Packages::new(&agent.roots.root);
        agent.begin(None, "");
        agent
    }

    /// Reads the past back from a journal, and keeps it there from now on.
    pub fn keep(&mut self, journal: Journal) {
        let kernel = read_once(&self.roots.proc.join("sys/kernel/osrelease")).unwrap_or_default();
        let kernel = String::from_utf8_lossy(kernel.trim_ascii());
        self.events = Events::new(self.processes.is_some());
        let start = Start { moment: self.sampled.moment, boot: self.boot(), kernel: &kernel };
        let (keeper, before) = Keeper::new(journal, &start, &mut self.history, &mut self.events, &mut self.told);
        self.begin(before.as_ref(), &kernel);
        self.keeper = Some(keeper);
    }

    /// Writes what the journal does not have yet, and that the end was asked for.
    pub fn end(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.end((self.machine.since_boot)(), &self.history, &self.events, &self.told);
        }
    }

    /// The kernel's boot id as a number.
    fn boot(&self) -> u32 {
        u32::from_str_radix(&self.boot_id, 16).unwrap_or(0)
    }

    /// Begins to record events, with what this start is; `before` is how the last run ended, if that is known.
    fn begin(&mut self, before: Option<&Before>, kernel: &str) {
        let (unix, now) = ((self.machine.unix_time)(), (self.machine.since_boot)());
        let mut last = String::new();
        let newest = Wanted { id: Some(self.events.last()), since: i64::MIN, limit: 1, text: false };
        self.events.start(self.boot(), now, unix);
        self.events.each(&newest, &mut |event, _| last = format!("; the last event before: {}", event.title));
        let is_reboot = before.map_or(now < REBOOT, |before| before.boot != self.boot());
        let is_clean = before.is_none_or(|before| before.clean);
        let title = match (is_reboot, is_clean) {
            (true, true) => "The machine restarted",
            (true, false) => "The machine restarted after a power cut or a crash",
            (false, true) => "Pi-Monitor started",
            (false, false) => "Pi-Monitor started again after it was killed",
        };
        self.note(Note {
            kind: if is_reboot { &kinds::REBOOT } else { &kinds::AGENT },
            severity: if is_clean { Severity::Info } else { Severity::Warning },
            title: format_args!("{title}"),
            detail: format_args!("Pi-Monitor {} started {} s after boot{last}", crate::VERSION, now.as_secs()),
            culprit: "",
        });
        let Some(Before { kernel: old_kernel, version, .. }) = before else { return };
        for (kind, what, old, new) in
            [(&kinds::KERNEL, "Linux", &**old_kernel, kernel), (&kinds::AGENT, "Pi-Monitor", version, crate::VERSION)]
        {
            if old != new {
                self.note(Note {
                    kind,
                    severity: Severity::Info,
                    title: format_args!("{what} {new} runs now"),
                    detail: format_args!("before: {old}"),
                    culprit: "",
                });
            }
        }
    }

    /// Builds an agent for a single look: rules report what holds now, without waiting for their delays.
    pub fn once(options: &Options, machine: Machine) -> Self {
        Agent::build(options, machine, Judge::at_once)
    }

    fn build(options: &Options, machine: Machine, adjust: fn(Judge) -> Judge) -> Self {
        let roots = Roots::new(options);
        let mut setup = Setup::new(&roots, machine, options);
        setup.reserved = dialect::each_family;
        let (mut snapshot, mut sampled) = (Snapshot::new(), Snapshot::new());
        let mut slots = Vec::new();
        for registration in
            collect::ALL.iter().filter(|registration| collect::is_enabled(options, &registration.switch()))
        {
            snapshot.register(registration.name, registration.tables);
            sampled.register(registration.name, registration.tables);
            slots.push(Slot::new(registration, &mut setup));
        }
        assert!(slots.len() <= Selection::COLLECTORS_MAX, "more collectors than a selection can tell apart");
        let history = History::new(&sampled, flags::interval(options));
        let verdicts = adjust(Judge::new(&sampled, options));
        let boot_id = read_once(&roots.proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
        let boot_id = boot_id.iter().copied().take_while(u8::is_ascii_hexdigit).take(8).map(char::from).collect();
        let processes = collect::is_enabled(options, &PROCESSES)
            .then(|| Processes::new(&roots, collect::is_enabled(options, &COMMAND_LINES)));
        let mut agent = Agent {
            machine,
            outcomes: Vec::with_capacity(slots.len()),
            slots,
            remote: RemoteStat::new(machine.answer),
            snapshot,
            filled: Selection::NONE,
            moments: 0,
            pages: Default::default(),
            renderer: Renderer::new(),
            sampled,
            history,
            keeper: None,
            verdicts,
            judged: (Duration::ZERO, 0),
            listed: None,
            looked_slowly: None,
            events: Events::new(processes.is_some()),
            recorder: None,
            events_page: Rendered::default(),
            history_page: Rendered::default(),
            doctor_page: Rendered::default(),
            processes,
            processes_page: Rendered::default(),
            looked: None,
            packages: None,
            boot_id,
            roots,
            gzip: Gzip::new(),
            foreign: Foreign::new(Settings::new(options)),
            receivers: Vec::new(),
            told: Vec::new(),
        };
        agent.tick();
        agent
    }

    fn next_moment(&mut self) -> Moment {
        self.moments += 1;
        Moment { id: self.moments, unix: (self.machine.unix_time)(), since_boot: (self.machine.since_boot)() }
    }

    /// Ends one sample interval and begins the next: ticks the collectors, and hands their samples to history.
    ///
    /// This is a collection of its own: a scrape never gets the sample of a tick.
    pub fn tick(&mut self) {
        let moment = self.next_moment();
        let Agent { slots, remote, sampled, history, listed, .. } = self;
        let lists = listed.is_none_or(|at| moment.since_boot.saturating_sub(at) >= LIST_AGAIN);
        if lists {
            *listed = Some(moment.since_boot);
        }
        sampled.clear(moment);
        let mut context = Context { moment, remote, levels: &mut history.space, tick: true, lists };
        for (index, slot) in slots.iter_mut().enumerate() {
            slot.collector.tick(&mut context);
            if slot.charted {
                sampled.select(index);
                // The next scrape reports a fault; what could be read is kept.
                let _ = slot.collector.collect(&mut context, sampled);
            }
        }
        history.sample(sampled);
        self.judge();
        let Agent { sampled, verdicts, history, keeper, events, recorder, told, .. } = self;
        if let Some(recorder) = recorder {
            events.clock(moment.since_boot, moment.unix);
            recorder.record(verdicts, sampled, events);
        }
        if let Some(keeper) = keeper {
            keeper.tick(&moment, history, events, told);
        }
        if let Some(mut packages) = self.packages.take() {
            let mut table = std::mem::take(&mut self.history.packages);
            packages.tick(&mut table, &mut |note| self.note(note));
            (self.packages, self.history.packages) = (Some(packages), table);
        }
    }

    /// Records what was noticed just now. A caller that has a runtime calls [`heartbeat::look`] next: trouble comes with the
    /// processes of its moment.
    pub fn note(&mut self, note: Note<'_>) {
        let Agent { machine, events, recorder, verdicts, .. } = self;
        let now = (machine.since_boot)();
        events.clock(now, (machine.unix_time)());
        verdicts.noted(&note);
        if recorder.as_ref().is_some_and(|recorder| recorder.knows(&note, now)) {
            return;
        }
        let id = events.note(note, now);
        if let Some(recorder) = recorder {
            recorder.noted(&note, id, now);
        }
    }

    /// Learns that the wall clock is right: times that were recorded so far stay as they are.
    pub fn clock_is_right(&mut self) {
        self.events.clock((self.machine.since_boot)(), (self.machine.unix_time)());
        self.events.clock_is_right();
    }

    /// Lets the rules judge the sample of a tick.
    ///
    /// Filesystems are judged by the last scrape; without a recent one, this samples those that cannot hang, and for the others
    /// the last answer stands.
    fn judge(&mut self) {
        let Agent {
            slots, remote, snapshot, sampled, history, verdicts, judged, looked_slowly, filled, processes, ..
        } = self;
        let moment = sampled.moment;
        let (at, id) = *judged;
        let pause = if verdicts.watches_filesystems() { Duration::ZERO } else { LOOK_AT_FILESYSTEMS };
        // Whether they are in the last scrape's snapshot.
        let mut filesystems = None;
        if let Some(disk) = verdicts.filesystems() {
            if snapshot.moment.id != id && filled.contains(disk) {
                *judged = (moment.since_boot, snapshot.moment.id);
                filesystems = Some(true);
            } else if id == 0 || moment.since_boot.saturating_sub(at) >= pause {
                *judged = (moment.since_boot, snapshot.moment.id.max(1));
                remote.begin();
                let mut context = Context { moment, remote, levels: &mut history.space, tick: false, lists: true };
                slots[disk].collector.prepare(&mut context);
                sampled.select(disk);
                let _ = slots[disk].collector.collect(&mut context, sampled);
                filesystems = Some(false);
            }
        }
        let slowly = looked_slowly.is_none_or(|at| moment.since_boot.saturating_sub(at) >= SLOW);
        if slowly {
            *looked_slowly = Some(moment.since_boot);
            let mut context = Context { moment, remote, levels: &mut history.space, tick: false, lists: true };
            verdicts.slow(&mut |part| {
                sampled.select(part);
                let _ = slots[part].collector.collect(&mut context, sampled);
            });
        }
        let filesystems = filesystems.map(|scraped| if scraped { &*snapshot } else { &*sampled });
        let top = processes.as_ref().and_then(|processes| processes.top(moment.since_boot));
        verdicts.judge(sampled, filesystems, slowly, top);
    }

    /// Returns the events that are kept.
    pub fn events_kept(&self) -> &Events {
        &self.events
    }

    /// Returns what was last set by [`Agent::set_told`], in this run or in one before it.
    pub fn told(&self) -> &[u8] {
        &self.told
    }

    /// Keeps what the process that tells somebody has to know after a start.
    pub fn set_told(&mut self, told: &[u8]) {
        self.told.clear();
        self.told.extend_from_slice(told);
    }

    /// Returns the last collection.
    pub fn last(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns what the rules found at the last tick.
    pub fn verdicts(&self) -> &Report {
        self.verdicts.report()
    }

    /// Looks at processes if a rule asks who is to blame, or an event who was busy; returns how long to wait before the second look.
    ///
    /// A condition that comes and goes must not cost a look each time.
    pub fn look(&mut self) -> Option<Duration> {
        const PAUSE: Duration = Duration::from_secs(5);
        /// Events are of a moment.
        const FRESH: Duration = Duration::from_secs(2);
        let Agent { machine, verdicts, events, processes, looked, .. } = self;
        let processes = processes.as_mut()?;
        let now = (machine.since_boot)();
        let awaits = events.awaits_processes();
        let is_recent = looked.is_some_and(|at| now.saturating_sub(at) < if awaits { FRESH } else { PAUSE });
        if !is_recent && (awaits || verdicts.wants_look()) {
            if let Progress::Wait(time) = processes.prepare(machine.since_boot) {
                return Some(time);
            }
            *looked = Some(now);
            if let Some(top) = processes.top(now) {
                verdicts.looked(top);
            }
        }
        if awaits {
            events.add_processes(|show| processes.busiest(show));
        }
        None
    }

    /// Returns the events that are asked for; `None` if the one that is asked for is not kept.
    pub fn events(&mut self, wanted: &Wanted, gzip: bool) -> Option<Page> {
        let Agent { machine, events, events_page, gzip: compressor, moments, .. } = self;
        if wanted.id.is_some_and(|id| events.record(id).is_none()) {
            return None;
        }
        // No two answers are the same.
        *moments += 1;
        let unix = (machine.unix_time)();
        Some(events_page.get((*moments, 0), gzip.then(|| compressor.level(Gzip::SMALL)), |out| {
            out.clear();
            format::events::write(events, wanted, unix, advice, out);
        }))
    }

    /// Returns the top processes as JSON, or how long to wait for them; `None` if they are switched off.
    pub fn processes(&mut self, gzip: bool) -> Option<Result<Page, Duration>> {
        let Agent { machine, sampled, processes, processes_page, gzip: compressor, .. } = self;
        let processes = processes.as_mut()?;
        if let Progress::Wait(time) = processes.prepare(machine.since_boot) {
            return Some(Err(time));
        }
        let scan = processes.scanned_at().unwrap_or_default().as_nanos() as u64;
        let page = processes_page.get((scan, 0), gzip.then(|| compressor.level(Gzip::SMALL)), |out| {
            out.clear();
            let scan = processes.summary((machine.unix_time)(), collect::count_cpus(sampled));
            format::processes::write(&scan, |show| processes.each(show), out);
        });
        Some(Ok(page))
    }

    /// Returns the recent past of the charted series as JSON.
    pub fn history(&mut self, request: Request, gzip: bool) -> Page {
        let Agent { machine, history, history_page, boot_id, moments, gzip: compressor, .. } = self;
        let Request { range, since, from, to, filesystems } = request;
        let range = if filesystems { RANGES.len() } else { range };
        let asked = (range as u64) << 56 | since.map_or(0, |since| since + 1);
        // Spans of one's own are too many to keep an answer for.
        let is_own = from.is_some() || to.is_some();
        *moments += u64::from(is_own);
        let times = Times { unix: (machine.unix_time)(), since_boot: (machine.since_boot)(), boot_id };
        let id = if is_own { (*moments, u64::MAX) } else { (history.last_tick(), asked) };
        history_page.get(id, gzip.then(|| compressor.level(Gzip::SMALL)), |out| {
            out.clear();
            format::history::write(history, request, &times, out);
        })
    }

    /// Returns a snapshot that is at most `max_age` old.
    pub async fn snapshot(&mut self, max_age: Duration) -> &Snapshot {
        self.snapshot_of(Selection::ALL, max_age).await
    }

    async fn snapshot_of(&mut self, selection: Selection, max_age: Duration) -> &Snapshot {
        let selection = selection.first(self.slots.len());
        let age = (self.machine.since_boot)().saturating_sub(self.snapshot.moment.since_boot);
        if self.snapshot.moment.id == 0 || !self.filled.includes(selection) || age >= max_age {
            self.collect(selection).await;
        }
        self.snapshot.show(selection);
        &self.snapshot
    }

    /// Returns the snapshot of at most `max_age` in a format, compressed if `gzip`.
    pub async fn page(&mut self, format: Format, gzip: bool, max_age: Duration) -> Page {
        self.page_of(Selection::ALL, Some(format), gzip, max_age).await
    }

    /// Returns the same as [`Agent::page`] for the collectors of `selection` alone; only they read the kernel. Without a format,
    /// it is what the doctor says.
    pub async fn page_of(
        &mut self,
        selection: Selection,
        format: Option<Format>,
        gzip: bool,
        max_age: Duration,
    ) -> Page {
        let id = self.snapshot_of(selection, max_age).await.moment.id;
        let Some(format) = format else { return self.doctor(gzip) };
        // An open page asks for JSON every few seconds, perhaps over a slow line.
        let level = if format == Format::Json { Gzip::SMALL } else { Gzip::FAST };
        let Agent { snapshot, pages, renderer, gzip: compressor, .. } = self;
        pages[format as usize].get((id, selection.bits()), gzip.then(|| compressor.level(level)), |out| {
            renderer.replace(format, snapshot, 0, out)
        })
    }

    /// Collects from the collectors of `selection`.
    async fn collect(&mut self, selection: Selection) {
        if self.prepare(selection) {
            self.remote.settle().await;
        }
        self.fill(selection);
    }

    /// Asks for what may block; returns whether a collector asked, or could have. Not inlined, like [`Agent::fill`], so that the
    /// code exists only once.
    #[inline(never)]
    fn prepare(&mut self, selection: Selection) -> bool {
        self.filled = Selection::NONE;
        // Without the filesystems, their last answers stay.
        let asks =
            self.slots.iter().enumerate().any(|(index, slot)| selection.contains(index) && slot.collector.asks());
        if asks {
            self.remote.begin();
        }
        let moment = self.next_moment();
        let levels = &mut self.history.space;
        let mut context = Context { moment, remote: &mut self.remote, levels, tick: false, lists: true };
        for (_, slot) in self.slots.iter_mut().enumerate().filter(|(index, _)| selection.contains(*index)) {
            slot.collector.prepare(&mut context);
        }
        asks
    }

    #[inline(never)]
    #[cfg_attr(small, optimize(speed))]
    fn fill(&mut self, selection: Selection) {
        // What took long to answer must not make everything else look old.
        let moment = self.next_moment();
        let Agent {
            machine, slots, outcomes, remote, snapshot, history, verdicts, events, recorder, receivers, ..
        } = self;
        snapshot.clear(moment);
        outcomes.clear();
        let mut context = Context { moment, remote, levels: &mut history.space, tick: false, lists: true };
        let mut before = (machine.since_boot)();
        for (index, slot) in slots.iter_mut().enumerate().filter(|(index, _)| selection.contains(*index)) {
            snapshot.select(index);
            let result = slot.collector.collect(&mut context, snapshot);
            let after = (machine.since_boot)();
            outcomes.push(Outcome {
                collector: slot.registration.name,
                up: result.is_ok(),
                duration: after.saturating_sub(before),
            });
            before = after;
            slot.note(result.err(), moment.since_boot);
        }
        let counts = recorder.as_ref().map(|_| events.counts());
        let summary = Summary { report: verdicts.report(), events: counts, receivers, outcomes };
        for (index, slot) in slots.iter_mut().enumerate().filter(|(index, _)| selection.contains(*index)) {
            snapshot.select(index);
            slot.collector.conclude(&summary, snapshot);
        }
        snapshot.verdicts.copy(verdicts.report());
        snapshot.events = (events.last(), events.changes());
        self.filled = selection;
    }
}
