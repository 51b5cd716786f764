//! One session, without a store: its record, the patches that change it, and the writes that store it. Pure: no clock, no
//! randomness, no input or output.
//!
//! - `patch`: a change of some properties; `document`: the data at one moment; `fields` splits, compares and joins their
//!   texts;
//! - `leg`: the leg descriptor of a key, and the names of a dialog's key; `keys`: the keys of a record;
//! - `record`: one session as this process knows it;
//! - `stored`: the session that a store gives, and the writes that it gets; `writes` makes the writes of a record, and
//!   updates the record when the store has done them.

mod document;
pub mod fields;
mod key;
mod keys;
pub mod leg;
mod patch;
mod record;
mod stored;
mod writes;

pub use document::Document;
pub use key::Key;
pub use patch::Patch;
pub use record::{FirstSave, KEY_PREFIX, Record, Shared, State, UUID_PREFIX, Validity, short_uuid};
pub use stored::{
    Change, Create, Destroy, Expected, NamedKey, RemoveKey, Renamed, Saved, Stored, Update, Write,
};
