//! The dashboard: the page at `/`, its second script and the runbooks, assembled, hashed and compressed by `build.rs`, and kept
//! compressed only.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

static FACTS: (Facts, Facts, Facts, &str) = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

#[derive(Debug)]
struct Facts {
    length: usize,
    tag: &'static str,
}

/// One file of the dashboard.
#[derive(Debug)]
pub struct Asset {
    /// The file in gzip.
    pub gzip: &'static [u8],
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The value of `ETag`; it changes with the file.
    pub tag: &'static str,
    /// The value of `Content-Security-Policy`. The page's allows nothing from elsewhere, and only the scripts and the style
    /// that existed at build time.
    pub policy: &'static str,
    length: usize,
}

/// The page at `/`.
pub fn page() -> Asset {
    Asset {
        gzip: include_bytes!(concat!(env!("OUT_DIR"), "/page.html.gz")),
        content_type: "text/html; charset=utf-8",
        tag: FACTS.0.tag,
        policy: FACTS.3,
        length: FACTS.0.length,
    }
}

/// The second script, at `/more.js`.
pub fn more() -> Asset {
    Asset {
        gzip: include_bytes!(concat!(env!("OUT_DIR"), "/more.js.gz")),
        content_type: "text/javascript; charset=utf-8",
        tag: FACTS.1.tag,
        policy: "default-src 'none'; frame-ancestors 'none'",
        length: FACTS.1.length,
    }
}

/// What the runbooks say about each rule, at `/runbooks`: text for the page and for people.
pub fn runbooks() -> Asset {
    Asset {
        gzip: include_bytes!(concat!(env!("OUT_DIR"), "/runbooks.txt.gz")),
        content_type: "text/plain; charset=utf-8",
        tag: FACTS.2.tag,
        policy: "default-src 'none'; frame-ancestors 'none'",
        length: FACTS.2.length,
    }
}

impl Asset {
    /// The file for the rare client that takes no gzip.
    pub fn plain(&self) -> Vec<u8> {
        // A gzip member without extras: 10 bytes before the compressed data and 8 behind it.
        let data = &self.gzip[10..self.gzip.len() - 8];
        decompress_to_vec_with_limit(data, self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(asset: &Asset) -> String {
        String::from_utf8(asset.plain()).unwrap()
    }

    #[test]
    fn both_parts_are_whole_small_and_need_nothing_else() {
        for (asset, begin, end, raw, compressed) in [
            (page(), "<!doctype html>", "</html>", 64_000, 22_000),
            (more(), "globalThis.piMonitorPart = ", "};", 48_000, 16_000),
        ] {
            let text = text(&asset);
            assert!(text.starts_with(begin) && text.trim_end().ends_with(end));
            assert_eq!(text.len(), asset.length);
            assert!(text.len() <= raw, "{begin}: {} bytes", text.len());
            assert!(asset.gzip.len() <= compressed, "{begin}: {} bytes in gzip", asset.gzip.len());
            assert!(!["{style}", "{script}", "{old}", "{look}"].iter().any(|place| text.contains(place)));
            // The one address is the name of a format, which nobody fetches.
            assert!(!text.replace("http://www.w3.org/2000/svg", "").contains("://"));
            for unsafe_way in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function"] {
                assert!(!text.contains(unsafe_way), "{begin}: {unsafe_way}");
            }
        }
    }

    #[test]
    fn the_policy_lets_in_only_what_is_hashed() {
        let policy = page().policy;
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
        assert!(!policy.contains("unsafe"));
        assert_eq!(policy.matches("'sha256-").count(), 5, "three scripts and two styles");
        for Asset { tag, .. } in [page(), more(), runbooks()] {
            assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 18);
        }
    }
}
