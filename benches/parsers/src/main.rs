//! How long parsers and formats take for 1, 10, 100 and 1,000 things: time should grow as the things do.
//!
//! `benches/parsers.sh` runs it. Parsers are reached where fuzz targets reach them.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use pi_monitor::collect;
use pi_monitor::format::{Format, Gzip, Renderer};
use pi_monitor::model::{Family, Moment, More, Place, Snapshot, Table, Unit, Value};

const SIZES: [usize; 4] = [1, 10, 100, 1000];

fn main() {
    divan::main();
}

/// Times a parser on a head and one line for each thing.
fn parse(bencher: Bencher<'_, '_>, things: usize, head: &str, line: impl Fn(usize) -> String, parser: fn(&[u8])) {
    let text = head.to_owned() + &(0..things).map(line).collect::<String>();
    bencher
        .counter(ItemsCount::new(things))
        .counter(BytesCount::of_str(&text))
        .bench(|| parser(black_box(text.as_bytes())));
}

#[divan::bench(args = SIZES)]
fn cpus(bencher: Bencher<'_, '_>, things: usize) {
    let line = |cpu| format!("cpu{cpu} 1372101 34008 338656 6669868 1520 0 5210 120 0 0\n");
    parse(bencher, things, "cpu  2744202 68016 677312 13339736 3040 0 10420 240 0 0\n", line, collect::cpu::fuzz);
}

#[divan::bench(args = SIZES)]
fn interfaces(bencher: Bencher<'_, '_>, things: usize) {
    let head = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";
    let line = |number| {
        format!(
            "{:>6}: 50858957    2620    0    0    0     0          0         0   151193    1594    0    0    0     0       0          0\n",
            format!("eth{number}")
        )
    };
    parse(bencher, things, head, line, collect::network::fuzz);
}

#[divan::bench(args = SIZES)]
fn mounts(bencher: Bencher<'_, '_>, things: usize) {
    let line = |mount| {
        let id = mount + 26;
        format!("{id} 25 0:{id} / /srv/data/{mount} rw,nosuid,relatime shared:{id} - tmpfs tmpfs rw,size=64k\n")
    };
    parse(bencher, things, "25 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n", line, collect::disk::fuzz);
}

#[divan::bench(args = SIZES)]
fn disks(bencher: Bencher<'_, '_>, things: usize) {
    let line = |disk| {
        format!(
            " 179 {disk} mmcblk{disk} 41204 12330 3405122 53190 8801 9120 412242 91233 0 51230 144423 0 0 0 0 0 0\n"
        )
    };
    parse(bencher, things, "", line, collect::diskio::fuzz);
}

#[divan::bench(args = SIZES)]
fn lines_of_meminfo(bencher: Bencher<'_, '_>, things: usize) {
    let line =
        |line| if line % 2 == 0 { "MemFree:          301240 kB\n" } else { "Unevictable:        1234 kB\n" }.to_owned();
    parse(bencher, things, "MemTotal:         437516 kB\n", line, collect::memory::fuzz);
}

#[divan::bench(args = SIZES)]
fn lines_of_vmstat(bencher: Bencher<'_, '_>, things: usize) {
    let line = |line| if line % 20 == 0 { "pgfault 987654321\n" } else { "nr_zone_inactive_anon 12345\n" }.to_owned();
    parse(bencher, things, "", line, collect::vm::fuzz);
}

static MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// The binary knows the names of its own families alone.
static THINGS: Table<1, 10> = Table::new(
    Place::List("things"),
    &["thing"],
    &[
        Family::gauge("pi_disk_total_bytes", "", Unit::Bytes),
        Family::counter("pi_cpu_seconds_total", "", Unit::Seconds).more(&More::NONE.by("mode", &MODES)),
        Family::gauge("pi_disk_read_only", "", Unit::Count),
    ],
);

/// A collection of `things` rows of ten values.
fn collection(things: usize, snapshot: &mut Snapshot) {
    snapshot.clear(Moment::default());
    for thing in 0..things {
        let name = format!("thing{thing}");
        let values = std::array::from_fn(|place| Value::decimal((thing * 7919 * (place + 1)) as u64, 2));
        snapshot.row(&THINGS, [name.as_bytes()], values);
    }
}

/// Times a format, the first time for a collection of these things or each time after it.
fn render(bencher: Bencher<'_, '_>, things: usize, format: Format, again: bool) {
    let mut snapshot = Snapshot::new();
    snapshot.register("thing", &[THINGS.head()]);
    collection(things, &mut snapshot);
    let (mut renderer, mut out) = (Renderer::new(), Vec::new());
    renderer.replace(format, &snapshot, 0, &mut out);
    let bencher = bencher.counter(ItemsCount::new(things)).counter(BytesCount::of_slice(&out));
    bencher.bench_local(|| {
        if !again {
            renderer = Renderer::new();
        }
        renderer.replace(format, black_box(&snapshot), 0, &mut out);
    });
}

#[divan::bench(args = SIZES)]
fn prometheus_first(bencher: Bencher<'_, '_>, things: usize) {
    render(bencher, things, Format::Prometheus, false);
}

#[divan::bench(args = SIZES)]
fn prometheus_again(bencher: Bencher<'_, '_>, things: usize) {
    render(bencher, things, Format::Prometheus, true);
}

#[divan::bench(args = SIZES)]
fn openmetrics_again(bencher: Bencher<'_, '_>, things: usize) {
    render(bencher, things, Format::OpenMetrics, true);
}

#[divan::bench(args = SIZES)]
fn json(bencher: Bencher<'_, '_>, things: usize) {
    render(bencher, things, Format::Json, true);
}

#[divan::bench(args = SIZES)]
fn gzip(bencher: Bencher<'_, '_>, things: usize) {
    let mut snapshot = Snapshot::new();
    snapshot.register("thing", &[THINGS.head()]);
    collection(things, &mut snapshot);
    let (mut page, mut out, mut gzip) = (Vec::new(), Vec::new(), Gzip::new());
    Renderer::new().replace(Format::Prometheus, &snapshot, 0, &mut page);
    bencher.counter(ItemsCount::new(things)).counter(BytesCount::of_slice(&page)).bench_local(|| {
        out.clear();
        gzip.compress(black_box(&page), &mut out);
    });
}
