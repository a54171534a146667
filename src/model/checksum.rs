//! The checksum of gzip and of the journal.

/// Returns the CRC-32 of `bytes` behind text whose CRC-32 is `before` (0 for none), half a byte at a time: a table of 64 bytes
/// instead of a kilobyte.
pub fn crc32(before: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut index = 0;
        while index < 16 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 4 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!before, |crc, &byte| {
        let crc = crc >> 4 ^ TABLE[((crc ^ u32::from(byte)) & 15) as usize];
        crc >> 4 ^ TABLE[((crc ^ u32::from(byte) >> 4) & 15) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
        assert_eq!(crc32(0, b""), 0);
    }
}
