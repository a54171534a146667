//! Pure functions from a snapshot to bytes.

pub mod alert;
pub mod console;
pub mod discovery;
pub mod doctor;
pub mod events;
mod gzip;
pub mod history;
pub mod json;
mod number;
pub mod object;
pub mod processes;
pub mod prometheus;
pub mod remote_write;
mod snappy;
pub mod time;

pub use gzip::Gzip;
pub use number::parse_number;
pub use snappy::snappy;

use crate::model::Snapshot;

/// The forms in which a snapshot is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
    Json,
}

impl Format {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// Returns the Content-Type header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Json => "application/json",
        }
    }
}

/// Appends `snapshot` in `format`.
pub fn render(format: Format, snapshot: &Snapshot, out: &mut Vec<u8>) {
    match format {
        Format::Prometheus => prometheus::write(snapshot, prometheus::Syntax::Text, out),
        Format::OpenMetrics => prometheus::write(snapshot, prometheus::Syntax::OpenMetrics, out),
        Format::Json => json::write(snapshot, out),
    }
}

/// Renders one snapshot after each of its collections, and keeps what does not change between them.
#[derive(Debug)]
pub struct Renderer {
    text: prometheus::Writer,
    openmetrics: prometheus::Writer,
}

impl Renderer {
    /// Creates a renderer for one snapshot.
    #[expect(clippy::new_without_default, reason = "a renderer belongs to one snapshot")]
    pub const fn new() -> Self {
        Renderer {
            text: prometheus::Writer::new(prometheus::Syntax::Text),
            openmetrics: prometheus::Writer::new(prometheus::Syntax::OpenMetrics),
        }
    }

    /// Puts `snapshot` in `format` in the place of what `out` held behind its first `start` bytes.
    pub fn replace(&mut self, format: Format, snapshot: &Snapshot, start: usize, out: &mut Vec<u8>) {
        match format {
            Format::Prometheus => self.text.replace(snapshot, start, out),
            Format::OpenMetrics => self.openmetrics.replace(snapshot, start, out),
            Format::Json => {
                out.truncate(start);
                json::write(snapshot, out);
            }
        }
    }
}
