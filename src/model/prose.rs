//! What is said to people: help, advice, summaries. The binary holds all of it compressed, as one text that the build script collects
//! from the source.

#[cfg(not(test))]
use miniz_oxide::inflate::decompress_to_vec_with_limit;
#[cfg(not(test))]
use std::sync::OnceLock;

/// A text for people: its place in the compressed one.
#[cfg(not(test))]
#[derive(Clone, Copy, Debug)]
pub struct Prose(u16);

/// A text for people; tests make texts of their own.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub struct Prose(&'static str);

#[cfg(not(test))]
mod packed {
    include!(concat!(env!("OUT_DIR"), "/prose.rs"));
    /// Lines: first [`KEPT`] bytes of what an agent says again and again, then what is asked for by commands that end.
    pub static LINES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/prose.deflate"));
}

/// Makes a text for people of a literal, for constants and statics alone.
///
/// # Panics
/// The build script has not collected the literal; as this is known while compiling, it stops the build.
#[cfg(not(test))]
pub const fn prose(text: &'static str) -> Prose {
    let bytes = text.as_bytes();
    // FNV-1a, as in the build script.
    let mut mark = 0x811c_9dc5_u32;
    let mut at = 0;
    while at < bytes.len() {
        mark = (mark ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    let (mut low, mut high) = (0, packed::PLACES.len());
    while low < high {
        let middle = low.midpoint(high);
        let (other, place) = packed::PLACES[middle];
        if other == mark {
            return Prose(place);
        } else if other < mark {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    panic!("expected prose(\"…\") or another form that build.rs collects")
}

/// Makes a text for people of a literal.
#[cfg(test)]
pub const fn prose(text: &'static str) -> Prose {
    Prose(text)
}

#[cfg(not(test))]
impl Prose {
    /// No text.
    pub const NONE: Prose = Prose(u16::MAX);

    /// Returns the text, and what follows it.
    fn lines(self) -> (&'static str, &'static str) {
        static OFTEN: OnceLock<String> = OnceLock::new();
        static ALL: OnceLock<String> = OnceLock::new();
        let place = usize::from(self.0);
        let (lines, length) = if place < packed::KEPT { (&OFTEN, packed::KEPT) } else { (&ALL, packed::LENGTH) };
        lines.get_or_init(|| unpack(length)).get(place..).and_then(|rest| rest.split_once('\n')).unwrap_or_default()
    }

    /// Returns the text.
    pub fn text(self) -> &'static str {
        self.lines().0
    }

    /// Returns the text in the next line.
    pub fn next(self) -> &'static str {
        self.lines().1.split_once('\n').unwrap_or_default().0
    }

    /// Whether it is this text.
    pub const fn is(self, text: &'static str) -> bool {
        self.0 == prose(text).0
    }
}

/// Returns what stands behind all texts: `doctor/checks.txt` without its comments.
#[cfg(not(test))]
pub fn check_texts() -> String {
    unpack(usize::from(u16::MAX)).split_off(packed::LENGTH)
}

/// The same.
#[cfg(test)]
pub fn check_texts() -> String {
    let text = include_str!("../doctor/checks.txt");
    text.split_inclusive('\n').filter(|line| !line.starts_with("// ")).collect()
}

/// Returns so many bytes of the text.
#[cfg(not(test))]
fn unpack(length: usize) -> String {
    let lines = decompress_to_vec_with_limit(packed::LINES, length).unwrap_or_else(|more| more.output);
    String::from_utf8(lines).unwrap_or_default()
}

#[cfg(test)]
impl Prose {
    pub const NONE: Prose = Prose("");

    pub fn text(self) -> &'static str {
        self.0
    }

    pub const fn is(self, text: &'static str) -> bool {
        let (one, other) = (self.0.as_bytes(), text.as_bytes());
        let mut at = 0;
        while at < one.len() && at < other.len() && one[at] == other[at] {
            at += 1;
        }
        at == one.len() && at == other.len()
    }
}

/// A text for the reference alone, which the small binary does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Reference(#[cfg(not(small))] &'static str);

/// Makes a text for the reference.
pub const fn reference(text: &'static str) -> Reference {
    let _ = text;
    Reference(
        #[cfg(not(small))]
        text,
    )
}

impl Reference {
    /// Returns the text.
    #[cfg(not(small))]
    pub const fn text(self) -> &'static str {
        self.0
    }
}
