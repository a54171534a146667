//! Snappy's block format.
//! <https://github.com/google/snappy/blob/main/format_description.txt>

use super::remote_write::write_varint;

/// A block is compressed by itself, so that places in it have 16 bits.
const BLOCK: usize = 1 << 16;
/// Repetitions are found by a hash of their first four bytes.
const HASH_BITS: u32 = 12;
const SHORTEST: usize = 4;

/// Appends `plain` compressed.
pub fn snappy(plain: &[u8], out: &mut Vec<u8>) {
    write_varint(plain.len() as u64, out);
    let mut table = vec![0_u16; 1 << HASH_BITS];
    for block in plain.chunks(BLOCK) {
        table.fill(0);
        compress(block, &mut table, out);
    }
}

fn compress(block: &[u8], table: &mut [u16], out: &mut Vec<u8>) {
    // What is before `start` is written.
    let (mut start, mut at) = (0, 0);
    while let Some(four) = block.get(at..).and_then(<[u8]>::first_chunk::<SHORTEST>) {
        let hash = u32::from_le_bytes(*four).wrapping_mul(0x1e35_a7bd) >> (32 - HASH_BITS);
        let place = &mut table[hash as usize];
        let earlier = usize::from(*place);
        *place = at as u16;
        let mut length = 0;
        if earlier < at {
            while at + length < block.len() && block[earlier + length] == block[at + length] {
                length += 1;
            }
        }
        if length < SHORTEST {
            at += 1;
            continue;
        }
        write_literal(&block[start..at], out);
        write_copy(at - earlier, length, out);
        at += length;
        start = at;
    }
    write_literal(&block[start..], out);
}

fn write_literal(bytes: &[u8], out: &mut Vec<u8>) {
    let Some(last) = bytes.len().checked_sub(1) else { return };
    match last {
        0..60 => out.push((last as u8) << 2),
        60..256 => out.extend_from_slice(&[60 << 2, last as u8]),
        _ => out.extend_from_slice(&[61 << 2, last as u8, (last >> 8) as u8]),
    }
    out.extend_from_slice(bytes);
}

fn write_copy(offset: usize, mut length: usize, out: &mut Vec<u8>) {
    while length > 0 {
        let part = length.min(64);
        length -= part;
        if (4..12).contains(&part) && offset < 2048 {
            out.extend_from_slice(&[(offset >> 8 << 5 | (part - 4) << 2 | 1) as u8, offset as u8]);
        } else {
            out.extend_from_slice(&[((part - 1) << 2 | 2) as u8, offset as u8, (offset >> 8) as u8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decompresses as the format's description says.
    fn plain(mut rest: &[u8]) -> Vec<u8> {
        let mut take = |count: usize| {
            let (front, back) = rest.split_at(count);
            rest = back;
            front
        };
        let mut expected = 0;
        for shift in (0..).step_by(7) {
            let byte = take(1)[0];
            expected |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        let mut out = Vec::new();
        while out.len() < expected {
            let tag = usize::from(take(1)[0]);
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte));
            let (length, offset) = match tag & 3 {
                0 => {
                    let length = match tag >> 2 {
                        long @ 60.. => number(take(long - 59)),
                        short => short,
                    };
                    out.extend_from_slice(take(length + 1));
                    continue;
                }
                1 => ((tag >> 2 & 7) + 4, tag >> 5 << 8 | number(take(1))),
                2 => ((tag >> 2) + 1, number(take(2))),
                _ => ((tag >> 2) + 1, number(take(4))),
            };
            assert!(offset > 0 && offset <= out.len(), "an offset of {offset} at {}", out.len());
            for _ in 0..length {
                out.push(out[out.len() - offset]);
            }
        }
        assert_eq!((out.len(), rest.len()), (expected, 0));
        out
    }

    fn check(text: &[u8]) -> usize {
        let mut out = Vec::new();
        snappy(text, &mut out);
        assert!(plain(&out) == text, "{} bytes", text.len());
        out.len()
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        for length in (0..300).chain([4095, 65_535, 65_536, 65_537, 131_072, 200_000]) {
            let mut state = 1_u32;
            let mut noise = |range: u32| {
                state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                (state >> 16) % range
            };
            let random: Vec<u8> = (0..length).map(|_| noise(256) as u8).collect();
            let few: Vec<u8> = (0..length).map(|_| noise(3) as u8).collect();
            check(&random);
            check(&few);
            assert!(check(&vec![7; length]) <= 6 + length / 16);
        }
    }

    #[test]
    fn a_known_vector() {
        let mut out = Vec::new();
        snappy(b"abcdabcdabcdabcd!", &mut out);
        assert_eq!(out, b"\x11\x0cabcd\x2e\x04\x00\x00!");
    }

    #[test]
    fn a_page_shrinks() {
        let all = std::fs::read_to_string("tests/goldens/pi-5.txt").unwrap();
        let (page, _) = all.split_once("-- openmetrics --").unwrap();
        let mut request = Vec::new();
        super::super::remote_write::write_request(page.as_bytes(), b"", &[], 1_700_000_000_123, &mut request);
        let length = check(&request);
        assert!(length < request.len() / 2, "{} {length}", request.len());
    }
}
