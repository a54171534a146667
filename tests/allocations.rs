//! After warm-up, a collection and every format of it allocate nothing.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(unsafe_code, reason = "counts what the allocator is asked for")]

use pi_monitor::agent::Agent;
use pi_monitor::agent::foreign::Choice;
use pi_monitor::commands;
use pi_monitor::dialect::flags::Tongue;
use pi_monitor::format::Format;
use pi_monitor::history::{RANGES, Request, events::Wanted, journal::Journal};
use pi_monitor::kernel::Machine;
use pi_monitor::model::{Note, Severity, kinds};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[path = "boards/board.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod board;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Counts an allocation, but not of the first thread: the test harness says there that a test takes more than a minute, as on a busy
/// machine.
fn count() {
    // SAFETY: neither call has any effect.
    let is_harness = unsafe { libc::gettid() == libc::getpid() };
    ALLOCATIONS.fetch_add(u64::from(!is_harness), Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const WARM_UP: usize = 20;
const ROUNDS: usize = if cfg!(debug_assertions) { 200 } else { 1000 };

/// Allocations of `ROUNDS` ticks, collections and all formats, each plain and compressed.
fn allocations(flags: &[String]) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = commands::parse(flags.iter().cloned()).unwrap();
        let mut agent = Agent::new(&options, Machine::default());
        let folder = std::env::temp_dir().join(format!("pi-monitor-allocations-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        agent.keep(Journal::open(&folder).unwrap().0);
        let mut before = 0;
        for round in 0..WARM_UP + ROUNDS {
            if round == WARM_UP {
                before = ALLOCATIONS.load(Ordering::Relaxed);
            }
            agent.tick();
            for format in [Format::Prometheus, Format::OpenMetrics, Format::Json] {
                for gzip in [false, true] {
                    assert!(agent.page(format, gzip, Duration::ZERO).await.len() > 1000);
                }
            }
            for tongue in [Tongue::Node, Tongue::Both] {
                for gzip in [false, true] {
                    assert!(
                        agent.page_in(tongue, &Choice::default(), gzip, Duration::ZERO).await.unwrap().len() > 1000
                    );
                }
            }
            for range in 0..RANGES.len() {
                for gzip in [false, true] {
                    // No two rounds ask for the same, so each answer is written anew.
                    let since = Some(round as u64);
                    for filesystems in [false, true] {
                        let request = Request { range, since, from: None, to: None, filesystems };
                        assert!(agent.history(request, gzip).len() > 50);
                    }
                }
            }
        }
        let counted = ALLOCATIONS.load(Ordering::Relaxed) - before;
        std::fs::remove_dir_all(folder).unwrap();
        counted
    })
}

/// Allocations of ticks while a verdict begins, and of events that come until the oldest have to go.
fn allocations_of_events(flags: &[String]) -> u64 {
    static CLOCK: AtomicU64 = AtomicU64::new(100_000);
    let machine = Machine { since_boot: || Duration::from_secs(CLOCK.load(Ordering::Relaxed)), ..Machine::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let options = commands::parse(flags.iter().cloned()).unwrap();
    let mut agent = Agent::new(&options, machine);
    let text = |agent: &mut Agent, limit| {
        let wanted = Wanted { id: None, since: i64::MIN, limit, text: true };
        String::from_utf8(agent.events(&wanted, false).unwrap().to_vec()).unwrap()
    };
    let is_low = |text: String| text.contains("Memory is almost used up");
    let mut before = 0;
    for round in 0..2000 {
        CLOCK.fetch_add(2, Ordering::Relaxed);
        // The condition holds from the first tick on, and the rule is on after the fifth.
        if round == 3 {
            assert!(!is_low(text(&mut agent, 1000)));
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        agent.tick();
        agent.note(Note {
            kind: &kinds::DEVICE,
            severity: Severity::Info,
            title: format_args!("device {round} was attached"),
            detail: format_args!(""),
            culprit: "sda",
        });
    }
    let counted = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert!(text(&mut agent, 1).contains("device 1999"));
    assert!(is_low(text(&mut agent, 1000)));
    counted
}

/// Allocations of collections of services, each of which lists them anew.
fn allocations_of_services() -> u64 {
    static CLOCK: AtomicU64 = AtomicU64::new(100_000);
    let machine = Machine { since_boot: || Duration::from_secs(CLOCK.load(Ordering::Relaxed)), ..Machine::default() };
    let tree = board::Tree::new("nas");
    let only = ["--collector.disable-defaults", "--collector.services"].map(str::to_owned);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = commands::parse(tree.flags().into_iter().chain(only)).unwrap();
        let mut agent = Agent::new(&options, machine);
        let mut before = 0;
        for round in 0..WARM_UP + 100 {
            if round == WARM_UP {
                before = ALLOCATIONS.load(Ordering::Relaxed);
            }
            CLOCK.fetch_add(60, Ordering::Relaxed);
            let page = agent.page(Format::Prometheus, false, Duration::ZERO).await;
            assert!(page.windows(12).any(|text| text == br#"service="db""#));
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    })
}

// One test, since the counter counts every thread's allocations.
#[test]
fn nothing_is_allocated_after_warm_up() {
    std::hint::black_box(vec![0]);
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "tests run in the first thread, of which nothing is counted");
    // On a board's tree, `statvfs` asks this machine; what it answers makes no difference here.
    let tree = board::Tree::new("pi-3a-plus");
    let files = std::env::temp_dir().join(format!("pi-monitor-allocations-files-{}", std::process::id()));
    std::fs::create_dir_all(&files).unwrap();
    for (name, text) in
        [("a.prom", "# TYPE a counter\na{b=\"c\"} 1\na 2\n"), ("b.prom", "malformed\n"), ("c.prom", "a 1\n")]
    {
        std::fs::write(files.join(name), text).unwrap();
    }
    // A file that was written just now is read again.
    std::thread::sleep(Duration::from_millis(100));
    let directory = format!("--collector.textfile.directory={}", files.display());
    let counted = allocations(&tree.flags().into_iter().chain([directory]).collect::<Vec<_>>());
    std::fs::remove_dir_all(&files).unwrap();
    println!("board: {counted} allocations in {ROUNDS} rounds");
    assert_eq!(counted, 0, "on the board");

    let flags = tree.flags().into_iter().chain(["--rule.memory_low.below=100".to_owned()]).collect::<Vec<_>>();
    assert_eq!(allocations_of_events(&flags), 0, "of events");

    assert_eq!(allocations_of_services(), 0, "of services");

    // This machine may have mounts that a helper process is asked about, which takes messages.
    // A verdict that begins adds a row to the outputs, and a busy machine has some.
    let rules =
        ["cpu_busy", "load_high", "memory_low", "memory_pressure", "io_pressure", "disk_slow", "network_errors"];
    let off = rules.iter().map(|rule| format!("--no-rule.{rule}"));
    let flags = off.chain(["--no-collector.disk".to_owned()]).collect::<Vec<_>>();
    // Numbers grow here, and with them texts, and programs come and go: a buffer may be outgrown now and then, but not in
    // every batch of rounds. What a collection itself allocates is in each of them.
    const BATCHES: usize = 10;
    let batch = |_| {
        let counted = allocations(&flags);
        println!("this machine: {counted} allocations in {ROUNDS} rounds");
        counted
    };
    assert!((0..BATCHES).map(batch).any(|counted| counted * 10 < ROUNDS as u64), "too many in each batch");
}
