//! Rendered pages: made once for each collection or tick, and shared by all requests that it answers.

use crate::format::Gzip;
use std::sync::Arc;

/// A rendered form of a snapshot, shared between the requests that it answers.
pub type Page = Arc<Vec<u8>>;

/// A format's rendered form, plain and compressed, and the collection it shows.
#[derive(Debug, Default)]
pub struct Rendered {
    plain: Cached,
    gzip: Cached,
}

#[derive(Debug, Default)]
struct Cached {
    page: Page,
    of: Option<Key>,
}

/// What a page shows: the collection or tick, and the rest of what was asked for.
pub type Key = (u64, u64);

impl Cached {
    /// Returns the page of `id`, rendered by `fill` if it is of another one.
    ///
    /// The buffer is used again unless a slow client still reads from it. `fill` gets it with what it held before.
    fn get(&mut self, id: Key, fill: impl FnOnce(&mut Vec<u8>)) -> Page {
        if self.of != Some(id) {
            if let Some(buffer) = buffer(&mut self.page) {
                fill(buffer);
            }
            self.of = Some(id);
        }
        self.page.clone()
    }
}

/// Returns the page's buffer, or an empty one that takes its place.
#[inline(never)]
fn buffer(page: &mut Page) -> Option<&mut Vec<u8>> {
    if Arc::get_mut(page).is_none() {
        *page = Arc::default();
    }
    Arc::get_mut(page)
}

impl Rendered {
    /// Returns the page of `id`, compressed by `gzip` if that is given.
    pub fn get(&mut self, id: Key, gzip: Option<&mut Gzip>, fill: impl FnOnce(&mut Vec<u8>)) -> Page {
        let page = self.plain.get(id, fill);
        match gzip {
            Some(compressor) => self.gzip.get(id, |out| {
                out.clear();
                compressor.compress(&page, out);
            }),
            None => page,
        }
    }
}
