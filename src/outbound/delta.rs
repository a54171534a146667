//! What changed from one moment to the next: an hour of moments takes a tenth of the room that their requests would take.
//!
//! A moment is its samples, one in a line: `pi_load_average{period="1m"} 0.58`. A delta is a list of steps along the lines of the moment
//! before:
//!
//! ```text
//! 80..ff          keep 1 to 128 lines
//! 40..7f TEXT \n  keep a line, and of its value the first 0 to 63 bytes; the rest is new
//! 01..3f          leave out 1 to 63 lines
//! 00 LINE \n      a new line
//! ```

use crate::format::remote_write::{place_of, take_sample};

const KEEP: u8 = 0x80;
const CHANGE: u8 = 0x40;
const LEAVE_OUT: u8 = 0;
const NEW: u8 = 0;

/// Appends the samples of a page, without anything else.
pub fn strip(page: &[u8], out: &mut Vec<u8>) {
    let mut rest = page;
    while let Some((series, value)) = take_sample(&mut rest) {
        write_line(series, value, out);
    }
}

fn write_line(series: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for piece in [series, b" ", value, b"\n"] {
        out.extend_from_slice(piece);
    }
}

/// Appends what leads from one moment to another.
pub fn write(before: &[u8], after: &[u8], out: &mut Vec<u8>) {
    let (mut all, mut values) = (Vec::new(), Vec::new());
    let mut rest = before;
    while let Some((series, value)) = take_sample(&mut rest) {
        all.push(series);
        values.push(value);
    }
    let (mut next, mut kept) = (0, 0);
    let mut rest = after;
    loop {
        let sample = take_sample(&mut rest);
        let place = sample.and_then(|(series, _)| place_of(series, &all[next..], 0));
        let same = place == Some(0) && sample.is_some_and(|(_, value)| value == values[next]);
        if same {
            kept += 1;
            next += 1;
        }
        if kept == usize::from(u8::MAX - KEEP) + 1 || !same && kept > 0 {
            out.push(KEEP + (kept - 1) as u8);
            kept = 0;
        }
        let Some((series, value)) = sample else { break };
        match place {
            _ if same => {}
            None => {
                out.push(NEW);
                write_line(series, value, out);
            }
            Some(mut skipped) => {
                next += skipped;
                while skipped > 0 {
                    let some = skipped.min(usize::from(CHANGE - LEAVE_OUT) - 1);
                    out.push(LEAVE_OUT + some as u8);
                    skipped -= some;
                }
                let shared = value.iter().zip(values[next]).take_while(|(one, other)| one == other).count();
                let shared = shared.min(usize::from(KEEP - CHANGE) - 1);
                out.push(CHANGE + shared as u8);
                out.extend_from_slice(&value[shared..]);
                out.push(b'\n');
                next += 1;
            }
        }
    }
}

/// Appends the moment to which a delta leads.
pub fn apply(before: &[u8], delta: &[u8], out: &mut Vec<u8>) {
    let mut old = before;
    let mut rest = delta;
    while let [step, behind @ ..] = rest {
        rest = behind;
        match *step {
            NEW => out.extend_from_slice(take_line(&mut rest)),
            step @ ..CHANGE => {
                for _ in LEAVE_OUT..step {
                    take_line(&mut old);
                }
            }
            step @ ..KEEP => {
                if let Some((series, value)) = take_sample(&mut old) {
                    let shared = usize::from(step - CHANGE).min(value.len());
                    for piece in [series, b" ", &value[..shared], take_line(&mut rest)] {
                        out.extend_from_slice(piece);
                    }
                }
            }
            step => (KEEP..=step).for_each(|_| out.extend_from_slice(take_line(&mut old))),
        }
    }
}

/// Takes a line with its end off the front.
fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
    let (line, behind) = rest.split_at(end);
    *rest = behind;
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str) -> usize {
        let mut delta = Vec::new();
        write(before.as_bytes(), after.as_bytes(), &mut delta);
        let mut found = Vec::new();
        apply(before.as_bytes(), &delta, &mut found);
        assert_eq!(String::from_utf8(found).unwrap(), after);
        delta.len()
    }

    #[test]
    fn a_moment_comes_back() {
        let all = "a 1\nb{x=\"1\"} 2\nb{x=\"é \\\"\"} 2.5\nc 3\n";
        for (after, length) in [
            (all, 1),
            ("", 0),
            ("a 1\nb{x=\"1\"} 2\nc 3\n", 4),
            ("c 3\na 1\n", 8),
            ("a 1\nb{x=\"1\"} 2\nb{x=\"é \\\"\"} 2.75\nc 3\n", 6),
            ("new 1\na 1\nb{x=\"1\"} 2\nb{x=\"é \\\"\"} 2.5\nc 3\n", 8),
        ] {
            assert_eq!(check(all, after), length, "{after}");
        }
        check("", all);
        check("", "");
    }

    #[test]
    fn long_runs_and_long_values() {
        let many = |range: std::ops::Range<usize>, value: &str| -> String {
            range.map(|number| format!("a{{n=\"{number}\"}} {value}\n")).collect()
        };
        for count in [1, 63, 64, 127, 128, 129, 256, 257, 1000] {
            let all = many(0..count, "1");
            assert_eq!(check(&all, &all), count.div_ceil(128));
            check(&all, &many(count - 1..count, "1"));
            check(&all, &many(count - 1..count, "2"));
            check(&all, &many(0..count + 1, "2"));
        }
        let long = "1".repeat(200);
        check(&many(0..3, &long), &many(0..3, &format!("{long}2")));
    }

    #[test]
    fn any_delta_is_taken() {
        let mut state = 1_u32;
        for _ in 0..2000 {
            let delta: Vec<u8> = (0..40)
                .map(|_| {
                    state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                    (state >> 16) as u8
                })
                .collect();
            apply(b"a 1\nb 2\nc", &delta, &mut Vec::new());
        }
    }
}
