//! Names of the kernel as text, and words in a text.

/// Returns where `part` begins in `text`. For short texts: the standard library's way, which is fast in long ones, takes 2 kB.
pub fn find(text: &str, part: &str) -> Option<usize> {
    (0..=text.len().checked_sub(part.len())?).find(|&at| text.as_bytes()[at..].starts_with(part.as_bytes()))
}

/// Appends a kernel name as UTF-8 that can be turned back into the name's bytes.
///
/// Valid UTF-8 is kept. A byte that is not part of any becomes `\xNN`. So that nothing else can look like that, a
/// backslash of the name itself that is followed by `x` and two hexadecimal digits becomes `\x5c`.
pub fn push_label(text: &mut String, name: &[u8]) {
    if let Some(valid) = std::str::from_utf8(name).ok().filter(|valid| !valid.contains('\\')) {
        text.push_str(valid);
        return;
    }
    let mut before = 0;
    for chunk in name.utf8_chunks() {
        for (at, character) in chunk.valid().char_indices() {
            let after = &name[before + at + character.len_utf8()..];
            if character == '\\' && matches!(after, [b'x', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
            {
                text.push_str("\\x5c");
            } else {
                text.push(character);
            }
        }
        for &byte in chunk.invalid() {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            text.push_str("\\x");
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        before += chunk.valid().len() + chunk.invalid().len();
    }
}

/// Appends `{name="text"` or `,name="text"` as the text format does, with backslash, quote and newline escaped.
pub fn write_label(name: &str, text: &str, mark: &mut u8, out: &mut Vec<u8>) {
    out.push(*mark);
    *mark = b',';
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    let mut plain = text.as_bytes();
    while let Some(at) = plain.iter().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        out.extend_from_slice(&plain[..at]);
        out.push(b'\\');
        out.push(if plain[at] == b'\n' { b'n' } else { plain[at] });
        plain = &plain[at + 1..];
    }
    out.extend_from_slice(plain);
    out.push(b'"');
}

/// Returns whether two texts are the same, eight bytes at a time: the C library compares one by one.
#[cfg_attr(small, optimize(speed))]
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (mut rest, mut others) = (one, other);
    while let (Some((eight, behind)), Some((other, behind_other))) =
        (rest.split_first_chunk::<8>(), others.split_first_chunk::<8>())
    {
        if u64::from_ne_bytes(*eight) != u64::from_ne_bytes(*other) {
            return false;
        }
        (rest, others) = (behind, behind_other);
    }
    rest.iter().zip(others).all(|(one, other)| one == other)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Takes back what [`push_label`] wrote.
    pub(in super::super) fn decode(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            rest = match rest {
                [b'\\', b'x', a, b, tail @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                    out.push(u8::from_str_radix(std::str::from_utf8(&[*a, *b]).unwrap(), 16).unwrap());
                    tail
                }
                _ => {
                    out.push(byte);
                    tail
                }
            };
        }
        out
    }

    #[test]
    fn any_bytes_decode_back() {
        let pieces: [&[u8]; 9] = [b"\\", b"x", b"5", b"c", b"f", b"\xff", b"\xc3", b"\xbc", b" "];
        let mut state = 7_usize;
        for _ in 0..20_000 {
            let mut name = Vec::new();
            for _ in 0..state % 9 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                name.extend_from_slice(pieces[(state >> 33) % pieces.len()]);
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut text = String::new();
            push_label(&mut text, &name);
            assert_eq!(decode(&text), name, "{text:?}");
        }
    }

    #[test]
    fn plain_names_stay_as_they_are() {
        for name in ["eth0", "/mnt/My Disk", "C:\\dir", "\\", "größe", "a\"b\nc"] {
            let mut text = String::new();
            push_label(&mut text, name.as_bytes());
            assert_eq!(text, name);
        }
    }

    #[test]
    fn the_same_is_the_same_at_each_length() {
        let text = b"TcpExt: SyncookiesSent Syncoo";
        for length in 0..text.len() {
            let one = &text[..length];
            assert!(is_same(one, one) && !is_same(one, &text[..=length]) && !is_same(&text[..=length], one));
            for place in 0..length {
                let mut other = one.to_vec();
                other[place] ^= 1;
                assert!(!is_same(one, &other), "{length} {place}");
            }
        }
    }
}
