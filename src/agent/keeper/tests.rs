//! Days played on a clock of the test, with the real writer on real files.

use super::*;
use crate::history::Request;
use crate::history::events::Wanted;
use crate::model::{Chart, Family, More, Note, Place, Severity, Snapshot, Table, Unit, Value, kinds as events};
use std::path::PathBuf;

#[path = "../../../tests/e2e/card.rs"]
mod card;
#[path = "../../../tests/e2e/needs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod needs;

macro_rules! gauges {
    ($($name:literal)*) => {
        [$(Family::gauge(concat!("pi_", $name, "_count"), "", Unit::Count).more(&More::NONE.history(&[Chart::first($name)]))),*]
    };
}

/// As many series as all collectors have together.
const SERIES: usize = 23;
static MANY: Table<0, SERIES> = Table::new(
    Place::Inline,
    &[],
    &gauges!("a" "b" "c" "d" "e" "f" "g" "h" "i" "j" "k" "l" "m" "n" "o" "p" "q" "r" "s" "t" "u" "v" "w"),
);

const UNIX: i64 = 1_800_000_000;
const TICK: i64 = 10;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pi-monitor-keeper-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A run of the agent: its boot's id and Unix time, and its own time since boot in seconds.
struct Run {
    snapshot: Snapshot,
    history: History,
    events: Events,
    keeper: Keeper,
    before: Option<Before>,
    boot_at: i64,
    now: i64,
    /// What the block device got, by the model.
    cost: u64,
    flushes: u64,
    /// A directory whose filesystem writes all that it has left after each flush, as it would in the seconds that are not played.
    settles: Option<PathBuf>,
}

impl Run {
    fn start(folder: &Path, boot: u32, boot_at: i64, now: i64) -> Run {
        let mut snapshot = Snapshot::new();
        snapshot.register("many", &[MANY.head()]);
        let mut history = History::new(&snapshot, Duration::from_secs(TICK as u64));
        sample(&mut snapshot, &mut history, boot_at, now);
        let (journal, lines) = Journal::open(folder).unwrap();
        assert_eq!(lines, [""; 0]);
        let mut events = Events::new(true);
        let start = super::Start { moment: snapshot.moment, boot, kernel: "6.12.25" };
        let (keeper, before) = Keeper::new(journal, &start, &mut history, &mut events, &mut Vec::new());
        events.start(boot, snapshot.moment.since_boot, snapshot.moment.unix);
        Run { snapshot, history, events, keeper, before, boot_at, now, cost: 0, flushes: 0, settles: None }
    }

    fn tick(&mut self) {
        self.now += TICK;
        sample(&mut self.snapshot, &mut self.history, self.boot_at, self.now);
        let moment = self.snapshot.moment;
        self.events.clock(moment.since_boot, moment.unix);
        self.keeper.tick(&moment, &mut self.history, &self.events, &[]);
        if self.keeper.journal.is_busy() {
            self.flushes += 1;
            // The title of a file that is begun is a write of its own.
            self.cost += self.keeper.journal.cost();
            let outcome = self.keeper.journal.wait(Duration::from_secs(60));
            assert_eq!(outcome, Some(Outcome::Written));
            if let Some(place) = &self.settles {
                let sync = std::process::Command::new("sync").arg("-f").arg(place).status();
                assert!(sync.unwrap().success());
            }
        }
    }

    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds / TICK {
            self.tick();
        }
    }

    /// The first series' points between two Unix times: the time of each, and its value.
    fn points(&mut self, from: i64, to: i64) -> Vec<(i64, Option<u64>)> {
        let request =
            Request { range: 1, since: None, from: Some(from * 1000), to: Some(to * 1000), filesystems: false };
        let offset = self.boot_at * 1000;
        let span = self.history.span(request, offset);
        let mut all = Vec::new();
        self.history.points(&span, |series, points| {
            if series.name == "a" {
                for (place, point) in points.iter().enumerate() {
                    let end = span.end - (span.count as i64 - 1 - place as i64) * span.step as i64;
                    all.push(((end + offset) / 1000, point.map(|point| point.value / 100)));
                }
            }
        });
        all
    }

    /// How many points of a span there are, all of which have to be right: each value is the time of day in units of 100 s.
    fn right(&mut self, from: i64, to: i64) -> usize {
        let all = self.points(from, to);
        let known: Vec<_> = all.iter().filter_map(|(time, value)| value.map(|value| (*time, value))).collect();
        for (time, value) in &known {
            let apart = ((time % 86_400) / 100).abs_diff(*value as i64);
            assert!(apart <= 3 || apart >= 861, "{time} {value}");
        }
        known.len()
    }
}

fn sample(snapshot: &mut Snapshot, history: &mut History, boot_at: i64, now: i64) {
    let since_boot = Duration::from_secs(now as u64);
    let unix = Duration::from_secs((boot_at + now) as u64);
    snapshot.clear(Moment { id: 1, unix, since_boot });
    snapshot.select(0);
    let value = Value::from(unix.as_secs() % 86_400 / 100);
    snapshot.row(&MANY, [], [value; SERIES]);
    history.sample(snapshot);
}

#[test]
fn a_quiet_day_costs_less_than_its_budget_and_is_there_after_a_reboot() {
    let folder = folder("quiet");
    let mut run = Run::start(&folder, 1, UNIX, 20);
    assert_eq!(run.before, None);
    run.run(24 * 3600 - 60);
    println!("a quiet day: {} flushes, {} bytes at the device", run.flushes, run.cost);
    assert!((24..=26).contains(&run.flushes) && run.cost < 800_000, "{} {}", run.flushes, run.cost);
    // The account goes along with what it counts, which may begin one page more.
    assert!(run.keeper.spent.abs_diff(run.cost) <= 2 * 4096, "{} {}", run.keeper.spent, run.cost);
    run.keeper.end(Duration::from_secs(run.now as u64), &run.history, &run.events, &[]);
    let end = UNIX + run.now;
    drop(run);
    // A minute later, another boot.
    let mut run = Run::start(&folder, 2, end + 60, 20);
    let clean = Before { boot: 1, clean: true, kernel: "6.12.25".to_owned(), version: crate::VERSION.to_owned() };
    assert_eq!(run.before, Some(clean));
    run.run(60);
    assert!(run.right(end - 23 * 3600, end) > 330);
    assert_eq!(run.points(end - 290, end - 20).iter().filter(|(_, value)| value.is_some()).count(), 27);
    std::fs::remove_dir_all(folder).unwrap();
}

/// How full filesystems were and which packages are installed: written when there is something new, and whole into each file that
/// is begun.
#[test]
fn what_is_written_once_outlives_reboots_and_the_files_that_had_it() {
    use crate::model::{Level, Levels};
    const DAYS: i64 = 9;
    // A megabyte a day.
    let look = |run: &mut Run| {
        let moment = run.snapshot.moment;
        let used = (moment.unix.as_secs() - UNIX as u64) * 1_000_000 / 86_400;
        let level = |device| Level { moment, device, mountpoint: b"/", used, available: 20_000_000 - used };
        run.history.space.note(&level(b"/dev/a"));
        run.history.space.note(&level(b"/dev/b"))
    };
    let folder = folder("space");
    let (mut boot_at, mut titles) = (UNIX, std::collections::HashSet::new());
    for day in 0..DAYS {
        let mut run = Run::start(&folder, day as u32, boot_at, 20);
        if day == 0 {
            run.history.packages = vec![7; 2600];
        }
        for _ in 0..47 {
            look(&mut run);
            // Something else that fills the files.
            assert!(run.keeper.journal.append(200, &[0; 4000]));
            run.run(1800);
            for file in ["journal.0", "journal.1"] {
                titles.insert(std::fs::read(folder.join(file)).unwrap().get(..64).map(<[u8]>::to_vec));
            }
        }
        run.keeper.end(Duration::from_secs(run.now as u64), &run.history, &run.events, &[]);
        boot_at += run.now + 60;
    }
    // None, and what both files began with; then the first one was overwritten.
    assert!(titles.len() >= 4, "no file was begun anew: {}", titles.len());
    let mut run = Run::start(&folder, 99, boot_at, 20);
    assert_eq!(run.history.packages, [7; 2600]);
    let days = look(&mut run).expect("a prediction right after a boot") as f64 / 86_400.0;
    assert!((days - (20.0 - DAYS as f64)).abs() < 0.6, "{days}");
    let (first, last) = run.history.space.span();
    assert!(last - first >= 68, "{first} {last}");
    let (mut filesystems, mut gaps) = (0, 0);
    run.history.space.each(&mut |_, level| {
        filesystems += 1;
        gaps += (first..last).filter(|slot| level(*slot).is_none()).count();
    });
    assert_eq!((filesystems, gaps), (2, 0));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_cut_loses_at_most_an_hour_of_history_and_is_known_as_one() {
    let folder = folder("cut");
    let mut run = Run::start(&folder, 7, UNIX, 20);
    run.run(5 * 3600 + 1800);
    let end = UNIX + run.now;
    drop(run);
    // The same boot: the agent was killed. Then a cut, and boots whose clocks know nothing of the time in between.
    let mut run = Run::start(&folder, 7, UNIX, 5 * 3600 + 1900);
    assert_eq!(run.before.as_ref().map(|before| (before.boot, before.clean)), Some((7, false)));
    let kept = run.right(UNIX, end);
    assert!(kept >= 5 * 30 - 2, "{kept}");
    run.run(100);
    drop(run);
    let mut run = Run::start(&folder, 8, UNIX + 3600, 20);
    assert_eq!(run.before.as_ref().map(|before| (before.boot, before.clean)), Some((7, false)));
    run.run(600);
    // What was before cannot be after the boot: until the clock is set, it ends with it.
    let all = run.points(UNIX - 8 * 3600, UNIX + 3600);
    let newest = all.iter().rev().find(|(_, value)| value.is_some()).unwrap().0;
    // The last sign of life was a start, half an hour after the last point.
    assert!((1800..2400).contains(&(UNIX + 3600 - newest)), "{newest}");
    // It is: 8 hours later than it said.
    run.boot_at += 8 * 3600;
    run.run(60);
    assert!(run.right(UNIX, end) >= 148);
    drop(run);
    // And the journal knows the corrected time.
    let mut run = Run::start(&folder, 9, UNIX + 10 * 3600, 20);
    run.run(60);
    assert!(run.right(UNIX, end) >= 148);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn restarts_share_the_budget_of_their_day() {
    let folder = folder("budget");
    let (mut cost, mut flushes, mut now) = (0, 0, 100);
    for _ in 0..100 {
        let mut run = Run::start(&folder, 1, UNIX, now);
        run.run(60);
        now = run.now + 60;
        // Killed each time.
        (cost, flushes) = (cost + run.cost, flushes + run.flushes);
    }
    assert!(now < 86_400);
    println!("100 restarts: {flushes} flushes, {cost} bytes at the device");
    assert!(cost <= BUDGET && flushes >= 6, "{flushes} {cost}");
    std::fs::remove_dir_all(folder).unwrap();
}

impl Run {
    fn note(&mut self, severity: Severity, title: &str) {
        let kind = if severity == Severity::Critical { &events::OOM_KILL } else { &events::LINK };
        let detail = "what a detail takes";
        self.events.note(
            Note { kind, severity, title: format_args!("{title}"), detail: format_args!("{detail:300}"), culprit: "x" },
            Duration::from_secs(self.now as u64),
        );
        if severity == Severity::Critical {
            self.events.add_processes(|_| ());
        }
    }

    /// Ids, titles and Unix seconds of all events.
    fn events(&self) -> Vec<(u64, String, i64)> {
        let mut all = Vec::new();
        let wanted = Wanted { id: None, since: i64::MIN, limit: u64::MAX, text: false };
        self.events.each(&wanted, &mut |event, _| all.push((event.id, event.title.to_owned(), event.begin / 1000)));
        all
    }
}

#[test]
fn on_a_bad_day_what_the_budget_has_left_is_for_what_is_critical() {
    let folder = folder("bad");
    let mut run = Run::start(&folder, 1, UNIX, 20);
    let mut at_once = 0;
    // A kill every two minutes, and a link that comes and goes.
    for number in 0..24 * 30 - 1 {
        run.note(Severity::Critical, &format!("kill {number}"));
        run.note(Severity::Info, &format!("link {number}"));
        let before = run.flushes;
        run.tick();
        at_once += run.flushes - before;
        run.run(120 - TICK);
    }
    println!("a bad day: {} flushes, {} at once, {} bytes at the device", run.flushes, at_once, run.cost);
    assert!(run.cost <= BUDGET && run.cost > BUDGET * 8 / 10, "{}", run.cost);
    assert!(run.flushes >= 24 && at_once >= 6, "{} {at_once}", run.flushes);
    assert!(run.keeper.postponed > 20, "{}", run.keeper.postponed);
    // The next day has its own, and nothing critical is lost with the power.
    run.run(300);
    run.note(Severity::Critical, "the last kill but one");
    run.run(7200);
    run.note(Severity::Critical, "the last kill");
    run.tick();
    let all = run.events();
    let end = UNIX + run.now;
    drop(run);
    let run = Run::start(&folder, 2, end + 60, 20);
    let kept = run.events();
    assert!(all.iter().skip(all.len() - 40).all(|event| kept.contains(event)), "{kept:?}");
    assert!(all.len() > 60 && all.last().unwrap().1 == "the last kill");
    std::fs::remove_dir_all(folder).unwrap();
}

/// What the model of costs says is what a card gets, of quiet days and of bad ones: the filesystem's own writes count.
#[test]
fn a_day_on_a_card_stays_within_its_budget() {
    for bad in [false, true] {
        let card = card::Card::new(folder(if bad { "bad-card" } else { "quiet-card" }));
        if !needs::needs("an ext4 filesystem on a loop device (root, e2fsprogs)", card.is_some()) {
            return;
        }
        let card = card.unwrap();
        let sync = std::process::Command::new("sync").arg("-f").arg(card.mount()).status();
        assert!(sync.unwrap().success());
        let before = card.written();
        let mut run = Run::start(&card.mount(), 1, UNIX, 20);
        run.settles = Some(card.mount());
        for number in 0..24 * 30 - 1 {
            if bad {
                run.note(Severity::Critical, &format!("kill {number}"));
                run.note(Severity::Info, &format!("link {number}"));
            }
            run.run(120);
        }
        let written = card.written() - before;
        let (cost, flushes) = (run.cost, run.flushes);
        let day = if bad { "bad" } else { "quiet" };
        println!("a {day} day: {flushes} flushes, {written} bytes at the card; by the model {cost}");
        assert!(written <= BUDGET && written > BUDGET / 4, "{day}: {written}");
        // How the filesystem groups its writes depends on the moment.
        assert!(written <= cost + cost / 20, "{day}: {written}, by the model {cost}");
        drop(run);
    }
}

#[test]
fn an_event_that_is_not_critical_is_written_within_ten_minutes_and_one_that_ends_again() {
    let folder = folder("events");
    let mut run = Run::start(&folder, 1, UNIX, 20);
    run.run(60);
    run.note(Severity::Info, "link");
    run.run(540);
    let other = Run::events_on_disk(&folder);
    run.run(90);
    assert_eq!((other, Run::events_on_disk(&folder)), (0, 1));
    // Killed in the middle of it: what lasts ended with it. Its id is nobody else's.
    let id = run.lasting();
    run.tick();
    drop(run);
    let mut run = Run::start(&folder, 1, UNIX, 2000);
    assert_eq!(run.events().iter().map(|event| event.0).collect::<Vec<_>>(), [1, id]);
    run.note(Severity::Info, "after");
    assert_eq!(run.events().last().unwrap().0, id + 1);
    // It is seen to its end.
    let id = run.lasting();
    run.run(700);
    crate::model::Keep::update(&mut run.events, id, Some(Duration::from_secs(2300)), None);
    run.run(700);
    let ended = run.events.record(id).unwrap().to_vec();
    drop(run);
    let run = Run::start(&folder, 2, UNIX + 9000, 20);
    assert_eq!(run.events.record(id), Some(&ended[..]));
    std::fs::remove_dir_all(folder).unwrap();
}

impl Run {
    /// Begins a critical event that lasts.
    fn lasting(&mut self) -> u64 {
        let (title, detail) = (format_args!("hot"), format_args!(""));
        let note = Note { kind: &events::VERDICT, severity: Severity::Critical, title, detail, culprit: "" };
        let (lane, begin) = (events::VERDICT.lane, Duration::from_secs(self.now as u64));
        let episode = crate::model::Episode { note, lane, rule: "hot", begin, unit: Unit::Celsius, lasts: true };
        let id = crate::model::Keep::begin(&mut self.events, &episode);
        self.events.add_processes(|_| ());
        id
    }

    /// How many events there are in the journal.
    fn events_on_disk(folder: &Path) -> usize {
        // Read as after a cut, from a copy: the journal itself is in use.
        let copy = self::folder("copy");
        for slot in 0..2 {
            std::fs::copy(folder.join(format!("journal.{slot}")), copy.join(format!("journal.{slot}"))).unwrap();
        }
        let count = Run::start(&copy, 99, UNIX + 100_000, 20).events().len();
        std::fs::remove_dir_all(copy).unwrap();
        count
    }
}
