//! Reading numbers and words out of kernel text. Everything takes and returns borrowed bytes: kernel names need not be
//! UTF-8, and nothing here allocates.

/// The lines of a file with their numbers from 1, without their line ends.
pub struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

/// Returns the lines of a file.
pub fn lines(text: &[u8]) -> Lines<'_> {
    Lines { rest: text, number: 0 }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    #[cfg_attr(small, optimize(speed))]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let end = find(b'\n', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        self.number += 1;
        Some((self.number, line))
    }
}

/// One in each byte, and the top bit of each.
const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// Returns where `byte` first is in `text`; looks at eight bytes at a time.
#[cfg_attr(small, optimize(speed))]
pub fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let wanted = ONES * u64::from(byte);
    let mut at = 0;
    let mut rest = text;
    while let Some((&eight, behind)) = rest.split_first_chunk() {
        // What is wanted becomes zero. Taking one from each byte reaches into the top bit of zeros first, and of none below them.
        let zeros = u64::from_le_bytes(eight) ^ wanted;
        let hits = zeros.wrapping_sub(ONES) & !zeros & TOPS;
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
        rest = behind;
    }
    rest.iter().position(|&it| it == byte).map(|rest| at + rest)
}

/// Returns the words of a line, separated by any number of spaces or tabs.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    std::iter::from_fn(move || take_word(&mut rest))
}

/// Takes the next of the [`words`] from the front of `rest`, in the binary once for all callers.
#[inline(never)]
#[cfg_attr(small, optimize(speed))]
pub fn take_word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let text = *rest;
    let mut start = 0;
    while start < text.len() && is_blank(text[start]) {
        start += 1;
    }
    let end = start + word_end(&text[start..]);
    *rest = &text[end..];
    if end > start { Some(&text[start..end]) } else { None }
}

/// Returns how long the word is that `text` begins with.
#[inline(always)]
#[cfg_attr(small, optimize(speed))]
pub fn word_end(text: &[u8]) -> usize {
    let mut end = 0;
    // Eight bytes at a time up to the first that is a space or less, and what is left one by one.
    while let Some(&eight) = text[end..].first_chunk() {
        let eight = u64::from_le_bytes(eight);
        let low = eight.wrapping_sub(ONES * (b' ' as u64 + 1)) & !eight & TOPS;
        if low != 0 {
            end += low.trailing_zeros() as usize / 8;
            break;
        }
        end += 8;
    }
    while end < text.len() && !is_blank(text[end]) {
        end += 1;
    }
    end
}

/// Returns the place of `word` among the words of `list`.
#[inline(never)]
pub fn place(word: &[u8], list: &str) -> Option<usize> {
    let (mut rest, mut place) = (list.as_bytes(), 0);
    while take_word(&mut rest)? != word {
        place += 1;
    }
    Some(place)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Returns `text` without blanks at its ends.
pub fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// Parses a decimal number that consists of digits only and fits 64 bits.
#[cfg_attr(small, optimize(speed))]
pub fn uint(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    let mut number = 0_u64;
    for &byte in word {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// Takes the next word from the front of `rest` as [`uint`] would read it, in one go; leaves `rest` alone if it is no number.
#[cfg_attr(small, optimize(speed))]
pub fn take_uint(rest: &mut &[u8]) -> Option<u64> {
    /// As many digits as always fit.
    const SAFE: usize = 19;
    const SPACES: u64 = u64::from_le_bytes([b' '; 8]);
    let text = *rest;
    let mut start = 0;
    // Columns are filled up with spaces: eight at a time, and what is left one by one.
    while let Some(&eight) = text[start..].first_chunk() {
        let spaces = (u64::from_le_bytes(eight) ^ SPACES).trailing_zeros() as usize / 8;
        start += spaces;
        if spaces < 8 {
            break;
        }
    }
    while start < text.len() && is_blank(text[start]) {
        start += 1;
    }
    let mut end = start;
    let mut number = 0_u64;
    while end < text.len() {
        let digit = text[end].wrapping_sub(b'0');
        if digit > 9 {
            if !is_blank(text[end]) {
                return None;
            }
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        end += 1;
    }
    let length = end - start;
    if length == 0 || length > SAFE {
        number = uint(&text[start..end])?;
    }
    *rest = &text[end..];
    Some(number)
}

/// Parses a whole number that may be negative.
pub fn int(word: &[u8]) -> Option<i64> {
    match word {
        [b'-', digits @ ..] => 0_i64.checked_sub_unsigned(uint(digits)?),
        digits => i64::try_from(uint(digits)?).ok(),
    }
}

/// Parses a hexadecimal number without a prefix.
#[inline(never)]
pub fn hex(word: &[u8]) -> Option<u64> {
    let mut number = None;
    for &byte in word {
        let digit = char::from(byte).to_digit(16)?;
        number = Some(number.unwrap_or(0_u64).checked_mul(16)?.checked_add(digit.into())?);
    }
    number
}

/// Takes back what the kernel does to names in mount tables, where a blank would end the field: `\040` is a space, `\011`
/// a tab, `\012` a newline, `\043` a hash and `\134` a backslash. Any other byte stands for itself.
pub fn unescape_octal(field: &[u8], out: &mut Vec<u8>) {
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_words() {
        let text = b"cpu  1 2\n\n intr\t3";
        let all: Vec<_> = lines(text).map(|(n, line)| (n, words(line).collect::<Vec<_>>())).collect();
        assert_eq!(all, [(1, vec![&b"cpu"[..], b"1", b"2"]), (2, vec![]), (3, vec![&b"intr"[..], b"3"])]);
    }

    #[test]
    fn a_word_has_a_place_in_a_list() {
        let places = ["one", "two", "three", "", "on", "three "].map(|word| place(word.as_bytes(), "one two three"));
        assert_eq!(places, [Some(0), Some(1), Some(2), None, None, None]);
    }

    #[test]
    fn words_end_at_blanks_alone() {
        for blank in [" ", "\t", "\n", "\r", " \t "] {
            for length in 1..20 {
                for odd in ["", "\u{1}", "\u{e9}", "\u{7f}", "!"] {
                    let word = format!("{}{odd}{}", "x".repeat(length / 2), "y".repeat(length - length / 2));
                    let text = format!("{blank}{word}{blank}next");
                    let mut rest = text.as_bytes();
                    assert_eq!(take_word(&mut rest), Some(word.as_bytes()), "{text:?}");
                    assert_eq!(take_word(&mut rest), Some(&b"next"[..]), "{text:?}");
                    assert_eq!(take_word(&mut rest), None);
                }
            }
        }
    }

    #[test]
    fn numbers_are_numbers_or_nothing() {
        assert_eq!(uint(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "-1", "+1", "1.0", "18446744073709551616", "0x1", " 1", "१"] {
            assert_eq!(uint(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(int(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(int(b"-9223372036854775809"), None);
        assert_eq!(int(b"--1"), None);
        assert_eq!(hex(b"a020d3"), Some(0xa0_20d3));
        assert_eq!(hex(b"+1"), None);
    }

    #[test]
    fn bytes_are_found_wherever_they_are() {
        for length in 0..40 {
            for place in 0..length {
                // Neighbours that differ in one bit, above and below.
                for other in [b'\n' - 1, b'\n' + 1, b'\n' ^ 0x80, 0, 0xff] {
                    let mut text = vec![other; length];
                    assert_eq!(find(b'\n', &text), None);
                    text[place] = b'\n';
                    assert_eq!(find(b'\n', &text), Some(place));
                    text[length - 1] = b'\n';
                    assert_eq!(find(b'\n', &text), Some(place));
                }
            }
        }
    }

    #[test]
    fn numbers_are_taken_one_after_the_other() {
        let mut rest = &b"  0 12\t 00000000000000000000007 18446744073709551615 18446744073709551616"[..];
        let taken: Vec<_> = std::iter::from_fn(|| take_uint(&mut rest)).collect();
        assert_eq!(taken, [0, 12, 7, u64::MAX]);
        for bad in ["", " ", "-1", "1x", "x", "1.0", "99999999999999999999"] {
            let mut rest = bad.as_bytes();
            assert_eq!((take_uint(&mut rest), rest), (None, bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn octal_escapes() {
        for (field, name) in [
            (&b"/mnt/My\\040Disk"[..], &b"/mnt/My Disk"[..]),
            (b"\\011\\012\\134\\043", b"\t\n\\#"),
            (b"/a\\134040", b"/a\\040"),
            (b"/end\\", b"/end\\"),
            (b"/\\0", b"/\\0"),
            (b"/\\999\xff", b"/\\999\xff"),
            (b"\\377", b"\xff"),
        ] {
            let mut out = Vec::new();
            unescape_octal(field, &mut out);
            assert_eq!(out, name);
        }
    }
}
