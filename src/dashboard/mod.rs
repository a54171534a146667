//! The page at `/`: joined, hashed and compressed by `build.rs`, and kept compressed only.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dashboard.html.gz"));
static FACTS: Facts = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

#[derive(Debug)]
struct Facts {
    length: usize,
    policy: &'static str,
    tag: &'static str,
}

/// What `/` answers with.
#[derive(Debug)]
pub struct Dashboard {
    /// The page in gzip.
    pub gzip: &'static [u8],
    /// The value of `ETag`; it changes with the page.
    pub tag: &'static str,
    /// The value of `Content-Security-Policy`: nothing from elsewhere, and inline only what was there at build time.
    pub policy: &'static str,
}

/// The page, as the binary holds it.
pub fn page() -> Dashboard {
    Dashboard { gzip: COMPRESSED, tag: FACTS.tag, policy: FACTS.policy }
}

impl Dashboard {
    /// The page for the rare client that takes no gzip.
    pub fn plain(&self) -> Vec<u8> {
        // A gzip member without extras: 10 bytes before the compressed data and 8 behind it.
        let data = &self.gzip[10..self.gzip.len() - 8];
        decompress_to_vec_with_limit(data, FACTS.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_small_and_needs_nothing_else() {
        let page = page();
        let text = String::from_utf8(page.plain()).unwrap();
        assert_eq!(text.len(), FACTS.length);
        assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
        assert!(text.len() <= 64_000, "{} bytes", text.len());
        assert!(page.gzip.len() <= 22_000, "{} bytes", page.gzip.len());
        assert!(!text.contains("{style}") && !text.contains("{script}"));
        // The one address in it is the name of a format, which nobody fetches.
        assert!(!text.replace("http://www.w3.org/2000/svg", "").contains("://"));
        for unsafe_way in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function"] {
            assert!(!text.contains(unsafe_way), "{unsafe_way}");
        }
    }

    #[test]
    fn the_policy_lets_in_only_what_is_hashed() {
        let Dashboard { policy, tag, .. } = page();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
        assert!(!policy.contains("unsafe"));
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 18);
    }
}
