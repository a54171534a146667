//! Files of numbers that are read alike: numbers alone, or each with its name.
//!
//! A collector of such files is a [`Plan`], which is data: it costs its tables and little more.

use super::{Collect, Context, Setup};
use crate::kernel::text::{lines, take_word, trim, uint};
use crate::kernel::{Bad, Fault, First, Source};
use crate::model::{Head, Snapshot, Value, is_same};
use crate::sys;

/// The most words of a line that are looked at, and values of a row that is a line.
const WORDS_MAX: usize = 16;
const VALUES_MAX: usize = 8;

/// How the numbers of a file are arranged.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// Numbers alone, such as `1024 0 1631329`: which value the first one is, and which of the numbers count: all, or every
    /// second one.
    Plain(usize, usize),
    /// Each number behind its name, perhaps with a heading: `TCP: inuse 4 orphan 0`, `Ip6InReceives 7`.
    Pairs,
    /// A line of names, and one of numbers: `Udp: InDatagrams NoPorts` and `Udp: 88542 120`.
    Columns,
    /// Each line is a row.
    Lines(&'static Lines),
}

/// Lines that are rows.
#[derive(Debug)]
pub struct Lines {
    pub head: &'static Head,
    /// What the lines begin with; others do not matter.
    pub prefix: &'static str,
    /// How many lines of headings there are.
    pub headings: usize,
    /// Parses a number: `uint` or `hex`.
    pub number: fn(&[u8]) -> Option<u64>,
    /// The word that is the label, or the one with the number of a CPU, which the line's own stands in for if it is missing.
    pub label: Label,
    /// For each value, its place among the line's words, and how many of its digits stand behind the point.
    pub columns: &'static [(usize, u8)],
    /// How many of the values each line has.
    pub required: usize,
    /// What a line should be.
    pub expected: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub enum Label {
    Word(usize),
    Cpu(usize),
}

/// What to read, and the rows to make of it.
#[derive(Debug)]
pub struct Plan {
    /// Files below `/proc` or, if they begin with `class/`, below `/sys`; a kernel may lack any of them.
    pub files: &'static [(&'static str, Layout)],
    /// What the files call each value, with the heading in front: `TCPinuse UDPinuse`.
    pub names: &'static str,
    /// The places of values that the kernel counts in pages.
    pub pages: &'static [usize],
    /// The tables and the labels of the rows; each row takes as many of the values as its table is wide.
    pub rows: &'static [(&'static Head, &'static [&'static [u8]])],
}

impl Plan {
    /// Reads nothing.
    pub const NONE: Plan = Plan { files: &[], names: "", pages: &[], rows: &[] };

    /// Returns the collector.
    pub fn collector(&'static self, setup: &Setup<'_>) -> Box<dyn Collect> {
        let mut files = Vec::with_capacity(self.files.len());
        for (path, layout) in self.files {
            let source = match path.strip_prefix("class/") {
                Some(_) => Source::new(setup.roots.sys.join(path)),
                None => setup.proc(path),
            };
            files.push(match layout {
                // The lines of a CPU in schedstat may be longer than a small record.
                Layout::Lines(_) => source,
                // `proc_create_net_single` in net/ipv4/proc.c and net/ipv6/proc.c.
                Layout::Columns | Layout::Pairs => source.in_one_record(),
                Layout::Plain(..) => source.in_small_records(),
            });
        }
        let mut width = 0;
        for (head, _) in self.rows {
            width += head.width();
        }
        let names = self.names();
        debug_assert!(names.list.is_empty() || names.list.len() == width, "a name for each value");
        let learned = self.files.iter().map(|_| Vec::new()).collect();
        super::boxed(Counters { plan: self, files, names, learned, values: vec![Value::ABSENT; width] })
    }

    fn names(&self) -> Names {
        Names::new(self.names)
    }

    /// Runs the parsers, for the collectors' fuzz targets.
    #[cfg(fuzzing)]
    pub fn fuzz(&self, text: &[u8]) {
        for (_, layout) in self.files {
            match layout {
                Layout::Lines(rows) => drop(each_row(text, rows, &mut |_, _| ())),
                _ => drop(parse(text, *layout, &self.names(), &mut Vec::new(), &mut [Value::ABSENT; 64])),
            }
        }
    }
}

/// The names of the numbers that are wanted. Files have many more, and most of those are ruled out by their length and their last
/// two bytes alone.
struct Names {
    list: Vec<&'static [u8]>,
    /// Which lengths and endings the names have, as [`Names::bit`] counts them.
    shapes: [u64; 4],
}

impl Names {
    /// Takes the words of `names`.
    fn new(names: &'static str) -> Self {
        let (mut list, mut shapes) = (Vec::new(), [0; 4]);
        let mut rest = names.as_bytes();
        while let Some(name) = take_word(&mut rest) {
            if let [.., second, last] = name {
                let (place, bit) = Names::bit(name.len(), *second, *last);
                shapes[place] |= bit;
            }
            list.push(name);
        }
        Names { list, shapes }
    }

    const fn bit(length: usize, second: u8, last: u8) -> (usize, u64) {
        let shape =
            (length as u8).wrapping_mul(37).wrapping_add(second.wrapping_mul(11)).wrapping_add(last.wrapping_mul(5));
        ((shape >> 6) as usize, 1 << (shape & 63))
    }

    /// Returns the place of the name that is `heading` and `name`.
    #[cfg_attr(small, optimize(speed))]
    fn find(&self, heading: &[u8], name: &[u8]) -> Option<usize> {
        let length = heading.len() + name.len();
        if let [.., second, last] = name {
            let (place, bit) = Names::bit(length, *second, *last);
            if self.shapes[place] & bit == 0 {
                return None;
            }
        }
        for (place, wanted) in self.list.iter().enumerate() {
            if wanted.len() == length && wanted.ends_with(name) && wanted.starts_with(heading) {
                return Some(place);
            }
        }
        None
    }
}

/// Reads the files of a plan.
struct Counters {
    plan: &'static Plan,
    files: Vec<Source>,
    names: Names,
    /// For each file, what its lines of names said last time.
    learned: Vec<Vec<Learned>>,
    values: Vec<Value>,
}

impl Collect for Counters {
    fn collect(&mut self, _context: &mut Context<'_>, out: &mut Snapshot) -> Result<(), Fault> {
        let Counters { plan, files, names, learned, values } = self;
        let mut first = First::new();
        values.fill(Value::ABSENT);
        for ((source, learned), (_, layout)) in files.iter_mut().zip(learned).zip(plan.files) {
            if let Err(error) = source.try_read() {
                // Before there is a fault, which takes memory.
                if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ENXIO)) {
                    first.note(Fault::read(source.path(), error));
                }
                continue;
            }
            let text = source.text();
            let result = match layout {
                Layout::Lines(rows) => each_row(text, rows, &mut |label, values| out.push(rows.head, &[label], values)),
                _ => parse(text, *layout, names, learned, values),
            };
            if let Err(bad) = result {
                first.note(Fault::parse(source.path(), bad));
            }
        }
        for &place in plan.pages {
            values[place] = values[place].times(sys::page_size());
        }
        let mut rest = &values[..];
        for (head, labels) in plan.rows {
            let (row, next) = rest.split_at(head.width());
            rest = next;
            if row.iter().any(|value| value.is_present()) {
                out.push(head, labels, row);
            }
        }
        first.result()
    }
}

/// Splits a line into its first words; returns how many words it has, which may be more.
#[inline(never)]
pub fn split<'a>(line: &'a [u8], out: &mut [&'a [u8]]) -> usize {
    let mut count = 0;
    let mut rest = line;
    while let Some(word) = take_word(&mut rest) {
        if let Some(place) = out.get_mut(count) {
            *place = word;
        }
        count += 1;
    }
    count
}

/// Hands each line with its number to `each`; returns the first fault.
#[inline(never)]
pub fn each_line<'a>(text: &'a [u8], each: &mut dyn FnMut(usize, &'a [u8]) -> Result<(), Bad>) -> Result<(), Bad> {
    let mut first = First::new();
    for (number, line) in lines(text) {
        first.keep(each(number, line));
    }
    first.result()
}

/// Hands each row of a file of lines to `each`.
///
/// # Errors
/// The first line that is no row.
fn each_row(text: &[u8], rows: &Lines, each: &mut dyn FnMut(&[u8], &[Value])) -> Result<(), Bad> {
    each_line(text, &mut |number, line| {
        if number <= rows.headings || !line.starts_with(rows.prefix.as_bytes()) {
            return Ok(());
        }
        let bad = || Bad::new(number, rows.expected, line);
        let mut words = [&b""[..]; WORDS_MAX];
        let count = split(line, &mut words);
        let parse = rows.number;
        let mut values = [Value::ABSENT; VALUES_MAX];
        for (at, (value, (place, digits))) in values.iter_mut().zip(rows.columns).enumerate() {
            if *place < count {
                *value = Value::decimal(parse(words[*place]).ok_or_else(bad)?, *digits);
            } else if at < rows.required {
                return Err(bad());
            }
        }
        let values = &values[..rows.columns.len()];
        match rows.label {
            Label::Word(place) => each(words[place], values),
            Label::Cpu(place) => {
                let cpu = if place < count { parse(words[place]).ok_or_else(bad)? } else { number as u64 - 1 };
                let mut label = *b"cpu000000000000000000000000";
                let mut digits = [0; Value::LONGEST];
                let length = Value::from(cpu).text(&mut digits);
                label[3..3 + length].copy_from_slice(&digits[..length]);
                each(&label[..3 + length], values);
            }
        }
        Ok(())
    })
}

/// Puts the numbers of a file into `values`, in the places of their `names`; other numbers of the file do not matter.
///
/// # Errors
/// The first line that does not fit the layout. What the others say counts.
fn parse(
    text: &[u8],
    layout: Layout,
    names: &Names,
    learned: &mut Vec<Learned>,
    values: &mut [Value],
) -> Result<(), Bad> {
    if let Layout::Plain(place, step) = layout {
        let mut words = [&b""[..]; WORDS_MAX];
        let count = split(text, &mut words);
        for (value, place) in values[place..].iter_mut().zip((0..count.min(WORDS_MAX)).step_by(step)) {
            *value = uint(words[place]).ok_or_else(|| Bad::new(1, "a number", words[place]))?.into();
        }
        return if count > 0 { Ok(()) } else { Err(Bad::missing("a number")) };
    }
    let is_columns = matches!(layout, Layout::Columns);
    if !is_columns && learned.first().is_some_and(|known| known.take_pairs(text, names, values)) {
        return Ok(());
    }
    let mut names_line = None;
    let mut pairs = 0;
    let result = each_line(text, &mut |number, line| {
        let above = names_line.take();
        if is_columns && above.is_none() {
            names_line = Some(line);
            return Ok(());
        }
        let Some(above) = above else { return named(number, line, line, is_columns, names, values) };
        pairs += 1;
        if learned.len() < pairs {
            learned.push(Learned::default());
        }
        let known = &mut learned[pairs - 1];
        if known.take(above, line, values) {
            return Ok(());
        }
        let result = named(number, above, line, is_columns, names, values);
        if result.is_ok() && above.contains(&b':') {
            known.learn(above, names);
        }
        result
    });
    if !is_columns && result.is_ok() && !text.contains(&b':') {
        learned.clear();
        learned.push(Learned::default());
        learned[0].learn_pairs(text, names);
    }
    match names_line {
        Some(line) => result.and(Err(Bad::new(1, "a line of numbers below one of names", line))),
        None => result,
    }
}

/// A line of names as it was last time, as a rule for good, and which of the numbers below it are wanted; or which lines of a name and
/// a number are.
#[derive(Debug, Default)]
struct Learned {
    line: Vec<u8>,
    /// For each name or line, the place of its value; [`Learned::UNWANTED`] for the others. What follows the last wanted one is left out.
    places: Vec<u8>,
    count: usize,
}

impl Learned {
    const UNWANTED: u8 = u8::MAX;

    /// Remembers a line of names.
    fn learn(&mut self, line: &[u8], names: &Names) {
        let Learned { line: known, places, count } = self;
        known.clear();
        known.extend_from_slice(line);
        places.clear();
        let mut rest = line;
        let heading = take_word(&mut rest).unwrap_or_default();
        let heading = heading.strip_suffix(b":").unwrap_or(heading);
        *count = 0;
        while let Some(name) = take_word(&mut rest) {
            let place = names.find(heading, name).and_then(|place| u8::try_from(place).ok());
            places.push(place.unwrap_or(Learned::UNWANTED));
            *count += 1;
        }
        while places.last() == Some(&Learned::UNWANTED) {
            places.pop();
        }
    }

    /// Remembers which lines of a name and a number are wanted.
    fn learn_pairs(&mut self, text: &[u8], names: &Names) {
        for (_, mut line) in lines(text) {
            let place = names.find(b"", take_word(&mut line).unwrap_or_default());
            self.places.push(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(Learned::UNWANTED));
        }
        while self.places.last() == Some(&Learned::UNWANTED) {
            self.places.pop();
        }
    }

    /// Takes the wanted numbers, each behind its name, if all of them are in the known lines; otherwise returns false, and `values` may hold
    /// some of them.
    fn take_pairs(&self, text: &[u8], names: &Names, values: &mut [Value]) -> bool {
        let mut lines = lines(text);
        self.places.iter().all(|&place| {
            let Some((_, mut line)) = lines.next() else { return false };
            let Some(name) = names.list.get(usize::from(place)) else { return true };
            let is_it = take_word(&mut line) == Some(name);
            let Some(number) = uint(trim(line)).filter(|_| is_it) else { return false };
            values[usize::from(place)] = number.into();
            true
        })
    }

    /// Takes the wanted numbers below the line of names, if that is the known one and nothing is odd; otherwise returns false, and
    /// `values` may hold some of them.
    #[cfg_attr(small, optimize(speed))]
    fn take(&self, names: &[u8], numbers: &[u8], values: &mut [Value]) -> bool {
        let Learned { line, places, count } = self;
        if !is_same(line, names) {
            return false;
        }
        if places.is_empty() {
            return true;
        }
        let (mut names, mut rest) = (names, numbers);
        if take_word(&mut names) != take_word(&mut rest) {
            return false;
        }
        for &place in places {
            let Some(word) = take_word(&mut rest) else { return false };
            if place != Learned::UNWANTED {
                let Some(number) = uint(word) else { return false };
                values[usize::from(place)] = number.into();
            }
        }
        // As many numbers as names.
        let mut blanks = 0;
        for pair in rest.windows(2) {
            blanks += usize::from(pair[0] == b' ' && pair[1] != b' ');
        }
        places.len() + blanks == *count
    }
}

/// Takes the numbers of a line: each behind its name, or below it in a line `above`.
fn named(
    number: usize,
    above: &[u8],
    line: &[u8],
    is_columns: bool,
    names: &Names,
    values: &mut [Value],
) -> Result<(), Bad> {
    let (mut above, mut rest) = (above, line);
    let mut result = Ok(());
    let mut heading = &b""[..];
    if above.contains(&b':') {
        heading = take_word(&mut above).unwrap_or_default();
        if take_word(&mut rest) != Some(heading) {
            return Err(Bad::new(number, "the heading of the names above", line));
        }
        heading = heading.strip_suffix(b":").unwrap_or(heading);
        if !names.list.iter().any(|name| name.starts_with(heading)) {
            return Ok(());
        }
    }
    loop {
        let name = take_word(if is_columns { &mut above } else { &mut rest });
        match (name, take_word(&mut rest)) {
            (Some(name), Some(found)) => {
                let Some(place) = names.find(heading, name) else { continue };
                let found_number = uint(found);
                values[place] = found_number.into();
                if found_number.is_none() && result.is_ok() {
                    result = Err(Bad::new(number, "a number", found));
                }
            }
            (None, None) => return result,
            _ => {
                if is_columns {
                    // The numbers may belong to other names.
                    for (value, name) in values.iter_mut().zip(&names.list) {
                        if name.starts_with(heading) {
                            *value = Value::ABSENT;
                        }
                    }
                }
                return result.and(Err(Bad::new(number, "a number for each name", line)));
            }
        }
    }
}

/// For the tests of collectors whose files are lines: the rows as text, and the line of the first fault.
#[cfg(test)]
pub fn rows_of(plan: &Plan, text: &str) -> (Vec<String>, Option<usize>) {
    let Layout::Lines(rows) = plan.files[0].1 else { panic!("no lines") };
    let mut all = Vec::new();
    let bad = each_row(text.as_bytes(), rows, &mut |label, values| {
        let values: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
        all.push(format!("{} {}", label.escape_ascii(), values.join(" ")));
    });
    (all, bad.err().map(|bad| bad.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<const N: usize>(text: &str, layout: Layout, names: [&str; N]) -> ([Option<f64>; N], Option<usize>) {
        let mut values = [Value::ABSENT; N];
        let names = Names::new(names.join(" ").leak());
        let mut learned = Vec::new();
        let bad = parse(text.as_bytes(), layout, &names, &mut learned, &mut values).err();
        // What was learned changes nothing.
        let mut again = [Value::ABSENT; N];
        let bad_again = parse(text.as_bytes(), layout, &names, &mut learned, &mut again).err();
        assert_eq!((values, bad.as_ref().map(|bad| bad.line)), (again, bad_again.map(|bad| bad.line)));
        (values.map(Value::to_f64), bad.map(|bad| bad.line))
    }

    #[test]
    fn numbers_alone() {
        // fs/file-nr, of which the second number has no meaning since Linux 2.6.
        assert_eq!(read("1024\t0\t1631329\n", Layout::Plain(0, 2), [""; 2]), ([Some(1024.0), Some(1_631_329.0)], None));
        assert_eq!(read("229\n", Layout::Plain(1, 1), [""; 3]), ([None, Some(229.0), None], None));
        assert_eq!(read("\n", Layout::Plain(0, 1), [""; 1]), ([None], Some(0)));
        assert_eq!(read("-1\n", Layout::Plain(0, 1), [""; 1]), ([None], Some(1)));
    }

    #[test]
    fn lines_of_pairs_are_known_until_one_is_another() {
        let names = Names::new("Udp6InErrors Udp6NoPorts");
        let mut learned = Vec::new();
        let mut read = |text: &str| {
            let mut values = [Value::ABSENT; 2];
            let bad = parse(text.as_bytes(), Layout::Pairs, &names, &mut learned, &mut values).err();
            (values.map(Value::to_f64), bad.map(|bad| bad.line), learned.first().map(|known| known.places.clone()))
        };
        let places = Some(vec![255, 1, 255, 0]);
        let text = "Ip6InReceives \t7\nUdp6NoPorts  \t2\nUdp6X \t1\nUdp6InErrors\t3\nIp6Y \t1\n";
        for _ in 0..2 {
            assert_eq!(read(text), ([Some(3.0), Some(2.0)], None, places.clone()));
        }
        // A line more, one less, one that is odd.
        let more = Some(vec![255, 255, 1, 255, 0]);
        assert_eq!(read(&format!("Ip6Z 1\n{text}")), ([Some(3.0), Some(2.0)], None, more.clone()));
        assert_eq!(read(&text.replace("\t3", "\tx")), ([None, Some(2.0)], Some(4), more));
        assert_eq!(read("Udp6InErrors 4\n"), ([Some(4.0), None], None, Some(vec![0])));
        assert_eq!(read(text), ([Some(3.0), Some(2.0)], None, places));
    }

    #[test]
    fn pairs() {
        let text = "sockets: used 229\nTCP: inuse 4 orphan 0 tw 4 alloc 17 mem 1\nUDP: inuse 0 mem 0\nTCP6: inuse 17\n";
        let names = ["socketsused", "TCPinuse", "TCPmem", "UDPinuse", "TCP6inuse", "UDP6inuse"];
        let expected = [Some(229.0), Some(4.0), Some(1.0), Some(0.0), Some(17.0), None];
        assert_eq!(read(text, Layout::Pairs, names), (expected, None));
        let text = "Ip6InReceives                   \t7\nIp6InOctets \t460\n";
        assert_eq!(read(text, Layout::Pairs, ["Ip6InOctets", "Ip6InReceives"]), ([Some(460.0), Some(7.0)], None));
    }

    #[test]
    fn columns() {
        let text = "Tcp: RtoMin MaxConn ActiveOpens\nTcp: 200 -1 3556\nUdp: InDatagrams NoPorts\nUdp: 88542 120\n\
                    IcmpMsg: InType3\nIcmpMsg: 104\n";
        let names = ["UdpNoPorts", "TcpActiveOpens", "UdpLiteNoPorts", "UdpSndbufErrors"];
        assert_eq!(read(text, Layout::Columns, names), ([Some(120.0), Some(3556.0), None, None], None));
    }

    #[test]
    fn what_was_learned_holds_for_the_same_names_alone() {
        let names = Names::new("TcpA TcpC UdpB");
        let mut learned = Vec::new();
        let mut read = |text: &str| {
            let mut values = [Value::ABSENT; 3];
            let bad = parse(text.as_bytes(), Layout::Columns, &names, &mut learned, &mut values).err();
            (values.map(Value::to_f64), bad.map(|bad| bad.line))
        };
        assert_eq!(read("Tcp: A B C D\nTcp: 1 2 3 4\nUdp: B\nUdp: 5\n"), ([Some(1.0), Some(3.0), Some(5.0)], None));
        assert_eq!(read("Tcp: A B C D\nTcp: 6 -1 7 8\nUdp: B\nUdp: 9\n"), ([Some(6.0), Some(7.0), Some(9.0)], None));
        // Other names, names and numbers that are missing, more of them, and odd ones.
        assert_eq!(read("Tcp: C B A D\nTcp: 1 2 3 4\n"), ([Some(3.0), Some(1.0), None], None));
        assert_eq!(read("Tcp: C B A D\nTcp: 1 2 3\n"), ([None; 3], Some(2)));
        assert_eq!(read("Tcp: C B A D\nTcp: 1 2 3 4 5\n"), ([None; 3], Some(2)));
        assert_eq!(read("Tcp: C B A D\nTcp: x 2 3 4\n"), ([Some(3.0), None, None], Some(2)));
        assert_eq!(read("Tcp: C B A D\nUdp: 1 2 3 4\n"), ([None; 3], Some(2)));
        assert_eq!(read("Udp: B\nUdp: 5\nTcp: A\nTcp: 1\n"), ([Some(1.0), None, Some(5.0)], None));
    }

    #[test]
    fn one_odd_line_does_not_hide_the_others() {
        let names = ["TcpActiveOpens", "UdpNoPorts"];
        for (tcp, line) in [
            ("Tcp: RtoMin ActiveOpens\nTcp: 200 x", 2),
            ("Tcp: RtoMin ActiveOpens\nTcp: 200 -1", 2),
            ("Tcp: RtoMin ActiveOpens\nTcp: 200", 2),
            // It is not known which of the numbers is missing.
            ("Tcp: ActiveOpens RtoMin\nTcp: 200", 2),
            ("Tcp: ActiveOpens\nTcp: 200 300", 2),
            ("Tcp: ActiveOpens\nIp: 200", 2),
        ] {
            let text = format!("{tcp}\nUdp: InDatagrams NoPorts\nUdp: 88542 120\n");
            assert_eq!(read(&text, Layout::Columns, names), ([None, Some(120.0)], Some(line)), "{tcp}");
        }
        for (tcp, value) in [("TCP: inuse", None), ("TCP: inuse 4 orphan", Some(4.0)), ("TCP: inuse -4", None)] {
            let text = format!("{tcp}\nUDP: inuse 3\n");
            assert_eq!(read(&text, Layout::Pairs, ["TCPinuse", "UDPinuse"]), ([value, Some(3.0)], Some(1)), "{tcp}");
        }
        assert_eq!(read("Tcp: ActiveOpens\n", Layout::Columns, ["TcpActiveOpens"]), ([None], Some(1)));
        assert_eq!(read("", Layout::Columns, ["TcpActiveOpens"]), ([None], None));
    }
}
