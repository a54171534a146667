//! What the shapes of `node.txt` cannot say: functions that read a file and add rows, by their names there.

pub use super::devices::release;
use super::devices::{
    clocksources, hwmon, hwmon_labels, hwmon_names, md_disks, md_sizes, md_states, nvme, nvme_info, os, processes,
    textfile, threads, throttles, udev,
};
use super::read::{Reader, number};
use super::rows::Rows;
use crate::collect::disk::FILESYSTEMS;
use crate::kernel::text::{hex, lines, place, take_word, uint, words};
use crate::kernel::zone::offset_and_name;
use crate::model::Value;
use crate::sys;

/// Adds rows. Of `each` it gets the path of the entry, in parts, of which it fills in the last.
pub type Code = fn(&mut Reader, &[&str], &mut Rows<'_>);

/// Makes the list of all functions, and that of their names, in which each name takes no room for a pointer.
macro_rules! functions {
    ($($name:ident)*) => {
        const NAMES: &str = concat!($(stringify!($name), " "),*);
        static ALL: &[Code] = &[$($name),*];
    };
}

functions! {
    conntrack cpu cpu_isolated cpuinfo governor interface_info interrupts clocksources
    hwmon hwmon_labels hwmon_names md_disks md_sizes md_states meminfo mount_info netstat nvme
    nvme_info os pressure processes schedstat sockstat softirqs softnet stat stat_softirqs tcpstat
    textfile threads throttles time time_zone timex udev udp_queues vmstat
}

/// Returns the function of this name.
pub fn find(name: &str) -> Option<Code> {
    Some(ALL[place(name.as_bytes(), NAMES)?])
}

fn conntrack(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("proc/net/stat/nf_conntrack") else { return };
    let mut sums = [0_u64; 24];
    for (_, line) in lines(text).skip(1) {
        for (sum, word) in sums.iter_mut().zip(words(line)) {
            *sum += hex(word).unwrap_or(0);
        }
    }
    let columns = rows.columns;
    let mut values = [Value::ABSENT; 24];
    for (value, column) in values.iter_mut().zip(columns) {
        *value = sums[column.source().parse().unwrap_or(0)].into();
    }
    rows.push(&[], &values);
}

const MODES: &str = "user nice system idle iowait irq softirq steal";

type Each<'a> = &'a mut dyn FnMut(&[u8], &mut dyn Iterator<Item = &[u8]>);

/// Hands the number of each CPU and the numbers behind it to `each`.
fn cpus(text: &[u8], each: Each<'_>) {
    for (_, line) in lines(text) {
        let mut words = words(line);
        match words.next() {
            Some([b'c', b'p', b'u', cpu @ ..]) if !cpu.is_empty() => each(cpu, &mut words),
            // The longest line of /proc/stat, behind which there are no CPUs.
            Some(b"intr") => break,
            _ => {}
        }
    }
}

/// What each CPU did in each mode. The column says which number on its line is the first: behind those of the modes are those of guests.
fn cpu(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("proc/stat") else { return };
    let first = rows.columns[0].source().parse().unwrap_or(0);
    cpus(text, &mut |cpu, numbers| {
        for (mode, word) in words(MODES.as_bytes()).zip(numbers.skip(first)) {
            rows.push(&[cpu, mode], &[number(word).unwrap_or_default()]);
        }
    });
}

/// A list such as `1,3-5`.
fn cpu_isolated(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("sys/devices/system/cpu/isolated") else { return };
    for part in text.trim_ascii().split(|&byte| byte == b',') {
        let (first, last) = match part.iter().position(|&byte| byte == b'-') {
            Some(dash) => (uint(&part[..dash]), uint(&part[dash + 1..])),
            None => (uint(part), uint(part)),
        };
        let (Some(first), Some(last)) = (first, last) else { continue };
        for cpu in first..=last.min(first + 4096) {
            rows.push(&[digits(cpu, &mut Digits::default())], &[1.into()]);
        }
    }
}

type Digits = [u8; Value::LONGEST];

/// Returns a number as text, which is put into `room`.
#[inline(never)]
fn digits(number: u64, room: &mut Digits) -> &[u8] {
    let length = Value::from(number).text(room);
    &room[..length]
}

/// The first block is about the CPUs, the second about their frequencies, the others about the first CPU's words.
fn cpuinfo(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    const NAMES: &str =
        "cache size|core id|processor|cpu family|microcode|model|model name|physical id|stepping|vendor_id";
    let Some(text) = reader.file("long/cpuinfo") else { return };
    let list: &[u8] = match rows.labels {
        ["flag"] => b"flags",
        ["bug"] => b"bugs",
        _ => b"",
    };
    for cpu in text.split_inclusive(|&byte| byte == 0) {
        let mut labels = [&b""[..]; 10];
        let mut megahertz = None;
        for line in cpu.split(|&byte| byte == b'\n').chain([&b""[..]]) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                if line.is_empty() && !labels[2].is_empty() {
                    if rows.labels.len() == labels.len() {
                        rows.push(&labels, &[1.into()]);
                    } else if list.is_empty() {
                        rows.push(&[labels[1], labels[2], labels[7]], &[megahertz.unwrap_or_default()]);
                    }
                    labels = [&b""[..]; 10];
                }
                continue;
            };
            let (name, text) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
            if !list.is_empty() && name == list {
                for word in words(text) {
                    rows.push(&[word], &[1.into()]);
                }
            }
            if let Some(place) = NAMES.split('|').position(|known| known.as_bytes() == name) {
                labels[place] = text;
            }
            if name == b"cpu MHz" {
                megahertz = number(text);
            }
        }
    }
}

fn governor(reader: &mut Reader, entry: &[&str], rows: &mut Rows<'_>) {
    let [directory, _, name, ..] = entry else { return };
    let mut governor = [0; 32];
    let text = reader.text(&[directory, "/", name, "/cpufreq/scaling_governor"]).unwrap_or_default().trim_ascii();
    let length = text.len().min(governor.len());
    governor[..length].copy_from_slice(&text[..length]);
    let Some(text) = reader.text(&[directory, "/", name, "/cpufreq/scaling_available_governors"]) else { return };
    for one in words(text) {
        rows.push(&[&name.as_bytes()[3..], one], &[(one == &governor[..length]).into()]);
    }
}

fn interface_info(reader: &mut Reader, entry: &[&str], rows: &mut Rows<'_>) {
    /// Where each label is read; `-` is the interface's name.
    const FILES: &str = "address flags broadcast - duplex ifalias operstate";
    const COUNT: usize = 7;
    /// `IFF_UP` of `include/uapi/linux/if.h`.
    const UP: u64 = 1;
    let [directory, _, name, ..] = entry else { return };
    let mut texts = [[0; 256]; COUNT];
    let mut lengths = [0; COUNT];
    let mut any = false;
    for ((text, length), file) in texts.iter_mut().zip(&mut lengths).zip(FILES.split(' ')) {
        let found = match file {
            "-" => name.as_bytes(),
            file => match reader.text(&[directory, "/", name, "/", file]) {
                Some(found) => {
                    any = true;
                    found.trim_ascii()
                }
                None => b"",
            },
        };
        *length = found.len().min(text.len());
        text[..*length].copy_from_slice(&found[..*length]);
    }
    let mut labels = [&b""[..]; COUNT];
    for ((label, text), length) in labels.iter_mut().zip(&texts).zip(lengths) {
        *label = &text[..length];
    }
    if let [b'0', b'x', flags @ ..] = labels[1] {
        labels[1] = if hex(flags).unwrap_or(0) & UP != 0 { b"up" } else { b"down" };
    }
    if any {
        rows.push(&labels, &[1.into()]);
    }
}

fn interrupts(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("long/interrupts") else { return };
    let mut count = 0;
    for (number_of_line, line) in lines(text) {
        if number_of_line == 1 {
            count = words(line).count();
            continue;
        }
        let mut rest = line;
        let Some(name) = take_word(&mut rest).and_then(|name| name.strip_suffix(b":")) else { continue };
        let values = rest;
        for _ in 0..count {
            take_word(&mut rest);
        }
        // `ERR` and `MIS` count for all CPUs.
        let info = rest.trim_ascii();
        if info.is_empty() {
            continue;
        }
        let mut words_of = info;
        let (info, devices) = match uint(name) {
            Some(_) => (take_word(&mut words_of).unwrap_or_default(), words_of.trim_ascii()),
            None => (info, &b""[..]),
        };
        for (cpu, word) in words(values).take(count).enumerate() {
            // node_exporter joins the words of what stands behind with one space.
            let (mut one, mut other) = ([0; 128], [0; 128]);
            let (info, devices) = (joined(info, &mut one), joined(devices, &mut other));
            rows.push(
                &[digits(cpu as u64, &mut Digits::default()), devices, info, name],
                &[number(word).unwrap_or_default()],
            );
        }
    }
}

/// Joins the words of `text` with one space, as many as fit.
fn joined<'a>(text: &[u8], into: &'a mut [u8]) -> &'a [u8] {
    let mut length = 0;
    for word in words(text) {
        let start = length + usize::from(length > 0);
        let Some(room) = into.get_mut(start..start + word.len()) else { break };
        room.copy_from_slice(word);
        if start > 0 {
            into[start - 1] = b' ';
        }
        length = start + word.len();
    }
    &into[..length]
}

fn meminfo(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    if let Some(text) = reader.file("proc/meminfo") {
        rows.pairs(text, |name| Some([b"", name]));
    }
}

fn vmstat(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    if let Some(text) = reader.file("proc/vmstat") {
        rows.pairs(text, |name| Some([b"", name]));
    }
}

/// Two lines each: names and numbers. `snmp6` has a name and a number on each.
fn netstat(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    for file in ["single/net/netstat", "single/net/snmp"] {
        let mut all = lines(reader.file(file).unwrap_or_default());
        while let (Some((_, names)), Some((_, values))) = (all.next(), all.next()) {
            rows.group(names, values);
        }
    }
    if let Some(text) = reader.file("single/net/snmp6") {
        // `Icmp6InMsgs` becomes `Icmp6_InMsgs`.
        rows.pairs(text, |name| {
            let six = name.iter().position(|&byte| byte == b'6')?;
            Some([&name[..=six], &name[six + 1..]])
        });
    }
}

fn pressure(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    const FILES: &str = "cpu io memory irq";
    const PLACES: [(u8, u8); 4] = [(0, 6), (1, 2), (3, 4), (6, 5)];
    let mut values = [Value::ABSENT; 7];
    for (file, (some, full)) in FILES.split(' ').zip(PLACES) {
        let Some(text) = reader.text(&["proc/pressure/", file]) else { continue };
        for (_, line) in lines(text) {
            let total = words(line).find_map(|word| number(word.strip_prefix(b"total=")?)).unwrap_or_default();
            values[usize::from(if line.starts_with(b"some") { some } else { full })] = total;
        }
    }
    rows.push(&[], &values);
}

fn schedstat(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("proc/schedstat") else { return };
    cpus(text, &mut |cpu, words| {
        let mut values = [Value::ABSENT; 3];
        for (value, word) in values.iter_mut().zip(words.skip(6)) {
            *value = number(word).unwrap_or_default();
        }
        rows.push(&[cpu], &values);
    });
}

/// The device numbers of the filesystems that the agent reports, from lines such as `36 35 98:0 / /mnt rw - ext4 /dev/sda1 rw`.
fn mount_info(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let own = rows.own;
    let Some((part, section)) = own.locate(FILESYSTEMS.head()) else { return };
    if reader.mounts.has_news() {
        // Without the table there is no text.
        let _ = reader.mounts.read();
    }
    let text = reader.mounts.text();
    for row in own.parts()[part].sections[section].rows() {
        let mut labels = row.labels();
        let (Some(device), Some(mountpoint)) = (labels.next(), labels.next()) else { continue };
        let found = lines(text).find_map(|(_, line)| {
            let mut words = words(line).skip(2);
            let (number, path) = (words.next()?, words.nth(1)?);
            is_escaped(path, mountpoint.as_bytes()).then_some(number)
        });
        let Some((major, minor)) = found.and_then(|number| {
            let colon = number.iter().position(|&byte| byte == b':')?;
            Some((&number[..colon], &number[colon + 1..]))
        }) else {
            continue;
        };
        rows.push(&[device.as_bytes(), major, minor, mountpoint.as_bytes()], &[1.into()]);
    }
}

/// Returns whether `escaped`, in which blanks are octal numbers such as `\040`, is `plain`.
fn is_escaped(mut escaped: &[u8], plain: &[u8]) -> bool {
    for &wanted in plain {
        let byte = match escaped {
            [b'\\', a, b, c, rest @ ..] => {
                escaped = rest;
                a.wrapping_sub(b'0') << 6 | b.wrapping_sub(b'0') << 3 | c.wrapping_sub(b'0')
            }
            [byte, rest @ ..] => {
                escaped = rest;
                *byte
            }
            [] => return false,
        };
        if byte != wanted {
            return false;
        }
    }
    escaped.is_empty()
}

/// Lines of pairs: `TCP: inuse 4 orphan 0`. `mem` is in pages.
fn sockstat(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let mut in_use = [true; 2];
    for file in ["proc/net/sockstat", "proc/net/sockstat6"] {
        let Some(text) = reader.file(file) else { continue };
        for (_, line) in lines(text) {
            in_use[0] &= !line.starts_with(b"UDP: inuse 0");
            in_use[1] &= !line.starts_with(b"UDP6: inuse 0");
            let mut rest = line;
            let Some(group) = take_word(&mut rest) else { continue };
            while let (Some(name), Some(value)) = (take_word(&mut rest), take_word(&mut rest)) {
                rows.name(&[group, name], "", value, 1);
                if name == b"mem" {
                    rows.name(&[group, name], "_bytes", value, sys::page_size());
                }
            }
        }
    }
    reader.udp_in_use = in_use;
}

fn softirqs(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("proc/softirqs") else { return };
    for (_, line) in lines(text).skip(1) {
        let mut words = words(line);
        let Some(name) = words.next().and_then(|name| name.strip_suffix(b":")) else { continue };
        for (cpu, word) in words.enumerate() {
            rows.push(&[digits(cpu as u64, &mut Digits::default()), name], &[number(word).unwrap_or_default()]);
        }
    }
}

/// Hexadecimal numbers, whose 13th is the CPU's in newer kernels.
fn softnet(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let Some(text) = reader.file("proc/net/softnet_stat") else { return };
    for (line_number, line) in lines(text) {
        let mut numbers = [None; 13];
        for (number, word) in numbers.iter_mut().zip(words(line)) {
            *number = hex(word);
        }
        let cpu = numbers[12].unwrap_or(line_number as u64 - 1);
        let columns = rows.columns;
        let mut values = [Value::ABSENT; 8];
        for (value, column) in values.iter_mut().zip(columns) {
            *value = numbers.get(column.source().parse().unwrap_or(99)).copied().flatten().into();
        }
        rows.push(&[digits(cpu, &mut Digits::default())], &values);
    }
}

fn stat(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    const NAMES: &str = "intr ctxt btime processes procs_running procs_blocked";
    let Some(text) = reader.file("proc/stat") else { return };
    let mut values = [Value::ABSENT; 6];
    for (_, line) in lines(text) {
        let mut rest = line;
        let name = take_word(&mut rest);
        if let Some(place) = name.and_then(|name| place(name, NAMES)) {
            values[place] = take_word(&mut rest).and_then(number).unwrap_or_default();
        }
    }
    rows.push(&[], &values);
}

fn stat_softirqs(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    const VECTORS: &str = "hi timer net_tx net_rx block block_iopoll tasklet sched hrtimer rcu";
    let Some(text) = reader.file("proc/stat") else { return };
    let Some((_, line)) = lines(text).find(|(_, line)| line.starts_with(b"softirq ")) else { return };
    for (vector, word) in words(VECTORS.as_bytes()).zip(words(line).skip(2)) {
        rows.push(&[vector], &[number(word).unwrap_or_default()]);
    }
}

fn tcpstat(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    const STATES: &str = "established syn_sent syn_recv fin_wait1 fin_wait2 time_wait close close_wait last_ack listen closing \
        rx_queued_bytes tx_queued_bytes";
    let mut counts = [0_u64; 13];
    let mut any = false;
    for file in ["proc/net/tcp", "proc/net/tcp6"] {
        let Some(text) = reader.file(file) else { continue };
        any = true;
        for (_, line) in lines(text).skip(1) {
            let mut words = words(line).skip(3);
            let (state, queues) = (words.next().and_then(hex), words.next());
            if let Some(count) = counts[..11].get_mut(state.unwrap_or(0).wrapping_sub(1) as usize) {
                *count += 1;
            }
            let (sent, received) = queues.map(queued).unwrap_or_default();
            counts[11] += received;
            counts[12] += sent;
        }
    }
    for (place, (state, count)) in words(STATES.as_bytes()).zip(counts).enumerate() {
        if any && (count > 0 || place >= 11) {
            rows.push(&[state], &[count.into()]);
        }
    }
}

/// `00000015:00000000` as bytes that wait to be sent, and to be read.
fn queued(word: &[u8]) -> (u64, u64) {
    let colon = word.iter().position(|&byte| byte == b':').unwrap_or(word.len());
    let half = |text: Option<&[u8]>| text.and_then(hex).unwrap_or(0);
    (half(word.get(..colon)), half(word.get(colon + 1..)))
}

/// To list the sockets, the kernel walks its whole hash table. The list is not read while it was empty the last time and no socket is in
/// use now.
fn udp_queues(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    for place in 0..2 {
        let (mut sent, mut received) = (0, 0);
        if reader.udp_listed[place] || reader.udp_in_use[place] {
            let mut any = false;
            let Some(text) = reader.file(["proc/net/udp", "proc/net/udp6"][place]) else { continue };
            for (_, line) in lines(text).skip(1) {
                let (tx, rx) = words(line).nth(4).map(queued).unwrap_or_default();
                (sent, received, any) = (sent + tx, received + rx, true);
            }
            reader.udp_listed[place] = any;
        }
        let version: &[u8] = if place == 0 { b"v4" } else { b"v6" };
        rows.push(&[version, b"tx"], &[sent.into()]);
        rows.push(&[version, b"rx"], &[received.into()]);
    }
}

fn time(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    rows.push(&[], &[Value::seconds((reader.machine.unix_time)())]);
}

/// How far the machine's time zone is from UTC now.
fn time_zone(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    let unix = (reader.machine.unix_time)().as_secs();
    let data = reader.file("root/etc/localtime").unwrap_or_default();
    // Without a file, the machine's time is UTC.
    let utc = data.is_empty().then_some((0, &b"UTC"[..]));
    let found = utc.or_else(|| offset_and_name(data, i64::try_from(unix).unwrap_or(0)));
    if let Some((offset, name)) = found {
        rows.push(&[name], &[Value::signed(offset, 0)]);
    }
}

/// What `adjtimex` says, as `node.txt` lists it.
/// <https://man7.org/linux/man-pages/man2/adjtimex.2.html>
fn timex(reader: &mut Reader, _: &[&str], rows: &mut Rows<'_>) {
    /// `STA_NANO` of `include/uapi/linux/timex.h`.
    const NANOSECONDS: i64 = 0x2000;
    let Some(clock) = (reader.machine.clock_state)() else { return };
    let [offset, frequency, error_max, error, status, constant, tick, pps, jitter, shift, stability, counts @ ..] =
        clock.raw;
    let [jitters, calibrations, errors, unstable, ahead] = counts;
    let places = if status & NANOSECONDS == 0 { 6 } else { 9 };
    const DIGITS: u8 = 15;
    const ONE: i64 = 1_000_000_000_000_000;
    // In units of 2^-16 of a millionth: 10^15 of them are 5^9 / 2^7 each.
    let ratio = |number: i64| number.checked_mul(1_953_125).unwrap_or(0) / 128;
    let hertz = |number| Value::signed(ratio(number), DIGITS);
    rows.push(
        &[],
        &[
            clock.synchronized.into(),
            Value::signed(offset, places),
            Value::signed(ONE + ratio(frequency), DIGITS),
            Value::signed(error_max, 6),
            Value::signed(error, 6),
            Value::signed(status, 0),
            Value::signed(constant, 0),
            Value::signed(tick, 6),
            hertz(pps),
            Value::signed(jitter, places),
            Value::signed(shift, 0),
            hertz(stability),
            Value::signed(jitters, 0),
            Value::signed(calibrations, 0),
            Value::signed(errors, 0),
            Value::signed(unstable, 0),
            Value::signed(ahead, 0),
        ],
    );
}
