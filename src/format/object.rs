//! The grammar of JSON (RFC 8259): objects, lists, strings.

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
