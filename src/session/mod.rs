//! One session, without any store: its record, the patches that change it, and what is written of it. Pure: no clock, no
//! randomness, no input or output.
//!
//! - `patch` is a change of some properties, `document` the data at one moment; `fields` splits, compares and joins their
//!   texts;
//! - `record` is one session as this process knows it;
//! - `stored` is what a store has of a session, and what it is asked to write; `writes` makes the one of the other.

mod document;
pub mod fields;
mod patch;
mod record;
mod stored;
mod writes;

pub use document::Document;
pub use patch::Patch;
pub use record::{FirstSave, KEY_PREFIX, Key, Record, State, UUID_PREFIX, Validity};
pub use stored::{
    Change, Create, Destroy, Expected, NamedKey, RemoveKey, Saved, Stored, Update, Write,
};
