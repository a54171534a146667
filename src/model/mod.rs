//! The words that all other rooms use: values, families, tables, the snapshot, findings, events, rates. It imports no other room.

mod checksum;
mod diagnosis;
mod event;
mod family;
mod finding;
mod foreign;
mod level;
mod moment;
mod name;
mod process;
mod prose;
mod rate;
mod receiver;
mod room;
mod selection;
mod snapshot;
mod table;
mod value;

pub use checksum::crc32;
pub use diagnosis::{Looked, Outcome};
pub use event::{BUSY_LISTS, BUSY_MAX, Busy, Episode, Event, EventKind, Keep, Lane, Note, kinds};
pub use family::{Chart, Combine, Dimension, Family, Kind, More, Unit};
pub use finding::{Finding, Report, RuleHead, Severity, Threshold, Top};
pub use foreign::{Foreign, ForeignFamily, PARTS, take_label};
pub use level::{Level, Levels};
pub use moment::Moment;
pub use name::{find, is_same, push_label, write_label};
pub use process::{ProcessRow, ProcessScan};
pub use prose::{Prose, Reference, check_texts, prose, reference};
pub use rate::{Rates, key};
pub use receiver::{OUTCOMES, Receiver};
pub use room::resize;
pub use selection::Selection;
pub use snapshot::{Column, Part, Row, Section, Snapshot};
pub use table::{Head, Input, Place, Table};
pub use value::Value;
