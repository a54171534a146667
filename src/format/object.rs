//! The grammar of JSON (RFC 8259): objects, lists, strings; and bytes as text.

/// An object that is being written: puts the commas.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    mark: u8,
}

impl<'a> Object<'a> {
    /// Begins an object at the end of `out`.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        Object { out, mark: b'{' }
    }

    /// Appends `"key":`; the value goes into what is returned.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.push(self.mark);
        self.mark = b',';
        write_string(key, self.out);
        self.out.push(b':');
        self.out
    }

    /// Ends the object.
    pub fn close(self) {
        if self.mark == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// A list that is being written: puts the commas.
#[derive(Debug)]
pub struct List<'a> {
    out: &'a mut Vec<u8>,
    mark: u8,
}

impl<'a> List<'a> {
    /// Begins a list at the end of `out`.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        List { out, mark: b'[' }
    }

    /// Begins an item, which goes into what is returned.
    pub fn item(&mut self) -> &mut Vec<u8> {
        self.out.push(self.mark);
        self.mark = b',';
        self.out
    }

    /// Ends the list.
    pub fn close(self) {
        if self.mark == b'[' {
            self.out.push(b'[');
        }
        self.out.push(b']');
    }
}

/// Appends a JSON string (RFC 8259, section 7).
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = text.as_bytes();
    while let Some(at) = plain.iter().position(|byte| matches!(byte, b'\\' | b'"' | 0..=0x1f)) {
        out.extend_from_slice(&plain[..at]);
        match plain[at] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte @ (b'\\' | b'"') => out.extend_from_slice(&[b'\\', byte]),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
            }
        }
        plain = &plain[at + 1..];
    }
    out.extend_from_slice(plain);
    out.push(b'"');
}

/// Appends bytes in base64 (RFC 4648, section 4). With the crate's encoder, the aarch64 binary is 456 bytes larger.
pub fn write_base64(bytes: &[u8], out: &mut String) {
    for part in bytes.chunks(3) {
        let [first, second, third] = [0, 1, 2].map(|place| u32::from(part.get(place).copied().unwrap_or(0)));
        let number = first << 16 | second << 8 | third;
        for place in 0..4 {
            let digit = (number >> (18 - 6 * place) & 63) as u8;
            out.push(match digit {
                _ if place as usize > part.len() => '=',
                0..26 => char::from(b'A' + digit),
                26..52 => char::from(b'a' + digit - 26),
                52..62 => char::from(b'0' + digit - 52),
                62 => '+',
                _ => '/',
            });
        }
    }
}
