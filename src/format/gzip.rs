//! Compressing pages (RFC 1952).

use crate::model::{crc32, resize};
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::{MZFlush, MZStatus};

/// A gzip compressor that keeps its memory.
pub struct Gzip(Box<CompressorOxide>);

impl std::fmt::Debug for Gzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gzip")
    }
}

impl Default for Gzip {
    fn default() -> Self {
        Gzip::new()
    }
}

impl Gzip {
    /// For text that is generated for every scrape, which level 3 makes a seventh smaller in two and a half times the time.
    pub const FAST: u8 = 1;
    /// For what is larger and seldom asked for: a tenth smaller.
    pub const SMALL: u8 = 6;

    /// Creates a compressor at [`Gzip::FAST`].
    pub fn new() -> Self {
        const RAW: i32 = -15;
        Gzip(Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(Gzip::FAST.into(), RAW, 0))))
    }

    /// Sets the level and returns the compressor.
    pub fn level(&mut self, level: u8) -> &mut Self {
        self.0.set_compression_level_raw(level);
        self
    }

    /// Appends `plain` as one gzip member (RFC 1952).
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        // Magic, deflate, no flags, no time, no extra flags, unknown system.
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        self.0.reset();
        let mut rest = plain;
        let mut length = out.len();
        loop {
            if out.len() - length < 512 {
                resize(out, length + 4096);
            }
            let result = deflate(&mut self.0, rest, &mut out[length..], MZFlush::Finish);
            rest = &rest[result.bytes_consumed..];
            length += result.bytes_written;
            if !matches!(result.status, Ok(MZStatus::Ok)) {
                break;
            }
        }
        out.truncate(length);
        out.extend_from_slice(&crc32(0, plain).to_le_bytes());
        out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_text_comes_back() {
        let mut gzip = Gzip::new();
        for (size, level) in [(0, 3), (1, 3), (100, 6), (10_000, 3), (300_000, 6)] {
            let mut state = 1_u64;
            let plain: Vec<u8> = (0..size)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    b"abcdefgh"[(state >> 61) as usize]
                })
                .collect();
            let mut packed = Vec::new();
            gzip.level(level).compress(&plain, &mut packed);
            let deflated = &packed[10..packed.len() - 8];
            assert_eq!(miniz_oxide::inflate::decompress_to_vec(deflated).unwrap(), plain);
            assert_eq!(packed[packed.len() - 8..packed.len() - 4], crc32(0, &plain).to_le_bytes());
        }
    }
}
