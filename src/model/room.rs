//! Room at the end of a buffer.

/// Gives `buffer` the length `length`: shortens it, or appends zeros.
///
/// `Vec::resize`, optimized for size, appends one byte after another, which took a fifth of a scrape's instructions.
pub fn resize(buffer: &mut Vec<u8>, length: usize) {
    const ZEROS: [u8; 256] = [0; 256];
    buffer.truncate(length);
    buffer.reserve(length - buffer.len());
    while buffer.len() < length {
        let more = (length - buffer.len()).min(ZEROS.len());
        buffer.extend_from_slice(&ZEROS[..more]);
    }
}

#[cfg(test)]
mod tests {
    use super::resize;

    #[test]
    fn a_buffer_becomes_longer_with_zeros_and_shorter_again() {
        let mut buffer = b"ab".to_vec();
        for length in [2, 3, 255, 256, 257, 4096, 1000, 1, 0, 600] {
            let mut wanted = buffer.clone();
            wanted.resize(length, 0);
            resize(&mut buffer, length);
            assert_eq!(buffer, wanted);
        }
    }
}
